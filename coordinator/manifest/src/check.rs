//! One check from text to workflow.

use crate::assemble::assemble;
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::fields::{Fields, name, text, wrong_type};
use crate::graph::{Ancestors, Graph};
use crate::mapping::{Mapping, Mappings};
use crate::paths;
use crate::report::{Problem, Report};
use crate::schema::Schemas;
use crate::steps::{self, StepDraft, Surroundings};
use crate::suggest::nearest;
use crate::systems::Systems;
use crate::timeouts::limit;
use crate::yaml::{self, Kind, Node};
use std::time::Duration;
use tasker_engine::{CapabilityName, Contract, Namespace, Schema, SystemName, Workflow, WorkflowName, WorkflowVersion};

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
}

/// The top level of a manifest, as far as it could be read.
pub(crate) struct Draft {
    pub name: Option<WorkflowName>,
    pub version: Option<WorkflowVersion>,
    pub description: String,
    pub timeout: Option<Duration>,
    pub input: Option<Schema>,
    pub result: Option<Mapping>,
    pub systems: Systems,
    pub steps: Vec<StepDraft>,
    pub graph: Graph,
}

const FIELDS: [&str; 8] = ["name", "version", "description", "timeout", "input", "result", "systems", "workflow_steps"];

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
    let draft = yaml::parse(&mut report).and_then(|root| read(&root, &mut report));
    let manifest = match (report.failed(), draft) {
        (false, Some(draft)) => assemble(draft, namespace),
        _ => None,
    };
    Checked { manifest, diagnostics: report.finish() }
}

fn read(root: &Node, report: &mut Report<'_>) -> Option<Draft> {
    let fields = Fields::open(root, "a manifest", &FIELDS, report)?;
    let mut schemas = Schemas::new();
    let mut mappings = Mappings::new();
    let name_hint = "name the workflow: `name: order_processing`";
    let workflow_name = fields.required("name", name_hint, report).and_then(|node| {
        let written = text(node, "the workflow's name", report)?;
        name(written, node.place, report)
    });
    let version = fields.required("version", "give it a version: `version: 1.0.0`", report).and_then(|node| version(node, report));
    let description = fields.description(report);
    let timeout = limit(fields.get("timeout"), "`timeout`", report).map(|(timeout, _)| timeout);
    let input = fields.get("input").and_then(|node| schemas.read(node, "the input schema", report));
    let systems_node = fields.required("systems", "declare the systems that own the steps: `systems:`", report);
    let systems = systems_node.map(|node| Systems::read(node, &mut schemas, report));
    let around = Surroundings { systems: systems.as_ref(), task_timeout: timeout };
    let steps_node = fields.required("workflow_steps", "list the steps: `workflow_steps:`", report);
    let steps = steps_node.map(|node| steps::read(node, &around, &mut mappings, report)).unwrap_or_default();
    let result = fields.get("result").and_then(|node| mappings.read(node, "`result`", report));
    let graph = Graph::build(&steps, report);
    let draft =
        Draft { name: workflow_name, version, description, timeout, input, result, systems: systems.unwrap_or_default(), steps, graph };
    check_reads(&draft, report);
    if steps_node.is_some() {
        check_use(&draft, report);
    }
    Some(draft)
}

/// A version keeps its source text: `1.10` is not `1.1`.
fn version(node: &Node, report: &mut Report<'_>) -> Option<WorkflowVersion> {
    let written = match &node.kind {
        Kind::Text(written) | Kind::Number(_, written) => written,
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

/// Checks what every mapping reads: that the step exists, has finished by then, and has the field.
fn check_reads(draft: &Draft, report: &mut Report<'_>) {
    let reads_steps = draft.steps.iter().any(|step| step.input.as_ref().is_some_and(|input| !input.steps.is_empty()));
    let ancestors = if reads_steps { draft.graph.ancestors() } else { None };
    for (place, step) in draft.steps.iter().enumerate() {
        if let Some(mapping) = &step.input {
            check_mapping(draft, mapping, Some((place, step, ancestors.as_ref())), report);
        }
    }
    if let Some(mapping) = &draft.result {
        check_mapping(draft, mapping, None, report);
    }
}

type Reader<'a> = (usize, &'a StepDraft, Option<&'a Ancestors>);

fn check_mapping(draft: &Draft, mapping: &Mapping, reader: Option<Reader<'_>>, report: &mut Report<'_>) {
    for (step, place) in &mapping.steps {
        match (draft.graph.find(step.as_str()), reader) {
            (None, _) => {
                let close = nearest(report, step.as_str(), draft.graph.names());
                let problem = Problem::new(&codes::UNKNOWN_STEP, *place, format!("no step is called `{step}`"));
                let problem = problem.hint("read the result of a step of this workflow");
                report.add(match close {
                    Some(close) => problem.hint(format!("did you mean `steps.{close}.result`?")),
                    None => problem,
                });
            }
            (Some(found), Some((place_of_reader, reader, Some(ancestors)))) if !ancestors.contain(place_of_reader, found) => {
                let name = reader.name.as_ref().map_or("?", |name| name.as_str());
                let (message, hint) = if found == place_of_reader {
                    let message = format!("step `{name}` reads its own result, which does not exist before it has run");
                    (message, "read the result of a step it depends on, or the task's input".to_owned())
                } else {
                    let message = format!("step `{name}` reads the result of `{step}`, but does not wait for it");
                    (message, format!("add `{step}` to the `depends_on` of `{name}`"))
                };
                report.add(Problem::new(&codes::NOT_A_DEPENDENCY, *place, message).hint(hint));
            }
            (Some(_), _) => {}
        }
    }
    for (path, place) in &mapping.paths {
        match path.as_slice() {
            [task, input, ..] if task == "task" && input == "input" => {
                if let Some(schema) = &draft.input {
                    paths::check(schema, path, 2, *place, report);
                }
            }
            [steps, step, ..] if steps == "steps" => {
                let found = draft.graph.find(step).map(|place| &draft.steps[place]);
                if let Some(schema) = found.and_then(|step| step.contract.result.as_ref()) {
                    paths::check(schema, path, 3, *place, report);
                }
            }
            _ => {}
        }
    }
}

/// Warns about systems that own nothing. Silent while an owner could not be read, because it may be the missing one.
fn check_use(draft: &Draft, report: &mut Report<'_>) {
    if draft.steps.is_empty() || draft.steps.iter().any(|step| step.system.is_none()) {
        return;
    }
    let mut used = vec![false; draft.systems.list.len()];
    for system in draft.steps.iter().filter_map(|step| step.system) {
        used[system] = true;
    }
    for (system, _) in draft.systems.list.iter().zip(used).filter(|(_, used)| !used) {
        let message = format!("system `{}` owns no step", system.declared.name);
        report.add(Problem::new(&codes::UNUSED_SYSTEM, system.place, message).hint("remove it, or make it the owner of a step"));
    }
}
