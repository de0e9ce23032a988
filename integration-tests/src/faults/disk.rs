//! The disk is full, its syncs fail, its writes fail, or the power goes.

use super::image::{Mounted, cut_power, make_image};
use super::kills::under_traffic;
use super::traffic::Traffic;
use super::{Row, Seen, Size, play};
use crate::coordinator::{Coordinator, Setup};
use crate::shim::{Failure, Shim, Times};
use crate::stage::Stage;
use crate::until::{SOON, until, until_true};
use anyhow::{Result, ensure};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// The family.
pub fn rows() -> Vec<Row> {
    let shim = "a preloaded library fails the calls on the database's files";
    vec![
        Row {
            name: "disk.full",
            fault: "the disk is full",
            how: "short: the preloaded library answers ENOSPC; full: a file fills a tmpfs of 32 MiB",
            checked: "507 store.full, reads work, it goes on without a restart when there is space",
            short: true,
            play: full,
        },
        Row {
            name: "disk.sync_error",
            fault: "one fsync fails",
            how: shim,
            checked: "exit code 9 with a plain message; the next start has everything; what was in doubt is found by its key",
            short: true,
            play: |size| one_error(size, Call::Sync),
        },
        Row {
            name: "disk.write_error",
            fault: "one write fails",
            how: shim,
            checked: "as disk.sync_error",
            short: false,
            play: |size| one_error(size, Call::Write),
        },
        Row {
            name: "disk.sync_error_for_good",
            fault: "every fsync fails",
            how: shim,
            checked: "nothing is acknowledged; each start refuses, with a plain message, and is never ready",
            short: true,
            play: syncs_never_work,
        },
        Row {
            name: "disk.power_cut",
            fault: "the power goes",
            how: "the ext4 image under a running coordinator is copied while the process stands still; the copy is mounted and read",
            checked: "everything acknowledged before the copy is in it",
            short: false,
            play: power_cut,
        },
        Row {
            name: "disk.lies",
            fault: "the disk lies about fsync (not promised: it shows that disk.power_cut can fail)",
            how: "the same, with syncs that report success and do nothing",
            checked: "the checker finds P1 broken",
            short: false,
            play: lying_disk,
        },
    ]
}

#[derive(Clone, Copy)]
enum Call {
    Sync,
    Write,
}

/// Where the disk of [`full`] is, and how it is filled.
enum Space {
    Shim(Shim),
    /// The file that fills it.
    Small(std::path::PathBuf),
}

impl Space {
    fn take(&self) -> Result<()> {
        match self {
            Self::Shim(shim) => shim.fail_writes(Failure::NoSpace, Times::Always),
            Self::Small(filler) => {
                let mut file = std::fs::OpenOptions::new().create(true).append(true).open(filler)?;
                let block = vec![0x55; 64 * 1024];
                while file.write_all(&block).is_ok() {}
                // What is left is less than a block of ours, and more than the database would need.
                while file.write_all(&[0x55; 512]).is_ok() {}
                Ok(())
            }
        }
    }

    fn give_back(&self) -> Result<()> {
        match self {
            Self::Shim(shim) => shim.heal(),
            Self::Small(filler) => Ok(std::fs::remove_file(filler)?),
        }
    }
}

fn full(size: Size) -> Seen {
    play(async |stage| {
        let (space, setup, _mounted) = match size {
            Size::Short => {
                let shim = Shim::prepare(stage, "tasker.db")?;
                let setup = Setup::embedded(stage).shimmed(&shim);
                (Space::Shim(shim), setup, None)
            }
            Size::Full => {
                let disk = stage.path("disk");
                let mounted = Mounted::in_memory(&disk, 32)?;
                let setup = Setup::embedded(stage).database(format!("sqlite:{}", disk.join("tasker.db").display()));
                (Space::Small(disk.join("filler")), setup, Some(mounted))
            }
        };
        let (mut coordinator, _worker, traffic) = under_traffic(stage, &setup).await?;
        let (times, mut waited) = (size.of(1, 5), Vec::new());
        for _ in 0..times {
            traffic.submit_more(20).await?;
            traffic.all_succeeded().await?;
            let known = traffic.accepted().pop().expect("twenty were accepted");
            waited.push(once_full(&coordinator, &traffic, &space, &known).await?);
            ensure!(coordinator.process.is_running(), "the coordinator has ended");
            traffic.submit_more(20).await?;
        }
        traffic.all_succeeded().await?;
        traffic.stop_and_check(stage, &mut coordinator).await?;
        Ok(Seen::new(times, format!("accepting again {} ms after space was freed, same process", super::traffic::percentile(&waited, 1.0))))
    })
}

