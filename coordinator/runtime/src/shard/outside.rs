//! Signals and events come in. A signal is the task's own affair; an event goes to every step that waits for its name and key, and is kept,
//! for a while, if none does.

use super::Shard;
use super::waits::EventKey;
use crate::command::KeyedEvent;
use crate::operations::{EventError, EventTaken, SignalError, Signalled, Unavailable};
use crate::port::store::{KeptEvent, KeyUse};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;
use tasker_engine::contract::Violation;
use tasker_engine::decide::Decision;
use tasker_engine::decide::signal::{self, Refusal};
use tasker_engine::event::Event;
use tasker_engine::{Digest, Namespace, Payload, ShardId, StepIndex, TaskId};
use tasker_manifest::nearest_name;

/// How long the id of an event is remembered.
const EVENT_IDS_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// Events that nobody waited for when they came.
#[derive(Default)]
pub(super) struct Kept {
    by_key: HashMap<EventKey, VecDeque<KeptEvent>>,
    /// By number, and so in the order in which they came.
    order: BTreeMap<i64, EventKey>,
    /// How many events, and how many bytes, of each namespace.
    kept: BTreeMap<Namespace, (usize, usize)>,
    last: i64,
}

impl Kept {
    /// How many are kept of all namespaces.
    pub fn len(&self) -> usize {
        self.kept.values().map(|(events, _)| events).sum()
    }

    fn of(&self, namespace: &Namespace) -> (usize, usize) {
        self.kept.get(namespace).copied().unwrap_or_default()
    }

    /// Keeps an event; one that was read from the store has its number already.
    pub fn put(&mut self, event: KeptEvent) {
        let key = EventKey { namespace: event.namespace.clone(), name: event.name.clone(), key: event.key.clone() };
        let (events, bytes) = self.kept.entry(event.namespace.clone()).or_default();
        *events += 1;
        *bytes += event.payload.bytes().len();
        self.last = self.last.max(event.number);
        self.order.insert(event.number, key.clone());
        self.by_key.entry(key).or_default().push_back(event);
    }

    /// The number of the next event; no two shards give the same one.
    fn next(&self, shard: ShardId) -> i64 {
        let count = i64::from(ShardId::COUNT_MAX);
        (self.last.div_euclid(count) + 1) * count + i64::from(shard.0)
    }

    fn oldest(&self, key: &EventKey, place: usize) -> Option<&KeptEvent> {
        self.by_key.get(key)?.get(place)
    }

    fn take(&mut self, key: &EventKey, number: i64) {
        self.order.remove(&number);
        let Some(events) = self.by_key.get_mut(key) else { return };
        let Some(place) = events.iter().position(|event| event.number == number) else { return };
        let taken = events.remove(place);
        if events.is_empty() {
            self.by_key.remove(key);
        }
        if let (Some(taken), Some((events, bytes))) = (taken, self.kept.get_mut(&key.namespace)) {
            *events = events.saturating_sub(1);
            *bytes = bytes.saturating_sub(taken.payload.bytes().len());
            if *events == 0 {
                self.kept.remove(&key.namespace);
            }
        }
    }

    fn find(&self, key: &EventKey, number: i64) -> Option<&KeptEvent> {
        self.by_key.get(key)?.iter().find(|event| event.number == number)
    }
}

impl Shard {
    pub(super) fn signal(
        &mut self,
        namespace: &Namespace,
        id: TaskId,
        name: &str,
        payload: &Payload,
        signal: Option<&str>,
    ) -> Result<Signalled, SignalError> {
        let resident = self.residents.get_mut(id).filter(|known| known.task.submission.namespace == *namespace);
        let Some(resident) = resident else { return Err(SignalError::UnknownTask(id)) };
        let decision = signal::receive(&mut resident.task, name, payload, signal, self.clock.now()).map_err(|refusal| match refusal {
            Refusal::NotRunning(status) => SignalError::NotRunning(status),
            Refusal::UnknownSignal { name, known } => {
                let similar = nearest_name(&name, known.iter().map(String::as_str)).map(str::to_owned);
                SignalError::UnknownSignal { name, known, similar }
            }
            Refusal::PayloadViolated { step, violations } => SignalError::PayloadViolated { step, violations },
            Refusal::TooMany => SignalError::TooMany,
        })?;
        let taken = satisfied(&decision);
        let signalled = Signalled { taken_by: taken.map(|step| resident.task.label(step)), repeated: decision.entry.is_none() };
        self.record(id, decision, None);
        Ok(signalled)
    }

