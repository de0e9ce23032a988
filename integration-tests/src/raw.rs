//! A worker made of single messages, to say what no SDK would ever say.

use crate::until::SOON;
use anyhow::{Context, Result, bail};
use async_nats::{Client, Subscriber};
use futures::StreamExt;
use prost::Message;
use std::collections::VecDeque;
use std::time::Instant;
use tasker_proto::worker::v1::{self as proto, directive::Directive, step_reply::Outcome};

/// A session of a system.
pub struct RawWorker {
    /// Its connection.
    pub client: Client,
    system: String,
    session: String,
    incoming: Subscriber,
    directives: VecDeque<Directive>,
}

impl RawWorker {
    /// Subscribes to what the coordinator would say to this session, and says nothing yet.
    ///
    /// # Errors
    /// No connection.
    pub async fn connect(url: &str, system: &str, session: &str) -> Result<Self> {
        let client = async_nats::connect(url).await?;
        let incoming = client.subscribe(format!("tasker.v1.default.{system}.to.{session}")).await?;
        client.flush().await?;
        Ok(Self { client, system: system.to_owned(), session: session.to_owned(), incoming, directives: VecDeque::new() })
    }

    /// A subject of the system.
    pub fn subject(&self, tail: &str) -> String {
        format!("tasker.v1.default.{}.{tail}", self.system)
    }

    /// A hello that is in order, with one capability and one slot.
    pub fn hello(&self, capability: &str) -> proto::Hello {
        let capability = proto::Capability { name: capability.to_owned(), ..proto::Capability::default() };
        proto::Hello { session: self.session.clone(), capabilities: vec![capability], slots: 1, ..proto::Hello::default() }
    }

    /// Publishes a message on one of the system's subjects.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn say(&self, tail: &str, message: &impl Message) -> Result<()> {
        let reply_to = self.subject(&format!("to.{}", self.session));
        self.client.publish_with_reply(self.subject(tail), reply_to, message.encode_to_vec().into()).await?;
        Ok(self.client.flush().await?)
    }

    /// Publishes bytes on one of the system's subjects.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn say_bytes(&self, tail: &str, bytes: Vec<u8>) -> Result<()> {
        self.client.publish(self.subject(tail), bytes.into()).await?;
        Ok(self.client.flush().await?)
    }

    /// Joins, grants credit for one step and waits for it.
    ///
    /// # Errors
    /// No step comes.
    pub async fn take(&mut self, capability: &str) -> Result<proto::StepRequest> {
        let hello = self.hello(capability);
        self.say("hello", &hello).await?;
        self.expect("a welcome", |directive| matches!(directive, Directive::Welcome(_)).then_some(())).await?;
        let credit = Some(proto::Credit { free: 1, highest_sequence: 0, expires_in_ms: 60_000 });
        self.say("poll", &proto::Poll { session: self.session.clone(), credit }).await?;
        self.expect("a step", |directive| match directive {
            Directive::StepRequest(request) => Some(request.clone()),
            _ => None,
        })
        .await
    }

    /// Sends one reply and waits for what becomes of it.
    ///
    /// # Errors
    /// It is not acknowledged.
    pub async fn reply(&mut self, shard: u32, reply: proto::StepReply) -> Result<proto::ReplyAcknowledged> {
        let token = reply.token.clone();
        let batch = proto::ReplyBatch { session: self.session.clone(), replies: vec![reply], credit: None };
        self.say(&format!("reply.{shard}"), &batch).await?;
        self.expect("an acknowledgement", |directive| match directive {
            Directive::ReplyAcknowledged(acknowledged) if acknowledged.token == token => Some(acknowledged.clone()),
            _ => None,
        })
        .await
    }

    /// Waits for a directive and takes it out of what has come.
    ///
    /// # Errors
    /// It does not come; says what came instead.
    pub async fn expect<T>(&mut self, what: &str, wanted: impl Fn(&Directive) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(place) = self.directives.iter().position(|directive| wanted(directive).is_some()) {
                let directive = self.directives.remove(place).context("it is there")?;
                return wanted(&directive).context("it was wanted");
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match tokio::time::timeout(left, self.incoming.next()).await {
                Ok(Some(message)) => {
                    let batch = proto::ToWorker::decode(message.payload)?;
                    self.directives.extend(batch.directives.into_iter().filter_map(|directive| directive.directive));
                }
                _ => bail!("{what} did not come to session {}, but {:?}", self.session, self.directives),
            }
        }
    }
}

/// A reply that is in order.
pub fn success(request: &proto::StepRequest, result: &str) -> proto::StepReply {
    proto::StepReply {
        task_id: request.task_id.clone(),
        step_name: request.step_name.clone(),
        attempt: request.attempt,
        token: request.token.clone(),
        outcome: Some(Outcome::Success(proto::Success { result: result.as_bytes().to_vec().into() })),
        ran_ms: 1,
    }
}
