//! Every place of a manifest that holds expressions, gathered while it is read.

use crate::mapping::{Mapping, Mappings};
use crate::report::Report;
use crate::yaml::Node;
use std::rc::Rc;
use tasker_engine::expression::Expression;
use tasker_engine::template::Template;

/// One place with a value that may hold expressions, such as the `when` of a step.
#[derive(Debug)]
pub(crate) struct Slot {
    pub kind: SlotKind,
    /// The value as it was written; [`crate::schema::locate`] finds what a JSON pointer leads to.
    pub node: Rc<Node>,
    pub mapping: Mapping,
}

/// What a value is for; it decides which type the value must have, and which names its expressions may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SlotKind {
    /// A step's condition, a boolean.
    When,
    /// The input of a call or child task.
    Input,
    /// The list of a fan-out.
    Items,
    /// The value that a switch looks at.
    SwitchOn,
    /// The key of an awaited event, a text.
    EventKey,
    /// How long to sleep: a text such as `30d`, or a number of seconds.
    SleepFor,
    /// Until when to sleep: an RFC 3339 text.
    SleepUntil,
    /// The title of an approval, a text.
    ApprovalTitle,
    /// What the person should know, a text.
    ApprovalDescription,
    /// Who is asked to decide: a text, or a list of texts.
    Assignee,
    /// Who is asked after a while: a text, or a list of texts.
    EscalateTo,
    /// The key by which steps prefer the same worker.
    RouteSticky,
    /// What a step's rate or concurrency is counted by, a text.
    StepLimitKey,
    /// What a workflow's concurrency is counted by, a text worked out from the input.
    TaskLimitKey,
    /// The task's result.
    TaskResult,
    /// The instant by which a task must end: an RFC 3339 text.
    Deadline,
    /// What makes two submissions the same task, a text.
    IdentityExpression,
    /// A field of the input by which tasks are told apart.
    IdentityField,
}

/// Reads values with expressions and keeps them as slots.
pub(crate) struct Slots<'m> {
    mappings: &'m mut Mappings,
    pub list: Vec<Slot>,
}

impl<'m> Slots<'m> {
    pub fn new(mappings: &'m mut Mappings) -> Self {
        Self { mappings, list: Vec::new() }
    }

    /// A value that is one expression.
    pub fn expression(&mut self, kind: SlotKind, node: &Rc<Node>, what: &str, report: &mut Report<'_>) -> Option<Expression> {
        let (expression, mapping) = self.mappings.expression(node, what, report)?;
        self.list.push(Slot { kind, node: Rc::clone(node), mapping });
        Some(expression)
    }

    /// A text that may hold expressions.
    pub fn text(&mut self, kind: SlotKind, node: &Rc<Node>, what: &str, report: &mut Report<'_>) -> Option<Template> {
        let mapping = self.mappings.text(node, what, report)?;
        let template = mapping.template.clone();
        self.list.push(Slot { kind, node: Rc::clone(node), mapping });
        Some(template)
    }

    /// A mapping, or one expression.
    pub fn mapping(&mut self, kind: SlotKind, node: &Rc<Node>, what: &str, report: &mut Report<'_>) -> Option<Template> {
        let mapping = self.mappings.read(node, what, report)?;
        let template = mapping.template.clone();
        self.list.push(Slot { kind, node: Rc::clone(node), mapping });
        Some(template)
    }

    /// A value that becomes an expression without having been written as one: `source` says which.
    pub fn made(&mut self, kind: SlotKind, node: &Rc<Node>, source: &str, report: &mut Report<'_>) -> Option<Expression> {
        let expression = self.mappings.made(node, source, report)?;
        let located = crate::mapping::Located { expression: expression.clone(), place: node.place };
        let mapping = Mapping { template: Template::Expression(expression.clone()), expressions: vec![located] };
        self.list.push(Slot { kind, node: Rc::clone(node), mapping });
        Some(expression)
    }
}
