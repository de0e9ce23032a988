//! What is drawn, whatever the notation.

use crate::live::{Live, LiveStates};
use crate::words;
use std::collections::BTreeMap;
use tasker_engine::reaction::Exhausted;
use tasker_engine::workflow::{Role, Step, StepKind, Workflow};
use tasker_engine::{ErrorCode, StepIndex};

/// Nodes and edges of one workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scene {
    /// Name and version.
    pub title: String,
    /// The steps in the order of the manifest; then, if something runs because the task fails, a node for that.
    pub nodes: Vec<Node>,
    /// From one node to another, by their places.
    pub edges: Vec<Edge>,
}

/// One box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The step's name.
    pub name: String,
    /// How it looks.
    pub shape: Shape,
    /// What stands below the name, line by line.
    pub lines: Vec<String>,
    /// Whether the step only runs when something goes wrong.
    pub handler: bool,
    /// Whether it has items.
    pub fan: bool,
    /// Where it stands, in a task.
    pub live: Option<Live>,
}

/// What a box stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A request to a system.
    Call,
    /// Another workflow.
    Child,
    /// A signal or event.
    Wait,
    /// Time.
    Sleep,
    /// A person.
    Approval,
    /// A choice.
    Switch,
    /// Not a step: the failure of the task.
    Failure,
}

/// One arrow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// Where it begins.
    pub from: usize,
    /// Where it ends.
    pub to: usize,
    /// What stands beside it; may be empty.
    pub label: String,
    /// How it is drawn.
    pub line: Line,
}

/// How an arrow is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// The way forward.
    Solid,
    /// The way when something goes wrong.
    Dotted,
}

/// The longest expression or name in a box, in characters.
const LINE_MAX: usize = 44;

impl Scene {
    /// The scene of a definition, or of a task if its states are given.
    pub fn of(workflow: &Workflow, live: &LiveStates) -> Self {
        let mut scene = Self { title: format!("{} {}", workflow.name, workflow.version), nodes: Vec::new(), edges: Vec::new() };
        for step in workflow.indexes() {
            let definition = workflow.step(step);
            scene.nodes.push(node(definition, live.get(definition.name.as_str()).cloned()));
            scene.forward_edges(workflow, step);
            scene.handler_edges(workflow, step);
        }
        if !workflow.on_failure.is_empty() {
            let from = scene.nodes.len();
            scene.nodes.push(Node {
                name: "the task fails".to_owned(),
                shape: Shape::Failure,
                lines: Vec::new(),
                handler: true,
                fan: false,
                live: None,
            });
            let edges = workflow.on_failure.iter();
            scene.edges.extend(edges.map(|step| Edge { from, to: step.at(), label: String::new(), line: Line::Dotted }));
        }
        scene
    }

    fn forward_edges(&mut self, workflow: &Workflow, step: StepIndex) {
        for dependency in &workflow.step(step).depends_on {
            let label = match &workflow.step(*dependency).kind {
                StepKind::Switch(switch) => words::cases(workflow, switch, *dependency, step).join(", "),
                StepKind::Call(_) | StepKind::Child(_) | StepKind::Wait(_) | StepKind::Sleep(_) | StepKind::Approval(_) => String::new(),
            };
            self.edges.push(Edge { from: dependency.at(), to: step.at(), label: words::cut(&label, LINE_MAX), line: Line::Solid });
        }
    }

    fn handler_edges(&mut self, workflow: &Workflow, step: StepIndex) {
        let definition = workflow.step(step);
        if let Some(handler) = definition.compensate {
            self.edges.push(Edge { from: step.at(), to: handler.at(), label: "undo".to_owned(), line: Line::Dotted });
        }
        let mut fallbacks: BTreeMap<StepIndex, Vec<&str>> = BTreeMap::new();
        for (code, reaction) in &definition.on_error.arms {
            if let Exhausted::Fallback(to) = reaction.exhausted() {
                fallbacks.entry(to).or_default().push(ErrorCode::as_str(code));
            }
        }
        if let Exhausted::Fallback(to) = definition.on_error.otherwise.exhausted() {
            fallbacks.entry(to).or_default().push("any error");
        }
        for (to, codes) in fallbacks {
            let label = words::cut(&codes.join(", "), LINE_MAX);
            self.edges.push(Edge { from: step.at(), to: to.at(), label, line: Line::Dotted });
        }
    }
}

fn node(definition: &Step, live: Option<Live>) -> Node {
    let mut lines = Vec::new();
    let shape = match &definition.kind {
        StepKind::Call(call) => {
            lines.push(format!("{} · {}", call.system, call.capability));
            Shape::Call
        }
        StepKind::Child(child) => {
            let version = child.version.as_ref().map_or(String::new(), |version| format!(" {version}"));
            let detached = if child.detached { ", not waited for" } else { "" };
            lines.push(format!("workflow {}{version}{detached}", child.workflow));
            Shape::Child
        }
        StepKind::Wait(wait) => {
            lines.push(words::source(&wait.source));
            Shape::Wait
        }
        StepKind::Sleep(sleep) => {
            lines.push(format!("sleep {}", words::sleep(sleep)));
            Shape::Sleep
        }
        StepKind::Approval(approval) => {
            let assignees: Vec<String> = approval.assignees.iter().map(words::written).collect();
            lines.push(if assignees.is_empty() { "approval".to_owned() } else { format!("approval by {}", assignees.join(", ")) });
            Shape::Approval
        }
        StepKind::Switch(switch) => {
            lines.push(format!("on {}", switch.on.source()));
            Shape::Switch
        }
    };
    lines.extend(definition.for_each.as_ref().map(|fan| words::fan(fan)));
    lines.extend(definition.when.as_ref().map(|when| format!("when {}", when.source())));
    lines.extend(words::join(definition.join).map(|join| format!("join {join}")));
    if let Some(live) = &live {
        let state = live.state.replace('_', " ");
        lines.push(match live.items {
            Some((over, all)) => format!("{state}, {over} of {all} items"),
            None => state,
        });
    }
    let lines = lines.iter().map(|line| words::cut(line, LINE_MAX)).collect();
    let handler = definition.role != Role::Forward;
    Node { name: definition.name.to_string(), shape, lines, handler, fan: definition.for_each.is_some(), live }
}
