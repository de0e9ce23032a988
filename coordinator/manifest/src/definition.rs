//! What a digest is taken of: everything the manifest says, with defaults filled in.
//!
//! Two manifests that mean the same have the same definition, whatever their comments, key order and spelling. What came into the language
//! later is written only where it is used, so that a manifest which does not use it keeps the digest it always had. A step's contract is
//! not repeated: its owner's capability says it, and ten thousand copies of a large schema would be a bomb. The namespace is not part of
//! it, because the same file may be applied in several.

use crate::canonical::canonical;
use crate::check::{DeclaredCapability, DeclaredSystem, Draft};
use crate::retry::{jitter_word, kind_word};
use crate::schema::json_of;
use crate::slots::{Slot, SlotKind};
use serde_json::{Map, Value, json};
use std::time::Duration;
use tasker_engine::Schema;
use tasker_engine::flow::{KeyedLimit, KeyedRate, Priorities, Rate, TaskConcurrency, Weight};
use tasker_engine::ids::Digest;
use tasker_engine::reaction::{Exhausted, OnError, Reaction};
use tasker_engine::retry::RetryPolicy;
use tasker_engine::template::{Part, Template};
use tasker_engine::workflow::{
    Approval, Child, ForEach, Identity, IdentityBy, Join, OnDuplicate, Role, Route, SleepFor, Step, StepKind, Stop, Switch, Timeouts,
    WaitFor, WaitSource, Workflow,
};

/// Names the form of what is digested; a change to that form changes it, so that old and new digests cannot be confused.
const FORM: &str = "tasker.manifest/1";

/// The digest of a workflow and of what its manifest says about systems.
pub(crate) fn digest(workflow: &Workflow, draft: &Draft, systems: &[DeclaredSystem]) -> Digest {
    let source = |slots: &[Slot], kind| slots.iter().find(|slot| slot.kind == kind).and_then(|slot| json_of(&slot.node));
    let steps: Vec<Value> = workflow
        .steps
        .iter()
        .zip(&draft.steps)
        .map(|(step, written)| step_json(workflow, step, source(&written.slots, SlotKind::Input), &written.description))
        .collect();
    let systems: Map<String, Value> = systems.iter().map(|system| (system.name.to_string(), system_json(system))).collect();
    let mut said = Said(json!({
        "form": FORM,
        "name": workflow.name.as_str(),
        "version": workflow.version.as_str(),
        "description": draft.description,
        "timeout": millis(workflow.timeout),
        "input": schema(&workflow.input),
        "result": source(&draft.slots, SlotKind::TaskResult),
        "systems": systems,
        "steps": steps,
    }));
    said.also("deadline", workflow.deadline.as_ref().map(|deadline| deadline.source().into()));
    said.also("max_parallel", workflow.max_parallel.map(Value::from));
    said.also("priority", (workflow.flow.priority != Priorities::default()).then(|| priorities(&workflow.flow.priority)));
    said.also("weight", (workflow.flow.weight != Weight::default()).then(|| workflow.flow.weight.get().into()));
    said.also("concurrency", workflow.flow.concurrency.as_deref().map(concurrency));
    said.also("identity", workflow.identity.as_ref().map(identity));
    let on_failure: Vec<&str> = workflow.on_failure.iter().map(|step| workflow.step(*step).name.as_str()).collect();
    said.also("on_failure", (!on_failure.is_empty()).then(|| on_failure.into()));
    Digest::of(canonical(&said.0).as_bytes())
}

/// An object to which is added only what is there.
struct Said(Value);

impl Said {
    fn also(&mut self, name: &str, value: Option<Value>) {
        if let Some(value) = value {
            self.0[name] = value;
        }
    }
}

