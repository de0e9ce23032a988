//! One check from text to workflow.

use crate::arms;
use crate::assemble::assemble;
use crate::codes;
use crate::dataflow;
use crate::diagnostic::Diagnostic;
use crate::duration;
use crate::fields::{Fields, name, names, text, whole, wrong_type};
use crate::flow;
use crate::graph::Graph;
use crate::handlers::Handlers;
use crate::identity;
use crate::join;
use crate::kind::Kind;
use crate::mapping::Mappings;
use crate::reach;
use crate::report::{Problem, Report};
use crate::schema::Schemas;
use crate::scope;
use crate::slots::{Slot, SlotKind, Slots};
use crate::steps::{self, Does, StepDraft, Surroundings};
use crate::systems::Systems;
use crate::timeouts::limit;

use crate::typed_parts::{Parts, StepParts};
use crate::typing;
use crate::yaml::{self, Node};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tasker_engine::breaker_policy::BreakerPolicy;
use tasker_engine::canary::Canary;
use tasker_engine::expression::Expression;
use tasker_engine::flow::{CapabilityLimits, Rate, WorkflowFlow};
use tasker_engine::transport::{HttpRoute, Transport};
use tasker_engine::workflow::{Identity, Role};
use tasker_engine::{CapabilityName, Contract, Namespace, Schema, StepName, SystemName, Workflow, WorkflowName, WorkflowVersion};

/// What a check found.
#[derive(Debug, Clone)]
pub struct Checked {
    /// What was read; there exactly if no diagnostic is an error.
    pub manifest: Option<Manifest>,
    /// Every problem, in the order of the source; at most 100 and a last one that counts the rest.
    pub diagnostics: Vec<Diagnostic>,
}

/// A manifest without errors.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// What the engine runs.
    pub workflow: Workflow,
    /// What the manifest says about systems, in its order; for the registry.
    pub systems: Vec<DeclaredSystem>,
    /// What the workflow is for, in plain words; may be empty.
    pub description: String,
    /// What steps are for, in plain words; those of which nothing is said are not in it.
    pub descriptions: BTreeMap<StepName, String>,
}

/// A system as a manifest declares it.
#[derive(Debug, Clone, PartialEq)]
pub struct DeclaredSystem {
    /// Its name.
    pub name: SystemName,
    /// Where people and tools find it; an http or https URL.
    pub base_url: Option<String>,
    /// What says whether it is well; an http or https URL.
    pub health_check_url: Option<String>,
    /// How its steps travel.
    pub transport: Transport,
    /// Which version is new, and how many tasks go to it.
    pub canary: Option<Canary>,
    /// How fast all its capabilities together may be asked.
    pub rate: Option<Rate>,
    /// What it says it can do; empty leaves that to its workers.
    pub capabilities: Vec<DeclaredCapability>,
}

/// A capability as a manifest declares it.
#[derive(Debug, Clone, PartialEq)]
pub struct DeclaredCapability {
    /// Its name.
    pub name: CapabilityName,
    /// What goes in and what may come out.
    pub contract: Contract,
    /// The running limit of steps that give none of their own.
    pub timeout: Option<Duration>,
    /// What it does, in plain words; may be empty.
    pub description: String,
    /// How it is asked over HTTP; absent: by `POST /capabilities/<name>`.
    pub http: Option<HttpRoute>,
    /// When it counts as broken; absent: as the coordinator is configured.
    pub breaker: Option<BreakerPolicy>,
    /// How many slots of its worker one attempt takes, for handlers that do not say so themselves; absent: one.
    pub slot_cost: Option<u32>,
    /// What limits its attempts and its backlog.
    pub limits: CapabilityLimits,
}

/// The top level of a manifest, as far as it could be read.
pub(crate) struct Draft {
    pub name: Option<WorkflowName>,
    pub version: Option<WorkflowVersion>,
    pub description: String,
    pub timeout: Option<Duration>,
    pub deadline: Option<Expression>,
    pub max_parallel: Option<u32>,
    pub identity: Option<Identity>,
    pub flow: WorkflowFlow,
    pub input: Option<Schema>,
    /// The values of the workflow itself: its result, deadline and identity.
    pub slots: Vec<Slot>,
    pub systems: Systems,
    pub steps: Vec<StepDraft>,
    pub graph: Graph,
    pub handlers: Handlers,
}

const FIELDS: [&str; 15] = [
    "name",
    "version",
    "description",
    "timeout",
    "deadline",
    "max_parallel",
    "priority",
    "weight",
    "concurrency",
    "identity",
    "input",
    "result",
    "on_failure",
    "systems",
    "workflow_steps",
];

