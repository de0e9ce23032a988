//! What a reply says about how a handler ended.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tasker_proto::worker::v1::{Failure, FailureKind};

use crate::scenario::scenarios;
use crate::stage::{PAYLOAD_BYTES_MAX, Stage, failure, success};

scenarios! { "outcomes";
    an_async_handler_returns_its_result,
    a_blocking_handler_returns_its_result,
    a_blocking_handler_does_not_stop_the_worker,
    a_reply_names_its_attempt,
    text_and_large_numbers_arrive_as_they_were,
    a_retryable_failure_carries_its_delay,
    a_permanent_failure_carries_code_message_and_details,
    a_contract_failure_is_of_its_own_kind,
    a_handler_may_say_that_it_was_cancelled,
    an_unexpected_error_is_retryable_and_has_no_stack_trace,
    a_declared_error_carries_its_details,
    an_unknown_capability_is_refused_for_good,
    an_input_that_does_not_fit_is_refused_with_its_places,
    an_input_without_a_required_field_is_refused,
    at_most_twenty_violations_are_listed,
    a_result_that_breaks_its_contract_never_leaves,
    a_result_above_the_limit_never_leaves,
    a_result_near_the_limit_arrives,
    a_long_message_is_cut_on_a_character_boundary,
}

async fn an_async_handler_returns_its_result(stage: &mut Stage) -> Result<()> {
    echoes(stage, "conformance.echo", json!({ "text": "hello", "number": 42 })).await
}

async fn a_blocking_handler_returns_its_result(stage: &mut Stage) -> Result<()> {
    echoes(stage, "conformance.echo_sync", json!({ "text": "hello", "number": -1 })).await
}

async fn a_blocking_handler_does_not_stop_the_worker(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let requests: Vec<_> = (0..20)
        .map(|n| stage.request(if n % 2 == 0 { "conformance.echo_sync" } else { "conformance.echo" }, json!({ "text": "x", "number": n })))
        .collect();
    stage.send(&requests).await?;
    for (n, request) in requests.iter().enumerate() {
        ensure!(success(&stage.reply(request).await?)?["number"] == json!(n), "the reply of request {n} belongs to another");
    }
    Ok(())
}

async fn a_reply_names_its_attempt(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let mut request = stage.request("conformance.sleep", json!({ "ms": 120 }));
    request.attempt = 7;
    stage.send([&request]).await?;
    let reply = stage.reply(&request).await?;
    ensure!(reply.task_id == request.task_id && reply.step_name == request.step_name, "task_id or step_name differ");
    ensure!(reply.attempt == 7, "attempt is {}, not 7", reply.attempt);
    ensure!((90..5_000).contains(&reply.ran_ms), "ran_ms is {} for a handler of 120 ms", reply.ran_ms);
    Ok(())
}

async fn text_and_large_numbers_arrive_as_they_were(stage: &mut Stage) -> Result<()> {
    let text = "quote \" backslash \\ newline \n tab \t zürich 東京 🚚 \u{0}";
    echoes(stage, "conformance.echo", json!({ "text": text, "number": 9_007_199_254_740_991_i64 })).await
}

async fn a_retryable_failure_carries_its_delay(stage: &mut Stage) -> Result<()> {
    let failure = fails(stage, json!({ "kind": "retryable", "code": "bank.busy", "message": "later", "retry_after_ms": 1500 })).await?;
    ensure!(failure.kind() == FailureKind::Retryable, "the kind is {}", failure.kind().as_str_name());
    ensure!(failure.code == "bank.busy" && failure.message == "later", "got {}: {}", failure.code, failure.message);
    ensure!(failure.retry_after_ms == 1500, "retry_after_ms is {}", failure.retry_after_ms);
    Ok(())
}

async fn a_permanent_failure_carries_code_message_and_details(stage: &mut Stage) -> Result<()> {
    let failure = fails(stage, json!({ "kind": "permanent", "code": "card_declined", "message": "no", "details": { "limit": 5 } })).await?;
    ensure!(failure.kind() == FailureKind::Permanent, "the kind is {}", failure.kind().as_str_name());
    ensure!(failure.code == "card_declined" && failure.message == "no", "got {}: {}", failure.code, failure.message);
    ensure!(details(&failure)? == json!({ "limit": 5 }), "the details are {}", details(&failure)?);
    ensure!(failure.retry_after_ms == 0, "a permanent failure asks for a delay");
    Ok(())
}

async fn a_contract_failure_is_of_its_own_kind(stage: &mut Stage) -> Result<()> {
    let failure = fails(stage, json!({ "kind": "contract", "code": "order.impossible", "message": "ends before it starts" })).await?;
    ensure!(failure.kind() == FailureKind::Contract, "the kind is {}", failure.kind().as_str_name());
    ensure!(failure.message.contains("ends before it starts"), "the message is `{}`", failure.message);
    Ok(())
}

async fn a_handler_may_say_that_it_was_cancelled(stage: &mut Stage) -> Result<()> {
    let failure = fails(stage, json!({ "kind": "cancelled" })).await?;
    ensure!(failure.kind() == FailureKind::Cancelled, "the kind is {}", failure.kind().as_str_name());
    ensure!(failure.code == "attempt.cancelled", "the code is {}", failure.code);
    Ok(())
}

