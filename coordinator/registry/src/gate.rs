//! Does a contract fit the workflows that rely on it?
//!
//! A contract is announced by a worker or declared by a manifest; a workflow relies on it with each step that calls the capability. What the
//! step sends must be accepted, what is answered must be what the manifest expects, and every error code that may come must be one that the
//! manifest knows, because its `on_error` was checked for completeness over those.
//!
//! Pure, and bounded: comparing is bounded by the types, and a workflow is compared by the *different* inputs of its steps. The answer
//! depends on the two contents alone, so it may be kept by their digests.

mod outline;
mod sent;

use outline::outline;
use std::collections::HashMap;
use tasker_engine::contract::{Contract, Schema};
use tasker_engine::decide::reply::is_always_allowed;
use tasker_engine::workflow::{Step, Workflow};
use tasker_engine::{CapabilityName, ErrorCode, StepIndex, StepName, SystemName, WorkflowName, WorkflowVersion};
use tasker_types::{Type, Verdict};

/// The most findings of one comparison: who has more will see the rest after correcting these.
pub const FINDINGS_MAX: usize = 50;
/// The most different inputs of one workflow's steps that are compared with one contract. People write tens; comparing takes about a
/// millisecond each, and the coordinator waits for it.
pub const INPUTS_MAX: usize = 64;
/// The longest example inside a finding, in characters: it is read by people, in one line.
const EXAMPLE_CHARS_MAX: usize = 160;

/// One place where a contract does not, or may not, fit a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The workflow that relies on the contract.
    pub workflow: WorkflowName,
    /// Which version.
    pub version: WorkflowVersion,
    /// The step.
    pub step: StepName,
    /// Its place in the workflow.
    pub index: StepIndex,
    /// Who owns the capability.
    pub system: SystemName,
    /// The capability.
    pub capability: CapabilityName,
    /// Which part of the contract.
    pub side: Side,
    /// Where in the value, as a JSON pointer in which `*` stands for any element or member; empty for the whole value.
    pub path: String,
    /// One sentence.
    pub reason: String,
    /// A whole value that one side gives and the other refuses, as JSON, cut if it is long.
    pub example: Option<String>,
    /// How sure it is.
    pub certainty: Certainty,
}

/// Which part of a contract a finding is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    /// What the step sends.
    Input,
    /// What is answered.
    Result,
    /// That this error may come, or its details.
    Error(ErrorCode),
}

/// How sure it is that something does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certainty {
    /// Neither could be shown.
    Unproven,
    /// Only single values are refused, for their length, range or pattern: whether one ever comes depends on the data.
    Narrower,
    /// There is a value of an ordinary shape that does not fit.
    Breaks,
}

impl Finding {
    /// Whether it is a reason to refuse.
    pub fn breaks(&self) -> bool {
        self.certainty == Certainty::Breaks
    }
}

impl Side {
    /// The word used in the API.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Result => "result",
            Self::Error(_) => "error",
        }
    }
}

impl Certainty {
    /// The word used in the API and in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unproven => "unproven",
            Self::Narrower => "narrower",
            Self::Breaks => "breaks",
        }
    }
}

impl std::fmt::Display for Finding {
    /// For people: workflow, step, field, reason and example in one line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { workflow, version, step, capability, path, reason, .. } = self;
        write!(f, "step `{step}` of workflow `{workflow}` {version}: ")?;
        match (&self.side, path.as_str()) {
            (Side::Input, "") => write!(f, "the input of `{capability}`: ")?,
            (Side::Input, path) => write!(f, "`{path}` in the input of `{capability}`: ")?,
            (Side::Result, "") => write!(f, "the result of `{capability}`: ")?,
            (Side::Result, path) => write!(f, "`{path}` in the result of `{capability}`: ")?,
            (Side::Error(code), "") => write!(f, "the error `{code}` of `{capability}`: ")?,
            (Side::Error(code), path) => write!(f, "`{path}` in the details of the error `{code}` of `{capability}`: ")?,
        }
        f.write_str(reason)?;
        match &self.example {
            Some(example) => write!(f, ", for example {example}"),
            None => Ok(()),
        }
    }
}

/// Compares a capability's contract with every step of a workflow that calls it; empty if everything fits.
///
/// At most [`FINDINGS_MAX`] findings, what breaks first. What neither side says anything about is not a finding.
pub fn compare(workflow: &Workflow, system: &SystemName, capability: &CapabilityName, contract: &Contract) -> Vec<Finding> {
    let mut comparison =
        Comparison { contract, accepted: contract.input.as_ref().map(Accepted::of), inputs: HashMap::new(), answers: Vec::new() };
    let mut findings = Vec::new();
    for index in workflow.indexes() {
        let step = workflow.step(index);
        if step.call().is_none_or(|call| call.system != *system || call.capability != *capability) {
            continue;
        }
        let judged = comparison.input(workflow, step).into_iter().chain(comparison.answers(&step.contract));
        findings.extend(judged.map(|judged| judged.at(workflow, index, system, capability)));
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.certainty));
    findings.truncate(FINDINGS_MAX);
    findings
}

