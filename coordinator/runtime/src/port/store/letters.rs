//! Dead letters, as they are stored: tasks that failed for good, until somebody requeues or discards them.
//!
//! What a letter repeats of its task (code, step, message) is copied from the task's history in the very commit that fails it, so that lists
//! need no history. What somebody did about it is a fact of its own and stands nowhere else.

use std::collections::BTreeMap;
use std::time::Duration;
use tasker_engine::{CapabilityName, Namespace, StepName, SystemName, TaskId, Timestamp, WorkflowName, WorkflowVersion};

/// A task that failed for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The task; a task is over once, so it has at most one letter.
    pub task: TaskId,
    /// The tenant.
    pub namespace: Namespace,
    /// What it ran.
    pub workflow: WorkflowName,
    /// In which version.
    pub version: WorkflowVersion,
    /// Why it failed: a stable code.
    pub code: String,
    /// Why it failed, for people; at most [`DeadLetter::MESSAGE_BYTES_MAX`]. The task's history has all of it.
    pub message: String,
    /// The step that failed; none if the task failed as a whole, for instance by its timeout.
    pub step: Option<StepName>,
    /// Whom that step asked; none if it asked nobody.
    pub system: Option<SystemName>,
    /// For what.
    pub capability: Option<CapabilityName>,
    /// When the task failed.
    pub failed_at: Timestamp,
    /// What somebody did about it.
    pub state: LetterState,
}

impl DeadLetter {
    /// The longest message that a letter repeats, in bytes: a list of letters is for reading, and a page of it should be small.
    pub const MESSAGE_BYTES_MAX: usize = 512;
    /// The most letters of one namespace that may be open; a task that fails past it is counted as missed. All open ones are known to the
    /// loop, at about a hundred bytes each.
    pub const OPEN_MAX: usize = 200_000;
    /// How long a letter is kept after somebody requeued or discarded it.
    pub const SETTLED_KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 3600);
    /// How many of them one commit forgets, so that it stays short.
    pub const FORGOTTEN_PER_COMMIT: usize = 5_000;
}

/// What somebody did about a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LetterState {
    /// Nothing yet.
    Open,
    /// It was tried again, as a new task.
    Requeued {
        /// The new task, which names the failed one as its origin.
        to: TaskId,
        /// By whom.
        settled: Settlement,
    },
    /// It was decided that nothing follows.
    Discarded {
        /// By whom.
        settled: Settlement,
    },
}

/// Who settled a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// When.
    pub at: Timestamp,
    /// Who; none if nobody was named, as in a plain retry of the task.
    pub by: Option<String>,
    /// Why, for people.
    pub reason: Option<String>,
}

impl LetterState {
    /// Which it is.
    pub fn word(&self) -> LetterWord {
        match self {
            Self::Open => LetterWord::Open,
            Self::Requeued { .. } => LetterWord::Requeued,
            Self::Discarded { .. } => LetterWord::Discarded,
        }
    }

    /// Who settled it; none if it is open.
    pub fn settlement(&self) -> Option<&Settlement> {
        match self {
            Self::Open => None,
            Self::Requeued { settled, .. } | Self::Discarded { settled } => Some(settled),
        }
    }
}

/// The state of a dead letter as a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LetterWord {
    /// Nobody did anything about it.
    Open,
    /// It was tried again.
    Requeued,
    /// Nothing follows.
    Discarded,
}

impl LetterWord {
    /// Everything there is.
    pub const ALL: [Self; 3] = [Self::Open, Self::Requeued, Self::Discarded];

    /// The word used in the store, the API and the CLI.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Requeued => "requeued",
            Self::Discarded => "discarded",
        }
    }

    /// Reads the word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// What one commit changes about dead letters.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct LetterChanges {
    /// Tasks that failed; each open.
    pub opened: Vec<DeadLetter>,
    /// Letters that were requeued or discarded, those of this very batch included. One that is not open makes the commit fail: nobody
    /// settles a letter twice.
    pub settled: Vec<(TaskId, LetterState)>,
    /// Failures that got no letter because their namespace has as many open as it may: how many, and when the last.
    pub missed: BTreeMap<Namespace, (u64, Timestamp)>,
    /// Forgets letters that were settled before this instant, at most [`DeadLetter::FORGOTTEN_PER_COMMIT`], and counts of missed ones that
    /// are as old.
    pub forget_before: Option<Timestamp>,
}