async fn an_unexpected_error_is_retryable_and_has_no_stack_trace(stage: &mut Stage) -> Result<()> {
    let failure = fails(stage, json!({ "kind": "unexpected", "message": "the disk is gone" })).await?;
    ensure!(failure.kind() == FailureKind::Retryable, "the kind is {}", failure.kind().as_str_name());
    ensure!(failure.code == "handler.error", "the code is {}", failure.code);
    ensure!(failure.message.contains("the disk is gone"), "the message is `{}`", failure.message);
    ensure!(!failure.message.contains('\n'), "the message has several lines: `{}`", failure.message);
    Ok(())
}

async fn a_declared_error_carries_its_details(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let failure = failure(&stage.call("conformance.declared", json!({ "sku": "A-1" })).await?)?;
    ensure!(
        failure.kind() == FailureKind::Permanent && failure.code == "out_of_stock",
        "got {} {}",
        failure.kind().as_str_name(),
        failure.code
    );
    ensure!(details(&failure)? == json!({ "sku": "A-1" }), "the details are {}", details(&failure)?);
    Ok(())
}

async fn an_unknown_capability_is_refused_for_good(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let failure = failure(&stage.call("conformance.unheard_of", json!({})).await?)?;
    ensure!(
        failure.kind() == FailureKind::Permanent && failure.code == "capability.unknown",
        "got {} {}",
        failure.kind().as_str_name(),
        failure.code
    );
    stage.still_serves().await
}

async fn an_input_that_does_not_fit_is_refused_with_its_places(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let failure = failure(&stage.call("conformance.echo", json!({ "text": "a", "number": "many" })).await?)?;
    check_input_invalid(&failure)?;
    let violations = violations(&failure)?;
    ensure!(violations.iter().any(|violation| violation["pointer"] == "/number"), "no violation points to /number: {violations:?}");
    ensure!(
        violations.iter().all(|violation| violation["message"].as_str().is_some_and(|text| !text.is_empty())),
        "a violation has no message"
    );
    Ok(())
}

async fn an_input_without_a_required_field_is_refused(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    for input in [json!({ "text": "a" }), json!("not an object"), json!(null)] {
        let failure = failure(&stage.call("conformance.echo", input).await?)?;
        check_input_invalid(&failure)?;
        ensure!(!violations(&failure)?.is_empty(), "no violation is listed");
    }
    stage.still_serves().await
}

async fn at_most_twenty_violations_are_listed(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let mut input = json!({ "text": 1, "number": "x" });
    for n in 0..60 {
        input[format!("unknown_{n}")] = json!(n);
    }
    let failure = failure(&stage.call("conformance.echo", input).await?)?;
    check_input_invalid(&failure)?;
    let count = violations(&failure)?.len();
    ensure!((1..=20).contains(&count), "{count} violations are listed");
    Ok(())
}

async fn a_result_that_breaks_its_contract_never_leaves(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let failure = failure(&stage.call("conformance.wrong", json!({})).await?)?;
    ensure!(
        failure.kind() == FailureKind::Contract && failure.code == "result.invalid",
        "got {} {}",
        failure.kind().as_str_name(),
        failure.code
    );
    let violations = violations(&failure)?;
    ensure!(violations.iter().any(|violation| violation["pointer"] == "/level"), "no violation points to /level: {violations:?}");
    Ok(())
}

async fn a_result_above_the_limit_never_leaves(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let failure = failure(&stage.call("conformance.large", json!({ "bytes": PAYLOAD_BYTES_MAX })).await?)?;
    ensure!(
        failure.kind() == FailureKind::Permanent && failure.code == "payload.too_large",
        "got {} {}",
        failure.kind().as_str_name(),
        failure.code
    );
    stage.still_serves().await
}

async fn a_result_near_the_limit_arrives(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let bytes = PAYLOAD_BYTES_MAX - 100;
    let result = success(&stage.call("conformance.large", json!({ "bytes": bytes })).await?)?;
    ensure!(result["blob"].as_str().map(str::len) == Some(bytes), "the blob has another length");
    Ok(())
}

async fn a_long_message_is_cut_on_a_character_boundary(stage: &mut Stage) -> Result<()> {
    // Two bytes each, behind one of one byte: the limit falls into the middle of a character.
    let message = format!("x{}", "é".repeat(4000));
    let failure = fails(stage, json!({ "kind": "permanent", "code": "too_long", "message": message })).await?;
    ensure!(failure.message.len() <= 4096, "the message has {} bytes", failure.message.len());
    ensure!(failure.message.len() >= 4000, "the message was cut to {} bytes", failure.message.len());
    ensure!(message.starts_with(failure.message.trim_end_matches(['…', '.'])), "the message was cut inside a character");
    Ok(())
}

async fn echoes(stage: &mut Stage, capability: &str, input: Value) -> Result<()> {
    stage.join().await?;
    let result = success(&stage.call(capability, input.clone()).await?)?;
    ensure!(result == input, "the result is {result}, not {input}");
    Ok(())
}

async fn fails(stage: &mut Stage, input: Value) -> Result<Failure> {
    stage.join().await?;
    failure(&stage.call("conformance.fail", input).await?)
}

fn check_input_invalid(failure: &Failure) -> Result<()> {
    ensure!(
        failure.kind() == FailureKind::Contract && failure.code == "input.invalid",
        "got {} {}: {}",
        failure.kind().as_str_name(),
        failure.code,
        failure.message
    );
    Ok(())
}

fn details(failure: &Failure) -> Result<Value> {
    serde_json::from_slice(&failure.details).context("the details are not JSON")
}

fn violations(failure: &Failure) -> Result<Vec<Value>> {
    let details = details(failure)?;
    details["violations"].as_array().cloned().with_context(|| format!("the details have no `violations`: {details}"))
}
