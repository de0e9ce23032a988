//! Programs and people: they apply workflows, submit with idempotency keys and repeat what they are not sure of, cancel, retry, signal, send
//! events, decide, resolve, pause and resume.

use crate::cluster::Cluster;
use crate::dice::Dice;
use crate::manifests;
use crate::promises::tenant;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::task::{StepState, Wait};
use tasker_engine::{StepLabel, Task, TaskId, WorkflowName};
use tasker_runtime::operations::{
    ApplyError, ChangeError, Decide, Operations, Resolve, ResolveHow, SendEvent, SendSignal, Submit, SubmitError, Unavailable,
};
use tasker_runtime::port::store::TaskRow;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(4);
/// How often a healed cluster is asked the same: after the last fault the shard may still be changing hands.
const ASKED_MAX: usize = 20;
/// The workflows; a later one may start tasks of earlier ones.
const NAMES: [&str; 3] = ["plain", "parent", "grandparent"];

/// Those who submit; each ends once it knows what became of everything it sent.
pub type Clients = Vec<JoinHandle<()>>;

pub fn start(cluster: &Arc<Cluster>, dice: &mut Dice) -> Clients {
    let mut clients = vec![tokio::spawn(apply_all(cluster.clone(), dice.fork()))];
    for _ in 0..dice.between(1, 3) {
        clients.push(tokio::spawn(submit_many(cluster.clone(), dice.fork())));
    }
    for _ in 0..2 {
        tokio::spawn(meddle(cluster.clone(), dice.fork()));
    }
    clients
}

/// Some coordinator that answers, or did a moment ago.
fn door(cluster: &Cluster, dice: &mut Dice) -> Option<Operations> {
    let doors: Vec<Operations> = cluster.slots.iter().filter_map(|slot| slot.operations()).collect();
    dice.pick(&doors).cloned()
}

async fn apply_all(cluster: Arc<Cluster>, mut dice: Dice) {
    let mut known = Vec::new();
    for name in NAMES {
        let text = manifests::draw(&mut dice, name, 1, &known);
        apply(&cluster, &mut dice, &text).await;
        known.push(name.to_owned());
    }
    for version in 2..=dice.between(2, 3) {
        sleep(dice.millis(2_000, 9_000)).await;
        let place = dice.below(NAMES.len() as u64) as usize;
        let text = manifests::draw(&mut dice, NAMES[place], version, &known[..place]);
        apply(&cluster, &mut dice, &text).await;
    }
}

/// Applies until it is known to be applied; the same again changes nothing.
async fn apply(cluster: &Cluster, dice: &mut Dice, text: &str) {
    loop {
        if let Some(door) = door(cluster, dice) {
            match timeout(PATIENCE, door.apply_workflow(&tenant(), text, "simulated.yaml", false, None)).await {
                Ok(Ok(_)) => return,
                Ok(Err(ApplyError::Unavailable(_))) | Err(_) => {}
                // A worker's corrupted hello may have announced nonsense that the gate believes; try again when it is forgotten.
                Ok(Err(ApplyError::Incompatible { .. })) => {}
                Ok(Err(other)) => return cluster.judge(|judge| judge.violated("apply", format!("{other}\n{text}"))),
            }
        }
        sleep(dice.millis(100, 600)).await;
    }
}

async fn submit_many(cluster: Arc<Cluster>, mut dice: Dice) {
    for number in 0..dice.between(4, 16) {
        sleep(dice.millis(0, 2_500)).await;
        let key = dice.percent(75).then(|| format!("key-{number}-{:x}", dice.next()));
        let items: Vec<String> = (0..dice.below(6)).map(|item| item.to_string()).collect();
        let input = format!("{{\"choice\":{},\"items\":[{}],\"key\":\"k{}\"}}", dice.below(5), items.join(","), dice.below(6));
        let workflow = dice.pick(&NAMES).expect("three names").parse().expect("a name");
        submit(&cluster, &mut dice, workflow, input, key).await;
    }
}

