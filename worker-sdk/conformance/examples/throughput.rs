//! How many no-op steps per second a worker answers, with a coordinator that
//! does nothing but request and acknowledge. Not a verdict: a number to compare builds of one SDK with.
//!
//! `cargo run -p tasker-conformance --example throughput -- "<worker command>" <nats-server> [slots] [seconds]`

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use prost::Message as _;
use tasker_conformance::nats_server::{NatsServer, Place};
use tasker_conformance::process::WorkerProcess;
use tasker_proto::worker::v1::directive::Directive as Kind;
use tasker_proto::worker::v1::step_reply::Outcome;
use tasker_proto::worker::v1::{
    Credit, Directive, Hello, Poll, ReplyAcknowledged, ReplyBatch, ReplyDisposition, StepRequest, ToWorker, Welcome,
};

/// As a coordinator batches: large enough to save messages, small enough to be read in one go.
const REQUESTS_PER_MESSAGE: usize = 64;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let worker = arguments.next().context("name the worker's command")?;
    let nats_server = arguments.next().context("name the nats-server program")?;
    let slots: u64 = arguments.next().map_or(Ok(512), |text| text.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(5), |text| text.parse())?;

    let place = Place { prefix: "tasker".to_owned(), namespace: "throughput".to_owned(), system: "measured".to_owned() };
    let server = NatsServer::start(nats_server.as_ref(), &place).await?;
    let client = server.connect().await?;
    let mut messages = client.subscribe(place.subject(">")).await?;
    client.flush().await?;
    let environment = [
        ("TASKER_NATS_URL", server.worker_url()),
        ("TASKER_NAMESPACE", place.namespace.clone()),
        ("TASKER_SYSTEM", place.system.clone()),
        ("TASKER_SLOTS", slots.to_string()),
        ("TASKER_LOG_LEVEL", "warn".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    let _worker = WorkerProcess::start(&worker, &environment)?;

    let mut state = State::default();
    let mut begun = None;
    let mut failed = 0_u64;
    while let Some(message) = messages.next().await {
        let tail = message.subject.rsplit('.').next().unwrap_or_default().to_owned();
        let mut directives = Vec::new();
        if tail == "hello" {
            state = State { session: Hello::decode(message.payload)?.session, ..State::default() };
            directives.push(Kind::Welcome(Welcome {
                heartbeat_ms: 1000,
                lease_ms: 10_000,
                payload_bytes_max: 65_536,
                reply_resend_ms: 5000,
                coordinator: "throughput".to_owned(),
            }));
        } else if tail == "poll" {
            begun = Some(Instant::now());
            state.credit = Poll::decode(message.payload)?.credit.unwrap_or_default();
        } else if message.subject.contains(".reply.") {
            let batch = ReplyBatch::decode(message.payload)?;
            state.credit = batch.credit.unwrap_or_default();
            state.batches += 1;
            for reply in batch.replies {
                // The token carries the request's number: a repeated reply must not be counted as work.
                let number = reply.token.get(..8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
                if number.is_some_and(|number| number <= state.sent && state.seen.insert(number)) {
                    state.answered += 1;
                    failed += u64::from(!matches!(reply.outcome, Some(Outcome::Success(_))));
                } else {
                    state.repeated += 1;
                }
                directives.push(Kind::ReplyAcknowledged(ReplyAcknowledged {
                    task_id: reply.task_id,
                    step_name: reply.step_name,
                    attempt: reply.attempt,
                    token: reply.token,
                    disposition: ReplyDisposition::Recorded.into(),
                    ..ReplyAcknowledged::default()
                }));
            }
        }
        let over = begun.is_some_and(|begun: Instant| begun.elapsed() > Duration::from_secs(seconds));
        while !over && state.available() > 0 {
            directives.push(Kind::StepRequest(state.request()));
        }
        for part in directives.chunks(REQUESTS_PER_MESSAGE) {
            let directives = part.iter().map(|directive| Directive { directive: Some(directive.clone()) }).collect();
            let envelope = ToWorker { session: state.session.clone(), directives }.encode_to_vec();
            client.publish(place.subject(&format!("to.{}", state.session)), envelope.into()).await?;
        }
        if over {
            break;
        }
    }
    let elapsed = begun.context("the worker never polled")?.elapsed().as_secs_f64();
    println!(
        "{:.0} steps/s ({} of {} requests answered in {elapsed:.1} s, {} repeats, {failed} failed, {:.1} replies per message, {slots} slots)",
        state.answered as f64 / elapsed,
        state.answered,
        state.sent,
        state.repeated,
        state.answered as f64 / state.batches.max(1) as f64
    );
    Ok(())
}

#[derive(Default)]
struct State {
    session: String,
    credit: Credit,
    sent: u64,
    answered: u64,
    repeated: u64,
    batches: u64,
    seen: HashSet<u64>,
}

impl State {
    /// The protocol's formula (docs/protocol.md, "Credit").
    fn available(&self) -> u64 {
        u64::from(self.credit.free).saturating_sub(self.sent.saturating_sub(self.credit.highest_sequence))
    }

    fn request(&mut self) -> StepRequest {
        self.sent += 1;
        let mut token = [0; 16];
        token[..8].copy_from_slice(&self.sent.to_le_bytes());
        StepRequest {
            sequence: self.sent,
            task_id: "0192f0c1-2222-7000-8000-000000000000".to_owned(),
            step_name: "echo".to_owned(),
            attempt: 1,
            attempts_max: 1,
            token: token.to_vec().into(),
            capability: "conformance.echo".to_owned(),
            input: r#"{"text":"x","number":1}"#.into(),
            dependencies: "{}".into(),
            idempotency_key: "key".to_owned(),
            workflow_name: "w".to_owned(),
            workflow_version: "1".to_owned(),
            ..StepRequest::default()
        }
    }
}
