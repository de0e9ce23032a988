//! `tasker task submit --input-lines`: a task for each line of a file, in batches, some of them under way at once, in the order of the file.
//!
//! Every line has an idempotency key, so a broken run is continued by running the same command again: what was accepted before is found, not repeated.

use super::input;
use super::submit::Submit;
use crate::answers::Submitted;
use crate::client::Client;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Format;
use crate::look::Tone;
use crate::problem::{Place, Problem};
use crate::retry::{self, Patience, Trouble};
use crate::text;
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::future::Future;
use std::io::{BufRead, Read};
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::mpsc;

/// A batch is closed at this size, however few lines it has, so that requests stay far below what servers accept.
const BATCH_BYTES_MAX: usize = 512 * 1024;
/// A longer line is not a task's input but a mistake, and would fill the memory.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// One line of the file, ready to be sent or already refused.
#[derive(Debug)]
struct Line {
    number: u64,
    /// Its length in the file, for the progress bar.
    bytes: u64,
    content: Result<Content, Box<Problem>>,
}

#[derive(Debug)]
struct Content {
    key: String,
    input: Box<RawValue>,
}

/// What became of a line.
#[derive(Debug)]
struct Fate {
    number: u64,
    bytes: u64,
    outcome: Result<Submitted, Box<Problem>>,
}

/// Where keys come from.
#[derive(Debug)]
enum Keys {
    Field(String),
    Prefix(String),
}

pub(super) async fn run(submit: Submit, client: &Client, console: &mut Console) -> Result<Exit, Failure> {
    if console.format() == Format::Yaml {
        return Err(Failure::Usage {
            said: "many submissions are not printed as YAML".to_owned(),
            help: "use -o jsonl: one document per line".to_owned(),
        });
    }
    let path = submit.input_lines.clone().expect("the parser requires --input or --input-lines");
    let keys = match (&submit.key_field, &submit.key_prefix) {
        (Some(field), _) => Keys::Field(field.clone()),
        (None, Some(prefix)) => Keys::Prefix(prefix.clone()),
        (None, None) => Keys::Prefix(new_prefix()),
    };
    let resume = match &keys {
        Keys::Field(_) => "run the same command again: lines that were accepted are found by their keys, not repeated".to_owned(),
        Keys::Prefix(prefix) => {
            format!("run the same command with --key-prefix {prefix}: lines that were accepted are found by their keys, not repeated")
        }
    };
    let (reader, length) = open(&path, console)?;
    let progress = progress(length, console);
    let batches = read_in_background(reader, keys, usize::from(submit.batch_size), input::name_of(&path));
    let concurrency = usize::from(submit.concurrency);
    let (refused_max, submit) = (submit.refused_max, Arc::new(submit));
    let mut answered = futures::stream::unfold(batches, async |mut batches| Some((batches.recv().await?, batches)))
        .map(|batch| send_batch(batch, submit.clone(), client.clone()))
        .buffered(concurrency)
        .boxed();

    let mut tally = Tally::default();
    let mut stopped = None;
    'all: while let Some(fates) = answered.next().await {
        let fates = match fates {
            Ok(fates) => fates,
            Err(failure) => {
                stopped = Some(failure);
                break;
            }
        };
        for fate in fates {
            tally.count(&fate);
            progress.inc(fate.bytes);
            progress.suspend(|| tell(&fate, console))?;
            if tally.refused > refused_max {
                stopped = Some(too_many_refused(refused_max));
                break 'all;
            }
        }
        progress.set_message(tally.to_string());
    }
    progress.finish_and_clear();
    console.chat(&tally.to_string());
    match stopped {
        Some(failure) => {
            console.chat(&format!("stopped after line {}; to continue, {resume}", tally.last));
            Err(failure)
        }
        None if tally.refused > 0 => Ok(Exit::Error),
        None => Ok(Exit::Success),
    }
}

/// A prefix that no other run has: nobody starts two processes with one id in one nanosecond.
fn new_prefix() -> String {
    format!("lines-{:x}-{:x}", jiff::Timestamp::now().as_nanosecond(), std::process::id())
}

fn too_many_refused(refused_max: u64) -> Failure {
    let problem = Problem {
        code: "client.too_many_refused".to_owned(),
        detail: Some(format!("more than {} refused", text::counted(usize::try_from(refused_max).unwrap_or(usize::MAX), "line"))),
        hint: Some("correct the lines, or allow more with --refused-max N".to_owned()),
        ..Problem::default()
    };
    problem.into()
}

