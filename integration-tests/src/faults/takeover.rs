//! Two coordinators on one PostgreSQL database and one NATS server; one of them goes, and the other goes on.
//!
//! Which of the two runs the tasks is theirs to decide, so the fault hits each in turn: every second time it is the one that does.

use super::traffic::{JOURNEY, Traffic, percentile};
use super::{Row, Seen, Size, play};
use crate::coordinator::{Coordinator, Setup};
use crate::stage::{Language, Stage};
use crate::until::{SOON, until_true};
use crate::{ports, postgres::Cluster};
use anyhow::{Result, ensure};
use std::time::Duration;

/// The family.
pub fn rows() -> Vec<Row> {
    let row = |name, fault, how, play| Row {
        name,
        fault,
        how,
        checked: "the other goes on; nothing is lost, nothing done twice",
        short: false,
        play,
    };
    vec![
        row("takeover.killed", "one of two coordinators dies", "kill -9, each in turn, under traffic", |size| {
            take_turns(size, Gone::Killed)
        }),
        row("takeover.stopped", "one of two coordinators is stopped in order", "SIGTERM, each in turn, under traffic", |size| {
            take_turns(size, Gone::Stopped)
        }),
        row(
            "takeover.frozen",
            "one of two coordinators stands still beyond its lease and comes back",
            "SIGSTOP for 10 s, SIGCONT, each in turn, under traffic: whoever comes back is refused every write",
            |size| take_turns(size, Gone::Frozen),
        ),
    ]
}

#[derive(Clone, Copy)]
enum Gone {
    Killed,
    Stopped,
    Frozen,
}

/// Longer than any lease of a coordinator.
const FROZEN: Duration = Duration::from_secs(10);
/// Until a task that is submitted to the other one is over. The promise is 4 s; the machine may be busy.
const FLOWING_MAX: Duration = Duration::from_secs(10);

fn take_turns(size: Size, gone: Gone) -> Seen {
    play(async |stage| {
        let (cluster, server) = (Cluster::shared().await?, stage.nats().await?);
        let setup = Setup::embedded(stage).database(cluster.create_database().await?).nats(&server);
        let mut first = setup.start(stage).await?;
        let mut second = Setup { http_port: ports::free(), ..setup }.start(stage).await?;
        first.api.apply(JOURNEY).await?;
        let _worker = first.worker_with(stage, Language::Rust, "shop", &[("TASKER_SLOTS", "32")]).await?;
        let traffic = Traffic::new(&second.api);
        let (times, mut flowing) = (size.of(2, 20), Vec::new());
        let going = async {
            for time in 0..times {
                let (leaving, staying) = if time % 2 == 0 { (&mut first, &mut second) } else { (&mut second, &mut first) };
                traffic.ask(&staying.api);
                let seen = traffic.count();
                until_true("tasks are under way", SOON, async || Ok(traffic.count() >= seen + 20)).await?;
                leave(leaving, gone).await?;
                flowing.push(traffic.until_flowing().await?);
                come_back(stage, leaving, gone).await?;
            }
            traffic.end();
            Ok(())
        };
        tokio::try_join!(traffic.keep_going(4), going)?;
        let tasks = traffic.all_succeeded().await?;
        second.stop().await?;
        traffic.stop_and_check(stage, &mut first).await?;
        let (half, most) = (percentile(&flowing, 0.5), percentile(&flowing, 1.0));
        ensure!(most <= FLOWING_MAX.as_millis(), "it took {most} ms until the other one went on");
        Ok(Seen::new(times, format!("{} tasks; a new task was over after {half} ms, at most {most} ms", tasks.len())))
    })
}

async fn leave(coordinator: &mut Coordinator, gone: Gone) -> Result<()> {
    match gone {
        Gone::Killed => coordinator.process.kill(),
        Gone::Stopped => coordinator.stop().await,
        Gone::Frozen => coordinator.process.signal("STOP"),
    }
}

async fn come_back(stage: &Stage, coordinator: &mut Coordinator, gone: Gone) -> Result<()> {
    match gone {
        Gone::Killed | Gone::Stopped => coordinator.start_again(stage).await,
        Gone::Frozen => {
            tokio::time::sleep(FROZEN).await;
            coordinator.process.signal("CONT")?;
            // It steps down from what it has lost, and stays.
            coordinator.until_ready().await
        }
    }
}
