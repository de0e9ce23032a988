//! Leaving: by directive, by signal, in time.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tasker_proto::worker::v1::directive::Directive as Kind;
use tasker_proto::worker::v1::{Beat, Drain, FailureKind, ReplyDisposition, SessionState};

use crate::process::Signal;
use crate::scenario::{Setup, scenarios};
use crate::stage::{Stage, WAIT, failure, success};
use crate::transcript::{Entry, Mark, Said};

/// The protocol's drain timeout, unless the user chose another; nobody did.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

scenarios! { "drain";
    a_drain_directive_lets_the_worker_finish_and_leave,
    a_termination_signal_lets_the_worker_finish_and_leave,
    an_interrupt_signal_lets_the_worker_finish_and_leave,
    an_idle_worker_leaves_at_once,
    a_draining_worker_says_so_at_once_and_grants_nothing,
    a_draining_worker_takes_nothing_new,
    a_draining_worker_waits_for_its_acknowledgements,
    a_second_signal_ends_the_worker_at_once,
    a_drain_that_takes_too_long_cancels_what_still_runs with Setup { slow: true, ..Setup::PLAIN },
}

/// A worker that runs one handler of this many milliseconds.
async fn busy(stage: &mut Stage, ms: u64) -> Result<tasker_proto::worker::v1::StepRequest> {
    stage.join().await?;
    let request = stage.ask("conformance.sleep", json!({ "ms": ms })).await?;
    stage.beat("that holds the attempt", Mark::START, |beat| !beat.held.is_empty()).await?;
    Ok(request)
}

/// The worker finishes its attempt, says that it left as its last words, and ends well.
async fn finishes_and_leaves(stage: &mut Stage, request: &tasker_proto::worker::v1::StepRequest) -> Result<()> {
    success(&stage.reply(request).await?).context("what was held must be finished")?;
    let status = stage.worker.exit(WAIT).await?;
    ensure!(status.success(), "the worker ended with {status}");
    left(stage).await
}

async fn left(stage: &Stage) -> Result<()> {
    let beat = stage.beat("that says LEFT", Mark::START, |beat| beat.state() == SessionState::Left).await?;
    ensure!(beat.held.is_empty(), "the worker left while it held {} attempts", beat.held.len());
    let last = stage.said.since(Mark::START).into_iter().next_back();
    ensure!(matches!(last, Some(Entry { said: Said::Beat(_), .. })), "LEFT was not the last word");
    Ok(())
}

async fn a_drain_directive_lets_the_worker_finish_and_leave(stage: &mut Stage) -> Result<()> {
    let request = busy(stage, 1000).await?;
    stage.direct([Kind::Drain(Drain { reason: "upgrade".to_owned() })]).await?;
    finishes_and_leaves(stage, &request).await
}

async fn a_termination_signal_lets_the_worker_finish_and_leave(stage: &mut Stage) -> Result<()> {
    let request = busy(stage, 1000).await?;
    stage.worker.signal(Signal::Terminate)?;
    finishes_and_leaves(stage, &request).await
}

async fn an_interrupt_signal_lets_the_worker_finish_and_leave(stage: &mut Stage) -> Result<()> {
    let request = busy(stage, 1000).await?;
    stage.worker.signal(Signal::Interrupt)?;
    finishes_and_leaves(stage, &request).await
}

async fn an_idle_worker_leaves_at_once(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let started = Instant::now();
    stage.worker.signal(Signal::Terminate)?;
    let status = stage.worker.exit(WAIT).await?;
    ensure!(status.success(), "the worker ended with {status}");
    ensure!(started.elapsed() < Duration::from_secs(8), "an idle worker took {:?} to leave", started.elapsed());
    left(stage).await
}

