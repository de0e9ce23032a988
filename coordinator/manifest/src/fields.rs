//! Reads mappings strictly: what is not known is refused, so that no field is parsed and ignored.

use crate::codes;
use crate::report::{Place, Problem, Report};
use crate::suggest::nearest;
use crate::yaml::{Key, Kind, Node};
use std::rc::Rc;

/// The longest description, in bytes: a few paragraphs.
const DESCRIPTION_MAX: usize = 8 * 1024;

/// A mapping whose keys are all known.
pub(crate) struct Fields<'n> {
    what: &'static str,
    mark: Place,
    entries: &'n [(Key, Rc<Node>)],
}

impl<'n> Fields<'n> {
    /// Opens a node as a mapping and reports every key that is not known. `what` names it in messages: `a step`.
    pub fn open(node: &'n Node, what: &'static str, known: &[&'static str], report: &mut Report<'_>) -> Option<Self> {
        let entries = entries(node, what, report)?;
        for (key, _) in entries.iter().filter(|(key, _)| !known.contains(&key.text.as_str())) {
            let close = nearest(report, &key.text, known.iter().copied());
            let message = format!("{what} has no field `{}`", short(&key.text));
            let problem = Problem::new(&codes::UNKNOWN_FIELD, key.place, message);
            report.add(problem.hint(format!("its fields are {}", listed(known))).nearest(close));
        }
        Some(Self { what, mark: node.mark(), entries })
    }

    pub fn get(&self, name: &str) -> Option<&'n Node> {
        self.entries.iter().find(|(key, _)| key.text == name).map(|(_, value)| value.as_ref())
    }

    /// A field's value, for whoever keeps it.
    pub fn shared(&self, name: &str) -> Option<&'n Rc<Node>> {
        self.entries.iter().find(|(key, _)| key.text == name).map(|(_, value)| value)
    }

    /// The one field that is given of several that exclude each other; none or two are reported.
    pub fn one_of(&self, names: &[&'static str], report: &mut Report<'_>) -> Option<&'static str> {
        let given: Vec<&'static str> = names.iter().copied().filter(|name| self.get(name).is_some()).collect();
        let problem = match given.as_slice() {
            [one] => return Some(one),
            [] => Problem::new(&codes::EXACTLY_ONE, self.mark, format!("{} needs one of {}", self.what, listed(names))),
            [first, second, ..] => {
                let message = format!("{} has both `{first}` and `{second}`, of which only one can hold", self.what);
                Problem::new(&codes::EXACTLY_ONE, self.key(second).unwrap_or(self.mark), message)
            }
        };
        report.add(problem.hint(format!("give exactly one of {}", listed(names))));
        None
    }

    /// The place of a field's key.
    pub fn key(&self, name: &str) -> Option<Place> {
        self.entries.iter().find(|(key, _)| key.text == name).map(|(key, _)| key.place)
    }

    /// A field that must be there; its absence is reported at the mapping's first key.
    pub fn required(&self, name: &str, hint: &str, report: &mut Report<'_>) -> Option<&'n Node> {
        let found = self.get(name);
        if found.is_none() {
            let message = format!("{} needs the field `{name}`", self.what);
            report.add(Problem::new(&codes::MISSING_FIELD, self.mark, message).hint(hint));
        }
        found
    }

    /// The place to mark when the mapping as a whole is meant.
    pub fn mark(&self) -> Place {
        self.mark
    }

    /// The field `description`, or nothing said.
    pub fn description(&self, report: &mut Report<'_>) -> String {
        let Some(node) = self.get("description") else { return String::new() };
        let text = text(node, "a description", report).unwrap_or_default();
        if text.len() > DESCRIPTION_MAX {
            let message = format!("the description is {} bytes; at most {DESCRIPTION_MAX} are accepted", text.len());
            report.add(Problem::new(&codes::TOO_LONG, node.place, message).hint("keep what a reader needs here, and link the rest"));
        }
        text.to_owned()
    }
}

