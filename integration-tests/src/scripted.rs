//! A worker of any build and labels, which answers as a test says: what the SDKs' programs cannot vary.

use crate::api::Api;
use crate::until::{SOON, until_true};
use anyhow::Result;
use async_nats::Client;
use futures::StreamExt;
use prost::Message;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tasker_proto::worker::v1::{self as proto, directive::Directive, step_reply::Outcome};

/// How often it beats: well within the lease of a coordinator with its default settings.
const BEAT: Duration = Duration::from_millis(300);

/// How a worker introduces itself.
#[derive(Debug, Clone)]
pub struct Introduction {
    /// Its system.
    pub system: &'static str,
    /// What it can do.
    pub capability: &'static str,
    /// Its session, 8 characters or more.
    pub session: String,
    /// Its build.
    pub version: &'static str,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// How many attempts it takes at once.
    pub slots: u32,
}

impl Introduction {
    /// One slot, no version, no labels.
    pub fn new(system: &'static str, capability: &'static str, session: &str) -> Self {
        Self { system, capability, session: session.to_owned(), version: "", labels: BTreeMap::new(), slots: 1 }
    }

    /// The same with a build.
    #[must_use]
    pub fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    /// The same with a label.
    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The same with more slots.
    #[must_use]
    pub fn slots(mut self, slots: u32) -> Self {
        self.slots = slots;
        self
    }
}

/// What a worker does with a request.
pub enum Play {
    /// Answers with a result.
    Succeed,
    /// Answers with a failure that may be tried again.
    Fail,
    /// Keeps it for as long as [`ScriptedWorker::finish`] is not called.
    Hold,
}

/// What has happened to a worker.
#[derive(Default)]
struct Seen {
    taken: Vec<proto::StepRequest>,
    held: HashMap<Vec<u8>, proto::StepRequest>,
    highest_sequence: u64,
    drained: Option<String>,
}

/// A worker that plays for as long as this value lives; dropped, it is gone without a word.
pub struct ScriptedWorker {
    introduction: Introduction,
    client: Client,
    seen: Arc<Mutex<Seen>>,
    playing: tokio::task::JoinHandle<()>,
}

impl ScriptedWorker {
    /// Joins and waits until the coordinator knows it.
    ///
    /// # Errors
    /// No connection, or it does not appear in time.
    pub async fn join(
        url: &str,
        api: &Api,
        introduction: Introduction,
        play: impl FnMut(&proto::StepRequest) -> Play + Send + 'static,
    ) -> Result<Self> {
        let client = async_nats::connect(url).await?;
        let incoming = client.subscribe(subject(&introduction, &format!("to.{}", introduction.session))).await?;
        client.flush().await?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let playing = tokio::spawn(run(client.clone(), incoming, introduction.clone(), seen.clone(), play));
        let worker = Self { introduction, client, seen, playing };
        until_true(&format!("worker {} has joined", worker.session()), SOON, async || {
            Ok(api.workers().await?.iter().any(|known| known["session"] == worker.session()))
        })
        .await?;
        Ok(worker)
    }

    /// Its session.
    pub fn session(&self) -> &str {
        &self.introduction.session
    }

    /// Every request it was sent, in order.
    pub fn taken(&self) -> Vec<proto::StepRequest> {
        self.lock().taken.clone()
    }

    /// Why it was asked to leave, if it was.
    pub fn drained(&self) -> Option<String> {
        self.lock().drained.clone()
    }

    /// Answers everything that it holds with a result.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn finish(&self) -> Result<()> {
        let (held, credit) = {
            let mut seen = self.lock();
            let held: Vec<_> = seen.held.drain().map(|(_, request)| request).collect();
            (held, credit(&seen, &self.introduction))
        };
        for request in held {
            say_reply(&self.client, &self.introduction, &request, succeeded(), credit).await?;
        }
        Ok(())
    }

    /// Leaves as an SDK does: nothing new, and a last word.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn leave(self) -> Result<()> {
        self.playing.abort();
        let beat =
            proto::Beat { session: self.introduction.session.clone(), state: proto::SessionState::Left.into(), ..Default::default() };
        self.client.publish(subject(&self.introduction, "beat"), beat.encode_to_vec().into()).await?;
        Ok(self.client.flush().await?)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ScriptedWorker {
    fn drop(&mut self) {
        self.playing.abort();
    }
}

fn subject(introduction: &Introduction, tail: &str) -> String {
    format!("tasker.v1.default.{}.{tail}", introduction.system)
}

