//! From a history to a task in memory, at any time: after a start, or because something came for a task that was not there.

use super::attempts::{Carrier, Open};
use super::recover::Loaded;
use super::resident::Resident;
use super::{Internal, Shard};
use crate::operations::Committed;
use crate::port::store::Sequence;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::decide::resume;
use tasker_engine::event::{Entry, Event, Target};
use tasker_engine::fold::BrokenHistory;
use tasker_engine::task::StepState;
use tasker_engine::{Task, TaskId};
use tasker_registry::SessionKey;

/// How far back spans are sent again after a restart: longer than the exporter lets them wait.
const SPANS_WINDOW: Duration = Duration::from_secs(3);
/// The most journal rows looked at for that.
const SPANS_ROWS: Sequence = 5_000;

impl Shard {
    /// Folds a task's history and does what its state implies. A task that is in memory already is left alone: it is ahead of any history.
    ///
    /// # Errors
    /// The history cannot be understood.
    pub(super) fn take_in(&mut self, loaded: Loaded) -> Result<(), String> {
        let Loaded { id, history } = loaded;
        if self.residents.get(id).is_some() {
            return Ok(());
        }
        let rows = history.rows;
        let entries = || rows.iter().map(|row| &*row.entry);
        let digest = match entries().next().and_then(|entry| entry.events.first()) {
            Some(Event::TaskAccepted(submission)) => submission.workflow,
            _ => return Err(BrokenHistory::NoBeginning(id).to_string()),
        };
        let pinned = self.catalog.pinned(&history.namespace, digest);
        let entry = pinned.ok_or_else(|| format!("task {id} is pinned to workflow digest {digest}, which is not stored"))?.clone();
        let task = Task::fold(entry.workflow.clone(), entries()).map_err(|broken| broken.to_string())?;
        let last = rows.last().map_or(0, |row| row.sequence);
        self.last_task = self.last_task.max(id);
        let is_counted = self.absent.wake(id);
        if self.is_unprojected(id, last) {
            self.projection.touch(id);
        }
        self.reopen(&task);
        let effects = resume(&task);
        self.waits.restore(&task);
        self.turnstile.count(&task);
        let mut resident = Resident::new(task, last, entry.lanes);
        rows.iter().for_each(|row| resident.note(&row.entry));
        if is_counted {
            resident.share = self.share_of(&resident.task);
        }
        self.residents.insert(resident);
        self.tally_up(id);
        self.follow(id, effects, None);
        self.reconcile(id);
        self.settle_pause(id);
        self.drowsy.push_back(id);
        Ok(())
    }

    /// Open attempts get a fresh lease: whoever carries them says so within it, or they go to others.
    fn reopen(&mut self, task: &Task) {
        for step in task.indexes() {
            let StepState::Running(open) = &task.progress(step).state else { continue };
            // A child task carries itself and says when it is over.
            let Some(system) = task.definition(step).system() else { continue };
            let carrier = match &open.target {
                Target::Session(session) => {
                    let key = SessionKey { namespace: task.workflow.namespace.clone(), system: system.clone(), session: session.clone() };
                    Carrier::Session(key, 0)
                }
                Target::Responders | Target::Http => Carrier::Parked,
                Target::Child(_) => continue,
            };
            if carrier == Carrier::Parked {
                let entry = self.catalog.pinned(&task.workflow.namespace, task.workflow.digest);
                if let Some(lane) = entry.and_then(|entry| entry.lanes.of(task.node(step))) {
                    // Whether a system over HTTP had accepted is not recorded: it is asked again, and its callback counts either way.
                    let whom = if open.target == Target::Http { &mut self.http } else { &mut self.responders };
                    whom.park(lane, open.token.0, Duration::ZERO);
                }
            }
            // The first attempt of a worker that has not said hello here: it is asked to, instead of finding out by its next beat.
            if let Carrier::Session(key, _) = &carrier
                && self.attempts.count_of(key) == 0
            {
                self.greet(std::slice::from_ref(key));
            }
            self.still_open(task, step, open.token);
            self.attempts.put(open.token.0, Open { task: task.id, step, carrier, sent_at: Duration::ZERO });
        }
    }

    /// Sends the spans of the last moments before the stop once more: they may have waited in the exporter when the process was killed. Their
    /// ids are derived, so a receiver that has them already sees the same spans again.
    pub(super) fn tell_spans_again(&self) {
        if !self.spans.is_on() {
            return;
        }
        let (store, internal, last) = (self.store.clone(), self.internal.clone(), self.last);
        tokio::spawn(async move {
            match store.journal((last - SPANS_ROWS).max(0), SPANS_ROWS as usize).await {
                Ok(rows) => {
                    let entries: Vec<Arc<Entry>> = rows.into_iter().take_while(|row| row.sequence <= last).map(|row| row.entry).collect();
                    let Some(newest) = entries.last().map(|entry| entry.at) else { return };
                    let recent = entries.into_iter().filter(|entry| newest.since(entry.at) <= SPANS_WINDOW);
                    let _ = internal.send(Internal::Spans(recent.collect())).await;
                }
                Err(error) => tracing::warn!(%error, "the spans of the last moments before the start are not sent again"),
            }
        });
    }

    /// Tells the spans of commits, of those tasks that are not in memory once they have been read.
    pub(super) fn tell_spans_of(&mut self, entries: Vec<Arc<Entry>>) {
        let mut absent: BTreeMap<TaskId, Vec<Arc<Entry>>> = BTreeMap::new();
        for entry in entries {
            match self.residents.get(entry.task) {
                Some(_) => self.spans_of(&Committed { task: entry.task, entry }),
                None => absent.entry(entry.task).or_default().push(entry),
            }
        }
        for (task, entries) in absent {
            self.load(task, super::loading::Pending::Spans(entries));
        }
    }
}
