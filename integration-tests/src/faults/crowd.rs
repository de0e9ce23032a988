//! Very many at once: workers that come back together, timers that are due together.

use super::traffic::percentile;
use super::{Row, Seen, Size, play};
use crate::api::{Api, instant, step};
use crate::coordinator::{Setup, text};
use crate::stage::Language;
use crate::until::until_true;
use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use prost::Message;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tasker_proto::worker::v1::{self as proto, directive::Directive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The family.
pub fn rows() -> Vec<Row> {
    vec![
        Row {
            name: "crowd.workers",
            fault: "every worker comes back at once: 1,000 sessions, each on a connection of its own",
            how: "single messages of the protocol; the coordinator with its listener is killed and started again",
            checked: "all are known again, none refused; a task runs meanwhile",
            short: true,
            play: workers,
        },
        Row {
            name: "crowd.timers",
            fault: "100,000 timers are due in the same second",
            how: "as many tasks that sleep until one instant",
            checked: "each fires once and never early; lateness and the API's latency are measured",
            short: true,
            play: timers,
        },
    ]
}

/// How long a crowd may take to be known again on a busy machine.
const KNOWN_MAX: Duration = Duration::from_secs(60);

const ONE_STEP: &str = "
name: one
version: 1.0.0
systems: { shop: {} }
workflow_steps: [{ name: only, owner: shop, capability: conformance.echo, input: { text: x, number: 1 } }]
";

fn workers(size: Size) -> Seen {
    play(async |stage| {
        let mut coordinator = Setup::embedded(stage).with("TASKER_LEASE", "10s").start(stage).await?;
        let api = coordinator.api.clone();
        api.apply(ONE_STEP).await?;
        let count = size.of(200, 1_000);
        let (over, welcomes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let port = coordinator.setup().nats_port;
        let sessions: Vec<_> = (0..count).map(|number| tokio::spawn(session(port, number, over.clone(), welcomes.clone()))).collect();
        until_true("the crowd is known", KNOWN_MAX, async || Ok(api.workers().await?.len() == count)).await?;
        coordinator.kill_and_start(stage).await?;
        let began = Instant::now();
        let _worker = coordinator.worker(stage, Language::Rust, "shop").await?;
        let id = api.submit("one", json!({})).await?;
        api.finished_as(&id, "succeeded").await?;
        until_true("the crowd is known again", KNOWN_MAX, async || Ok(api.workers().await?.len() == count + 1)).await?;
        let took = began.elapsed();
        // Known is who was heard; the last welcomes may still be on their way.
        until_true("everybody was welcomed twice", KNOWN_MAX, async || Ok(welcomes.load(Ordering::Relaxed) >= 2 * count)).await?;
        over.store(true, Ordering::Relaxed);
        sessions.iter().for_each(tokio::task::JoinHandle::abort);
        coordinator.stop().await?;
        coordinator.check(stage, &[id]).await?;
        Ok(Seen::new(count, format!("all known {} ms after the start", took.as_millis())))
    })
}

/// One worker, in as few bytes as the protocol needs: says hello until it is welcome, then beats; connects again when it is cut off.
async fn session(port: u16, number: usize, over: Arc<AtomicBool>, welcomes: Arc<AtomicUsize>) {
    while !over.load(Ordering::Relaxed) {
        let _ = connected(port, number, &welcomes).await;
        // As SDKs do, each waits a little, and not all the same.
        tokio::time::sleep(Duration::from_millis(50 + number as u64 % 50)).await;
    }
}

async fn connected(port: u16, number: usize, welcomes: &AtomicUsize) -> Result<()> {
    let name = format!("crowd-session-{number}");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let capability = proto::Capability { name: "crowd.stand".to_owned(), ..proto::Capability::default() };
    let hello = proto::Hello { session: name.clone(), capabilities: vec![capability], slots: 1, ..proto::Hello::default() };
    let beat = proto::Beat { session: name.clone(), ..proto::Beat::default() };
    let mut opening = format!("CONNECT {{\"verbose\":false}}\r\nSUB tasker.v1.default.crowd.to.{name} 1\r\n").into_bytes();
    opening.extend(published(&name, "hello", &hello));
    stream.write_all(&opening).await?;
    let mut bytes = vec![0; 8 * 1024];
    let mut welcome = false;
    let mut beats = tokio::time::interval(Duration::from_secs(2));
    beats.tick().await;
    loop {
        tokio::select! {
            _ = beats.tick() => {
                // The bus may lose a hello like anything else: it is said again until it is answered.
                let said = if welcome { published(&name, "beat", &beat) } else { published(&name, "hello", &hello) };
                stream.write_all(&said).await?;
            }
            count = stream.read(&mut bytes) => {
                let count = count?;
                ensure!(count > 0, "the listener has gone");
                let said = String::from_utf8_lossy(&bytes[..count]);
                if said.contains("PING") {
                    stream.write_all(b"PONG\r\n").await?;
                }
                for directive in directives(&bytes[..count]) {
                    match directive {
                        Directive::Welcome(_) if !welcome => {
                            welcome = true;
                            welcomes.fetch_add(1, Ordering::Relaxed);
                        }
                        Directive::Rejoin(_) => stream.write_all(&published(&name, "hello", &hello)).await?,
                        _ => {}
                    }
                }
            }
        }
    }
}

/// What the coordinator says in a piece of the stream; it says little enough to a session without work that nothing is ever cut in two.
fn directives(mut bytes: &[u8]) -> Vec<Directive> {
    let mut found = Vec::new();
    while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
        let (line, rest) = (String::from_utf8_lossy(&bytes[..end]).into_owned(), &bytes[end + 2..]);
        let size = line.strip_prefix("MSG ").and_then(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).unwrap_or(0);
        let (payload, rest) = rest.split_at(size.min(rest.len()));
        if let Ok(message) = proto::ToWorker::decode(payload) {
            found.extend(message.directives.into_iter().filter_map(|directive| directive.directive));
        }
        bytes = rest;
    }
    found
}

fn published(session: &str, tail: &str, message: &impl Message) -> Vec<u8> {
    let body = message.encode_to_vec();
    let head = format!("PUB tasker.v1.default.crowd.{tail} tasker.v1.default.crowd.to.{session} {}\r\n", body.len());
    [head.as_bytes(), &body, b"\r\n"].concat()
}

const NAP: &str = "
name: nap
version: 1.0.0
systems: { shop: {} }
workflow_steps: [{ name: nap, sleep: { until: '${ task.input.until }' } }]
";

/// Tasks in one request.
const BATCH: usize = 1_000;

fn timers(size: Size) -> Seen {
    play(async |stage| {
        let mut coordinator = Setup::embedded(stage).start(stage).await?;
        let api = coordinator.api.clone();
        api.apply(NAP).await?;
        let count = size.of(2_000, 100_000);
        let before = latency(&api, Duration::from_secs(1)).await?;
        let batch =
            |until: jiff::Timestamp| json!({ "tasks": vec![json!({ "workflow": "nap", "input": { "until": until.to_string() } }); BATCH] });
        // Accepting them takes a while, as the first batch shows; they are all due when that is certainly over.
        let began = Instant::now();
        api.post("/v1/tasks:batch", &batch(jiff::Timestamp::now())).await?.ok()?;
        let accepting = began.elapsed() * 3 * u32::try_from(count / BATCH)? + Duration::from_secs(5);
        let due = jiff::Timestamp::now() + jiff::SignedDuration::try_from(accepting)?;
        let body = batch(due);
        let mut ids = Vec::new();
        for _ in 0..count / BATCH {
            let answer = api.post("/v1/tasks:batch", &body).await?.ok()?;
            let items = answer["items"].as_array().or(answer["tasks"].as_array()).context("a batch has items")?;
            for item in items {
                ids.push(text(item, "id")?.to_owned());
            }
        }
        ensure!(ids.len() == count, "{} of {count} were accepted", ids.len());
        ensure!(jiff::Timestamp::now() < due, "accepting {count} tasks took too long to measure anything");
        let wait = due.duration_since(jiff::Timestamp::now());
        tokio::time::sleep(wait.unsigned_abs()).await;
        let during = latency(&api, Duration::from_secs(3)).await?;
        // The checker sees that none was early and that all are over; how late they were, a tenth of them can tell.
        let some: Vec<String> = ids.iter().step_by(size.of(1, 10)).cloned().collect();
        let late = lateness(&api, &some, due.as_millisecond()).await?;
        coordinator.stop().await?;
        coordinator.check(stage, &ids).await?;
        let (p50, p99) = (percentile(&late, 0.5), percentile(&late, 0.99));
        let (calm, busy) = (percentile(&before, 0.99), percentile(&during, 0.99));
        ensure!(size == Size::Short || p99 <= 10_000, "p99 of lateness is {p99} ms");
        Ok(Seen::new(count, format!("late by {p50} ms, p99 {p99} ms; GET p99 {busy} ms, {calm} ms before")))
    })
}

/// How long a list takes now.
async fn latency(api: &Api, during: Duration) -> Result<Vec<Duration>> {
    let began = Instant::now();
    let mut measured = Vec::new();
    while began.elapsed() < during {
        let asked = Instant::now();
        api.get("/v1/systems").await?.ok()?;
        measured.push(asked.elapsed());
    }
    Ok(measured)
}

/// By how much each fired too late; none fired too early.
async fn lateness(api: &Api, ids: &[String], due: i64) -> Result<Vec<Duration>> {
    let look = ids.iter().map(|id| async move {
        api.finished(id).await?;
        let task = api.task(id).await?;
        let over = instant(step(&task, "nap")?, "finished_at").or_else(|_| instant(&task, "finished_at"))?;
        let late = over - due;
        ensure!(late >= 0, "{id} fired {} ms early", -late);
        Ok(Duration::from_millis(late.unsigned_abs()))
    });
    futures::stream::iter(look).buffer_unordered(32).collect::<Vec<Result<_>>>().await.into_iter().collect()
}
