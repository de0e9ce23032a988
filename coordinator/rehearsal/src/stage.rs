//! The loop of a rehearsal: what the runtime is in production, with a clock that jumps to whatever is due next.

mod acts;
mod work;

use crate::answer::Answers;
use crate::case::{Case, Given, Prompt, Status};
use crate::learn::Notebook;
use crate::outcome::{Ended, Outcome, Sent};
use crate::workflows::Workflows;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;
use tasker_engine::decide::{Decision, Effect, accept, cancel, pause, timer};
use tasker_engine::event::{Event, Target};
use tasker_engine::invariant;
use tasker_engine::task::{StepState, Wait};
use tasker_engine::workflow::StepKind;
use tasker_engine::{AttemptNumber, AttemptToken, Entry, Payload, StepIndex, Task, TaskId, TaskStatus, Timestamp};

/// No case takes more events than this: a fan-out of ten thousand items with a hundred attempts each fits.
pub const EVENTS_MAX: u64 = 1_000_000;
/// No case lasts longer than ten years of virtual time: every wait of a manifest is shorter than one.
pub const TIME_MAX: Duration = Duration::from_secs(3_653 * 24 * 3_600);
/// No case starts more tasks than this.
pub const TASKS_MAX: usize = 10_000;
/// How long an event that nobody waits for is kept.
const EVENT_KEPT: Duration = Duration::from_secs(24 * 3_600);
/// Judging a state costs as much as it has steps; larger states are judged after every so many more events.
const STEPS_PER_CHECK: usize = 1_000;

/// Plays a case to its end: the task is over, nothing can happen any more, or a limit is reached.
///
/// Pure: the same workflows and case give the same outcome.
pub fn rehearse(workflows: &Workflows, case: &Case) -> Outcome {
    Stage::new(workflows, case).play()
}

/// A task on the stage.
struct Actor {
    task: Task,
    /// What leads to its steps: empty, or `ship/`.
    prefix: String,
    /// Events since its state was last judged.
    unjudged: usize,
}

/// Something that is due.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Timestamp,
    /// What became due first comes first.
    number: u64,
    what: Cue,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cue {
    Dispatch(At),
    StartChild(At),
    Listen(At),
    StepTimer(At),
    TaskTimer(TaskId),
    /// An attempt is answered; the answer is kept under this number.
    Answer(At, u64),
    CancelChild(TaskId),
    PauseChild(TaskId, bool),
    Ended(TaskId),
    /// An act of the plan, by its place.
    Plan(usize),
    /// What a person does, by its place.
    Prompt(At, usize),
}

/// A step of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct At {
    task: TaskId,
    step: StepIndex,
}

/// The answer to an open attempt.
struct Pending {
    attempt: AttemptNumber,
    token: AttemptToken,
    given: Given,
}

/// An event that nobody waited for when it came.
struct Kept {
    name: String,
    key: String,
    payload: Payload,
    at: Timestamp,
}

struct Stage<'c> {
    workflows: &'c Workflows,
    case: &'c Case,
    answers: Answers<'c>,
    actors: BTreeMap<TaskId, Actor>,
    root: TaskId,
    last_id: TaskId,
    now: Timestamp,
    queue: BinaryHeap<Reverse<Due>>,
    number: u64,
    pending: BTreeMap<u64, Pending>,
    kept: Vec<Kept>,
    /// Which acts and prompts have been carried out, or are on their way.
    planned: Vec<bool>,
    prompted: Vec<bool>,
    notebook: Notebook,
    sent: Vec<Sent>,
    problems: Vec<String>,
    history: Vec<Entry>,
    events: u64,
}

