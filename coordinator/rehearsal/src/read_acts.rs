//! Reads what comes from outside in a case.

use crate::case::{Act, Plan, Prompt};
use crate::read::{Names, member, required, resolution};
use std::time::Duration;
use tasker_engine::Payload;
use tasker_engine::decide::approval::Verdict;
use tasker_manifest::reader::{Entry, Member, Reader};

const SIGNAL: [&str; 3] = ["name", "after", "payload"];
const EVENT: [&str; 4] = ["name", "key", "after", "payload"];
const DECISION: [&str; 7] = ["step", "after", "decision", "by", "role", "comment", "form"];
const RESOLVE: [&str; 4] = ["step", "after", "resolution", "by"];
const WITH_REASON: [&str; 2] = ["after", "reason"];

/// Who acts in a case that does not say.
const SOMEBODY: &str = "somebody";

/// What happens by the clock.
pub(crate) fn acts(fields: &[Member], reader: &mut Reader<'_>) -> Vec<Plan> {
    let mut plan = Vec::new();
    for entry in each(fields, "signals", reader) {
        plan.extend(signal(&entry, reader));
    }
    for entry in each(fields, "events", reader) {
        plan.extend(event(&entry, reader));
    }
    for name in ["cancel", "pause", "resume"] {
        for entry in each(fields, name, reader) {
            let what: &'static str = match name {
                "cancel" => "`cancel`",
                "pause" => "`pause`",
                _ => "`resume`",
            };
            let known: &[&'static str] = if name == "resume" { &WITH_REASON[..1] } else { &WITH_REASON };
            let Some(given) = entry.fields(what, known, reader) else { continue };
            let reason = text(&given, "reason", reader).unwrap_or_else(|| "as the case says".to_owned());
            let act = match name {
                "cancel" => Act::Cancel { reason },
                "pause" => Act::Pause { reason },
                _ => Act::Resume,
            };
            plan.push(Plan { after: after(&given, reader), act });
        }
    }
    plan
}

fn signal(entry: &Entry, reader: &mut Reader<'_>) -> Option<Plan> {
    let fields = entry.fields("a signal", &SIGNAL, reader)?;
    let name = required(&fields, "name", entry.spot(), "a signal", "name it as the step does", reader)?.value.text("`name`", reader)?;
    Some(Plan { after: after(&fields, reader), act: Act::Signal { name, payload: payload(&fields, "payload") } })
}

fn event(entry: &Entry, reader: &mut Reader<'_>) -> Option<Plan> {
    let fields = entry.fields("an event", &EVENT, reader)?;
    let name = required(&fields, "name", entry.spot(), "an event", "name it as the step does", reader)?.value.text("`name`", reader)?;
    let key = required(&fields, "key", entry.spot(), "an event", "give the key by which it is correlated", reader)?
        .value
        .text("`key`", reader)?;
    Some(Plan { after: after(&fields, reader), act: Act::Event { name, key, payload: payload(&fields, "payload") } })
}

/// What people do once they are asked.
pub(crate) fn prompts(fields: &[Member], names: &Names<'_>, reader: &mut Reader<'_>) -> Vec<Prompt> {
    let mut prompts = Vec::new();
    for entry in each(fields, "decisions", reader) {
        prompts.extend(decision(&entry, names, reader));
    }
    for entry in each(fields, "resolve", reader) {
        prompts.extend(resolve(&entry, names, reader));
    }
    prompts
}

fn decision(entry: &Entry, names: &Names<'_>, reader: &mut Reader<'_>) -> Option<Prompt> {
    let fields = entry.fields("a decision", &DECISION, reader)?;
    let step = step(&fields, "a decision", entry, names, reader)?;
    let word = required(&fields, "decision", entry.spot(), "a decision", "`approved` or `rejected`", reader)?;
    let approved = word.value.choice("`decision`", &[("approved", true), ("rejected", false)], reader)?;
    let form = member(&fields, "form").and_then(|field| field.value.json()).map(|form| Payload::of(&form));
    let verdict = Verdict {
        approved,
        by: text(&fields, "by", reader).unwrap_or_else(|| SOMEBODY.to_owned()),
        role: text(&fields, "role", reader),
        comment: text(&fields, "comment", reader),
        form,
    };
    Some(Prompt::Decide { step, after: after(&fields, reader), verdict })
}

fn resolve(entry: &Entry, names: &Names<'_>, reader: &mut Reader<'_>) -> Option<Prompt> {
    let fields = entry.fields("a resolution", &RESOLVE, reader)?;
    let step = step(&fields, "a resolution", entry, names, reader)?;
    let hint = "`retry`, `skip`, `fail` or `{ supply: … }`";
    let how = required(&fields, "resolution", entry.spot(), "a resolution", hint, reader)?;
    let resolution = resolution(&how.value, reader)?;
    let by = text(&fields, "by", reader).unwrap_or_else(|| SOMEBODY.to_owned());
    Some(Prompt::Resolve { step, after: after(&fields, reader), resolution, by })
}

fn step(fields: &[Member], what: &str, entry: &Entry, names: &Names<'_>, reader: &mut Reader<'_>) -> Option<String> {
    let field = required(fields, "step", entry.spot(), what, "name the step", reader)?;
    let name = field.value.text("`step`", reader)?;
    names.check_step(&name, field.value.spot(), reader);
    Some(name)
}

/// The elements of a field that is a list or one mapping.
fn each(fields: &[Member], name: &str, reader: &mut Reader<'_>) -> Vec<Entry> {
    let what = format!("`{name}`");
    member(fields, name).and_then(|field| field.value.elements(&what, true, reader)).unwrap_or_default()
}

fn after(fields: &[Member], reader: &mut Reader<'_>) -> Duration {
    member(fields, "after").and_then(|field| field.value.duration("`after`", reader)).unwrap_or(Duration::ZERO)
}

fn text(fields: &[Member], name: &str, reader: &mut Reader<'_>) -> Option<String> {
    let what = format!("`{name}`");
    member(fields, name).and_then(|field| field.value.text(&what, reader))
}

fn payload(fields: &[Member], name: &str) -> Payload {
    member(fields, name).and_then(|field| field.value.json()).map_or_else(Payload::null, |payload| Payload::of(&payload))
}