/// Fills the disk, sees what can be done then, frees it, and says how long it took until a submission was accepted again.
async fn once_full(coordinator: &Coordinator, traffic: &Traffic, space: &Space, known: &str) -> Result<Duration> {
    let api = &coordinator.api;
    let filled = async {
        // The first to meet the full disk has an unknown outcome until there is space; those after it are told.
        until_true("a submission is refused with 507", SOON, async || {
            space.take()?;
            let body = serde_json::json!({ "workflow": "journey", "input": { "number": 0 } });
            let answer = tokio::time::timeout(Duration::from_secs(2), api.post("/v1/tasks", &body)).await;
            let Ok(Ok(answer)) = answer else { return Ok(false) };
            if answer.status.as_u16() == 507 {
                answer.problem(507, "store.full")?;
            }
            Ok(answer.status.as_u16() == 507)
        })
        .await?;
        let task = api.task(known).await?;
        ensure!(task["status"] == "succeeded", "a task that was over reads {task:#}");
        api.get("/v1/tasks?limit=10").await?.ok()?;
        api.get("/v1/workflows").await?.ok()?;
        api.get("/livez").await?.ok()
    };
    filled.await?;
    space.give_back()?;
    let began = Instant::now();
    let number = traffic.fresh();
    until("a submission is accepted again", SOON, async || traffic.try_submit(number).await).await?;
    Ok(began.elapsed())
}

fn one_error(size: Size, call: Call) -> Seen {
    play(async |stage| {
        let shim = Shim::prepare(stage, "tasker.db-wal")?;
        let (mut coordinator, _worker, traffic) = under_traffic(stage, &Setup::embedded(stage).shimmed(&shim)).await?;
        let times = size.of(2, 20);
        let failing = async {
            for time in 0..times {
                let seen = traffic.count();
                until_true("tasks are under way", SOON, async || Ok(traffic.count() > seen + 5 + time % 7)).await?;
                match call {
                    Call::Sync => shim.fail_syncs(Failure::Io, Times::Once)?,
                    Call::Write => shim.fail_writes(Failure::Io, Times::Once)?,
                }
                let status = coordinator.process.ended(SOON).await?;
                ends_plainly(&mut coordinator, status.code())?;
                shim.heal()?;
                coordinator.start_again(stage).await?;
            }
            traffic.end();
            Ok(())
        };
        tokio::try_join!(traffic.keep_going(8), failing)?;
        let tasks = traffic.all_succeeded().await?;
        traffic.stop_and_check(stage, &mut coordinator).await?;
        let unknown = traffic.unknown.into_inner();
        Ok(Seen::new(times, format!("{} tasks; {unknown} submissions without an answer, all found by their keys", tasks.len())))
    })
}

fn ends_plainly(coordinator: &mut Coordinator, code: Option<i32>) -> Result<()> {
    coordinator.process.read_to_end();
    let said = coordinator.process.log().lines().join("\n");
    ensure!(code == Some(9) && said.contains("error[store.commit_failed]"), "ended with {code:?}:\n{said}");
    ensure!(!said.contains("panicked"), "it panicked:\n{said}");
    Ok(())
}

fn syncs_never_work(size: Size) -> Seen {
    play(async |stage| {
        let shim = Shim::prepare(stage, "tasker.db")?;
        let (mut coordinator, _worker, traffic) = under_traffic(stage, &Setup::embedded(stage).shimmed(&shim)).await?;
        traffic.submit_more(10).await?;
        let starts = size.of(2, 10);
        let submitted = async {
            traffic.submit_more(5).await?;
            Ok(())
        };
        let failing = async {
            shim.fail_syncs(Failure::Io, Times::Always)?;
            coordinator.process.ended(SOON).await?;
            let accepted = traffic.count();
            for _ in 0..starts {
                coordinator.process = coordinator.setup().spawn(stage)?;
                let began = Instant::now();
                let status = coordinator.process.ended(SOON).await?;
                coordinator.process.read_to_end();
                let said = coordinator.process.log().lines().join("\n");
                ensure!(!status.success() && said.contains("error[database."), "a start on a disk that cannot sync: {status:?}\n{said}");
                ensure!(began.elapsed() < SOON, "the start hung");
            }
            ensure!(traffic.count() == accepted, "something was acknowledged that no sync has made durable");
            shim.heal()?;
            coordinator.start_again(stage).await
        };
        tokio::try_join!(submitted, failing)?;
        traffic.all_succeeded().await?;
        traffic.stop_and_check(stage, &mut coordinator).await?;
        Ok(Seen::new(usize::try_from(shim.injected()?)?, format!("{starts} starts refused; healed, it goes on")))
    })
}

