//! Reads `approval:`.

use crate::codes;
use crate::duration::{self, format};
use crate::fields::{Fields, wrong_type};
use crate::report::{Place, Problem, Report};
use crate::schema::Schemas;
use crate::slots::{SlotKind, Slots};
use crate::timeouts::limit;
use crate::yaml::{Kind, Node};
use std::time::Duration;
use tasker_engine::template::Template;
use tasker_engine::workflow::{Approval, Escalation};

/// The most people or groups named in one list.
const NAMED_MAX: usize = 100;
/// Each reminder is an event in the task's history, so they may not come faster than people read.
const REMIND_MIN: Duration = Duration::from_secs(60);

/// An approval, and where its times are written.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub approval: Approval,
    remind: Option<(Duration, Place)>,
    escalate: Option<(Duration, Place)>,
}

/// Reads what a person is asked.
pub(crate) fn read(node: &Node, schemas: &mut Schemas, slots: &mut Slots<'_>, report: &mut Report<'_>) -> Option<Asked> {
    let known = ["title", "description", "form", "assignees", "remind_every", "escalate"];
    let fields = Fields::open(node, "`approval`", &known, report)?;
    fields.required("title", "say in one line what is to be decided: `title: \"Approve order ${ task.input.id }\"`", report);
    let title = fields.shared("title").and_then(|node| slots.text(SlotKind::ApprovalTitle, node, "the title of an approval", report));
    let said = fields.shared("description");
    let description = said.map(|node| slots.text(SlotKind::ApprovalDescription, node, "the description of an approval", report));
    let form = fields.get("form").map(|node| schemas.read(node, "the form", report));
    let assignees = fields.get("assignees").map(|node| people(node, "`assignees`", SlotKind::Assignee, slots, report));
    let remind = limit(fields.get("remind_every"), "`remind_every`", report);
    if let Some((every, place)) = remind
        && every < REMIND_MIN
    {
        let message = format!("`remind_every` cannot be {}", format(every));
        report.add(Problem::new(&codes::OUT_OF_RANGE, place, message).hint(format!("remind at most every {}", format(REMIND_MIN))));
    }
    let escalation = fields.get("escalate").map(|node| escalate(node, slots, report));
    let (escalation, escalate) = match escalation {
        Some(Some((escalation, place))) => {
            let after = escalation.after;
            (Some(escalation), Some((after, place)))
        }
        Some(None) => return None,
        None => (None, None),
    };
    let approval = Approval {
        title: title?,
        description: description.flatten(),
        form: form.flatten(),
        assignees: assignees.unwrap_or_default(),
        remind_every: remind.map(|(every, _)| every),
        escalate: escalation,
    };
    Some(Asked { approval, remind, escalate })
}

fn escalate(node: &Node, slots: &mut Slots<'_>, report: &mut Report<'_>) -> Option<(Escalation, Place)> {
    let fields = Fields::open(node, "`escalate`", &["after", "to"], report)?;
    let after = fields.required("after", "say when: `after: 3d`", report).and_then(|node| {
        let after = duration::read(node, "`after`", report)?;
        Some((after, node.place))
    });
    let to = fields.required("to", "say whom to ask then: `to: [head_of_legal]`", report);
    let to = to.map(|node| people(node, "`to`", SlotKind::EscalateTo, slots, report));
    let (after, place) = after?;
    Some((Escalation { after, to: to? }, place))
}

/// A list of names, each of which may be an expression; one name may stand alone.
fn people(node: &Node, what: &str, kind: SlotKind, slots: &mut Slots<'_>, report: &mut Report<'_>) -> Vec<Template> {
    let Kind::List(items) = &node.kind else {
        wrong_type(node, what, "a list of names", report);
        return Vec::new();
    };
    if items.len() > NAMED_MAX {
        let message = format!("{what} names {} people; at most {NAMED_MAX} are accepted", items.len());
        report.add(Problem::new(&codes::OUT_OF_RANGE, node.mark(), message).hint("name a group that they belong to"));
        return Vec::new();
    }
    items.iter().filter_map(|item| slots.text(kind, item, "the name of a person or group", report)).collect()
}

impl Asked {
    /// Reports times that come after the approval is over.
    pub fn check(&self, waiting: Option<Duration>, task: Option<Duration>, report: &mut Report<'_>) {
        let (end, whose) = match (waiting, task) {
            (Some(waiting), _) => (waiting, "the approval's own `timeout`"),
            (None, Some(task)) => (task, "the whole task's `timeout`"),
            (None, None) => return,
        };
        let parts = [("remind_every", "nobody would be reminded", self.remind), ("after", "nobody else would be asked", self.escalate)];
        for (name, consequence, part) in parts {
            let Some((time, place)) = part.filter(|(time, _)| *time >= end) else { continue };
            let message = format!("`{name}: {}` comes when {whose} of {} is over, so {consequence}", format(time), format(end));
            let hint = format!("make it shorter than {}, or raise the timeout", format(end));
            report.add(Problem::new(&codes::APPROVAL_ORDER, place, message).hint(hint));
        }
    }
}