async fn submit(cluster: &Cluster, dice: &mut Dice, workflow: WorkflowName, input: String, key: Option<String>) {
    let asked = |input: String| Submit {
        priority: None,
        workflow: workflow.clone(),
        version: None,
        input: Bytes::from(input),
        labels: BTreeMap::new(),
        idempotency_key: key.clone(),
        traceparent: None,
    };
    let mut uncertain = false;
    loop {
        let Some(door) = door(cluster, dice) else {
            sleep(dice.millis(50, 400)).await;
            continue;
        };
        let sent = timeout(PATIENCE, door.submit(&tenant(), asked(input.clone()))).await;
        match sent {
            Ok(Ok(submitted)) => {
                cluster.judge(|judge| judge.told_accepted(submitted.task, key.as_deref()));
                break;
            }
            Ok(Err(SubmitError::Unavailable(Unavailable::Busy { .. }))) => {
                if cluster.active_max < 100 {
                    cluster.sometimes("a submission turned away because too many tasks were active");
                }
            }
            Ok(Err(SubmitError::Unavailable(Unavailable::Unknown))) | Err(_) => uncertain = true,
            Ok(Err(SubmitError::Unavailable(_) | SubmitError::UnknownWorkflow { .. })) => {}
            Ok(Err(other)) => return cluster.judge(|judge| judge.violated("P2", format!("a submission was refused: {other}"))),
        }
        if uncertain {
            // Without a key nobody can find out whether the task exists.
            if key.is_none() {
                return;
            }
            cluster.sometimes("an idempotency key repeated after an unknown outcome");
        }
        sleep(dice.millis(50, 1_200)).await;
    }
    if key.is_some() && dice.percent(25) {
        let other = door(cluster, dice);
        let other = async { Some(timeout(PATIENCE, other?.submit(&tenant(), asked(input.replace("\"choice\":", "\"choice\":1")))).await) };
        match other.await {
            Some(Ok(Ok(submitted))) => cluster.judge(|judge| judge.violated("P2", format!("other content got task {}", submitted.task))),
            Some(Ok(Err(SubmitError::KeyReused { .. }))) => cluster.sometimes("an idempotency key used for other content"),
            Some(Ok(Err(_)) | Err(_)) | None => {}
        }
    }
}

/// What somebody can do about a task that waits.
enum Need {
    Approve(StepLabel),
    Signal,
    Event(String),
    Resolve(StepLabel),
    Resume,
}

fn needs(task: &Task) -> Vec<Need> {
    let of_step = |step| match &task.progress(step).state {
        StepState::Held { .. } => Some(Need::Resolve(task.label(step))),
        StepState::Waiting(waiting) => match &waiting.wait {
            Wait::Approval { .. } => Some(Need::Approve(task.label(step))),
            Wait::Signal { .. } => Some(Need::Signal),
            Wait::Event { key, .. } => Some(Need::Event(key.clone())),
            Wait::Sleep => None,
        },
        _ => None,
    };
    let mut needs: Vec<Need> = task.indexes().filter_map(of_step).collect();
    if task.paused.is_some() {
        needs.push(Need::Resume);
    }
    needs
}

/// Asks, and forgets the answer: what it says is checked where it is committed.
async fn ask<T, E>(asked: impl Future<Output = Result<T, E>>) -> Option<Result<T, E>> {
    timeout(PATIENCE, asked).await.ok()
}

async fn help(door: &Operations, dice: &mut Dice, id: TaskId, need: Need) {
    let tenant = tenant();
    match need {
        Need::Approve(step) => {
            let decide = Decide { approved: dice.percent(70), by: "ann".into(), role: None, comment: None, form: None };
            ask(door.decide(&tenant, id, step, decide)).await;
        }
        Need::Signal => {
            let signal = SendSignal { name: "go".into(), payload: Bytes::from_static(b"1"), id: Some(format!("s{}", dice.below(1_000))) };
            ask(door.signal(&tenant, id, signal)).await;
        }
        Need::Event(key) => send_event(door, dice, key).await.unwrap_or_default(),
        Need::Resolve(step) => {
            let how = match dice.below(4) {
                0 => ResolveHow::Retry,
                1 => ResolveHow::Skip,
                2 => ResolveHow::Supply(Bytes::from_static(b"{\"value\":3,\"by\":\"ann\"}")),
                _ => ResolveHow::Fail,
            };
            ask(door.resolve(&tenant, id, step, Resolve { how, by: "ann".into(), comment: None })).await;
        }
        Need::Resume => {
            if let Some(Err(ChangeError::WorkflowPaused(name))) = ask(door.resume(&tenant, id)).await {
                ask(door.resume_workflow(&tenant, &name)).await;
            }
        }
    }
}

