//! One measured run of the load, and the figures that follow from it.

use super::given::Bench;
use super::load::Client;
use super::progress::Progress;
use super::samples::{Samples, percentiles_ms};
use super::shape::Shape;
use super::stage::{Stage, Used};
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tasker_engine::event::Event;
use tasker_runtime::port::store::{Sequence, Store};

/// Rows of the journal in one read.
const ROWS: usize = 5_000;

/// What a run left to be evaluated once the coordinator has stopped.
pub struct Run {
    ids: Vec<String>,
    samples: Samples,
    used: Used,
    durability: String,
    /// Seconds of all commits, and how many there were.
    commits: Option<(f64, f64)>,
    reads_us: Option<Vec<u32>>,
}

/// Puts the load on a stage whose coordinator is ready: hires workers, runs everything, dismisses them.
pub async fn run(stage: &mut Stage, given: &Bench, shape: Shape) -> anyhow::Result<Run> {
    let workflow = stage.client.apply(&shape.manifest(given.payload as usize)).await?;
    stage.hire().await?;
    let reader = given.reads.map(|rate| Reader::start(stage.client.clone(), rate));
    let (used, commits) = (stage.used()?, stage.client.commits().await?);
    let mut progress = Progress::new("tasks submitted", given.tasks as usize);
    let ids = stage.client.submit_all(&workflow, &shape.input(given.payload as usize), given, &mut progress).await?;
    let used = stage.used()?.since(used);
    let after = stage.client.commits().await?;
    let commits = after.zip(commits).map(|(after, before)| (after.0 - before.0, after.1 - before.1));
    stage.client.until_all_over(&ids).await?;
    let reads_us = match reader {
        Some(reader) => Some(reader.stop().await?),
        None => None,
    };
    let durability = stage.client.store_line().await?;
    Ok(Run { ids, samples: stage.dismiss().await?, used, durability, commits, reads_us })
}

impl Run {
    /// Every figure. Reads the journal, so the coordinator must have stopped.
    pub async fn figures(self, given: &Bench, shape: Shape, store: &dyn Store, from: Sequence) -> anyhow::Result<Value> {
        let seconds = measured_span(store, from, &self.ids).await?.as_secs_f64();
        let tasks = self.ids.len();
        let steps = tasks * shape.steps();
        let overhead = percentiles_ms(self.samples.waited_us);
        let commit_ms = self.commits.filter(|(_, count)| *count > 0.0).map(|(seconds, count)| seconds * 1e3 / count);
        // Only one task at a time spends exactly one whole commit on each step.
        let alone = given.in_flight == 1 && given.rate.is_none();
        let dispatch = commit_ms.zip(overhead["mean"].as_f64()).filter(|_| alone).map(|(commit, overhead)| overhead - commit);
        let cpu = |used: Duration| used.as_secs_f64() * 1e6 / steps as f64;
        let Used { coordinator, workers, load, database, nats } = self.used;
        let written = coordinator.written_bytes + database.unwrap_or_default().written_bytes;
        Ok(json!({
            "scenario": "throughput",
            "workflow": given.workflow,
            "tasks": tasks,
            "steps": steps,
            "steps_per_task": shape.steps(),
            "payload_bytes": given.payload,
            "workers": given.workers,
            "worker_language": given.worker_language.as_str(),
            "slots": given.slots,
            "in_flight": given.in_flight,
            "rate": given.rate,
            "seconds": seconds,
            "tasks_per_second": tasks as f64 / seconds,
            "steps_per_second": steps as f64 / seconds,
            "step_overhead_ms": overhead,
            "commit_ms_mean": commit_ms,
            "commits": self.commits.map(|(_, count)| count),
            "dispatch_without_commit_ms_mean": dispatch,
            "api_reads": self.reads_us.map(|reads| json!({ "per_second": given.reads, "took_ms": percentiles_ms(reads) })),
            "cpu_us_per_step": {
                "coordinator": cpu(coordinator.cpu), "workers": cpu(workers.cpu), "load": cpu(load.cpu),
                "database": database.map(|used| cpu(used.cpu)), "nats": nats.map(|used| cpu(used.cpu)),
            },
            "resident_bytes": coordinator.resident_bytes,
            "resident_bytes_of": {
                "workers": workers.resident_bytes, "database": database.map(|used| used.resident_bytes), "nats": nats.map(|used| used.resident_bytes),
            },
            "bytes_written_per_step": written as f64 / steps as f64,
            "durability": self.durability,
        }))
    }
}

/// The end of the journal now.
pub async fn journal_end(store: &dyn Store) -> anyhow::Result<Sequence> {
    Ok(store.recover().await.context("[store.unreadable]")?.last)
}

/// From the first acceptance to the last end, as the journal has it; every task must have succeeded.
async fn measured_span(store: &dyn Store, from: Sequence, ids: &[String]) -> anyhow::Result<Duration> {
    let (mut first, mut last, mut succeeded, mut after) = (i64::MAX, i64::MIN, 0, from);
    let wanted: HashSet<&str> = ids.iter().map(String::as_str).collect();
    loop {
        let rows = store.journal(after, ROWS).await.context("[store.unreadable]")?;
        let Some(newest) = rows.last() else { break };
        after = newest.sequence;
        for row in rows {
            for event in &row.entry.events {
                match event {
                    Event::TaskAccepted(_) if wanted.contains(row.entry.task.to_string().as_str()) => {
                        first = first.min(row.entry.at.as_millis())
                    }
                    Event::TaskSucceeded { .. } if wanted.contains(row.entry.task.to_string().as_str()) => {
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

/// Reads the API at a steady rate beside the load, in turn what people and programs read most.
struct Reader {
    stop: Arc<AtomicBool>,
    reading: tokio::task::JoinHandle<anyhow::Result<Vec<u32>>>,
}

impl Reader {
    const PATHS: [&str; 4] = ["/v1/tasks?limit=50", "/v1/tasks?status=running&limit=50", "/v1/status", "/v1/workers"];

    fn start(client: Client, rate: f64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let reading = tokio::spawn(async move {
            let (mut took, mut asked, began) = (Vec::new(), 0_usize, Instant::now());
            while !stopped.load(Ordering::Relaxed) {
                tokio::time::sleep_until((began + Duration::from_secs_f64(asked as f64 / rate)).into()).await;
                let answer = client.timed(Self::PATHS[asked % Self::PATHS.len()]).await?;
                took.push(u32::try_from(answer.as_micros()).unwrap_or(u32::MAX));
                asked += 1;
            }
            Ok(took)
        });
        Self { stop, reading }
    }

    async fn stop(self) -> anyhow::Result<Vec<u32>> {
        self.stop.store(true, Ordering::Relaxed);
        self.reading.await.context("[bench.failed]: the reads ended early")?
    }
}
