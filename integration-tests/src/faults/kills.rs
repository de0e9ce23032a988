//! The coordinator ends without warning, at named places and anywhere, and stands still for longer than any lease.

use super::traffic::{JOURNEY, Traffic, extra_attempts, percentile};
use super::{Row, Seen, Size, play};
use crate::coordinator::{Coordinator, Setup};
use crate::process::Process;
use crate::stage::{Language, Stage};
use crate::until::{SOON, until_true};
use anyhow::{Result, ensure};
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

/// The family.
pub fn rows() -> Vec<Row> {
    let point = "a debug build aborts at the n-th passage: TASKER_FAILPOINT=PLACE:n";
    vec![
        Row {
            name: "kill.before_commit",
            fault: "the coordinator dies before a commit",
            how: point,
            checked: "nothing of the group is there; no attempt beyond the first",
            short: true,
            play: |size| at_place(size, "before_commit"),
        },
        Row {
            name: "kill.after_commit_before_send",
            fault: "the coordinator dies between commit and send",
            how: point,
            checked: "everything of the group is there; no attempt beyond the first",
            short: true,
            play: |size| at_place(size, "after_commit_before_send"),
        },
        Row {
            name: "kill.after_send",
            fault: "the coordinator dies when all was sent",
            how: point,
            checked: "no attempt beyond the first",
            short: true,
            play: |size| at_place(size, "after_send"),
        },
        Row {
            name: "kill.anywhere",
            fault: "the coordinator dies anywhere",
            how: "kill -9 after 100 to 700 ms of traffic, again and again",
            checked: "no attempt beyond the first; time until it is ready again",
            short: false,
            play: anywhere,
        },
        Row {
            name: "stop.coordinator",
            fault: "the coordinator stands still for longer than the workers' lease",
            how: "SIGSTOP, twice the lease, SIGCONT",
            checked: "no worker is declared lost for it: no attempt beyond the first",
            short: true,
            play: stands_still,
        },
    ]
}

/// A coordinator with one worker under traffic.
pub async fn under_traffic(stage: &Stage, setup: &Setup) -> Result<(Coordinator, Process, Traffic)> {
    let coordinator = setup.start(stage).await?;
    coordinator.api.apply(JOURNEY).await?;
    let worker = coordinator.worker_with(stage, Language::Rust, "shop", &[("TASKER_SLOTS", "32")]).await?;
    let traffic = Traffic::new(&coordinator.api);
    Ok((coordinator, worker, traffic))
}

/// A lease that no restart outlasts, so that an attempt too many can only be a mistake.
fn patient(stage: &Stage) -> Setup {
    Setup::embedded(stage).with("TASKER_LEASE", "60s")
}

fn at_place(size: Size, place: &str) -> Seen {
    play(async |stage| {
        let (mut coordinator, _worker, traffic) = under_traffic(stage, &patient(stage)).await?;
        let times = size.of(2, 20);
        let mut ready = Vec::new();
        let killing = async {
            for time in 0..times {
                // Early and late, so that it hits submissions, dispatches, replies and sweeps.
                coordinator.setup_mut().set("TASKER_FAILPOINT", Some(&format!("{place}:{}", 3 + time * 7 % 40)));
                if time == 0 {
                    coordinator.kill_and_spawn(stage)?;
                } else {
                    coordinator.process = coordinator.setup().spawn(stage)?;
                }
                let status = coordinator.process.ended(SOON).await?;
                ensure!(status.signal() == Some(6), "the failpoint was not reached: {status:?}");
            }
            coordinator.setup_mut().set("TASKER_FAILPOINT", None);
            let began = Instant::now();
            coordinator.start_again(stage).await?;
            ready.push(began.elapsed());
            traffic.end();
            Ok(())
        };
        tokio::try_join!(traffic.keep_going(8), killing)?;
        let tasks = traffic.all_succeeded().await?;
        let extra = extra_attempts(&tasks);
        ensure!(extra == 0, "{extra} attempts beyond the first");
        traffic.stop_and_check(stage, &mut coordinator).await?;
        let unknown = traffic.unknown.into_inner();
        Ok(Seen::new(
            times,
            format!("{} tasks, {unknown} submissions without an answer, ready again in {} ms", tasks.len(), percentile(&ready, 1.0)),
        ))
    })
}

fn anywhere(size: Size) -> Seen {
    play(async |stage| {
        let (mut coordinator, _worker, traffic) = under_traffic(stage, &patient(stage)).await?;
        let times = size.of(3, 100);
        let mut ready = Vec::new();
        let killing = async {
            for time in 0..times {
                tokio::time::sleep(Duration::from_millis(100 + time as u64 * 137 % 600)).await;
                let began = Instant::now();
                coordinator.kill_and_start(stage).await?;
                ready.push(began.elapsed());
            }
            traffic.end();
            Ok(())
        };
        tokio::try_join!(traffic.keep_going(8), killing)?;
        let tasks = traffic.all_succeeded().await?;
        let extra = extra_attempts(&tasks);
        ensure!(extra == 0, "{extra} attempts beyond the first");
        traffic.stop_and_check(stage, &mut coordinator).await?;
        let (half, most) = (percentile(&ready, 0.5), percentile(&ready, 0.95));
        Ok(Seen::new(times, format!("{} tasks; ready again in {half} ms, p95 {most} ms", tasks.len())))
    })
}

fn stands_still(size: Size) -> Seen {
    play(async |stage| {
        let lease = Duration::from_secs(2);
        let setup = Setup::embedded(stage).with("TASKER_LEASE", "2s").with("TASKER_HEARTBEAT", "500ms");
        let (mut coordinator, _worker, traffic) = under_traffic(stage, &setup).await?;
        let times = size.of(1, 10);
        let stopping = async {
            for _ in 0..times {
                let seen = traffic.count();
                until_true("tasks are under way", SOON, async || Ok(traffic.count() >= seen + 20)).await?;
                coordinator.process.signal("STOP")?;
                tokio::time::sleep(2 * lease).await;
                coordinator.process.signal("CONT")?;
            }
            traffic.end();
            Ok(())
        };
        tokio::try_join!(traffic.keep_going(4), stopping)?;
        let tasks = traffic.all_succeeded().await?;
        let extra = extra_attempts(&tasks);
        ensure!(extra == 0, "{extra} attempts beyond the first: a worker was blamed for the coordinator's silence");
        traffic.stop_and_check(stage, &mut coordinator).await?;
        Ok(Seen::new(times, format!("{} tasks, none tried twice", tasks.len())))
    })
}