async fn a_draining_worker_says_so_at_once_and_grants_nothing(stage: &mut Stage) -> Result<()> {
    busy(stage, 3000).await?;
    let mark = stage.mark();
    stage.direct([Kind::Drain(Drain { reason: "upgrade".to_owned() })]).await?;
    let beat = stage.beat("that says DRAINING", mark, |beat| beat.state() == SessionState::Draining).await?;
    ensure!(beat.credit.context("the beat has no credit")?.free == 0, "a draining worker grants credit");
    let mark = stage.mark();
    let held = |beat: &Beat| beat.state() == SessionState::Draining && beat.held.len() == 1;
    stage.beat("that still says DRAINING and lists the attempt", mark, held).await?;
    let generous = stage.said.since(mark).iter().filter_map(|entry| entry.said.credit()).any(|credit| credit.free > 0);
    ensure!(!generous, "a draining worker grants credit");
    Ok(())
}

async fn a_draining_worker_takes_nothing_new(stage: &mut Stage) -> Result<()> {
    let running = busy(stage, 1500).await?;
    let mark = stage.mark();
    stage.direct([Kind::Drain(Drain { reason: "upgrade".to_owned() })]).await?;
    stage.beat("that says DRAINING", mark, |beat| beat.state() == SessionState::Draining).await?;
    let late = stage.ask("conformance.count", json!({ "key": "late", "ms": 0 })).await?;
    finishes_and_leaves(stage, &running).await?;
    let answered = crate::stage::replies(&stage.said.since(Mark::START)).find(|reply| reply.token == late.token).cloned();
    if let Some(reply) = answered {
        ensure!(success(&reply).is_err(), "a draining worker ran a new attempt");
    }
    Ok(())
}

async fn a_draining_worker_waits_for_its_acknowledgements(stage: &mut Stage) -> Result<()> {
    let request = busy(stage, 600).await?;
    stage.acknowledge_replies(false);
    stage.worker.signal(Signal::Terminate)?;
    stage.reply(&request).await?;
    let mark = stage.mark();
    stage.beat("with the unacknowledged attempt", mark, |beat| beat.held.iter().any(|held| held.token == request.token)).await?;
    stage.reply_since(&request, mark).await.context("a draining worker must go on repeating its reply")?;
    ensure!(stage.worker.is_running(), "the worker left before its reply was acknowledged");
    stage.acknowledge(&request, ReplyDisposition::Recorded, "").await?;
    let status = stage.worker.exit(WAIT).await?;
    ensure!(status.success(), "the worker ended with {status}");
    left(stage).await
}

async fn a_second_signal_ends_the_worker_at_once(stage: &mut Stage) -> Result<()> {
    busy(stage, 25_000).await?;
    let mark = stage.mark();
    stage.worker.signal(Signal::Terminate)?;
    stage.beat("that says DRAINING", mark, |beat| beat.state() == SessionState::Draining).await?;
    ensure!(stage.worker.is_running(), "the worker did not wait for its handler");
    stage.worker.signal(Signal::Terminate)?;
    stage.worker.exit(Duration::from_secs(8)).await.context("after the second signal").map(|_| ())
}

async fn a_drain_that_takes_too_long_cancels_what_still_runs(stage: &mut Stage) -> Result<()> {
    let request = busy(stage, 600_000).await?;
    let started = Instant::now();
    stage.worker.signal(Signal::Terminate)?;
    let find = |said: &[Entry]| crate::stage::replies(said).find(|reply| reply.token == request.token).cloned();
    let reply = stage.said.wait("the reply of the cancelled handler", Mark::START, DRAIN_TIMEOUT + WAIT, find).await?;
    let took = started.elapsed();
    ensure!(took >= DRAIN_TIMEOUT.mul_f64(0.9), "the handler was cancelled after {took:?}, not after {DRAIN_TIMEOUT:?}");
    let failure = failure(&reply)?;
    ensure!(
        failure.kind() == FailureKind::Cancelled && failure.code == "attempt.cancelled",
        "got {} {}",
        failure.kind().as_str_name(),
        failure.code
    );
    let status = stage.worker.exit(WAIT).await?;
    ensure!(status.success(), "the worker ended with {status}");
    left(stage).await
}