/// The most steps and items of one task at work at once: as many as a workflow has steps, or a fan-out items.
const PARALLEL_MAX: u32 = 10_000;

/// Checks a manifest. Always returns every diagnostic found, not just the first.
///
/// Pure: the same text, file name and namespace give the same result. `file` is only repeated in diagnostics. The work is bounded
/// whatever the text is: see the limits in this crate.
///
/// ```
/// let namespace = tasker_engine::Namespace::new("default").expect("a valid name");
/// let source = "
/// name: greeting
/// version: 1.0.0
/// systems:
///   hello: {}
/// workflow_steps:
///   - name: greet
///     owner: helo
///     capability: hello.greet
/// ";
/// let checked = tasker_manifest::check(source, "greeting.yaml", &namespace);
/// assert!(checked.manifest.is_none());
/// assert_eq!(checked.diagnostics[0].code, "manifest.unknown_owner");
/// assert_eq!(checked.diagnostics[0].fix.as_deref(), Some("hello"));
/// ```
pub fn check(source: &str, file: &str, namespace: &Namespace) -> Checked {
    let mut report = Report::new(source, file);
    let built = build(namespace, &mut report);
    if let Some((draft, manifest)) = &built {
        check_whole(draft, &manifest.workflow, &mut report);
    }
    finish(built, report)
}

/// Reads a manifest that was accepted before, as at a start: what the check has learnt to refuse since then about types and reachability
/// does not take it back, because tasks are pinned to it. The workflow and its digest are those of [`check`].
///
/// Pure and bounded as [`check`] is.
pub fn restore(source: &str, file: &str, namespace: &Namespace) -> Checked {
    let mut report = Report::new(source, file);
    let built = build(namespace, &mut report);
    finish(built, report)
}

/// Reads the text and builds the workflow; none if an error is reported.
fn build(namespace: &Namespace, report: &mut Report<'_>) -> Option<(Draft, Manifest)> {
    let root = yaml::parse(report)?;
    let draft = read(&root, report).filter(|_| !report.failed())?;
    let manifest = assemble(&draft, namespace)?;
    Some((draft, manifest))
}

/// Checks what needs the whole workflow.
fn check_whole(draft: &Draft, workflow: &Workflow, report: &mut Report<'_>) {
    let steps = draft.steps.iter().map(|step| StepParts { node: &step.node, place: step.place, slots: &step.slots });
    let parts = Parts { workflow, own: &draft.slots, steps: steps.collect() };
    reach::check(&parts, report);
    dataflow::check(&parts, report);
    typing::check(&parts, report);
}

fn finish(built: Option<(Draft, Manifest)>, report: Report<'_>) -> Checked {
    let manifest = built.map(|(_, manifest)| manifest).filter(|_| !report.failed());
    Checked { manifest, diagnostics: report.finish() }
}

fn read(root: &Node, report: &mut Report<'_>) -> Option<Draft> {
    let fields = Fields::open(root, "a manifest", &FIELDS, report)?;
    let (mut schemas, mut mappings) = (Schemas::new(), Mappings::new());
    let name_hint = "name the workflow: `name: order_processing`";
    let workflow_name = fields.required("name", name_hint, report).and_then(|node| {
        let written = text(node, "the workflow's name", report)?;
        name(written, node.place, report)
    });
    let version = fields.required("version", "give it a version: `version: 1.0.0`", report).and_then(|node| version(node, report));
    let description = fields.description(report);
    let timeout = limit(fields.get("timeout"), "`timeout`", report).map(|(timeout, _)| timeout);
    let max_parallel = fields.get("max_parallel").and_then(|node| whole(node, "`max_parallel`", 1..=PARALLEL_MAX, report));
    let input = fields.get("input").and_then(|node| schemas.read(node, "the input schema", report));
    let systems_node = fields.required("systems", "declare the systems that own the steps: `systems:`", report);
    let systems = systems_node.map(|node| Systems::read(node, &mut schemas, report));
    let mut around = Surroundings { systems: systems.as_ref(), mappings: &mut mappings, schemas: &mut schemas };
    let steps_node = fields.required("workflow_steps", "list the steps: `workflow_steps:`", report);
    let steps = steps_node.map(|node| steps::read(node, &mut around, report)).unwrap_or_default();
    let mut slots = Slots::new(&mut mappings);
    let deadline = fields.shared("deadline").and_then(|node| slots.expression(SlotKind::Deadline, node, "`deadline`", report));
    let identity = fields.get("identity").and_then(|node| identity::read(node, &mut slots, report));
    let flow = flow::workflow(&fields, &mut slots, report);
    if let Some(node) = fields.shared("result") {
        slots.mapping(SlotKind::TaskResult, node, "`result`", report);
    }
    let slots = slots.list;
    let on_failure = fields.get("on_failure").map(|node| names(node, "`on_failure`", "the name of a step", report)).unwrap_or_default();
    let graph = Graph::build(&steps, report);
    let handlers = Handlers::find(&steps, &on_failure, &graph, report);
    let draft = Draft {
        name: workflow_name,
        version,
        description,
        timeout,
        deadline,
        max_parallel,
        identity,
        flow,
        input,
        slots,
        systems: systems.unwrap_or_default(),
        steps,
        graph,
        handlers,
    };
    check_steps(&draft, report);
    scope::check(&draft, report);
    arms::check(&draft, report);
    if steps_node.is_some() {
        check_use(&draft, report);
    }
    Some(draft)
}