fn power_cut(size: Size) -> Seen {
    play(async |stage| {
        let (image, setup, _mounted) = on_image(stage)?;
        let (mut coordinator, _worker, traffic) = under_traffic(stage, &setup).await?;
        let times = size.of(2, 100);
        let mut seen = 0;
        for time in 0..times {
            // A burst, cut somewhere in its middle.
            let cutting = async {
                tokio::time::sleep(Duration::from_millis(10 + time as u64 * 17 % 100)).await;
                cut_and_read(stage, &mut coordinator, &image, &traffic).await
            };
            let ((), (code, said, accepted)) = tokio::try_join!(traffic.submit_more(25), cutting)?;
            ensure!(code == Some(0), "after cut {time}, with {accepted} tasks acknowledged:\n{said}");
            seen += accepted;
        }
        traffic.all_succeeded().await?;
        traffic.stop_and_check(stage, &mut coordinator).await?;
        Ok(Seen::new(times, format!("{} tasks, {seen} acknowledgements looked for in the copies, none lost", traffic.count())))
    })
}

fn lying_disk(size: Size) -> Seen {
    play(async |stage| {
        let (image, setup, _mounted) = on_image(stage)?;
        let shim = Shim::prepare(stage, "tasker.db")?;
        let (mut coordinator, _worker, traffic) = under_traffic(stage, &setup.shimmed(&shim)).await?;
        shim.fail_syncs(Failure::Lie, Times::Always)?;
        let times = size.of(2, 10);
        let cutting = async {
            let mut broken = 0;
            for _ in 0..times {
                tokio::time::sleep(Duration::from_millis(300)).await;
                let (code, said, _) = cut_and_read(stage, &mut coordinator, &image, &traffic).await?;
                broken += usize::from(code != Some(0) && (said.contains("BROKEN  P1") || said.contains("error[")));
            }
            traffic.end();
            Ok(broken)
        };
        let ((), broken) = tokio::try_join!(traffic.keep_going(4), cutting)?;
        ensure!(broken > 0, "no cut lost anything although nothing was synced: the method sees nothing");
        Ok(Seen::new(times, format!("{broken} of {times} cuts lost acknowledged tasks, and the checker named it")))
    })
}

fn on_image(stage: &Stage) -> Result<(std::path::PathBuf, Setup, Mounted)> {
    let (image, disk) = (stage.path("disk.img"), stage.path("disk"));
    make_image(&image, 192)?;
    let mounted = Mounted::image(&image, &disk)?;
    let setup = Setup::embedded(stage).database(format!("sqlite:{}", disk.join("tasker.db").display()));
    Ok((image, setup, mounted))
}

/// Copies the disk as it is now, opens the copy and has it checked against everything acknowledged before.
async fn cut_and_read(
    stage: &Stage,
    coordinator: &mut Coordinator,
    image: &Path,
    traffic: &Traffic,
) -> Result<(Option<i32>, String, usize)> {
    let (copy, disk) = (stage.path("copy.img"), stage.path("copy"));
    // Everything acknowledged up to here, and perhaps more, must be on the disk.
    let accepted = traffic.accepted();
    cut_power(&mut coordinator.process, image, &copy)?;
    let mounted = Mounted::image(&copy, &disk)?;
    let list = stage.path("accepted.txt");
    std::fs::write(&list, accepted.join("\n"))?;
    let database = format!("sqlite:{}", disk.join("tasker.db").display());
    let (code, said) = stage.tasker(&["debug", "check", "--database-url", &database, "--accepted", &list.display().to_string()]).await?;
    drop(mounted);
    std::fs::remove_file(&copy)?;
    Ok((code, said, accepted.len()))
}
