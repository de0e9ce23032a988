//! Pages for people, in Markdown: what a system can do, and what a workflow does.
//!
//! [`fields`] makes a table of a schema, [`steps`] tells what a step does, waits for and does when it fails. Everything comes from the
//! checked workflow and its contracts, so a page never says what the coordinator would not do.

mod fields;
mod steps;

use crate::system::System;
use std::fmt::Write as _;
use tasker_engine::Workflow;
use tasker_engine::template::Template;

/// What the page of a workflow is made from.
#[derive(Debug, Clone, Copy)]
pub struct WorkflowPage<'p> {
    /// The checked workflow.
    pub workflow: &'p Workflow,
    /// What it is for, in plain words; may be empty.
    pub description: &'p str,
    /// A Mermaid diagram of its graph, without a fence; empty leaves the section out.
    pub graph: &'p str,
}

/// The page of a workflow: purpose, graph, input, steps with owner, types, timeouts, retries and errors, result.
///
/// Pure: the same workflow gives the same text.
pub fn workflow(page: WorkflowPage<'_>) -> String {
    let workflow = page.workflow;
    let mut out = format!("# Workflow `{}` {}\n", code(workflow.name.as_str()), text(workflow.version.as_str()));
    paragraph(&mut out, page.description);
    let limits = [
        workflow.timeout.map(|timeout| format!("A task takes at most {}.", tasker_engine::duration::format(timeout))),
        workflow.deadline.as_ref().map(|deadline| format!("It ends by {}.", expression(deadline.source()))),
        workflow.max_parallel.map(|count| format!("At most {count} of its steps and items are at work at once.")),
    ];
    paragraph_raw(&mut out, &limits.into_iter().flatten().collect::<Vec<_>>().join(" "));
    if !page.graph.trim().is_empty() {
        let _ = write!(out, "\n## Graph\n\n```mermaid\n{}\n```\n", page.graph.trim());
    }
    out.push_str("\n## Input\n");
    fields::table(&mut out, workflow.input.as_ref(), "Any JSON: the workflow declares no schema.");
    out.push_str("\n## Steps\n");
    steps::overview(&mut out, workflow);
    for index in workflow.indexes() {
        steps::section(&mut out, workflow, index);
    }
    out.push_str("\n## Result\n");
    match &workflow.result {
        Some(result) => {
            out.push('\n');
            template(&mut out, result);
        }
        None => {
            let last: Vec<String> = workflow.last_steps().map(|index| format!("`{}`", workflow.step(index).name)).collect();
            paragraph_raw(&mut out, &format!("The results of the last steps that ran, by name: {}.", last.join(", ")));
        }
    }
    if !workflow.on_failure.is_empty() {
        let steps: Vec<String> = workflow.on_failure.iter().map(|index| format!("`{}`", workflow.step(*index).name)).collect();
        paragraph_raw(&mut out, &format!("Before a task ends as failed: {}.", steps.join(", ")));
    }
    out
}

/// The page of a system: each capability with tables of its input, result and errors.
///
/// Pure: the same system gives the same text.
pub fn system(system: &System) -> String {
    let mut out = format!("# System `{}`\n", code(&system.name));
    if let Some(url) = &system.base_url {
        paragraph(&mut out, url);
    }
    if system.capabilities.is_empty() {
        paragraph(&mut out, "It declares no capabilities; its workers say what they can do when they connect.");
    }
    for capability in &system.capabilities {
        let _ = write!(out, "\n## `{}`\n", code(&capability.name));
        paragraph(&mut out, &capability.description);
        if let Some(timeout) = capability.timeout {
            paragraph(
                &mut out,
                &format!("An attempt takes at most {}, unless the step says otherwise.", tasker_engine::duration::format(timeout)),
            );
        }
        contract(&mut out, &capability.contract, 3);
    }
    out
}

/// Input, result and errors, each under a heading of a level.
fn contract(out: &mut String, contract: &tasker_engine::Contract, level: usize) {
    let mark = "#".repeat(level);
    let _ = write!(out, "\n{mark} Input\n");
    fields::table(out, contract.input.as_ref(), "Any JSON.");
    let _ = write!(out, "\n{mark} Result\n");
    fields::table(out, contract.result.as_ref(), "Any JSON.");
    let _ = write!(out, "\n{mark} Errors\n");
    if contract.errors.is_empty() {
        paragraph(out, "No codes are declared, so any may come.");
        return;
    }
    out.push_str("\n| code | meaning | details |\n|---|---|---|\n");
    for (name, error) in &contract.errors {
        let details = if error.details.is_some() { "see below" } else { "–" };
        let _ = writeln!(out, "| `{name}` | {} | {details} |", cell(&error.description));
    }
    for (name, error) in contract.errors.iter().filter(|(_, error)| error.details.is_some()) {
        let _ = write!(out, "\nDetails of `{name}`:\n");
        fields::table(out, error.details.as_ref(), "");
    }
}

/// A mapping, as the manifest would have it.
fn template(out: &mut String, template: &Template) {
    match template {
        Template::Object(members) => {
            out.push_str("| field | value |\n|---|---|\n");
            for (name, member) in members {
                let _ = writeln!(out, "| `{}` | {} |", code(name), written(member));
            }
        }
        Template::Literal(_) | Template::Expression(_) | Template::Text(_) | Template::List(_) => {
            let _ = writeln!(out, "{}", written(template));
        }
    }
}

/// A mapping in one cell.
fn written(template: &Template) -> String {
    use tasker_engine::template::Part;
    fn json(template: &Template) -> String {
        match template {
            Template::Literal(value) => value.to_string(),
            Template::Expression(expression) => format!("${{ {} }}", expression.source().trim()),
            Template::Text(parts) => parts
                .iter()
                .map(|part| match part {
                    Part::Text(text) => text.clone(),
                    Part::Expression(expression) => format!("${{ {} }}", expression.source().trim()),
                })
                .collect(),
            Template::List(items) => format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(", ")),
            Template::Object(members) => {
                let members: Vec<String> = members.iter().map(|(name, member)| format!("{name}: {}", json(member))).collect();
                format!("{{ {} }}", members.join(", "))
            }
        }
    }
    match template {
        Template::Literal(serde_json::Value::String(text)) => format!("`{}`", code(text)),
        other => format!("`{}`", code(&json(other))),
    }
}

fn expression(source: &str) -> String {
    format!("`${{ {} }}`", code(source.trim()))
}

/// Text from outside as a paragraph of its own.
fn paragraph(out: &mut String, words: &str) {
    let lines: Vec<String> = words.trim().lines().map(text).collect();
    paragraph_raw(out, &lines.join("\n"));
}

/// Markdown as a paragraph of its own.
fn paragraph_raw(out: &mut String, markdown: &str) {
    if !markdown.is_empty() {
        let _ = write!(out, "\n{markdown}\n");
    }
}

/// Text from outside in a line of its own: nothing in it is markup.
fn text(words: &str) -> String {
    let mut out = String::new();
    for sign in words.chars() {
        match sign {
            '<' => out.push_str("&lt;"),
            '\\' | '*' | '[' | ']' | '`' => out.extend(['\\', sign]),
            sign if sign.is_control() => out.push(' '),
            sign => out.push(sign),
        }
    }
    out
}

/// Text from outside in a cell of a table.
fn cell(words: &str) -> String {
    let one_line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    if one_line.is_empty() { "–".to_owned() } else { text(&one_line).replace('|', "\\|") }
}

/// Text from outside between backticks, also in a cell.
fn code(words: &str) -> String {
    words.split_whitespace().collect::<Vec<_>>().join(" ").replace('`', "'").replace('|', "\\|")
}
