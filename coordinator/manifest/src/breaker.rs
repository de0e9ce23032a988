//! Reads `breaker:` of a capability and `canary:` of a system.

use crate::codes;
use crate::duration::{self, format};
use crate::fields::{Fields, short, wrong_type};
use crate::report::{Problem, Report};
use crate::route::constraint;
use crate::yaml::{Kind, Node};
use std::time::Duration;
use tasker_engine::breaker_policy::{BreakerPolicy, InvalidBreaker};
use tasker_engine::canary::Canary;

/// Reads when a capability counts as broken. What is absent comes from [`BreakerPolicy::DEFAULT`].
pub(crate) fn read(node: &Node, report: &mut Report<'_>) -> Option<BreakerPolicy> {
    let fields = Fields::open(node, "`breaker`", &["failures", "window", "open_for", "probes"], report)?;
    let default = BreakerPolicy::DEFAULT;
    let failures = count(&fields, "failures", default.failures(), report);
    let window = span(&fields, "window", default.window(), report);
    let open_for = span(&fields, "open_for", default.open_for(), report);
    let probes = count(&fields, "probes", default.probes(), report);
    let invalid = match BreakerPolicy::new(failures?, window?, open_for?, probes?) {
        Ok(policy) => return Some(policy),
        Err(invalid) => invalid,
    };
    let field = invalid.field();
    let spans = || format!("give a duration from {} to {}", format(BreakerPolicy::SPAN_MIN), format(BreakerPolicy::SPAN_MAX));
    let (given, hint) = match invalid {
        InvalidBreaker::Failures(given) => (given.to_string(), format!("give a whole number from 1 to {}", BreakerPolicy::FAILURES_MAX)),
        InvalidBreaker::Probes(given) => (given.to_string(), format!("give a whole number from 1 to {}", BreakerPolicy::PROBES_MAX)),
        InvalidBreaker::Window(given) | InvalidBreaker::OpenFor(given) => (format(given), spans()),
    };
    let place = fields.get(field).map_or(fields.mark(), |node| node.place);
    report.add(Problem::new(&codes::OUT_OF_RANGE, place, format!("`{field}` of a breaker cannot be {given}")).hint(hint));
    None
}

fn count(fields: &Fields<'_>, name: &str, default: u32, report: &mut Report<'_>) -> Option<u64> {
    fields.get(name).map_or(Some(u64::from(default)), |node| natural(node, name, report))
}

fn span(fields: &Fields<'_>, name: &str, default: Duration, report: &mut Report<'_>) -> Option<Duration> {
    fields.get(name).map_or(Some(default), |node| duration::read(node, &format!("`{name}`"), report))
}

/// A whole number of any size; its range is the business of what it is for.
fn natural(node: &Node, name: &str, report: &mut Report<'_>) -> Option<u64> {
    let Kind::Number(number, written) = &node.kind else {
        wrong_type(node, &format!("`{name}`"), "a whole number", report);
        return None;
    };
    let found = number.as_u64();
    if found.is_none() {
        let problem = Problem::new(&codes::OUT_OF_RANGE, node.place, format!("`{name}` cannot be {}", short(written)));
        report.add(problem.hint("give a whole number, not below zero"));
    }
    found
}

/// Reads which version is new, and how many percent of the tasks go to it.
pub(crate) fn canary(node: &Node, report: &mut Report<'_>) -> Option<Canary> {
    let fields = Fields::open(node, "`canary`", &["version", "share"], report)?;
    let version = fields.required("version", "say which workers are the canary: `version: \">=2.0.0\"`", report);
    let version = version.and_then(|node| constraint(node, report));
    let share = fields.required("share", "say how many percent of the tasks go there: `share: 10`", report)?;
    let percent = natural(share, "share", report)?;
    match Canary::new(version?, percent) {
        Ok(canary) => Some(canary),
        Err(invalid) => {
            let problem = Problem::new(&codes::OUT_OF_RANGE, share.place, format!("{invalid}"));
            report.add(problem.hint("0 keeps the canary declared and sends it nothing, 100 sends it everything"));
            None
        }
    }
}
