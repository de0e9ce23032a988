//! Dead letters from columns to words and back, and how a search for them is bound: the same for both databases.

use crate::row::Place;
use tasker_engine::Timestamp;
use tasker_runtime::port::store::{
    DeadLetter, LetterFilter, LetterGroup, LetterGroups, LetterSearch, LetterState, LetterWord, MissedLetters, OpenLetter, ReadError,
    Settlement,
};

/// `task, namespace, workflow, version, code, message, step, system, capability, failed_at, state, requeued_to, settled_at, settled_by,
/// settled_reason`.
pub type LetterColumns = (
    i64,
    String,
    String,
    String,
    String,
    Vec<u8>,
    Option<String>,
    Option<String>,
    Option<String>,
    i64,
    String,
    Option<i64>,
    Option<i64>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
);

/// `code, count, oldest, newest, example, message, codes, letters`.
pub type GroupColumns = (String, i64, i64, i64, i64, Vec<u8>, i64, i64);

/// `task, namespace, code`.
pub type OpenColumns = (i64, String, String);

/// `count, last_at`.
pub type MissedColumns = (i64, i64);

/// A dead letter as it was written.
pub fn letter(columns: LetterColumns) -> Result<DeadLetter, ReadError> {
    let (task, namespace, workflow, version, code, message, step, system, capability, failed_at, state, ..) = columns;
    let (.., requeued_to, settled_at, settled_by, settled_reason) = columns;
    let place = Place { table: "dead_letters", row: format!("task number {task}") };
    let settled = || -> Result<Settlement, ReadError> {
        Ok(Settlement {
            at: Timestamp::from_millis(settled_at.ok_or_else(|| place.damaged("settled_at", "missing"))?),
            by: settled_by.map(|text| place.text("settled_by", text)).transpose()?,
            reason: settled_reason.map(|text| place.text("settled_reason", text)).transpose()?,
        })
    };
    let state = match LetterWord::from_word(&state).ok_or_else(|| place.damaged("state", "no state"))? {
        LetterWord::Open => LetterState::Open,
        LetterWord::Requeued => {
            let to = requeued_to.ok_or_else(|| place.damaged("requeued_to", "missing"))?;
            LetterState::Requeued { to: place.task("requeued_to", to)?, settled: settled()? }
        }
        LetterWord::Discarded => LetterState::Discarded { settled: settled()? },
    };
    Ok(DeadLetter {
        task: place.task("task", task)?,
        namespace: place.parse("namespace", &namespace)?,
        workflow: place.parse("workflow", &workflow)?,
        version: place.parse("version", &version)?,
        code,
        message: place.text("message", message)?,
        step: step.map(|text| place.parse("step", &text)).transpose()?,
        system: system.map(|text| place.parse("system", &text)).transpose()?,
        capability: capability.map(|text| place.parse("capability", &text)).transpose()?,
        failed_at: Timestamp::from_millis(failed_at),
        state,
    })
}

/// An open letter as it was written.
pub fn open_letter((task, namespace, code): OpenColumns) -> Result<OpenLetter, ReadError> {
    let place = Place { table: "dead_letters", row: format!("task number {task}") };
    Ok(OpenLetter { task: place.task("task", task)?, namespace: place.parse("namespace", &namespace)?, code })
}

/// A group as it was counted.
fn group((code, count, oldest, newest, example, message, ..): GroupColumns) -> Result<LetterGroup, ReadError> {
    let place = Place { table: "dead_letters", row: format!("task number {example}") };
    Ok(LetterGroup {
        code,
        count: place.count("count", count)?,
        oldest: Timestamp::from_millis(oldest),
        newest: Timestamp::from_millis(newest),
        example: place.task("task", example)?,
        message: place.text("message", message)?,
    })
}

/// All groups; each row repeats how many codes and letters there are.
pub fn groups(rows: Vec<GroupColumns>) -> Result<LetterGroups, ReadError> {
    let place = Place { table: "dead_letters", row: "all".into() };
    let (codes, letters) = rows.first().map_or((0, 0), |(.., codes, letters)| (*codes, *letters));
    Ok(LetterGroups {
        codes: place.count("codes", codes)?,
        letters: place.count("letters", letters)?,
        groups: rows.into_iter().map(group).collect::<Result<_, _>>()?,
    })
}

