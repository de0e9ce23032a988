//! Several coordinators on one PostgreSQL database and one NATS server: whichever goes, however it goes, another one continues; nobody who was
//! replaced writes anything; clients may ask any of them.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tasker_integration_tests::api::{Api, instant};
use tasker_integration_tests::coordinator::{Coordinator, Setup, text};
use tasker_integration_tests::postgres::Cluster;
use tasker_integration_tests::process::Process;
use tasker_integration_tests::stage::{Language, Stage, on_stage};
use tasker_integration_tests::until::{SOON, until, until_true};
use tasker_integration_tests::{nats, ports};

/// From the death of a coordinator until another one dispatches, as the product promises it; workers find the new one within a beat.
const AFTER_CRASH: Duration = Duration::from_secs(4);
/// The same after a graceful stop, with what a busy machine adds: the promise is half a second.
const AFTER_STOP: Duration = Duration::from_millis(1_500);
/// How long a client waits for a coordinator that may hang before it asks another one.
const PATIENCE: Duration = Duration::from_secs(1);
/// Longer than the lease of a coordinator.
const PAUSE: Duration = Duration::from_secs(5);

const FLOW: &str = "
name: flow
version: 1.0.0
systems: { front: {} }
workflow_steps:
  - { name: one, owner: front, capability: conformance.echo, input: { text: one, number: '${ task.input.number }' } }
  - { name: two, owner: front, capability: conformance.echo, depends_on: one, input: { text: two, number: '${ steps.one.result.number + 1 }' } }
result: { number: '${ steps.two.result.number }' }
";

/// These tests measure time; side by side they would measure each other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

struct Fleet {
    setup: Setup,
    coordinators: Vec<Coordinator>,
    _server: nats::Server,
    _cluster: std::sync::Arc<Cluster>,
}

impl Fleet {
    async fn start(stage: &Stage, count: usize) -> Result<Self> {
        let cluster = Cluster::shared().await?;
        let server = stage.nats().await?;
        let setup = Setup::embedded(stage).database(cluster.create_database().await?).nats(&server);
        let setup = setup.with("TASKER_HEARTBEAT", "500ms").with("TASKER_LEASE", "2s");
        let mut fleet = Self { setup, coordinators: Vec::new(), _server: server, _cluster: cluster };
        for _ in 0..count {
            fleet.add(stage).await?;
        }
        Ok(fleet)
    }

    async fn add(&mut self, stage: &Stage) -> Result<()> {
        let setup = Setup { http_port: ports::free(), ..self.setup.clone() };
        self.coordinators.push(setup.start(stage).await?);
        Ok(())
    }

    /// Takes out the coordinator that runs the default namespace; those that are left can be asked.
    async fn take_owner(&mut self) -> Result<Coordinator> {
        let mut owner = None;
        for (at, coordinator) in self.coordinators.iter().enumerate() {
            if shards(&coordinator.api).await?.contains(&DEFAULT_SHARD) {
                owner = Some(at);
            }
        }
        Ok(self.coordinators.swap_remove(owner.context("nobody runs the default namespace")?))
    }
}

/// Where the namespace `default` lives; a test of the engine pins it.
const DEFAULT_SHARD: u8 = tasker_engine_shard();

const fn tasker_engine_shard() -> u8 {
    // FNV-1a of `default`, modulo eight shards.
    let (bytes, mut hash, mut at) = (b"default", 0xcbf2_9ce4_8422_2325_u64, 0);
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    (hash % 8) as u8
}

/// The shards that a coordinator runs, as it says itself.
async fn shards(api: &Api) -> Result<BTreeSet<u8>> {
    let status = api.get("/v1/status").await?.ok()?;
    let components = status["components"].as_array().context("components")?;
    let line = components.iter().find(|component| component["name"] == "shards").context("no component `shards`")?;
    let state = line["detail"].as_str().context("a detail")?;
    let numbers = state.split_once(": ").filter(|(words, _)| words.starts_with("runs")).map_or("", |(_, numbers)| numbers);
    Ok(numbers.split(", ").filter_map(|number| number.parse().ok()).collect())
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970");
    i64::try_from(since.as_millis()).expect("the clock is before the end of time")
}

/// Submits one task after the other to any coordinator that is there, each under its key until it is acknowledged.
struct Load {
    apis: Mutex<Vec<Api>>,
    accepted: Mutex<Vec<(usize, String)>>,
    enough: AtomicBool,
}

impl Load {
    fn on(fleet: &Fleet) -> Self {
        let apis = fleet.coordinators.iter().map(|coordinator| coordinator.api.clone()).collect();
        Self { apis: Mutex::new(apis), accepted: Mutex::default(), enough: AtomicBool::new(false) }
    }

