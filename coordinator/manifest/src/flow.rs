//! Reads what a manifest says about the flow of work: `priority`, `weight`, `concurrency`, `rate_limit`, `max_concurrent`, `max_backlog`.

use crate::codes;
use crate::fields::{Fields, choice, short, text, whole, wrong_type};
use crate::report::{Problem, Report};
use crate::slots::{SlotKind, Slots};
use crate::yaml::{Kind, Node};
use tasker_engine::flow::{
    CONCURRENT_MAX, KeyedLimit, KeyedRate, OnLimit, Priorities, Priority, Rate, StepLimits, TaskConcurrency, Weight, WorkflowFlow,
};

/// The most steps that a capability may be allowed to have waiting.
pub(crate) const BACKLOG_MAX: u32 = 10_000_000;

/// Reads what a workflow says.
pub(crate) fn workflow(fields: &Fields<'_>, slots: &mut Slots<'_>, report: &mut Report<'_>) -> WorkflowFlow {
    let weight = fields.get("weight").and_then(|node| whole(node, "`weight`", 1..=Weight::MAX, report)).and_then(Weight::new);
    WorkflowFlow {
        priority: fields.get("priority").and_then(|node| priorities(node, report)).unwrap_or_default(),
        weight: weight.unwrap_or_default(),
        concurrency: fields.get("concurrency").and_then(|node| concurrency(node, slots, report)).map(Box::new),
    }
}

/// Reads what a step says; none if it says nothing.
pub(crate) fn step(fields: &Fields<'_>, slots: &mut Slots<'_>, report: &mut Report<'_>) -> Option<StepLimits> {
    let limits = StepLimits {
        rate: fields.get("rate_limit").and_then(|node| keyed_rate(node, slots, report)),
        concurrency: fields.get("concurrency").and_then(|node| {
            let fields = Fields::open(node, "`concurrency` of a step", &["limit", "key"], report)?;
            let (limit, key) = limit_and_key(&fields, SlotKind::StepLimitKey, slots, report)?;
            Some(KeyedLimit { limit, key })
        }),
    };
    (limits != StepLimits::default()).then_some(limits)
}

/// Reads the rate of a system or capability.
pub(crate) fn rate(node: &Node, report: &mut Report<'_>) -> Option<Rate> {
    if matches!(node.kind, Kind::Map(_)) {
        let fields = Fields::open(node, "`rate_limit`", &["rate", "burst"], report)?;
        return rate_and_burst(&fields, report);
    }
    written_rate(node, report)
}

/// Reads how many attempts may be open, or steps may wait.
pub(crate) fn most(fields: &Fields<'_>, name: &'static str, most: u32, report: &mut Report<'_>) -> Option<u32> {
    fields.get(name).and_then(|node| whole(node, &format!("`{name}`"), 1..=most, report))
}

fn priorities(node: &Node, report: &mut Report<'_>) -> Option<Priorities> {
    if !matches!(node.kind, Kind::Map(_)) {
        return Some(Priorities { default: priority(node, "`priority`", report)?, ..Priorities::default() });
    }
    let fields = Fields::open(node, "`priority`", &["default", "min", "max"], report)?;
    let mut read =
        |name: &str, otherwise: Priority| fields.get(name).map_or(Some(otherwise), |node| priority(node, &format!("`{name}`"), report));
    let (min, max) = (read("min", Priority::LOWEST)?, read("max", Priority::HIGHEST)?);
    let default = read("default", Priority::default().clamp(min.min(max), max))?;
    if min > max || !(min..=max).contains(&default) {
        let message = format!("a priority of {default} by default is not between {min} and {max}");
        let place = fields.get("default").map_or(fields.mark(), |node| node.place);
        report.add(Problem::new(&codes::OUT_OF_RANGE, place, message).hint("give `min` <= `default` <= `max`"));
        return None;
    }
    Some(Priorities { default, min, max })
}

fn priority(node: &Node, what: &str, report: &mut Report<'_>) -> Option<Priority> {
    let Kind::Number(number, written) = &node.kind else {
        wrong_type(node, what, "a whole number", report);
        return None;
    };
    let found = number.as_i64().and_then(Priority::new);
    if found.is_none() {
        let problem = Problem::new(&codes::OUT_OF_RANGE, node.place, format!("{what} cannot be {}", short(written)));
        report.add(problem.hint(format!("give a whole number from {} to {}", Priority::LOWEST, Priority::HIGHEST)));
    }
    found
}

fn concurrency(node: &Node, slots: &mut Slots<'_>, report: &mut Report<'_>) -> Option<TaskConcurrency> {
    let fields = Fields::open(node, "`concurrency`", &["limit", "key", "on_limit"], report)?;
    let on_limit = fields.get("on_limit").map_or(Some(OnLimit::Queue), |node| choice(node, "`on_limit`", &OnLimit::WORDS, report));
    let (limit, key) = limit_and_key(&fields, SlotKind::TaskLimitKey, slots, report)?;
    Some(TaskConcurrency { limit, key, on_limit: on_limit? })
}

type Key = Option<tasker_engine::expression::Expression>;

fn limit_and_key(fields: &Fields<'_>, kind: SlotKind, slots: &mut Slots<'_>, report: &mut Report<'_>) -> Option<(u32, Key)> {
    let limit = fields.required("limit", "say how many at once: `limit: 1`", report);
    let limit = limit.and_then(|node| whole(node, "`limit`", 1..=CONCURRENT_MAX, report));
    let key = key(fields, kind, slots, report);
    Some((limit?, key?))
}

/// An absent key is one key for all; none only if it was refused.
fn key(fields: &Fields<'_>, kind: SlotKind, slots: &mut Slots<'_>, report: &mut Report<'_>) -> Option<Key> {
    match fields.shared("key") {
        None => Some(None),
        Some(node) => slots.expression(kind, node, "`key`", report).map(Some),
    }
}

fn keyed_rate(node: &Node, slots: &mut Slots<'_>, report: &mut Report<'_>) -> Option<KeyedRate> {
    if !matches!(node.kind, Kind::Map(_)) {
        return Some(KeyedRate { rate: written_rate(node, report)?, key: None });
    }
    let fields = Fields::open(node, "`rate_limit` of a step", &["rate", "burst", "key"], report)?;
    let rate = rate_and_burst(&fields, report);
    let key = key(&fields, SlotKind::StepLimitKey, slots, report);
    Some(KeyedRate { rate: rate?, key: key? })
}

fn rate_and_burst(fields: &Fields<'_>, report: &mut Report<'_>) -> Option<Rate> {
    let rate = fields.required("rate", "say how fast: `rate: 50/s`", report).and_then(|node| written_rate(node, report));
    match fields.get("burst") {
        None => rate,
        Some(node) => {
            let burst = whole(node, "`burst`", 1..=Rate::COUNT_MAX, report)?;
            rate?.with_burst(burst)
        }
    }
}

fn written_rate(node: &Node, report: &mut Report<'_>) -> Option<Rate> {
    let written = text(node, "a rate", report)?;
    let rate = Rate::parse(written);
    if rate.is_none() {
        let problem = Problem::new(&codes::BAD_RATE, node.place, format!("`{}` is not a rate", short(written)));
        report.add(problem.hint(format!("write so many per second, minute or hour: `50/s`, `100/m`, `10/h`; 1 to {}", Rate::COUNT_MAX)));
    }
    rate
}
