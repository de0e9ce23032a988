//! Worker stubs: the types of a system's contracts in a language, and a handler for each capability that says it is not written yet.
//!
//! One file per system and language, for the author to keep and fill in: [`rust`] with serde and schemars, [`python`] with pydantic,
//! [`typescript`] with zod. Names are safe from keywords and from each other; where a field could not keep its name, a rename does.
//! What a language's types cannot say (an `enum` of numbers and texts in Rust, a rule over several fields anywhere) is left to the
//! coordinator, which checks every input and result against the contract itself.

mod python;
mod rust;
mod typescript;

use crate::model::names::{Case, Names, identifier};
use crate::model::{Model, Reader, Type};
use crate::system::System;
use std::time::Duration;

/// What a handler fails with until somebody writes it.
pub const NOT_WRITTEN: &str = "handler.not_written";

/// The longest line of a comment in a stub.
const COMMENT_MAX: usize = 100;

/// A language that stubs are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// serde and schemars, with the crate `tasker-worker`.
    Rust,
    /// pydantic, with the package `tasker-worker`.
    Python,
    /// zod, with the package `tasker-worker`.
    TypeScript,
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stub {
    /// After the system: `python_inventory.py`.
    pub file_name: String,
    /// The whole file.
    pub text: String,
}

/// Writes the stubs of a system.
///
/// Pure: the same system gives the same text. The work is bounded by the sizes of schemas that a contract accepts.
pub fn stubs(system: &System, language: Language) -> Stub {
    let (extension, text) = match language {
        Language::Rust => ("rs", rust::write(system)),
        Language::Python => ("py", python::write(system)),
        Language::TypeScript => ("ts", typescript::write(system)),
    };
    Stub { file_name: format!("{}.{extension}", identifier(&system.name, Case::Snake)), text }
}

/// A capability with the types of its contract.
struct Handler {
    /// On the wire.
    capability: String,
    /// In the language.
    name: String,
    description: String,
    timeout: Option<Duration>,
    /// Absent: anything.
    input: Option<Type>,
    result: Option<Type>,
    errors: Vec<Failure>,
}

struct Failure {
    code: String,
    description: String,
    details: Option<Type>,
}

/// Reads the contracts of a system. `types` and `functions` are words that the file means something else by.
fn prepare(system: &System, case: Case, types: &[&str], functions: &[&str]) -> (Model, Vec<Handler>) {
    let mut reader = Reader::new(types);
    let mut names = Names::new(case, functions);
    let mut handlers: Vec<Handler> = Vec::new();
    for capability in &system.capabilities {
        if handlers.iter().any(|handler| handler.capability == capability.name) {
            continue;
        }
        let contract = &capability.contract;
        let input = contract.input.as_ref().map(|schema| reader.read(schema.source(), &format!("{} input", capability.name)));
        let result = contract.result.as_ref().map(|schema| reader.read(schema.source(), &format!("{} result", capability.name)));
        let errors = contract.errors.iter().map(|(code, error)| Failure {
            code: code.to_string(),
            description: error.description.clone(),
            details: error.details.as_ref().map(|schema| reader.read(schema.source(), &format!("{} {code} details", capability.name))),
        });
        handlers.push(Handler {
            capability: capability.name.clone(),
            name: names.take(&capability.name),
            description: capability.description.trim().to_owned(),
            timeout: capability.timeout,
            input,
            result,
            errors: errors.collect(),
        });
    }
    (reader.finish(), handlers)
}

/// A text in lines that fit behind a comment sign; control characters become spaces. Lines of the text stay lines.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split(|sign: char| sign.is_whitespace() || sign.is_control()).filter(|word| !word.is_empty()) {
            if !line.is_empty() && line.chars().count() + word.chars().count() >= COMMENT_MAX {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

/// One line, for a description in code.
fn one_line(text: &str) -> String {
    wrapped(text).into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// A text in double quotes, with the escapes that Python and JavaScript share with JSON.
fn quoted(text: &str) -> String {
    // JSON leaves these two unescaped; they end a line in older JavaScript, and are hard to see anywhere.
    serde_json::Value::from(text).to_string().replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029").replace('\u{7f}', "\\u007f")
}

/// What a handler says until it is written.
fn not_written(handler: &Handler) -> String {
    format!("`{}` has no code yet: write the body of `{}`", handler.capability, handler.name)
}
