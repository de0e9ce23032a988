//! Runs one attempt from its request to its encoded reply.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use opentelemetry::trace::FutureExt as _;
use prost::Message as _;
use tasker_proto::worker::v1::{StepReply, Success, step_reply::Outcome};
use tokio::sync::mpsc;
use tracing::Instrument as _;

use super::held::Reply;
use crate::context::{Attempt, Context, StopReason, Token};
use crate::error::{ErrorKind, StepError};
use crate::step::{Handler, run_caught};
use crate::telemetry::Telemetry;

/// What every attempt of a session needs.
pub(crate) struct Shop {
    pub telemetry: Telemetry,
    /// The largest result that may leave; the coordinator's word, or NATS's if it is smaller.
    pub payload_bytes_max: AtomicUsize,
    pub finished: mpsc::Sender<Finished>,
}

/// A handler ended and this is its reply.
pub(crate) struct Finished {
    pub token: Token,
    pub reply: Reply,
}

/// Runs the handler and hands over its reply. The session has a place for every
/// running attempt in the channel, so this never waits for it.
pub(crate) async fn run(shop: Arc<Shop>, handler: Arc<dyn Handler>, attempt: Arc<Attempt>) {
    let started = Instant::now();
    let outcome = handle(&shop, handler.as_ref(), &attempt).await;
    let reply = reply(&attempt, outcome, started, shop.payload_bytes_max.load(Ordering::Relaxed));
    // A closed channel means that the session has left; nobody waits for this reply any more.
    let _ = shop.finished.send(Finished { token: attempt.token, reply }).await;
}

async fn handle(shop: &Shop, handler: &dyn Handler, attempt: &Arc<Attempt>) -> Result<Bytes, StepError> {
    if attempt.deadline().is_some_and(|deadline| deadline <= Instant::now()) {
        // It waited for a slot until its time was over; starting it now would only waste the slot.
        attempt.stop(StopReason::Timeout);
        return settle(attempt, Err(StepError::cancelled()), 0);
    }
    let trace = shop.telemetry.start(&attempt.request);
    let context = Context::new(Arc::clone(attempt));
    // Set once, here; nobody else writes it.
    let _ = attempt.trace.set(trace.clone());
    let span = crate::logging::attempt_span(&context);
    let running = run_caught(handler, attempt.request.input.clone(), context).with_context(trace.clone()).instrument(span.clone());

    let result = match attempt.deadline() {
        None => running.await,
        Some(deadline) => {
            tokio::pin!(running);
            tokio::select! {
                biased;
                result = &mut running => result,
                () = tokio::time::sleep_until(deadline.into()) => {
                    attempt.stop(StopReason::Timeout);
                    running.await
                }
            }
        }
    };
    let result = settle(attempt, result, shop.payload_bytes_max.load(Ordering::Relaxed));
    if let Err(error) = &result {
        span.in_scope(|| tracing::debug!(code = error.code(), error = error.message(), "attempt failed"));
    }
    shop.telemetry.end(&trace, result.as_ref().err());
    result
}

/// What the handler's end means, given who asked it to stop and what may be sent.
fn settle(attempt: &Attempt, result: Result<Bytes, StepError>, payload_bytes_max: usize) -> Result<Bytes, StepError> {
    match (result, attempt.stopped_by()) {
        (_, Some(StopReason::Timeout)) => {
            let problem = format!("the handler was stopped after {} ms, the step's timeout", attempt.request.timeout_ms);
            Err(StepError::retryable(problem).with_code("attempt.timeout"))
        }
        (Ok(result), _) if result.len() > payload_bytes_max => Err(StepError::permanent(
            "payload.too_large",
            format!(
                "the result has {} bytes, at most {payload_bytes_max} may be sent; store it elsewhere and return a reference",
                result.len()
            ),
        )),
        (result, _) => result,
    }
}

/// A reply in the place of a handler that never ran, or did not stop in time.
pub(crate) fn refuse(attempt: &Attempt, error: StepError, payload_bytes_max: usize) -> Reply {
    reply(attempt, Err(error), attempt.received, payload_bytes_max)
}

fn reply(attempt: &Attempt, outcome: Result<Bytes, StepError>, started: Instant, payload_bytes_max: usize) -> Reply {
    let request = &attempt.request;
    let outcome = match outcome {
        Ok(result) => Outcome::Success(Success { result }),
        Err(error) => {
            let cancelled = error.kind() == ErrorKind::Cancelled;
            // The protocol knows one code for a cancelled attempt.
            let error = if cancelled { error.with_code("attempt.cancelled") } else { error };
            Outcome::Failure(error.into_failure(payload_bytes_max))
        }
    };
    let encoded = StepReply {
        task_id: request.task_id.clone(),
        step_name: request.step_name.clone(),
        attempt: request.attempt,
        token: request.token.clone(),
        outcome: Some(outcome),
        ran_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
    .encode_to_vec();
    Reply { shard: request.shard, encoded: encoded.into() }
}
