//! The network between coordinator, NATS and workers: lost, replaced, frozen, one-way, slow, repeating, damaging.

use super::kills::under_traffic;
use super::traffic::{Traffic, extra_attempts, percentile};
use super::{Row, Seen, Size, play};
use crate::api::instant;
use crate::coordinator::{Coordinator, Setup};
use crate::nats;
use crate::proxy::Proxy;
use crate::stage::Stage;
use crate::until::{SOON, until_true};
use anyhow::{Result, ensure};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// The family.
pub fn rows() -> Vec<Row> {
    let proxy = "a proxy of ours between NATS and everybody else, which reads frames";
    let row = |name, fault, checked, short, play| Row { name, fault, how: proxy, checked, short, play };
    vec![
        Row {
            name: "wire.nats_replaced",
            fault: "the NATS server is killed and an empty one takes its place",
            how: "kill -9, start another on the same port",
            checked: "open attempts are announced again; nothing is lost",
            short: true,
            play: nats_replaced,
        },
        Row {
            name: "wire.nats_stopped",
            fault: "the NATS server stands still for longer than the lease",
            how: "SIGSTOP, SIGCONT",
            checked: "no worker is declared lost for it: nothing is lost, nothing tried twice; /readyz says so once it is noticed (full)",
            short: false,
            play: nats_stopped,
        },
        row("wire.cut", "every connection to NATS is cut, again and again", "nothing is lost, nothing tried twice", true, cut),
        row("wire.one_way", "what clients say does not arrive, then what the server says does not", "nothing is lost", false, one_way),
        row(
            "wire.repeated",
            "every message arrives four times",
            "one result per attempt, no task twice, nothing tried twice",
            true,
            repeated,
        ),
        row("wire.damaged", "one message in ten arrives damaged", "nobody panics; every task is over", true, damaged),
        row("wire.slow", "every message is late", "nothing that has time fails", false, slow),
        Row {
            name: "wire.partition",
            fault: "NATS is in a network of its own whose link goes down",
            how: "ip netns, a veth pair, ip link set down for 8 s, no reset and no error",
            checked: "nothing is lost; it goes on when the link is back",
            short: false,
            play: partition,
        },
    ]
}

/// A NATS server, a proxy before it, and everybody behind the proxy.
async fn behind_proxy(stage: &Stage) -> Result<(nats::Server, Proxy, Setup)> {
    let server = stage.nats().await?;
    let proxy = Proxy::start(server.port).await?;
    let mut setup = Setup::embedded(stage);
    setup.nats_url = Some(proxy.url());
    Ok((server, proxy, setup))
}

/// Waits until a few more tasks were accepted.
async fn more_accepted(traffic: &Traffic, count: usize) -> Result<()> {
    let seen = traffic.count();
    until_true("tasks are accepted", SOON, async || Ok(traffic.count() >= seen + count)).await
}

fn nats_replaced(size: Size) -> Seen {
    play(async |stage| {
        let mut server = stage.nats().await?;
        let (mut coordinator, _worker, traffic) = under_traffic(stage, &Setup::embedded(stage).nats(&server)).await?;
        let (times, mut flowing) = (size.of(2, 20), Vec::new());
        let replacing = async {
            for _ in 0..times {
                more_accepted(&traffic, 20).await?;
                server.replace(stage).await?;
                flowing.push(traffic.until_flowing().await?);
            }
            traffic.end();
            Ok(())
        };
        tokio::try_join!(traffic.keep_going(4), replacing)?;
        finish(stage, &mut coordinator, &traffic, times, &flows(&flowing)).await
    })
}

