//! What a handler is told.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::scenario::scenarios;
use crate::stage::{Stage, WAIT, success};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

scenarios! { "context";
    a_handler_sees_the_attempt_it_runs,
    a_handler_sees_the_results_of_its_dependencies,
    a_log_line_is_json_and_names_its_attempt,
    a_log_line_outside_a_handler_is_json,
}

async fn a_handler_sees_the_attempt_it_runs(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let mut request = stage.request("conformance.context", json!({}));
    request.attempt = 2;
    request.attempts_max = 5;
    request.idempotency_key = "order-9/charge".to_owned();
    request.workflow_name = "order".to_owned();
    request.traceparent = format!("00-{TRACE}-b7ad6b7169203331-01");
    stage.send([&request]).await?;
    let seen = success(&stage.reply(&request).await?)?;
    let expected = json!({
        "task_id": request.task_id, "step": request.step_name, "attempt": 2, "attempts_max": 5,
        "idempotency_key": "order-9/charge", "trace_id": TRACE, "workflow": "order",
    });
    for (name, value) in expected.as_object().context("an object")? {
        ensure!(&seen[name] == value, "`{name}` is {}, not {value}", seen[name]);
    }
    Ok(())
}

async fn a_handler_sees_the_results_of_its_dependencies(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let dependencies = json!({ "reserve": { "shelf": "A-7", "pieces": [1, 2] }, "price": 12.5, "nothing": null });
    let mut request = stage.request("conformance.context", json!({}));
    request.dependencies = dependencies.to_string().into();
    stage.send([&request]).await?;
    let seen = success(&stage.reply(&request).await?)?;
    ensure!(seen["dependencies"] == dependencies, "the handler sees {}", seen["dependencies"]);
    Ok(())
}

async fn a_log_line_is_json_and_names_its_attempt(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let mut request = stage.request("conformance.log", json!({ "text": "the parcel \"left\"\nthe house" }));
    request.attempt = 3;
    request.traceparent = format!("00-{TRACE}-b7ad6b7169203331-01");
    stage.send([&request]).await?;
    success(&stage.reply(&request).await?)?;
    let line = stage
        .worker
        .json_line("JSON line with the handler's text", WAIT, |line| line["message"] == "the parcel \"left\"\nthe house")
        .await?;
    ensure!(line["level"].as_str().is_some_and(|level| level.eq_ignore_ascii_case("info")), "the level is {}", line["level"]);
    ensure!(line["task_id"] == request.task_id.as_str(), "task_id is {}", line["task_id"]);
    ensure!(line["step"] == request.step_name.as_str(), "step is {}", line["step"]);
    ensure!(line["attempt"] == json!(3), "attempt is {}", line["attempt"]);
    ensure!(line["trace_id"] == TRACE, "trace_id is {}", line["trace_id"]);
    let span = line["span_id"].as_str().unwrap_or_default();
    ensure!(span.len() == 16 && span.bytes().all(|byte| byte.is_ascii_hexdigit()), "span_id is {}", line["span_id"]);
    check_timestamp(&line)
}

async fn a_log_line_outside_a_handler_is_json(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let line = stage.worker.json_line("JSON line with timestamp, level and message", WAIT, |line| {
        ["timestamp", "level", "message"].iter().all(|name| line[name].is_string())
    });
    check_timestamp(&line.await?)
}

fn check_timestamp(line: &Value) -> Result<()> {
    let text = line["timestamp"].as_str().with_context(|| format!("timestamp is {}, not a string", line["timestamp"]))?;
    let shape = text.len() >= 20 && text.as_bytes()[10] == b'T' && text.starts_with("20");
    ensure!(shape, "timestamp `{text}` is not like 2026-01-31T12:00:00Z");
    Ok(())
}
