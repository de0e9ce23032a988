//! `tasker bench` runs from end to end, and what it prints for programs has the keys that are promised.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::process::Command;
use tasker_integration_tests::place;

/// Runs it in the repository, so that it finds the SDKs; gives its JSON.
fn bench(arguments: &[&str]) -> Result<Value> {
    let output =
        Command::new(place::tasker()).arg("bench").args(arguments).args(["-o", "json"]).current_dir(place::repository()).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "tasker bench {arguments:?} ended with {}:\n{said}", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("not JSON: {}", String::from_utf8_lossy(&output.stdout)))
}

fn expect_numbers(report: &Value, pointers: &[&str]) -> Result<()> {
    for pointer in pointers {
        let number = report.pointer(pointer).and_then(Value::as_f64);
        ensure!(number.is_some_and(|number| number > 0.0), "{pointer} is no number above 0 in {report:#}");
    }
    Ok(())
}

const FIGURES: [&str; 9] = [
    "/tasks_per_second",
    "/steps_per_second",
    "/step_overhead_ms/p50",
    "/step_overhead_ms/p90",
    "/step_overhead_ms/p99",
    "/step_overhead_ms/p999",
    "/cpu_us_per_step/coordinator",
    "/resident_bytes",
    "/machine/cores",
];

#[test]
fn a_run_of_the_load_has_every_promised_key_and_is_durable() -> Result<()> {
    let report = bench(&["--workflow", "linear:3", "--tasks", "200", "--in-flight", "50", "--reads", "20"])?;
    expect_numbers(&report, &FIGURES)?;
    ensure!(report["steps"] == 600 && report["step_overhead_ms"]["samples"] == 400, "{report:#}");
    ensure!(report["durable"] == true && report["durability"].as_str().is_some_and(|line| line.contains("synchronous=FULL")), "{report:#}");
    expect_numbers(&report, &["/api_reads/took_ms/p99"])
}

#[test]
fn the_other_shapes_and_languages_run() -> Result<()> {
    for arguments in
        [["--workflow", "diamond:3", "--worker-language", "python"], ["--workflow", "for_each:20", "--worker-language", "typescript"]]
    {
        let report = bench(&[&["--tasks", "20", "--in-flight", "10", "--payload", "64"], arguments.as_slice()].concat())?;
        expect_numbers(&report, &["/steps_per_second"])?;
        // A run this short may use less processor time than the kernel counts.
        ensure!(report["cpu_us_per_step"]["workers"].is_number(), "{report:#}");
    }
    Ok(())
}

#[test]
fn a_private_postgresql_and_a_nats_server_are_started_and_gone_afterwards() -> Result<()> {
    let report = bench(&["--tasks", "40", "--in-flight", "20", "--database", "postgres", "--nats", "own"])?;
    expect_numbers(&report, &["/steps_per_second"])?;
    ensure!(report["cpu_us_per_step"]["database"].is_number(), "{report:#}");
    ensure!(report["database"] == "postgres" && report["bus"] == "nats-server, own", "{report:#}");
    Ok(())
}

#[test]
fn speed_behind_a_history_and_beside_sleepers_is_compared_in_one_run() -> Result<()> {
    let few = ["--tasks", "100", "--in-flight", "50"];
    let history = bench(&[few.as_slice(), &["--history", "5000"]].concat())?;
    expect_numbers(&history, &["/before/steps_per_second", "/after/steps_per_second", "/throughput_ratio"])?;
    ensure!(history["stored_steps"] == 5000, "{history:#}");
    let waiting = bench(&[few.as_slice(), &["--waiting", "500"]].concat())?;
    expect_numbers(&waiting, &["/resident_bytes_waiting", "/throughput_ratio"])
}

#[test]
fn a_killed_coordinator_is_timed_until_it_gives_out_work_again() -> Result<()> {
    let report = bench(&["--restart", "500"])?;
    expect_numbers(&report, &["/ready_after_seconds", "/dispatching_after_seconds", "/resident_bytes"])
}

#[test]
fn what_cannot_be_measured_is_refused_with_its_reason() -> Result<()> {
    for (arguments, expected) in [
        (["--workflow", "star:3"], "bench.workflow_malformed"),
        (["--database", "oracle"], "bench.unsupported"),
        (["--nats", "carrier-pigeon"], "bench.unsupported"),
    ] {
        let output = Command::new(place::tasker()).arg("bench").args(arguments).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(!output.status.success() && said.contains(expected), "{arguments:?}: {said}");
    }
    Ok(())
}

#[test]
fn a_missing_program_is_named_with_its_cure() -> Result<()> {
    let nowhere = tempfile::tempdir()?;
    let output = Command::new(place::tasker())
        .args(["bench", "--worker-language", "typescript", "--tasks", "1"])
        .current_dir(&nowhere)
        .env("PATH", nowhere.path())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(said.contains("[bench.program_missing]") && said.contains("node"), "{said}");
    Ok(())
}

#[test]
fn without_durability_is_said_loudly() -> Result<()> {
    let output = Command::new(place::tasker()).args(["bench", "--tasks", "10", "--without-durability"]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    ensure!(String::from_utf8_lossy(&output.stdout).starts_with("NOT DURABLE"), "{}", String::from_utf8_lossy(&output.stdout));
    ensure!(String::from_utf8_lossy(&output.stderr).contains("a power cut would lose everything"));
    Ok(())
}
