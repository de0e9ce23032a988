//! What comes from outside: signals, events, people.

use super::{At, EVENT_KEPT, Kept, Stage, pointer};
use crate::case::{Act, Prompt};
use tasker_engine::contract::Violation;
use tasker_engine::decide::{Decision, approval, cancel, pause, resolve, signal};
use tasker_engine::duration;
use tasker_engine::task::Wait;
use tasker_engine::{Payload, Task, TaskId, Timestamp};

impl Stage<'_> {
    /// Carries out an act of the plan.
    pub(super) fn act(&mut self, place: usize) {
        self.planned[place] = true;
        let case = self.case;
        let root = self.root;
        match &case.plan[place].act {
            Act::Signal { name, payload } => {
                let what = || format!("the signal `{name}`");
                self.attempt(root, what, |task, now| {
                    signal::receive(task, name, payload, None, now).map_err(|refusal| refused_signal(&refusal))
                });
            }
            Act::Event { name, key, payload } => self.event(name, key, payload),
            Act::Cancel { reason } => {
                self.attempt(
                    root,
                    || "`cancel`".into(),
                    |task, now| cancel::cancel(task, reason, now).map_err(|refusal| refusal.to_string()),
                );
            }
            Act::Pause { reason } => {
                self.attempt(root, || "`pause`".into(), |task, now| pause::pause(task, reason, now).map_err(|refusal| refusal.to_string()));
            }
            Act::Resume => {
                self.attempt(root, || "`resume`".into(), |task, now| pause::resume(task, now).map_err(|refusal| refusal.to_string()));
            }
        }
    }

    /// An event goes to everybody who waits for it; if nobody does, it is kept for a day.
    fn event(&mut self, name: &str, key: &str, payload: &Payload) {
        let waits = |task: &Task, step| {
            let wait = task.waiting(step).map(|waiting| &waiting.wait);
            matches!(wait, Some(Wait::Event { name: known, key: expected }) if known == name && expected == key)
        };
        let waiting: Vec<At> = self
            .actors
            .iter()
            .flat_map(|(id, actor)| actor.task.indexes().filter(|step| waits(&actor.task, *step)).map(|step| At { task: *id, step }))
            .collect();
        if waiting.is_empty() {
            self.kept.push(Kept { name: name.to_owned(), key: key.to_owned(), payload: payload.clone(), at: self.now });
        }
        for at in waiting {
            self.deliver(at, name, key, payload);
        }
    }

    fn deliver(&mut self, at: At, name: &str, key: &str, payload: &Payload) {
        let what = || format!("the event `{name}` for `{key}`");
        self.attempt(at.task, what, |task, now| {
            signal::event_arrived(task, at.step, name, key, payload, now).map_err(|refusal| refused_signal(&refusal))
        });
    }

    /// A step begins to wait for an event: one that came before ends the wait.
    pub(super) fn listen(&mut self, at: At) {
        let Some(actor) = self.actors.get(&at.task) else { return };
        let Some(Wait::Event { name, key }) = actor.task.waiting(at.step).map(|waiting| waiting.wait.clone()) else { return };
        self.kept.retain(|kept| self.now.since(kept.at) <= EVENT_KEPT);
        if let Some(place) = self.kept.iter().position(|kept| kept.name == name && kept.key == key) {
            let kept = self.kept.remove(place);
            self.deliver(at, &name, &key, &kept.payload);
        }
    }

    /// A person does what the case has them do.
    pub(super) fn prompt(&mut self, at: At, place: usize) {
        let case = self.case;
        match &case.prompts[place] {
            Prompt::Decide { step, verdict, .. } => {
                let what = || format!("the decision about `{step}`");
                self.attempt(at.task, what, |task, now| {
                    approval::decide(task, at.step, verdict, now).map_err(|refusal| match &refusal {
                        approval::Refusal::FormViolated(violations) => with_first(&refusal, violations),
                        approval::Refusal::NotWaiting(_) | approval::Refusal::NotAssigned { .. } => refusal.to_string(),
                    })
                });
            }
            Prompt::Resolve { step, resolution, by, .. } => {
                let what = || format!("the resolution of `{step}`");
                self.attempt(at.task, what, |task, now| {
                    resolve::resolve(task, at.step, resolution, by, None, now).map_err(|refusal| match &refusal {
                        resolve::Refusal::ResultViolated { violations, .. } => with_first(&refusal, violations),
                        resolve::Refusal::NotHeld { .. } => refusal.to_string(),
                    })
                });
            }
        }
    }

    /// Tries something from outside; a refusal fails the case, because its author meant something else.
    fn attempt(
        &mut self,
        id: TaskId,
        what: impl FnOnce() -> String,
        change: impl FnOnce(&mut Task, Timestamp) -> Result<Decision, String>,
    ) {
        let Some(actor) = self.actors.get_mut(&id) else { return };
        match change(&mut actor.task, self.now) {
            Ok(decision) => self.take(id, decision),
            Err(refusal) => {
                let after = duration::format(self.now.since(self.case.start));
                self.problems.push(format!("{} was refused after {after}: {refusal}", what()));
            }
        }
    }

    /// A case that says more than what happened does not say what its author thinks.
    pub(super) fn look_for_what_never_came(&mut self) {
        if !self.problems.is_empty() {
            return;
        }
        let after = duration::format(self.now.since(self.case.start));
        for (plan, _) in self.case.plan.iter().zip(&self.planned).filter(|(_, done)| !**done) {
            let what = match &plan.act {
                Act::Signal { name, .. } => format!("the signal `{name}`"),
                Act::Event { name, .. } => format!("the event `{name}`"),
                Act::Cancel { .. } => "`cancel`".to_owned(),
                Act::Pause { .. } => "`pause`".to_owned(),
                Act::Resume => "`resume`".to_owned(),
            };
            let planned = duration::format(plan.after);
            self.problems.push(format!("{what}, planned after {planned}, never came: the task was over after {after}"));
        }
        for (prompt, _) in self.case.prompts.iter().zip(&self.prompted).filter(|(_, done)| !**done) {
            let what = match prompt {
                Prompt::Decide { step, .. } => format!("the decision about `{step}` was never asked for"),
                Prompt::Resolve { step, .. } => format!("the resolution of `{step}` was never asked for: the step was not held"),
            };
            self.problems.push(what);
        }
        let unused = self.case.mocks.keys().filter(|key| !self.answers.used.contains(*key));
        self.notebook.notes.extend(unused.map(|key| format!("the mock of `{key}` was not asked")));
    }
}

fn refused_signal(refusal: &signal::Refusal) -> String {
    match refusal {
        signal::Refusal::PayloadViolated { violations, .. } => with_first(refusal, violations),
        signal::Refusal::NotRunning(_) | signal::Refusal::UnknownSignal { .. } | signal::Refusal::TooMany => refusal.to_string(),
    }
}

fn with_first(refusal: &dyn std::fmt::Display, violations: &[Violation]) -> String {
    let first = violations.first().map_or(String::new(), |first| format!(": at {}: {}", pointer(&first.pointer), first.message));
    format!("{refusal}{first}")
}
