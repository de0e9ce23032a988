//! Who watches: every committed row and every message that leaves a coordinator passes here. Keeps the trace's hash, what was rare, and what
//! went wrong.

use crate::dice::Dice;
use crate::fault::Options;
use crate::sometimes::Sometimes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::event::Entry;
use tasker_engine::invariant::{Violation, check_history};
use tasker_engine::workflow::Workflow;
use tasker_engine::{Digest, StepIndex, SystemName, Task, TaskId, Timestamp, WorkflowName};
use tasker_runtime::port::store::Sequence;
use tokio::time::Instant;

/// More violations of one run say nothing more.
const VIOLATIONS_MAX: usize = 20;

/// A task as its committed history says.
pub struct Known {
    pub entries: Vec<Entry>,
    pub task: Task,
}

/// An attempt as it was committed.
pub struct Attempt {
    /// Of the system that was asked; none for a child task.
    pub system: Option<SystemName>,
    /// Under which epoch it was opened.
    pub epoch: i64,
    /// How often it was sent to a worker.
    pub sent: u32,
    /// The digest of the reply that was recorded.
    pub recorded: Option<Digest>,
    pub deadline: Option<Timestamp>,
}

/// The one who watches.
pub struct Judge {
    pub options: Options,
    pub sometimes: Sometimes,
    pub violations: Vec<String>,
    pub tasks: BTreeMap<TaskId, Known>,
    pub attempts: BTreeMap<[u8; 16], Attempt>,
    pub keys: BTreeMap<String, TaskId>,
    pub workflows: BTreeMap<Digest, Arc<Workflow>>,
    pub current: BTreeMap<WorkflowName, Digest>,
    pub not_before: BTreeMap<(TaskId, StepIndex), Timestamp>,
    pub last: Sequence,
    pub epoch: i64,
    pub active_max: usize,
    /// How often the bus was wiped.
    pub wipes: u32,
    hash: u64,
    noted: u64,
    origin: Instant,
}

impl Judge {
    pub fn new(options: Options, active_max: usize) -> Self {
        Self {
            options,
            sometimes: Sometimes::default(),
            violations: Vec::new(),
            tasks: BTreeMap::new(),
            attempts: BTreeMap::new(),
            keys: BTreeMap::new(),
            workflows: BTreeMap::new(),
            current: BTreeMap::new(),
            not_before: BTreeMap::new(),
            last: 0,
            epoch: 0,
            active_max,
            wipes: 0,
            hash: 0xcbf2_9ce4_8422_2325,
            noted: 0,
            origin: Instant::now(),
        }
    }

    /// Virtual time since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Takes something that happened into the trace. Two runs of one seed must say the same here, byte by byte.
    pub fn note(&mut self, what: &str, about: &[u8]) {
        let at = self.elapsed().as_millis() as u64;
        self.noted += 1;
        for byte in at.to_le_bytes().iter().chain(what.as_bytes()).chain(about) {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.options.verbose {
            eprintln!("{:>7}.{:03} {what} {}", at / 1_000, at % 1_000, readable(about));
        }
    }

    /// The trace's hash and length.
    pub fn trace(&self) -> (u64, u64) {
        (self.hash, self.noted)
    }

    /// A promise does not hold.
    pub fn violated(&mut self, promise: &str, seen: String) {
        let at = self.elapsed();
        self.note("VIOLATED", seen.as_bytes());
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(format!("{promise} at {:.3} s: {seen}", at.as_secs_f64()));
        }
    }

    pub fn report(&mut self, found: Vec<Violation>) {
        for Violation { promise, task, seen } in found {
            self.violated(promise, format!("task {task}: {seen}"));
        }
    }

    pub fn sometimes(&mut self, what: &'static str) {
        self.sometimes.note(what);
    }

    /// Judges a whole history, event by event.
    pub fn check_whole(&mut self, id: TaskId) {
        let Some(known) = self.tasks.get(&id) else { return };
        let found = check_history(id, &known.task.workflow, &known.entries);
        self.report(found);
    }

    /// Tasks that are not over.
    pub fn open_tasks(&self) -> impl Iterator<Item = (&TaskId, &Known)> {
        self.tasks.iter().filter(|(_, known)| !known.task.status.is_terminal())
    }

    /// Any task, preferably one that is not over.
    pub fn draw_task(&self, dice: &mut Dice) -> Option<TaskId> {
        let open: Vec<TaskId> = self.open_tasks().map(|(id, _)| *id).collect();
        let all: Vec<TaskId> = self.tasks.keys().copied().collect();
        let from = if open.is_empty() || dice.percent(10) { &all } else { &open };
        dice.pick(from).copied()
    }
}

fn readable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|shown| if shown.is_control() { '·' } else { shown }).take(400).collect()
}
