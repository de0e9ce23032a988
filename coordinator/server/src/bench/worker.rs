//! The Rust worker of the benchmark: does nothing, but notes how long after its predecessors' results it was started.
//!
//! Each result carries the instant at which its handler ended; the successor subtracts it from the instant at which it starts. Both are
//! the machine's monotonic clock, so the figure is true across processes of one machine. `workers/` has the same in other languages.

use super::clock::monotonic_us;
use super::given::BenchWorker;
use super::samples::Samples;
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use tasker_worker::{Context, StepError, Worker};

/// What every step gives.
#[derive(Debug, Serialize, Deserialize)]
struct Done {
    ended_at_us: u64,
    pad: String,
}

/// Runs until it is asked to stop, then writes its samples.
pub async fn run(given: BenchWorker) -> anyhow::Result<ExitCode> {
    let samples: Arc<Mutex<Samples>> = Arc::default();
    let (noted, pad) = (samples.clone(), "x".repeat(given.payload));
    let noop = move |_: Value, context: Context| {
        let (noted, pad) = (noted.clone(), pad.clone());
        async move {
            let started = monotonic_us();
            let known = latest(&context);
            {
                let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
                noted.first_start_us.get_or_insert(started);
                noted.waited_us.extend(known.map(|known| u32::try_from(started.saturating_sub(known)).unwrap_or(u32::MAX)));
            }
            let done = serde_json::to_value(Done { ended_at_us: monotonic_us(), pad })
                .map_err(|error| StepError::permanent("bench", error.to_string()))?;
            Ok::<Value, StepError>(done)
        }
    };
    Worker::new("bench").nats_url(given.nats_url).slots(given.slots).step("bench.noop", noop).run().await?;
    let samples = samples.lock().unwrap_or_else(PoisonError::into_inner);
    samples.write(&given.samples).with_context(|| format!("[bench.failed]: {}", given.samples.display()))?;
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
