//! The Rust conformance worker: the capabilities of `worker-sdk/conformance/README.md`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tasker_worker::{Context, JsonSchema, Step, StepError, Worker, WorkerError};

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Echo {
    text: String,
    number: i64,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum FailKind {
    Retryable,
    Permanent,
    Cancelled,
    Contract,
    Unexpected,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Fail {
    kind: FailKind,
    code: Option<String>,
    message: Option<String>,
    retry_after_ms: Option<u64>,
    details: Option<serde_json::Map<String, Value>>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Sku {
    sku: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Millis {
    ms: u64,
}

#[derive(Serialize, JsonSchema)]
struct Slept {
    slept_ms: u64,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Progress {
    of: u32,
    every_ms: u64,
}

#[derive(Serialize, JsonSchema)]
struct Done {
    done: u32,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Large {
    bytes: usize,
}

#[derive(Serialize, JsonSchema)]
struct Blob {
    blob: String,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Serialize, JsonSchema)]
struct Level {
    #[schemars(range(min = 0, max = 10))]
    level: u32,
}

#[derive(Serialize, JsonSchema)]
struct Seen {
    task_id: String,
    step: String,
    attempt: u32,
    attempts_max: Option<u32>,
    idempotency_key: String,
    dependencies: BTreeMap<String, Value>,
    trace_id: String,
    workflow: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Text {
    text: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Count {
    key: String,
    ms: u64,
}

#[derive(Serialize, JsonSchema)]
struct Runs {
    runs: u32,
}

async fn echo(input: Echo, _: Context) -> Result<Echo, StepError> {
    Ok(input)
}

fn echo_sync(input: Echo, _: Context) -> Result<Echo, StepError> {
    Ok(input)
}

async fn fail(input: Fail, _: Context) -> Result<Nothing, StepError> {
    let message = input.message.unwrap_or_else(|| "asked to fail".to_owned());
    let code = input.code.clone().unwrap_or_else(|| "asked.to_fail".to_owned());
    let error = match input.kind {
        FailKind::Retryable => match input.code {
            Some(code) => StepError::retryable(message).with_code(code),
            None => StepError::retryable(message),
        },
        FailKind::Permanent => StepError::permanent(code, message),
        FailKind::Contract => StepError::contract(code, message),
        FailKind::Cancelled => StepError::cancelled(),
        FailKind::Unexpected => return Err(std::io::Error::other(message).into()),
    };
    let error = match input.details {
        Some(details) => error.details(&details),
        None => error,
    };
    Err(match input.retry_after_ms {
        Some(ms) => error.after(Duration::from_millis(ms)),
        None => error,
    })
}

async fn declared(input: Sku, _: Context) -> Result<Nothing, StepError> {
    Err(StepError::permanent("out_of_stock", format!("no {} left", input.sku)).details(&input))
}

async fn sleep(input: Millis, ctx: Context) -> Result<Slept, StepError> {
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(input.ms)) => Ok(Slept { slept_ms: input.ms }),
        () = ctx.cancelled() => Err(StepError::cancelled()),
    }
}

async fn stubborn(input: Millis, _: Context) -> Result<Slept, StepError> {
    let started = Instant::now();
    tokio::time::sleep(Duration::from_millis(input.ms)).await;
    Ok(Slept { slept_ms: u64::try_from(started.elapsed().as_millis())? })
}

async fn progress(input: Progress, ctx: Context) -> Result<Done, StepError> {
    for done in 1..=input.of {
        ctx.heartbeat(serde_json::json!({ "done": done, "of": input.of }))?;
        tokio::time::sleep(Duration::from_millis(input.every_ms)).await;
    }
    Ok(Done { done: input.of })
}

async fn large(input: Large, _: Context) -> Result<Blob, StepError> {
    Ok(Blob { blob: "x".repeat(input.bytes) })
}

async fn wrong(_: Nothing, _: Context) -> Result<Level, StepError> {
    Ok(Level { level: 11 })
}

async fn context(_: Nothing, ctx: Context) -> Result<Seen, StepError> {
    let mut dependencies = BTreeMap::new();
    for name in ctx.dependencies().keys() {
        dependencies.insert(name.clone(), ctx.dependency::<Value>(name)?);
    }
    Ok(Seen {
        task_id: ctx.task_id().to_owned(),
        step: ctx.step().to_owned(),
        attempt: ctx.attempt(),
        attempts_max: ctx.attempts_max(),
        idempotency_key: ctx.idempotency_key().to_owned(),
        dependencies,
        trace_id: ctx.trace_id(),
        workflow: ctx.workflow().to_owned(),
    })
}

async fn log(input: Text, _: Context) -> Result<Nothing, StepError> {
    tracing::info!("{}", input.text);
    Ok(Nothing {})
}

async fn count(input: Count, _: Context) -> Result<Runs, StepError> {
    static RUNS: LazyLock<Mutex<HashMap<String, u32>>> = LazyLock::new(Mutex::default);
    let runs = {
        let mut counts = RUNS.lock().unwrap_or_else(PoisonError::into_inner);
        let runs = counts.entry(input.key).or_default();
        *runs += 1;
        *runs
    };
    tokio::time::sleep(Duration::from_millis(input.ms)).await;
    Ok(Runs { runs })
}

#[tokio::main]
async fn main() -> Result<(), WorkerError> {
    tasker_worker::logging::init();
    let system = std::env::var("TASKER_SYSTEM").unwrap_or_else(|_| "conformance".to_owned());
    Worker::new(system)
        .version("1.0.0")
        .step("conformance.echo", echo)
        .blocking_step("conformance.echo_sync", echo_sync)
        .step("conformance.fail", fail)
        .register(Step::new("conformance.declared", declared).error::<Sku>("out_of_stock", "Nothing of this is left."))
        .step("conformance.sleep", sleep)
        .register(Step::new("conformance.heavy", sleep).slot_cost(2))
        .step("conformance.stubborn", stubborn)
        .step("conformance.progress", progress)
        .step("conformance.large", large)
        .step("conformance.wrong", wrong)
        .step("conformance.context", context)
        .step("conformance.log", log)
        .step("conformance.count", count)
        .run()
        .await
}
