//! Builds the workflow from a draft without errors, and digests what it says.

use crate::check::{DeclaredSystem, Draft, Manifest};
use crate::mapping::Mapping;
use crate::retry::{jitter_word, kind_word};
use crate::steps::StepDraft;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tasker_engine::ids::{Digest, Namespace, StepIndex};
use tasker_engine::reaction::OnError;
use tasker_engine::workflow::{Call, Join, Role, Step, StepKind, Timeouts, Workflow};

/// Names the form of what is digested; a change to that form changes it, so that old and new digests cannot be confused.
const FORM: &str = "tasker.manifest/1";

/// Builds the manifest. `None` only if a part is missing, which then was reported as an error before.
pub(crate) fn assemble(draft: Draft, namespace: &Namespace) -> Option<Manifest> {
    let Draft { name, version, description, timeout, input, result, systems, steps, graph } = draft;
    let systems: Vec<DeclaredSystem> = systems.list.into_iter().map(|system| system.declared).collect();
    let mut inputs = Vec::with_capacity(steps.len());
    let mut built = Vec::with_capacity(steps.len());
    for (draft, depends_on) in steps.into_iter().zip(&graph.depends_on) {
        inputs.push(draft.input.as_ref().map(|mapping| mapping.source.clone()));
        built.push(step(draft, depends_on, &systems)?);
    }
    let mut workflow = Workflow {
        namespace: namespace.clone(),
        name: name?,
        version: version?,
        digest: Digest([0; 32]),
        input,
        result: None,
        timeout,
        deadline: None,
        max_parallel: None,
        identity: None,
        on_failure: Vec::new(),
        steps: built,
        places: BTreeMap::new(),
    };
    workflow.link();
    let (template, result_source) = result.map(|Mapping { template, source, .. }| (template, source)).unzip();
    workflow.result = template;
    let definition = definition(&workflow, &inputs, &result_source, &systems, &description);
    workflow.digest = Digest::of(canonical(&definition).as_bytes());
    Some(Manifest { workflow, systems, description })
}

fn step(draft: StepDraft, depends_on: &BTreeSet<usize>, systems: &[DeclaredSystem]) -> Option<Step> {
    Some(Step {
        name: draft.name?,
        kind: StepKind::Call(Call { system: systems.get(draft.system?)?.name.clone(), capability: draft.capability?, route: None }),
        role: Role::Forward,
        depends_on: depends_on.iter().map(|place| StepIndex(*place as u32)).collect(),
        successors: smallvec::SmallVec::new(),
        join: Join::All,
        branches: smallvec::SmallVec::new(),
        when: None,
        for_each: None,
        input: draft.input.map(|mapping| mapping.template),
        contract: draft.contract,
        retry: draft.retry,
        timeouts: draft.limits.to_timeouts(),
        on_error: OnError::default(),
        compensate: None,
    })
}

/// Everything the manifest says, with defaults filled in: two manifests that mean the same have the same definition, whatever their
/// comments, key order and spelling. A step's contract is not repeated: its owner's capability says it, and ten thousand copies of a
/// large schema would be a bomb. The namespace is not part of it, because the same file may be applied in several.
fn definition(
    workflow: &Workflow,
    inputs: &[Option<Value>],
    result: &Option<Value>,
    systems: &[DeclaredSystem],
    description: &str,
) -> Value {
    let steps: Vec<Value> = workflow
        .steps
        .iter()
        .zip(inputs)
        .map(|(step, input)| {
            let depends_on: Vec<&str> = step.depends_on.iter().map(|index| workflow.step(*index).name.as_str()).collect();
            json!({
                "name": step.name.as_str(),
                "owner": step.system().map(|system| system.as_str()),
                "capability": step.capability().map(|capability| capability.as_str()),
                "depends_on": depends_on,
                "input": input,
                "timeout": timeouts(&step.timeouts),
                "retry": {
                    "kind": kind_word(step.retry.backoff),
                    "base": millis(Some(step.retry.base)),
                    "cap": millis(Some(step.retry.cap)),
                    "jitter": jitter_word(step.retry.jitter),
                    "max_attempts": step.retry.attempts_max,
                    "non_retryable": step.retry.non_retryable.iter().map(|code| code.as_str()).collect::<Vec<_>>(),
                },
            })
        })
        .collect();
    let systems: serde_json::Map<String, Value> = systems.iter().map(|system| (system.name.to_string(), system_json(system))).collect();
    json!({
        "form": FORM,
        "name": workflow.name.as_str(),
        "version": workflow.version.as_str(),
        "description": description,
        "timeout": millis(workflow.timeout),
        "input": workflow.input.as_ref().map(|schema| schema.source()),
        "result": result,
        "systems": systems,
        "steps": steps,
    })
}

fn system_json(system: &DeclaredSystem) -> Value {
    let capabilities: serde_json::Map<String, Value> = system
        .capabilities
        .iter()
        .map(|capability| {
            let said = json!({
                "description": capability.description,
                "contract": capability.contract.to_json(),
                "timeout": millis(capability.timeout),
            });
            (capability.name.to_string(), said)
        })
        .collect();
    json!({ "base_url": system.base_url, "health_check_url": system.health_check_url, "capabilities": capabilities })
}

fn timeouts(timeouts: &Timeouts) -> Value {
    json!({
        "waiting": millis(timeouts.waiting),
        "running": millis(timeouts.running),
        "total": millis(timeouts.total),
    })
}

/// Durations are at most a year, so their milliseconds always fit.
fn millis(duration: Option<Duration>) -> Option<u64> {
    duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// JSON with sorted members and no whitespace. Sorted here and not left to the JSON library, whose order depends on how it was built.
fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Array(items) => {
            text.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                write(item, text);
            }
            text.push(']');
        }
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            text.push('{');
            for (place, (name, member)) in sorted.into_iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                write(member, text);
            }
            text.push('}');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => text.push_str(&value.to_string()),
    }
}
