//! `tasker task submit`: one task, or as many as a file has lines.

use super::{input, lines, wait};
use crate::answers::Submitted;
use crate::client::Client;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Format;
use crate::text;
use clap::{ArgGroup, Args};
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long `--wait` waits if nothing else is said.
const WAIT_DEFAULT: Duration = Duration::from_secs(60);

/// What to submit.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["input", "input_lines"]))]
pub struct Submit {
    /// The workflow to run
    #[arg(value_parser = text::parse_name)]
    pub(super) workflow: String,

    /// The task's input: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    input: Option<String>,

    /// Another version than the current one
    #[arg(long, value_name = "VERSION", value_parser = text::parse_name)]
    pub(super) version: Option<String>,

    /// Idempotency key: the same key and input give the same task, however often they are sent
    #[arg(long, value_name = "KEY", conflicts_with = "input_lines")]
    key: Option<String>,

    /// A label to find the task by; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = input::parse_label)]
    pub(super) labels: Vec<(String, String)>,

    /// How urgent: -100 to 100, within what the workflow allows [default: what the workflow says]
    #[arg(long, value_name = "N", allow_hyphen_values = true, value_parser = clap::value_parser!(i8).range(-100..=100))]
    pub(super) priority: Option<i8>,

    /// Continue this W3C trace
    #[arg(long, env = "TRACEPARENT", value_name = "TRACEPARENT", hide_env_values = true)]
    traceparent: Option<String>,

    /// Wait for the end and print the result; exit with 6 if the task does not succeed
    #[arg(long, conflicts_with = "input_lines")]
    wait: bool,

    /// How long to wait at most [default: 60s]
    #[arg(long, value_name = "DURATION", requires = "wait", value_parser = text::parse_duration)]
    timeout: Option<Duration>,

    /// Submit a task for each line of this file of JSON lines; - is standard input
    #[arg(long, value_name = "FILE")]
    pub(super) input_lines: Option<String>,

    /// With --input-lines: the field whose value is the idempotency key (order_id, or /order/id for an inner one)
    #[arg(long, value_name = "FIELD", conflicts_with_all = ["input", "key_prefix"])]
    pub(super) key_field: Option<String>,

    /// With --input-lines: keys are PREFIX-<line number>; without, a new prefix is made for each run
    #[arg(long, value_name = "PREFIX", conflicts_with = "input")]
    pub(super) key_prefix: Option<String>,

    /// With --input-lines: tasks sent in one request, 1 to 1000
    #[arg(long, value_name = "N", conflicts_with = "input", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(super) batch_size: u16,

    /// With --input-lines: requests under way at once, 1 to 64
    #[arg(long, value_name = "N", conflicts_with = "input", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(super) concurrency: u16,

    /// With --input-lines: stop once more lines than this were refused
    #[arg(long, value_name = "N", conflicts_with = "input", default_value_t = 100)]
    pub(super) refused_max: u64,
}

/// One submission, as the server reads it.
#[derive(Debug, Serialize)]
pub(super) struct Submission<'a> {
    workflow: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    input: &'a RawValue,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<i8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'a str>,
}

impl Submit {
    /// The submission of one input. A key in the body is for batches; a single submission sends it as a header.
    pub(super) fn submission<'a>(&'a self, input: &'a RawValue, idempotency_key: Option<&'a str>) -> Submission<'a> {
        Submission {
            workflow: &self.workflow,
            version: self.version.as_deref(),
            input,
            labels: self.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
            priority: self.priority,
            idempotency_key,
        }
    }

    /// The trace to continue.
    pub(super) fn traceparent(&self) -> Option<&str> {
        self.traceparent.as_deref().filter(|trace| !trace.is_empty())
    }
}

pub(super) async fn run(submit: Submit, client: &Client, console: &mut Console) -> Result<Exit, Failure> {
    match &submit.input {
        Some(given) => {
            let input = input::read_json(given, console)?;
            one(&submit, &input, client, console).await
        }
        None => lines::run(submit, client, console).await,
    }
}

async fn one(submit: &Submit, input: &RawValue, client: &Client, console: &mut Console) -> Result<Exit, Failure> {
    let body = serde_json::to_string(&submit.submission(input, None)).expect("text and valid JSON always print");
    let mut request = client.post(&["tasks"]).json(body);
    if let Some(key) = &submit.key {
        request = request.key(key);
    }
    if let Some(trace) = submit.traceparent() {
        request = request.header("traceparent", trace);
    }
    let answer = request.send().await?;
    let submitted: Submitted = answer.read()?;
    let id = text::clean(&submitted.id);
    if !submitted.created {
        console.chat("this key was used before: it is the same task, nothing new was started");
    }
    if !submit.wait {
        console.answer(&answer.body, |_| Ok(format!("{id}\n")))?;
        if let Some(trace) = &submitted.trace_id {
            console.chat(&format!("trace {}", text::clean(trace)));
        }
        console.chat(&format!("next: tasker task watch {id}"));
        return Ok(Exit::Success);
    }
    if console.format() == Format::Table {
        console.line(&id)?;
    }
    let (answer, outcome) = wait::for_end(&submitted.id, submit.timeout.unwrap_or(WAIT_DEFAULT), client).await?;
    wait::print(&answer, &outcome, console)
}
