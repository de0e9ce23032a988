//! Reads `sleep:`.

use crate::duration;
use crate::fields::Fields;
use crate::report::{Place, Report};
use crate::slots::{SlotKind, Slots};
use crate::yaml::{Kind, Node};
use std::time::Duration;
use tasker_engine::workflow::SleepFor;

/// How long a step sleeps, and where a fixed length is written.
#[derive(Debug, Clone)]
pub(crate) struct Sleep {
    pub how: SleepFor,
    pub fixed: Option<(Duration, Place)>,
}

/// Reads `30d`, `{ for: … }` or `{ until: … }`.
pub(crate) fn read(node: &Node, slots: &mut Slots<'_>, report: &mut Report<'_>) -> Option<Sleep> {
    if !matches!(node.kind, Kind::Map(_)) {
        return fixed(node, "`sleep`", report);
    }
    let fields = Fields::open(node, "`sleep`", &["for", "until"], report)?;
    let given = fields.one_of(&["for", "until"], report)?;
    let node = fields.shared(given)?;
    if given == "until" {
        let until = slots.expression(SlotKind::SleepUntil, node, "`until`", report)?;
        return Some(Sleep { how: SleepFor::Until(until), fixed: None });
    }
    match &node.kind {
        Kind::Text(text) if text.contains("${") => {
            let length = slots.expression(SlotKind::SleepFor, node, "`for`", report)?;
            Some(Sleep { how: SleepFor::For(length), fixed: None })
        }
        _ => fixed(node, "`for`", report),
    }
}

fn fixed(node: &Node, what: &str, report: &mut Report<'_>) -> Option<Sleep> {
    let length = duration::read(node, what, report)?;
    Some(Sleep { how: SleepFor::Fixed(length), fixed: Some((length, node.place)) })
}
