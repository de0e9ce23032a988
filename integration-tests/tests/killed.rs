//! Nothing is lost: in the middle of a thousand tasks the coordinator, a worker and the NATS server are killed without warning, on each
//! database and on each bus. Afterwards every accepted task is over, and the checker reads the database and says so promise by promise.

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tasker_integration_tests::api::{Api, instant, step};
use tasker_integration_tests::coordinator::{Coordinator, Setup, text};
use tasker_integration_tests::nats;
use tasker_integration_tests::postgres::Cluster;
use tasker_integration_tests::stage::{Language, Stage, on_stage};
use tasker_integration_tests::until::{SOON, until, until_true};

const TASKS: usize = 1_000;
/// Submissions on the way at once.
const SUBMITTERS: usize = 16;
/// A submission whose outcome stays unknown for longer has failed.
const SUBMIT_MAX: Duration = Duration::from_secs(60);
/// From the last kill until every task is over.
const FINISH_MAX: Duration = Duration::from_secs(90);
/// From the start of a coordinator's process to its first dispatch, if there is something to do.
const CONTINUE_MAX_MS: i64 = 2_000;
const LEASE_MS: i64 = 2_000;
/// What may pass between the end of a lease and the next attempt.
const TAKE_OVER_MS: i64 = 1_000;

/// Four steps, one after the other, over three languages. The second takes its time, so that there is always something under way.
const JOURNEY: &str = "
name: journey
version: 1.0.0
systems: { front: {}, stock: {}, bank: {} }
workflow_steps:
  - { name: take, owner: front, capability: conformance.echo, input: { text: taken, number: '${ task.input.number }' } }
  - { name: work, owner: stock, capability: conformance.sleep, depends_on: take, input: { ms: 30 } }
  - { name: pay, owner: bank, capability: conformance.echo, depends_on: [take, work], input: { text: paid, number: '${ steps.take.result.number * 2 }' } }
  - { name: close, owner: front, capability: conformance.echo, depends_on: pay, input: { text: closed, number: '${ steps.pay.result.number + 1 }' } }
result: { number: '${ steps.close.result.number }' }
";

/// These tests measure time; side by side they would measure each other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[derive(Clone, Copy)]
enum Database {
    Sqlite,
    Postgres,
}

#[derive(Clone, Copy)]
enum Bus {
    Embedded,
    Nats,
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970");
    i64::try_from(since.as_millis()).expect("the clock is before the end of time")
}

/// The thousand submissions, each repeated under its key until its outcome is known.
struct Load {
    /// Number to id, of everything that was acknowledged.
    accepted: Mutex<BTreeMap<usize, String>>,
    /// Attempts at submitting whose outcome was not known.
    unknown: AtomicUsize,
    over: AtomicBool,
}

impl Load {
    fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<usize, String>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn submit_all(&self, api: &Api) -> Result<()> {
        let mut submissions = futures::stream::iter((0..TASKS).map(|number| self.submit(api, number))).buffer_unordered(SUBMITTERS);
        while let Some(outcome) = submissions.next().await {
            outcome?;
        }
        self.over.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn submit(&self, api: &Api, number: usize) -> Result<()> {
        let id = until(&format!("submission {number} is acknowledged"), SUBMIT_MAX, async || match submit_once(api, number).await {
            Ok(Some(answer)) => Ok(Some(text(&answer, "id")?.to_owned())),
            unknown => {
                self.unknown.fetch_add(1, Ordering::Relaxed);
                unknown.map(|_| None)
            }
        })
        .await?;
        self.lock().insert(number, id);
        Ok(())
    }
}

/// The answer, if one came. A refusal that a repeat cannot change is a fault of the coordinator.
async fn submit_once(api: &Api, number: usize) -> Result<Option<Value>> {
    let answer = api.submit_with_key("journey", &json!({ "number": number }), &format!("key-{number}")).await?;
    match answer.status.as_u16() {
        200 | 201 => Ok(Some(answer.body)),
        429 | 503 => Ok(None),
        _ => panic!("submission {number} was refused: {answer:?}"),
    }
}

/// Waits until the task with this number has passed its slow step: those before it have, more or less. Only that step tells how much is left;
/// the others may lag behind while their workers find the coordinator again.
async fn progress(api: &Api, load: &Load, number: usize) -> Result<()> {
    until_true(&format!("task {number} of {TASKS} has done its work"), FINISH_MAX, async || {
        let Some(id) = load.lock().get(&number).cloned() else { return Ok(false) };
        Ok(step(&api.task(&id).await?, "work")?["state"] == "succeeded")
    })
    .await
}

fn play(database: Database, bus: Bus) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    on_stage(async |stage| {
        let mut setup = Setup::embedded(stage).with("TASKER_HEARTBEAT", "500ms").with("TASKER_LEASE", &format!("{LEASE_MS}ms"));
        let mut server: Option<nats::Server> = None;
        let mut cluster = None;
        if let Database::Postgres = database {
            let running = Cluster::shared().await?;
            setup = setup.database(running.create_database().await?);
            cluster = Some(running);
        }
        if let Bus::Nats = bus {
            let running = stage.nats().await?;
            setup = setup.nats(&running);
            server = Some(running);
        }
        let mut coordinator = setup.start(stage).await?;
        kill_and_check(stage, &mut coordinator, server.as_mut()).await?;
        drop(cluster);
        Ok(())
    });
}