fn succeeded() -> Outcome {
    Outcome::Success(proto::Success { result: br#"{"ok":true}"#.to_vec().into() })
}

fn failed() -> Outcome {
    Outcome::Failure(proto::Failure {
        kind: proto::FailureKind::Retryable.into(),
        code: "out_of_order".to_owned(),
        message: "the machine is on fire".to_owned(),
        ..proto::Failure::default()
    })
}

fn credit(seen: &Seen, introduction: &Introduction) -> proto::Credit {
    let free = if seen.drained.is_some() { 0 } else { introduction.slots.saturating_sub(seen.held.len() as u32) };
    proto::Credit { free, highest_sequence: seen.highest_sequence, expires_in_ms: 0 }
}

async fn say(client: &Client, introduction: &Introduction, tail: &str, message: &impl Message) {
    let reply_to = subject(introduction, &format!("to.{}", introduction.session));
    // A connection that is gone shows as a worker that says nothing.
    let _ = client.publish_with_reply(subject(introduction, tail), reply_to, message.encode_to_vec().into()).await;
}

async fn say_reply(
    client: &Client,
    introduction: &Introduction,
    request: &proto::StepRequest,
    outcome: Outcome,
    credit: proto::Credit,
) -> Result<()> {
    let reply = proto::StepReply {
        task_id: request.task_id.clone(),
        step_name: request.step_name.clone(),
        attempt: request.attempt,
        token: request.token.clone(),
        outcome: Some(outcome),
        ran_ms: 1,
    };
    let batch = proto::ReplyBatch { session: introduction.session.clone(), replies: vec![reply], credit: Some(credit) };
    client.publish(subject(introduction, &format!("reply.{}", request.shard)), batch.encode_to_vec().into()).await?;
    Ok(client.flush().await?)
}

/// Plays the worker's part until it is ended.
async fn run(
    client: Client,
    mut incoming: async_nats::Subscriber,
    introduction: Introduction,
    seen: Arc<Mutex<Seen>>,
    mut play: impl FnMut(&proto::StepRequest) -> Play,
) {
    let lock = || seen.lock().unwrap_or_else(PoisonError::into_inner);
    let session = introduction.session.clone();
    let capability = proto::Capability { name: introduction.capability.to_owned(), ..proto::Capability::default() };
    let hello = proto::Hello {
        session: session.clone(),
        system_version: introduction.version.to_owned(),
        capabilities: vec![capability],
        slots: introduction.slots,
        labels: introduction.labels.clone().into_iter().collect(),
        ..proto::Hello::default()
    };
    say(&client, &introduction, "hello", &hello).await;
    let mut beat = tokio::time::interval(BEAT);
    loop {
        let message = tokio::select! {
            message = incoming.next() => message,
            _ = beat.tick() => {
                let message = {
                    let seen = lock();
                    let held = seen.held.values().map(|request| proto::HeldAttempt {
                        task_id: request.task_id.clone(),
                        step_name: request.step_name.clone(),
                        attempt: request.attempt,
                        token: request.token.clone(),
                        ..proto::HeldAttempt::default()
                    });
                    let state = if seen.drained.is_some() { proto::SessionState::Draining } else { proto::SessionState::Active };
                    proto::Beat { session: session.clone(), held: held.collect(), credit: Some(credit(&seen, &introduction)), state: state.into() }
                };
                say(&client, &introduction, "beat", &message).await;
                continue;
            }
        };
        let Some(batch) = message.and_then(|message| proto::ToWorker::decode(message.payload).ok()) else { return };
        for directive in batch.directives.into_iter().filter_map(|directive| directive.directive) {
            match directive {
                Directive::Welcome(_) => {
                    lock().highest_sequence = 0;
                    let credit = Some(credit(&lock(), &introduction));
                    say(&client, &introduction, "poll", &proto::Poll { session: session.clone(), credit }).await;
                }
                Directive::Rejoin(_) => say(&client, &introduction, "hello", &hello).await,
                Directive::Drain(drain) => lock().drained = Some(drain.reason),
                Directive::StepRequest(request) => {
                    let repeated = {
                        let mut seen = lock();
                        seen.highest_sequence = seen.highest_sequence.max(request.sequence);
                        let repeated = seen.taken.iter().any(|known| known.token == request.token);
                        if !repeated {
                            seen.taken.push(request.clone());
                        }
                        repeated
                    };
                    let outcome = match play(&request) {
                        Play::Hold if repeated => continue,
                        Play::Hold => {
                            lock().held.insert(request.token.to_vec(), request);
                            continue;
                        }
                        Play::Succeed => succeeded(),
                        Play::Fail => failed(),
                    };
                    let credit = credit(&lock(), &introduction);
                    if say_reply(&client, &introduction, &request, outcome, credit).await.is_err() {
                        return;
                    }
                }
                Directive::Refused(refused) => {
                    eprintln!("worker {session} is refused: {refused:?}");
                    return;
                }
                Directive::ReplyAcknowledged(_) | Directive::CancelAttempt(_) => {}
            }
        }
    }
}
