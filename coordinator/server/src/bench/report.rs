//! What was measured.

use super::process::Usage;
use super::shape::Shape;
use crate::args::Bench;
use serde_json::{Value, json};
use std::time::Duration;

/// Every figure, ready to be printed.
pub struct Report(Value);

impl Report {
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        given: &Bench,
        shape: &Shape,
        tasks: usize,
        steps: usize,
        span: Duration,
        mut samples: Vec<u32>,
        before: &(Usage, Vec<Usage>),
        after: &(Usage, Vec<Usage>),
        durability: String,
    ) -> Self {
        samples.sort_unstable();
        let percentile = |share: f64| {
            let place = ((samples.len() as f64 * share) as usize).min(samples.len().saturating_sub(1));
            samples.get(place).map_or(0.0, |micros| f64::from(*micros) / 1_000.0)
        };
        let seconds = span.as_secs_f64();
        let cpu = |before: &Usage, after: &Usage| (after.cpu - before.cpu).as_secs_f64() * 1e6 / steps as f64;
        let coordinator = cpu(&before.0, &after.0);
        let workers: f64 = before.1.iter().zip(&after.1).map(|(before, after)| cpu(before, after)).sum();
        let machine = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = machine
            .lines()
            .find_map(|line| line.strip_prefix("model name"))
            .map_or("unknown", |line| line.trim_start_matches([' ', '\t', ':']));
        Self(json!({
            "workflow": given.workflow,
            "tasks": tasks,
            "steps": steps,
            "steps_per_task": shape.steps(),
            "payload_bytes": given.payload,
            "workers": given.workers,
            "slots": given.slots,
            "in_flight": given.in_flight,
            "rate": given.rate,
            "seconds": seconds,
            "tasks_per_second": tasks as f64 / seconds,
            "steps_per_second": steps as f64 / seconds,
            "step_overhead_ms": {
                "p50": percentile(0.50), "p90": percentile(0.90), "p99": percentile(0.99), "p999": percentile(0.999),
                "samples": samples.len(),
            },
            "cpu_us_per_step": { "coordinator": coordinator, "workers": workers },
            "resident_bytes": after.0.resident_bytes,
            "bytes_written_per_step": (after.0.written_bytes - before.0.written_bytes) as f64 / steps as f64,
            "durability": durability,
            "bus": given.nats_url.as_deref().unwrap_or("embedded listener"),
            "machine": { "cpu": model, "cores": std::thread::available_parallelism().map_or(0, usize::from) },
            "build": if cfg!(debug_assertions) { "debug: figures are lower than a release build's" } else { "release" },
        }))
    }

    pub fn print(&self, output: tasker_cli::Format) {
        let report = &self.0;
        if !matches!(output, tasker_cli::Format::Table) {
            out!("{report:#}");
            return;
        }
        let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64).unwrap_or(0.0);
        let text = |pointer: &str| report.pointer(pointer).and_then(Value::as_str).unwrap_or("").to_owned();
        out!(
            "{} tasks of {} in {:.2} s, {} B payload, {} worker(s) with {} slots",
            report["tasks"],
            text("/workflow"),
            number("/seconds"),
            report["payload_bytes"],
            report["workers"],
            report["slots"]
        );
        out!("  throughput      {:>10.0} tasks/s   {:>10.0} steps/s", number("/tasks_per_second"), number("/steps_per_second"));
        out!(
            "  step overhead   p50 {:.2} ms   p90 {:.2} ms   p99 {:.2} ms   p99.9 {:.2} ms",
            number("/step_overhead_ms/p50"),
            number("/step_overhead_ms/p90"),
            number("/step_overhead_ms/p99"),
            number("/step_overhead_ms/p999")
        );
        out!(
            "  cpu per step    coordinator {:.0} µs   workers {:.0} µs",
            number("/cpu_us_per_step/coordinator"),
            number("/cpu_us_per_step/workers")
        );
        out!(
            "  coordinator     {:.0} MB resident   {:.0} B written per step",
            number("/resident_bytes") / 1e6,
            number("/bytes_written_per_step")
        );
        out!("  durability      {}", text("/durability"));
        out!("  bus             {}", text("/bus"));
        out!("  machine         {} × {}   build {}", report["machine"]["cores"], text("/machine/cpu"), text("/build"));
    }
}
