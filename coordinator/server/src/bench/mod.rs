//! `tasker bench`: starts a coordinator, workers and load as processes of their own, and measures from stored and carried timestamps.
//!
//! Nothing is polled while something is measured: the time between a result and its successor's start is carried by the results themselves,
//! throughput is taken from what the journal says, and processor time and memory are the kernel's figures. Durability is the coordinator's
//! own, on unless `--without-durability` asks otherwise.
//!
//! Start reading at [`run`]; [`stage`] has the processes, [`measure`] one run of the load, [`scenarios`] what is built from it.

mod clock;
mod database;
pub mod given;
mod history;
mod load;
mod machine;
mod measure;
mod nats;
mod process;
mod programs;
mod progress;
mod report;
mod samples;
mod scenarios;
mod shape;
mod stage;
pub mod worker;

use anyhow::Context;
use given::Bench;
use serde_json::{Value, json};
use shape::Shape;
use stage::Stage;
use std::net::TcpListener;
use std::process::ExitCode;

/// Runs the benchmark and prints what it measured. An interrupt stops and removes everything that was started.
pub async fn run(given: Bench, output: tasker_cli::Format) -> anyhow::Result<ExitCode> {
    let shape: Shape = given.workflow.parse().map_err(|problem: String| anyhow::anyhow!("[bench.workflow_malformed]: {problem}"))?;
    let measured = measure(&given, shape);
    tokio::select! {
        report = measured => report::print(&report?, output),
        () = crate::coordinator::signal() => anyhow::bail!("[bench.failed]: interrupted; nothing was measured"),
    }
    Ok(ExitCode::SUCCESS)
}

async fn measure(given: &Bench, shape: Shape) -> anyhow::Result<Value> {
    if given.without_durability {
        eprintln!(
            "warning: --without-durability: the database is in memory, and a power cut would lose everything; these figures only compare"
        );
    }
    let machine = machine::facts();
    let stage = Stage::set(given).await?;
    let place = json!({
        "durable": !given.without_durability,
        "database": stage.database_name(),
        "bus": stage.bus_name(),
        "machine": machine,
        "build": if cfg!(debug_assertions) { "debug: figures are lower than a release build's" } else { "release" },
    });
    let report = if let Some(steps) = given.history {
        scenarios::history(stage, given, shape, steps as usize).await
    } else if let Some(tasks) = given.waiting {
        scenarios::waiting(stage, given, shape, tasks as usize).await
    } else if let Some(tasks) = given.restart {
        scenarios::restart(stage, given, shape, tasks as usize).await
    } else if let Some(seconds) = given.idle {
        scenarios::idle(stage, seconds).await
    } else {
        scenarios::throughput(stage, given, shape).await
    };
    let (mut report, Value::Object(place)) = (report?, place) else { unreachable!("it was made above") };
    report.as_object_mut().context("[bench.failed]: a report is an object")?.extend(place);
    Ok(report)
}

/// Below the ports that the kernel gives to outgoing connections, one of which could otherwise take a port between its choice and its use.
const PORTS: std::ops::Range<u16> = 15_000..32_000;

/// An address that nobody uses now, another at each call.
fn free_address() -> anyhow::Result<String> {
    use std::sync::atomic::{AtomicU32, Ordering};
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let count = u32::from(PORTS.end - PORTS.start);
    for _ in 0..count {
        // Runs beside each other begin at different places.
        let place = (std::process::id().wrapping_mul(97)).wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed)) % count;
        let port = PORTS.start + u16::try_from(place).context("[bench.failed]: no free port")?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(format!("127.0.0.1:{port}"));
        }
    }
    anyhow::bail!("[bench.failed]: no free port from {} to {}", PORTS.start, PORTS.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_addresses_are_never_the_same() {
        let (first, second) = (free_address().expect("a port"), free_address().expect("a port"));
        assert_ne!(first, second);
    }
}
