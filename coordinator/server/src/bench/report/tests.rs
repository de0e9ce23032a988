//! What people read, for fixed figures.

use super::text;
use serde_json::{Value, json};

fn place(mut report: Value) -> Value {
    let place = json!({
        "durable": true,
        "durability": "sqlite 3.51.3, WAL, synchronous=FULL",
        "database": "sqlite",
        "bus": "embedded listener",
        "machine": { "cpu": "Some Processor", "cores": 2, "memory_bytes": 8_000_000_000_u64, "kernel": "6.1.0", "load_before": 0.1 },
        "build": "release",
    });
    let (Value::Object(report), Value::Object(place)) = (&mut report, place) else { panic!("objects") };
    report.extend(place);
    Value::Object(std::mem::take(report))
}

fn throughput() -> Value {
    json!({
        "scenario": "throughput", "workflow": "linear:4", "tasks": 5_000, "steps": 20_000, "payload_bytes": 256, "workers": 1,
        "worker_language": "rust", "slots": 256, "seconds": 1.25, "tasks_per_second": 4_000.0, "steps_per_second": 16_000.0,
        "step_overhead_ms": { "p50": 1.25, "p90": 2.5, "p99": 4.75, "p999": 9.0, "samples": 15_000 },
        "commit_ms_mean": null, "dispatch_without_commit_ms_mean": null, "api_reads": null,
        "cpu_us_per_step": { "coordinator": 40.4, "workers": 12.0, "load": 3.0, "database": null, "nats": null },
        "resident_bytes": 61_500_000, "bytes_written_per_step": 1_234.5,
    })
}

#[test]
fn a_run_of_the_load() {
    insta::assert_snapshot!(text(&place(throughput())));
}

#[test]
fn a_run_with_everything_that_can_be_shown() {
    let mut report = place(throughput());
    report["api_reads"] = json!({ "per_second": 50.0, "took_ms": { "p50": 1.0, "p90": 2.0, "p99": 3.0, "p999": 4.0, "samples": 60 } });
    report["commit_ms_mean"] = json!(0.75);
    report["dispatch_without_commit_ms_mean"] = json!(0.5);
    report["cpu_us_per_step"]["database"] = json!(31.0);
    report["cpu_us_per_step"]["nats"] = json!(4.0);
    insta::assert_snapshot!(text(&report));
}

#[test]
fn a_run_without_durability_says_so_first() {
    let mut report = place(throughput());
    report["durable"] = json!(false);
    let shown = text(&report);
    assert!(shown.starts_with("NOT DURABLE: "), "{shown}");
}

#[test]
fn the_other_scenarios() {
    let two = |more: Value| {
        let mut report = json!({ "before": throughput(), "after": throughput(), "throughput_ratio": 0.934, "cpu_ratio": 1.02 });
        let (Value::Object(report), Value::Object(more)) = (&mut report, more) else { panic!("objects") };
        report.extend(more);
        place(Value::Object(std::mem::take(report)))
    };
    let history = two(json!({ "scenario": "history", "stored_steps": 10_000_000, "stored_in_seconds": 81.25 }));
    let waiting = two(json!({
        "scenario": "waiting", "waiting_tasks": 10_000, "accepted_in_seconds": 1.5, "resident_bytes_before": 40_000_000,
        "resident_bytes_waiting": 41_000_000, "resident_bytes_per_task": 100.0,
    }));
    let restart = place(json!({
        "scenario": "restart", "active_tasks": 250_000, "ready_after_seconds": 1.25, "dispatching_after_seconds": 1.5,
        "cpu_seconds_until_ready": 1.1, "resident_bytes": 210_000_000,
    }));
    let idle = place(json!({ "scenario": "idle", "seconds": 30.0, "cpu_percent_of_a_core": 0.2, "resident_bytes": 30_000_000 }));
    let all: Vec<String> = [history, waiting, restart, idle].iter().map(text).collect();
    insta::assert_snapshot!(all.join("\n\n"));
}
