//! How many step requests a worker asks for.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tasker_proto::worker::v1::directive::Directive as Kind;
use tasker_proto::worker::v1::{Credit, Rejoin, StepRequest};

use crate::scenario::{Setup, scenarios};
use crate::stage::{Stage, WAIT, success};
use crate::transcript::{Entry, Mark};

scenarios! { "credit";
    running_handlers_occupy_slots_and_finished_ones_do_not,
    a_reply_carries_the_slot_that_came_free,
    a_repeat_counts_for_the_highest_sequence_and_takes_no_slot,
    the_highest_sequence_is_forgotten_at_each_welcome,
    more_requests_than_slots_wait_for_a_slot with Setup { slots: 2, ..Setup::PLAIN },
    a_reordered_request_does_not_lower_the_highest_sequence,
    a_handler_announces_how_many_slots_it_takes,
    an_attempt_takes_as_many_slots_as_its_request_says,
    an_attempt_of_a_coordinator_without_costs_takes_one_slot,
    a_large_attempt_waits_for_its_slots_and_is_not_overtaken,
    no_attempt_takes_more_slots_than_the_worker_has,
}

async fn credit_after(stage: &Stage, what: &str, mark: Mark, matches: impl Fn(&Credit) -> bool) -> Result<Credit> {
    let find = |said: &[Entry]| said.iter().filter_map(|entry| entry.said.credit()).find(|credit| matches(credit));
    stage.said.wait(what, mark, WAIT, find).await
}

async fn running_handlers_occupy_slots_and_finished_ones_do_not(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    stage.acknowledge_replies(false);
    let slots = stage.setup.slots;
    let running: Vec<_> = (0..3).map(|_| stage.request("conformance.sleep", json!({ "ms": 20_000 }))).collect();
    stage.send(&running).await?;
    credit_after(stage, "credit without three slots", Mark::START, |credit| credit.free == slots - 3 && credit.highest_sequence == 3)
        .await?;
    let finished = stage.ask("conformance.echo", json!({ "text": "a", "number": 1 })).await?;
    stage.reply(&finished).await?;
    let mark = stage.mark();
    let beat = stage.beat("after the reply", mark, |_| true).await?;
    ensure!(beat.held.len() == 4, "four attempts are held, the beat lists {}", beat.held.len());
    let credit = beat.credit.context("the beat has no credit")?;
    ensure!(credit.free == slots - 3, "{} slots are free; three handlers run, and the unacknowledged reply occupies none", credit.free);
    Ok(())
}

async fn a_reply_carries_the_slot_that_came_free(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let request = stage.ask("conformance.sleep", json!({ "ms": 700 })).await?;
    credit_after(stage, "credit without one slot", Mark::START, |credit| credit.free == stage.setup.slots - 1).await?;
    let carried = |said: &[Entry]| {
        said.iter().find(|entry| entry.said.replies().iter().any(|reply| reply.token == request.token)).map(|entry| entry.said.credit())
    };
    let credit = stage.said.wait("the reply", Mark::START, WAIT, carried).await?.context("the batch has no credit")?;
    ensure!(credit.free == stage.setup.slots, "the batch grants {} slots of {}", credit.free, stage.setup.slots);
    ensure!(credit.highest_sequence == 1, "highest_sequence is {} after one request", credit.highest_sequence);
    Ok(())
}

async fn a_repeat_counts_for_the_highest_sequence_and_takes_no_slot(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let request = stage.ask("conformance.sleep", json!({ "ms": 20_000 })).await?;
    let repeats = [stage.repeat(&request), stage.repeat(&request)];
    stage.send(&repeats).await?;
    let credit = credit_after(stage, "credit up to sequence 3", Mark::START, |credit| credit.highest_sequence == 3).await?;
    ensure!(credit.free == stage.setup.slots - 1, "{} slots are free although one handler runs", credit.free);
    let mark = stage.mark();
    let beat = stage.beat("after the repeats", mark, |_| true).await?;
    ensure!(beat.held.len() == 1, "one attempt is held, the beat lists {}", beat.held.len());
    Ok(())
}

async fn the_highest_sequence_is_forgotten_at_each_welcome(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    for _ in 0..3 {
        stage.still_serves().await?;
    }
    let mark = stage.mark();
    stage.direct([Kind::Rejoin(Rejoin {})]).await?;
    stage.hello_since(mark, WAIT).await?;
    let mark = stage.mark();
    stage.welcome().await?;
    let poll = stage.said.wait("a poll", mark, WAIT, |said| said.iter().find_map(|entry| entry.said.poll().cloned())).await?;
    let credit = poll.credit.context("the poll has no credit")?;
    ensure!(credit.highest_sequence == 0, "highest_sequence is still {}", credit.highest_sequence);
    stage.still_serves().await?;
    credit_after(stage, "credit up to sequence 1", mark, |credit| credit.highest_sequence == 1).await.map(|_| ())
}

