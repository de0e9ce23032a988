//! How the systems of a case answer: as its mocks say, or with a made-up result that fits the contract.

use crate::case::{Answer, Case, Given, Mock};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tasker_engine::workflow::StepKind;
use tasker_engine::{Payload, StepIndex, StepName, Task};
use tasker_types::Type;

/// The answers of one case.
pub(crate) struct Answers<'c> {
    mocks: &'c BTreeMap<String, Mock>,
    made_up: BTreeMap<(String, StepName), Option<Payload>>,
    /// Steps whose results were made up.
    pub defaulted: BTreeSet<String>,
    /// Mocks that answered at least once.
    pub used: BTreeSet<String>,
}

impl<'c> Answers<'c> {
    pub fn new(case: &'c Case) -> Self {
        Self { mocks: &case.mocks, made_up: BTreeMap::new(), defaulted: BTreeSet::new(), used: BTreeSet::new() }
    }

    /// How the next attempt at a step goes. `prefix` leads to the task: empty, or `ship/` for a child that the step `ship` started.
    ///
    /// # Errors
    /// No mock is given and no result can be made up; says what to do.
    pub fn next(&mut self, task: &Task, prefix: &str, step: StepIndex) -> Result<Answer, String> {
        if let Some(answer) = self.mocked(task, prefix, step) {
            return Ok(answer);
        }
        let definition = task.definition(step);
        let name = format!("{prefix}{}", definition.name);
        let schema = definition.contract.result.as_ref();
        let made = self.made_up.entry((prefix.to_owned(), definition.name.clone())).or_insert_with(|| match schema {
            None => Some(Payload::null()),
            Some(schema) => {
                let value = Type::of_schema(schema.source()).sample()?;
                schema.violations(&value).is_empty().then(|| Payload::of(&value))
            }
        });
        let result = made.clone().ok_or_else(|| format!("no result of `{name}` can be made up from its schema: give it a mock"))?;
        self.defaulted.insert(name);
        Ok(Answer { given: Given::Result(result), after: Duration::ZERO })
    }

    /// What a mock says about the next attempt at a step; none if there is no mock for it.
    pub fn mocked(&mut self, task: &Task, prefix: &str, step: StepIndex) -> Option<Answer> {
        let definition = task.definition(step);
        let label = format!("{prefix}{}", task.label(step));
        let name = format!("{prefix}{}", definition.name);
        let capability = match &definition.kind {
            StepKind::Call(call) => Some(call.capability.to_string()),
            StepKind::Child(_) | StepKind::Wait(_) | StepKind::Sleep(_) | StepKind::Approval(_) | StepKind::Switch(_) => None,
        };
        let key = [Some(label), Some(name), capability].into_iter().flatten().find(|key| self.mocks.contains_key(key))?;
        let mock = self.mocks.get(&key)?;
        let tries = task.next_attempt(step).0 as usize;
        let answer = mock.answers.get(tries - 1).or(mock.answers.last())?.clone();
        self.used.insert(key);
        Some(answer)
    }
}
