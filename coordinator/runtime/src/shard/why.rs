//! Why a task is not moving: one sentence per step that is not over, and what to do about it.

use super::Shard;
use super::attempts::Carrier;
use super::resident::Resident;
use crate::operations::Reason;
use std::time::Duration;
use tasker_engine::event::Target;
use tasker_engine::task::{Cause, OpenAttempt, StepState, Wait, Waiting};
use tasker_engine::workflow::{Call, Join, Role, StepKind};
use tasker_engine::{StepIndex, Task, TaskId};

/// The most items of one fan-out that are spoken of one by one.
const ITEMS_TOLD_MAX: usize = 10;
/// The most steps that are named as being at work.
const NAMED_MAX: usize = 5;

/// A sentence, and what to do about it.
pub(super) type Told = (String, Option<String>);

impl Shard {
    pub(super) fn why(&self, resident: &Resident) -> Vec<Reason> {
        let task = &resident.task;
        if task.status.is_terminal() {
            return vec![over(task)];
        }
        let whole = self.why_whole(task).into_iter().map(|(text, hint)| Reason { step: None, text, hint });
        let steps = task.workflow.indexes().flat_map(|step| self.why_step_and_items(resident, step));
        whole.chain(steps).collect()
    }

    /// What holds for the whole task.
    fn why_whole(&self, task: &Task) -> Vec<Told> {
        let mut told: Vec<Told> = self.why_queued(task).into_iter().collect();
        if let Some(paused) = &task.paused {
            let text = format!("the task is paused since {}: {}; nothing new starts", short(self.ago(paused.since)), paused.reason);
            let parent = task.submission.parent.filter(|parent| !parent.detached).map(|parent| parent.task);
            let parent = parent.filter(|parent| self.residents.get(*parent).is_some_and(|known| known.task.paused.is_some()));
            let hint = match (self.pauses.of(&task.workflow.namespace, &task.workflow.name), parent) {
                (Some(_), _) => format!("`tasker workflow resume {}`", task.workflow.name),
                (None, Some(parent)) => format!("`tasker task resume {parent}`"),
                (None, None) => format!("`tasker task resume {}`", task.id),
            };
            told.push((text, Some(hint)));
        }
        if let Some(ending) = &task.ending {
            let cause = match &ending.cause {
                Cause::Failed { step, failure } => {
                    let step = step.map(|step| format!("step `{}` failed: ", task.label(step))).unwrap_or_default();
                    format!("{step}{} ({})", failure.message, failure.code)
                }
                Cause::Cancelled { reason } => format!("it was cancelled: {reason}"),
            };
            let does = if ending.compensate { "what was done is being undone" } else { "those who must know are being told" };
            told.push((format!("the task is on its way to its end since {}, {cause}; {does} first", short(self.ago(ending.since))), None));
        }
        told
    }

    fn why_step_and_items(&self, resident: &Resident, step: StepIndex) -> Vec<Reason> {
        let task = &resident.task;
        let mut reasons: Vec<Reason> = self.why_step(resident, step).into_iter().collect();
        if let (StepState::FannedOut, Some(fan)) = (&task.progress(step).state, &task.progress(step).fan) {
            let mut open = fan.indexes().take(fan.next as usize).filter(|item| !task.progress(*item).state.is_terminal());
            reasons.extend(open.by_ref().take(ITEMS_TOLD_MAX).filter_map(|item| self.why_step(resident, item)));
            let more = open.count();
            if more > 0 {
                let text = format!("{more} more items are at work");
                reasons.push(Reason { step: Some(task.label(step).to_string()), text, hint: None });
            }
        }
        reasons
    }