fn open(path: &str, console: &mut Console) -> Result<(Box<dyn BufRead + Send>, Option<u64>), Failure> {
    if path == "-" {
        return Ok((console.take_input(), None));
    }
    let refused = |cause: std::io::Error| Failure::Input { path: input::name_of(path), cause: cause.to_string(), help: None };
    let file = std::fs::File::open(path).map_err(refused)?;
    let metadata = file.metadata().map_err(refused)?;
    Ok((Box::new(std::io::BufReader::new(file)), metadata.is_file().then_some(metadata.len())))
}

fn progress(length: Option<u64>, console: &Console) -> ProgressBar {
    if !console.shows_progress() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match length {
        Some(length) => (ProgressBar::new(length), "{bar:30} {percent:>3}% {elapsed} (eta {eta})  {msg}"),
        None => (ProgressBar::new_spinner(), "{spinner} {elapsed}  {msg}"),
    };
    bar.with_style(ProgressStyle::with_template(template).expect("the template is a constant that is tested"))
}

/// Reads batches on a thread of its own, because a pipe may keep silent while answers arrive. It ends with the file, or when nobody listens.
fn read_in_background(
    reader: Box<dyn BufRead + Send>,
    keys: Keys,
    lines_max: usize,
    name: String,
) -> mpsc::Receiver<Result<Vec<Line>, Failure>> {
    // One batch waits while others are under way; more would only hold memory.
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut reader = Reader { reader, keys, number: 0, name };
        loop {
            let batch = reader.batch(lines_max);
            let last = !matches!(&batch, Ok(lines) if !lines.is_empty());
            let empty = matches!(&batch, Ok(lines) if lines.is_empty());
            if empty || sender.blocking_send(batch).is_err() || last {
                break;
            }
        }
    });
    receiver
}

struct Reader {
    reader: Box<dyn BufRead + Send>,
    keys: Keys,
    number: u64,
    name: String,
}

impl Reader {
    /// The next lines; none at the end of the file.
    fn batch(&mut self, lines_max: usize) -> Result<Vec<Line>, Failure> {
        let mut lines = Vec::new();
        let mut bytes = 0;
        while lines.len() < lines_max && bytes < BATCH_BYTES_MAX {
            let mut raw = Vec::new();
            let read =
                self.reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut raw).map_err(|cause| self.refused(&cause.to_string()))?;
            if read == 0 {
                break;
            }
            self.number += 1;
            if raw.len() as u64 >= LINE_BYTES_MAX {
                return Err(self.refused(&format!("line {} is longer than {} MiB", self.number, LINE_BYTES_MAX / 1024 / 1024)));
            }
            let trimmed = raw.trim_ascii();
            if trimmed.is_empty() {
                continue;
            }
            bytes += trimmed.len();
            lines.push(Line { number: self.number, bytes: read as u64, content: self.content(trimmed) });
        }
        Ok(lines)
    }

    fn refused(&self, cause: &str) -> Failure {
        let help = "the file has one JSON document per line".to_owned();
        Failure::Input { path: self.name.clone(), cause: cause.to_owned(), help: Some(help) }
    }

    fn content(&self, line: &[u8]) -> Result<Content, Box<Problem>> {
        let input: Box<RawValue> = serde_json::from_slice(line).map_err(|cause| {
            // The parser counts from the start of this line, so its `line 1` would mislead.
            let said = cause.to_string();
            let what = said.strip_suffix(&format!(" at line {} column {}", cause.line(), cause.column())).unwrap_or(&said);
            local("line.not_json", &format!("column {}: {what}", cause.column()))
        })?;
        let key = match &self.keys {
            Keys::Prefix(prefix) => format!("{prefix}-{}", self.number),
            Keys::Field(field) => key_of(&input, field)
                .ok_or_else(|| local("line.key_missing", &format!("the field `{field}` is missing, or is neither text nor a number")))?,
        };
        Ok(Content { key, input })
    }
}

/// A refusal of our own, before anything was sent.
fn local(code: &str, detail: &str) -> Box<Problem> {
    Box::new(Problem { code: code.to_owned(), detail: Some(detail.to_owned()), ..Problem::default() })
}

