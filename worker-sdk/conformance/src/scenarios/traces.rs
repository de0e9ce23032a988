//! One trace from the coordinator through the handler.

use anyhow::{Context as _, Result, ensure};
use opentelemetry_proto::tonic::trace::v1::{span::SpanKind, status::StatusCode};
use serde_json::{Value, json};

use crate::otlp::Exported;
use crate::scenario::{Setup, scenarios};
use crate::stage::{Stage, WAIT, failure, success};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const TRACED: Setup = Setup { traces: true, ..Setup::PLAIN };

scenarios! { "traces";
    a_consumer_span_continues_the_producer_span with TRACED,
    the_span_has_the_attributes_of_the_protocol with TRACED,
    a_failure_marks_its_span with TRACED,
    the_handlers_log_lines_name_the_exported_span with TRACED,
    spans_are_exported_before_the_worker_leaves with TRACED,
    an_attempt_without_a_trace_is_run_all_the_same,
}

/// Runs one traced attempt and returns its exported span.
async fn traced(stage: &mut Stage, capability: &str, input: Value) -> Result<Exported> {
    stage.join().await?;
    let mut request = stage.request(capability, input);
    request.traceparent = format!("00-{TRACE}-{PARENT}-01");
    request.tracestate = "vendor=42".to_owned();
    stage.send([&request]).await?;
    stage.reply(&request).await?;
    exported(stage, capability).await
}

async fn exported(stage: &Stage, capability: &str) -> Result<Exported> {
    let name = format!("process {capability}");
    let spans = stage.spans.as_ref().context("this scenario receives spans")?;
    spans.span(&format!("a span `{name}`"), WAIT, |exported| exported.span.name == name).await
}

async fn a_consumer_span_continues_the_producer_span(stage: &mut Stage) -> Result<()> {
    let exported = traced(stage, "conformance.echo", json!({ "text": "x", "number": 1 })).await?;
    let span = &exported.span;
    ensure!(hex(&span.trace_id) == TRACE, "the trace is {}, not {TRACE}", hex(&span.trace_id));
    ensure!(hex(&span.parent_span_id) == PARENT, "the parent is {}, not {PARENT}", hex(&span.parent_span_id));
    ensure!(span.kind() == SpanKind::Consumer, "the kind is {}", span.kind().as_str_name());
    ensure!(span.end_time_unix_nano >= span.start_time_unix_nano, "the span ends before it starts");
    ensure!(exported.service == stage.place.system, "service.name is `{}`, not `{}`", exported.service, stage.place.system);
    Ok(())
}

async fn the_span_has_the_attributes_of_the_protocol(stage: &mut Stage) -> Result<()> {
    let attributes = traced(stage, "conformance.echo", json!({ "text": "x", "number": 1 })).await?.attributes();
    let expected = [
        ("messaging.system", "nats"),
        ("messaging.operation.name", "process"),
        ("messaging.operation.type", "process"),
        ("messaging.destination.template", "tasker.v1.{namespace}.{system}.to.{session}"),
        ("messaging.message.conversation_id", "task-1"),
        ("tasker.task.id", "task-1"),
        ("tasker.step.name", "step[1]"),
        ("tasker.attempt.number", "1"),
        ("tasker.capability.name", "conformance.echo"),
        ("tasker.system", &stage.place.system),
        ("tasker.namespace", &stage.place.namespace),
    ];
    for (name, value) in expected {
        let actual = attributes.get(name).map(String::as_str);
        ensure!(actual == Some(value), "`{name}` is {actual:?}, not `{value}`");
    }
    ensure!(!attributes.contains_key("error.type"), "a success has an error.type");
    Ok(())
}

async fn a_failure_marks_its_span(stage: &mut Stage) -> Result<()> {
    let exported = traced(stage, "conformance.fail", json!({ "kind": "permanent", "code": "card_declined", "message": "no" })).await?;
    let error = exported.attributes().get("error.type").cloned();
    ensure!(error.as_deref() == Some("card_declined"), "error.type is {error:?}, not `card_declined`");
    let status = exported.span.status.context("the span has no status")?;
    ensure!(status.code() == StatusCode::Error, "the span's status is {}", status.code().as_str_name());
    Ok(())
}

async fn the_handlers_log_lines_name_the_exported_span(stage: &mut Stage) -> Result<()> {
    let exported = traced(stage, "conformance.log", json!({ "text": "find me" })).await?;
    let line = stage.worker.json_line("JSON line with the handler's text", WAIT, |line| line["message"] == "find me").await?;
    ensure!(line["trace_id"] == TRACE, "trace_id is {}", line["trace_id"]);
    let span = hex(&exported.span.span_id);
    ensure!(line["span_id"] == span.as_str(), "span_id is {}, the exported span is {span}", line["span_id"]);
    Ok(())
}

async fn spans_are_exported_before_the_worker_leaves(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let mut request = stage.request("conformance.sleep", json!({ "ms": 600 }));
    request.traceparent = format!("00-{TRACE}-{PARENT}-01");
    stage.send([&request]).await?;
    stage.beat("that holds the attempt", stage.mark(), |beat| !beat.held.is_empty()).await?;
    stage.worker.signal(crate::process::Signal::Terminate)?;
    let status = stage.worker.exit(WAIT).await?;
    ensure!(status.success(), "the worker ended with {status}");
    exported(stage, "conformance.sleep").await.map(|_| ())
}

async fn an_attempt_without_a_trace_is_run_all_the_same(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    for traceparent in ["", "not a traceparent", "00-00000000000000000000000000000000-0000000000000000-00"] {
        let mut request = stage.request("conformance.echo", json!({ "text": "x", "number": 1 }));
        request.traceparent = traceparent.to_owned();
        stage.send([&request]).await?;
        success(&stage.reply(&request).await?).with_context(|| format!("traceparent `{traceparent}`"))?;
    }
    let reply = stage.call("conformance.fail", json!({ "kind": "permanent", "code": "no_trace" })).await?;
    ensure!(failure(&reply)?.code == "no_trace", "a failure without a trace has another code");
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
