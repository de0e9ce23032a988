//! A handler with its name and contract, ready to be registered.

use std::future::Future;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tasker_proto::worker::v1;

use crate::context::Context;
use crate::contract::{Contract, Schema};
use crate::error::{StepError, WorkerError, is_code};
use crate::settings::{invalid, is_capability};

/// Runs one attempt: input JSON in, result JSON out.
pub(crate) trait Handler: Send + Sync {
    fn run(&self, input: Bytes, context: Context) -> BoxFuture<'static, Result<Bytes, StepError>>;
}

/// One capability of a worker: a name, a handler, and what else the coordinator should know.
///
/// ```
/// use std::time::Duration;
/// use tasker_worker::{Context, JsonSchema, Step, StepError};
///
/// #[derive(serde::Serialize, JsonSchema)]
/// struct OutOfStock { sku: String }
///
/// async fn reserve(sku: String, _: Context) -> Result<bool, StepError> {
///     Err(StepError::permanent("out_of_stock", "nothing left").details(&OutOfStock { sku }))
/// }
///
/// let step = Step::new("inventory.reserve", reserve)
///     .describe("Reserves one piece.")
///     .timeout(Duration::from_secs(30))
///     .error::<OutOfStock>("out_of_stock", "The warehouse has none left.");
/// # let _ = step;
/// ```
pub struct Step {
    pub(crate) name: String,
    pub(crate) handler: Arc<dyn Handler>,
    description: String,
    timeout: Option<Duration>,
    slot_cost: u32,
    errors: Vec<v1::ErrorContract>,
    input_schema: String,
    result_schema: String,
    /// The first thing found wrong; told when the worker starts, so that building stays a plain expression.
    problem: Option<String>,
}

impl Step {
    /// An async handler. `name` is dotted lower-case words: `payment.charge`.
    pub fn new<I, O, F, R>(name: impl Into<String>, handler: F) -> Self
    where
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + Send + 'static,
        F: Fn(I, Context) -> R + Send + Sync + 'static,
        R: Future<Output = Result<O, StepError>> + Send + 'static,
    {
        Self::build::<I, O>(name.into(), |contract| Arc::new(AsyncHandler { handler, contract, types: PhantomData }))
    }

    /// A handler that blocks its thread: it computes, or it uses a client
    /// without async. It runs on the runtime's blocking threads, of which
    /// there are 512 unless you built the runtime otherwise; with more slots
    /// than that, attempts wait for a thread while they hold their slot.
    pub fn blocking<I, O, F>(name: impl Into<String>, handler: F) -> Self
    where
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + Send + 'static,
        F: Fn(I, Context) -> Result<O, StepError> + Send + Sync + 'static,
    {
        Self::build::<I, O>(name.into(), |contract| Arc::new(BlockingHandler { handler: Arc::new(handler), contract, types: PhantomData }))
    }