/// The key in a line: text, or a number exactly as it is written. `order_id` is a field of the line, `/order/id` one inside.
fn key_of(input: &RawValue, field: &str) -> Option<String> {
    let path: Vec<String> = match field.strip_prefix('/') {
        Some(pointer) => pointer.split('/').map(|word| word.replace("~1", "/").replace("~0", "~")).collect(),
        None => vec![field.to_owned()],
    };
    let mut place: &RawValue = input;
    for word in &path {
        let fields: BTreeMap<String, &RawValue> = serde_json::from_str(place.get()).ok()?;
        place = fields.get(word).copied()?;
    }
    let text = place.get();
    match text.as_bytes().first()? {
        b'"' => serde_json::from_str(text).ok().filter(|key: &String| !key.is_empty()),
        b'-' | b'0'..=b'9' => Some(text.to_owned()),
        _ => None,
    }
}

async fn send_batch(batch: Result<Vec<Line>, Failure>, submit: Arc<Submit>, client: Client) -> Result<Vec<Fate>, Failure> {
    let mut fates = Vec::new();
    let mut ready = Vec::new();
    for line in batch? {
        match line.content {
            Ok(content) => ready.push((line.number, line.bytes, content)),
            Err(problem) => fates.push(Fate { number: line.number, bytes: line.bytes, outcome: Err(problem) }),
        }
    }
    let contents: Vec<&Content> = ready.iter().map(|(_, _, content)| content).collect();
    let outcomes = send(&contents, &submit, &client).await?;
    fates.extend(ready.iter().zip(outcomes).map(|((number, bytes, _), outcome)| Fate { number: *number, bytes: *bytes, outcome }));
    fates.sort_by_key(|fate| fate.number);
    Ok(fates)
}

type Outcomes = Vec<Result<Submitted, Box<Problem>>>;

/// Sends lines until each is accepted or finally refused. What is too large together is sent in halves.
fn send<'a>(
    contents: &'a [&'a Content],
    submit: &'a Submit,
    client: &'a Client,
) -> Pin<Box<dyn Future<Output = Result<Outcomes, Failure>> + Send + 'a>> {
    Box::pin(async move {
        let mut outcomes: Vec<Option<Result<Submitted, Box<Problem>>>> = contents.iter().map(|_| None).collect();
        let mut tried = 0;
        loop {
            let open: Vec<usize> = (0..contents.len()).filter(|&index| outcomes[index].is_none()).collect();
            if open.is_empty() {
                return Ok(outcomes.into_iter().flatten().collect());
            }
            let asked: Vec<&Content> = open.iter().map(|&index| contents[index]).collect();
            let answered = match send_once(&asked, submit, client).await {
                Err(Failure::Problem(problem)) if problem.status == 413 && asked.len() > 1 => {
                    let (first, second) = asked.split_at(asked.len() / 2);
                    let mut halves = send(first, submit, client).await?;
                    halves.extend(send(second, submit, client).await?);
                    halves
                }
                Err(Failure::Problem(problem)) if problem.status == 413 => vec![Err(problem)],
                other => other?,
            };
            tried += 1;
            let delay = retry::delay(Patience::Long, true, tried, Trouble::Status { status: 503, retry_after: None });
            for (index, outcome) in open.into_iter().zip(answered) {
                let again = matches!(&outcome, Err(problem) if problem.retryable) && delay.is_some();
                outcomes[index] = (!again).then_some(outcome);
            }
            if let Some(delay) = delay.filter(|_| outcomes.iter().any(Option::is_none)) {
                tokio::time::sleep(delay).await;
            }
        }
    })
}

async fn send_once(contents: &[&Content], submit: &Submit, client: &Client) -> Result<Outcomes, Failure> {
    #[derive(Serialize)]
    struct Body<'a> {
        tasks: Vec<super::submit::Submission<'a>>,
    }
    #[derive(Deserialize)]
    struct Answered {
        items: Vec<Item>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Item {
        Refused { problem: Box<Problem> },
        Submitted(Submitted),
    }

    let tasks = contents.iter().map(|content| submit.submission(&content.input, Some(&content.key))).collect();
    let body = serde_json::to_string(&Body { tasks }).expect("text and valid JSON always print");
    let mut request = client.post(&["tasks:batch"]).json(body).repeatable().patient();
    if let Some(trace) = submit.traceparent() {
        request = request.header("traceparent", trace);
    }
    let answer = request.send().await?;
    let answered: Answered = answer.read()?;
    if answered.items.len() != contents.len() {
        return Err(Failure::Unreadable {
            address: "the batch endpoint".to_owned(),
            cause: format!("{} for {}", text::counted(answered.items.len(), "answer"), text::counted(contents.len(), "task")),
        });
    }
    Ok(answered
        .items
        .into_iter()
        .map(|item| match item {
            Item::Submitted(submitted) => Ok(submitted),
            Item::Refused { problem } => Err(problem),
        })
        .collect())
}