/// How many failures got no letter.
pub fn missed((count, last_at): MissedColumns) -> Result<MissedLetters, ReadError> {
    let place = Place { table: "dead_letters_missed", row: "a row".into() };
    Ok(MissedLetters { count: place.count("count", count)?, last_at: Timestamp::from_millis(last_at) })
}

/// What is written about a settled letter: `state, requeued_to, settled_at, settled_by, settled_reason`.
pub struct Settled<'a> {
    pub state: &'static str,
    pub requeued_to: Option<i64>,
    pub at: Option<i64>,
    pub by: Option<&'a str>,
    pub reason: Option<&'a str>,
}

impl<'a> Settled<'a> {
    pub fn of(state: &'a LetterState) -> Self {
        let requeued_to = match state {
            LetterState::Requeued { to, .. } => Some(to.as_number()),
            LetterState::Open | LetterState::Discarded { .. } => None,
        };
        let settlement = state.settlement();
        Self {
            state: state.word().as_str(),
            requeued_to,
            at: settlement.map(|settled| settled.at.as_millis()),
            by: settlement.and_then(|settled| settled.by.as_deref()),
            reason: settlement.and_then(|settled| settled.reason.as_deref()),
        }
    }
}

/// A letter was to be settled that is not open. Whoever commits knows all open letters, so only a fault of ours can cause it.
#[derive(Debug, thiserror::Error)]
#[error("a dead letter that is not open was to be settled; nothing was written")]
pub struct NotOpen;

/// A filter's conditions as the statements take them, in this order.
pub struct Bound<'a> {
    pub namespace: &'a str,
    pub state: Option<&'static str>,
    pub code: Option<&'a str>,
    pub workflow: Option<&'a str>,
    pub step: Option<&'a str>,
    pub system: Option<&'a str>,
    pub capability: Option<&'a str>,
    pub failed_from: i64,
    pub failed_before: i64,
}

impl<'a> Bound<'a> {
    /// Takes a filter apart. An absent bound of time is the farthest instant, so that the index can always be used for it.
    pub fn of(filter: &'a LetterFilter) -> Self {
        Self {
            namespace: filter.namespace.as_str(),
            state: filter.state.map(LetterWord::as_str),
            code: filter.code.as_deref(),
            workflow: filter.workflow.as_ref().map(|name| name.as_str()),
            step: filter.step.as_ref().map(|name| name.as_str()),
            system: filter.system.as_ref().map(|name| name.as_str()),
            capability: filter.capability.as_ref().map(|name| name.as_str()),
            failed_from: filter.failed_from.map_or(i64::MIN, |at| at.as_millis()),
            failed_before: filter.failed_before.map_or(i64::MAX, |at| at.as_millis()),
        }
    }
}

/// Binds a filter's conditions to a query: the statements of both databases take them in the same order.
macro_rules! filtered {
    ($query:expr, $bound:expr) => {
        $query
            .bind($bound.namespace)
            .bind($bound.state)
            .bind($bound.code)
            .bind($bound.workflow)
            .bind($bound.step)
            .bind($bound.system)
            .bind($bound.capability)
            .bind($bound.failed_from)
            .bind($bound.failed_before)
    };
}
pub(crate) use filtered;

/// The index by which a page's letters are read in their order: the rarest condition that has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LetterDriver {
    Code,
    State,
    Namespace,
}

impl LetterDriver {
    /// Chooses.
    pub fn of(filter: &LetterFilter) -> Self {
        match (&filter.code, filter.state) {
            (Some(_), _) => Self::Code,
            (None, Some(_)) => Self::State,
            (None, None) => Self::Namespace,
        }
    }
}

/// Where a page starts, as the statements take it; and how long it is.
pub struct Start {
    pub failed_at: i64,
    pub task: i64,
    pub limit: i64,
}

impl Start {
    /// Of a page. Without a place before it, a page starts before everything.
    pub fn of(search: &LetterSearch) -> Self {
        let first = if search.newest_first { i64::MAX } else { i64::MIN };
        let limit = search.limit.clamp(1, LetterSearch::LIMIT_MAX);
        Self {
            failed_at: search.after.map_or(first, |place| place.failed_at.as_millis()),
            task: search.after.map_or(first, |place| place.task.as_number()),
            limit: i64::try_from(limit).expect("a page is small"),
        }
    }
}
