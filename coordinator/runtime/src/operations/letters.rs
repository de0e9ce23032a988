//! Dead letters: what failed for good, and what people do about it.
//!
//! A bulk request is carried out here, outside the loop: each letter becomes one command of its own, a few at a time and no faster than is
//! asked for, so that a hundred thousand letters hold up nothing. What has been done when the caller goes away has been done; whoever asks
//! again goes on with what is left.

use super::outside::within;
use super::{ChangeError, Operations, PAGE_MAX, PERSON_BYTES_MAX, Unavailable, unreadable};
use crate::command::Command;
use crate::port::store::{DeadLetter, LetterFilter, LetterGroups, LetterPlace, LetterSearch, LetterState, LetterWord, MissedLetters};
use futures::{StreamExt, stream};
use std::time::Duration;
use tasker_engine::{Namespace, TaskId, Timestamp};

/// The most letters that one request settles.
pub const LETTERS_PER_REQUEST_MAX: usize = 1_000;
/// The highest rate that may be asked for; above it the loop's own pace is slower.
pub const LETTERS_PER_SECOND_MAX: u32 = 10_000;
/// How long one request may take by its own rate: an answer must come before the caller gives up.
pub const LETTERS_REQUEST_TIME_MAX: Duration = Duration::from_secs(20);
/// The longest reason, in bytes: a sentence or two.
pub const REASON_BYTES_MAX: usize = 1_024;
/// Letters of one request that are on their way through the loop at once: each may have to be read from the store.
const SETTLED_AT_ONCE: usize = 16;
/// Bulk requests that are carried out at once; further ones are told to come back.
pub(super) const BULK_REQUESTS_MAX: usize = 4;
/// Letters shown in a preview.
const SAMPLE: usize = 10;

/// Which dead letters to list.
#[derive(Debug, Clone)]
pub struct ListLetters {
    /// Which.
    pub filter: LetterFilter,
    /// Where the page before ended.
    pub after: Option<LetterPlace>,
    /// How many, 1 to [`PAGE_MAX`].
    pub limit: usize,
}

/// A page of dead letters, those that failed last first. Always fresh.
#[derive(Debug, Clone)]
pub struct LetterPage {
    /// Those on this page.
    pub letters: Vec<DeadLetter>,
    /// Where the next page starts; none if this was the last.
    pub next: Option<LetterPlace>,
    /// Failures that got no letter, because the namespace had as many open as it may.
    pub missed: Option<MissedLetters>,
}

/// What to do with dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settle {
    /// Try them again, as new tasks.
    Requeue,
    /// Nothing follows.
    Discard,
}

/// Which dead letters to settle.
#[derive(Debug, Clone)]
pub enum Chosen {
    /// Those of these tasks, at most [`LETTERS_PER_REQUEST_MAX`].
    Tasks(Vec<TaskId>),
    /// The open ones that fit, those that failed first before the others.
    Fitting {
        /// Which.
        filter: Box<LetterFilter>,
        /// Where the request before ended.
        after: Option<LetterPlace>,
        /// How many at most, 1 to [`LETTERS_PER_REQUEST_MAX`].
        limit: usize,
    },
}

/// An order about dead letters.
#[derive(Debug, Clone)]
pub struct SettleLetters {
    /// Which.
    pub chosen: Chosen,
    /// What becomes of them.
    pub settle: Settle,
    /// Who says so; 1 to [`PERSON_BYTES_MAX`] bytes.
    pub by: String,
    /// Why; 1 to [`REASON_BYTES_MAX`] bytes.
    pub reason: String,
    /// How many per second at most; none: as fast as they can be committed.
    pub rate: Option<u32>,
}

/// What an order would do.
#[derive(Debug, Clone)]
pub struct LettersPreview {
    /// How many open letters are meant.
    pub matched: u64,
    /// The first of them.
    pub sample: Vec<DeadLetter>,
}

