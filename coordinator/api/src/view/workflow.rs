//! Workflows and what the manifest checker says about them.

use super::task::PauseDetail;
use crate::instant::{Instant, millis};
use serde::Serialize;
use std::collections::BTreeSet;
use tasker_engine::Workflow;
use tasker_engine::retry::{Backoff, Jitter, RetryPolicy};
use tasker_engine::workflow::{Join, Step, Timeouts};
use tasker_runtime::operations::{self, AppliedWorkflow, Incompatibility};
use utoipa::ToSchema;

/// One finding of the manifest checker. Lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Diagnostic {
    /// Stable, for programs.
    code: String,
    /// `error`, `warning` or `info`.
    severity: &'static str,
    message: String,
    /// As named by whoever applied the manifest.
    file: String,
    line: usize,
    column: usize,
    /// How many characters are marked.
    length: usize,
    /// The line of the manifest.
    excerpt: String,
    /// What to do, in words.
    hint: Option<String>,
    /// What to put in place of the marked text, if that is certain enough.
    fix: Option<String>,
}

impl Diagnostic {
    pub(crate) fn of(found: &tasker_manifest::Diagnostic) -> Self {
        Self {
            code: found.code.clone(),
            severity: match found.severity {
                tasker_manifest::Severity::Error => "error",
                tasker_manifest::Severity::Warning => "warning",
                tasker_manifest::Severity::Info => "info",
            },
            message: found.message.clone(),
            file: found.file.clone(),
            line: found.line,
            column: found.column,
            length: found.length,
            excerpt: found.excerpt.clone(),
            hint: found.hint.clone(),
            fix: found.fix.clone(),
        }
    }
}

/// What applying a manifest led to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Applied {
    name: String,
    version: String,
    /// The digest of the checked definition.
    digest: String,
    /// False if this very definition was applied before.
    pub(crate) changed: bool,
    /// Whether everything was checked and nothing was changed.
    pub(crate) dry_run: bool,
    warnings: Vec<Diagnostic>,
    /// What may not fit the live fleet or the other workflows, and, if it was forced, what does not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    compatibility: Vec<Compatibility>,
}

/// One place where a workflow and what runs now do not, or may not, fit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Compatibility {
    /// `breaks`, `narrower` (only for single values) or `unproven`.
    certainty: &'static str,
    workflow: String,
    version: String,
    step: String,
    system: String,
    capability: String,
    /// `input`, `result` or `error`.
    side: &'static str,
    /// Where in the value, as a JSON pointer in which `*` stands for any element or member.
    path: String,
    /// The whole finding in one line.
    message: String,
    /// Tasks in flight that still have the step before them.
    tasks: usize,
}

impl Compatibility {
    fn of(found: &Incompatibility) -> Self {
        let finding = &found.finding;
        Self {
            certainty: finding.certainty.as_str(),
            workflow: finding.workflow.to_string(),
            version: finding.version.to_string(),
            step: finding.step.to_string(),
            system: finding.system.to_string(),
            capability: finding.capability.to_string(),
            side: finding.side.as_str(),
            path: finding.path.clone(),
            message: found.to_string(),
            tasks: found.tasks,
        }
    }
}

impl Applied {
    pub(crate) fn of(applied: &operations::Applied, dry_run: bool) -> Self {
        Self {
            name: applied.workflow.name.to_string(),
            version: applied.workflow.version.to_string(),
            digest: applied.workflow.digest.to_string(),
            changed: applied.changed,
            dry_run,
            warnings: applied.warnings.iter().map(Diagnostic::of).collect(),
            compatibility: applied.compatibility.iter().map(Compatibility::of).collect(),
        }
    }
}

/// One version of a workflow.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkflowSummary {
    name: String,
    version: String,
    digest: String,
    description: String,
    /// How many.
    steps: usize,
    /// Who owns them, sorted.
    systems: Vec<String>,
    applied_at: Instant,
    /// Whether new tasks run this version unless they name another.
    current: bool,
    /// Why and since when its tasks, of every version, start nothing new.
    paused: Option<PauseDetail>,
}

impl WorkflowSummary {
    pub(crate) fn of(applied: &AppliedWorkflow) -> Self {
        let workflow = &applied.workflow;
        let systems: BTreeSet<&str> = workflow.steps.iter().filter_map(|step| Some(step.system()?.as_str())).collect();
        Self {
            name: workflow.name.to_string(),
            version: workflow.version.to_string(),
            digest: workflow.digest.to_string(),
            description: applied.description.clone(),
            steps: workflow.steps.len(),
            systems: systems.into_iter().map(str::to_owned).collect(),
            applied_at: Instant(applied.applied_at),
            current: applied.current,
            paused: applied.pause.as_ref().map(|pause| PauseDetail { reason: pause.reason.clone(), since: Instant(pause.since) }),
        }
    }
}

