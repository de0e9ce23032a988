//! What a handler knows about the attempt it runs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tasker_proto::worker::v1::{HeldAttempt, StepRequest};
use tokio_util::sync::CancellationToken;

use crate::error::{StepError, Violation};

/// Progress is for people; a beat carries one for every attempt (docs/protocol.md).
const PROGRESS_BYTES_MAX: usize = 4096;

/// The identity and authority of an attempt.
pub(crate) type Token = [u8; 16];

/// Who asked the handler to stop. The first to ask is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum StopReason {
    Coordinator = 1,
    Timeout = 2,
    Drain = 3,
}

/// One attempt at one step, as its handler sees it. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    attempt: Arc<Attempt>,
}

/// The shared half: the handler reads it, the session reads its progress and stops it.
pub(crate) struct Attempt {
    pub request: StepRequest,
    pub token: Token,
    pub received: Instant,
    pub trace: OnceLock<opentelemetry::Context>,
    stop: CancellationToken,
    reason: AtomicU8,
    progress: Mutex<Bytes>,
    dependencies: OnceLock<HashMap<String, Box<RawValue>>>,
}

impl Attempt {
    pub fn new(request: StepRequest, token: Token, received: Instant) -> Self {
        Self {
            request,
            token,
            received,
            trace: OnceLock::new(),
            stop: CancellationToken::new(),
            reason: AtomicU8::new(0),
            progress: Mutex::new(Bytes::new()),
            dependencies: OnceLock::new(),
        }
    }

    pub fn stop(&self, reason: StopReason) {
        // Only the first reason counts: a drain after a timeout does not change what happened.
        let _ = self.reason.compare_exchange(0, reason as u8, Ordering::AcqRel, Ordering::Acquire);
        self.stop.cancel();
    }

