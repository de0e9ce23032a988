//! The strict reader of manifests, for other YAML that stands beside them, such as the cases of `tasker workflow test`: the same
//! strictness, the same limits, and problems that look the same.

use crate::codes::{self, Code};
use crate::diagnostic::Diagnostic;
use crate::duration;
use crate::fields::{self, Fields};
use crate::report::{Place, Problem, Report};
use crate::schema::json_of;
use crate::suggest::nearest;
use crate::yaml::{self, Kind, Node};
use serde_json::Value;
use std::rc::Rc;
use std::time::Duration;

/// One document being read, and what is wrong with it so far.
pub struct Reader<'s> {
    report: Report<'s>,
}

/// A place in the document, to mark in a problem.
#[derive(Debug, Clone, Copy)]
pub struct Spot(Place);

/// A value with its place.
#[derive(Debug, Clone)]
pub struct Entry(Rc<Node>);

/// A member of a mapping whose keys are free.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its key.
    pub key: String,
    /// Where the key is.
    pub spot: Spot,
    /// Its value.
    pub value: Entry,
}

impl<'s> Reader<'s> {
    /// Begins with a text. `file` is only repeated in diagnostics.
    pub fn new(source: &'s str, file: &'s str) -> Self {
        Self { report: Report::new(source, file) }
    }

    /// The document; none if it is not one YAML document, which is reported.
    pub fn document(&mut self) -> Option<Entry> {
        yaml::parse(&mut self.report).map(Entry)
    }

    /// Reports a problem of whoever reads.
    pub fn problem(&mut self, code: &'static Code, spot: Spot, message: impl Into<String>, hint: impl Into<String>) {
        self.report.add(Problem::new(code, spot.0, message).hint(hint));
    }

    /// Reports a name that does not exist, with the one that was probably meant.
    pub fn unknown<'c>(
        &mut self,
        code: &'static Code,
        spot: Spot,
        name: &str,
        message: impl Into<String>,
        hint: &str,
        known: impl IntoIterator<Item = &'c str>,
    ) {
        let close = nearest(&mut self.report, name, known);
        self.report.add(Problem::new(code, spot.0, message).hint(hint).nearest(close));
    }

    /// Whether something is wrong so far.
    pub fn failed(&self) -> bool {
        self.report.failed()
    }

    /// Every problem, in the order of the document.
    pub fn finish(self) -> Vec<Diagnostic> {
        self.report.finish()
    }
}

impl Entry {
    /// Its place.
    pub fn spot(&self) -> Spot {
        Spot(self.0.mark())
    }

    /// Whether it is a mapping.
    pub fn is_mapping(&self) -> bool {
        matches!(self.0.kind, Kind::Map(_))
    }

    /// Whether it is a list.
    pub fn is_list(&self) -> bool {
        matches!(self.0.kind, Kind::List(_))
    }

    /// The members of a mapping whose keys are all known; every other key is reported. `what` names the mapping in messages: `a case`.
    pub fn fields(&self, what: &'static str, known: &[&'static str], reader: &mut Reader<'_>) -> Option<Vec<Member>> {
        Fields::open(&self.0, what, known, &mut reader.report)?;
        self.members(what, reader)
    }

    /// The members of a mapping whose keys are free.
    pub fn members(&self, what: &str, reader: &mut Reader<'_>) -> Option<Vec<Member>> {
        let entries = fields::entries(&self.0, what, &mut reader.report)?;
        let member =
            |(key, value): &(yaml::Key, Rc<Node>)| Member { key: key.text.clone(), spot: Spot(key.place), value: Self(Rc::clone(value)) };
        Some(entries.iter().map(member).collect())
    }

    /// The elements of a list; a lone value counts as a list of one if `alone` says so.
    pub fn elements(&self, what: &str, alone: bool, reader: &mut Reader<'_>) -> Option<Vec<Self>> {
        match &self.0.kind {
            Kind::List(items) => Some(items.iter().cloned().map(Self).collect()),
            Kind::Null | Kind::Invalid => {
                fields::wrong_type(&self.0, what, "a list", &mut reader.report);
                None
            }
            Kind::Bool(_) | Kind::Number(..) | Kind::Text(_) | Kind::Map(_) if alone => Some(vec![self.clone()]),
            Kind::Bool(_) | Kind::Number(..) | Kind::Text(_) | Kind::Map(_) => {
                fields::wrong_type(&self.0, what, "a list", &mut reader.report);
                None
            }
        }
    }

    /// A text.
    pub fn text(&self, what: &str, reader: &mut Reader<'_>) -> Option<String> {
        fields::text(&self.0, what, &mut reader.report).map(str::to_owned)
    }

    /// A whole number that is not negative.
    pub fn count(&self, what: &str, reader: &mut Reader<'_>) -> Option<u64> {
        match &self.0.kind {
            Kind::Number(number, _) if number.as_u64().is_some() => number.as_u64(),
            _ => {
                fields::wrong_type(&self.0, what, "a whole number from 0", &mut reader.report);
                None
            }
        }
    }

    /// A boolean.
    pub fn flag(&self, what: &str, reader: &mut Reader<'_>) -> Option<bool> {
        match &self.0.kind {
            Kind::Bool(flag) => Some(*flag),
            _ => {
                fields::wrong_type(&self.0, what, "`true` or `false`", &mut reader.report);
                None
            }
        }
    }

    /// A duration longer than zero, such as `1m30s`.
    pub fn duration(&self, what: &str, reader: &mut Reader<'_>) -> Option<Duration> {
        duration::read(&self.0, what, &mut reader.report)
    }

    /// A word from a short list.
    pub fn choice<T: Copy>(&self, what: &str, choices: &[(&'static str, T)], reader: &mut Reader<'_>) -> Option<T> {
        fields::choice(&self.0, what, choices, &mut reader.report)
    }

    /// The value as JSON; none if something in it was reported already.
    pub fn json(&self) -> Option<Value> {
        json_of(&self.0)
    }
}

/// The codes of manifests that fit any YAML read strictly; each has its page in `docs/errors/`.
pub mod code {
    use super::codes;
    use crate::codes::Code;

    /// A required field is absent.
    pub fn missing_field() -> &'static Code {
        &codes::MISSING_FIELD
    }

    /// A value is not of the kind the field takes.
    pub fn wrong_type() -> &'static Code {
        &codes::WRONG_TYPE
    }

    /// A step that does not exist.
    pub fn unknown_step() -> &'static Code {
        &codes::UNKNOWN_STEP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_beside_a_manifest_is_read_as_strictly_and_explained_the_same_way() {
        let source = "cases:\n  - nam: x\n    after: 5\n    on: yes\n";
        let mut reader = Reader::new(source, "a.cases.yaml");
        let root = reader.document().expect("YAML");
        let members = root.fields("the file", &["cases"], &mut reader).expect("a mapping");
        let case = &members[0].value.elements("`cases`", false, &mut reader).expect("a list")[0];
        let fields = case.fields("a case", &["name", "after", "on"], &mut reader).expect("a mapping");
        assert_eq!(fields[1].value.duration("`after`", &mut reader), None);
        let found: Vec<(String, usize, Option<String>)> =
            reader.finish().into_iter().map(|found| (found.code, found.line, found.fix)).collect();
        assert_eq!(
            found,
            [
                ("manifest.unknown_field".into(), 2, Some("name".into())),
                ("manifest.bad_duration".into(), 3, Some("5s".into())),
                ("manifest.unquoted_boolean".into(), 4, Some("'yes'".into())),
            ]
        );
    }
}
