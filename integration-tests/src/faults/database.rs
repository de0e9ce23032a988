//! PostgreSQL restarts or ends sessions; a second process opens the database of the first.

use super::kills::under_traffic;
use super::{Row, Seen, Size, play};
use crate::coordinator::{Coordinator, Setup};
use crate::ports;
use crate::postgres::Cluster;
use crate::until::{SOON, until_true};
use anyhow::{Context, Result, ensure};
use sqlx::{Connection, PgConnection, Row as _};
use std::time::Duration;

/// The family.
pub fn rows() -> Vec<Row> {
    vec![
        Row {
            name: "database.terminated",
            fault: "PostgreSQL ends every session of the coordinator",
            how: "pg_terminate_backend under traffic",
            checked: "what was in doubt is found by its key; if the process ends, with code 9 and a plain message, and its next start goes on",
            short: true,
            play: |size| lose_sessions(size, Loss::Terminated),
        },
        Row {
            name: "database.crashed",
            fault: "PostgreSQL crashes and recovers",
            how: "kill -9 of one of its processes: the server ends all sessions and recovers from its log",
            checked: "as database.terminated",
            short: false,
            play: |size| lose_sessions(size, Loss::Crashed),
        },
        Row {
            name: "database.readers_terminated",
            fault: "PostgreSQL ends idle sessions only",
            how: "pg_terminate_backend of every session that is idle and holds no lock",
            checked: "reads go on; the process stays",
            short: false,
            play: lose_readers,
        },
        Row {
            name: "database.second_server",
            fault: "a second server is started on the SQLite file of the first",
            how: "the same command twice",
            checked: "the second refuses with database.in_use and names the first; the first goes on",
            short: true,
            play: second_server,
        },
    ]
}

#[derive(Clone, Copy)]
enum Loss {
    Terminated,
    Crashed,
}

fn lose_sessions(size: Size, loss: Loss) -> Seen {
    play(async |stage| {
        let cluster = Cluster::start(&[]).await?;
        let url = cluster.create_database().await?;
        let (mut coordinator, _worker, traffic) = under_traffic(stage, &Setup::embedded(stage).database(url.clone())).await?;
        let times = size.of(2, 20);
        let mut ended = 0;
        let losing = async {
            for _ in 0..times {
                let seen = traffic.count();
                until_true("tasks are under way", SOON, async || Ok(traffic.count() >= seen + 10)).await?;
                lose(&url, loss).await?;
                ended += usize::from(start_again_if_ended(stage, &mut coordinator).await?);
            }
            traffic.end();
            Ok(())
        };
        tokio::try_join!(traffic.keep_going(4), losing)?;
        let tasks = traffic.all_succeeded().await?;
        traffic.stop_and_check(stage, &mut coordinator).await?;
        let unknown = traffic.unknown.into_inner();
        Ok(Seen::new(times, format!("{} tasks; it ended {ended} times with code 9; {unknown} submissions without an answer", tasks.len())))
    })
}

async fn lose(url: &str, loss: Loss) -> Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    let sessions = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    match loss {
        Loss::Terminated => {
            let terminate =
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
            let ended = sqlx::query(terminate).fetch_all(&mut connection).await?.len();
            ensure!(ended > 0, "there was no session to end");
        }
        Loss::Crashed => {
            let process: i32 = sqlx::query(sessions).fetch_one(&mut connection).await.context("a session to kill")?.get(0);
            let status = std::process::Command::new("kill").args(["-9", &process.to_string()]).status()?;
            ensure!(status.success(), "process {process} of the server cannot be killed; run as root or as the server's user");
        }
    }
    // Its own session may be among those that end.
    let _ = connection.close().await;
    Ok(())
}

/// Whoever keeps the process starts it again when it ends; says whether it did.
async fn start_again_if_ended(stage: &crate::stage::Stage, coordinator: &mut Coordinator) -> Result<bool> {
    let Ok(status) = coordinator.process.ended(Duration::from_secs(5)).await else { return Ok(false) };
    coordinator.process.read_to_end();
    let said = coordinator.process.log().lines().join("\n");
    ensure!(status.code() == Some(9) && said.contains("error[store.commit_failed]"), "ended with {status:?}:\n{said}");
    // The server may still be recovering: each start says so and ends, and the next one may work.
    coordinator.process = coordinator.setup().spawn(stage)?;
    until_true("the coordinator is kept running until it is ready", SOON, async || {
        if !coordinator.process.is_running() {
            coordinator.process = coordinator.setup().spawn(stage)?;
        }
        Ok(coordinator.api.is_ready().await)
    })
    .await?;
    Ok(true)
}

fn lose_readers(size: Size) -> Seen {
    play(async |stage| {
        let cluster = Cluster::start(&[]).await?;
        let url = cluster.create_database().await?;
        let (mut coordinator, _worker, traffic) = under_traffic(stage, &Setup::embedded(stage).database(url.clone())).await?;
        let times = size.of(2, 20);
        let mut ended = 0;
        for _ in 0..times {
            traffic.submit_more(10).await?;
            coordinator.api.get("/v1/tasks?limit=5").await?.ok()?;
            let mut connection = PgConnection::connect(&url).await?;
            let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity a WHERE datname = current_database() AND pid <> pg_backend_pid() \
                             AND state = 'idle' AND query LIKE '%FROM tasks%' AND NOT EXISTS (SELECT 1 FROM pg_locks l WHERE l.pid = a.pid AND l.locktype = 'advisory')";
            ended += sqlx::query(terminate).fetch_all(&mut connection).await?.len();
            connection.close().await?;
            for _ in 0..8 {
                coordinator.api.get("/v1/tasks?limit=5").await?.ok()?;
            }
        }
        ensure!(ended > 0, "no session was ended");
        traffic.all_succeeded().await?;
        traffic.stop_and_check(stage, &mut coordinator).await?;
        Ok(Seen::new(ended, "no read failed"))
    })
}

fn second_server(size: Size) -> Seen {
    play(async |stage| {
        let (mut coordinator, _worker, traffic) = under_traffic(stage, &Setup::embedded(stage)).await?;
        let times = size.of(1, 5);
        for _ in 0..times {
            traffic.submit_more(5).await?;
            let mut second = coordinator.setup().clone();
            (second.http_port, second.nats_port) = (ports::free(), ports::free());
            let mut process = second.spawn(stage)?;
            let status = process.ended(SOON).await?;
            process.read_to_end();
            let said = process.log().lines().join("\n");
            let holder = format!("process {}", coordinator.process.id());
            ensure!(
                !status.success() && said.contains("[database.in_use]") && said.contains(&holder),
                "{status:?}, expected {holder}:\n{said}"
            );
        }
        traffic.submit_more(5).await?;
        traffic.all_succeeded().await?;
        traffic.stop_and_check(stage, &mut coordinator).await?;
        Ok(Seen::new(times, "refused, naming the first"))
    })
}
