//! Reads what a case expects.

use crate::case::{Expect, Status};
use crate::read::{NO_EXPECTATION, Names};
use serde_json::Value;
use std::collections::BTreeMap;
use tasker_manifest::reader::{Entry, Reader};

const EXPECT: [&str; 16] = [
    "status",
    "result",
    "result_contains",
    "error",
    "path",
    "ran",
    "not_run",
    "skipped",
    "failed",
    "waits",
    "attempts",
    "inputs",
    "results",
    "compensated",
    "took",
    "items",
];

const STATUSES: [(&str, Status); 4] =
    [("succeeded", Status::Succeeded), ("failed", Status::Failed), ("cancelled", Status::Cancelled), ("waiting", Status::Waiting)];

pub(crate) fn expect(entry: &Entry, names: &Names<'_>, reader: &mut Reader<'_>) -> Option<Expect> {
    let mut expect = Expect::default();
    let members = entry.fields("an expectation", &EXPECT, reader)?;
    if members.is_empty() {
        let hint = "expect at least a status: `status: succeeded`";
        reader.problem(NO_EXPECTATION, entry.spot(), "a case that expects nothing cannot fail", hint);
    }
    for member in members {
        let value = &member.value;
        match member.key.as_str() {
            "status" => expect.status = value.choice("`status`", &STATUSES, reader),
            "result" => expect.result = value.json(),
            "result_contains" => expect.result_contains = value.json(),
            "error" => expect.error = value.text("`error`", reader),
            "path" => expect.path = Some(steps(value, "`path`", names, reader)),
            "ran" => expect.ran = steps(value, "`ran`", names, reader),
            "not_run" => expect.not_run = steps(value, "`not_run`", names, reader),
            "skipped" => expect.skipped = steps(value, "`skipped`", names, reader),
            "failed" => expect.failed = steps(value, "`failed`", names, reader),
            "waits" => expect.waits = Some(steps(value, "`waits`", names, reader)),
            "compensated" => expect.compensated = Some(steps(value, "`compensated`", names, reader)),
            "attempts" => expect.attempts = counts(value, "`attempts`", names, reader),
            "items" => expect.items = counts(value, "`items`", names, reader),
            "inputs" => expect.inputs = values(value, "`inputs`", names, reader),
            "results" => expect.results = values(value, "`results`", names, reader),
            "took" => expect.took = value.duration("`took`", reader),
            // Reported as unknown.
            _ => {}
        }
    }
    Some(expect)
}

fn steps(entry: &Entry, what: &str, names: &Names<'_>, reader: &mut Reader<'_>) -> Vec<String> {
    let mut steps = Vec::new();
    for element in entry.elements(what, true, reader).unwrap_or_default() {
        let Some(name) = element.text(what, reader) else { continue };
        names.check_step(&name, element.spot(), reader);
        steps.push(name);
    }
    steps
}

fn counts(entry: &Entry, what: &str, names: &Names<'_>, reader: &mut Reader<'_>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for member in entry.members(what, reader).unwrap_or_default() {
        names.check_step(&member.key, member.spot, reader);
        counts.extend(member.value.count(what, reader).map(|count| (member.key.clone(), count)));
    }
    counts
}

fn values(entry: &Entry, what: &str, names: &Names<'_>, reader: &mut Reader<'_>) -> BTreeMap<String, Value> {
    let mut values = BTreeMap::new();
    for member in entry.members(what, reader).unwrap_or_default() {
        names.check_step(&member.key, member.spot, reader);
        values.extend(member.value.json().map(|value| (member.key.clone(), value)));
    }
    values
}