    /// One sentence for people.
    #[must_use]
    pub fn describe(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// The running timeout to use where the workflow says none.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How many of the worker's slots one attempt takes, from 1 to all of them: for a handler that needs more of the machine than others do.
    /// Unless it is said here, the manifest may say it, and it is 1 if that does not either.
    #[must_use]
    pub fn slot_cost(mut self, slots: u32) -> Self {
        if slots == 0 {
            self.problem.get_or_insert("a slot cost of 0; give at least 1".to_owned());
        }
        self.slot_cost = slots;
        self
    }

    /// Declares an error code with the type of its details. Once a step declares
    /// any code, the coordinator takes the list for complete.
    #[must_use]
    pub fn error<D: JsonSchema>(mut self, code: &str, description: impl Into<String>) -> Self {
        if !is_code(code) {
            self.problem.get_or_insert(format!("error code `{code}` is not lower-case words joined by `_` or `.`, at most 64 bytes"));
        }
        match Schema::of::<D>(SchemaSettings::draft2020_12().for_serialize()) {
            Ok(schema) => {
                self.errors.push(v1::ErrorContract { code: code.to_owned(), details_schema: schema.text, description: description.into() })
            }
            Err(problem) => {
                self.problem.get_or_insert(format!("details schema of `{code}`: {problem}"));
            }
        }
        self
    }

    /// The announcement, or what is wrong with this step.
    pub(crate) fn announce(&self) -> Result<v1::Capability, WorkerError> {
        if !is_capability(&self.name) {
            return Err(invalid("step name", format!("`{}` is not dotted lower-case words like `payment.charge`", self.name)));
        }
        if let Some(problem) = &self.problem {
            return Err(invalid(&format!("step `{}`", self.name), problem.clone()));
        }
        Ok(v1::Capability {
            name: self.name.clone(),
            input_schema: self.input_schema.clone(),
            result_schema: self.result_schema.clone(),
            errors: self.errors.clone(),
            description: self.description.clone(),
            timeout_ms: self.timeout.map_or(0, |timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
            slot_cost: self.slot_cost,
        })
    }

    fn build<I: JsonSchema, O: JsonSchema>(name: String, handler: impl FnOnce(Arc<Contract>) -> Arc<dyn Handler>) -> Self {
        let (contract, problem) = match Contract::of::<I, O>() {
            Ok(contract) => (contract, None),
            Err(problem) => (Contract::anything(), Some(problem)),
        };
        let contract = Arc::new(contract);
        Self {
            name,
            description: String::new(),
            timeout: None,
            slot_cost: 0,
            errors: Vec::new(),
            input_schema: contract.input.text.clone(),
            result_schema: contract.result.text.clone(),
            handler: handler(contract),
            problem,
        }
    }
}

struct AsyncHandler<F, I, O> {
    handler: F,
    contract: Arc<Contract>,
    types: PhantomData<fn(I) -> O>,
}

impl<F, R, I, O> Handler for AsyncHandler<F, I, O>
where
    I: DeserializeOwned + Send + 'static,
    O: Serialize + Send + 'static,
    F: Fn(I, Context) -> R + Send + Sync + 'static,
    R: Future<Output = Result<O, StepError>> + Send + 'static,
{
    fn run(&self, input: Bytes, context: Context) -> BoxFuture<'static, Result<Bytes, StepError>> {
        let running = match self.contract.decode(&input) {
            Ok(input) => (self.handler)(input, context),
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        let contract = Arc::clone(&self.contract);
        Box::pin(async move { contract.encode(&running.await?) })
    }
}

struct BlockingHandler<F, I, O> {
    handler: Arc<F>,
    contract: Arc<Contract>,
    types: PhantomData<fn(I) -> O>,
}

impl<F, I, O> Handler for BlockingHandler<F, I, O>
where
    I: DeserializeOwned + Send + 'static,
    O: Serialize + Send + 'static,
    F: Fn(I, Context) -> Result<O, StepError> + Send + Sync + 'static,
{
    fn run(&self, input: Bytes, context: Context) -> BoxFuture<'static, Result<Bytes, StepError>> {
        let (handler, contract) = (Arc::clone(&self.handler), Arc::clone(&self.contract));
        // The thread takes over what is current here: the span of the logs and the span of the trace.
        let (span, trace) = (tracing::Span::current(), opentelemetry::Context::current());
        let work = tokio::task::spawn_blocking(move || {
            let _trace = trace.attach();
            span.in_scope(|| contract.encode(&handler(contract.decode(&input)?, context)?))
        });
        Box::pin(async move {
            match work.await {
                Ok(result) => result,
                Err(error) if error.is_panic() => Err(StepError::panicked(error.into_panic().as_ref())),
                Err(_) => Err(StepError::retryable("the runtime shut down before the handler could run")),
            }
        })
    }
}

/// Runs a handler; a panic is an error like any other.
pub(crate) async fn run_caught(handler: &dyn Handler, input: Bytes, context: Context) -> Result<Bytes, StepError> {
    let running = AssertUnwindSafe(async { handler.run(input, context).await });
    match running.catch_unwind().await {
        Ok(result) => result,
        Err(panic) => Err(StepError::panicked(panic.as_ref())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo(input: String, _: Context) -> Result<String, StepError> {
        Ok(input)
    }

    #[test]
    fn a_name_that_is_not_dotted_words_is_refused_when_the_worker_starts() {
        assert!(Step::new("payment.charge", echo).announce().is_ok());
        for bad in ["", "Payment", "a..b", "a b", "a.*"] {
            assert!(Step::new(bad, echo).announce().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bad_error_code_is_refused_when_the_worker_starts() {
        let step = Step::new("a.b", echo).error::<String>("Not Good", "");
        assert!(step.announce().expect_err("bad code").to_string().contains("Not Good"));
    }

    #[test]
    fn everything_said_about_a_step_is_announced() {
        let step = Step::blocking("a.b", |n: u8, _| Ok(n)).describe("d").timeout(Duration::from_secs(2)).error::<u8>("gone", "e");
        let capability = step.announce().expect("a good step");
        assert_eq!((capability.description.as_str(), capability.timeout_ms), ("d", 2000));
        assert_eq!(capability.errors[0].code, "gone");
        assert!(capability.errors[0].details_schema.contains("integer"));
        assert!(capability.input_schema.contains("255") && capability.result_schema.contains("255"));
    }
}