/// What an order did.
#[derive(Debug)]
pub struct LettersSettled {
    /// Each letter that was meant, in order.
    pub items: Vec<LetterOutcome>,
    /// Where to go on; none if no further letter fits, or tasks were named.
    pub next: Option<LetterPlace>,
}

/// What became of one letter.
#[derive(Debug)]
pub struct LetterOutcome {
    /// Whose.
    pub task: TaskId,
    /// The new state; or why it is as it was.
    pub outcome: Result<LetterDone, LetterError>,
}

/// A letter that is settled as was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterDone {
    /// How it is settled.
    pub state: LetterState,
    /// Whether it was settled so before, so that this request changed nothing.
    pub before: bool,
}

/// Why a letter was not settled. It is as it was.
#[derive(Debug, thiserror::Error)]
pub enum LetterError {
    /// The task has no dead letter in the namespace; code `dead_letter.unknown`.
    #[error("task {0} has no dead letter here")]
    Unknown(TaskId),
    /// It was settled otherwise before; code `dead_letter.settled`.
    #[error("the dead letter of task {task} was {} before", state.word().as_str())]
    Settled {
        /// Whose.
        task: TaskId,
        /// How.
        state: Box<LetterState>,
    },
    /// It is not open; what it is, the store knows.
    #[error("the dead letter of task {0} is not open")]
    NotOpen(TaskId),
    /// Its task cannot be tried again now.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// Why an order about dead letters was not carried out at all.
#[derive(Debug, thiserror::Error)]
pub enum LettersError {
    /// A number or text is out of bounds.
    #[error("{0}")]
    Limit(String),
    /// The coordinator cannot take it now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Operations {
    /// A page of dead letters.
    ///
    /// # Errors
    /// The database cannot be read now.
    pub async fn dead_letters(&self, list: ListLetters) -> Result<LetterPage, Unavailable> {
        let limit = list.limit.clamp(1, PAGE_MAX);
        let search = LetterSearch { filter: list.filter, newest_first: true, after: list.after, limit: limit + 1 };
        let (letters, next) = self.page(&search, limit).await?;
        let missed = self.door(&search.filter.namespace)?.store.letters_missed(&search.filter.namespace).await.map_err(unreadable)?;
        Ok(LetterPage { letters, next, missed })
    }

    /// Dead letters by their code.
    ///
    /// # Errors
    /// The database cannot be read now.
    pub async fn dead_letter_groups(&self, filter: &LetterFilter) -> Result<(LetterGroups, Option<MissedLetters>), Unavailable> {
        let groups = self.door(&filter.namespace)?.store.letter_groups(filter).await.map_err(unreadable)?;
        let missed = self.door(&filter.namespace)?.store.letters_missed(&filter.namespace).await.map_err(unreadable)?;
        Ok((groups, missed))
    }

    /// A task's dead letter; none if it has none in the namespace.
    ///
    /// # Errors
    /// The database cannot be read now.
    pub async fn dead_letter(&self, namespace: &Namespace, task: TaskId) -> Result<Option<DeadLetter>, Unavailable> {
        let found = self.door(namespace)?.store.letter(task).await.map_err(unreadable)?;
        Ok(found.filter(|letter| letter.namespace == *namespace))
    }

    /// What an order would do: how many open letters are meant, and the first of them. Changes nothing.
    ///
    /// # Errors
    /// The database cannot be read now.
    pub async fn preview_letters(&self, namespace: &Namespace, chosen: &Chosen) -> Result<LettersPreview, Unavailable> {
        match chosen {
            Chosen::Tasks(tasks) => {
                let mut open = Vec::new();
                for task in tasks {
                    open.extend(self.dead_letter(namespace, *task).await?.filter(|letter| letter.state == LetterState::Open));
                }
                let matched = open.len() as u64;
                open.truncate(SAMPLE);
                Ok(LettersPreview { matched, sample: open })
            }
            Chosen::Fitting { filter, after, .. } => {
                let filter = open_ones(namespace, filter, self.clock.now());
                let matched = self.door(namespace)?.store.letter_groups(&filter).await.map_err(unreadable)?.letters;
                let search = LetterSearch { filter, newest_first: false, after: *after, limit: SAMPLE };
                Ok(LettersPreview { matched, sample: self.door(namespace)?.store.letters(&search).await.map_err(unreadable)? })
            }
        }
    }