    fn only(&self, fleet: &Fleet) {
        *self.apis.lock().expect("nobody panicked") = fleet.coordinators.iter().map(|coordinator| coordinator.api.clone()).collect();
    }

    fn count(&self) -> usize {
        self.accepted.lock().expect("nobody panicked").len()
    }

    async fn run(&self) -> Result<()> {
        for number in 0.. {
            if self.enough.load(Ordering::Relaxed) {
                break;
            }
            let id = until(&format!("submission {number} is acknowledged"), Duration::from_secs(30), async || {
                let apis = self.apis.lock().expect("nobody panicked").clone();
                let api = &apis[number % apis.len()];
                let (input, key) = (json!({ "number": number }), format!("key-{number}"));
                let asked = tokio::time::timeout(PATIENCE, api.submit_with_key("flow", &input, &key));
                let Ok(Ok(answer)) = asked.await else { return Ok(None) };
                match answer.status.as_u16() {
                    200 | 201 => Ok(Some(text(&answer.body, "id")?.to_owned())),
                    429 | 503 => Ok(None),
                    _ => panic!("submission {number} was refused: {answer:?}"),
                }
            })
            .await?;
            self.accepted.lock().expect("nobody panicked").push((number, id));
        }
        Ok(())
    }

    /// Every task is over, with its own result; their attempts' starts.
    async fn all_over(&self, api: &Api) -> Result<Vec<i64>> {
        let accepted = self.accepted.lock().expect("nobody panicked").clone();
        let mut starts = Vec::new();
        for (number, id) in accepted {
            let task = api.finished_as(&id, "succeeded").await?;
            ensure!(task["result"] == json!({ "number": number + 1 }), "task {number}: {task:#}");
            for step in task["steps"].as_array().context("steps")? {
                for attempt in step["attempts"].as_array().into_iter().flatten() {
                    starts.push(instant(attempt, "started_at")?);
                }
            }
        }
        Ok(starts)
    }

    fn ids(&self) -> Vec<String> {
        self.accepted.lock().expect("nobody panicked").iter().map(|(_, id)| id.clone()).collect()
    }
}

/// A fleet of two under load; the owner of the namespace is done something to; how long nothing was dispatched.
fn play(
    what: impl AsyncFnOnce(&mut Coordinator) -> Result<()>,
    afterwards: impl AsyncFnOnce(&mut Coordinator) -> Result<()>,
    at_most: Duration,
) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    on_stage(async |stage| {
        let mut fleet = Fleet::start(stage, 2).await?;
        fleet.coordinators[0].api.apply(FLOW).await?;
        let _front: Process = fleet.coordinators[0].worker(stage, Language::Rust, "front").await?;
        let load = Load::on(&fleet);
        let acting = async {
            until_true("some tasks are accepted", SOON, async || Ok(load.count() >= 50)).await?;
            let mut owner = fleet.take_owner().await?;
            load.only(&fleet);
            let (at, before) = (now_ms(), load.count());
            what(&mut owner).await?;
            until_true("tasks are accepted again", SOON, async || Ok(load.count() >= before + 50)).await?;
            afterwards(&mut owner).await?;
            let after = load.count();
            until_true("tasks are still accepted", SOON, async || Ok(load.count() >= after + 20)).await?;
            load.enough.store(true, Ordering::Relaxed);
            Ok((at, owner, fleet))
        };
        let ((), (at, mut owner, mut fleet)) = tokio::try_join!(load.run(), acting)?;
        let survivor = &fleet.coordinators[0];
        let starts = load.all_over(&survivor.api).await?;
        let gap = longest_gap(starts, at);
        println!("{} tasks; nothing was dispatched for {gap} ms", load.count());
        ensure!(i128::from(gap) <= at_most.as_millis() as i128, "nothing was dispatched for {gap} ms");
        if owner.process.is_running() {
            owner.stop().await?;
        }
        fleet.coordinators[0].stop().await?;
        println!("{}", fleet.coordinators[0].check(stage, &load.ids()).await?);
        Ok(())
    });
}

/// The longest time without a dispatch that began after something happened, or contains it.
fn longest_gap(mut starts: Vec<i64>, at: i64) -> i64 {
    starts.sort_unstable();
    starts.windows(2).filter(|pair| pair[1] > at).map(|pair| pair[1] - pair[0].max(at)).max().unwrap_or(i64::MAX)
}

