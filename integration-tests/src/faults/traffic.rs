//! What faults are injected into: tasks that are submitted again and again under their keys until their outcome is known, and a log of what
//! the client saw, which the checker holds against the database.

use crate::api::Api;
use crate::coordinator::{Coordinator, Setup, text};
use crate::stage::Stage;
use crate::until::until;
use anyhow::{Result, bail, ensure};
use futures::StreamExt;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Three steps over one system; the second takes a moment, so that something is always under way. Lost workers cost attempts, so there are many.
pub const JOURNEY: &str = "
name: journey
version: 1.0.0
systems: { shop: {} }
workflow_steps:
  - { name: take, owner: shop, capability: conformance.echo, input: { text: taken, number: '${ task.input.number }' }, retry: { kind: fixed, base: 50ms, jitter: none, max_attempts: 20 } }
  - { name: work, owner: shop, capability: conformance.sleep, depends_on: take, input: { ms: 20 }, retry: { kind: fixed, base: 50ms, jitter: none, max_attempts: 20 } }
  - { name: close, owner: shop, capability: conformance.echo, depends_on: [take, work], input: { text: closed, number: '${ steps.take.result.number * 2 }' }, retry: { kind: fixed, base: 50ms, jitter: none, max_attempts: 20 } }
result: { number: '${ steps.close.result.number }' }
";

/// A submission whose outcome stays unknown for longer has failed.
const SUBMIT_MAX: Duration = Duration::from_secs(120);
/// How long after the last fault every task must be over: 30 s, more where everything else runs on the same two cores.
pub const HEAL_MAX: Duration = Duration::from_secs(90);
/// Between two submissions of one submitter.
const PACE: Duration = Duration::from_millis(10);

/// The client's side.
pub struct Traffic {
    api: Mutex<Api>,
    accepted: Mutex<BTreeMap<usize, String>>,
    log: Mutex<Vec<Value>>,
    next: AtomicUsize,
    /// Submissions without an answer.
    pub unknown: AtomicUsize,
    over: AtomicBool,
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970").as_millis() as u64
}

impl Traffic {
    /// Nothing submitted yet.
    pub fn new(api: &Api) -> Self {
        Self {
            api: Mutex::new(api.clone()),
            accepted: Mutex::default(),
            log: Mutex::default(),
            next: AtomicUsize::new(0),
            unknown: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        }
    }

    /// From now on another coordinator is asked.
    pub fn ask(&self, api: &Api) {
        *self.api.lock().unwrap_or_else(PoisonError::into_inner) = api.clone();
    }