    pub(super) fn send_event(
        &mut self,
        namespace: Namespace,
        name: String,
        key: String,
        payload: Payload,
        identified: Option<KeyedEvent>,
    ) -> Result<EventTaken, EventError> {
        let now = self.clock.now();
        if let Some(identified) = &identified {
            if self.is_stale_look_up(identified.looked_up_at) {
                return Err(Unavailable::Busy { retry_after: Duration::from_secs(1) }.into());
            }
            if self.keys.get(&namespace, &identified.key).is_some_and(|used| !used.is_over(now)) {
                return Ok(EventTaken::repeated());
            }
        }
        let key = EventKey { namespace, name, key };
        let taken = self.give_event(&key, &payload)?;
        let id = identified.as_ref().map(|identified| identified.id.clone());
        if taken.tasks.is_empty() {
            self.keep_event(&key, payload, id)?;
        }
        if let Some(identified) = identified {
            let nobody = TaskId::first_at(tasker_engine::Timestamp::from_millis(0));
            let used = KeyUse {
                namespace: key.namespace,
                fingerprint: Digest::of(identified.key.as_bytes()),
                key: identified.key,
                task: taken.tasks.first().copied().unwrap_or(nobody),
                used_at: now,
                valid_until: Some(now.after(EVENT_IDS_FOR)),
            };
            self.remember_key(used);
        }
        Ok(taken)
    }

    /// Gives an event to everybody who waits for it.
    fn give_event(&mut self, key: &EventKey, payload: &Payload) -> Result<EventTaken, EventError> {
        let mut taken = EventTaken { tasks: Vec::new(), refused: 0, kept: false, repeated: false };
        let mut first_refusal = None;
        for (task, step) in self.waits.listeners(key) {
            match self.event_arrived(task, step, key, payload) {
                Arrived::Taken => taken.tasks.push(task),
                Arrived::Refused(label, violations) => {
                    taken.refused += 1;
                    first_refusal.get_or_insert(EventError::PayloadViolated { task, step: label, violations });
                }
                Arrived::NotAwaited => {}
            }
        }
        match first_refusal {
            Some(refusal) if taken.tasks.is_empty() => Err(refusal),
            _ => Ok(EventTaken { kept: taken.tasks.is_empty(), ..taken }),
        }
    }

    fn event_arrived(&mut self, task: TaskId, step: StepIndex, key: &EventKey, payload: &Payload) -> Arrived {
        let Some(resident) = self.residents.get_mut(task) else { return Arrived::NotAwaited };
        match signal::event_arrived(&mut resident.task, step, &key.name, &key.key, payload, self.clock.now()) {
            Ok(decision) if decision.entry.is_none() => Arrived::NotAwaited,
            Ok(decision) => {
                self.record(task, decision, None);
                Arrived::Taken
            }
            Err(Refusal::PayloadViolated { step, violations }) => Arrived::Refused(step, violations),
            Err(Refusal::NotRunning(_) | Refusal::UnknownSignal { .. } | Refusal::TooMany) => Arrived::NotAwaited,
        }
    }

    fn keep_event(&mut self, key: &EventKey, payload: Payload, id: Option<String>) -> Result<(), EventError> {
        let (kept, bytes) = self.kept.of(&key.namespace);
        if kept >= KeptEvent::PER_NAMESPACE_MAX || bytes + payload.bytes().len() > KeptEvent::BYTES_PER_NAMESPACE_MAX {
            return Err(EventError::TooMany { namespace: key.namespace.clone(), kept, bytes });
        }
        let event = KeptEvent {
            number: self.kept.next(self.settings.shard),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            key: key.key.clone(),
            payload,
            id,
            arrived_at: self.clock.now(),
        };
        self.kept.put(event.clone());
        self.group.batch.events_kept.push(event);
        Ok(())
    }

