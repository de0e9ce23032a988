//! What is done to the cluster while faults last.

use crate::cluster::Cluster;
use crate::dice::Dice;
use crate::fault::Fault;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Does one thing after another until the cluster heals.
pub async fn run(cluster: Arc<Cluster>, mut dice: Dice) {
    let possible: Vec<Fault> = ACTS.iter().copied().filter(|fault| cluster.options.has(*fault)).collect();
    loop {
        sleep(dice.millis(200, 2_500)).await;
        if cluster.is_healed() {
            return;
        }
        if let Some(fault) = dice.pick(&possible).copied() {
            cluster.judge(|judge| judge.note("fault", fault.word().as_bytes()));
            act(&cluster, fault, &mut dice);
        }
    }
}

/// The faults that are deeds; the others happen to single messages, commits and handlers.
const ACTS: &[Fault] = &[
    Fault::Partition,
    Fault::Wipe,
    Fault::Crash,
    Fault::Leave,
    Fault::Pause,
    Fault::StoreCut,
    Fault::DiskFull,
    Fault::PowerCut,
    Fault::ClockJump,
    Fault::WorkerCrash,
];

fn act(cluster: &Arc<Cluster>, fault: Fault, dice: &mut Dice) {
    let owners: Vec<_> = cluster.slots.iter().filter(|slot| slot.operations().is_some()).cloned().collect();
    let owner = dice.pick(&owners).cloned();
    match fault {
        Fault::Partition => {
            let how_long = dice.millis(300, 9_000);
            cluster.network.cut(dice, how_long);
        }
        Fault::Wipe => {
            cluster.judge(|judge| judge.wipes += 1);
            cluster.network.wipe();
        }
        Fault::Crash => owner.into_iter().for_each(|slot| slot.kill()),
        Fault::Leave => owner.into_iter().for_each(|slot| cluster.drain(&slot)),
        Fault::Pause => {
            if let Some(slot) = owner {
                let how_long = dice.millis(300, 9_000);
                slot.freeze(how_long);
                let cluster = cluster.clone();
                tokio::spawn(async move {
                    sleep(how_long + Duration::from_millis(1)).await;
                    cluster.network.thaw();
                });
            }
        }
        Fault::StoreCut => owner.into_iter().for_each(|slot| slot.cut_off(dice.millis(300, 9_000))),
        Fault::DiskFull => cluster.fill_disk(dice.millis(100, 2_000)),
        Fault::PowerCut => cluster.cut_power(dice.millis(1, 800)),
        Fault::ClockJump => {
            if let Some(slot) = dice.pick(&cluster.slots) {
                let millis = dice.between(0, 40_000) as i64 - 20_000;
                slot.jump(millis);
                if millis < 0 {
                    cluster.clock_went_back();
                }
            }
        }
        Fault::WorkerCrash => cluster.kill_worker(dice),
        _ => {}
    }
}