fn step_json(workflow: &Workflow, step: &Step, input: Option<Value>, description: &str) -> Value {
    let name = |index: &tasker_engine::StepIndex| workflow.step(*index).name.as_str();
    let depends_on: Vec<&str> = step.depends_on.iter().map(name).collect();
    let mut said = Said(json!({
        "name": step.name.as_str(),
        "depends_on": depends_on,
        "input": input,
        "timeout": timeouts(&step.timeouts),
        "retry": retry(&step.retry),
    }));
    said.also("description", (!description.is_empty()).then(|| description.into()));
    said.also("join", join(step.join));
    let branches: Vec<Value> = step.branches.iter().map(|branch| json!([name(&branch.switch), branch.case])).collect();
    said.also("branches", (!branches.is_empty()).then(|| branches.into()));
    said.also("when", step.when.as_ref().map(|when| when.source().into()));
    said.also("for_each", step.for_each.as_deref().map(for_each));
    said.also("on_error", on_error(workflow, step));
    said.also("compensate", step.compensate.as_ref().map(|handler| name(handler).into()));
    match &step.kind {
        StepKind::Call(call) => {
            said.also("owner", Some(call.system.as_str().into()));
            said.also("capability", Some(call.capability.as_str().into()));
            said.also("route", call.route.as_deref().map(route));
            let limits = call.limits.as_deref();
            said.also("rate_limit", limits.and_then(|limits| limits.rate.as_ref()).map(keyed_rate));
            said.also("concurrency", limits.and_then(|limits| limits.concurrency.as_ref()).map(keyed_limit));
        }
        StepKind::Child(child) => said.also("workflow", Some(child_json(child))),
        StepKind::Wait(wait) => said.also("wait_for", Some(wait_for(wait))),
        StepKind::Sleep(how) => said.also("sleep", Some(sleep(how))),
        StepKind::Approval(asked) => said.also("approval", Some(approval(asked))),
        StepKind::Switch(chosen) => said.also("switch", Some(switch(chosen))),
    }
    said.0
}

fn system_json(system: &DeclaredSystem) -> Value {
    let capabilities: Map<String, Value> =
        system.capabilities.iter().map(|capability| (capability.name.to_string(), capability_json(capability))).collect();
    let mut said = Said(json!({ "base_url": system.base_url, "health_check_url": system.health_check_url, "capabilities": capabilities }));
    said.also("transport", (system.transport != tasker_engine::transport::Transport::Auto).then(|| system.transport.as_str().into()));
    said.also("canary", system.canary.as_ref().map(|canary| json!({ "version": canary.version().as_str(), "share": canary.share() })));
    said.also("rate_limit", system.rate.map(rate));
    said.0
}

fn capability_json(capability: &DeclaredCapability) -> Value {
    let mut said = Said(json!({
        "description": capability.description,
        "contract": capability.contract.to_json(),
        "timeout": millis(capability.timeout),
    }));
    said.also("slot_cost", capability.slot_cost.map(Value::from));
    said.also("http", capability.http.as_ref().map(|http| json!({ "method": http.method().as_str(), "path": http.path() })));
    said.also(
        "breaker",
        capability.breaker.as_ref().map(|breaker| {
            json!({
                "failures": breaker.failures(),
                "window": millis(Some(breaker.window())),
                "open_for": millis(Some(breaker.open_for())),
                "probes": breaker.probes(),
            })
        }),
    );
    said.also("rate_limit", capability.limits.rate.map(rate));
    said.also("max_concurrent", capability.limits.max_concurrent.map(Value::from));
    said.also("max_backlog", capability.limits.max_backlog.map(Value::from));
    said.0
}

fn rate(rate: Rate) -> Value {
    json!({ "rate": rate.to_string(), "burst": rate.burst() })
}

fn keyed_rate(keyed: &KeyedRate) -> Value {
    json!({ "rate": rate(keyed.rate), "key": keyed.key.as_ref().map(|key| key.source()) })
}

fn keyed_limit(keyed: &KeyedLimit) -> Value {
    json!({ "limit": keyed.limit, "key": keyed.key.as_ref().map(|key| key.source()) })
}

fn concurrency(counted: &TaskConcurrency) -> Value {
    let key = counted.key.as_ref().map(|key| key.source());
    json!({ "limit": counted.limit, "key": key, "on_limit": counted.on_limit.as_str() })
}

fn priorities(range: &Priorities) -> Value {
    json!({ "default": range.default.get(), "min": range.min.get(), "max": range.max.get() })
}

fn timeouts(timeouts: &Timeouts) -> Value {
    json!({ "waiting": millis(timeouts.waiting), "running": millis(timeouts.running), "total": millis(timeouts.total) })
}

fn retry(policy: &RetryPolicy) -> Value {
    json!({
        "kind": kind_word(policy.backoff),
        "base": millis(Some(policy.base)),
        "cap": millis(Some(policy.cap)),
        "jitter": jitter_word(policy.jitter),
        "max_attempts": policy.attempts_max,
        "non_retryable": policy.non_retryable.iter().map(|code| code.as_str()).collect::<Vec<_>>(),
    })
}

fn join(join: Join) -> Option<Value> {
    match join {
        Join::All => None,
        Join::Any => Some("any".into()),
        Join::Done => Some("done".into()),
        Join::AtLeast { count, cancel_others } => Some(json!({ "at_least": count, "cancel_others": cancel_others })),
    }
}

fn for_each(for_each: &ForEach) -> Value {
    let stop = match for_each.stop {
        Stop::OnFailure => json!("on_failure"),
        Stop::Never => json!("never"),
        Stop::Failures(count) => json!({ "failures": count }),
        Stop::Successes(count) => json!({ "successes": count }),
    };
    json!({ "items": for_each.items.source(), "max_parallel": for_each.max_parallel, "batch_size": for_each.batch_size, "stop": stop })
}

