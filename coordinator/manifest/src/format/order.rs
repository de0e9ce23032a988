//! Which field comes first, where the order of fields means nothing to anybody but a reader.

use super::tree::{Collection, Item, Value};
use std::collections::{BTreeMap, BTreeSet};

/// What a mapping is, as far as its place in the manifest says.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Shape {
    Manifest,
    Systems,
    System,
    Capability,
    Step,
    Retry,
    Timeout,
    /// The author's own: mappings, schemas, cases. Their order is kept.
    Free,
}

impl Shape {
    /// The fields in the order in which people look for them: what it is, what it does, what it waits for, what it gets, and what
    /// happens when it goes wrong.
    fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Manifest => &[
                "name",
                "version",
                "description",
                "timeout",
                "deadline",
                "identity",
                "priority",
                "weight",
                "concurrency",
                "max_parallel",
                "input",
                "result",
                "on_failure",
                "systems",
                "workflow_steps",
            ],
            Self::System => &["base_url", "health_check_url", "transport", "canary", "rate_limit", "capabilities"],
            Self::Capability => &[
                "name",
                "description",
                "timeout",
                "input",
                "result",
                "errors",
                "http",
                "breaker",
                "slot_cost",
                "rate_limit",
                "max_concurrent",
                "max_backlog",
            ],
            Self::Step => &[
                "name",
                "description",
                "owner",
                "capability",
                "event_pattern",
                "handler",
                "workflow",
                "wait_for",
                "sleep",
                "approval",
                "switch",
                "depends_on",
                "join",
                "when",
                "for_each",
                "route",
                "rate_limit",
                "concurrency",
                "input",
                "timeout",
                "retry",
                "on_error",
                "on_exhausted",
                "compensate",
            ],
            Self::Retry => &["kind", "base", "cap", "jitter", "max_attempts", "non_retryable"],
            Self::Timeout => &["waiting", "running", "total"],
            Self::Systems | Self::Free => &[],
        }
    }

    /// What the value of a field is; of a list, what its items are.
    fn below(self, field: &str) -> Self {
        match (self, field) {
            (Self::Manifest, "systems") => Self::Systems,
            (Self::Manifest, "workflow_steps") => Self::Step,
            (Self::Systems, _) => Self::System,
            (Self::System, "capabilities") => Self::Capability,
            (Self::Step, "retry") => Self::Retry,
            (Self::Step, "timeout") => Self::Timeout,
            (Self::Manifest | Self::System | Self::Capability | Self::Step | Self::Retry | Self::Timeout | Self::Free, _) => Self::Free,
        }
    }
}

/// Brings the fields of a whole manifest into their order. Unknown fields follow the known ones, as they came.
pub(super) fn apply(root: &mut Item) {
    descend(root, Shape::Manifest);
}

fn descend(item: &mut Item, shape: Shape) {
    let Value::Collection(collection) = &mut item.value else { return };
    if collection.list {
        collection.items.iter_mut().for_each(|item| descend(item, shape));
        return;
    }
    for item in &mut collection.items {
        let below = item.key.as_ref().map_or(Shape::Free, |key| shape.below(key.value()));
        descend(item, below);
    }
    sort(collection, shape.fields());
}

/// Sorts, unless an alias could come to stand before its anchor, or behind another one of the same name: fields that share a name keep
/// their order, or the whole mapping does.
fn sort(collection: &mut Collection, fields: &[&str]) {
    let rank = |item: &Item| {
        let key = item.key.as_ref().map_or("", |key| key.value());
        fields.iter().position(|field| *field == key).unwrap_or(fields.len())
    };
    let mut last: BTreeMap<String, usize> = BTreeMap::new();
    for item in &collection.items {
        let mut names = BTreeSet::new();
        collect(item, &mut names);
        for name in names {
            if last.insert(name.to_owned(), rank(item)).is_some_and(|before| before > rank(item)) {
                return;
            }
        }
    }
    collection.items.sort_by_key(rank);
}

/// The names of the anchors and aliases in an item.
fn collect<'i>(item: &'i Item, names: &mut BTreeSet<&'i str>) {
    names.extend(item.anchor.as_deref().and_then(|anchor| anchor.strip_prefix('&')));
    match &item.value {
        Value::Scalar(_) => {}
        Value::Alias(alias) => names.extend(alias.strip_prefix('*')),
        Value::Collection(collection) => collection.items.iter().for_each(|item| collect(item, names)),
    }
}
