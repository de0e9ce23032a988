//! Reads a file of cases as strictly as a manifest is read: what is not known is refused, so that no expectation is ignored.

use crate::case::{Answer, Case, Given, Mock};
use crate::read_acts::{acts, prompts};
use crate::read_expect::expect;
use std::collections::BTreeMap;
use std::time::Duration;
use tasker_engine::event::Resolution;
use tasker_engine::workflow::StepKind;
use tasker_engine::{ErrorCode, Failure, FailureKind, Payload, Timestamp, Workflow};
use tasker_manifest::codes::Code;
use tasker_manifest::reader::{Entry, Member, Reader, Spot, code};
use tasker_manifest::{Diagnostic, Severity};

/// The codes of problems that only cases have; each has a page in `docs/errors/`. What any YAML may have wrong is called as in manifests.
pub const CODES: &[Code] = &[
    Code { code: "cases.unknown_mock", severity: Severity::Error, meaning: "A mock is for nothing that the workflow has." },
    Code { code: "cases.no_expectation", severity: Severity::Error, meaning: "A case expects nothing, so it cannot fail." },
    Code { code: "cases.bad_answer", severity: Severity::Error, meaning: "A mock does not say one thing that comes of an attempt." },
    Code { code: "cases.duplicate_name", severity: Severity::Error, meaning: "Two cases have the same name." },
    Code { code: "cases.too_many", severity: Severity::Error, meaning: "A file has more cases than are run." },
];

pub(crate) const UNKNOWN_MOCK: &Code = &CODES[0];
pub(crate) const NO_EXPECTATION: &Code = &CODES[1];
pub(crate) const BAD_ANSWER: &Code = &CODES[2];
const DUPLICATE_NAME: &Code = &CODES[3];
const TOO_MANY: &Code = &CODES[4];

/// The most cases in one file.
const CASES_MAX: usize = 1_000;

/// The cases of one file.
#[derive(Debug, Clone, PartialEq)]
pub struct Suite {
    /// In the order of the file.
    pub cases: Vec<Case>,
    /// What is odd about the file without being wrong.
    pub warnings: Vec<Diagnostic>,
}

const TOP: [&str; 2] = ["workflow", "cases"];
const CASE: [&str; 12] =
    ["name", "input", "start", "mocks", "signals", "events", "decisions", "resolve", "cancel", "pause", "resume", "expect"];
const ANSWER: [&str; 6] = ["result", "fail", "silent", "lost", "unclaimed", "after"];
/// What an answer says; exactly one of these.
const GIVEN: [&str; 5] = ["result", "fail", "silent", "lost", "unclaimed"];
const FAIL: [&str; 5] = ["code", "message", "retryable", "details", "retry_after"];

/// The manifest that a file of cases names by `workflow:`, relative to that file; none if it names none, so that it is the one of the
/// same name without `.cases`.
///
/// # Errors
/// The file is not YAML, or not a file of cases.
pub fn workflow_of(source: &str, file: &str) -> Result<Option<String>, Vec<Diagnostic>> {
    let mut reader = Reader::new(source, file);
    let root = reader.document();
    let fields = root.and_then(|root| root.fields("a file of cases", &TOP, &mut reader)).unwrap_or_default();
    let named = member(&fields, "workflow").and_then(|field| field.value.text("`workflow`", &mut reader));
    if reader.failed() { Err(reader.finish()) } else { Ok(named) }
}

/// Reads the cases for a workflow. Names of steps, items and capabilities are checked against it.
///
/// # Errors
/// Every problem found, each with its place.
pub fn read(source: &str, file: &str, workflow: &Workflow) -> Result<Suite, Vec<Diagnostic>> {
    let mut reader = Reader::new(source, file);
    let cases = reader.document().map(|root| suite(&root, workflow, &mut reader)).unwrap_or_default();
    if reader.failed() { Err(reader.finish()) } else { Ok(Suite { cases, warnings: reader.finish() }) }
}

fn suite(root: &Entry, workflow: &Workflow, reader: &mut Reader<'_>) -> Vec<Case> {
    let Some(fields) = root.fields("a file of cases", &TOP, reader) else { return Vec::new() };
    let Some(list) = required(&fields, "cases", root.spot(), "a file of cases", "list the cases: `cases:`", reader) else {
        return Vec::new();
    };
    let Some(entries) = list.value.elements("`cases`", false, reader) else { return Vec::new() };
    if entries.len() > CASES_MAX {
        let message = format!("the file has {} cases; at most {CASES_MAX} are run", entries.len());
        reader.problem(TOO_MANY, list.spot, message, "split the file");
        return Vec::new();
    }
    let mut cases: Vec<Case> = Vec::new();
    for entry in entries {
        let Some(case) = case(&entry, workflow, reader) else { continue };
        if cases.iter().any(|other| other.name == case.name) {
            let message = format!("there is another case called `{}`", case.name);
            reader.problem(DUPLICATE_NAME, entry.spot(), message, "name each case by the fact that it shows");
        }
        cases.push(case);
    }
    cases
}