/// Absent for a forward step that says nothing, as all steps did once.
fn on_error(workflow: &Workflow, step: &Step) -> Option<Value> {
    let OnError { arms, otherwise } = &step.on_error;
    if arms.is_empty() && *otherwise == Reaction::default() && step.role == Role::Forward {
        return None;
    }
    let then = |exhausted: Exhausted| match exhausted {
        Exhausted::Fallback(to) => json!({ "fallback": workflow.step(to).name.as_str() }),
        Exhausted::Compensate | Exhausted::Fail | Exhausted::Continue | Exhausted::Wait => exhausted.as_str().into(),
    };
    let reaction = |reaction: &Reaction| match reaction {
        Reaction::Retry { policy, then: after } => json!({ "retry": policy.as_deref().map(retry), "then": then(*after) }),
        Reaction::Give(exhausted) => then(*exhausted),
    };
    let arms: Map<String, Value> = arms.iter().map(|(code, arm)| (code.to_string(), reaction(arm))).collect();
    Some(json!({ "arms": arms, "otherwise": reaction(otherwise) }))
}

fn route(route: &Route) -> Value {
    json!({
        "version": route.version.as_ref().map(|version| version.as_str()),
        "labels": route.labels,
        "sticky": route.sticky.as_ref().map(|sticky| sticky.source()),
    })
}

fn child_json(child: &Child) -> Value {
    json!({ "name": child.workflow.as_str(), "version": child.version.as_ref().map(|version| version.as_str()), "detached": child.detached })
}

fn wait_for(wait: &WaitFor) -> Value {
    let source = match &wait.source {
        WaitSource::Signal(name) => json!({ "signal": name }),
        WaitSource::Event { name, key } => json!({ "event": name, "key": key.source() }),
    };
    json!({ "source": source, "payload": schema(&wait.payload) })
}

fn sleep(how: &SleepFor) -> Value {
    match how {
        SleepFor::Fixed(length) => json!({ "fixed": millis(Some(*length)) }),
        SleepFor::For(length) => json!({ "for": length.source() }),
        SleepFor::Until(until) => json!({ "until": until.source() }),
    }
}

fn approval(asked: &Approval) -> Value {
    let texts = |templates: &[Template]| templates.iter().map(text).collect::<Vec<_>>();
    json!({
        "title": text(&asked.title),
        "description": asked.description.as_ref().map(text),
        "form": schema(&asked.form),
        "assignees": texts(&asked.assignees),
        "remind_every": millis(asked.remind_every),
        "escalate": asked.escalate.as_ref().map(|escalate| json!({ "after": millis(Some(escalate.after)), "to": texts(&escalate.to) })),
    })
}

fn switch(switch: &Switch) -> Value {
    let cases: Vec<Value> = switch.cases.iter().map(|case| json!([case.name, case.value])).collect();
    json!({ "on": switch.on.source(), "cases": cases, "has_default": switch.has_default })
}

fn identity(identity: &Identity) -> Value {
    let by = match &identity.by {
        IdentityBy::Fields(fields) => json!({ "fields": fields.iter().map(|field| field.source()).collect::<Vec<_>>() }),
        IdentityBy::Expression(expression) => json!({ "expression": expression.source() }),
        IdentityBy::Guid => json!("guid"),
    };
    let on_duplicate = match identity.on_duplicate {
        OnDuplicate::Existing => "existing",
        OnDuplicate::Refuse => "refuse",
    };
    json!({ "by": by, "window": millis(Some(identity.window)), "on_duplicate": on_duplicate })
}

/// A text with expressions, in a form in which no text looks like an expression.
fn text(template: &Template) -> Value {
    let expression = |source: &str| json!({ "expression": source });
    match template {
        Template::Literal(value) => value.clone(),
        Template::Expression(only) => expression(only.source()),
        Template::Text(parts) => parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => json!(text),
                Part::Expression(inner) => expression(inner.source()),
            })
            .collect(),
        // Texts alone are read here; the form is the obvious one all the same.
        Template::List(items) => items.iter().map(text).collect(),
        Template::Object(members) => members.iter().map(|(name, member)| (name.clone(), text(member))).collect::<Map<_, _>>().into(),
    }
}

fn schema(schema: &Option<Schema>) -> Option<Value> {
    schema.as_ref().map(|schema| schema.source().clone())
}

/// Durations are at most a year, so their milliseconds always fit.
fn millis(duration: Option<Duration>) -> Option<u64> {
    duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
