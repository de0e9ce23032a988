//! Where a scenario plays: a server, a worker, and the coordinator's part.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use async_nats::{Client, Message};
use futures::StreamExt as _;
use prost::Message as _;
use rand::Rng as _;
use serde_json::Value;
use tasker_proto::worker::v1::directive::Directive as Kind;
use tasker_proto::worker::v1::step_reply::Outcome;
use tasker_proto::worker::v1::{
    Beat, Directive, Failure, Hello, Poll, ReplyAcknowledged, ReplyBatch, ReplyDisposition, StepReply, StepRequest, ToWorker, Welcome,
};

use crate::nats_server::{NatsServer, Place};
use crate::otlp::Receiver;
use crate::process::WorkerProcess;
use crate::runner::Run;
use crate::scenario::Setup;
use crate::transcript::{Entry, Mark, Said, Transcript};

/// How long anything may take that is not a timer of the protocol: generous,
/// because a slow machine is no fault of an SDK.
pub const WAIT: Duration = Duration::from_secs(15);
/// A program with a large runtime may need this long to say hello.
pub const START: Duration = Duration::from_secs(30);
/// The periods that the coordinator's part announces: short, so that scenarios are.
pub const HEARTBEAT: Duration = Duration::from_millis(200);
pub const RESEND: Duration = Duration::from_millis(400);
pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024;
/// The most replies in one batch (docs/protocol.md, "An attempt").
const BATCH_REPLIES_MAX: usize = 64;

pub struct Stage {
    pub place: Place,
    pub setup: Setup,
    pub language: String,
    pub server: NatsServer,
    pub worker: WorkerProcess,
    pub said: Arc<Transcript>,
    pub spans: Option<Receiver>,
    client: Client,
    acknowledging: Arc<AtomicBool>,
    session: String,
    sequence: u64,
    listener: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(listener) = &self.listener {
            listener.abort();
        }
    }
}