/// One version of a workflow with its manifest and graph.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkflowDetail {
    #[serde(flatten)]
    summary: WorkflowSummary,
    /// The manifest as it was written.
    source: String,
    /// In the order of the manifest.
    graph: Vec<Node>,
}

impl WorkflowDetail {
    pub(crate) fn of(applied: &AppliedWorkflow) -> Self {
        let workflow = &applied.workflow;
        Self {
            summary: WorkflowSummary::of(applied),
            source: applied.source.to_string(),
            graph: workflow.steps.iter().map(|step| Node::of(workflow, step)).collect(),
        }
    }
}

/// One step of a workflow.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkflowStep)]
struct Node {
    name: String,
    /// `call`, `child`, `wait`, `sleep`, `approval` or `switch`; more may come.
    kind: &'static str,
    /// `forward`, `compensation`, `fallback` or `on_failure`.
    role: &'static str,
    /// Who is asked; null unless it is a call.
    system: Option<String>,
    capability: Option<String>,
    depends_on: Vec<String>,
    /// `all`, `any`, `done`, `first` or `at_least`.
    join: &'static str,
    /// Its condition, as written.
    when: Option<String>,
    /// Whether it works on the items of a list.
    fans_out: bool,
    /// The handler that undoes it.
    compensate: Option<String>,
    retry: Retry,
    timeouts: Limits,
}

impl Node {
    fn of(workflow: &Workflow, step: &Step) -> Self {
        Self {
            name: step.name.to_string(),
            kind: step.kind.as_str(),
            role: step.role.as_str(),
            system: step.system().map(ToString::to_string),
            capability: step.capability().map(ToString::to_string),
            join: match step.join {
                Join::All => "all",
                Join::Any => "any",
                Join::Done => "done",
                Join::AtLeast { count: 1, .. } => "first",
                Join::AtLeast { .. } => "at_least",
            },
            when: step.when.as_ref().map(|when| when.source().to_owned()),
            fans_out: step.for_each.is_some(),
            compensate: step.compensate.map(|handler| workflow.step(handler).name.to_string()),
            depends_on: step.depends_on.iter().map(|index| workflow.step(*index).name.to_string()).collect(),
            retry: Retry::of(&step.retry),
            timeouts: Limits::of(step.timeouts),
        }
    }
}

/// When a failed attempt is tried again.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RetryPolicy)]
struct Retry {
    /// `fixed`, `linear`, `exponential` or `fibonacci`.
    backoff: &'static str,
    /// The delay after the first failed attempt.
    base_ms: u64,
    /// The longest delay.
    cap_ms: u64,
    /// `none`, `equal` or `full`.
    jitter: &'static str,
    /// All attempts together, the first included.
    attempts_max: u32,
    /// Codes after which no further attempt is made.
    non_retryable: Vec<String>,
}

impl Retry {
    fn of(policy: &RetryPolicy) -> Self {
        Self {
            backoff: match policy.backoff {
                Backoff::Fixed => "fixed",
                Backoff::Linear => "linear",
                Backoff::Exponential => "exponential",
                Backoff::Fibonacci => "fibonacci",
            },
            base_ms: millis(policy.base),
            cap_ms: millis(policy.cap),
            jitter: match policy.jitter {
                Jitter::None => "none",
                Jitter::Equal => "equal",
                Jitter::Full => "full",
            },
            attempts_max: policy.attempts_max,
            non_retryable: policy.non_retryable.iter().map(ToString::to_string).collect(),
        }
    }
}

/// How long a step may take; null means no limit of its own.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StepTimeouts)]
struct Limits {
    /// From ready to an attempt's start.
    waiting_ms: Option<u64>,
    /// From an attempt's start to its reply.
    running_ms: Option<u64>,
    /// From ready to the end, retries included.
    total_ms: Option<u64>,
}

impl Limits {
    fn of(timeouts: Timeouts) -> Self {
        Self { waiting_ms: timeouts.waiting.map(millis), running_ms: timeouts.running.map(millis), total_ms: timeouts.total.map(millis) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::sample;

    #[test]
    fn a_workflow_shows_its_graph_and_its_manifest() {
        let applied = sample::applied_workflow();
        insta::assert_snapshot!(serde_json::to_string_pretty(&WorkflowDetail::of(&applied)).expect("writes"));
    }

    #[test]
    fn an_applied_manifest_shows_its_warnings() {
        let warning = tasker_manifest::Diagnostic {
            code: "manifest.unused".into(),
            severity: tasker_manifest::Severity::Warning,
            message: "nothing uses the system `mail`".into(),
            file: "order.yaml".into(),
            line: 4,
            column: 3,
            length: 4,
            excerpt: "  mail:".into(),
            hint: Some("remove it".into()),
            fix: None,
        };
        let applied =
            operations::Applied { workflow: sample::workflow(), changed: true, warnings: vec![warning], compatibility: Vec::new() };
        insta::assert_snapshot!(serde_json::to_string_pretty(&Applied::of(&applied, false)).expect("writes"));
    }
}