#[test]
fn a_killed_coordinator_is_replaced_within_four_seconds() {
    play(async |owner| owner.process.kill(), async |_| Ok(()), AFTER_CRASH);
}

#[test]
fn a_coordinator_that_is_stopped_is_replaced_at_once() {
    play(async |owner| owner.process.terminate(), async |_| Ok(()), AFTER_STOP);
}

#[test]
fn a_coordinator_that_was_paused_beyond_its_lease_is_fenced_and_steps_down() {
    let replaced = async |owner: &mut Coordinator| {
        owner.process.signal("STOP")?;
        tokio::time::sleep(PAUSE).await;
        Ok(())
    };
    let wakes = async |owner: &mut Coordinator| {
        owner.process.signal("CONT")?;
        let api = owner.api.clone();
        // It gave up what was taken from it, and takes its share again from the other one.
        until_true("the paused coordinator has stepped down and serves again", SOON, async || Ok(api.is_ready().await)).await?;
        let log = owner.process.log();
        until_true("it says that it was replaced", SOON, async || {
            Ok(log.lines().iter().any(|line| line.contains("stepping down") || line.contains("fenced")))
        })
        .await
    };
    play(replaced, wakes, AFTER_CRASH + Duration::from_secs(2));
}

#[test]
fn shards_move_to_a_coordinator_that_joins_and_back_when_it_leaves() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    on_stage(async |stage| {
        let mut fleet = Fleet::start(stage, 1).await?;
        ensure!(shards(&fleet.coordinators[0].api).await?.len() == 8, "the first one runs everything");
        fleet.add(stage).await?;
        let began = Instant::now();
        until_true("each runs half", SOON, async || {
            let (first, second) = (shards(&fleet.coordinators[0].api).await?, shards(&fleet.coordinators[1].api).await?);
            ensure!(first.is_disjoint(&second), "{first:?} and {second:?}");
            Ok(first.len() == 4 && second.len() == 4)
        })
        .await?;
        println!("moved within {:?}", began.elapsed());
        fleet.coordinators[0].stop().await?;
        until_true("the other one runs everything", SOON, async || Ok(shards(&fleet.coordinators[1].api).await?.len() == 8)).await?;
        fleet.coordinators[1].stop().await
    });
}

#[test]
fn any_coordinator_answers_for_every_namespace() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    on_stage(async |stage| {
        let mut fleet = Fleet::start(stage, 2).await?;
        let apis: Vec<Api> = fleet.coordinators.iter().map(|coordinator| coordinator.api.clone()).collect();
        until_true("each runs half", SOON, async || Ok(shards(&apis[0]).await?.len() == 4 && shards(&apis[1]).await?.len() == 4)).await?;
        apis[0].apply(FLOW).await?;
        let _front = fleet.coordinators[1].worker(stage, Language::Rust, "front").await?;
        for api in &apis {
            let id = api.submit("flow", json!({ "number": 1 })).await?;
            for api in &apis {
                ensure!(api.finished_as(&id, "succeeded").await?["id"] == id.as_str(), "{id}");
                ensure!(api.events(&id).await?.len() > 2, "{id}");
            }
            let listed = api.get("/v1/tasks?limit=10").await?.ok()?;
            ensure!(listed["items"].as_array().is_some_and(|items| !items.is_empty()) || listed["items"].is_array(), "{listed:#}");
            api.get("/v1/tasks/tsk_zzz").await?.problem(400, "task.id_malformed")?;
            api.get("/v1/tasks?namespace=a%20b").await?.problem(400, "request.malformed")?;
        }
        for namespace in ["a", "b", "c", "d", "e", "f"] {
            for api in &apis {
                let workflows = api.get(&format!("/v1/workflows?namespace={namespace}")).await?.ok()?;
                ensure!(workflows["items"] == Value::Array(Vec::new()), "{workflows:#}");
            }
        }
        for coordinator in &mut fleet.coordinators {
            coordinator.stop().await?;
        }
        Ok(())
    });
}

#[test]
fn a_coordinator_with_a_listener_of_its_own_shares_its_database_with_nobody() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    on_stage(async |stage| {
        let cluster = Cluster::shared().await?;
        let server = stage.nats().await?;
        let alone = Setup::embedded(stage).database(cluster.create_database().await?);
        let mut first = alone.start(stage).await?;
        let mut second = Setup { http_port: ports::free(), ..alone.clone() }.nats(&server).spawn(stage)?;
        let status = second.ended(SOON).await?;
        second.read_to_end();
        let said = second.log().lines().join("\n");
        ensure!(!status.success() && said.contains("database.in_use"), "{status}: {said}");
        first.stop().await
    });
}