/// Checks what steps say against the graph and against the task's time.
fn check_steps(draft: &Draft, report: &mut Report<'_>) {
    for (place, step) in draft.steps.iter().enumerate() {
        let role = draft.handlers.roles[place];
        if let Some(join) = step.join.as_ref().filter(|_| role == Role::Forward) {
            let switches: BTreeSet<usize> = draft.graph.branches[place].iter().map(|(switch, ..)| *switch).collect();
            let dependencies = draft.graph.depends_on[place].difference(&switches).count();
            // A name that was refused may have been the missing one.
            if dependencies > 0 || step.depends_on.iter().all(|(name, _)| draft.graph.find(name).is_some()) {
                join::check(step.shown(), join, dependencies, report);
            }
        }
        // Compensation and on_failure steps run when the task's time may be over.
        let timed = match draft.handlers.root(place) {
            Role::Forward | Role::Fallback { .. } => draft.timeout,
            Role::Compensation { .. } | Role::OnFailure => None,
        };
        if let Some(task) = timed {
            step.limits.check_task(step.shown(), task, report);
        }
        match &step.does {
            Some(Does::Approval(asked)) => asked.check(step.limits.waiting(), timed, report),
            Some(Does::Sleep(sleep)) => {
                if let Some((length, at)) = sleep.fixed.filter(|(length, _)| timed.is_some_and(|task| *length > task)) {
                    let (length, task) = (duration::format(length), duration::format(timed.unwrap_or_default()));
                    let message = format!("step `{}` sleeps for {length}, longer than the whole task's {task}", step.shown());
                    let problem = Problem::new(&codes::TASK_TIMEOUT_EXCEEDED, at, message);
                    report.add(problem.hint(format!("sleep for at most {task}, or raise the workflow's `timeout`")));
                }
            }
            Some(Does::Call(_) | Does::Child(_) | Does::Wait(_) | Does::Switch(_)) | None => {}
        }
    }
}

/// A version keeps its source text: `1.10` is not `1.1`.
pub(crate) fn version(node: &Node, report: &mut Report<'_>) -> Option<WorkflowVersion> {
    let written = match &node.kind {
        yaml::Kind::Text(written) | yaml::Kind::Number(_, written) => written,
        _ => {
            wrong_type(node, "`version`", "text or a number", report);
            return None;
        }
    };
    written
        .parse()
        .map_err(|invalid: tasker_engine::ids::InvalidId| {
            let problem = Problem::new(&codes::BAD_VERSION, node.place, invalid.to_string());
            report.add(problem.hint("write it like `2.0.0`, `2026-11-21` or `canary-3`"));
        })
        .ok()
}

/// Warns about systems that own nothing. Silent while an owner could not be read, because it may be the missing one.
fn check_use(draft: &Draft, report: &mut Report<'_>) {
    if draft.steps.is_empty() || draft.steps.iter().any(has_no_owner) {
        return;
    }
    let mut used = vec![false; draft.systems.list.len()];
    for system in draft.steps.iter().filter_map(|step| step.call()?.system) {
        used[system] = true;
    }
    for (system, _) in draft.systems.list.iter().zip(used).filter(|(_, used)| !used) {
        let message = format!("system `{}` owns no step", system.declared.name);
        report.add(Problem::new(&codes::UNUSED_SYSTEM, system.place, message).hint("remove it, or make it the owner of a step"));
    }
}

/// Whether the owner of a step could not be read, so that any system may be the one that was meant.
fn has_no_owner(step: &StepDraft) -> bool {
    step.kind.is_none() || (step.kind == Some(Kind::Call) && step.call().is_none_or(|call| call.system.is_none()))
}
