//! Dead letters: tasks that failed for good, until somebody requeues or discards them.
//!
//! The loop is the only one who opens and settles letters, so it knows which are open: their tasks and codes, nothing else. A letter is
//! opened in the commit that fails its task and settled in the commit that accepts the task's successor, so that no crash leaves one without
//! the other, and nobody settles one twice.
//!
//! An attached child is no letter: its parent decides what its failure means, and if nothing takes it up, the parent is the letter. Nor is a
//! cancelled task, because somebody wanted that end.

use super::Shard;
use crate::operations::LetterError;
use crate::port::store::{DeadLetter, LetterState, OpenLetter, Settlement};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use tasker_engine::{Namespace, Task, TaskId, TaskStatus, Timestamp};
use tasker_telemetry::metric::OTHER;

/// How often letters that were settled long ago are looked for.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// Codes that figures name, the most frequent ones; the letters of all others are counted together.
const CODES_IN_FIGURES: usize = 50;

/// The letters that are open.
#[derive(Default)]
pub(super) struct Letters {
    /// By task: the place of its kind.
    open: HashMap<TaskId, usize>,
    /// Namespaces and codes with how many letters of them are open. As many as the contracts of workers declare, and never removed.
    kinds: Vec<(Kind, u64)>,
    places: HashMap<Kind, usize>,
    of_namespace: HashMap<Namespace, usize>,
    forgotten_at: Duration,
    /// Whether it was said that a namespace has as many as it may.
    complained: bool,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Kind {
    namespace: Namespace,
    code: String,
}

impl Letters {
    /// A letter that was open when the coordinator stopped.
    pub fn restore(&mut self, letter: OpenLetter) {
        self.open(letter.task, letter.namespace, letter.code);
    }

    fn open(&mut self, task: TaskId, namespace: Namespace, code: String) {
        let kind = Kind { namespace, code };
        let place = match self.places.get(&kind) {
            Some(place) => *place,
            None => {
                self.kinds.push((kind.clone(), 0));
                self.places.insert(kind.clone(), self.kinds.len() - 1);
                self.kinds.len() - 1
            }
        };
        if self.open.insert(task, place).is_none() {
            self.kinds[place].1 += 1;
            *self.of_namespace.entry(kind.namespace).or_default() += 1;
        }
    }

    /// Whether a namespace's letter is open.
    fn is_open(&self, namespace: &Namespace, task: TaskId) -> bool {
        self.open.get(&task).is_some_and(|place| self.kinds[*place].0.namespace == *namespace)
    }

    fn close(&mut self, task: TaskId) {
        let Some(place) = self.open.remove(&task) else { return };
        let (kind, count) = &mut self.kinds[place];
        *count -= 1;
        if let Some(count) = self.of_namespace.get_mut(&kind.namespace) {
            *count -= 1;
        }
    }

    fn is_full(&self, namespace: &Namespace) -> bool {
        self.of_namespace.get(namespace).is_some_and(|count| *count >= DeadLetter::OPEN_MAX)
    }

    /// How many are open, by code, over all namespaces.
    pub fn figures(&self) -> BTreeMap<String, u64> {
        let mut all: BTreeMap<&str, u64> = BTreeMap::new();
        for (kind, count) in &self.kinds {
            *all.entry(&kind.code).or_default() += count;
        }
        let mut all: Vec<(&str, u64)> = all.into_iter().collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let others: u64 = all.iter().skip(CODES_IN_FIGURES).map(|(_, count)| count).sum();
        let named = all.into_iter().take(CODES_IN_FIGURES).map(|(code, count)| (code.to_owned(), count));
        named.chain((others > 0).then(|| (OTHER.to_owned(), others))).collect()
    }
}

impl Shard {
    /// A task is over: if it failed for good, a letter says so from this commit on.
    pub(super) fn open_letter(&mut self, id: TaskId) {
        let Some(resident) = self.residents.get(id) else { return };
        let Some(letter) = letter_of(&resident.task) else { return };
        if self.letters.is_full(&letter.namespace) {
            let missed = self.group.batch.letters.missed.entry(letter.namespace.clone()).or_insert((0, letter.failed_at));
            *missed = (missed.0 + 1, letter.failed_at);
            if !std::mem::replace(&mut self.letters.complained, true) {
                let (namespace, most) = (&letter.namespace, DeadLetter::OPEN_MAX);
                tracing::warn!(%namespace, most, "as many dead letters are open as may be; failures from now on are counted, not kept");
            }
            return;
        }
        self.letters.open(id, letter.namespace.clone(), letter.code.clone());
        self.group.batch.letters.opened.push(letter);
    }

    /// Tries a dead letter again: a new task that names the failed one as its origin and keeps its good results (P9).
    pub(super) fn requeue_letter(&mut self, namespace: &Namespace, id: TaskId, by: &str, reason: &str) -> Result<LetterState, LetterError> {
        if !self.letters.is_open(namespace, id) {
            return Err(LetterError::NotOpen(id));
        }
        let submitted = self.try_again(namespace, id)?;
        let settled = self.settled(Some(by), Some(reason));
        Ok(self.settle_letter(id, LetterState::Requeued { to: submitted.task, settled }))
    }

