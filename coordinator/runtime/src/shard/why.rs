//! Why a task is not moving: one sentence per step that is not over, and what to do about it.

use super::Shard;
use super::attempts::Carrier;
use super::resident::Resident;
use crate::operations::{Reason, now};
use std::time::Duration;
use tasker_engine::StepIndex;
use tasker_engine::task::{OpenAttempt, StepState};
use tasker_registry::message::SessionState;

impl Shard {
    pub(super) fn why(&self, resident: &Resident) -> Vec<Reason> {
        let task = &resident.task;
        if task.status.is_terminal() {
            return vec![self.over(resident)];
        }
        task.workflow.indexes().filter_map(|step| self.why_step(resident, step)).collect()
    }

    fn over(&self, resident: &Resident) -> Reason {
        let task = &resident.task;
        let (text, hint) = match (&task.failure, &task.cancel_reason) {
            (Some((step, failure)), _) => {
                let step = step.map(|step| format!("step `{}` ", task.workflow.step(step).name)).unwrap_or_default();
                let text = format!("the task failed: {step}{} ({})", failure.message, failure.code);
                (text, Some(format!("repair the cause, then `tasker task retry {}`", task.id)))
            }
            (None, Some(reason)) => (format!("the task was cancelled: {reason}"), None),
            (None, None) => ("the task succeeded".to_owned(), None),
        };
        Reason { step: None, text, hint }
    }

    fn why_step(&self, resident: &Resident, step: StepIndex) -> Option<Reason> {
        let task = &resident.task;
        let definition = task.workflow.step(step);
        let reason = |text: String, hint: Option<String>| Some(Reason { step: Some(definition.name.to_string()), text, hint });
        match &task.progress(step).state {
            StepState::Succeeded { .. } | StepState::Failed { .. } | StepState::Cancelled { .. } => None,
            StepState::Pending => {
                let open = definition.depends_on.iter().filter(|dependency| task.step_result(**dependency).is_none());
                let names: Vec<String> = open.map(|dependency| format!("`{}`", task.workflow.step(*dependency).name)).collect();
                reason(format!("waits for {}", names.join(", ")), None)
            }
            StepState::BackingOff { until } => {
                let last = task.progress(step).closed.last().and_then(|closed| closed.failure.as_ref());
                let cause = last.map(|failure| format!(" after `{}`: {}", failure.code, failure.message)).unwrap_or_default();
                let attempt = task.next_attempt(step);
                reason(
                    format!("attempt {attempt} of {} starts in {}{cause}", definition.retry.attempts_max, short(until.since(now()))),
                    None,
                )
            }
            StepState::Ready { since } => {
                let lane = resident.lanes[step.at()];
                let (text, hint) = self.why_waiting(resident, step);
                let ahead = self.scheduler.position(lane, task.id, step).unwrap_or(0);
                reason(format!("{text}; {ahead} steps are ahead, it has waited {}", short(self.ago(*since))), hint)
            }
            StepState::Running(open) => {
                let (text, hint) = self.why_running(resident, step, open);
                reason(text, hint)
            }
        }
    }

    fn why_waiting(&self, resident: &Resident, step: StepIndex) -> (String, Option<String>) {
        let workflow = &resident.task.workflow;
        let definition = workflow.step(step);
        let offering: Vec<_> = self.registry.offering(&workflow.namespace, &definition.system, &definition.capability).collect();
        let active = offering.iter().filter(|session| session.state == SessionState::Active).count();
        let what = format!("capability `{}` of system `{}`", definition.capability, definition.system);
        if active == 0 {
            let draining = offering.len();
            let also = if draining > 0 { format!(" ({draining} are draining)") } else { String::new() };
            let responders =
                if self.responders.missing_since(resident.lanes[step.at()]) { ", and no plain responder answered" } else { "" };
            let hint = format!(
                "start a worker of `{}` that offers `{}`; `tasker worker list` shows who is there",
                definition.system, definition.capability
            );
            return (format!("waits for {what}: 0 workers offer it{also}{responders}"), Some(hint));
        }
        let hint = "start more workers or give them more slots".to_owned();
        (format!("waits for a free slot: {active} workers offer {what}, all slots are taken"), Some(hint))
    }

    fn why_running(&self, resident: &Resident, step: StepIndex, open: &OpenAttempt) -> (String, Option<String>) {
        let definition = resident.task.workflow.step(step);
        let since = short(self.ago(open.started_at));
        let limit = open.deadline.map(|due| format!(", {} before its timeout", short(due.since(now())))).unwrap_or_default();
        match self.attempts.get(&open.token.0).map(|known| &known.carrier) {
            Some(Carrier::Session(key, _)) => {
                let heard = self.registry.session(key).map(|session| self.uptime().saturating_sub(session.heard_at));
                let heard = heard
                    .map_or("has not been heard since the coordinator started".to_owned(), |ago| format!("was heard {} ago", short(ago)));
                (
                    format!(
                        "attempt {} runs since {since} on worker {} of `{}`, which {heard}{limit}",
                        open.attempt, key.session, key.system
                    ),
                    None,
                )
            }
            Some(Carrier::Called) => {
                (format!("attempt {} was asked of plain responders of `{}` {since} ago{limit}", open.attempt, definition.system), None)
            }
            Some(Carrier::Parked) => {
                let (text, hint) = self.why_waiting(resident, step);
                (text, hint)
            }
            None => (format!("attempt {} is open but nobody carries it: this is a fault, please report it", open.attempt), None),
        }
    }
}

fn short(duration: Duration) -> String {
    match duration.as_millis() {
        millis if millis < 1_000 => format!("{millis} ms"),
        millis if millis < 120_000 => format!("{:.1} s", duration.as_secs_f64()),
        _ => format!("{} min", duration.as_secs() / 60),
    }
}
