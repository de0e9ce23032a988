//! Which index answers a search: the condition that few tasks meet drives, the others filter.

use crate::row::{labels_text, waiting_bits};
use std::collections::HashSet;
use tasker_engine::{TaskId, TaskStatus};
use tasker_runtime::port::store::{Search, TaskRow, WaitingFor};

/// The largest page, and one row more that shows whether another page follows.
pub const LIMIT_MAX: usize = 201;

/// Beyond this many tasks a label counts as common; counting further would cost more than it saves.
pub const LABEL_COUNT_MAX: i64 = 1_000;

/// The condition that drives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Driver {
    /// The parent.
    Parent,
    /// The rarest of the labels that are asked for.
    Label,
    /// The error code.
    ErrorCode,
    /// One thing that is waited for after another, merged.
    Waiting(Vec<WaitingFor>),
    /// One status after another, merged: each is in order by itself.
    Statuses(Vec<TaskStatus>),
    /// The workflow.
    Workflow,
    /// Nothing but the tenant.
    Namespace,
}

impl Driver {
    /// Chooses. A task seldom has more than a few children, so a parent drives before all else. Most tasks succeed, so a status drives
    /// before the workflow only if it leaves those out.
    pub fn of(search: &Search) -> Self {
        let mut statuses = search.statuses.clone();
        let mut seen = HashSet::new();
        statuses.retain(|status| seen.insert(*status));
        let rare = !statuses.is_empty() && !statuses.contains(&TaskStatus::Succeeded);
        if search.parent.is_some() {
            Self::Parent
        } else if !search.labels.is_empty() {
            Self::Label
        } else if search.error_code.is_some() {
            Self::ErrorCode
        } else if !search.waiting.is_empty() {
            Self::Waiting(search.waiting.iter().copied().collect())
        } else if rare {
            Self::Statuses(statuses)
        } else if search.workflow.is_some() {
            Self::Workflow
        } else if statuses.len() == 1 {
            Self::Statuses(statuses)
        } else {
            Self::Namespace
        }
    }
}

/// A search's conditions as the statements take them.
pub struct Bound {
    pub namespace: String,
    /// None means all.
    pub statuses: Option<Vec<String>>,
    pub workflow: Option<String>,
    pub error_code: Option<String>,
    pub label_names: Vec<String>,
    pub label_values: Vec<String>,
    /// The labels as a JSON object.
    pub labels: String,
    pub accepted_from: Option<i64>,
    pub accepted_before: Option<i64>,
    /// The highest task number that may be found.
    pub id_max: i64,
    pub limit: i64,
    pub parent: Option<i64>,
    /// The bits of what is waited for, any of which must be set; none means all tasks.
    pub waiting: Option<i64>,
}

impl Bound {
    /// Takes a search apart.
    pub fn of(search: &Search) -> Self {
        let words: Vec<String> = search.statuses.iter().map(|status| status.as_str().to_owned()).collect();
        Self {
            namespace: search.namespace.as_str().to_owned(),
            statuses: (!words.is_empty()).then_some(words),
            workflow: search.workflow.as_ref().map(|name| name.as_str().to_owned()),
            error_code: search.error_code.clone(),
            label_names: search.labels.keys().cloned().collect(),
            label_values: search.labels.values().cloned().collect(),
            labels: labels_text(&search.labels),
            accepted_from: search.accepted_from.map(|at| at.as_millis()),
            accepted_before: search.accepted_before.map(|at| at.as_millis()),
            id_max: search.before.map_or(i64::MAX, |before| before.as_number() - 1),
            limit: i64::try_from(search.limit.clamp(1, LIMIT_MAX)).expect("a page is small"),
            parent: search.parent.map(|parent| parent.as_number()),
            waiting: (!search.waiting.is_empty()).then(|| waiting_bits(&search.waiting)),
        }
    }
}

/// Merges the pages of several statuses or waits: newest first, each task once, no more than a page. A task may wait for several things, or
/// move from one status to another between two of the queries; what was read first is kept.
pub fn merge(pages: Vec<Vec<TaskRow>>, limit: i64) -> Vec<TaskRow> {
    let mut rows: Vec<TaskRow> = pages.into_iter().flatten().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.id));
    rows.dedup_by_key(|row: &mut TaskRow| -> TaskId { row.id });
    rows.truncate(usize::try_from(limit).expect("a page is small"));
    rows
}
