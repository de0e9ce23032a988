//! Runs handlers without a server, through the same checks as in production.
//!
//! ```
//! use tasker_worker::{Context, StepError, testing};
//!
//! async fn double(n: u32, _: Context) -> Result<u32, StepError> {
//!     n.checked_mul(2).ok_or_else(|| StepError::permanent("too_large", "the double does not fit"))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), StepError> {
//! assert_eq!(testing::call(double, 21).await?, 42);
//! let refused = testing::call(double, u32::MAX).await.expect_err("it does not fit");
//! assert_eq!(refused.code(), "too_large");
//! # Ok(()) }
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use opentelemetry::trace::FutureExt as _;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tasker_proto::worker::v1::StepRequest;
use tracing::Instrument as _;

use crate::context::{Attempt, Context, StopReason};
use crate::error::{StepError, Violation};
use crate::step::{Step, run_caught};

/// Calls an async handler once, as attempt 1 of an invented task.
///
/// # Errors
/// Whatever the coordinator would have been told: the handler's own failure,
/// `input.invalid`, `result.invalid`, or a panic as `handler.error`.
pub async fn call<I, O, F, R>(handler: F, input: I) -> Result<O, StepError>
where
    I: Serialize + DeserializeOwned + JsonSchema + Send + 'static,
    O: Serialize + DeserializeOwned + JsonSchema + Send + 'static,
    F: Fn(I, Context) -> R + Send + Sync + 'static,
    R: Future<Output = Result<O, StepError>> + Send + 'static,
{
    Call::new().run(&Step::new("test.step", handler), input).await
}

/// The same for a blocking handler.
///
/// # Errors
/// As for [`call`].
pub async fn call_blocking<I, O, F>(handler: F, input: I) -> Result<O, StepError>
where
    I: Serialize + DeserializeOwned + JsonSchema + Send + 'static,
    O: Serialize + DeserializeOwned + JsonSchema + Send + 'static,
    F: Fn(I, Context) -> Result<O, StepError> + Send + Sync + 'static,
{
    Call::new().run(&Step::blocking("test.step", handler), input).await
}

/// One call with a context of your making.
///
/// ```
/// # use std::time::Duration;
/// # use tasker_worker::{Context, Step, StepError, testing::Call};
/// async fn endless(_: (), ctx: Context) -> Result<(), StepError> {
///     ctx.heartbeat("waiting")?;
///     ctx.cancelled().await;
///     Err(StepError::cancelled())
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let call = Call::new().attempt(2).cancel_after(Duration::ZERO);
/// let stopped = call.run::<_, ()>(&Step::new("test.endless", endless), ()).await;
/// assert_eq!(stopped.expect_err("it was cancelled").code(), "attempt.cancelled");
/// assert_eq!(call.progress(), Some("waiting".into()));
/// # }
/// ```
pub struct Call {
    request: StepRequest,
    dependencies: Map<String, Value>,
    cancel_after: Option<Duration>,
    last: std::sync::Mutex<Option<Arc<Attempt>>>,
}

impl Default for Call {
    fn default() -> Self {
        Self::new()
    }
}

impl Call {
    /// Attempt 1 of 1 of the step `step` in the workflow `test`.
    pub fn new() -> Self {
        Self {
            request: StepRequest {
                task_id: "00000000-0000-7000-8000-000000000000".to_owned(),
                step_name: "step".to_owned(),
                attempt: 1,
                attempts_max: 1,
                idempotency_key: "test-key".to_owned(),
                workflow_name: "test".to_owned(),
                workflow_version: "1".to_owned(),
                ..StepRequest::default()
            },
            dependencies: Map::new(),
            cancel_after: None,
            last: std::sync::Mutex::new(None),
        }
    }

    /// Which attempt the context shows.
    #[must_use]
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.request.attempt = attempt;
        self.request.attempts_max = self.request.attempts_max.max(attempt);
        self
    }

    /// The idempotency key the context shows.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.request.idempotency_key = key.into();
        self
    }

    /// The result of a direct dependency.
    #[must_use]
    pub fn dependency(mut self, step: impl Into<String>, result: impl Into<Value>) -> Self {
        self.dependencies.insert(step.into(), result.into());
        self
    }

    /// Asks the handler to stop after this long.
    #[must_use]
    pub fn cancel_after(mut self, delay: Duration) -> Self {
        self.cancel_after = Some(delay);
        self
    }

    /// Runs the step's handler; input and result pass through JSON and the contract.
    ///
    /// # Errors
    /// As for [`call`].
    pub async fn run<I: Serialize, O: DeserializeOwned>(&self, step: &Step, input: I) -> Result<O, StepError> {
        let json = |error: serde_json::Error| {
            StepError::violations("input.invalid", "the input", vec![Violation { pointer: String::new(), message: error.to_string() }])
        };
        let input = Bytes::from(serde_json::to_vec(&input).map_err(json)?);
        let request = StepRequest {
            capability: step.name.clone(),
            dependencies: Value::Object(self.dependencies.clone()).to_string().into(),
            ..self.request.clone()
        };
        let attempt = Arc::new(Attempt::new(request, [0; 16], Instant::now()));
        *self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Arc::clone(&attempt));
        let context = Context::new(Arc::clone(&attempt));
        let span = crate::logging::attempt_span(&context);
        let running = run_caught(step.handler.as_ref(), input, context).with_context(opentelemetry::Context::new()).instrument(span);
        tokio::pin!(running);
        let result = match self.cancel_after {
            None => running.await,
            Some(delay) => tokio::select! {
                biased;
                result = &mut running => result,
                () = tokio::time::sleep(delay) => {
                    attempt.stop(StopReason::Coordinator);
                    running.await
                }
            },
        };
        Ok(serde_json::from_slice(&result?)?)
    }

    /// The latest progress of the last run; `None` if it gave none.
    pub fn progress(&self) -> Option<Value> {
        let last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        serde_json::from_slice(&last.as_ref()?.held(true).progress).ok()
    }
}