impl<'c> Stage<'c> {
    fn new(workflows: &'c Workflows, case: &'c Case) -> Self {
        let root = TaskId::first_at(case.start);
        Self {
            workflows,
            case,
            answers: Answers::new(case),
            actors: BTreeMap::new(),
            root,
            last_id: root,
            now: case.start,
            queue: BinaryHeap::new(),
            number: 0,
            pending: BTreeMap::new(),
            kept: Vec::new(),
            planned: vec![false; case.plan.len()],
            prompted: vec![false; case.prompts.len()],
            notebook: Notebook::default(),
            sent: Vec::new(),
            problems: Vec::new(),
            history: Vec::new(),
            events: 0,
        }
    }

    fn play(mut self) -> Outcome {
        let submission = self.submission(self.workflows.main(), self.case.input.clone(), None);
        match accept::accept(self.root, self.workflows.main(), submission, Vec::new(), self.now) {
            Ok((task, decision)) => self.enter(task, String::new(), decision),
            Err(refusal) => {
                self.problems.push(refused(&refusal));
                return self.close();
            }
        }
        for (place, plan) in self.case.plan.iter().enumerate() {
            self.due(self.case.start.after(plan.after), Cue::Plan(place));
        }
        while self.goes_on() && self.step() {}
        self.close()
    }

    fn goes_on(&self) -> bool {
        self.problems.is_empty() && self.actors.get(&self.root).is_some_and(|root| !root.task.status.is_terminal())
    }

    /// Does what is due next. Says whether there was anything.
    fn step(&mut self) -> bool {
        let Some(Reverse(due)) = self.queue.pop() else { return false };
        if !self.is_live(due.at, due.what) {
            return true;
        }
        if self.is_endless(due.what)
            && self.queue.iter().all(|Reverse(other)| !self.is_live(other.at, other.what) || self.is_endless(other.what))
        {
            return false;
        }
        if due.at.since(self.case.start) > TIME_MAX {
            self.problems.push("the case goes on for more than ten years of virtual time".to_owned());
            return false;
        }
        if self.events > EVENTS_MAX {
            self.problems.push(format!("the case goes on for more than {EVENTS_MAX} events"));
            return false;
        }
        self.now = self.now.max(due.at);
        self.play_cue(due.what);
        true
    }

    fn play_cue(&mut self, cue: Cue) {
        match cue {
            Cue::Dispatch(at) => self.dispatch(at),
            Cue::StartChild(at) => self.start_child(at),
            Cue::Listen(at) => self.listen(at),
            Cue::StepTimer(at) => self.decide(at.task, |task, now| timer::step_timer(task, at.step, now)),
            Cue::TaskTimer(id) => self.decide(id, timer::task_timer),
            Cue::Answer(at, number) => self.answer(at, number),
            Cue::CancelChild(id) => {
                self.decide(id, |task, now| cancel::cancel(task, "its parent has no use for it", now).unwrap_or_default())
            }
            Cue::PauseChild(id, true) => self.decide(id, |task, now| pause::pause(task, "its parent is paused", now).unwrap_or_default()),
            Cue::PauseChild(id, false) => self.decide(id, |task, now| pause::resume(task, now).unwrap_or_default()),
            Cue::Ended(id) => self.ended(id),
            Cue::Plan(place) => self.act(place),
            Cue::Prompt(at, place) => self.prompt(at, place),
        }
    }

    /// Whether something that is due still means anything; what does not must not move the clock.
    fn is_live(&self, at: Timestamp, cue: Cue) -> bool {
        let step = |place: At| self.actors.get(&place.task).filter(|actor| place.step.at() < actor.task.steps.len());
        match cue {
            Cue::StepTimer(place) => step(place).and_then(|actor| actor.task.step_due(place.step)).is_some_and(|due| due <= at),
            Cue::TaskTimer(id) => self.actors.get(&id).and_then(|actor| actor.task.task_due()).is_some_and(|due| due <= at),
            Cue::Answer(place, number) => {
                let token = self.pending.get(&number).map(|pending| pending.token);
                step(place).and_then(|actor| actor.task.open_attempt(place.step)).is_some_and(|open| Some(open.token) == token)
            }
            Cue::Dispatch(_)
            | Cue::StartChild(_)
            | Cue::Listen(_)
            | Cue::CancelChild(_)
            | Cue::PauseChild(..)
            | Cue::Ended(_)
            | Cue::Plan(_)
            | Cue::Prompt(..) => true,
        }
    }

