//! The dead letters of the simulated database.

use std::collections::{BTreeMap, BTreeSet};
use tasker_engine::{Namespace, TaskId};
use tasker_runtime::port::store::{
    DeadLetter, LetterChanges, LetterFilter, LetterGroup, LetterGroups, LetterPlace, LetterSearch, LetterState, MissedLetters, OpenLetter,
};

/// Every letter, by its task.
#[derive(Default)]
pub struct Letters {
    all: BTreeMap<TaskId, DeadLetter>,
    missed: BTreeMap<Namespace, MissedLetters>,
}

impl Letters {
    /// Whether all of the changes can be made: a task has one letter, and nobody settles one twice.
    pub fn check(&self, changes: &LetterChanges) -> Result<(), String> {
        let mut open: BTreeSet<TaskId> =
            self.all.values().filter(|letter| letter.state == LetterState::Open).map(|letter| letter.task).collect();
        for letter in &changes.opened {
            if self.all.contains_key(&letter.task) || !open.insert(letter.task) {
                return Err(format!("task {} has a dead letter already", letter.task));
            }
        }
        for (task, _) in &changes.settled {
            if !open.remove(task) {
                return Err(format!("the dead letter of task {task} is not open"));
            }
        }
        Ok(())
    }

    pub fn apply(&mut self, changes: &LetterChanges) {
        self.all.extend(changes.opened.iter().map(|letter| (letter.task, letter.clone())));
        for (task, state) in &changes.settled {
            self.all.entry(*task).and_modify(|letter| letter.state = state.clone());
        }
        for (namespace, (count, last_at)) in &changes.missed {
            let missed = self.missed.entry(namespace.clone()).or_insert(MissedLetters { count: 0, last_at: *last_at });
            (missed.count, missed.last_at) = (missed.count + count, *last_at);
        }
        if let Some(before) = changes.forget_before {
            self.all.retain(|_, letter| letter.state.settlement().is_none_or(|settled| settled.at >= before));
            self.missed.retain(|_, missed| missed.last_at >= before);
        }
    }

    pub fn open(&self) -> Vec<OpenLetter> {
        let open = self.all.values().filter(|letter| letter.state == LetterState::Open);
        open.map(|letter| OpenLetter { task: letter.task, namespace: letter.namespace.clone(), code: letter.code.clone() }).collect()
    }

    pub fn of(&self, task: TaskId) -> Option<DeadLetter> {
        self.all.get(&task).cloned()
    }

    pub fn missed(&self, namespace: &Namespace) -> Option<MissedLetters> {
        self.missed.get(namespace).copied()
    }

    pub fn page(&self, search: &LetterSearch) -> Vec<DeadLetter> {
        let mut found: Vec<&DeadLetter> = self.all.values().filter(|letter| search.filter.fits(letter)).collect();
        found.sort_by_key(|letter| LetterPlace::of(letter));
        if search.newest_first {
            found.reverse();
        }
        let after = |letter: &&&DeadLetter| {
            let place = LetterPlace::of(letter);
            search.after.is_none_or(|after| if search.newest_first { place < after } else { place > after })
        };
        found.iter().filter(after).take(search.limit).map(|letter| (*letter).clone()).collect()
    }

    pub fn groups(&self, filter: &LetterFilter) -> LetterGroups {
        let mut groups: BTreeMap<&str, LetterGroup> = BTreeMap::new();
        // By task, so that the youngest comes last.
        for letter in self.all.values().filter(|letter| filter.fits(letter)) {
            let (code, at) = (letter.code.clone(), letter.failed_at);
            let fresh = || LetterGroup { code, count: 0, oldest: at, newest: at, example: letter.task, message: String::new() };
            let group = groups.entry(&letter.code).or_insert_with(fresh);
            group.count += 1;
            (group.oldest, group.newest) = (group.oldest.min(at), group.newest.max(at));
            (group.example, group.message) = (letter.task, letter.message.clone());
        }
        let (codes, letters) = (groups.len() as u64, groups.values().map(|group| group.count).sum());
        let mut groups: Vec<LetterGroup> = groups.into_values().collect();
        groups.sort_by(|a, b| (b.count, &a.code).cmp(&(a.count, &b.code)));
        groups.truncate(LetterGroups::GROUPS_MAX);
        LetterGroups { groups, codes, letters }
    }
}