/// Tells what became of one line: ids are data, refusals are errors.
fn tell(fate: &Fate, console: &mut Console) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Record<'a> {
        line: u64,
        id: &'a str,
        created: bool,
        trace_id: Option<&'a str>,
    }
    match &fate.outcome {
        Ok(_) if console.is_quiet() => Ok(()),
        Ok(submitted) => match console.format() {
            Format::Table => console.line(&text::clean(&submitted.id)),
            Format::Json | Format::Jsonl | Format::Yaml => {
                let record =
                    Record { line: fate.number, id: &submitted.id, created: submitted.created, trace_id: submitted.trace_id.as_deref() };
                console.line(&crate::json::compact(&serde_json::to_string(&record).expect("text and numbers always print")))
            }
        },
        Err(problem) => {
            let detail = problem.detail.as_deref().unwrap_or(&problem.title);
            let look = crate::look::Look { colour: false, ..console.look() };
            let mut said = look.headline("error", Tone::Bad, &problem.code, &format!("line {}: {detail}", fate.number));
            for Place { pointer, message, .. } in &problem.errors {
                said.push_str(&format!("\n  --> {}: {}", text::clean(pointer), text::clean(message)));
            }
            console.complain(&said);
            Ok(())
        }
    }
}

/// What has become of the lines so far.
#[derive(Debug, Default)]
struct Tally {
    created: u64,
    found: u64,
    refused: u64,
    last: u64,
}

impl Tally {
    fn count(&mut self, fate: &Fate) {
        self.last = fate.number;
        match &fate.outcome {
            Ok(submitted) if submitted.created => self.created += 1,
            Ok(_) => self.found += 1,
            Err(_) => self.refused += 1,
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} submitted, {} already there, {} refused", self.created, self.found, self.refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).expect("valid JSON")
    }

    #[test]
    fn keys_are_found_at_the_top_and_inside() {
        let line = raw(r#"{"order_id":"536365","n":12345678901234567890123,"deep":{"a/b":{"id":7}},"flag":true,"empty":""}"#);
        let check = |field, expect: Option<&str>| assert_eq!(key_of(&line, field).as_deref(), expect, "{field}");
        check("order_id", Some("536365"));
        check("n", Some("12345678901234567890123"));
        check("/deep/a~1b/id", Some("7"));
        check("flag", None);
        check("empty", None);
        check("missing", None);
        check("/order_id/x", None);
    }

    #[test]
    fn lines_become_batches_bounded_by_count_and_size() {
        let big = format!("{{\"x\":\"{}\"}}\n", "y".repeat(BATCH_BYTES_MAX));
        let text = format!("{{\"a\":1}}\n\n  \n{{\"a\":2}}\nnot json\n{big}{{\"a\":3}}");
        let mut reader = Reader {
            reader: Box::new(std::io::Cursor::new(text.into_bytes())),
            keys: Keys::Prefix("p".to_owned()),
            number: 0,
            name: "f".to_owned(),
        };
        let mut batches = Vec::new();
        loop {
            let batch = reader.batch(2).expect("readable");
            if batch.is_empty() {
                break;
            }
            batches.push(
                batch
                    .iter()
                    .map(|line| (line.number, line.content.as_ref().map(|c| c.key.clone()).map_err(|p| p.code.clone())))
                    .collect::<Vec<_>>(),
            );
        }
        let ok = |number: u64| (number, Ok(format!("p-{number}")));
        assert_eq!(batches, [vec![ok(1), ok(4)], vec![(5, Err("line.not_json".to_owned())), ok(6)], vec![ok(7)]]);
    }

    #[test]
    fn the_templates_of_the_progress_bar_are_valid() {
        let global = <super::super::Alone as clap::Parser>::try_parse_from(["tasker", "workflow", "list"]).expect("valid").global;
        let (console, _) = Console::captured(&global, std::io::empty());
        assert!(progress(Some(1), &console).is_hidden());
        for template in ["{bar:30} {percent:>3}% {elapsed} (eta {eta})  {msg}", "{spinner} {elapsed}  {msg}"] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