    /// Whether this is a reminder that would be followed by reminders for ever.
    fn is_endless(&self, cue: Cue) -> bool {
        let Cue::StepTimer(at) = cue else { return false };
        let Some(actor) = self.actors.get(&at.task) else { return false };
        let Some(waiting) = actor.task.waiting(at.step) else { return false };
        let StepKind::Approval(approval) = &actor.task.definition(at.step).kind else { return false };
        let escalates = approval.escalate.is_some() && waiting.escalated_at.is_none();
        waiting.until.is_none() && waiting.reminded > 0 && !escalates
    }

    fn due(&mut self, at: Timestamp, what: Cue) {
        self.number += 1;
        self.queue.push(Reverse(Due { at, number: self.number, what }));
    }

    /// Changes a task and takes what follows.
    fn decide(&mut self, id: TaskId, change: impl FnOnce(&mut Task, Timestamp) -> Decision) {
        let Some(actor) = self.actors.get_mut(&id) else { return };
        let decision = change(&mut actor.task, self.now);
        self.take(id, decision);
    }

    fn enter(&mut self, task: Task, prefix: String, decision: Decision) {
        let id = task.id;
        self.actors.insert(id, Actor { task, prefix, unjudged: 0 });
        self.take(id, decision);
    }

    /// Notes what was decided, judges the state, and makes due what follows.
    fn take(&mut self, id: TaskId, decision: Decision) {
        let Decision { entry, effects } = decision;
        if let Some(entry) = entry {
            self.note(id, entry);
        }
        for effect in effects {
            self.take_effect(id, effect);
        }
    }

    fn note(&mut self, id: TaskId, entry: Entry) {
        let Some(actor) = self.actors.get_mut(&id) else { return };
        self.events += entry.events.len() as u64;
        actor.unjudged += entry.events.len();
        self.notebook.note(&actor.task, &actor.prefix, &entry);
        if actor.unjudged > actor.task.steps.len() / STEPS_PER_CHECK {
            actor.unjudged = 0;
            let broken = invariant::check_state(&actor.task);
            self.problems.extend(broken.iter().map(violated));
        }
        let asks: Vec<StepIndex> = entry
            .events
            .iter()
            .filter(|event| matches!(event, Event::WaitStarted { wait: Wait::Approval { .. }, .. } | Event::StepHeld { .. }))
            .filter_map(Event::step)
            .collect();
        for step in asks {
            self.ask_people(At { task: id, step });
        }
        if id == self.root {
            self.history.push(entry);
        }
    }

    /// A step waits for a person: whoever the case has for it comes in time.
    fn ask_people(&mut self, at: At) {
        let Some(actor) = self.actors.get(&at.task) else { return };
        let label = format!("{}{}", actor.prefix, actor.task.label(at.step));
        let held = matches!(actor.task.progress(at.step).state, StepState::Held { .. });
        let next = self.case.prompts.iter().enumerate().position(|(place, prompt)| {
            !self.prompted[place] && prompt.step() == label && held == matches!(prompt, Prompt::Resolve { .. })
        });
        let Some(place) = next else { return };
        self.prompted[place] = true;
        let after = match &self.case.prompts[place] {
            Prompt::Decide { after, .. } | Prompt::Resolve { after, .. } => *after,
        };
        self.due(self.now.after(after), Cue::Prompt(at, place));
    }