fn case(entry: &Entry, workflow: &Workflow, reader: &mut Reader<'_>) -> Option<Case> {
    let fields = entry.fields("a case", &CASE, reader)?;
    let names = Names { workflow };
    let hint = "name the fact that it shows: `name: a declined card undoes the reservation`";
    let name = required(&fields, "name", entry.spot(), "a case", hint, reader).and_then(|field| field.value.text("a case's name", reader));
    let input = member(&fields, "input").and_then(|field| field.value.json());
    let start = member(&fields, "start").and_then(|field| instant(&field.value, reader));
    let mocks = member(&fields, "mocks").map(|field| mocks(&field.value, &names, reader)).unwrap_or_default();
    let expectation = required(&fields, "expect", entry.spot(), "a case", "say what must come of it: `expect:`", reader)
        .and_then(|field| expect(&field.value, &names, reader));
    Some(Case {
        plan: acts(&fields, reader),
        prompts: prompts(&fields, &names, reader),
        name: name?,
        input: input.map_or_else(Payload::null, |input| Payload::of(&input)),
        start: start.unwrap_or(Case::START),
        mocks,
        expect: expectation?,
    })
}

/// An instant in RFC 3339.
fn instant(entry: &Entry, reader: &mut Reader<'_>) -> Option<Timestamp> {
    let text = entry.text("`start`", reader)?;
    match text.parse::<jiff::Timestamp>() {
        Ok(instant) => Some(Timestamp::from_millis(instant.as_millisecond())),
        Err(_) => {
            let message = format!("`{text}` is not an instant");
            reader.problem(code::wrong_type(), entry.spot(), message, "write it in RFC 3339, quoted: `'2027-01-31T09:00:00Z'`");
            None
        }
    }
}

fn mocks(entry: &Entry, names: &Names<'_>, reader: &mut Reader<'_>) -> BTreeMap<String, Mock> {
    let mut mocks = BTreeMap::new();
    for Member { key, spot, value } in entry.members("`mocks`", reader).unwrap_or_default() {
        names.check_mock(&key, spot, reader);
        let Some(answers) = value.elements("a mock", true, reader) else { continue };
        if answers.is_empty() {
            reader.problem(BAD_ANSWER, spot, format!("the mock of `{key}` has no answer"), "give it one: `result: { … }`");
        }
        let answers = answers.iter().filter_map(|answer| read_answer(answer, reader)).collect();
        mocks.insert(key, Mock { answers });
    }
    mocks
}

fn read_answer(entry: &Entry, reader: &mut Reader<'_>) -> Option<Answer> {
    let fields = entry.fields("an answer", &ANSWER, reader)?;
    let after = member(&fields, "after").and_then(|field| field.value.duration("`after`", reader)).unwrap_or(Duration::ZERO);
    let mut given: Vec<Given> = Vec::new();
    for Member { key, value, .. } in &fields {
        match key.as_str() {
            "result" => given.extend(value.json().map(|result| Given::Result(Payload::of(&result)))),
            "fail" => given.extend(failure(value, reader).map(Given::Failure)),
            "silent" | "lost" | "unclaimed" => match (value.flag(key, reader), key.as_str()) {
                (Some(true), "silent") => given.push(Given::Silence),
                (Some(true), "lost") => given.push(Given::Lost),
                (Some(true), _) => given.push(Given::Unclaimed),
                (Some(false) | None, _) => {}
            },
            _ => {}
        }
    }
    let said = fields.iter().filter(|field| GIVEN.contains(&field.key.as_str())).count();
    // What was given and could not be read was reported where it stands.
    if said != 1 || (given.is_empty() && says_no(&fields)) {
        let hint = "one of `result: …`, `fail: { code: … }`, `silent: true`, `lost: true`, `unclaimed: true`";
        let message = if said > 1 { "an answer says more than one thing" } else { "an answer says nothing" };
        reader.problem(BAD_ANSWER, entry.spot(), message, hint);
        return None;
    }
    Some(Answer { given: given.pop()?, after })
}

/// Whether a flag is given that is false, which says nothing about what comes.
fn says_no(fields: &[Member]) -> bool {
    let flags = fields.iter().filter(|field| GIVEN[2..].contains(&field.key.as_str()));
    flags.into_iter().any(|field| field.value.json() == Some(false.into()))
}