    /// Requeues or discards dead letters; answers when the last of them is committed. A letter that was settled so before counts as done, so
    /// that an order may be given again after an unknown outcome.
    ///
    /// # Errors
    /// The order is out of bounds, or cannot be carried out at all now. What becomes of each letter is said in the answer.
    pub async fn settle_letters(&self, namespace: &Namespace, order: SettleLetters) -> Result<LettersSettled, LettersError> {
        check(&order)?;
        let busy = Unavailable::Busy { retry_after: Duration::from_secs(5) };
        let _share = self.bulk.clone().try_acquire_owned().map_err(|_| busy)?;
        let (tasks, next) = match &order.chosen {
            Chosen::Tasks(tasks) => (tasks.clone(), None),
            Chosen::Fitting { filter, after, limit } => {
                let filter = open_ones(namespace, filter, self.clock.now());
                let search = LetterSearch { filter, newest_first: false, after: *after, limit: limit + 1 };
                let (letters, next) = self.page(&search, *limit).await?;
                (letters.into_iter().map(|letter| letter.task).collect(), next)
            }
        };
        let started = tokio::time::Instant::now();
        let items = stream::iter(tasks.into_iter().enumerate()).map(|(place, task)| {
            let order = &order;
            async move {
                if let Some(rate) = order.rate {
                    tokio::time::sleep_until(started + Duration::from_secs_f64(place as f64 / f64::from(rate))).await;
                }
                LetterOutcome { task, outcome: self.settle_one(namespace, task, order).await }
            }
        });
        Ok(LettersSettled { items: items.buffered(SETTLED_AT_ONCE).collect().await, next })
    }

    async fn settle_one(&self, namespace: &Namespace, id: TaskId, order: &SettleLetters) -> Result<LetterDone, LetterError> {
        let (namespace, by, reason) = (namespace.clone(), order.by.clone(), order.reason.clone());
        let asked = match order.settle {
            Settle::Requeue => {
                let namespace = namespace.clone();
                self.ask(|answer| Command::RequeueLetter { namespace, id, by, reason, answer }).await
            }
            Settle::Discard => {
                let namespace = namespace.clone();
                self.ask(|answer| Command::DiscardLetter { namespace, id, by, reason, answer }).await
            }
        };
        match asked.map_err(ChangeError::from)? {
            Ok(state) => Ok(LetterDone { state, before: false }),
            Err(LetterError::NotOpen(_)) => self.settled_before(&namespace, id, order.settle).await,
            Err(other) => Err(other),
        }
    }

    /// The loop says that the letter is not open, and everything before that is committed: the store knows what it is.
    async fn settled_before(&self, namespace: &Namespace, task: TaskId, settle: Settle) -> Result<LetterDone, LetterError> {
        let letter = self.dead_letter(namespace, task).await.map_err(ChangeError::from)?.ok_or(LetterError::Unknown(task))?;
        match (letter.state.word(), settle) {
            (LetterWord::Requeued, Settle::Requeue) | (LetterWord::Discarded, Settle::Discard) => {
                Ok(LetterDone { state: letter.state, before: true })
            }
            (LetterWord::Requeued, Settle::Discard) | (LetterWord::Discarded, Settle::Requeue) => {
                Err(LetterError::Settled { task, state: Box::new(letter.state) })
            }
            // It failed after the loop was asked, which then knew of no letter: whoever asks again finds it.
            (LetterWord::Open, _) => Err(LetterError::NotOpen(task)),
        }
    }