    fn why_step(&self, resident: &Resident, step: StepIndex) -> Option<Reason> {
        let task = &resident.task;
        let definition = task.definition(step);
        let plain = |text: String| Some((text, None));
        let told: Option<Told> = match &task.progress(step).state {
            StepState::Standby
            | StepState::Succeeded { .. }
            | StepState::Failed { .. }
            | StepState::Skipped { .. }
            | StepState::Cancelled { .. } => None,
            // What the whole task waits for is told of the whole task.
            StepState::Pending if task.queued => None,
            StepState::Pending => plain(why_pending(task, step)),
            StepState::Parked => plain(why_parked(task)),
            StepState::BackingOff { until } => {
                let last = task.progress(step).closed.last().and_then(|closed| closed.failure.as_ref());
                let cause = last.map(|failure| format!(" after `{}`: {}", failure.code, failure.message)).unwrap_or_default();
                let attempt = task.next_attempt(step);
                plain(format!(
                    "attempt {attempt} of {} starts in {}{cause}",
                    definition.retry.attempts_max,
                    short(until.since(self.clock.now()))
                ))
            }
            StepState::Ready { since } => match &definition.kind {
                StepKind::Call(call) => {
                    let (text, hint) = self.why_waiting(resident, step, call);
                    let place = self.place_of(resident, step);
                    Some((format!("{text}; {place}, it has waited {}", short(self.ago(*since))), hint))
                }
                StepKind::Child(child) => plain(format!(
                    "waits {} for its child task of workflow `{}` to be started{}",
                    short(self.ago(*since)),
                    child.workflow,
                    self.why_no_child(task)
                )),
                // These begin without waiting for anybody.
                StepKind::Wait(_) | StepKind::Sleep(_) | StepKind::Approval(_) | StepKind::Switch(_) => None,
            },
            StepState::Running(open) => Some(self.why_running(resident, step, open)),
            StepState::Waiting(waiting) => Some(self.why_outside(task, step, waiting)),
            StepState::FannedOut => {
                let fan = task.progress(step).fan.as_deref().cloned().unwrap_or_default();
                let limit = definition.for_each.as_ref().and_then(|for_each| for_each.max_parallel);
                let limit = limit.map(|limit| format!(", at most {limit} at once")).unwrap_or_default();
                plain(format!(
                    "fanned out: {} of {} items are over ({} succeeded, {} failed), {} are at work{limit}",
                    fan.over, fan.count, fan.succeeded, fan.failed, fan.working
                ))
            }
            StepState::FallingBack { to, failure } => {
                plain(format!("failed with `{}`: {}; step `{}` runs in its place", failure.code, failure.message, task.label(*to)))
            }
            StepState::Held { failure, since } => {
                let text = format!(
                    "failed for good with `{}`: {}; it waits {} for a person who says what follows",
                    failure.code,
                    failure.message,
                    short(self.ago(*since))
                );
                let hint = format!("`tasker step resolve {} {} retry` (or `skip`, `supply`, `fail`)", task.id, task.label(step));
                Some((text, Some(hint)))
            }
        };
        let (text, hint) = told?;
        let text = match definition.role {
            Role::Forward => text,
            Role::Compensation { of } => format!("undoes `{}`: {text}", task.label(of)),
            Role::Fallback { of } => format!("runs in the place of `{}`: {text}", task.label(of)),
            Role::OnFailure => format!("runs because the task failed: {text}"),
        };
        Some(Reason { step: Some(task.label(step).to_string()), text, hint })
    }