fn nats_stopped(size: Size) -> Seen {
    play(async |stage| {
        let mut server = stage.nats().await?;
        let setup = Setup::embedded(stage).nats(&server).with("TASKER_LEASE", "2s").with("TASKER_HEARTBEAT", "500ms");
        let (mut coordinator, _worker, traffic) = under_traffic(stage, &setup).await?;
        let (times, long) = (size.of(1, 3), Duration::from_secs(size.of(5, 20)));
        let (mut noticed, mut flowing) = (None, Vec::new());
        let stopping = async {
            for _ in 0..times {
                more_accepted(&traffic, 20).await?;
                server.process.signal("STOP")?;
                let began = Instant::now();
                while began.elapsed() < long {
                    if noticed.is_none() && !coordinator.api.is_ready().await {
                        noticed = Some(began.elapsed());
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                server.process.signal("CONT")?;
                flowing.push(traffic.until_flowing().await?);
                // What was answered meanwhile is answered again, so that no task goes through two of these.
                tokio::time::sleep(REPLY_PAUSE_MAX).await;
            }
            traffic.end();
            Ok(())
        };
        tokio::try_join!(traffic.keep_going(2), stopping)?;
        if size == Size::Full {
            let noticed = noticed.unwrap_or(Duration::MAX);
            ensure!(noticed <= Duration::from_secs(5), "/readyz did not show it within {noticed:?}");
        }
        let noticed = noticed.map_or("not noticed".to_owned(), |after: Duration| format!("noticed after {} ms", after.as_millis()));
        let more = format!("{}; {noticed}", flows(&flowing));
        // Nobody is declared lost for it, so the slowest waits for the fault and the pause before its answer is said again, and nothing is tried twice.
        let tasks = traffic.all_succeeded().await?;
        ensure!(extra_attempts(&tasks) == 0, "{} attempts were lost although no worker was", extra_attempts(&tasks));
        finish_within(stage, &mut coordinator, &traffic, times, &more, long + REPLY_PAUSE_MAX + SOON).await
    })
}

fn cut(size: Size) -> Seen {
    play(async |stage| {
        let (_server, proxy, setup) = behind_proxy(stage).await?;
        let setup = setup.with("TASKER_LEASE", "30s");
        let (mut coordinator, _worker, traffic) = under_traffic(stage, &setup).await?;
        let times = size.of(5, 100);
        let cutting = async {
            for _ in 0..times {
                more_accepted(&traffic, 5).await?;
                proxy.cut();
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            traffic.end();
            Ok(())
        };
        tokio::try_join!(traffic.keep_going(4), cutting)?;
        let extra = extra_attempts(&traffic.all_succeeded().await?);
        ensure!(extra == 0, "{extra} attempts beyond the first");
        finish(stage, &mut coordinator, &traffic, times, "").await
    })
}

fn one_way(size: Size) -> Seen {
    play(async |stage| {
        let (_server, proxy, setup) = behind_proxy(stage).await?;
        let setup = setup.with("TASKER_LEASE", "2s").with("TASKER_HEARTBEAT", "500ms");
        let (mut coordinator, _worker, traffic) = under_traffic(stage, &setup).await?;
        let (times, mut flowing) = (size.of(1, 5), Vec::new());
        let muting = async {
            for _ in 0..times {
                for direction in [&proxy.manners.mute_clients, &proxy.manners.mute_server] {
                    more_accepted(&traffic, 10).await?;
                    direction.store(true, Relaxed);
                    tokio::time::sleep(Duration::from_secs(4)).await;
                    direction.store(false, Relaxed);
                    // What was swallowed is gone; only a new connection hears again.
                    proxy.cut();
                    flowing.push(traffic.until_flowing().await?);
                }
            }
            traffic.end();
            Ok(())
        };
        tokio::try_join!(traffic.keep_going(2), muting)?;
        finish(stage, &mut coordinator, &traffic, 2 * times, &flows(&flowing)).await
    })
}

fn repeated(size: Size) -> Seen {
    play(async |stage| {
        let (_server, proxy, setup) = behind_proxy(stage).await?;
        let (mut coordinator, _worker, traffic) = under_traffic(stage, &setup).await?;
        proxy.manners.repeats.store(3, Relaxed);
        traffic.submit_more(size.of(100, 2_000)).await?;
        let extra = extra_attempts(&traffic.all_succeeded().await?);
        ensure!(extra == 0, "{extra} attempts beyond the first");
        let touched = proxy.manners.touched.load(Relaxed) as usize;
        ensure!(touched > 0, "nothing was repeated");
        finish(stage, &mut coordinator, &traffic, touched, "").await
    })
}

fn damaged(size: Size) -> Seen {
    play(async |stage| {
        let (_server, proxy, setup) = behind_proxy(stage).await?;
        let setup = setup.with("TASKER_LEASE", "2s").with("TASKER_HEARTBEAT", "500ms");
        let (mut coordinator, _worker, traffic) = under_traffic(stage, &setup).await?;
        proxy.manners.damage_one_in.store(10, Relaxed);
        traffic.submit_more(size.of(60, 1_000)).await?;
        let spoilt = async {
            // A damaged text is still a text: what it says then is nobody's promise, that it is over is.
            let tasks = traffic.all_over().await?;
            Ok::<_, anyhow::Error>(tasks.iter().filter(|(_, task)| task["status"] != "succeeded").count())
        };
        let failed = spoilt.await?;
        proxy.manners.damage_one_in.store(0, Relaxed);
        let touched = proxy.manners.touched.load(Relaxed) as usize;
        ensure!(touched > 0 && coordinator.process.is_running(), "nothing was damaged, or the coordinator has ended");
        let said = coordinator.process.log().lines().join("\n");
        ensure!(!said.contains("panicked"), "somebody panicked:\n{said}");
        let healthy = traffic.fresh();
        until_true("a task after the damage is accepted", SOON, async || Ok(traffic.try_submit(healthy).await?.is_some())).await?;
        traffic.all_over().await?;
        traffic.stop_and_check(stage, &mut coordinator).await?;
        Ok(Seen::new(touched, format!("{} tasks over, {failed} of them not with success", traffic.count())))
    })
}

fn slow(size: Size) -> Seen {
    play(async |stage| {
        let (_server, proxy, setup) = behind_proxy(stage).await?;
        let (mut coordinator, _worker, traffic) = under_traffic(stage, &setup).await?;
        proxy.manners.delay_ms.store(50, Relaxed);
        traffic.submit_more(size.of(20, 100)).await?;
        let extra = extra_attempts(&traffic.all_succeeded().await?);
        ensure!(extra == 0, "{extra} attempts beyond the first");
        let messages = proxy.manners.messages.load(Relaxed) as usize;
        finish(stage, &mut coordinator, &traffic, messages, "; 50 ms per message and connection, in turn").await
    })
}

fn partition(size: Size) -> Seen {
    play(async |stage| {
        let network = Network::make()?;
        let port = crate::ports::free();
        let arguments = ["netns", "exec", &network.name, &crate::place::nats_server().display().to_string(), "-a", Network::INSIDE, "-p"]
            .map(str::to_owned);
        let arguments = [&arguments[..], &[port.to_string()]].concat();
        let _server = stage.start("nats-server", std::path::Path::new("ip"), &arguments, &[])?;
        until_true("the NATS server listens", SOON, async || Ok(tokio::net::TcpStream::connect((Network::INSIDE, port)).await.is_ok()))
            .await?;
        let mut setup = Setup::embedded(stage).with("TASKER_LEASE", "3s").with("TASKER_HEARTBEAT", "500ms");
        setup.nats_url = Some(format!("nats://{}:{port}", Network::INSIDE));
        let (mut coordinator, _worker, traffic) = under_traffic(stage, &setup).await?;
        let (times, mut flowing) = (size.of(1, 5), Vec::new());
        let parting = async {
            for _ in 0..times {
                more_accepted(&traffic, 10).await?;
                network.link("down")?;
                tokio::time::sleep(Duration::from_secs(8)).await;
                network.link("up")?;
                flowing.push(traffic.until_flowing().await?);
            }
            traffic.end();
            Ok(())
        };
        tokio::try_join!(traffic.keep_going(2), parting)?;
        finish(stage, &mut coordinator, &traffic, times, &flows(&flowing)).await
    })
}

/// A network namespace joined to ours by a pair of interfaces; gone with this value.
struct Network {
    name: String,
    outside: String,
}

impl Network {
    const INSIDE: &str = "10.213.77.2";

    fn make() -> Result<Self> {
        let id = std::process::id() % 100_000;
        let network = Self { name: format!("tasker-{id}"), outside: format!("tk{id}") };
        let inside = format!("tki{id}");
        ip(&["netns", "add", &network.name])?;
        ip(&["link", "add", &network.outside, "type", "veth", "peer", "name", &inside, "netns", &network.name])?;
        ip(&["addr", "add", "10.213.77.1/30", "dev", &network.outside])?;
        ip(&["link", "set", &network.outside, "up"])?;
        ip(&["-n", &network.name, "addr", "add", &format!("{}/30", Self::INSIDE), "dev", &inside])?;
        ip(&["-n", &network.name, "link", "set", &inside, "up"])?;
        Ok(network)
    }

    fn link(&self, state: &str) -> Result<()> {
        ip(&["link", "set", &self.outside, state])
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The pair goes with the namespace once its processes are gone; the outer end can go at once.
        let _ = ip(&["link", "del", &self.outside]);
        let _ = ip(&["netns", "del", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = std::process::Command::new("ip").args(arguments).output();
    let output = output.map_err(|error| anyhow::anyhow!("`ip` is missing ({error}): apt-get install iproute2, and run as root"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "`ip {}` failed; it needs root: {said}", arguments.join(" "));
    Ok(())
}

/// How long it was, after each fault was healed, until a new task was over.
fn flows(measured: &[Duration]) -> String {
    format!("; flowing again after {} ms, at most {} ms", percentile(measured, 0.5), percentile(measured, 1.0))
}

/// Less than the time limit of an attempt, 30 s, which is what a task waits for if nobody notices that its request was lost. The longest fault is
/// a partition of 8 s; of NATS standing still see [`nats_stopped`].
const STALL_MAX: Duration = Duration::from_secs(28);

/// How long the slowest task took, in milliseconds.
fn slowest(tasks: &[serde_json::Value]) -> Result<i64> {
    let took = tasks.iter().map(|task| Ok(instant(task, "finished_at")? - instant(task, "accepted_at")?)).collect::<Result<Vec<_>>>()?;
    Ok(took.into_iter().max().unwrap_or(0))
}

/// The longest pause before a worker says an answer again that nobody has acknowledged.
const REPLY_PAUSE_MAX: Duration = Duration::from_secs(10);

/// Everything succeeds, and the checker agrees.
async fn finish(stage: &Stage, coordinator: &mut Coordinator, traffic: &Traffic, injected: usize, more: &str) -> Result<Seen> {
    finish_within(stage, coordinator, traffic, injected, more, STALL_MAX).await
}

/// The same, with a limit of its own for the slowest task.
async fn finish_within(
    stage: &Stage,
    coordinator: &mut Coordinator,
    traffic: &Traffic,
    injected: usize,
    more: &str,
    most: Duration,
) -> Result<Seen> {
    let tasks = traffic.all_succeeded().await?;
    let extra = extra_attempts(&tasks);
    let slowest = slowest(&tasks)?;
    ensure!(
        u128::from(slowest.unsigned_abs()) < most.as_millis(),
        "a task took {slowest} ms: something waited for a time limit instead of an event"
    );
    traffic.stop_and_check(stage, coordinator).await?;
    Ok(Seen::new(injected, format!("{} tasks, {extra} attempts beyond the first, the slowest took {slowest} ms{more}", tasks.len())))
}