impl Stage {
    /// A server, a listening coordinator and a starting worker.
    pub async fn set(run: &Run, setup: Setup) -> Result<Self> {
        let place = Place { prefix: setup.prefix.to_owned(), namespace: setup.namespace.to_owned(), system: "judged-1_A".to_owned() };
        let server = NatsServer::start(&run.nats_server, &place).await?;
        let client = server.connect().await?;
        let spans = if setup.traces { Some(Receiver::start().await?) } else { None };
        let mut environment: Vec<(String, String)> = [
            ("TASKER_NATS_URL", server.worker_url()),
            ("TASKER_SUBJECT_PREFIX", place.prefix.clone()),
            ("TASKER_NAMESPACE", place.namespace.clone()),
            ("TASKER_SYSTEM", place.system.clone()),
            ("TASKER_SLOTS", setup.slots.to_string()),
            ("TASKER_LABELS", setup.labels.to_owned()),
            ("TASKER_LOG_LEVEL", "info".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        if let Some(spans) = &spans {
            environment.push(("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), spans.endpoint().to_owned()));
            // The standard's own setting; without it an exporter may hold spans for five seconds.
            environment.push(("OTEL_BSP_SCHEDULE_DELAY".to_owned(), "100".to_owned()));
        }
        let said = Arc::new(Transcript::default());
        let acknowledging = Arc::new(AtomicBool::new(true));
        let mut listener = None;
        if setup.listens {
            listener = Some(listen(&client, &place, &said, &acknowledging).await?);
        }
        let worker = WorkerProcess::start(&run.worker, &environment)?;
        let language = run.language.clone();
        let session = String::new();
        Ok(Self { place, setup, language, server, worker, said, spans, client, acknowledging, session, sequence: 0, listener })
    }

    /// Begins to listen, if the setup said that nobody does.
    pub async fn listen(&mut self) -> Result<()> {
        self.listener = Some(listen(&self.client, &self.place, &self.said, &self.acknowledging).await?);
        Ok(())
    }

    /// From now on replies are (or are not) acknowledged as `RECORDED` when they arrive.
    pub fn acknowledge_replies(&self, yes: bool) {
        self.acknowledging.store(yes, Ordering::SeqCst);
    }

    pub fn mark(&self) -> Mark {
        self.said.mark()
    }

    /// The first hello since `mark`; its session is the one spoken to from now on.
    pub async fn hello_since(&mut self, mark: Mark, within: Duration) -> Result<Hello> {
        let hello = self.said.wait("a hello", mark, within, |said| said.iter().find_map(|entry| entry.said.hello().cloned())).await?;
        self.session = hello.session.clone();
        Ok(hello)
    }

    pub async fn hello(&mut self) -> Result<Hello> {
        self.hello_since(Mark::START, START).await
    }

    /// Welcomes the session; its step requests are counted from 1 again.
    pub async fn welcome(&mut self) -> Result<()> {
        self.sequence = 0;
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).context("a short duration");
        let welcome = Welcome {
            heartbeat_ms: millis(HEARTBEAT)?,
            lease_ms: millis(HEARTBEAT * 10)?,
            payload_bytes_max: PAYLOAD_BYTES_MAX as u64,
            reply_resend_ms: millis(RESEND)?,
            coordinator: "conformance".to_owned(),
        };
        self.direct([Kind::Welcome(welcome)]).await
    }

    /// Hello, welcome, and the poll that follows.
    pub async fn join(&mut self) -> Result<Poll> {
        self.hello().await?;
        let mark = self.mark();
        self.welcome().await?;
        self.said.wait("a poll after the welcome", mark, WAIT, |said| said.iter().find_map(|entry| entry.said.poll().cloned())).await
    }

    pub async fn direct(&self, directives: impl IntoIterator<Item = Kind>) -> Result<()> {
        let directives = directives.into_iter().map(|directive| Directive { directive: Some(directive) }).collect();
        self.send_raw(ToWorker { session: self.session.clone(), directives }.encode_to_vec()).await
    }

    /// Bytes of any kind on the worker's subject.
    pub async fn send_raw(&self, bytes: Vec<u8>) -> Result<()> {
        let subject = self.place.subject(&format!("to.{}", self.session));
        self.client.publish(subject, bytes.into()).await?;
        self.client.flush().await?;
        Ok(())
    }

    /// A step request with the next sequence and a token of its own; not sent yet.
    pub fn request(&mut self, capability: &str, input: Value) -> StepRequest {
        self.sequence += 1;
        let token: [u8; 16] = rand::rng().random();
        StepRequest {
            sequence: self.sequence,
            task_id: format!("task-{}", self.sequence),
            // Named as an item of a fan-out is, so that every scenario shows that an SDK hands such a name back as it came.
            step_name: format!("step[{}]", self.sequence),
            attempt: 1,
            token: token.to_vec().into(),
            capability: capability.to_owned(),
            input: input.to_string().into(),
            dependencies: "{}".into(),
            idempotency_key: format!("key-{}", self.sequence),
            timeout_ms: 0,
            shard: 3,
            workflow_name: "conformance".to_owned(),
            workflow_version: "1".to_owned(),
            attempts_max: 3,
            ..StepRequest::default()
        }
    }

    /// The same attempt again, as the protocol repeats it: same token, next sequence.
    pub fn repeat(&mut self, request: &StepRequest) -> StepRequest {
        self.sequence += 1;
        StepRequest { sequence: self.sequence, ..request.clone() }
    }

    pub async fn send(&self, requests: impl IntoIterator<Item = &StepRequest>) -> Result<()> {
        self.direct(requests.into_iter().cloned().map(Kind::StepRequest)).await
    }

    /// Sends a request and returns it.
    pub async fn ask(&mut self, capability: &str, input: Value) -> Result<StepRequest> {
        let request = self.request(capability, input);
        self.send([&request]).await?;
        Ok(request)
    }

    /// Sends a request and waits for its reply.
    pub async fn call(&mut self, capability: &str, input: Value) -> Result<StepReply> {
        let request = self.ask(capability, input).await?;
        self.reply(&request).await
    }

    pub async fn reply(&self, request: &StepRequest) -> Result<StepReply> {
        self.reply_since(request, Mark::START).await
    }

    pub async fn reply_since(&self, request: &StepRequest, mark: Mark) -> Result<StepReply> {
        let what = format!("a reply for {} of {}", request.step_name, request.capability);
        self.said.wait(&what, mark, WAIT, |said| replies(said).find(|reply| reply.token == request.token).cloned()).await
    }

    /// How often the attempt was answered since `mark`.
    pub fn reply_count(&self, request: &StepRequest, mark: Mark) -> usize {
        replies(&self.said.since(mark)).filter(|reply| reply.token == request.token).count()
    }

    pub async fn beat(&self, what: &str, mark: Mark, matches: impl Fn(&Beat) -> bool) -> Result<Beat> {
        let what = format!("a beat {what}");
        self.said
            .wait(&what, mark, WAIT, |said| said.iter().filter_map(|entry| entry.said.beat()).find(|beat| matches(beat)).cloned())
            .await
    }

    pub async fn acknowledge(&self, request: &StepRequest, disposition: ReplyDisposition, code: &str) -> Result<()> {
        let acknowledged = ReplyAcknowledged {
            task_id: request.task_id.clone(),
            step_name: request.step_name.clone(),
            attempt: request.attempt,
            token: request.token.clone(),
            disposition: disposition.into(),
            code: code.to_owned(),
            message: if code.is_empty() { String::new() } else { "said by the conformance suite".to_owned() },
        };
        self.direct([Kind::ReplyAcknowledged(acknowledged)]).await
    }

    /// Proves that the worker still serves.
    pub async fn still_serves(&mut self) -> Result<()> {
        let reply = self.call("conformance.echo", serde_json::json!({ "text": "still here", "number": 1 })).await?;
        success(&reply).map(|_| ()).context("the worker no longer serves")
    }

    /// What must hold for every worker in every scenario.
    pub fn check_invariants(&self) -> Result<()> {
        let violations = self.server.violations();
        ensure!(violations.is_empty(), "the worker used rights that a worker does not have: {}", violations.join("; "));
        let mut session = None;
        for entry in self.said.since(Mark::START) {
            if let Said::Unreadable(what) = &entry.said {
                bail!("the worker sent something unreadable: {what}");
            }
            if let Some(credit) = entry.said.credit() {
                ensure!(credit.free <= self.setup.slots, "the worker granted {} slots of {}", credit.free, self.setup.slots);
            }
            ensure!(entry.said.replies().len() <= BATCH_REPLIES_MAX, "a batch held {} replies", entry.said.replies().len());
            if let Some(spoken) = entry.said.session() {
                let session = session.get_or_insert_with(|| spoken.to_owned());
                ensure!(session == spoken, "one process used two sessions");
            }
        }
        Ok(())
    }

    pub fn sdk_version(&self) -> String {
        let version = |entry: &Entry| entry.said.hello().and_then(|hello| hello.sdk.as_ref()).map(|sdk| sdk.version.clone());
        self.said.since(Mark::START).iter().find_map(version).unwrap_or_default()
    }
}

/// The result of a reply that should be a success.
pub fn success(reply: &StepReply) -> Result<Value> {
    match &reply.outcome {
        Some(Outcome::Success(success)) => serde_json::from_slice(&success.result).context("the result is not JSON"),
        Some(Outcome::Failure(failure)) => {
            bail!("expected a success, got {} {}: {}", failure.kind().as_str_name(), failure.code, failure.message)
        }
        None => bail!("the reply has no outcome"),
    }
}

/// The failure of a reply that should be one.
pub fn failure(reply: &StepReply) -> Result<Failure> {
    match &reply.outcome {
        Some(Outcome::Failure(failure)) => Ok(failure.clone()),
        Some(Outcome::Success(success)) => bail!("expected a failure, got the result {}", String::from_utf8_lossy(&success.result)),
        None => bail!("the reply has no outcome"),
    }
}

pub fn replies(said: &[Entry]) -> impl Iterator<Item = &StepReply> {
    said.iter().flat_map(|entry| entry.said.replies())
}

async fn listen(
    client: &Client,
    place: &Place,
    said: &Arc<Transcript>,
    acknowledging: &Arc<AtomicBool>,
) -> Result<tokio::task::JoinHandle<()>> {
    // One subscription for all, so that the transcript has the worker's own order.
    let mut messages = client.subscribe(place.subject(">")).await?;
    client.flush().await?;
    let (client, said, acknowledging, place) = (client.clone(), Arc::clone(said), Arc::clone(acknowledging), place.clone());
    Ok(tokio::spawn(async move {
        let head = place.subject("");
        while let Some(message) = messages.next().await {
            let tail = message.subject.strip_prefix(&head).unwrap_or_default().to_owned();
            if tail.starts_with("to.") {
                continue;
            }
            let heard = hear(&tail, message);
            let acknowledgement = acknowledging.load(Ordering::SeqCst).then(|| recorded(&heard)).flatten();
            said.add(heard);
            if let Some((session, envelope)) = acknowledgement {
                // If this is lost, the worker says its reply again.
                let _ = client.publish(place.subject(&format!("to.{session}")), envelope.into()).await;
            }
        }
    }))
}

fn hear(tail: &str, message: Message) -> Said {
    let reply_subject = message.reply.map(|subject| subject.to_string());
    let body = message.payload;
    let heard = match tail {
        "hello" => Hello::decode(body).map(|hello| Said::Hello { hello, reply_subject }),
        "poll" => Poll::decode(body).map(Said::Poll),
        "beat" => Beat::decode(body).map(Said::Beat),
        _ => match tail.strip_prefix("reply.") {
            Some(shard) => ReplyBatch::decode(body).map(|batch| Said::Replies { shard: shard.to_owned(), batch }),
            None => return Said::Unreadable(format!("a message on …{tail}")),
        },
    };
    heard.unwrap_or_else(|error| Said::Unreadable(format!("…{tail}: {error}")))
}

/// The acknowledgement of every reply in a batch.
fn recorded(heard: &Said) -> Option<(String, Vec<u8>)> {
    let Said::Replies { batch, .. } = heard else { return None };
    let acknowledge = |reply: &StepReply| Directive {
        directive: Some(Kind::ReplyAcknowledged(ReplyAcknowledged {
            task_id: reply.task_id.clone(),
            step_name: reply.step_name.clone(),
            attempt: reply.attempt,
            token: reply.token.clone(),
            disposition: ReplyDisposition::Recorded.into(),
            ..ReplyAcknowledged::default()
        })),
    };
    let envelope = ToWorker { session: batch.session.clone(), directives: batch.replies.iter().map(acknowledge).collect() };
    Some((batch.session.clone(), envelope.encode_to_vec()))
}