    fn why_waiting(&self, resident: &Resident, step: StepIndex, call: &Call) -> Told {
        let namespace = &resident.task.workflow.namespace;
        if let Some(told) = self.why_held_back(namespace, call).or_else(|| self.why_limited(resident, step, call)) {
            return told;
        }
        let offering: Vec<_> = self.registry.offering(namespace, &call.system, &call.capability).collect();
        let active = offering.iter().filter(|session| session.takes_work()).count();
        let what = format!("capability `{}` of system `{}`", call.capability, call.system);
        if let Some(told) = resident.lane(step).and_then(|lane| self.why_not_over_http(lane, call)) {
            return told;
        }
        if active == 0 {
            let draining = offering.len();
            let also = if draining > 0 { format!(" ({draining} are draining)") } else { String::new() };
            let missing = resident.lane(step).is_some_and(|lane| self.responders.is_missed(lane));
            let responders = if missing { ", and no plain responder answered" } else { "" };
            let hint =
                format!("start a worker of `{}` that offers `{}`; `tasker worker list` shows who is there", call.system, call.capability);
            return (format!("waits for {what}: 0 workers offer it{also}{responders}"), Some(hint));
        }
        if let Some(told) = self.why_not_routed(resident, step, call, &offering) {
            return told;
        }
        if let Some(told) = resident.lane(step).and_then(|lane| self.why_several_slots(lane, &what)) {
            return told;
        }
        let hint = "start more workers or give them more slots".to_owned();
        (format!("waits for a free slot: {active} workers offer {what}, all slots are taken"), Some(hint))
    }

    fn why_running(&self, resident: &Resident, step: StepIndex, open: &OpenAttempt) -> Told {
        let definition = resident.task.definition(step);
        let since = short(self.ago(open.started_at));
        let limit = open.deadline.map(|due| format!(", {} before its timeout", short(due.since(self.clock.now())))).unwrap_or_default();
        if let Target::Child(child) = open.target {
            return self.why_child(child, &since, &limit);
        }
        match (self.attempts.get(&open.token.0).map(|known| &known.carrier), definition.call()) {
            (Some(Carrier::Session(key, _)), _) => {
                let heard = self.registry.session(key).map(|session| self.uptime().saturating_sub(session.heard_at));
                let heard = heard
                    .map_or("has not been heard since the coordinator started".to_owned(), |ago| format!("was heard {} ago", short(ago)));
                let (session, system) = (&key.session, &key.system);
                (format!("attempt {} runs since {since} on worker {session} of `{system}`, which {heard}{limit}", open.attempt), None)
            }
            (Some(Carrier::Called), Some(call)) if self.http.is_called(&open.token.0) => {
                (format!("attempt {} was asked of `{}` over HTTP {since} ago{limit}", open.attempt, call.system), None)
            }
            (Some(Carrier::Accepted), Some(call)) => (
                format!("attempt {} was accepted by `{}`, which has not called back since {since}{limit}", open.attempt, call.system),
                None,
            ),
            (Some(Carrier::Called), Some(call)) => {
                (format!("attempt {} was asked of plain responders of `{}` {since} ago{limit}", open.attempt, call.system), None)
            }
            (Some(Carrier::Parked), Some(call)) => self.why_waiting(resident, step, call),
            (Some(Carrier::Called | Carrier::Accepted | Carrier::Parked) | None, _) => {
                (format!("attempt {} is open but nobody carries it: this is a fault, please report it", open.attempt), None)
            }
        }
    }

    /// What the child is at, in one line: the first of its own reasons.
    fn why_child(&self, child: TaskId, since: &str, limit: &str) -> Told {
        let own = self.residents.get(child).and_then(|known| {
            if known.task.status.is_terminal() {
                return Some(over(&known.task).text);
            }
            if let Some((text, _)) = self.why_whole(&known.task).into_iter().next() {
                return Some(text);
            }
            known.task.workflow.indexes().find_map(|step| {
                // A child of the child is only named, so that a tree of tasks is not walked for one line of its root.
                let text = match known.task.open_attempt(step).map(|open| &open.target) {
                    Some(Target::Child(grandchild)) => format!("runs as task {grandchild}"),
                    _ => self.why_step(known, step)?.text,
                };
                Some(format!("`{}` {text}", known.task.label(step)))
            })
        });
        let own = own.map(|own| format!("; {own}")).unwrap_or_default();
        (format!("runs since {since} as task {child}{limit}{own}"), Some(format!("`tasker debug why {child}` says more")))
    }

