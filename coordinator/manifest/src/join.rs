//! Reads `join:`.

use crate::codes;
use crate::fields::{Fields, choice, whole};
use crate::report::{Place, Problem, Report};
use crate::yaml::{Kind, Node};
use tasker_engine::Workflow;
use tasker_engine::workflow::Join;

const WORDS: [(&str, Join); 4] =
    [("all", Join::All), ("any", Join::Any), ("done", Join::Done), ("first", Join::AtLeast { count: 1, cancel_others: false })];

/// The only thing that can be said about the dependencies that are not waited for: without it they go on.
const CANCEL: [(&str, bool); 1] = [("cancel", true)];

/// A join and where it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    pub join: Join,
    pub place: Place,
}

/// Reads `any`, `{ first: cancel }` or `{ at_least: 2, others: cancel }`.
pub(crate) fn read(node: &Node, report: &mut Report<'_>) -> Option<Written> {
    let place = node.mark();
    let Kind::Map(_) = &node.kind else {
        return choice(node, "`join`", &WORDS, report).map(|join| Written { join, place });
    };
    let fields = Fields::open(node, "`join`", &["first", "at_least", "others"], report)?;
    let join = match fields.one_of(&["first", "at_least"], report)? {
        "first" => {
            if let Some(others) = fields.key("others") {
                let problem = Problem::new(&codes::FIELD_OF_OTHER_KIND, others, "`first` says itself what becomes of the others");
                report.add(problem.hint("write `join: { first: cancel }`"));
            }
            let cancel_others = choice(fields.get("first")?, "`first`", &CANCEL, report)?;
            Join::AtLeast { count: 1, cancel_others }
        }
        _ => {
            let count = whole(fields.get("at_least")?, "`at_least`", 1..=Workflow::STEPS_MAX as u32, report)?;
            let cancel_others = fields.get("others").and_then(|node| choice(node, "`others`", &CANCEL, report)).unwrap_or(false);
            Join::AtLeast { count, cancel_others }
        }
    };
    Some(Written { join, place })
}

/// Compares a join with the dependencies it is about: those that were written, without the switches of the step's branches, which decide
/// by themselves.
pub(crate) fn check(step: &str, written: &Written, dependencies: usize, report: &mut Report<'_>) {
    if dependencies == 0 {
        let message = format!("step `{step}` joins dependencies, but has none");
        let problem = Problem::new(&codes::JOIN_WITHOUT_DEPENDENCIES, written.place, message);
        report.add(problem.hint("name them in `depends_on`, or remove `join`"));
        return;
    }
    let Join::AtLeast { count, .. } = written.join else { return };
    if count as usize > dependencies {
        let message = format!("step `{step}` waits for {count} dependencies to succeed, but has {dependencies}");
        let problem = Problem::new(&codes::JOIN_BEYOND_DEPENDENCIES, written.place, message);
        report.add(problem.hint(format!("it would always be skipped; ask for at most {dependencies}, or name more in `depends_on`")));
    }
}