fn failure(entry: &Entry, reader: &mut Reader<'_>) -> Option<Failure> {
    // `fail: card_declined` says all that most cases need.
    if !entry.is_mapping() {
        let text = entry.text("`fail`", reader)?;
        return Some(Failure::new(FailureKind::Permanent, error_code(&text, entry.spot(), reader)?, "as the case says"));
    }
    let fields = entry.fields("a failure", &FAIL, reader)?;
    let name = required(&fields, "code", entry.spot(), "a failure", "name the error: `code: card_declined`", reader)?;
    let text = name.value.text("`code`", reader)?;
    let known = error_code(&text, name.value.spot(), reader)?;
    let message = member(&fields, "message").and_then(|field| field.value.text("`message`", reader));
    let retryable = member(&fields, "retryable").and_then(|field| field.value.flag("`retryable`", reader)).unwrap_or(false);
    let kind = if retryable { FailureKind::Retryable } else { FailureKind::Permanent };
    let mut failure = Failure::new(kind, known, message.unwrap_or_else(|| "as the case says".to_owned()));
    failure.details = member(&fields, "details").and_then(|field| field.value.json()).map(|details| Payload::of(&details));
    failure.retry_after = member(&fields, "retry_after").and_then(|field| field.value.duration("`retry_after`", reader));
    Some(failure)
}

fn error_code(text: &str, spot: Spot, reader: &mut Reader<'_>) -> Option<ErrorCode> {
    ErrorCode::new(text)
        .map_err(|invalid| reader.problem(code::wrong_type(), spot, invalid.to_string(), format!("an error code is: {}", invalid.rule)))
        .ok()
}

/// How a person resolves a held step.
pub(crate) fn resolution(entry: &Entry, reader: &mut Reader<'_>) -> Option<Resolution> {
    if entry.is_mapping() {
        let fields = entry.fields("a resolution", &["supply"], reader)?;
        let value = required(&fields, "supply", entry.spot(), "a resolution", "give the result: `supply: { … }`", reader)?;
        return Some(Resolution::Supply(Payload::of(&value.value.json()?)));
    }
    let words = [("retry", 0), ("skip", 1), ("fail", 2)];
    Some(match entry.choice("`resolution`", &words, reader)? {
        0 => Resolution::Retry,
        1 => Resolution::Skip,
        _ => Resolution::Fail,
    })
}

pub(crate) fn member<'f>(fields: &'f [Member], name: &str) -> Option<&'f Member> {
    fields.iter().find(|field| field.key == name)
}

/// A field that must be there; its absence is reported.
pub(crate) fn required<'f>(
    fields: &'f [Member],
    name: &str,
    spot: Spot,
    what: &str,
    hint: &str,
    reader: &mut Reader<'_>,
) -> Option<&'f Member> {
    let found = member(fields, name);
    if found.is_none() {
        reader.problem(code::missing_field(), spot, format!("{what} needs the field `{name}`"), hint);
    }
    found
}

/// The names that a case may use.
pub(crate) struct Names<'w> {
    workflow: &'w Workflow,
}

impl Names<'_> {
    fn steps(&self) -> impl Iterator<Item = &str> {
        self.workflow.steps.iter().map(|step| step.name.as_str())
    }

    /// Reports a step that does not exist. Steps of a child, `ship/pack`, are known when the child runs.
    pub fn check_step(&self, name: &str, spot: Spot, reader: &mut Reader<'_>) {
        let first = name.split('/').next().unwrap_or_default();
        let bare = first.split_once('[').map_or(first, |(bare, _)| bare);
        if self.workflow.find(bare).is_none() {
            let message = format!("no step is called `{bare}`");
            reader.unknown(code::unknown_step(), spot, bare, message, "name a step of the workflow", self.steps());
        }
    }

    fn check_mock(&self, key: &str, spot: Spot, reader: &mut Reader<'_>) {
        let first = key.split('/').next().unwrap_or_default();
        let bare = first.split_once('[').map_or(first, |(bare, _)| bare);
        let capabilities = || self.workflow.steps.iter().filter_map(|step| step.capability()).map(|name| name.as_str());
        // Children have capabilities of their own, which are known when they run.
        let has_children = self.workflow.steps.iter().any(|step| matches!(step.kind, StepKind::Child(_)));
        if self.workflow.find(bare).is_some() {
            let answers =
                matches!(self.workflow.find(bare).map(|step| &self.workflow.step(step).kind), Some(StepKind::Call(_) | StepKind::Child(_)));
            if !answers {
                let hint = "mock steps that ask a system or start a child; waits are ended by `signals`, `events` and `decisions`";
                reader.problem(UNKNOWN_MOCK, spot, format!("`{bare}` asks nobody, so nothing can be mocked"), hint);
            }
        } else if !(capabilities().any(|name| name == key) || has_children && key.contains('.')) {
            let message = format!("the workflow has no step and no capability `{key}`");
            let hint = "mocks are for a step (`charge`), an item (`resize[3]`), a step of a child (`ship/pack`) or a capability";
            let known: Vec<&str> = self.steps().chain(capabilities()).collect();
            reader.unknown(UNKNOWN_MOCK, spot, key, message, hint, known);
        }
    }
}