async fn send_event(door: &Operations, dice: &mut Dice, key: String) -> Option<()> {
    let id = dice.percent(70).then(|| format!("e{:x}", dice.next()));
    let event = SendEvent { name: "paid".into(), key, payload: Bytes::from_static(b"{\"paid\":true}"), id };
    ask(door.send_event(&tenant(), event)).await?.ok().filter(|taken| taken.kept).map(drop)
}

/// Does what people do, wise or not, until the cluster heals.
async fn meddle(cluster: Arc<Cluster>, mut dice: Dice) {
    let tenant = tenant();
    loop {
        sleep(dice.millis(50, 1_500)).await;
        if cluster.is_healed() {
            return;
        }
        let Some(door) = door(&cluster, &mut dice) else { continue };
        let Some(id) = cluster.judge(|judge| judge.draw_task(&mut dice)) else { continue };
        match dice.below(12) {
            0 | 8 => cancel(&cluster, &mut dice, &door, id).await,
            1 => drop(ask(door.pause(&tenant, id, "a while")).await),
            2 => drop(ask(door.resume(&tenant, id)).await),
            3 => drop(ask(door.retry(&tenant, id)).await),
            4 => {
                let key = format!("k{}", dice.below(6));
                if send_event(&door, &mut dice, key).await.is_some() {
                    cluster.sometimes("an event that was kept first");
                }
            }
            5 => {
                let name = NAMES[dice.below(3) as usize].parse().expect("a name");
                drop(ask(door.pause_workflow(&tenant, &name, "a while")).await);
            }
            6 => {
                let name = NAMES[dice.below(3) as usize].parse().expect("a name");
                drop(ask(door.resume_workflow(&tenant, &name)).await);
            }
            7 => help(&door, &mut dice, id, Need::Signal).await,
            _ => {
                let mut needs = cluster.judge(|judge| judge.tasks.get(&id).map(|known| needs(&known.task))).unwrap_or_default();
                if !needs.is_empty() {
                    let need = needs.swap_remove(dice.below(needs.len() as u64) as usize);
                    help(&door, &mut dice, id, need).await;
                }
            }
        }
    }
}

/// Cancels a task, preferably when its last step is about to answer.
async fn cancel(cluster: &Cluster, dice: &mut Dice, door: &Operations, id: TaskId) {
    let last = |known: &crate::judge::Known| {
        known.task.open_steps == 1 && known.task.steps.iter().any(|step| matches!(step.state, StepState::Running(_)))
    };
    let id = cluster.judge(|judge| judge.open_tasks().find(|(_, known)| last(known)).map(|(id, _)| *id)).unwrap_or(id);
    sleep(dice.millis(0, 40)).await;
    let ran = cluster.judge(|judge| judge.tasks.get(&id).is_some_and(|known| !known.task.status.is_terminal()));
    if let Some(Err(ChangeError::AlreadyFinished(_))) = ask(door.cancel(&tenant(), id, "not wanted")).await
        && ran
    {
        cluster.sometimes("a cancellation that came with the last result");
    }
}