/// The entries of a mapping; anything else is reported.
pub(crate) fn entries<'n>(node: &'n Node, what: &str, report: &mut Report<'_>) -> Option<&'n [(Key, Rc<Node>)]> {
    match &node.kind {
        Kind::Map(entries) => Some(entries),
        _ => {
            wrong_type(node, what, "a mapping of fields", report);
            None
        }
    }
}

/// The text of a node; anything else is reported.
pub(crate) fn text<'n>(node: &'n Node, what: &str, report: &mut Report<'_>) -> Option<&'n str> {
    match &node.kind {
        Kind::Text(text) => Some(text),
        Kind::Number(_, written) => {
            let problem = Problem::new(&codes::WRONG_TYPE, node.place, format!("{what} is text, but this is a number"));
            report.add(problem.hint("quote it").fix(format!("'{written}'")));
            None
        }
        _ => {
            wrong_type(node, what, "text", report);
            None
        }
    }
}

/// Reports that a node is not what the field takes, unless the node was reported already.
pub(crate) fn wrong_type(node: &Node, what: &str, expected: &str, report: &mut Report<'_>) {
    if matches!(node.kind, Kind::Invalid) {
        return;
    }
    let message = format!("{what} is {expected}, but this is {}", node.noun());
    let problem = Problem::new(&codes::WRONG_TYPE, node.mark(), message);
    report.add(match node.kind {
        Kind::Null => problem.hint("give it a value, or remove the field"),
        _ => problem.hint(format!("write {expected}")),
    });
}

/// Reads a name through its type's own rule.
pub(crate) fn name<T: std::str::FromStr<Err = tasker_engine::ids::InvalidId>>(
    text: &str,
    place: Place,
    report: &mut Report<'_>,
) -> Option<T> {
    text.parse()
        .map_err(|invalid: tasker_engine::ids::InvalidId| {
            let message = format!("`{}` is not a valid {}", short(text), invalid.what);
            report.add(Problem::new(&codes::BAD_NAME, place, message).hint(format!("a {} is: {}", invalid.what, invalid.rule)));
        })
        .ok()
}

/// A name or a list of names, with their places. `one` names an element in messages: `a dependency`.
pub(crate) fn names(node: &Node, what: &str, one: &str, report: &mut Report<'_>) -> Vec<(String, Place)> {
    let read = |node: &Node, report: &mut Report<'_>| text(node, one, report).map(|text| (text.to_owned(), node.place));
    match &node.kind {
        Kind::List(items) => items.iter().filter_map(|item| read(item, report)).collect(),
        Kind::Text(_) => read(node, report).into_iter().collect(),
        _ => {
            wrong_type(node, what, "the name of a step, or a list of names", report);
            Vec::new()
        }
    }
}

/// A whole number within a range.
pub(crate) fn whole(node: &Node, what: &str, range: std::ops::RangeInclusive<u32>, report: &mut Report<'_>) -> Option<u32> {
    let Kind::Number(number, written) = &node.kind else {
        wrong_type(node, what, "a whole number", report);
        return None;
    };
    let found = number.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|number| range.contains(number));
    if found.is_none() {
        let problem = Problem::new(&codes::OUT_OF_RANGE, node.place, format!("{what} cannot be {}", short(written)));
        report.add(problem.hint(format!("give a whole number from {} to {}", range.start(), range.end())));
    }
    found
}

/// A word from a short list.
pub(crate) fn choice<T: Copy>(node: &Node, what: &str, choices: &[(&'static str, T)], report: &mut Report<'_>) -> Option<T> {
    let written = text(node, what, report)?;
    if let Some((_, value)) = choices.iter().find(|(word, _)| *word == written) {
        return Some(*value);
    }
    let words: Vec<&'static str> = choices.iter().map(|(word, _)| *word).collect();
    let close = nearest(report, written, words.iter().copied());
    let problem = Problem::new(&codes::UNKNOWN_CHOICE, node.place, format!("{what} cannot be `{}`", short(written)));
    report.add(problem.hint(format!("it is one of {}", listed(&words))).nearest(close));
    None
}

/// A text from the manifest, short enough for a message.
pub(crate) fn short(text: &str) -> String {
    let mut shown: String = text.chars().take(80).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

pub(crate) fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}
