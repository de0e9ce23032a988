//! Stopping attempts: by the coordinator, and by time.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use tasker_proto::worker::v1::directive::Directive as Kind;
use tasker_proto::worker::v1::{CancelAttempt, FailureKind, StepRequest};

use crate::scenario::{Setup, scenarios};
use crate::stage::{Stage, failure, success};
use crate::transcript::Mark;

scenarios! { "cancellation";
    a_running_handler_is_cancelled,
    the_result_of_a_handler_that_does_not_look_stands,
    a_cancelled_attempt_frees_its_slot with Setup { slots: 2, ..Setup::PLAIN },
    a_finished_attempt_keeps_its_result,
    an_unknown_token_is_ignored,
    a_timeout_cancels_the_handler_and_is_retryable,
    an_attempt_within_its_timeout_succeeds,
}

fn cancel(request: &StepRequest) -> Kind {
    Kind::CancelAttempt(CancelAttempt {
        task_id: request.task_id.clone(),
        step_name: request.step_name.clone(),
        attempt: request.attempt,
        token: request.token.clone(),
        reason: "the task was cancelled".to_owned(),
    })
}

async fn held(stage: &Stage, request: &StepRequest) -> Result<()> {
    stage.beat("that holds the attempt", Mark::START, |beat| beat.held.iter().any(|held| held.token == request.token)).await.map(|_| ())
}

async fn a_running_handler_is_cancelled(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let request = stage.ask("conformance.sleep", json!({ "ms": 60_000 })).await?;
    held(stage, &request).await?;
    stage.direct([cancel(&request)]).await?;
    let failure = failure(&stage.reply(&request).await?)?;
    ensure!(failure.kind() == FailureKind::Cancelled, "the kind is {}", failure.kind().as_str_name());
    ensure!(failure.code == "attempt.cancelled", "the code is {}", failure.code);
    Ok(())
}

async fn the_result_of_a_handler_that_does_not_look_stands(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let request = stage.ask("conformance.stubborn", json!({ "ms": 1000 })).await?;
    held(stage, &request).await?;
    stage.direct([cancel(&request)]).await?;
    let result = success(&stage.reply(&request).await?)?;
    ensure!(result["slept_ms"].as_u64().is_some_and(|slept| slept >= 900), "the handler was interrupted: {result}");
    Ok(())
}

async fn a_cancelled_attempt_frees_its_slot(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let request = stage.ask("conformance.sleep", json!({ "ms": 60_000 })).await?;
    held(stage, &request).await?;
    let mark = stage.mark();
    stage.direct([cancel(&request)]).await?;
    stage.reply(&request).await?;
    stage.beat("with both slots free", mark, |beat| beat.credit.is_some_and(|credit| credit.free == 2)).await?;
    stage.still_serves().await
}

async fn a_finished_attempt_keeps_its_result(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    stage.acknowledge_replies(false);
    let request = stage.ask("conformance.echo", json!({ "text": "done", "number": 1 })).await?;
    let first = stage.reply(&request).await?;
    let mark = stage.mark();
    stage.direct([cancel(&request)]).await?;
    let again = stage.reply_since(&request, mark).await?;
    ensure!(again == first, "the reply changed after the cancellation");
    Ok(())
}

async fn an_unknown_token_is_ignored(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let never_sent = stage.request("conformance.sleep", json!({ "ms": 1 }));
    stage.direct([cancel(&never_sent)]).await?;
    stage.still_serves().await?;
    ensure!(stage.reply_count(&never_sent, Mark::START) == 0, "an attempt that was never requested was answered");
    Ok(())
}

async fn a_timeout_cancels_the_handler_and_is_retryable(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let mut request = stage.request("conformance.sleep", json!({ "ms": 60_000 }));
    request.timeout_ms = 500;
    let started = Instant::now();
    stage.send([&request]).await?;
    let failure = failure(&stage.reply(&request).await?)?;
    ensure!(failure.kind() == FailureKind::Retryable, "the kind is {}", failure.kind().as_str_name());
    ensure!(failure.code == "attempt.timeout", "the code is {}", failure.code);
    ensure!(started.elapsed() >= Duration::from_millis(450), "the timeout of 500 ms came after {:?}", started.elapsed());
    Ok(())
}

async fn an_attempt_within_its_timeout_succeeds(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let mut request = stage.request("conformance.sleep", json!({ "ms": 100 }));
    request.timeout_ms = 30_000;
    stage.send([&request]).await?;
    success(&stage.reply(&request).await?).map(|_| ())
}
