//! A workflow in plain sentences, step by step in an order in which they may run.

mod failures;
mod kinds;
mod starts;

use crate::words;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use tasker_engine::duration::format;
use tasker_engine::template::Template;
use tasker_engine::workflow::{IdentityBy, OnDuplicate, Role, Step, StepKind, Workflow};
use tasker_engine::{StepIndex, StepName};

/// The workflow in sentences, ending with a line break. `description` is what its author says it is for; it may be empty.
///
/// Sentences name steps, systems and codes as the manifest does, in backticks, so that they can be found there.
pub fn explain(workflow: &Workflow, description: &str) -> String {
    // Writing to a string cannot fail.
    let mut text = format!("`{}` {}", workflow.name, workflow.version);
    let description = description.trim();
    text.push_str(&if description.is_empty() { "\n".to_owned() } else { format!(": {}\n", one_line(description)) });
    for sentence in whole(workflow) {
        let _ = write!(text, "{sentence} ");
    }
    text.truncate(text.trim_end().len());
    text.push_str("\n\n");
    for (number, step) in in_order(workflow).into_iter().enumerate() {
        let _ = writeln!(text, "{}. {}", number + 1, paragraph(workflow, step));
    }
    let handlers: Vec<StepIndex> = workflow.indexes().filter(|step| workflow.step(*step).role != Role::Forward).collect();
    if !handlers.is_empty() {
        text.push_str("\nWhen something goes wrong:\n\n");
        for step in handlers {
            let _ = writeln!(text, "- {}", paragraph(workflow, step));
        }
    }
    let _ = write!(text, "\n{}\n", ending(workflow));
    text
}

/// What holds for the task as a whole.
fn whole(workflow: &Workflow) -> Vec<String> {
    let mut sentences = Vec::new();
    if let Some(schema) = &workflow.input {
        let required: Vec<String> =
            schema.source()["required"].as_array().into_iter().flatten().filter_map(|name| Some(format!("`{}`", name.as_str()?))).collect();
        sentences.push(if required.is_empty() {
            "Its input is checked against a schema.".to_owned()
        } else {
            format!("Its input has {} and is checked before the task is accepted.", listed(&required, "and"))
        });
    }
    if let Some(timeout) = workflow.timeout {
        sentences.push(format!("A task may take {}.", format(timeout)));
    }
    if let Some(deadline) = &workflow.deadline {
        sentences.push(format!("It must end by the instant that `{}` gives.", deadline.source()));
    }
    if let Some(most) = workflow.max_parallel {
        sentences.push(format!("At most {most} of its steps and items are at work at once."));
    }
    if let Some(identity) = &workflow.identity {
        let answer = match identity.on_duplicate {
            OnDuplicate::Existing => "is answered with the task there is",
            OnDuplicate::Refuse => "is refused",
        };
        let window = format(identity.window);
        sentences.push(match &identity.by {
            IdentityBy::Guid => "Every submission is a task of its own.".to_owned(),
            IdentityBy::Fields(fields) => {
                let fields: Vec<String> =
                    fields.iter().map(|field| format!("`{}`", field.source().trim_start_matches("task.input."))).collect();
                format!("A second submission with the same {} within {window} {answer}.", listed(&fields, "and"))
            }
            IdentityBy::Expression(expression) => {
                format!("A second submission for which `{}` gives the same within {window} {answer}.", expression.source())
            }
        });
    }
    sentences
}

/// Everything about one step.
fn paragraph(workflow: &Workflow, step: StepIndex) -> String {
    let definition = workflow.step(step);
    let mut sentences = vec![format!("`{}` {}{}.", definition.name, kinds::does(definition), starts::clause(workflow, step))];
    if let StepKind::Switch(switch) = &definition.kind {
        sentences.push(kinds::branches(workflow, step, switch));
    }
    sentences.extend(kinds::details(definition));
    sentences.extend(failures::limits(definition));
    sentences.extend(failures::sentences(workflow, definition));
    sentences.join(" ")
}

fn ending(workflow: &Workflow) -> String {
    match &workflow.result {
        Some(Template::Object(members)) => {
            let names: Vec<String> = members.iter().map(|(name, _)| format!("`{name}`")).collect();
            format!("The task's result has {}.", listed(&names, "and"))
        }
        Some(other) => format!("The task's result is `{}`.", words::cut(&words::written(other), 120)),
        None => {
            let last: Vec<String> = workflow.last_steps().map(|step| quoted(workflow.step(step))).collect();
            format!(
                "The task's result holds the {} of {}, by name.",
                if last.len() == 1 { "result" } else { "results" },
                listed(&last, "and")
            )
        }
    }
}

/// Forward steps so that each comes after what it depends on, and otherwise in the order of the manifest.
fn in_order(workflow: &Workflow) -> Vec<StepIndex> {
    let forward = |step: &StepIndex| workflow.step(*step).role == Role::Forward;
    let mut open: BTreeMap<StepIndex, usize> =
        workflow.indexes().filter(forward).map(|step| (step, workflow.step(step).depends_on.len())).collect();
    let mut ready: BTreeSet<StepIndex> = open.iter().filter(|(_, count)| **count == 0).map(|(step, _)| *step).collect();
    let mut order = Vec::new();
    while let Some(step) = ready.pop_first() {
        order.push(step);
        for successor in &workflow.step(step).successors {
            if let Some(count) = open.get_mut(successor) {
                *count -= 1;
                if *count == 0 {
                    ready.insert(*successor);
                }
            }
        }
    }
    order
}

fn quoted(step: &Step) -> String {
    format!("`{}`", step.name)
}

fn names<'s>(workflow: &Workflow, steps: impl IntoIterator<Item = &'s StepIndex>) -> Vec<String> {
    steps.into_iter().map(|step| format!("`{}`", StepName::as_str(&workflow.step(*step).name))).collect()
}

/// `a`, `a and b`, `a, b and c`.
fn listed(words: &[String], last: &str) -> String {
    match words {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [first @ .., end] => format!("{} {last} {end}", first.join(", ")),
    }
}

/// Descriptions may have several lines.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
