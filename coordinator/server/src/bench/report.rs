//! What was measured, for people and for programs.

use serde_json::Value;
use std::fmt::Write;

/// Prints a report.
pub fn print(report: &Value, output: tasker_cli::Format) {
    match output {
        tasker_cli::Format::Table => out!("{}", text(report)),
        _ => out!("{report:#}"),
    }
}

/// The report as a table.
fn text(report: &Value) -> String {
    let mut text = String::new();
    if report["durable"] == false {
        text.push_str("NOT DURABLE: the database is in memory, by --without-durability. These figures compare; they promise nothing.\n");
    }
    match report["scenario"].as_str().unwrap_or_default() {
        "throughput" => throughput(&mut text, report),
        "history" => {
            let _ = writeln!(text, "{} stored steps, written in {} s", report["stored_steps"], number(report, "/stored_in_seconds", 1));
            beside(&mut text, report, "empty database", "/before", "behind them", "/after");
        }
        "waiting" => {
            let _ =
                writeln!(text, "{} tasks that sleep, accepted in {} s", report["waiting_tasks"], number(report, "/accepted_in_seconds", 1));
            let _ = writeln!(
                text,
                "  coordinator     {} MB before   {} MB with them   {} B for each",
                megabytes(report, "/resident_bytes_before"),
                megabytes(report, "/resident_bytes_waiting"),
                number(report, "/resident_bytes_per_task", 0)
            );
            beside(&mut text, report, "none waiting", "/before", "beside them", "/after");
        }
        "restart" => restart(&mut text, report),
        "idle" => {
            let _ = writeln!(text, "{} s with one worker and nothing to do", number(report, "/seconds", 0));
            let _ = writeln!(
                text,
                "  coordinator     {} % of a core   {} MB resident",
                number(report, "/cpu_percent_of_a_core", 2),
                megabytes(report, "/resident_bytes")
            );
        }
        other => {
            let _ = writeln!(text, "{other}: {report:#}");
        }
    }
    place(&mut text, report);
    text.truncate(text.trim_end().len());
    text
}

fn throughput(text: &mut String, report: &Value) {
    let _ = writeln!(
        text,
        "{} tasks of {} in {} s, {} B payload, {} {} worker(s) with {} slots",
        report["tasks"],
        word(report, "/workflow"),
        number(report, "/seconds", 2),
        report["payload_bytes"],
        report["workers"],
        word(report, "/worker_language"),
        report["slots"]
    );
    let _ = writeln!(
        text,
        "  throughput      {} tasks/s   {} steps/s",
        number(report, "/tasks_per_second", 0),
        number(report, "/steps_per_second", 0)
    );
    percentiles(text, "step overhead   ", report, "/step_overhead_ms");
    let without = "/dispatch_without_commit_ms_mean";
    if !report.pointer(without).is_none_or(Value::is_null) {
        let (commit, dispatch) = (number(report, "/commit_ms_mean", 2), number(report, without, 2));
        let _ = writeln!(text, "  of that         commit {commit} ms   the rest {dispatch} ms   (means)");
    }
    if report["api_reads"].is_object() {
        percentiles(text, "API reads       ", report, "/api_reads/took_ms");
    }
    let mut parts = Vec::new();
    for (name, used) in report["cpu_us_per_step"].as_object().into_iter().flatten() {
        if let Some(used) = used.as_f64() {
            parts.push(format!("{name} {used:.0} µs"));
        }
    }
    let _ = writeln!(text, "  cpu per step    {}", parts.join("   "));
    let _ = writeln!(
        text,
        "  coordinator     {} MB resident   {} B written per step",
        megabytes(report, "/resident_bytes"),
        number(report, "/bytes_written_per_step", 0)
    );
}

fn beside(text: &mut String, report: &Value, before: &str, at_before: &str, after: &str, at_after: &str) {
    for (name, at) in [(before, at_before), (after, at_after)] {
        let (steps, cpu) =
            (number(report, &format!("{at}/steps_per_second"), 0), number(report, &format!("{at}/cpu_us_per_step/coordinator"), 0));
        let overhead = number(report, &format!("{at}/step_overhead_ms/p99"), 2);
        let _ = writeln!(text, "  {name:<16}{steps} steps/s   coordinator {cpu} µs per step   overhead p99 {overhead} ms");
    }
    let _ = writeln!(
        text,
        "  that is         {} % of the throughput   {} % of the processor time per step",
        percent(report, "/throughput_ratio"),
        percent(report, "/cpu_ratio")
    );
}

fn restart(text: &mut String, report: &Value) {
    let _ = writeln!(text, "{} active tasks, killed, and started again", report["active_tasks"]);
    let _ = writeln!(
        text,
        "  from the start  ready after {} s   first step at a worker after {} s",
        number(report, "/ready_after_seconds", 2),
        number(report, "/dispatching_after_seconds", 2)
    );
    let _ = writeln!(
        text,
        "  coordinator     {} MB resident   {} s of processor time until ready",
        megabytes(report, "/resident_bytes"),
        number(report, "/cpu_seconds_until_ready", 2)
    );
}

fn place(text: &mut String, report: &Value) {
    let _ = writeln!(text, "  durability      {}", word(report, "/durability"));
    let _ = writeln!(text, "  database        {}   bus {}", word(report, "/database"), word(report, "/bus"));
    let _ = writeln!(
        text,
        "  machine         {} × {}   Linux {}   load before {}   build {}",
        report["machine"]["cores"],
        word(report, "/machine/cpu"),
        word(report, "/machine/kernel"),
        number(report, "/machine/load_before", 1),
        word(report, "/build")
    );
}

fn percentiles(text: &mut String, name: &str, report: &Value, at: &str) {
    let parts = [("p50", "p50"), ("p90", "p90"), ("p99", "p99"), ("p99.9", "p999")];
    let parts = parts.map(|(shown, key)| format!("{shown} {} ms", number(report, &format!("{at}/{key}"), 2)));
    let _ = writeln!(text, "  {name}{}", parts.join("   "));
}

fn number(report: &Value, at: &str, digits: usize) -> String {
    report.pointer(at).and_then(Value::as_f64).map_or_else(|| "–".to_owned(), |number| format!("{number:.digits$}"))
}

fn megabytes(report: &Value, at: &str) -> String {
    report.pointer(at).and_then(Value::as_f64).map_or_else(|| "–".to_owned(), |bytes| format!("{:.1}", bytes / 1e6))
}

fn percent(report: &Value, at: &str) -> String {
    report.pointer(at).and_then(Value::as_f64).map_or_else(|| "–".to_owned(), |ratio| format!("{:.0}", ratio * 100.0))
}

fn word<'r>(report: &'r Value, at: &str) -> &'r str {
    report.pointer(at).and_then(Value::as_str).unwrap_or("unknown")
}

#[cfg(test)]
mod tests;
