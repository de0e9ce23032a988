//! Reads `wait_for:`.

use crate::codes;
use crate::fields::{Fields, short, text};
use crate::report::{Problem, Report};
use crate::schema::Schemas;
use crate::slots::{SlotKind, Slots};
use crate::yaml::Node;
use tasker_engine::decide::signal::NAME_BYTES_MAX;
use tasker_engine::workflow::{WaitFor, WaitSource};

/// Reads what a step waits for: a signal by name, or an event by name and key.
pub(crate) fn read(node: &Node, schemas: &mut Schemas, slots: &mut Slots<'_>, report: &mut Report<'_>) -> Option<WaitFor> {
    let fields = Fields::open(node, "`wait_for`", &["signal", "event", "key", "payload"], report)?;
    let payload = fields.get("payload").map(|node| schemas.read(node, "the payload schema", report));
    let given = fields.one_of(&["signal", "event"], report)?;
    let name = fields.get(given).and_then(|node| name(node, given, report));
    let source = match given {
        "signal" => {
            if let Some(key) = fields.key("key") {
                let message = "a signal has no `key`: it is sent to one task by its id";
                let problem = Problem::new(&codes::FIELD_OF_OTHER_KIND, key, message);
                report.add(problem.hint("remove `key`, or wait for an `event` of this name and key"));
                return None;
            }
            WaitSource::Signal(name?)
        }
        _ => {
            fields.required("key", "say which event is meant: `key: \"${ task.input.order_id }\"`", report);
            let key = fields.shared("key").and_then(|node| slots.expression(SlotKind::EventKey, node, "`key`", report));
            WaitSource::Event { name: name?, key: key? }
        }
    };
    Some(WaitFor { source, payload: payload.flatten() })
}

/// Names of signals and events are dotted words, so that they can stand in subjects and URLs.
fn name(node: &Node, what: &str, report: &mut Report<'_>) -> Option<String> {
    let written = text(node, &format!("the name of {} {what}", if what == "event" { "an" } else { "a" }), report)?;
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if written.len() <= NAME_BYTES_MAX && written.split('.').all(is_word) {
        return Some(written.to_owned());
    }
    let problem = Problem::new(&codes::BAD_NAME, node.place, format!("`{}` is not a valid name of {what}s", short(written)));
    report.add(problem.hint(format!("write words of letters, digits, `_` or `-`, joined by dots, at most {NAME_BYTES_MAX} bytes")));
    None
}