    fn why_outside(&self, task: &Task, step: StepIndex, waiting: &Waiting) -> Told {
        let since = short(self.ago(waiting.since));
        let left = waiting.until.map(|until| format!(", {} are left", short(until.since(self.clock.now())))).unwrap_or_default();
        match &waiting.wait {
            Wait::Signal { name } => {
                (format!("waits for the signal `{name}` since {since}{left}"), Some(format!("`tasker task signal {} {name}`", task.id)))
            }
            Wait::Event { name, key } => (
                format!("waits for the event `{name}` for `{key}` since {since}{left}"),
                Some(format!("`tasker event send {name} --key {key}`")),
            ),
            Wait::Sleep => {
                let until = waiting.until.map(|until| format!(", wakes in {}", short(until.since(self.clock.now())))).unwrap_or_default();
                (format!("sleeps since {since}{until}"), None)
            }
            Wait::Approval { title, assignees, .. } => {
                let who = if assignees.is_empty() { "anybody".to_owned() } else { assignees.join(", ") };
                let reminded = match waiting.reminded {
                    0 => String::new(),
                    times => format!(", reminded {times} times"),
                };
                let escalated = if waiting.escalated_at.is_some() { ", escalated" } else { "" };
                let text = format!("waits since {since} for a decision by {who}: {title}{reminded}{escalated}{left}");
                let hint = format!("`tasker approval decide {id} {step} approve` or `… reject`", id = task.id, step = task.label(step));
                (text, Some(hint))
            }
        }
    }
}

fn over(task: &Task) -> Reason {
    let (text, hint) = match (&task.failure, &task.cancel_reason) {
        (Some((step, failure)), _) => {
            let step = step.map(|step| format!("step `{}` ", task.label(step))).unwrap_or_default();
            let text = format!("the task failed: {step}{} ({})", failure.message, failure.code);
            (text, Some(format!("repair the cause, then `tasker task retry {}`", task.id)))
        }
        (None, Some(reason)) => (format!("the task was cancelled: {reason}"), None),
        (None, None) => ("the task succeeded".to_owned(), None),
    };
    Reason { step: None, text, hint }
}

fn why_pending(task: &Task, step: StepIndex) -> String {
    let definition = task.definition(step);
    let open: Vec<String> = definition
        .depends_on
        .iter()
        .filter(|dependency| !task.progress(**dependency).state.is_terminal())
        .map(|dependency| format!("`{}`", task.label(*dependency)))
        .collect();
    let names = open.join(", ");
    match definition.join {
        Join::All | Join::Done => format!("waits for {names}"),
        Join::Any => format!("waits until all are over: {names}"),
        Join::AtLeast { count, .. } => {
            let met = task.progress(step).met_dependencies;
            format!("waits until {count} have succeeded, {met} have: {names}")
        }
    }
}

fn why_parked(task: &Task) -> String {
    let max = task.workflow.max_parallel.unwrap_or(task.working);
    let at_work = task.indexes().filter(|step| task.definition(*step).is_work() && task.progress(*step).state.holds_place());
    let names: Vec<String> = at_work.take(NAMED_MAX).map(|step| format!("`{}`", task.label(step))).collect();
    let more = (task.working as usize).saturating_sub(names.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("waits for a place: {} of `max_parallel` {max} are at work: {}{more}", task.working, names.join(", "))
}

/// A length of time, for people.
pub(super) fn short(duration: Duration) -> String {
    match duration.as_millis() {
        millis if millis < 1_000 => format!("{millis} ms"),
        millis if millis < 120_000 => format!("{:.1} s", duration.as_secs_f64()),
        millis if millis < 2 * 3_600_000 => format!("{} min", duration.as_secs() / 60),
        millis if millis < 2 * 86_400_000 => format!("{} h", duration.as_secs() / 3_600),
        _ => format!("{} days", duration.as_secs() / 86_400),
    }
}