async fn kill_and_check(stage: &Stage, coordinator: &mut Coordinator, server: Option<&mut nats::Server>) -> Result<()> {
    let began = Instant::now();
    let api = coordinator.api.clone();
    api.apply(JOURNEY).await?;
    let _front = coordinator.worker(stage, Language::Rust, "front").await?;
    let _bank = coordinator.worker(stage, Language::TypeScript, "bank").await?;
    let slots = [("TASKER_SLOTS", "4")];
    let mut doomed = coordinator.worker_with(stage, Language::Python, "stock", &slots).await?;
    let _stock = coordinator.worker_with(stage, Language::Python, "stock", &slots).await?;

    let load = Load { accepted: Mutex::default(), unknown: AtomicUsize::new(0), over: AtomicBool::new(false) };
    let killing = async {
        // The coordinator, while submissions are on their way.
        until_true("three hundred tasks are accepted", SOON, async || Ok(load.count() >= 300)).await?;
        ensure!(!load.over.load(Ordering::Relaxed), "all submissions were over before the coordinator could be killed");
        let first_start = now_ms();
        coordinator.kill_and_spawn(stage)?;

        // A worker, with its hands full.
        progress(&api, &load, 200).await?;
        let id = u64::from(doomed.id());
        let worker_killed = now_ms();
        doomed.kill()?;
        until_true("the dead worker is missed", SOON, async || {
            Ok(api.workers().await?.iter().all(|worker| worker["process_id"].as_u64() != Some(id)))
        })
        .await?;

        // The NATS server, with everything that is on the way in it.
        progress(&api, &load, 400).await?;
        if let Some(server) = server {
            server.replace(stage).await?;
        }

        // The coordinator once more, with nothing to do but go on.
        progress(&api, &load, 600).await?;
        let last = load.lock().get(&(TASKS - 1)).cloned().context("everything is submitted by now")?;
        ensure!(api.task(&last).await?["status"] == "running", "the load was over too soon");
        let second_start = now_ms();
        coordinator.kill_and_spawn(stage)?;
        Ok((first_start, worker_killed, second_start))
    };
    let ((), (first_start, worker_killed, second_start)) = tokio::try_join!(load.submit_all(&api), killing)?;

    let tasks = all_over(&api, &load).await?;
    let took = began.elapsed();
    results_are_right(&tasks)?;
    keys_are_kept(&api, &load).await?;
    let continued = [first_start, second_start].map(|start| first_dispatch_after(&tasks, start).map(|at| at - start));
    let taken = taken_over(&tasks, worker_killed)?;
    println!("{took:?}; continued after {continued:?} ms; {taken:?}");
    println!("{} submissions had an unknown outcome", load.unknown.load(Ordering::Relaxed));

    coordinator.stop().await?;
    let accepted: Vec<String> = load.lock().values().cloned().collect();
    println!("{}", coordinator.check(stage, &accepted).await?);
    ensure!(load.unknown.load(Ordering::Relaxed) > 0, "the first kill met no submission");
    for continued in continued {
        let continued = continued.context("nothing was dispatched after a restart")?;
        ensure!(continued <= CONTINUE_MAX_MS, "a restarted coordinator dispatched nothing for {continued} ms");
    }
    ensure!(taken.given_ms <= LEASE_MS + TAKE_OVER_MS, "the dead worker's steps waited longer than its lease: {taken:?}");
    Ok(())
}

