//! From events to state: the only place where a task changes.

use crate::event::{Entry, Event, Resolution};
use crate::ids::{AttemptNumber, Digest, StepIndex, TaskId};
use crate::payload::Payload;
use crate::task::{
    ClosedAttempt, Ending, Fan, Item, OpenAttempt, Paused, StepProgress, StepState, Submission, Task, TaskStatus, Wait, Waiting,
};
use crate::time::Timestamp;
use crate::workflow::{Role, StepKind, Workflow};
use smallvec::SmallVec;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Why a history is not one that this engine wrote. The task is stopped and the evidence kept; see P19.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokenHistory {
    /// The first event must accept the task.
    #[error("the history of {0} does not start with `task_accepted`")]
    NoBeginning(TaskId),
    /// Numbers must follow each other.
    #[error("the history of {task} has a gap: event {expected} is missing, {found} follows")]
    Gap {
        /// Whose history.
        task: TaskId,
        /// The number that should have come.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// An entry of another task.
    #[error("an entry of {found} is in the history of {task}")]
    Foreign {
        /// Whose history.
        task: TaskId,
        /// Whose entry.
        found: TaskId,
    },
    /// The workflow is not the one the task is pinned to.
    #[error("the history of {0} names a step that its workflow does not have")]
    UnknownStep(TaskId),
}

impl Task {
    /// The state after a whole history.
    ///
    /// # Errors
    /// If the history has a gap, no beginning, or does not fit the workflow.
    pub fn fold<'e>(workflow: Arc<Workflow>, entries: impl IntoIterator<Item = &'e Entry>) -> Result<Self, BrokenHistory> {
        let mut task: Option<Self> = None;
        for entry in entries {
            match &mut task {
                None => {
                    let [Event::TaskAccepted(submission), rest @ ..] = entry.events.as_slice() else {
                        return Err(BrokenHistory::NoBeginning(entry.task));
                    };
                    if entry.first != 1 {
                        return Err(BrokenHistory::Gap { task: entry.task, expected: 1, found: entry.first });
                    }
                    let mut accepted = Self::accepted(entry.task, workflow.clone(), submission.clone(), entry.at);
                    accepted.apply_all(rest, entry.at)?;
                    task = Some(accepted);
                }
                Some(task) if task.id != entry.task => {
                    return Err(BrokenHistory::Foreign { task: task.id, found: entry.task });
                }
                Some(task) if task.events + 1 != entry.first => {
                    return Err(BrokenHistory::Gap { task: task.id, expected: task.events + 1, found: entry.first });
                }
                Some(task) => task.apply_all(&entry.events, entry.at)?,
            }
        }
        task.ok_or(BrokenHistory::NoBeginning(TaskId::from_number(0).expect("zero is not negative")))
    }

    fn apply_all(&mut self, events: &[Event], at: Timestamp) -> Result<(), BrokenHistory> {
        for event in events {
            if event.step().is_some_and(|step| step.at() >= self.steps.len()) {
                return Err(BrokenHistory::UnknownStep(self.id));
            }
            self.apply(event, at);
        }
        Ok(())
    }

    /// The state right after `task_accepted`, the first event.
    pub(crate) fn accepted(id: TaskId, workflow: Arc<Workflow>, submission: Box<Submission>, at: Timestamp) -> Self {
        let queued = submission.concurrency.as_ref().is_some_and(|concurrency| concurrency.queued);
        let steps: Vec<StepProgress> = workflow.steps.iter().map(|step| fresh(step.role, step.depends_on.len() as u32)).collect();
        Self {
            id,
            submission,
            accepted_at: at,
            deadline: None,
            finished_at: None,
            status: TaskStatus::Running,
            ending: None,
            queued,
            paused: None,
            paused_for: Duration::ZERO,
            result: None,
            failure: None,
            cancel_reason: None,
            open_steps: steps.iter().filter(|step| !step.state.is_terminal()).count() as u32,
            steps,
            items: Vec::new(),
            working: 0,
            parked: VecDeque::new(),
            completed: Vec::new(),
            signals: BTreeMap::new(),
            signal_ids: VecDeque::new(),
            events: 1,
            workflow,
        }
    }

    /// Takes one event into the state. Total: a fact that has been committed is never refused.
    pub(crate) fn apply(&mut self, event: &Event, at: Timestamp) {
        self.events += 1;
        match event {
            Event::TaskAccepted(_) | Event::ApprovalCommented { .. } => {}
            Event::DeadlineSet { at } => self.deadline = Some(*at),
            Event::StepKept { step, result } => self.succeed(*step, result.clone(), at),
            Event::StepReady { step } => {
                self.steps[step.at()].first_ready_at.get_or_insert(at);
                self.set_state(*step, StepState::Ready { since: at });
                self.pass_item(*step);
            }
            Event::StepParked { step } => {
                self.set_state(*step, StepState::Parked);
                self.parked.push_back(*step);
            }
            Event::StepSkipped { step, reason } => {
                self.close(*step, at, None, None);
                self.end(*step, StepState::Skipped { reason: *reason, at });
            }
            Event::BranchTaken { step, branch } => {
                let StepKind::Switch(switch) = &self.definition(*step).kind else { return };
                let result = Payload::of(&serde_json::json!({ "case": switch.branch_name(*branch) }));
                self.succeed(*step, result, at);
            }
            Event::StepFannedOut { step, items } => self.fan_out(*step, items),
            Event::StepCollected { step } => {
                let result = self.collected(*step);
                self.succeed(*step, result, at);
            }
            Event::AttemptStarted { step, attempt, token, target, contract, deadline } => {
                let open = OpenAttempt {
                    attempt: *attempt,
                    token: *token,
                    target: target.clone(),
                    contract: *contract,
                    started_at: at,
                    deadline: *deadline,
                };
                self.set_state(*step, StepState::Running(open));
            }
            Event::AttemptFailed { step, failure, reply, retry_at, .. } => {
                self.close(*step, at, *reply, Some(failure.clone()));
                if let Some(until) = retry_at {
                    self.set_state(*step, StepState::BackingOff { until: *until });
                }
            }
            Event::StepSucceeded { step, result, .. } => {
                self.close(*step, at, Some(result.digest()), None);
                self.succeed(*step, result.clone(), at);
            }
            Event::WaitStarted { step, wait, until } => {
                self.steps[step.at()].first_ready_at.get_or_insert(at);
                let waiting = Waiting { wait: wait.clone(), since: at, until: *until, reminded: 0, reminded_at: None, escalated_at: None };
                self.set_state(*step, StepState::Waiting(Box::new(waiting)));
            }
            Event::WaitSatisfied { step, result } => {
                if let Some(Wait::Signal { name }) = self.waiting(*step).map(|waiting| waiting.wait.clone()) {
                    self.take_signal(&name);
                }
                self.succeed(*step, result.clone(), at);
            }
            Event::ApprovalReminded { step } => {
                if let StepState::Waiting(waiting) = &mut self.steps[step.at()].state {
                    waiting.reminded += 1;
                    waiting.reminded_at = Some(at);
                }
            }
            Event::ApprovalEscalated { step, to } => {
                if let StepState::Waiting(waiting) = &mut self.steps[step.at()].state {
                    waiting.escalated_at = Some(at);
                    // Where anybody may decide, they still may.
                    if let Wait::Approval { assignees, .. } = &mut waiting.wait
                        && !assignees.is_empty()
                    {
                        let more: Vec<String> = to.iter().filter(|name| !assignees.contains(name)).cloned().collect();
                        assignees.extend(more);
                    }
                }
            }
            Event::SignalReceived { name, payload, id } => {
                self.signals.entry(name.clone()).or_default().push_back(payload.clone());
                if let Some(id) = id {
                    self.signal_ids.push_back(id.clone());
                    if self.signal_ids.len() > Self::SIGNAL_IDS_MAX {
                        self.signal_ids.pop_front();
                    }
                }
            }
            Event::FallbackStarted { step, to, failure } => {
                self.close(*step, at, None, Some(failure.clone()));
                self.set_state(*step, StepState::FallingBack { to: *to, failure: failure.clone() });
            }
            Event::FallbackTaken { step } => {
                if let StepState::FallingBack { to, .. } = &self.progress(*step).state {
                    let result = self.step_result(*to).cloned().unwrap_or_else(Payload::null);
                    self.take_place(*step, result, at);
                }
            }
            Event::StepHeld { step, failure } => {
                self.close(*step, at, None, Some(failure.clone()));
                self.set_state(*step, StepState::Held { failure: failure.clone(), since: at });
            }
            Event::StepResolved { step, resolution, .. } => match resolution {
                Resolution::Retry => {
                    let progress = &mut self.steps[step.at()];
                    progress.forgiven = progress.closed.len() as u32;
                    self.set_state(*step, StepState::Pending);
                    self.fan_out_again(*step);
                }
                Resolution::Supply(result) => self.succeed(*step, result.clone(), at),
                // The events after this one say what becomes of it.
                Resolution::Skip | Resolution::Fail => {}
            },
            Event::StepFailed { step, failure } => {
                self.close(*step, at, None, Some(failure.clone()));
                self.note_partial_work(*step);
                self.end(*step, StepState::Failed { failure: failure.clone(), at });
            }
            Event::StepCancelled { step } => {
                self.close(*step, at, None, None);
                self.note_partial_work(*step);
                self.end(*step, StepState::Cancelled { at });
            }
            Event::ReplyConflicted { step, attempt, .. } => self.mark_conflict(*step, *attempt),
            Event::CancelRequested { reason } => {
                self.cancel_reason = Some(reason.clone());
                self.unpause(at);
            }
            Event::TaskEnding { cause, compensate } => {
                self.unpause(at);
                self.queued = false;
                self.ending = Some(Ending { cause: cause.clone(), compensate: *compensate, since: at });
            }
            Event::TaskAdmitted => self.queued = false,
            Event::TaskPaused { reason } => self.paused = Some(Paused { reason: reason.clone(), since: at }),
            Event::TaskResumed => self.unpause(at),
            Event::TaskSucceeded { result } => {
                self.result = Some(result.clone());
                self.finish(TaskStatus::Succeeded, at);
            }
            Event::TaskFailed { step, failure } => {
                self.failure = Some((*step, failure.clone()));
                self.finish(TaskStatus::Failed, at);
            }
            Event::TaskCancelled { reason } => {
                self.cancel_reason = Some(reason.clone());
                self.finish(TaskStatus::Cancelled, at);
            }
        }
    }

    /// The latest ids of signals that a task remembers.
    pub const SIGNAL_IDS_MAX: usize = 100;

    fn finish(&mut self, status: TaskStatus, at: Timestamp) {
        self.unpause(at);
        self.queued = false;
        self.status = status;
        self.finished_at = Some(at);
    }

    /// The only place where a step's state changes, so that the counters cannot drift from it.
    fn set_state(&mut self, step: StepIndex, state: StepState) {
        let owner = self.item(step).map(|item| item.of);
        let is_work = self.definition(step).is_work();
        let old = std::mem::replace(&mut self.steps[step.at()].state, state);
        let new = &self.steps[step.at()].state;
        match owner {
            None => match (old.is_terminal(), new.is_terminal()) {
                (true, false) => self.open_steps += 1,
                (false, true) => self.open_steps -= 1,
                (true, true) | (false, false) => {}
            },
            Some(owner) => {
                let at_work = |state: &StepState| !state.is_terminal() && !matches!(state, StepState::Pending);
                let (before, after) = (at_work(&old), at_work(new));
                if let Some(fan) = &mut self.steps[owner.at()].fan {
                    match (before, after) {
                        (true, false) => fan.working -= 1,
                        (false, true) => fan.working += 1,
                        (true, true) | (false, false) => {}
                    }
                }
            }
        }
        let new = &self.steps[step.at()].state;
        if is_work {
            match (old.holds_place(), new.holds_place()) {
                (true, false) => self.working -= 1,
                (false, true) => self.working += 1,
                (true, true) | (false, false) => {}
            }
        }
        if matches!(old, StepState::Parked) {
            self.parked.retain(|parked| *parked != step);
        }
    }

    /// Ends a step or item, and counts it for whoever waits for it.
    fn end(&mut self, step: StepIndex, state: StepState) {
        let was_over = self.progress(step).state.is_terminal() && !matches!(self.progress(step).state, StepState::Standby);
        let (succeeded, failed) = match &state {
            StepState::Succeeded { .. } => (true, false),
            StepState::Failed { .. } => (false, true),
            _ => (false, false),
        };
        self.set_state(step, state);
        if was_over {
            return;
        }
        if let Some(item) = self.item(step) {
            let of = item.of;
            if let Some(fan) = &mut self.steps[of.at()].fan {
                fan.over += 1;
                fan.succeeded += u32::from(succeeded);
                fan.failed += u32::from(failed);
            }
            return;
        }
        let workflow = self.workflow.clone();
        for successor in &workflow.step(step).successors {
            let progress = &mut self.steps[successor.at()];
            progress.open_dependencies = progress.open_dependencies.saturating_sub(1);
            progress.met_dependencies += u32::from(succeeded);
        }
    }

    fn succeed(&mut self, step: StepIndex, result: Payload, at: Timestamp) {
        if self.item(step).is_none() && self.workflow.step(step).compensate.is_some() {
            self.completed.push(step);
        }
        self.take_place(step, result, at);
    }

    /// Gives the step a result that it did not work out itself, so there is nothing of its own to undo.
    fn take_place(&mut self, step: StepIndex, result: Payload, at: Timestamp) {
        self.end(step, StepState::Succeeded { result, at });
    }

    /// A fan-out that ends with some of its items done has something to undo.
    fn note_partial_work(&mut self, step: StepIndex) {
        let done = self.progress(step).fan.as_ref().is_some_and(|fan| fan.succeeded > 0);
        if done && !self.progress(step).state.is_terminal() && self.workflow.step(self.node(step)).compensate.is_some() {
            self.completed.push(step);
        }
    }

    fn fan_out(&mut self, step: StepIndex, items: &[Payload]) {
        let first = self.steps.len() as u32;
        self.steps[step.at()].fan = Some(Box::new(Fan { first, count: items.len() as u32, ..Fan::default() }));
        self.set_state(step, StepState::FannedOut);
        for (number, value) in items.iter().enumerate() {
            self.items.push(Item { of: step, number: number as u32, value: value.clone() });
            self.steps.push(fresh(Role::Forward, 0));
        }
    }

    fn pass_item(&mut self, step: StepIndex) {
        let Some(item) = self.item(step) else { return };
        let (of, next) = (item.of, item.number + 1);
        if let Some(fan) = &mut self.steps[of.at()].fan {
            fan.next = fan.next.max(next);
        }
    }

    /// Opens a fan-out that had failed once more: what succeeded stays, the rest is worked on again.
    fn fan_out_again(&mut self, step: StepIndex) {
        let Some(fan) = self.progress(step).fan.as_deref().cloned() else { return };
        for item in fan.indexes().filter(|item| self.step_result(*item).is_none()).collect::<Vec<_>>() {
            let progress = &mut self.steps[item.at()];
            progress.forgiven = progress.closed.len() as u32;
            self.set_state(item, StepState::Pending);
        }
        let again = Fan { next: 0, working: 0, over: fan.succeeded, failed: 0, ..fan };
        self.steps[step.at()].fan = Some(Box::new(again));
        self.set_state(step, StepState::FannedOut);
    }

    /// The results of a fan-out's items in their order; `null` where there is none.
    pub fn collected(&self, step: StepIndex) -> Payload {
        let Some(fan) = &self.progress(step).fan else { return Payload::null() };
        let mut text = Vec::with_capacity(64);
        text.push(b'[');
        for item in fan.indexes() {
            if text.len() > 1 {
                text.push(b',');
            }
            text.extend_from_slice(self.step_result(item).map_or(b"null", |result| result.bytes()));
        }
        text.push(b']');
        Payload::trusted(text.into())
    }

    /// How many bytes [`Self::collected`] would have.
    pub(crate) fn collected_bytes(&self, step: StepIndex) -> usize {
        let Some(fan) = &self.progress(step).fan else { return 0 };
        fan.indexes().map(|item| self.step_result(item).map_or(4, |result| result.bytes().len()) + 1).sum::<usize>() + 2
    }

    fn take_signal(&mut self, name: &str) {
        if let Some(kept) = self.signals.get_mut(name) {
            kept.pop_front();
            if kept.is_empty() {
                self.signals.remove(name);
            }
        }
    }

    /// Ends a pause: what did not count during it starts anew or is moved by its length.
    fn unpause(&mut self, at: Timestamp) {
        let Some(paused) = self.paused.take() else { return };
        let length = at.since(paused.since);
        self.paused_for += length;
        for progress in &mut self.steps {
            if let Some(first) = progress.first_ready_at
                && !progress.state.is_terminal()
            {
                progress.held += length.min(at.since(first));
            }
            if let StepState::Ready { since } = &mut progress.state {
                *since = at;
            }
        }
    }

    /// Moves the open attempt, if there is one, to the closed ones.
    fn close(&mut self, step: StepIndex, at: Timestamp, reply: Option<Digest>, failure: Option<crate::failure::Failure>) {
        let StepState::Running(open) = &self.progress(step).state else { return };
        let closed = ClosedAttempt {
            attempt: open.attempt,
            token: open.token,
            target: open.target.clone(),
            started_at: open.started_at,
            closed_at: at,
            reply,
            conflicted: false,
            failure,
        };
        self.steps[step.at()].closed.push(closed);
        // Whoever closes an attempt says next what becomes of the step; until then it waits for nothing.
        self.set_state(step, StepState::Pending);
    }

    fn mark_conflict(&mut self, step: StepIndex, attempt: AttemptNumber) {
        if let Some(closed) = self.steps[step.at()].closed.iter_mut().find(|closed| closed.attempt == attempt) {
            closed.conflicted = true;
        }
    }
}

/// A step that nothing has happened to yet.
fn fresh(role: Role, dependencies: u32) -> StepProgress {
    StepProgress {
        state: if role == Role::Forward { StepState::Pending } else { StepState::Standby },
        open_dependencies: dependencies,
        met_dependencies: 0,
        first_ready_at: None,
        held: Duration::ZERO,
        forgiven: 0,
        fan: None,
        closed: SmallVec::new(),
    }
}
