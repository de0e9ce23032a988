//! Fan-out: one step, an attempt of its own for each item of a list.

use super::{Turn, begin::unfit, scope::TaskScope};
use crate::event::Event;
use crate::failure::{Failure, FailureKind, code};
use crate::ids::StepIndex;
use crate::payload::Payload;
use crate::task::{StepState, Task};
use crate::workflow::{ForEach, Role, Stop};
use serde_json::{Value, json};

impl Turn<'_> {
    /// Starts on a list.
    pub(super) fn fan_out(&mut self, step: StepIndex, for_each: &ForEach) {
        let items = match for_each.items.evaluate(&TaskScope::of(self.task, step)) {
            Ok(Value::Array(items)) => items,
            Ok(other) => {
                let message = format!("`{}` gives {}, not a list", for_each.items.source(), kind(&other));
                return self.give_up(step, Failure::new(FailureKind::Contract, code::items_invalid(), message));
            }
            Err(missing) => return self.give_up(step, unfit("for_each.items", &missing.to_string())),
        };
        let size = for_each.batch_size.unwrap_or(1).max(1) as usize;
        let count = items.len().div_ceil(size);
        if count > ForEach::ITEMS_MAX {
            let message = format!("there are {count} items; at most {} are worked on", ForEach::ITEMS_MAX);
            return self.give_up(step, Failure::new(FailureKind::Contract, code::items_invalid(), message));
        }
        let items: Vec<Payload> = match for_each.batch_size {
            None => items.iter().map(Payload::of).collect(),
            Some(_) => items.chunks(size).map(|batch| Payload::of(&Value::Array(batch.to_vec()))).collect(),
        };
        // An expression can make much out of little; what is recorded is at most one payload.
        let bytes: usize = items.iter().map(|item| item.bytes().len() + 1).sum();
        if bytes > Payload::BYTES_MAX {
            let message = format!("the items are {bytes} bytes together; at most {} are kept", Payload::BYTES_MAX);
            return self.give_up(step, Failure::new(FailureKind::Contract, code::items_too_large(), message));
        }
        self.emit(Event::StepFannedOut { step, items });
        self.start_items(step);
        // Nothing to do is done at once.
        self.item_over(step);
    }

    /// Starts as many further items as the limits allow. Says whether something changed.
    pub(super) fn start_items(&mut self, step: StepIndex) -> bool {
        let workflow = self.task.workflow.clone();
        let definition = workflow.step(step);
        let Some(for_each) = &definition.for_each else { return false };
        let mut changed = false;
        while let Some(item) = next_item(self.task, step, for_each, definition.role) {
            self.ready(item);
            changed = true;
        }
        changed
    }

    /// An item is over: the step may be, too, or the next item starts.
    pub(super) fn item_over(&mut self, step: StepIndex) {
        let workflow = self.task.workflow.clone();
        let definition = workflow.step(step);
        let (Some(for_each), Some(fan)) = (&definition.for_each, self.task.progress(step).fan.as_deref().cloned()) else { return };
        if !matches!(self.task.progress(step).state, StepState::FannedOut) {
            return;
        }
        if self.task.ending.is_some() && definition.role == Role::Forward {
            // What was awaited for its compensation is over when nothing of it is open any more.
            if fan.working == 0 {
                self.emit(Event::StepCancelled { step });
            }
            return;
        }
        let all = fan.over == fan.count;
        match for_each.stop {
            Stop::OnFailure if fan.failed > 0 => self.fail_fan(step, 1),
            Stop::Failures(most) if fan.failed >= most => self.fail_fan(step, most),
            Stop::Successes(enough) if fan.succeeded >= enough => self.collect(step),
            Stop::Successes(enough) if all => {
                let message = format!("{} of {} items succeeded; {enough} were asked for", fan.succeeded, fan.count);
                self.give_up(
                    step,
                    Failure::new(FailureKind::Permanent, code::items_failed(), message).with_details(details(self.task, step)),
                );
            }
            Stop::OnFailure | Stop::Never | Stop::Failures(_) if all => self.collect(step),
            Stop::OnFailure | Stop::Never | Stop::Failures(_) | Stop::Successes(_) => {
                self.start_items(step);
            }
        }
    }

    fn collect(&mut self, step: StepIndex) {
        self.withdraw_items(step, "enough items succeeded");
        let bytes = self.task.collected_bytes(step);
        if bytes > Payload::BYTES_MAX {
            let message = format!("the results of the items are {bytes} bytes together; at most {} are kept", Payload::BYTES_MAX);
            return self.give_up(step, Failure::new(FailureKind::Contract, code::items_too_large(), message));
        }
        self.emit(Event::StepCollected { step });
        self.over(step);
    }

    /// Too many items failed. With one failure the step fails as the item did, so that `on_error` can tell why.
    fn fail_fan(&mut self, step: StepIndex, most: u32) {
        self.withdraw_items(step, "another item failed");
        let first = failed_items(self.task, step).next();
        let failure = match first {
            Some((number, failure)) if most == 1 => {
                let mut same = failure.clone();
                same.message = crate::failure::cut(format!("item {number}: {}", failure.message));
                same
            }
            _ => {
                let message = format!("{most} items failed, which is where the step stops");
                Failure::new(FailureKind::Permanent, code::items_failed(), message).with_details(details(self.task, step))
            }
        };
        self.give_up(step, failure);
    }

    /// Takes back what is open of a step's items. Items that were never started stay as they are: their step is over.
    pub(super) fn withdraw_items(&mut self, step: StepIndex, reason: &str) {
        let Some(fan) = self.task.progress(step).fan.as_deref().cloned() else { return };
        for item in fan.indexes().take(fan.next as usize) {
            if !self.task.progress(item).state.is_terminal() {
                self.withdraw(item, reason);
                self.emit(Event::StepCancelled { step: item });
            }
        }
    }
}

/// The item that may start now; none if there is none, or no place for it.
fn next_item(task: &Task, step: StepIndex, for_each: &ForEach, role: Role) -> Option<StepIndex> {
    let StepState::FannedOut = task.progress(step).state else { return None };
    let fan = task.progress(step).fan.as_deref()?;
    let room = for_each.max_parallel.is_none_or(|most| fan.working < most);
    let place = role != Role::Forward || task.has_place();
    if !room || !place {
        return None;
    }
    // Items that are over are passed only where a fan-out is worked on again.
    let rest = (fan.next..fan.count).map(|number| StepIndex(fan.first + number));
    rest.into_iter().find(|item| !task.progress(*item).state.is_terminal())
}

/// The most failed items that a failure's details name.
const NAMED_MAX: usize = 20;

fn failed_items(task: &Task, step: StepIndex) -> impl Iterator<Item = (u32, &Failure)> {
    let items = task.progress(step).fan.as_deref().into_iter().flat_map(|fan| fan.indexes().enumerate());
    items.filter_map(|(number, item)| match &task.progress(item).state {
        StepState::Failed { failure, .. } => Some((number as u32, failure)),
        _ => None,
    })
}

fn details(task: &Task, step: StepIndex) -> Payload {
    let named: Vec<Value> = failed_items(task, step)
        .take(NAMED_MAX)
        .map(|(number, failure)| json!({ "item": number, "code": failure.code, "message": failure.message }))
        .collect();
    Payload::of(&json!({ "failed": named }))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
