//! The members of a JSON object in a request, each read where it stands, so that every problem has a JSON pointer.
//!
//! Values stay raw text until somebody asks for them: a task's input is never taken apart here.

use super::query::cut;
use crate::nearest::did_you_mean;
use crate::problem::{Code, Place, Problem};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// An object's members in the order they came.
#[derive(Debug)]
pub(crate) struct Members<'a> {
    pointer: String,
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
}

/// More members than any object of ours has; labels are read by the same code and have the largest limit.
const MEMBERS_MAX: usize = 256;

impl<'a> Members<'a> {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// Not UTF-8, not JSON (with line and column), or not an object.
    pub(crate) fn of_body(body: &'a [u8]) -> Result<Self, Problem> {
        let text = std::str::from_utf8(body).map_err(|error| {
            Problem::new(Code::RequestMalformed, format!("the body is not UTF-8: byte {} is not text", error.valid_up_to()))
        })?;
        if text.trim_ascii().is_empty() {
            return Err(Problem::new(Code::RequestMalformed, "the body is empty; a JSON object is expected"));
        }
        let raw = serde_json::from_str::<&RawValue>(text).map_err(|error| not_json(&error))?;
        Self::of(raw, "")
    }

    /// Reads a value inside a body, which is known to be JSON. `pointer` says where it stands.
    ///
    /// # Errors
    /// Not an object, a member twice, or too many members.
    pub(crate) fn of(raw: &'a RawValue, pointer: &str) -> Result<Self, Problem> {
        if kind(raw) != "an object" {
            return Err(wrong(pointer, format!("expected an object, found {}", kind(raw))));
        }
        let pairs: Pairs<'a> = serde_json::from_str(raw.get()).map_err(|error| not_json(&error))?;
        let members = match pairs {
            Pairs::All(members) => members,
            Pairs::TooMany => {
                let place = Place::new(pointer, format!("more than {MEMBERS_MAX} members"));
                return Err(Problem::at(Code::LimitExceeded, place));
            }
        };
        for (place, (name, _)) in members.iter().enumerate() {
            if members[..place].iter().any(|(earlier, _)| earlier == name) {
                return Err(wrong(&step(pointer, name), "the member is given twice".to_owned()));
            }
        }
        Ok(Self { pointer: pointer.to_owned(), members })
    }

    /// Refuses members that nobody would look at, all of them at once.
    ///
    /// # Errors
    /// Names each with the nearest known one.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Problem> {
        let unknown = self.members.iter().filter(|(name, _)| !known.contains(&name.as_ref()));
        let places: Vec<Place> = unknown
            .map(|(name, _)| {
                let hint = did_you_mean(name, known.iter().copied()).unwrap_or_else(|| {
                    format!("known are {}", known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))
                });
                Place::new(step(&self.pointer, name), format!("there is no member `{}` here", cut(name))).with_hint(Some(hint))
            })
            .collect();
        match places.first() {
            None => Ok(()),
            Some(first) => Err(Problem { errors: places.clone(), ..Problem::at(Code::RequestUnknownField, first.clone()) }),
        }
    }

    /// A member as it stands.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.members.iter().find(|(given, _)| given == name).map(|(_, value)| *value)
    }

    /// A member that must be there.
    ///
    /// # Errors
    /// It is not.
    pub(crate) fn required(&self, name: &str) -> Result<&'a RawValue, Problem> {
        self.raw(name).ok_or_else(|| wrong(&step(&self.pointer, name), "the member is missing".to_owned()))
    }

    /// A text; `null` counts as absent.
    ///
    /// # Errors
    /// Anything but text.
    pub(crate) fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, Problem> {
        match self.raw(name) {
            None => Ok(None),
            Some(raw) if raw.get() == "null" => Ok(None),
            Some(raw) => text_of(raw, &step(&self.pointer, name)).map(Some),
        }
    }

    /// A whole number within a range; `null` counts as absent.
    ///
    /// # Errors
    /// Anything else, or out of range.
    pub(crate) fn number(&self, name: &str, range: std::ops::RangeInclusive<u64>) -> Result<Option<u64>, Problem> {
        let Some(raw) = self.raw(name).filter(|raw| raw.get() != "null") else { return Ok(None) };
        let pointer = step(&self.pointer, name);
        if kind(raw) != "a number" {
            return Err(wrong(&pointer, format!("expected a whole number, found {}", kind(raw))));
        }
        let number: u64 = raw.get().parse().map_err(|_| wrong(&pointer, format!("`{}` is not a whole number", cut(raw.get()))))?;
        if range.contains(&number) {
            return Ok(Some(number));
        }
        let message = format!("{number} is out of range; give {} to {}", range.start(), range.end());
        Err(Problem::at(Code::LimitExceeded, Place::new(pointer, message)))
    }

    /// Yes or no; absent or `null` is no.
    ///
    /// # Errors
    /// Anything but `true` and `false`.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.raw(name).map(RawValue::get) {
            None | Some("null" | "false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(wrong(&step(&self.pointer, name), "expected true or false".to_owned())),
        }
    }

    /// A text that reads itself into a type; `null` counts as absent.
    ///
    /// # Errors
    /// Not text, or the type refuses it.
    pub(crate) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|error: T::Err| wrong(&step(&self.pointer, name), error.to_string()))
    }

    /// An object of texts; absent or `null` is empty.
    ///
    /// # Errors
    /// Anything else.
    pub(crate) fn texts(&self, name: &str) -> Result<BTreeMap<String, String>, Problem> {
        let pointer = step(&self.pointer, name);
        let Some(raw) = self.raw(name).filter(|raw| raw.get() != "null") else { return Ok(BTreeMap::new()) };
        let members = Members::of(raw, &pointer)?;
        members.members.iter().map(|(name, value)| Ok((name.to_string(), text_of(value, &step(&pointer, name))?.into_owned()))).collect()
    }
}

