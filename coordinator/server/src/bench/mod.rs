//! `tasker bench`: starts a coordinator, workers and load as processes of their own, and measures from stored and carried timestamps.
//!
//! Nothing is polled: the time between a result and its successor's start is carried by the results themselves, and throughput is taken
//! from what the journal says. Durability is the coordinator's own, always on.

mod load;
mod process;
mod report;
mod shape;
pub mod worker;

use crate::args::Bench;
use anyhow::{Context, bail};
use process::Child;
use shape::Shape;
use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use tasker_engine::event::Event;
use tasker_runtime::port::store::Store;

/// How long the coordinator may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// How long everything may take to finish after the last submission.
const FINISH_WITHIN: Duration = Duration::from_secs(120);

/// Runs the benchmark and prints what it measured.
pub async fn run(given: Bench, output: tasker_cli::Format) -> anyhow::Result<ExitCode> {
    let shape: Shape = given.workflow.parse().map_err(|problem: String| anyhow::anyhow!("[bench.workflow_malformed]: {problem}"))?;
    let directory = tempfile::Builder::new().prefix("tasker-bench-").tempdir().context("[data.unwritable]: no temporary directory")?;
    let database = match &given.database_url {
        Some(url) => url.clone(),
        None => format!("sqlite:{}", directory.path().join("bench.db").display()),
    };
    let http = free_address()?;
    let embedded = free_address()?;
    let program = std::env::current_exe().context("[bench.failed]: the program's own path is unknown")?;
    let mut server = vec!["server", "--database-url", &database, "--http-listen", &http, "--log-level", "warn"];
    match &given.nats_url {
        Some(url) => server.extend(["--nats-url", url]),
        None => server.extend(["--nats-listen", &embedded]),
    }
    let mut coordinator = Child::start(&program, &server, "coordinator", directory.path())?;
    let nats = given.nats_url.clone().unwrap_or_else(|| format!("nats://{embedded}"));
    let client = load::Client::new(&format!("http://{http}"))?;
    client.until_ready(READY_WITHIN, &mut coordinator).await?;
    let workflow = client.apply(&shape.manifest(given.payload)).await?;
    let slots = given.slots.to_string();
    let payload = given.payload.to_string();
    let mut workers = Vec::new();
    for number in 0..given.workers {
        let samples = samples_file(directory.path(), number);
        let samples = samples.to_str().context("[bench.failed]: the temporary directory is not UTF-8")?.to_owned();
        let arguments = ["bench-worker", "--nats-url", &nats, "--slots", &slots, "--payload", &payload, "--samples", &samples];
        workers.push(Child::start(&program, &arguments, &format!("worker-{number}"), directory.path())?);
    }
    client.until_workers(given.workers, READY_WITHIN).await?;
    let before = (coordinator.usage()?, workers.iter().map(Child::usage).collect::<Result<Vec<_>, _>>()?);
    let ids = client.submit_all(&workflow, &given, FINISH_WITHIN).await?;
    let after = (coordinator.usage()?, workers.iter().map(Child::usage).collect::<Result<Vec<_>, _>>()?);
    for worker in &mut workers {
        worker.stop().await?;
    }
    let durability = client.store_line().await?;
    coordinator.stop().await?;
    let store = tasker_store::open(&database, tasker_store::Options::new("tasker bench"))
        .await
        .map_err(|error| anyhow::anyhow!("[{}]: {error}", error.code()))?;
    let span = measured_span(&*store, &ids).await?;
    store.close().await;
    let mut samples = Vec::new();
    for number in 0..given.workers {
        samples.extend(worker::read_samples(&samples_file(directory.path(), number))?);
    }
    let steps = ids.len() * shape.steps();
    let report = report::Report::new(&given, &shape, ids.len(), steps, span, samples, &before, &after, durability);
    report.print(output);
    Ok(ExitCode::SUCCESS)
}

fn samples_file(directory: &Path, number: usize) -> std::path::PathBuf {
    directory.join(format!("samples-{number}"))
}

/// An address that nobody uses now.
fn free_address() -> anyhow::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// From the first acceptance to the last end, as the journal has it; every task must have succeeded.
async fn measured_span(store: &dyn Store, ids: &[String]) -> anyhow::Result<Duration> {
    let (mut first, mut last, mut succeeded, mut after) = (i64::MAX, i64::MIN, 0, 0);
    let wanted: std::collections::HashSet<&str> = ids.iter().map(String::as_str).collect();
    loop {
        let rows = store.journal(after, 5_000).await.context("[store.unreadable]")?;
        let Some(newest) = rows.last() else { break };
        after = newest.sequence;
        for row in rows {
            if !wanted.contains(row.entry.task.to_string().as_str()) {
                continue;
            }
            for event in &row.entry.events {
                match event {
                    Event::TaskAccepted(_) => first = first.min(row.entry.at.as_millis()),
                    Event::TaskSucceeded { .. } => {
                        last = last.max(row.entry.at.as_millis());
                        succeeded += 1;
                    }
                    _ => {}
                }
            }
        }
    }
    if succeeded != ids.len() {
        bail!("[bench.failed]: {succeeded} of {} tasks succeeded; the figures would mean nothing", ids.len());
    }
    Ok(Duration::from_millis(u64::try_from(last - first).unwrap_or(0).max(1)))
}
