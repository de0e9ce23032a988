//! One task is one trace, across every process and language, whatever happens on the way: proven by a real OTLP receiver.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tasker_integration_tests::api::{Api, step};
use tasker_integration_tests::coordinator::{Coordinator, Setup, text};
use tasker_integration_tests::otlp::{Received, Receiver, Trace};
use tasker_integration_tests::process::Process;
use tasker_integration_tests::responder::{Reply, Responder};
use tasker_integration_tests::stage::{Language, Stage, on_stage};
use tasker_integration_tests::until::{SOON, until};

/// One step in each language, one after the other.
const TRIP: &str = "
name: trip
version: 1.4.0
systems: { rust_side: {}, python_side: {}, typescript_side: {} }
workflow_steps:
  - { name: one, owner: rust_side, capability: conformance.echo, input: { text: a, number: 1 } }
  - { name: two, owner: python_side, capability: conformance.sleep, depends_on: one, input: { ms: '${ task.input.ms }' } }
  - { name: three, owner: typescript_side, capability: conformance.echo, depends_on: two, input: { text: c, number: 3 } }
";

/// `submit`, `task trip`, and for each step itself, its request and its processing.
const TRIP_SPANS: usize = 2 + 3 * 3;

/// At its end a process may try once more to send its last spans, but not for long: whoever stopped it is waiting.
const LAST_EXPORT_MAX: Duration = Duration::from_secs(12);

const TRIP_TREE: &str = "\
submit (server, tasker)
  task trip (internal, tasker)
    step one (internal, tasker)
      publish conformance.echo (producer, tasker)
        process conformance.echo (consumer, rust_side)
    step two (internal, tasker)
      publish conformance.sleep (producer, tasker)
        process conformance.sleep (consumer, python_side)
    step three (internal, tasker)
      publish conformance.echo (producer, tasker)
        process conformance.echo (consumer, typescript_side)
";

