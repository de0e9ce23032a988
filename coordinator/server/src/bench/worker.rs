//! The worker of the benchmark: does nothing, but notes how long after its predecessors' results it was started.
//!
//! Each result carries the instant at which its handler ended; the successor subtracts it from the instant at which it starts. Both are
//! the machine's wall clock, so the figure is true across processes of one machine.

use crate::args::BenchWorker;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use tasker_worker::{Context, StepError, Worker};

/// What every step gives.
#[derive(Debug, Serialize, Deserialize)]
struct Done {
    ended_at_us: u64,
    pad: String,
}

/// Runs until it is asked to stop, then writes its samples.
pub async fn run(given: BenchWorker) -> anyhow::Result<ExitCode> {
    let samples: Arc<Mutex<Vec<u32>>> = Arc::default();
    let (noted, pad) = (samples.clone(), "x".repeat(given.payload));
    let noop = move |_: Value, context: Context| {
        let (noted, pad) = (noted.clone(), pad.clone());
        async move {
            let started = now_us();
            if let Some(known) = latest(&context) {
                let waited = u32::try_from(started.saturating_sub(known)).unwrap_or(u32::MAX);
                noted.lock().unwrap_or_else(PoisonError::into_inner).push(waited);
            }
            let done = serde_json::to_value(Done { ended_at_us: now_us(), pad })
                .map_err(|error| StepError::permanent("bench", error.to_string()))?;
            Ok::<Value, StepError>(done)
        }
    };
    Worker::new("bench").nats_url(given.nats_url).slots(given.slots).step("bench.noop", noop).run().await?;
    let bytes: Vec<u8> = samples.lock().unwrap_or_else(PoisonError::into_inner).iter().flat_map(|sample| sample.to_le_bytes()).collect();
    std::fs::write(&given.samples, bytes)?;
    Ok(ExitCode::SUCCESS)
}

/// When the last predecessor ended; none for a first step.
fn latest(context: &Context) -> Option<u64> {
    let ends = context.dependencies().values().filter_map(|result| {
        let done: Done = serde_json::from_str(result.get()).ok()?;
        Some(done.ended_at_us)
    });
    ends.max()
}

fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The samples of one worker, in microseconds.
pub fn read_samples(file: &std::path::Path) -> anyhow::Result<Vec<u32>> {
    let bytes = std::fs::read(file)?;
    Ok(bytes.chunks_exact(4).map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect())
}