async fn more_requests_than_slots_wait_for_a_slot(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let requests: Vec<_> = (0..4).map(|_| stage.request("conformance.sleep", json!({ "ms": 400 }))).collect();
    let started = Instant::now();
    stage.send(&requests).await?;
    let credit = credit_after(stage, "credit up to sequence 4", Mark::START, |credit| credit.highest_sequence == 4).await?;
    ensure!(credit.free == 0, "{} slots are free although handlers run or wait in all of them", credit.free);
    for request in &requests {
        success(&stage.reply(request).await?)?;
    }
    let took = started.elapsed();
    ensure!(took >= Duration::from_millis(700), "four handlers of 400 ms ended after {took:?}: more than two ran at once");
    Ok(())
}

async fn a_reordered_request_does_not_lower_the_highest_sequence(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let [first, second] = [1, 2].map(|n| stage.request("conformance.echo", json!({ "text": "a", "number": n })));
    stage.send([&second]).await?;
    stage.send([&first]).await?;
    stage.reply(&first).await?;
    stage.reply(&second).await?;
    let mark = stage.mark();
    let credit = stage.beat("after both replies", mark, |_| true).await?.credit.context("the beat has no credit")?;
    ensure!(credit.highest_sequence == 2, "highest_sequence is {}, not 2", credit.highest_sequence);
    Ok(())
}

async fn a_handler_announces_how_many_slots_it_takes(stage: &mut Stage) -> Result<()> {
    let hello = stage.hello().await?;
    ensure!(hello.counts_slot_costs, "the hello does not say that the worker counts costs");
    let cost = |name: &str| hello.capabilities.iter().find(|capability| capability.name == name).map(|capability| capability.slot_cost);
    ensure!(cost("conformance.heavy") == Some(2), "conformance.heavy announces {:?} slots, not 2", cost("conformance.heavy"));
    let said = cost("conformance.echo");
    ensure!(matches!(said, Some(0 | 1)), "conformance.echo says nothing about its cost, and announces {said:?}");
    Ok(())
}

/// A request of the heavy handler that takes so many slots.
fn heavy(stage: &mut Stage, slot_cost: u32, ms: u64) -> StepRequest {
    StepRequest { slot_cost, ..stage.request("conformance.heavy", json!({ "ms": ms })) }
}

async fn an_attempt_takes_as_many_slots_as_its_request_says(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let slots = stage.setup.slots;
    let (large, small) = (heavy(stage, 2, 700), stage.request("conformance.sleep", json!({ "ms": 20_000 })));
    stage.send([&large, &small]).await?;
    credit_after(stage, "credit without three slots", Mark::START, |credit| credit.free == slots - 3 && credit.highest_sequence == 2)
        .await?;
    let repeat = stage.repeat(&large);
    stage.send([&repeat]).await?;
    let credit = credit_after(stage, "credit up to the repeat", Mark::START, |credit| credit.highest_sequence == 3).await?;
    ensure!(credit.free == slots - 3, "{} slots are free after a repeat, which takes none", credit.free);
    success(&stage.reply(&large).await?)?;
    let mark = stage.mark();
    let credit = stage.beat("after the reply", mark, |_| true).await?.credit.context("the beat has no credit")?;
    ensure!(credit.free == slots - 1, "{} slots are free; both slots of the large attempt came free", credit.free);
    Ok(())
}

async fn an_attempt_of_a_coordinator_without_costs_takes_one_slot(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let request = heavy(stage, 0, 20_000);
    stage.send([&request]).await?;
    let credit = credit_after(stage, "credit up to sequence 1", Mark::START, |credit| credit.highest_sequence == 1).await?;
    ensure!(credit.free == stage.setup.slots - 1, "{} slots are free; that coordinator counts each attempt as one", credit.free);
    Ok(())
}

async fn a_large_attempt_waits_for_its_slots_and_is_not_overtaken(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let first = heavy(stage, 3, 500);
    let large = heavy(stage, stage.setup.slots, 0);
    let small = stage.request("conformance.sleep", json!({ "ms": 0 }));
    stage.send([&first, &large, &small]).await?;
    let credit = credit_after(stage, "credit up to sequence 3", Mark::START, |credit| credit.highest_sequence == 3).await?;
    ensure!(credit.free == 0, "{} slots are free although two attempts wait", credit.free);
    for request in [&first, &large, &small] {
        success(&stage.reply(request).await?)?;
    }
    let place = |request: &StepRequest| {
        let answered = |entry: &&Entry| entry.said.replies().iter().any(|reply| reply.token == request.token);
        stage.said.since(Mark::START).iter().position(|entry| answered(&entry))
    };
    ensure!(place(&first) <= place(&large), "the large attempt ran before its slots were free");
    ensure!(place(&large) <= place(&small), "the small attempt overtook the large one, which could wait for ever");
    Ok(())
}

async fn no_attempt_takes_more_slots_than_the_worker_has(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let request = heavy(stage, 1_000, 300);
    stage.send([&request]).await?;
    let credit = credit_after(stage, "credit up to sequence 1", Mark::START, |credit| credit.highest_sequence == 1).await?;
    ensure!(credit.free == 0, "{} slots are free beside an attempt that takes all", credit.free);
    success(&stage.reply(&request).await?)?;
    stage.still_serves().await
}