/// After healing: people do what tasks wait for, until every submission has its answer and every task is over.
pub async fn until_over(cluster: &Arc<Cluster>, clients: Clients) {
    let mut dice = Dice::new(cluster.options.seed ^ 0xE4D);
    let helper = async {
        loop {
            sleep(Duration::from_millis(500)).await;
            let Some(door) = door(cluster, &mut dice) else { continue };
            for name in NAMES {
                ask(door.resume_workflow(&tenant(), &name.parse().expect("a name"))).await;
            }
            let waiting = cluster.judge(|judge| {
                let of_task = |(id, known): (&TaskId, &crate::judge::Known)| {
                    needs(&known.task).into_iter().map(move |need| (*id, need)).collect::<Vec<_>>()
                };
                judge.open_tasks().flat_map(of_task).collect::<Vec<_>>()
            });
            for (id, need) in waiting {
                help(&door, &mut dice, id, need).await;
            }
        }
    };
    let all = async {
        for client in clients {
            if let Err(panicked) = client.await {
                cluster.judge(|judge| judge.violated("panic", panicked.to_string()));
            }
        }
        while cluster.judge(|judge| judge.open_tasks().next().is_some()) {
            sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::pin!(helper, all);
    tokio::select! {
        biased;
        () = &mut all => {}
        () = &mut helper => {}
    }
}

/// The task's row, once it says what the task's history says, or after longer than lists may lag: a task that was begun anew late has just ended.
async fn row_once_it_agrees(cluster: &Arc<Cluster>, id: TaskId) -> Option<TaskRow> {
    for _ in 0..LISTS_ASKED {
        let row = cluster.disk.task_row(id);
        let status = cluster.judge(|judge| judge.tasks.get(&id).map(|known| known.task.status));
        if row.as_ref().map(|row| row.status) == status {
            return row;
        }
        sleep(Duration::from_millis(500)).await;
    }
    cluster.disk.task_row(id)
}

/// Lists lag by a sweep a second, in pieces, and a commit: four seconds are more than that.
const LISTS_ASKED: usize = 8;

/// What the coordinator says of a task is what its history says (P19), and lists catch up.
pub async fn compare_views(cluster: &Arc<Cluster>) {
    sleep(Duration::from_secs(5)).await;
    let mut dice = Dice::new(cluster.options.seed ^ 0x71E3);
    for id in cluster.judge(|judge| judge.tasks.keys().copied().collect::<Vec<_>>()) {
        let mut shown = None;
        for _ in 0..ASKED_MAX {
            if let Some(door) = door(cluster, &mut dice) {
                shown = ask(door.task(&tenant(), id)).await;
            }
            if matches!(shown, Some(Ok(_))) {
                break;
            }
            sleep(Duration::from_millis(500)).await;
        }
        let row = row_once_it_agrees(cluster, id).await;
        cluster.judge(|judge| {
            let Some(known) = judge.tasks.get(&id) else { return };
            let (same, status) = (matches!(&shown, Some(Ok(Some(view))) if view.task == known.task), known.task.status);
            let listed = row.is_some_and(|row| row.status == status);
            if !same {
                let shown = match &shown {
                    Some(Ok(Some(view))) => view.task.status.as_str().to_owned(),
                    Some(Ok(None)) => "unknown".to_owned(),
                    Some(Err(error)) => error.to_string(),
                    None => "no answer".to_owned(),
                };
                judge.violated("P19", format!("task {id} is {}, but shown otherwise: {shown}", status.as_str()));
            }
            if !listed {
                judge.violated("lists", format!("task {id} is {} but is not listed so", status.as_str()));
            }
        });
    }
}

/// Why a task does not move, in the coordinator's own words.
pub async fn why(cluster: &Arc<Cluster>) -> Vec<String> {
    let mut dice = Dice::new(1);
    let Some(door) = door(cluster, &mut dice) else { return vec!["nobody owns the shard".into()] };
    let open = cluster.judge(|judge| judge.open_tasks().map(|(id, _)| *id).take(5).collect::<Vec<_>>());
    let mut all = Vec::new();
    for id in open {
        if let Some(Ok(Some(reasons))) = ask(door.why(&tenant(), id)).await {
            all.extend(reasons.into_iter().map(|reason| format!("{id} {}: {}", reason.step.unwrap_or_default(), reason.text)));
        }
    }
    all
}