    /// A step waits for an event: the oldest one that is kept for it and fits ends the wait at once.
    pub(super) fn listen(&mut self, task: TaskId, step: StepIndex, name: String, key: String) {
        let Some(resident) = self.residents.get(task) else { return };
        let key = EventKey { namespace: resident.task.workflow.namespace.clone(), name, key };
        self.waits.listen(&key, task, step);
        let mut place = 0;
        while let Some(event) = self.kept.oldest(&key, place) {
            let (number, payload) = (event.number, event.payload.clone());
            match self.event_arrived(task, step, &key, &payload) {
                Arrived::Taken => {
                    self.kept.take(&key, number);
                    self.group.batch.events_gone.push(number);
                    return;
                }
                Arrived::NotAwaited => return,
                Arrived::Refused(step, _) => {
                    tracing::warn!(%task, step, event = key.name, "an event that was kept does not fit the step that waits for it");
                    place += 1;
                }
            }
        }
    }

    /// Lets go of events that were kept for as long as they are kept.
    pub(super) fn forget_events(&mut self) {
        let now = self.clock.now();
        while let Some((number, key)) = self.kept.order.first_key_value() {
            let (number, key) = (*number, key.clone());
            if self.kept.find(&key, number).is_some_and(|event| now.since(event.arrived_at) < KeptEvent::KEPT_FOR) {
                break;
            }
            tracing::warn!(namespace = %key.namespace, event = key.name, "an event that nobody waited for is kept no longer");
            self.kept.take(&key, number);
            self.group.batch.events_gone.push(number);
        }
    }
}

/// What became of an event at one step.
enum Arrived {
    Taken,
    /// By a step of this label.
    Refused(String, Vec<Violation>),
    NotAwaited,
}

/// The step whose wait a decision ended.
fn satisfied(decision: &Decision) -> Option<StepIndex> {
    decision.entry.iter().flat_map(|entry| &entry.events).find_map(|event| match event {
        Event::WaitSatisfied { step, .. } => Some(*step),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tasker_engine::Timestamp;

    fn event(number: i64, key: &str, payload: &str) -> KeptEvent {
        KeptEvent {
            number,
            namespace: Namespace::new("default").expect("valid"),
            name: "paid".to_owned(),
            key: key.to_owned(),
            payload: Payload::trusted(payload.to_owned().into()),
            id: None,
            arrived_at: Timestamp::from_millis(number),
        }
    }

    fn key(key: &str) -> EventKey {
        EventKey { namespace: Namespace::new("default").expect("valid"), name: "paid".to_owned(), key: key.to_owned() }
    }

    #[test]
    fn kept_events_are_taken_in_the_order_in_which_they_came() {
        let mut kept = Kept::default();
        for (number, name) in [(1, "a"), (2, "b"), (3, "a")] {
            kept.put(event(number, name, "12345"));
        }
        assert_eq!(kept.oldest(&key("a"), 0).map(|event| event.number), Some(1));
        kept.take(&key("a"), 1);
        assert_eq!(kept.oldest(&key("a"), 0).map(|event| event.number), Some(3));
        assert!(kept.oldest(&key("c"), 0).is_none());
    }

    #[test]
    fn what_is_kept_is_counted_in_events_and_bytes_until_it_is_taken() {
        let mut kept = Kept::default();
        kept.put(event(1, "a", "12345"));
        kept.put(event(2, "b", "123"));
        let namespace = Namespace::new("default").expect("valid");
        assert_eq!((kept.len(), kept.of(&namespace)), (2, (2, 8)));
        kept.take(&key("a"), 1);
        kept.take(&key("a"), 1);
        assert_eq!(kept.of(&namespace), (1, 3), "taken twice counts once");
        kept.take(&key("b"), 2);
        assert_eq!(kept.len(), 0);
        assert!(kept.order.is_empty() && kept.by_key.is_empty() && kept.kept.is_empty(), "nothing is left of what was taken");
        assert_eq!(kept.last, 2, "a number is not given again");
    }
}