/// The items of a list.
///
/// # Errors
/// Not a list, or longer than `most`.
pub(crate) fn items<'a>(raw: &'a RawValue, pointer: &str, most: usize) -> Result<Vec<&'a RawValue>, Problem> {
    if kind(raw) != "a list" {
        return Err(wrong(pointer, format!("expected a list, found {}", kind(raw))));
    }
    let items: Vec<&'a RawValue> = serde_json::from_str(raw.get()).map_err(|error| not_json(&error))?;
    if items.is_empty() || items.len() > most {
        let place = Place::new(pointer, format!("the list has {} items; give 1 to {most}", items.len()));
        return Err(Problem::at(Code::LimitExceeded, place));
    }
    Ok(items)
}

/// A JSON pointer one level deeper.
pub(crate) fn step(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", cut(name).replace('~', "~0").replace('/', "~1"))
}

/// A member that has the wrong shape.
pub(crate) fn wrong(pointer: &str, message: String) -> Problem {
    Problem::at(Code::RequestMalformed, Place::new(pointer, message))
}

/// A text.
///
/// # Errors
/// Anything else.
pub(crate) fn text_of<'a>(raw: &'a RawValue, pointer: &str) -> Result<Cow<'a, str>, Problem> {
    if kind(raw) != "text" {
        return Err(wrong(pointer, format!("expected text, found {}", kind(raw))));
    }
    let text: Text<'a> =
        serde_json::from_str(raw.get()).map_err(|_| wrong(pointer, "the text has an escape that stands for no character".to_owned()))?;
    Ok(text.0)
}

fn kind(raw: &RawValue) -> &'static str {
    match raw.get().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b'"') => "text",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        _ => "a number",
    }
}

fn not_json(error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    let detail = format!("the body is not JSON: {what}, line {line}, column {column}");
    let place = Place::new("", format!("{what}, line {line}, column {column}"));
    Problem { errors: vec![place], ..Problem::new(Code::RequestMalformed, detail) }
}

/// Text that borrows from the body where it can.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrow;
        impl<'de> Visitor<'de> for Borrow {
            type Value = Cow<'de, str>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("text")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }
        deserializer.deserialize_str(Borrow).map(Text)
    }
}

/// The members of an object, without losing repeats as a map would.
enum Pairs<'a> {
    All(Vec<(Cow<'a, str>, &'a RawValue)>),
    TooMany,
}

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Pairs<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some((name, value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    if pairs.len() <= MEMBERS_MAX {
                        pairs.push((name.0, value));
                    }
                }
                Ok(if pairs.len() > MEMBERS_MAX { Pairs::TooMany } else { Pairs::All(pairs) })
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tasker_engine::WorkflowName;

    fn refused(body: &str) -> Problem {
        let read = |members: Members<'_>| {
            members.only(&["workflow", "input", "labels"])?;
            members.required("input")?;
            members.texts("labels")?;
            members.parsed::<WorkflowName>("workflow")
        };
        Members::of_body(body.as_bytes()).and_then(read).expect_err("refused")
    }

    #[test]
    fn every_wrong_body_is_told_where_it_is_wrong() {
        for (body, code, detail) in [
            ("", Code::RequestMalformed, "the body is empty; a JSON object is expected"),
            ("{\n  \"workflow\": }", Code::RequestMalformed, "the body is not JSON: expected value, line 2, column 15"),
            ("[1]", Code::RequestMalformed, "expected an object, found a list"),
            ("{\"workflo\":\"a\"}", Code::RequestUnknownField, "/workflo: there is no member `workflo` here"),
            ("{\"workflow\":7,\"input\":1}", Code::RequestMalformed, "/workflow: expected text, found a number"),
            ("{\"workflow\":\"a\"}", Code::RequestMalformed, "/input: the member is missing"),
            ("{\"input\":1,\"input\":2}", Code::RequestMalformed, "/input: the member is given twice"),
            ("{\"input\":1,\"labels\":{\"a/b\":1}}", Code::RequestMalformed, "/labels/a~1b: expected text, found a number"),
        ] {
            let problem = refused(body);
            assert_eq!((problem.code, problem.detail.as_str()), (code, detail), "{body}");
        }
        assert!(refused("{\"input\":1,\"workflow\":\"A b\"}").detail.contains("workflow name"));
    }

    #[test]
    fn every_unknown_member_is_named_at_once() {
        let problem = refused("{\"workflo\":\"a\",\"inputs\":1,\"zebra\":1}");
        let pointers: Vec<&str> = problem.errors.iter().map(|place| place.pointer.as_str()).collect();
        assert_eq!(pointers, ["/workflo", "/inputs", "/zebra"]);
        assert_eq!(problem.errors[1].hint.as_deref(), Some("did you mean `input`?"));
    }

    #[test]
    fn a_raw_member_keeps_its_text() {
        let body = br#"{"input": {"n": 1.000000000000000000001, "a":1,"a":2}}"#;
        let members = Members::of_body(body).expect("an object");
        assert_eq!(members.required("input").expect("there").get(), r#"{"n": 1.000000000000000000001, "a":1,"a":2}"#);
    }

    #[test]
    fn an_object_with_too_many_members_is_refused() {
        let members: Vec<String> = (0..=MEMBERS_MAX).map(|number| format!("\"m{number}\":1")).collect();
        let body = format!("{{{}}}", members.join(","));
        assert_eq!(Members::of_body(body.as_bytes()).expect_err("too many").code, Code::LimitExceeded);
    }

    proptest! {
        #[test]
        fn no_body_makes_the_reader_panic(body in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(members) = Members::of_body(&body) {
                let _ = members.texts("a");
            }
        }
    }
}