    fn take_effect(&mut self, task: TaskId, effect: Effect) {
        let now = self.now;
        match effect {
            Effect::Enqueue { step } => self.due(now, Cue::Dispatch(At { task, step })),
            Effect::StartChild { step } => self.due(now, Cue::StartChild(At { task, step })),
            Effect::Listen { step, .. } => self.due(now, Cue::Listen(At { task, step })),
            Effect::PauseChild { child, paused } => self.due(now, Cue::PauseChild(child, paused)),
            Effect::SetStepTimer { step, due } => self.due(due, Cue::StepTimer(At { task, step })),
            Effect::SetTaskTimer { due } => self.due(due, Cue::TaskTimer(task)),
            Effect::CancelAttempt { target: Target::Child(child), .. } => self.due(now, Cue::CancelChild(child)),
            Effect::Ask { step, input, .. } => self.sent_to(At { task, step }, input),
            Effect::Finished => self.due(now, Cue::Ended(task)),
            Effect::CancelAttempt { .. } | Effect::AttemptClosed { .. } => {}
        }
    }

    fn sent_to(&mut self, at: At, input: Payload) {
        let Some(actor) = self.actors.get(&at.task) else { return };
        self.sent.push(Sent { step: format!("{}{}", actor.prefix, actor.task.label(at.step)), input });
    }

    fn close(mut self) -> Outcome {
        self.look_for_what_never_came();
        let waits = self.waits();
        let ended = self.actors.remove(&self.root).map(|Actor { task, .. }| {
            let broken = invariant::check_state(&task).into_iter().chain(invariant::check_history(task.id, &task.workflow, &self.history));
            self.problems.extend(broken.map(|broken| violated(&broken)));
            Ended {
                status: match task.status {
                    TaskStatus::Running => Status::Waiting,
                    TaskStatus::Succeeded => Status::Succeeded,
                    TaskStatus::Failed => Status::Failed,
                    TaskStatus::Cancelled => Status::Cancelled,
                },
                result: task.result.clone(),
                failure: task.failure.as_ref().map(|(_, failure)| failure.clone()),
                took: task.finished_at.unwrap_or(self.now).since(self.case.start),
                waits,
                task,
            }
        });
        let Notebook { began, attempts, compensated, reached, notes, .. } = self.notebook;
        Outcome {
            ended,
            began,
            attempts,
            sent: self.sent,
            compensated,
            reached,
            defaulted: self.answers.defaulted,
            notes,
            problems: self.problems,
            history: self.history,
        }
    }

    fn waits(&self) -> Vec<String> {
        let mut waits = Vec::new();
        for actor in self.actors.values().filter(|actor| !actor.task.status.is_terminal()) {
            let open = actor.task.indexes().filter(|step| match &actor.task.progress(*step).state {
                StepState::Waiting(_) | StepState::Held { .. } | StepState::Ready { .. } => true,
                // A child that waits is itself on the list.
                StepState::Running(attempt) => !matches!(attempt.target, Target::Child(id) if self.actors.contains_key(&id)),
                StepState::Pending
                | StepState::Standby
                | StepState::Parked
                | StepState::BackingOff { .. }
                | StepState::FannedOut
                | StepState::FallingBack { .. }
                | StepState::Succeeded { .. }
                | StepState::Failed { .. }
                | StepState::Skipped { .. }
                | StepState::Cancelled { .. } => false,
            });
            waits.extend(open.map(|step| format!("{}{}", actor.prefix, actor.task.label(step))));
        }
        waits
    }
}

fn violated(broken: &invariant::Violation) -> String {
    format!("the engine broke its promise {}: {}; please report this with the manifest and the case", broken.promise, broken.seen)
}

fn refused(refusal: &accept::Refusal) -> String {
    match refusal {
        accept::Refusal::InputViolated { violations, .. } => {
            let first = violations
                .first()
                .map_or(String::new(), |violation| format!(": at {}: {}", pointer(&violation.pointer), violation.message));
            format!("{refusal}{first}")
        }
        accept::Refusal::NoDeadline { .. } => refusal.to_string(),
    }
}

fn pointer(pointer: &str) -> &str {
    if pointer.is_empty() { "the value itself" } else { pointer }
}