    pub fn stopped_by(&self) -> Option<StopReason> {
        match self.reason.load(Ordering::Acquire) {
            1 => Some(StopReason::Coordinator),
            2 => Some(StopReason::Timeout),
            3 => Some(StopReason::Drain),
            _ => None,
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        match self.request.timeout_ms {
            0 => None,
            // A deadline past the clock's range is no deadline.
            timeout => self.received.checked_add(Duration::from_millis(timeout)),
        }
    }

    pub fn held(&self, with_progress: bool) -> HeldAttempt {
        HeldAttempt {
            task_id: self.request.task_id.clone(),
            step_name: self.request.step_name.clone(),
            attempt: self.request.attempt,
            token: self.request.token.clone(),
            progress: if with_progress { self.progress() } else { Bytes::new() },
        }
    }

    fn progress(&self) -> Bytes {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Context {
    pub(crate) fn new(attempt: Arc<Attempt>) -> Self {
        Self { attempt }
    }

    /// The task this step belongs to.
    pub fn task_id(&self) -> &str {
        &self.attempt.request.task_id
    }

    /// The step's name in its workflow.
    pub fn step(&self) -> &str {
        &self.attempt.request.step_name
    }

    /// The capability that was asked for.
    pub fn capability(&self) -> &str {
        &self.attempt.request.capability
    }

    /// Which attempt this is; counts from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt.request.attempt
    }

    /// How many attempts the workflow allows; `None` when it sets no limit.
    pub fn attempts_max(&self) -> Option<u32> {
        Some(self.attempt.request.attempts_max).filter(|max| *max > 0)
    }

    /// The workflow's name.
    pub fn workflow(&self) -> &str {
        &self.attempt.request.workflow_name
    }

    /// The workflow's version.
    pub fn workflow_version(&self) -> &str {
        &self.attempt.request.workflow_version
    }

    /// The same for every attempt at this step of this task, and for no other:
    /// hand it to whoever must not act twice.
    pub fn idempotency_key(&self) -> &str {
        &self.attempt.request.idempotency_key
    }

    /// When the handler will be asked to stop; `None` if the step has no timeout.
    pub fn deadline(&self) -> Option<Instant> {
        self.attempt.deadline()
    }

    /// The JSON text of the result of a direct dependency; `None` if the step does not depend on it.
    pub fn dependency_json(&self, step: &str) -> Option<&str> {
        self.dependencies().get(step).map(|json| json.get())
    }

    /// The results of all direct dependencies, by step name, as JSON texts.
    pub fn dependencies(&self) -> &HashMap<String, Box<RawValue>> {
        self.attempt.dependencies.get_or_init(|| {
            // The coordinator writes this object; if it did not, there is nothing a handler could read.
            serde_json::from_slice(&self.attempt.request.dependencies).unwrap_or_default()
        })
    }

    /// The result of a direct dependency as a type of your own.
    ///
    /// # Errors
    /// `dependency.missing` if the step does not depend on `step` (permanent),
    /// `dependency.invalid` if its result is not a `T` (contract). Both pass through `?`.
    pub fn dependency<T: DeserializeOwned>(&self, step: &str) -> Result<T, StepError> {
        let json = self.dependency_json(step).ok_or_else(|| {
            StepError::permanent("dependency.missing", format!("this step has no direct dependency `{step}`; name it in `depends_on`"))
        })?;
        serde_json::from_str(json).map_err(|error| {
            let violation = Violation { pointer: String::new(), message: error.to_string() };
            StepError::violations("dependency.invalid", &format!("the result of `{step}`"), vec![violation])
        })
    }

    /// Tells people how far the handler is. Only the latest counts; it leaves
    /// with the worker's next beat. The lease is kept alive without it.
    ///
    /// # Errors
    /// `progress.invalid` (permanent) if the value is not JSON or above 4 KiB.
    pub fn heartbeat(&self, progress: impl Serialize) -> Result<(), StepError> {
        let json = serde_json::to_vec(&progress)
            .map_err(|error| StepError::permanent("progress.invalid", format!("progress is not JSON: {error}")))?;
        if json.len() > PROGRESS_BYTES_MAX {
            let problem = format!("progress has {} bytes, at most {PROGRESS_BYTES_MAX} fit into a beat", json.len());
            return Err(StepError::permanent("progress.invalid", problem));
        }
        *self.attempt.progress.lock().unwrap_or_else(PoisonError::into_inner) = json.into();
        Ok(())
    }

    /// Completes when the handler should stop: the task was cancelled, the
    /// timeout passed, or the worker's drain ran out of time. The library never
    /// drops a running handler; it asks and waits.
    ///
    /// ```
    /// # use tasker_worker::{Context, StepError};
    /// # async fn work() -> u32 { 1 }
    /// async fn patient(_: (), ctx: Context) -> Result<u32, StepError> {
    ///     tokio::select! {
    ///         done = work() => Ok(done),
    ///         () = ctx.cancelled() => Err(StepError::cancelled()),
    ///     }
    /// }
    /// ```
    pub async fn cancelled(&self) {
        self.attempt.stop.cancelled().await;
    }

    /// The same signal for loops and blocking handlers.
    pub fn is_cancelled(&self) -> bool {
        self.attempt.stop.is_cancelled()
    }

    /// `Err(StepError::cancelled())` once the handler should stop, for `?` in loops.
    ///
    /// # Errors
    /// The cancelled kind, which the handler passes on.
    pub fn check_cancelled(&self) -> Result<(), StepError> {
        if self.is_cancelled() { Err(StepError::cancelled()) } else { Ok(()) }
    }

    /// The trace this attempt belongs to, 32 hexadecimal digits; empty without one.
    pub fn trace_id(&self) -> String {
        self.span_context().map(|span| span.trace_id().to_string()).unwrap_or_default()
    }

    /// The span the handler runs in, 16 hexadecimal digits; empty without one.
    pub fn span_id(&self) -> String {
        self.span_context().map(|span| span.span_id().to_string()).unwrap_or_default()
    }

    /// The W3C `traceparent` to hand to whatever the handler calls; empty without a trace.
    pub fn traceparent(&self) -> String {
        let Some(span) = self.span_context() else { return String::new() };
        format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags().to_u8())
    }

    fn span_context(&self) -> Option<opentelemetry::trace::SpanContext> {
        use opentelemetry::trace::TraceContextExt as _;
        let span = self.attempt.trace.get()?.span().span_context().clone();
        span.is_valid().then_some(span)
    }

    #[cfg(test)]
    pub(crate) fn inner(&self) -> &Arc<Attempt> {
        &self.attempt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(request: StepRequest) -> Context {
        Context::new(Arc::new(Attempt::new(request, [0; 16], Instant::now())))
    }

    #[test]
    fn a_dependency_is_read_by_name_and_type() {
        let ctx = context(StepRequest { dependencies: Bytes::from_static(br#"{"reserve":{"n":3}}"#), ..StepRequest::default() });
        assert_eq!(ctx.dependency_json("reserve"), Some(r#"{"n":3}"#));
        assert_eq!(ctx.dependency::<HashMap<String, u32>>("reserve").expect("it fits")["n"], 3);
        assert_eq!(ctx.dependency::<u32>("reserve").expect_err("not a number").code(), "dependency.invalid");
        assert_eq!(ctx.dependency::<u32>("charge").expect_err("no such step").code(), "dependency.missing");
    }

    #[test]
    fn the_first_reason_to_stop_is_the_one_that_counts() {
        let ctx = context(StepRequest::default());
        assert!(ctx.check_cancelled().is_ok());
        ctx.inner().stop(StopReason::Timeout);
        ctx.inner().stop(StopReason::Drain);
        assert_eq!(ctx.inner().stopped_by(), Some(StopReason::Timeout));
        assert!(ctx.is_cancelled());
    }

    #[test]
    fn progress_above_four_kibibytes_is_refused_and_the_previous_stays() {
        let ctx = context(StepRequest::default());
        ctx.heartbeat(7).expect("small");
        assert_eq!(ctx.heartbeat("x".repeat(5000)).expect_err("large").code(), "progress.invalid");
        assert_eq!(&ctx.inner().held(true).progress[..], b"7");
    }
}
