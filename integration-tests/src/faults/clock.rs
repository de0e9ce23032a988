//! The wall clock of the coordinator jumps; the monotonic clock goes on, as it does when an administrator or a time server sets the time.

use super::kills::under_traffic;
use super::traffic::extra_attempts;
use super::{Row, Seen, Size, play};
use crate::coordinator::Setup;
use crate::shim::Shim;
use anyhow::ensure;
use serde_json::json;

/// The family.
pub fn rows() -> Vec<Row> {
    vec![Row {
        name: "clock.jumps",
        fault: "the coordinator's wall clock jumps by an hour and by a day, forwards and back",
        how: "the preloaded library moves clock_gettime(CLOCK_REALTIME) of the running process",
        checked: "no worker is declared lost, sleeps end, nothing fires before it is due, ids stay unique; also across a restart",
        short: true,
        play: jumps,
    }]
}

const NAP: &str = "
name: nap
version: 1.0.0
systems: { shop: {} }
workflow_steps: [{ name: nap, sleep: 300ms }, { name: after, depends_on: nap, owner: shop, capability: conformance.echo, input: { text: x, number: 1 } }]
";

const HOUR: i64 = 3_600_000;

fn jumps(size: Size) -> Seen {
    play(async |stage| {
        let shim = Shim::prepare(stage, "no file is touched")?;
        let setup = Setup::embedded(stage).shimmed(&shim);
        let (mut coordinator, _worker, traffic) = under_traffic(stage, &setup).await?;
        let api = coordinator.api.clone();
        api.apply(NAP).await?;
        let offsets: &[i64] = size.of(&[HOUR, -HOUR, 0], &[HOUR, 0, -HOUR, 0, 24 * HOUR, -24 * HOUR, 25 * HOUR, -500, 500, 0]);
        let mut extra = 0;
        for (place, offset) in offsets.iter().enumerate() {
            // Open attempts see the jump; so do leases.
            traffic.submit_more(20).await?;
            shim.move_clock(*offset)?;
            traffic.submit_more(20).await?;
            extra += extra_attempts(&traffic.all_succeeded().await?);
            let nap = api.submit("nap", json!({})).await?;
            api.finished_as(&nap, "succeeded").await?;
            if place % 2 == 1 {
                coordinator.kill_and_start(stage).await?;
            }
        }
        ensure!(extra == 0, "{extra} attempts beyond the first");
        traffic.stop_and_check(stage, &mut coordinator).await?;
        Ok(Seen::new(offsets.len(), format!("{} tasks, none tried twice", traffic.count())))
    })
}