    fn api(&self) -> Api {
        self.api.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many were accepted.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// The ids of everything that was accepted.
    pub fn accepted(&self) -> Vec<String> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<usize, String>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No further submissions.
    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Submits, from several submitters at once, until [`Self::end`].
    ///
    /// # Errors
    /// A submission was refused for good, or its outcome stays unknown.
    pub async fn keep_going(&self, submitters: usize) -> Result<()> {
        let submitter = || async {
            while !self.over.load(Ordering::Relaxed) {
                self.submit(self.next.fetch_add(1, Ordering::Relaxed)).await?;
                tokio::time::sleep(PACE).await;
            }
            Ok(())
        };
        futures::future::try_join_all((0..submitters).map(|_| submitter())).await.map(|_| ())
    }

    /// Submits so many more, and waits until all are accepted.
    ///
    /// # Errors
    /// As [`Self::keep_going`].
    pub async fn submit_more(&self, count: usize) -> Result<()> {
        let numbers: Vec<usize> = (0..count).map(|_| self.next.fetch_add(1, Ordering::Relaxed)).collect();
        let mut submissions = futures::stream::iter(numbers.into_iter().map(|number| self.submit(number))).buffer_unordered(16);
        while let Some(outcome) = submissions.next().await {
            outcome?;
        }
        Ok(())
    }

    async fn submit(&self, number: usize) -> Result<()> {
        let deadline = Instant::now() + SUBMIT_MAX;
        while self.try_submit(number).await?.is_none() {
            ensure!(Instant::now() < deadline, "submission {number} has no known outcome after {SUBMIT_MAX:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// One try: the id if it was accepted, none if it may be tried again.
    ///
    /// # Errors
    /// It was refused for good.
    pub async fn try_submit(&self, number: usize) -> Result<Option<String>> {
        let key = format!("key-{number}");
        let began = now_ms();
        let answer = self.api().submit_with_key("journey", &json!({ "number": number }), &key).await;
        let (outcome, id, status) = match &answer {
            Ok(answer) if answer.status.is_success() => {
                let outcome = if answer.body["created"] == true { "accepted" } else { "existing" };
                (outcome, Some(text(&answer.body, "id")?.to_owned()), answer.status.as_u16())
            }
            Ok(answer) if answer.body["code"] == "outcome.unknown" => ("unknown", None, answer.status.as_u16()),
            Ok(answer) => ("refused", None, answer.status.as_u16()),
            Err(_) => ("unknown", None, 0),
        };
        let line =
            json!({ "op": "submit", "key": key, "t_start": began, "t_end": now_ms(), "outcome": outcome, "id": id, "status": status });
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        match (outcome, status) {
            ("accepted" | "existing", _) => {
                self.lock().insert(number, id.clone().expect("it was just read"));
                Ok(id)
            }
            ("refused", 429 | 503 | 507) => Ok(None),
            ("refused", _) => bail!("submission {number} was refused: {answer:?}"),
            _ => {
                self.unknown.fetch_add(1, Ordering::Relaxed);
                Ok(None)
            }
        }
    }

    /// How long a task that is submitted now takes: after a fault was healed, how long it is until work flows again.
    ///
    /// # Errors
    /// It is not over in time.
    pub async fn until_flowing(&self) -> Result<Duration> {
        let began = Instant::now();
        let number = self.fresh();
        let id = until("a submission is accepted", HEAL_MAX, async || self.try_submit(number).await).await?;
        until("it is over", HEAL_MAX, async || Ok((self.api().task(&id).await?["status"] != "running").then_some(()))).await?;
        Ok(began.elapsed())
    }

    /// A number that nobody has used.
    pub fn fresh(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Waits until every accepted task has succeeded with the result it should have; returns them.
    ///
    /// # Errors
    /// One has not in time.
    pub async fn all_succeeded(&self) -> Result<Vec<Value>> {
        let tasks = self.all_over().await?;
        for (number, task) in &tasks {
            ensure!(task["status"] == "succeeded" && task["result"] == json!({ "number": number * 2 }), "task {number}: {task:#}");
        }
        Ok(tasks.into_iter().map(|(_, task)| task).collect())
    }

    /// Waits until every accepted task is over; returns them with their numbers.
    ///
    /// # Errors
    /// One is not in time; says why.
    pub async fn all_over(&self) -> Result<Vec<(usize, Value)>> {
        let deadline = Instant::now() + HEAL_MAX;
        let accepted = self.lock().clone();
        let wait = accepted.into_iter().map(|(number, id)| async move {
            let left = deadline.saturating_duration_since(Instant::now());
            let look = async || {
                let task = self.api().task(&id).await?;
                Ok((task["status"] != "running").then_some(task))
            };
            match until(&format!("task {number}, {id}, is over"), left, look).await {
                Ok(task) => Ok((number, task)),
                Err(error) => bail!("{error:#}; why: {:?}; {:?}", self.api().why(&id).await, self.api().task(&id).await),
            }
        });
        futures::stream::iter(wait).buffer_unordered(8).collect::<Vec<Result<_>>>().await.into_iter().collect()
    }

    /// Writes the log of what the client saw.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_log(&self, stage: &Stage) -> Result<String> {
        let path = stage.path("client.jsonl");
        let lines: Vec<String> = self.log.lock().unwrap_or_else(PoisonError::into_inner).iter().map(Value::to_string).collect();
        std::fs::write(&path, lines.join("\n") + "\n")?;
        Ok(path.display().to_string())
    }

    /// Stops the coordinator in order, and holds the log against the database.
    ///
    /// # Errors
    /// A promise was broken: says which.
    pub async fn stop_and_check(&self, stage: &Stage, coordinator: &mut Coordinator) -> Result<String> {
        coordinator.stop().await?;
        self.check(stage, coordinator.setup(), &["--all-finished"]).await
    }

    /// Holds the log against a database that no coordinator uses.
    ///
    /// # Errors
    /// As [`Self::stop_and_check`].
    pub async fn check(&self, stage: &Stage, setup: &Setup, more: &[&str]) -> Result<String> {
        let log = self.write_log(stage)?;
        let (code, said) =
            stage.tasker(&[&["debug", "check", "--database-url", &setup.database_url, "--client-log", &log], more].concat()).await?;
        ensure!(code == Some(0) && said.contains("kept    P1 "), "the checker ended with {code:?}:\n{said}");
        Ok(said)
    }
}

/// How many attempts there were beyond the first of each step.
pub fn extra_attempts(tasks: &[Value]) -> usize {
    let steps = tasks.iter().flat_map(|task| task["steps"].as_array().into_iter().flatten());
    steps.map(|step| step["attempts"].as_array().map_or(0, Vec::len).saturating_sub(1)).sum()
}

/// The given share of the way through what was measured, in milliseconds; 0 of nothing.
pub fn percentile(measured: &[Duration], share: f64) -> u128 {
    let mut sorted = measured.to_vec();
    sorted.sort();
    let place = ((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1);
    sorted.get(place).map_or(0, Duration::as_millis)
}