    async fn page(&self, search: &LetterSearch, limit: usize) -> Result<(Vec<DeadLetter>, Option<LetterPlace>), Unavailable> {
        let mut letters = self.door(&search.filter.namespace)?.store.letters(search).await.map_err(unreadable)?;
        let more = letters.len() > limit;
        letters.truncate(limit);
        let next = letters.last().filter(|_| more).map(LetterPlace::of);
        Ok((letters, next))
    }
}

/// Only open letters can be settled, and only the namespace's own. A bulk order without an end of its own ends now: letters that are opened
/// while it is carried out, perhaps by its own new tasks, are none of its business.
fn open_ones(namespace: &Namespace, filter: &LetterFilter, now: Timestamp) -> LetterFilter {
    let end = filter.failed_before.unwrap_or(now);
    LetterFilter { namespace: namespace.clone(), state: Some(LetterWord::Open), failed_before: Some(end), ..filter.clone() }
}

fn check(order: &SettleLetters) -> Result<(), LettersError> {
    within("name of who says so", &order.by, PERSON_BYTES_MAX).map_err(LettersError::Limit)?;
    within("reason", &order.reason, REASON_BYTES_MAX).map_err(LettersError::Limit)?;
    let count = match &order.chosen {
        Chosen::Tasks(tasks) => tasks.len(),
        Chosen::Fitting { limit, .. } => *limit,
    };
    if !(1..=LETTERS_PER_REQUEST_MAX).contains(&count) {
        return Err(LettersError::Limit(format!("{count} dead letters are meant; one request settles 1 to {LETTERS_PER_REQUEST_MAX}")));
    }
    let Some(rate) = order.rate else { return Ok(()) };
    if !(1..=LETTERS_PER_SECOND_MAX).contains(&rate) {
        return Err(LettersError::Limit(format!("the rate is {rate} per second; give 1 to {LETTERS_PER_SECOND_MAX}")));
    }
    let most = LETTERS_REQUEST_TIME_MAX.as_secs() * u64::from(rate);
    if count as u64 > most {
        let (seconds, count) = (LETTERS_REQUEST_TIME_MAX.as_secs(), count as u64);
        let why =
            format!("{count} letters at {rate} per second take longer than {seconds} s; ask for at most {most}, and again for the rest");
        return Err(LettersError::Limit(why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(limit: usize, rate: Option<u32>) -> SettleLetters {
        let filter = Box::new(LetterFilter::open(Namespace::new("shop").expect("valid")));
        let chosen = Chosen::Fitting { filter, after: None, limit };
        SettleLetters { chosen, settle: Settle::Requeue, by: "ada".into(), reason: "the bank is back".into(), rate }
    }

    #[test]
    fn an_order_that_would_take_too_long_or_mean_too_much_is_refused() {
        for (limit, rate, fine) in [
            (1, None, true),
            (1_000, None, true),
            (1_001, None, false),
            (0, None, false),
            (200, Some(10), true),
            (201, Some(10), false),
            (1, Some(0), false),
            (1_000, Some(10_001), false),
        ] {
            assert_eq!(check(&order(limit, rate)).is_ok(), fine, "{limit} {rate:?}");
        }
    }

    #[test]
    fn somebody_must_say_why() {
        assert!(check(&SettleLetters { by: String::new(), ..order(1, None) }).is_err());
        assert!(check(&SettleLetters { reason: String::new(), ..order(1, None) }).is_err());
        assert!(check(&SettleLetters { reason: "x".repeat(REASON_BYTES_MAX + 1), ..order(1, None) }).is_err());
    }

    #[test]
    fn an_order_without_an_end_does_not_mean_letters_that_come_later() {
        let filter = LetterFilter::open(Namespace::new("shop").expect("valid"));
        let now = Timestamp::from_millis(1_000);
        let bounded = open_ones(&Namespace::new("other").expect("valid"), &LetterFilter { state: None, ..filter.clone() }, now);
        assert_eq!((bounded.namespace.as_str(), bounded.state), ("other", Some(LetterWord::Open)));
        assert_eq!(bounded.failed_before, Some(now));
        let given = Some(Timestamp::from_millis(7));
        assert_eq!(open_ones(&filter.namespace, &LetterFilter { failed_before: given, ..filter.clone() }, now).failed_before, given);
    }
}