/// Every task, by number, once all are over.
async fn all_over(api: &Api, load: &Load) -> Result<BTreeMap<usize, Value>> {
    let accepted = load.lock().clone();
    ensure!(accepted.len() == TASKS, "{} of {TASKS} submissions were acknowledged", accepted.len());
    let wait = accepted.into_iter().map(|(number, id)| async move {
        let what = format!("task {number}, {id}, is over");
        let look = async || {
            let task = api.task(&id).await?;
            Ok((task["status"] != "running").then_some(task))
        };
        match until(&what, FINISH_MAX, look).await {
            Ok(task) => Ok((number, task)),
            Err(error) => {
                let why = api.get(&format!("/v1/tasks/{id}/why")).await.map(|answer| answer.body);
                let task = api.task(&id).await;
                bail!("{error:#}: why: {why:?}; {task:?}")
            }
        }
    });
    let waiting = futures::stream::iter(wait).buffer_unordered(SUBMITTERS);
    waiting.collect::<Vec<Result<_>>>().await.into_iter().collect()
}

fn results_are_right(tasks: &BTreeMap<usize, Value>) -> Result<()> {
    for (number, task) in tasks {
        ensure!(task["status"] == "succeeded" && task["result"] == json!({ "number": number * 2 + 1 }), "task {number}: {task:#}");
    }
    Ok(())
}

/// After everything, each key still leads to its task.
async fn keys_are_kept(api: &Api, load: &Load) -> Result<()> {
    for number in (0..TASKS).step_by(97) {
        let again = submit_once(api, number).await?.context("the coordinator is ready")?;
        ensure!(again["created"] == false && again["id"] == load.lock()[&number].as_str(), "key {number}: {again:#}");
    }
    Ok(())
}

fn attempts(task: &Value) -> impl Iterator<Item = &Value> {
    task["steps"].as_array().into_iter().flatten().flat_map(|step| step["attempts"].as_array().into_iter().flatten())
}

fn first_dispatch_after(tasks: &BTreeMap<usize, Value>, start: i64) -> Option<i64> {
    tasks.values().flat_map(attempts).filter_map(|attempt| instant(attempt, "started_at").ok()).filter(|at| *at >= start).min()
}

/// What became of the attempts that the dead worker had open.
#[derive(Debug, Default)]
struct TakenOver {
    attempts: usize,
    /// From its death until the last of them was declared lost, in milliseconds.
    declared_ms: i64,
    /// From its death until the last of them was given to another worker.
    given_ms: i64,
}

fn taken_over(tasks: &BTreeMap<usize, Value>, killed: i64) -> Result<TakenOver> {
    let mut taken = TakenOver::default();
    for task in tasks.values() {
        let attempts = step(task, "work")?["attempts"].as_array().context("attempts")?;
        for pair in attempts.windows(2) {
            if pair[0]["failure"]["code"] == "worker.lost" {
                ensure!(pair[0]["worker"] != pair[1]["worker"], "a dead worker was asked again: {task:#}");
                taken.attempts += 1;
                taken.declared_ms = taken.declared_ms.max(instant(&pair[0], "finished_at")? - killed);
                taken.given_ms = taken.given_ms.max(instant(&pair[1], "started_at")? - killed);
            }
        }
    }
    ensure!(taken.attempts > 0, "the worker had nothing open when it was killed");
    Ok(taken)
}

#[test]
fn nothing_is_lost_on_sqlite_with_the_embedded_listener() {
    play(Database::Sqlite, Bus::Embedded);
}

#[test]
fn nothing_is_lost_on_sqlite_with_nats() {
    play(Database::Sqlite, Bus::Nats);
}

#[test]
fn nothing_is_lost_on_postgres_with_the_embedded_listener() {
    play(Database::Postgres, Bus::Embedded);
}

#[test]
fn nothing_is_lost_on_postgres_with_nats() {
    play(Database::Postgres, Bus::Nats);
}