    /// Nothing follows on a dead letter; its task stays as it is.
    pub(super) fn discard_letter(&mut self, namespace: &Namespace, id: TaskId, by: &str, reason: &str) -> Result<LetterState, LetterError> {
        if !self.letters.is_open(namespace, id) {
            return Err(LetterError::NotOpen(id));
        }
        let settled = self.settled(Some(by), Some(reason));
        Ok(self.settle_letter(id, LetterState::Discarded { settled }))
    }

    /// A failed task was retried by itself: whoever did so has seen to its letter, if it has one.
    pub(super) fn letter_retried(&mut self, id: TaskId, to: TaskId) {
        if self.letters.open.contains_key(&id) {
            let settled = self.settled(None, None);
            self.settle_letter(id, LetterState::Requeued { to, settled });
        }
    }

    fn settled(&self, by: Option<&str>, reason: Option<&str>) -> Settlement {
        Settlement { at: self.clock.now(), by: by.map(str::to_owned), reason: reason.map(str::to_owned) }
    }

    fn settle_letter(&mut self, id: TaskId, state: LetterState) -> LetterState {
        self.letters.close(id);
        self.group.batch.letters.settled.push((id, state.clone()));
        state
    }

    /// Forgets letters that were settled long ago, a bounded number at a time.
    pub(super) fn forget_letters(&mut self) {
        let uptime = self.uptime();
        if uptime.saturating_sub(self.letters.forgotten_at) > FORGET_EVERY {
            self.letters.forgotten_at = uptime;
            let kept = i64::try_from(DeadLetter::SETTLED_KEPT_FOR.as_millis()).unwrap_or(i64::MAX);
            self.group.batch.letters.forget_before = Some(Timestamp::from_millis(self.clock.now().as_millis().saturating_sub(kept)));
        }
    }
}

/// What a task's letter says; none if it gets none.
fn letter_of(task: &Task) -> Option<DeadLetter> {
    if task.status != TaskStatus::Failed || task.submission.parent.is_some_and(|parent| !parent.detached) {
        return None;
    }
    let (step, failure) = task.failure.as_ref()?;
    let definition = step.map(|step| task.definition(step));
    Some(DeadLetter {
        task: task.id,
        namespace: task.submission.namespace.clone(),
        workflow: task.workflow.name.clone(),
        version: task.workflow.version.clone(),
        code: failure.code.to_string(),
        message: cut(&failure.message),
        step: definition.map(|step| step.name.clone()),
        system: definition.and_then(|step| step.system().cloned()),
        capability: definition.and_then(|step| step.capability().cloned()),
        failed_at: task.finished_at.unwrap_or(task.accepted_at),
        state: LetterState::Open,
    })
}

/// The beginning of a message, cut on a character boundary.
fn cut(message: &str) -> String {
    message[..message.floor_char_boundary(DeadLetter::MESSAGE_BYTES_MAX)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: i64) -> TaskId {
        TaskId::from_number(number).expect("not negative")
    }

    fn shop() -> Namespace {
        Namespace::new("shop").expect("valid")
    }

    #[test]
    fn a_letter_that_is_opened_or_closed_twice_counts_once() {
        let mut letters = Letters::default();
        for _ in 0..2 {
            letters.open(id(1), shop(), "card_declined".into());
        }
        letters.open(id(2), shop(), "card_declined".into());
        letters.open(id(3), Namespace::new("other").expect("valid"), "worker.lost".into());
        assert_eq!(letters.figures(), BTreeMap::from([("card_declined".to_owned(), 2), ("worker.lost".to_owned(), 1)]));
        assert!(letters.is_open(&shop(), id(1)) && !letters.is_open(&shop(), id(3)), "a tenant's letters are its own");
        for _ in 0..2 {
            letters.close(id(1));
        }
        assert_eq!(letters.figures()["card_declined"], 1);
        assert_eq!(letters.of_namespace[&shop()], 1);
    }

    #[test]
    fn figures_name_only_the_most_frequent_codes() {
        let mut letters = Letters::default();
        for number in 0..200 {
            letters.open(id(number), shop(), format!("code_{}", number % 100));
            letters.open(id(1_000 + number), shop(), "frequent".into());
        }
        let figures = letters.figures();
        assert_eq!(figures.len(), CODES_IN_FIGURES + 1);
        assert_eq!(figures["frequent"], 200);
        assert_eq!(figures.values().sum::<u64>(), 400);
        assert_eq!(figures[OTHER], 2 * (101 - CODES_IN_FIGURES as u64));
    }

    #[test]
    fn a_message_is_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        let cut = cut(&"é".repeat(400));
        assert_eq!(cut.len(), DeadLetter::MESSAGE_BYTES_MAX);
        let odd = super::cut(&format!("x{}", "é".repeat(400)));
        assert_eq!(odd.len(), DeadLetter::MESSAGE_BYTES_MAX - 1);
    }
}