impl LetterChanges {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.opened.is_empty() && self.settled.is_empty() && self.missed.is_empty() && self.forget_before.is_none()
    }
}

/// Which dead letters are meant. Every condition must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterFilter {
    /// The tenant.
    pub namespace: Namespace,
    /// In this state; none: in any.
    pub state: Option<LetterWord>,
    /// That failed with this code.
    pub code: Option<String>,
    /// Of this workflow.
    pub workflow: Option<WorkflowName>,
    /// In this step.
    pub step: Option<StepName>,
    /// Of this system.
    pub system: Option<SystemName>,
    /// Of this capability.
    pub capability: Option<CapabilityName>,
    /// At or after.
    pub failed_from: Option<Timestamp>,
    /// Before.
    pub failed_before: Option<Timestamp>,
}

impl LetterFilter {
    /// The open ones of a namespace.
    pub fn open(namespace: Namespace) -> Self {
        Self {
            namespace,
            state: Some(LetterWord::Open),
            code: None,
            workflow: None,
            step: None,
            system: None,
            capability: None,
            failed_from: None,
            failed_before: None,
        }
    }

    /// Whether a letter is meant: what every store answers, said without a database.
    pub fn fits(&self, letter: &DeadLetter) -> bool {
        fn same<T: PartialEq>(wanted: Option<&T>, found: Option<&T>) -> bool {
            wanted.is_none_or(|wanted| found == Some(wanted))
        }
        self.namespace == letter.namespace
            && self.state.is_none_or(|state| letter.state.word() == state)
            && same(self.code.as_ref(), Some(&letter.code))
            && same(self.workflow.as_ref(), Some(&letter.workflow))
            && same(self.step.as_ref(), letter.step.as_ref())
            && same(self.system.as_ref(), letter.system.as_ref())
            && same(self.capability.as_ref(), letter.capability.as_ref())
            && self.failed_from.is_none_or(|from| letter.failed_at >= from)
            && self.failed_before.is_none_or(|before| letter.failed_at < before)
    }
}

/// A place in a list of dead letters, which is in the order of failure and, within an instant, of the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LetterPlace {
    /// When the task failed.
    pub failed_at: Timestamp,
    /// The task.
    pub task: TaskId,
}

impl LetterPlace {
    /// Where a letter stands.
    pub fn of(letter: &DeadLetter) -> Self {
        Self { failed_at: letter.failed_at, task: letter.task }
    }
}

/// A page of dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterSearch {
    /// Which.
    pub filter: LetterFilter,
    /// Those that failed last come first; otherwise those that failed first.
    pub newest_first: bool,
    /// Only what comes after this place, in the order of the page.
    pub after: Option<LetterPlace>,
    /// How many, at least 1, at most [`LetterSearch::LIMIT_MAX`].
    pub limit: usize,
}

impl LetterSearch {
    /// The longest page: what one bulk request takes, and one more that shows whether another follows.
    pub const LIMIT_MAX: usize = 1_001;
}

/// Dead letters that failed with the same code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterGroup {
    /// The code.
    pub code: String,
    /// How many.
    pub count: u64,
    /// When the first of them failed.
    pub oldest: Timestamp,
    /// When the last of them failed.
    pub newest: Timestamp,
    /// One of them: the one whose task is the youngest.
    pub example: TaskId,
    /// What its failure says.
    pub message: String,
}

/// The groups of dead letters, and how many letters there are in all groups, also in those that are not among the first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LetterGroups {
    /// The largest first, at most [`LetterGroups::GROUPS_MAX`].
    pub groups: Vec<LetterGroup>,
    /// How many groups there are.
    pub codes: u64,
    /// How many letters there are in all of them.
    pub letters: u64,
}

impl LetterGroups {
    /// The most groups that are answered: codes are few, unless somebody makes them up.
    pub const GROUPS_MAX: usize = 200;
}

/// Failures that got no letter because the namespace had as many open as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissedLetters {
    /// How many.
    pub count: u64,
    /// When the last of them failed.
    pub last_at: Timestamp,
}

/// An open letter, as the loop has to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenLetter {
    /// The task.
    pub task: TaskId,
    /// The tenant.
    pub namespace: Namespace,
    /// Why it failed.
    pub code: String,
}