/// What was found, before it is known for which step.
#[derive(Debug, Clone)]
struct Judged {
    side: Side,
    path: String,
    reason: String,
    example: Option<String>,
    certainty: Certainty,
}

impl Judged {
    fn at(self, workflow: &Workflow, index: StepIndex, system: &SystemName, capability: &CapabilityName) -> Finding {
        let Self { side, path, reason, example, certainty } = self;
        Finding {
            workflow: workflow.name.clone(),
            version: workflow.version.clone(),
            step: workflow.step(index).name.clone(),
            index,
            system: system.clone(),
            capability: capability.clone(),
            side,
            path,
            reason,
            example,
            certainty,
        }
    }
}

/// What was compared already for one contract and one workflow.
struct Comparison<'c> {
    contract: &'c Contract,
    accepted: Option<Accepted>,
    /// By what the steps send.
    inputs: HashMap<String, Option<Judged>>,
    /// By what the manifest expects; one entry, unless something else than a manifest made the workflow.
    answers: Vec<(Contract, Vec<Judged>)>,
}

impl Comparison<'_> {
    /// What the step sends, against what is accepted.
    fn input(&mut self, workflow: &Workflow, step: &Step) -> Option<Judged> {
        let accepted = self.accepted.as_ref()?;
        let key = sent::key(step);
        if let Some(known) = self.inputs.get(&key) {
            return known.clone();
        }
        if self.inputs.len() >= INPUTS_MAX {
            let reason = format!("not compared, because the workflow sends more than {INPUTS_MAX} different kinds of input");
            return Some(Judged { side: Side::Input, path: String::new(), reason, example: None, certainty: Certainty::Unproven });
        }
        let sent = sent::sent(workflow, step);
        let judged = if sent.is_any() { None } else { accepted.judge(&sent, Side::Input) };
        // A mapping of values without a type proves nothing, and nobody can do anything about it here.
        let judged = judged.filter(|judged| judged.certainty == Certainty::Breaks || step.contract.input.is_some());
        self.inputs.insert(key, judged.clone());
        judged
    }

    /// What may be answered, against what the manifest expects.
    fn answers(&mut self, expected: &Contract) -> Vec<Judged> {
        if let Some((_, known)) = self.answers.iter().find(|(known, _)| known == expected) {
            return known.clone();
        }
        let mut judged = Vec::new();
        judged.extend(judge_answer(self.contract.result.as_ref(), expected.result.as_ref(), Side::Result));
        // No declared errors means that any may come.
        if !expected.errors.is_empty() {
            for (code, error) in &self.contract.errors {
                match expected.errors.get(code) {
                    Some(known) => judged.extend(judge_answer(error.details.as_ref(), known.details.as_ref(), Side::Error(code.clone()))),
                    None if is_always_allowed(code.as_str()) => {}
                    None => judged.push(unknown_code(code, expected)),
                }
            }
        }
        self.answers.push((expected.clone(), judged.clone()));
        judged
    }
}

fn unknown_code(code: &ErrorCode, expected: &Contract) -> Judged {
    let known: Vec<&str> = expected.errors.keys().take(10).map(ErrorCode::as_str).collect();
    let reason = format!("the manifest does not declare it and says nothing about what follows; it declares {}", known.join(", "));
    Judged { side: Side::Error(code.clone()), path: String::new(), reason, example: None, certainty: Certainty::Breaks }
}

fn judge_answer(given: Option<&Schema>, expected: Option<&Schema>, side: Side) -> Option<Judged> {
    let (given, expected) = (given?, expected?);
    if given.digest() == expected.digest() {
        return None;
    }
    Accepted::of(expected).judge(&Type::of_schema(given.source()), side)
}

/// What one side takes.
struct Accepted {
    whole: Type,
    outline: Type,
}

impl Accepted {
    fn of(schema: &Schema) -> Self {
        Self { whole: Type::of_schema(schema.source()), outline: Type::of_schema(&outline(schema.source())) }
    }

    fn judge(&self, given: &Type, side: Side) -> Option<Judged> {
        match self.whole.admits(given) {
            Verdict::Fits => None,
            Verdict::Unproven { path, reason } => Some(Judged { side, path, reason, example: None, certainty: Certainty::Unproven }),
            narrow @ Verdict::Breaks { .. } => match self.outline.admits(given) {
                broken @ Verdict::Breaks { .. } => broken_at(broken, side, Certainty::Breaks),
                Verdict::Fits | Verdict::Unproven { .. } => broken_at(narrow, side, Certainty::Narrower),
            },
        }
    }
}

fn broken_at(verdict: Verdict, side: Side, certainty: Certainty) -> Option<Judged> {
    match verdict {
        Verdict::Breaks { path, reason, counterexample, .. } => {
            Some(Judged { side, path, reason, example: counterexample.map(|value| cut(&value.to_string())), certainty })
        }
        Verdict::Fits | Verdict::Unproven { .. } => None,
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(EXAMPLE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
