//! What a run of `tasker bench` does, one function for each scenario.

use super::clock::monotonic_us;
use super::given::Bench;
use super::history;
use super::measure::{self, journal_end};
use super::process::Usage;
use super::progress::Progress;
use super::shape::Shape;
use super::stage::Stage;
use anyhow::Context;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// One run of the load on an empty database.
pub async fn throughput(mut stage: Stage, given: &Bench, shape: Shape) -> anyhow::Result<Value> {
    let run = measure::run(&mut stage, given, shape).await?;
    stage.stop_coordinator().await?;
    let store = stage.open_store().await?;
    let figures = run.figures(given, shape, &*store, 0).await;
    store.close().await;
    stage.clear().await;
    figures
}

/// A run on the empty database; then so many finished steps are stored; then the same run again.
pub async fn history(mut stage: Stage, given: &Bench, shape: Shape, steps: usize) -> anyhow::Result<Value> {
    let first = measure::run(&mut stage, given, shape).await?;
    stage.stop_coordinator().await?;
    let store = stage.open_store().await?;
    let before = first.figures(given, shape, &*store, 0).await?;
    let since = Instant::now();
    let stored = history::repeat(&*store, shape, steps).await?;
    let stored_in = since.elapsed();
    let end = journal_end(&*store).await?;
    store.close().await;
    stage.start_coordinator()?;
    stage.until_ready().await?;
    let second = measure::run(&mut stage, given, shape).await?;
    stage.stop_coordinator().await?;
    let store = stage.open_store().await?;
    let after = second.figures(given, shape, &*store, end).await;
    store.close().await;
    stage.clear().await;
    let durability = before["durability"].clone();
    let more =
        json!({ "scenario": "history", "stored_steps": stored, "stored_in_seconds": stored_in.as_secs_f64(), "durability": durability });
    Ok(compared(before, after?, more))
}

/// A run; then so many tasks fall asleep; then the same run beside them.
pub async fn waiting(mut stage: Stage, given: &Bench, shape: Shape, tasks: usize) -> anyhow::Result<Value> {
    let first = measure::run(&mut stage, given, shape).await?;
    let sleeping = stage.client.apply(&Shape::Sleep.manifest(given.payload as usize)).await?;
    let resident_before = stage.used()?.coordinator.resident_bytes;
    let (since, mut progress) = (Instant::now(), Progress::new("tasks asleep", tasks));
    stage.client.submit_only(&sleeping, &Shape::Sleep.input(given.payload as usize), tasks, &mut progress).await?;
    let accepted_in = since.elapsed();
    // What is idle leaves memory behind the next sweeps of the projection; the coordinator says nothing when it has.
    tokio::time::sleep(SETTLE).await;
    let resident_waiting = stage.used()?.coordinator.resident_bytes;
    let second = measure::run(&mut stage, given, shape).await?;
    stage.stop_coordinator().await?;
    let store = stage.open_store().await?;
    let before = first.figures(given, shape, &*store, 0).await?;
    let after = second.figures(given, shape, &*store, 0).await;
    store.close().await;
    stage.clear().await;
    let durability = before["durability"].clone();
    let more = json!({
        "scenario": "waiting",
        "waiting_tasks": tasks,
        "accepted_in_seconds": accepted_in.as_secs_f64(),
        "resident_bytes_before": resident_before,
        "resident_bytes_waiting": resident_waiting,
        "resident_bytes_grown": resident_waiting.saturating_sub(resident_before),
        "resident_bytes_per_task": resident_waiting.saturating_sub(resident_before) as f64 / tasks as f64,
        "durability": durability,
    });
    Ok(compared(before, after?, more))
}

/// How long the coordinator is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(5);

/// Tasks wait for workers that are not there; the coordinator is killed and started again together with the workers.
pub async fn restart(mut stage: Stage, given: &Bench, shape: Shape, tasks: usize) -> anyhow::Result<Value> {
    let workflow = stage.client.apply(&shape.manifest(given.payload as usize)).await?;
    let durability = stage.client.store_line().await?;
    let mut progress = Progress::new("tasks accepted", tasks);
    stage.client.submit_only(&workflow, &shape.input(given.payload as usize), tasks, &mut progress).await?;
    // A second of rest, as in operation: the projection is swept about so often.
    tokio::time::sleep(SETTLE).await;
    stage.kill_coordinator().await?;
    let (began, since) = (monotonic_us(), Instant::now());
    stage.start_coordinator()?;
    stage.start_workers()?;
    stage.until_ready().await?;
    let ready = since.elapsed();
    let used = stage.used()?.coordinator;
    stage.until_something_is_done().await?;
    let samples = stage.dismiss().await?;
    stage.stop_coordinator().await?;
    stage.clear().await;
    let first = samples.first_start_us.context("[bench.failed]: no step reached a worker after the restart")?;
    Ok(json!({
        "scenario": "restart",
        "workflow": given.workflow,
        "active_tasks": tasks,
        "ready_after_seconds": ready.as_secs_f64(),
        "dispatching_after_seconds": first.saturating_sub(began) as f64 / 1e6,
        "cpu_seconds_until_ready": used.cpu.as_secs_f64(),
        "resident_bytes": used.resident_bytes,
        "durability": durability,
    }))
}

/// A worker has joined, and nothing happens.
pub async fn idle(mut stage: Stage, seconds: u32) -> anyhow::Result<Value> {
    stage.client.apply(&Shape::Linear(1).manifest(0)).await?;
    stage.hire().await?;
    let durability = stage.client.store_line().await?;
    let (before, since): (Usage, Instant) = (stage.used()?.coordinator, Instant::now());
    tokio::time::sleep(Duration::from_secs(u64::from(seconds))).await;
    let (used, took) = (stage.used()?.coordinator - before, since.elapsed());
    stage.strike().await?;
    Ok(json!({
        "scenario": "idle",
        "seconds": took.as_secs_f64(),
        "cpu_percent_of_a_core": used.cpu.as_secs_f64() / took.as_secs_f64() * 100.0,
        "resident_bytes": used.resident_bytes,
        "durability": durability,
    }))
}

/// Two runs beside each other.
fn compared(before: Value, after: Value, mut report: Value) -> Value {
    let ratio = |at: &str| {
        let (before, after) = (before.pointer(at)?.as_f64()?, after.pointer(at)?.as_f64()?);
        (before > 0.0).then_some(after / before)
    };
    report["throughput_ratio"] = json!(ratio("/steps_per_second"));
    report["cpu_ratio"] = json!(ratio("/cpu_us_per_step/coordinator"));
    report["before"] = before;
    report["after"] = after;
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_are_compared_by_throughput_and_by_cost() {
        let run = |steps: f64, cpu: f64| json!({ "steps_per_second": steps, "cpu_us_per_step": { "coordinator": cpu } });
        let report = compared(run(1_000.0, 40.0), run(900.0, 44.0), json!({}));
        assert_eq!((&report["throughput_ratio"], &report["cpu_ratio"]), (&json!(0.9), &json!(1.1)));
        assert_eq!(compared(run(0.0, 0.0), run(1.0, 1.0), json!({}))["throughput_ratio"], Value::Null);
    }
}