/// A worker of each language, of the system named after it, exporting to the receiver.
async fn workers(stage: &Stage, coordinator: &Coordinator, receiver: &Receiver) -> Result<Vec<Process>> {
    let export = [("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint())];
    let mut workers = Vec::new();
    for language in Language::ALL {
        workers.push(coordinator.worker_with(stage, language, &format!("{}_side", language.name()), &export).await?);
    }
    Ok(workers)
}

/// Submits with the caller's own trace, or without one; returns the task's id and its trace.
async fn submit(api: &Api, workflow: &str, input: Value, traceparent: Option<&str>) -> Result<(String, String)> {
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(traceparent.map(|traceparent| ("traceparent", traceparent)));
    let body = json!({ "workflow": workflow, "input": input }).to_string().into_bytes();
    let answer = api.request(reqwest::Method::POST, "/v1/tasks", &headers, body).await?.ok()?;
    Ok((text(&answer, "id")?.to_owned(), text(&answer, "trace_id")?.to_owned()))
}

fn assert_attributes(span: &Received, expected: &[(&str, Value)]) -> Result<()> {
    for (name, value) in expected {
        ensure!(span.attributes.get(*name) == Some(value), "`{}` of `{}` should have {name} = {value}: {span:#?}", span.name, span.service);
    }
    Ok(())
}

/// What every span of a trip says about itself, and that each lies in time where the tree says.
fn assert_trip(trace: &Trace, id: &str) -> Result<()> {
    ensure!(trace.tree() == TRIP_TREE, "the tree should be\n{TRIP_TREE}but is\n{}", trace.tree());
    for span in trace.spans.iter() {
        assert_attributes(span, &[("tasker.task.id", json!(id)), ("tasker.namespace", json!("default"))])?;
        ensure!(span.end > span.start, "`{}` ends when it starts: {span:#?}", span.name);
        ensure!(!span.is_error && !span.attributes.contains_key("error.type"), "`{}` is marked as failed: {span:#?}", span.name);
    }
    let task = trace.only("task trip")?;
    assert_attributes(task, &[("tasker.workflow.name", json!("trip")), ("tasker.workflow.version", json!("1.4.0"))])?;
    let table = [
        ("one", "rust_side", "conformance.echo"),
        ("two", "python_side", "conformance.sleep"),
        ("three", "typescript_side", "conformance.echo"),
    ];
    for (name, system, capability) in table {
        let of_step = trace.only(&format!("step {name}"))?;
        let publish = *trace.children(&of_step.id).first().context("a publish span")?;
        let process = *trace.children(&publish.id).first().context("a process span")?;
        let about = [("tasker.step.name", json!(name)), ("tasker.system", json!(system)), ("tasker.capability.name", json!(capability))];
        for span in [of_step, publish, process] {
            assert_attributes(span, &about)?;
        }
        for (span, operation, kind) in [(publish, "publish", "send"), (process, "process", "process")] {
            assert_attributes(
                span,
                &[
                    ("messaging.system", json!("nats")),
                    ("messaging.operation.name", json!(operation)),
                    ("messaging.operation.type", json!(kind)),
                    ("messaging.destination.template", json!("tasker.v1.{namespace}.{system}.to.{session}")),
                    ("messaging.message.conversation_id", json!(id)),
                    ("tasker.attempt.number", json!(1)),
                ],
            )?;
        }
        // One machine, one clock: what is caused does not begin before its cause.
        ensure!(
            publish.start >= of_step.start && process.start >= publish.start,
            "`{name}` goes back in time:\n{publish:#?}\n{process:#?}"
        );
        ensure!(of_step.start >= task.start && of_step.end <= task.end, "`step {name}` is not inside its task");
    }
    Ok(())
}

#[test]
fn one_trace_spans_every_process_and_language() {
    on_stage(async |stage| {
        let receiver = Receiver::start().await?;
        let coordinator = Setup::embedded(stage).traced(&receiver).start(stage).await?;
        let api = coordinator.api.clone();
        let _workers = workers(stage, &coordinator, &receiver).await?;
        api.apply(TRIP).await?;
        let (id, trace_id) = submit(&api, "trip", json!({ "ms": 20 }), None).await?;
        let task = api.finished_as(&id, "succeeded").await?;
        ensure!(task["trace_id"] == trace_id.as_str(), "the trace of the answer is not that of the task: {task:#}");
        let trace = receiver.trace_of(&trace_id, TRIP_SPANS).await?;
        assert_trip(&trace, &id)?;
        ensure!(trace.only("submit")?.parent.is_empty(), "nobody called, so the trace begins with `submit`");
        Ok(())
    });
}

#[test]
fn a_caller_that_has_a_trace_finds_the_task_in_it() {
    on_stage(async |stage| {
        let receiver = Receiver::start().await?;
        let coordinator = Setup::embedded(stage).traced(&receiver).start(stage).await?;
        let api = coordinator.api.clone();
        let _workers = workers(stage, &coordinator, &receiver).await?;
        api.apply(TRIP).await?;
        let (trace_id, caller) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let (id, told) = submit(&api, "trip", json!({ "ms": 1 }), Some(&format!("00-{trace_id}-{caller}-01"))).await?;
        ensure!(told == trace_id, "the caller's trace was not continued");
        api.finished_as(&id, "succeeded").await?;
        let trace = receiver.trace_of(trace_id, TRIP_SPANS).await?;
        assert_trip(&trace, &id)?;
        ensure!(trace.only("submit")?.parent == caller, "`submit` is not a child of the caller's span: {:#?}", trace.only("submit")?);
        // What is not a trace is ignored, as the standard asks.
        let (id, told) = submit(&api, "trip", json!({ "ms": 1 }), Some("00-nonsense-01")).await?;
        ensure!(told.len() == 32 && told != trace_id, "{told}");
        api.finished_as(&id, "succeeded").await?;
        Ok(())
    });
}

#[test]
fn a_trace_survives_the_death_of_the_coordinator_in_mid_task() {
    on_stage(async |stage| {
        let receiver = Receiver::start().await?;
        let mut coordinator = Setup::embedded(stage).traced(&receiver).start(stage).await?;
        let api = coordinator.api.clone();
        let _workers = workers(stage, &coordinator, &receiver).await?;
        api.apply(TRIP).await?;
        let (id, trace_id) = submit(&api, "trip", json!({ "ms": 1500 }), None).await?;
        // Killed as soon as the second step is under way, with whatever its exporter had not sent yet.
        api.step_in(&id, "two", "running").await?;
        coordinator.kill_and_start(stage).await?;
        let task = api.finished_as(&id, "succeeded").await?;
        ensure!(task["trace_id"] == trace_id.as_str(), "the task has another trace after the restart: {task:#}");
        ensure!(step(&task, "two")?["attempt"] == 1, "the worker held the attempt, so it was not repeated: {task:#}");
        let trace = receiver.trace_of(&trace_id, TRIP_SPANS).await?;
        assert_trip(&trace, &id)
    });
}

#[test]
fn failures_and_retries_are_marked_where_they_happened() {
    on_stage(async |stage| {
        let receiver = Receiver::start().await?;
        let coordinator = Setup::embedded(stage).traced(&receiver).start(stage).await?;
        let api = coordinator.api.clone();
        let _workers = workers(stage, &coordinator, &receiver).await?;
        for language in Language::ALL {
            let side = format!("{}_side", language.name());
            let manifest = format!(
                "name: fall_{side}\nversion: 1.0.0\nsystems: {{ {side}: {{}} }}\nworkflow_steps:\n  \
                 - {{ name: charge, owner: {side}, capability: conformance.fail, retry: {{ kind: fixed, base: 1ms, jitter: none, max_attempts: 2 }} }}\n"
            );
            api.apply(&manifest).await?;
            let (id, trace_id) = submit(&api, &format!("fall_{side}"), json!({ "kind": "retryable", "code": "bank_busy" }), None).await?;
            api.finished_as(&id, "failed").await?;
            let trace = receiver.trace_of(&trace_id, 7).await?;
            let expected = format!(
                "submit (server, tasker)\n  task fall_{side} (internal, tasker) !bank_busy\n    step charge (internal, tasker) !bank_busy\n\
                 {attempt}{attempt}",
                attempt = format_args!(
                    "      publish conformance.fail (producer, tasker)\n        process conformance.fail (consumer, {side}) !bank_busy\n"
                )
            );
            ensure!(trace.tree() == expected, "{language:?}: the tree should be\n{expected}but is\n{}", trace.tree());
            let numbers = |name: &str| -> Vec<Value> {
                let mut spans: Vec<&Received> = trace.spans.iter().filter(|span| span.name == name).collect();
                spans.sort_by_key(|span| span.start);
                spans.into_iter().filter_map(|span| span.attributes.get("tasker.attempt.number").cloned()).collect()
            };
            ensure!(numbers("publish conformance.fail") == [json!(1), json!(2)], "{language:?}: {:#?}", trace.spans);
            ensure!(numbers("process conformance.fail") == [json!(1), json!(2)], "{language:?}: {:#?}", trace.spans);
        }
        Ok(())
    });
}

#[test]
fn a_responder_without_an_sdk_is_handed_the_trace() {
    on_stage(async |stage| {
        let receiver = Receiver::start().await?;
        let coordinator = Setup::embedded(stage).traced(&receiver).start(stage).await?;
        let api = coordinator.api.clone();
        api.apply(
            "name: call\nversion: 1.0.0\nsystems: { plain: {} }\nworkflow_steps: [{ name: ask, owner: plain, capability: stock.check }]\n",
        )
        .await?;
        let responder = Responder::start(&coordinator.setup().worker_url(), "plain", "stock.check", |_| Reply::Result(json!({}))).await?;
        let (id, trace_id) = submit(&api, "call", json!({}), None).await?;
        api.finished_as(&id, "succeeded").await?;
        let trace = receiver.trace_of(&trace_id, 4).await?;
        let publish = trace.only("publish stock.check")?;
        assert_attributes(publish, &[("messaging.destination.template", json!("tasker.v1.{namespace}.{system}.call.{capability}"))])?;
        let handed = responder.asked().first().context("one request")?.header("traceparent").to_owned();
        ensure!(handed == format!("00-{trace_id}-{}-01", publish.id), "{handed}");
        Ok(())
    });
}

#[test]
fn an_absent_receiver_delays_no_task() {
    on_stage(async |stage| {
        let nobody = format!("http://127.0.0.1:{}", tasker_integration_tests::ports::free());
        let mut coordinator = Setup::embedded(stage).with("TASKER_OTLP_ENDPOINT", &nobody).start(stage).await?;
        let api = coordinator.api.clone();
        api.apply("name: quick\nversion: 1.0.0\nsystems: { only: {} }\nworkflow_steps: [{ name: echo, owner: only, capability: conformance.echo }]\n").await?;
        let export = [("OTEL_EXPORTER_OTLP_ENDPOINT", nobody.as_str())];
        for language in Language::ALL {
            let mut worker = coordinator.worker_with(stage, language, "only", &export).await?;
            let id = api.submit("quick", json!({ "text": "x", "number": 1 })).await?;
            let task = api.finished_as(&id, "succeeded").await?;
            ensure!(task["duration_ms"].as_i64() < Some(5_000), "{language:?}: {task:#}");
            let asked = Instant::now();
            ensure!(worker.stop(SOON).await? == 0, "the worker in {language:?} did not stop with success");
            println!("the worker in {language:?} stopped in {:?}", asked.elapsed());
            ensure!(asked.elapsed() < LAST_EXPORT_MAX, "the worker in {language:?} took {:?} to stop", asked.elapsed());
        }
        let asked = Instant::now();
        coordinator.stop().await?;
        ensure!(asked.elapsed() < LAST_EXPORT_MAX, "the coordinator took {:?} to stop", asked.elapsed());
        Ok(())
    });
}

#[test]
fn log_lines_of_every_language_carry_the_ids_of_the_task() {
    on_stage(async |stage| {
        let receiver = Receiver::start().await?;
        let coordinator = Setup::embedded(stage).traced(&receiver).start(stage).await?;
        let api = coordinator.api.clone();
        let workers = workers(stage, &coordinator, &receiver).await?;
        let steps: String = Language::ALL
            .iter()
            .map(|language| {
                let name = language.name();
                format!("  - {{ name: {name}_step, owner: {name}_side, capability: conformance.log, input: {{ text: '${{ task.input.text }}' }} }}\n")
            })
            .collect();
        api.apply(&format!("name: diary\nversion: 1.0.0\nsystems: {{ rust_side: {{}}, python_side: {{}}, typescript_side: {{}} }}\nworkflow_steps:\n{steps}")).await?;
        let (id, trace_id) = submit(&api, "diary", json!({ "text": "a line for the diary" }), None).await?;
        api.finished_as(&id, "succeeded").await?;
        let trace = receiver.trace_of(&trace_id, 2 + 3 * 3).await?;
        for (language, worker) in Language::ALL.iter().zip(&workers) {
            let line = until(&format!("the line of {language:?}"), SOON, async || {
                let lines = worker.log().lines().into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
                Ok(lines.into_iter().find(|line| line["message"] == "a line for the diary"))
            })
            .await?;
            let name = language.name();
            let process = trace.spans.iter().find(|span| span.service == format!("{name}_side")).context("its process span")?;
            let expected = [
                ("task_id", json!(id)),
                ("trace_id", json!(trace_id)),
                ("span_id", json!(process.id)),
                ("step", json!(format!("{name}_step"))),
                ("attempt", json!(1)),
                ("level", json!("info")),
            ];
            for (member, value) in expected {
                ensure!(line[member] == value, "{language:?}: `{member}` should be {value}: {line:#}");
            }
            ensure!(line["timestamp"].as_str().is_some_and(|at| at.parse::<jiff::Timestamp>().is_ok()), "{language:?}: {line:#}");
        }
        // The coordinator writes the same fields in the same words.
        let lines = coordinator.process.log().lines();
        for line in lines.iter().filter(|line| line.starts_with('{')) {
            let line: Value = serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
            let level = line["level"].as_str().unwrap_or_default();
            ensure!(["debug", "info", "warn", "error"].contains(&level), "{line:#}");
            ensure!(line["timestamp"].is_string() && line["message"].is_string(), "{line:#}");
        }
        Ok(())
    });
}
