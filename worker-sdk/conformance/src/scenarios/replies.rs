//! Replies are kept and repeated until they are acknowledged, and attempts run once.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tasker_proto::worker::v1::{ReplyDisposition, StepRequest};

use crate::scenario::{Setup, scenarios};
use crate::stage::{RESEND, Stage, WAIT, replies, success};
use crate::transcript::{Entry, Mark, Said};

scenarios! { "replies";
    a_reply_goes_to_the_shard_of_its_request,
    a_repeated_request_is_not_run_twice,
    a_request_repeated_after_the_end_gets_the_kept_reply,
    a_reply_is_repeated_until_it_is_acknowledged,
    an_acknowledged_reply_is_forgotten,
    every_disposition_ends_the_repeats,
    a_refused_and_a_conflicting_reply_are_logged_as_errors,
    a_stale_reply_is_no_error,
    sixty_four_requests_in_one_message_are_all_answered with Setup { slots: 64, ..Setup::PLAIN },
    large_results_are_spread_over_several_messages with Setup { slots: 16, ..Setup::PLAIN },
}

async fn a_reply_goes_to_the_shard_of_its_request(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let mut requests = Vec::new();
    for shard in [0, 1, 4_000_000_000] {
        let mut request = stage.request("conformance.echo", json!({ "text": "x", "number": 1 }));
        request.shard = shard;
        requests.push(request);
    }
    stage.send(&requests).await?;
    for request in &requests {
        stage.reply(request).await?;
        let on = stage.said.since(Mark::START).into_iter().find_map(|entry| match entry.said {
            Said::Replies { shard, batch } if batch.replies.iter().any(|reply| reply.token == request.token) => Some(shard),
            _ => None,
        });
        ensure!(on == Some(request.shard.to_string()), "the reply for shard {} went to {on:?}", request.shard);
    }
    Ok(())
}

async fn a_repeated_request_is_not_run_twice(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let request = stage.ask("conformance.count", json!({ "key": "k", "ms": 600 })).await?;
    for _ in 0..3 {
        let repeat = stage.repeat(&request);
        stage.send([&repeat]).await?;
    }
    let result = success(&stage.reply(&request).await?)?;
    ensure!(result == json!({ "runs": 1 }), "the result is {result}");
    let next = success(&stage.call("conformance.count", json!({ "key": "k", "ms": 0 })).await?)?;
    ensure!(next == json!({ "runs": 2 }), "repeats of a running attempt started it again: {next}");
    Ok(())
}

async fn a_request_repeated_after_the_end_gets_the_kept_reply(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    stage.acknowledge_replies(false);
    let request = stage.ask("conformance.count", json!({ "key": "k", "ms": 0 })).await?;
    let first = stage.reply(&request).await?;
    // Past the first resends, so that what follows at once is the answer to the repeat.
    let mark = stage.mark();
    wait_for_replies(stage, &request, mark, 2).await?;
    let mark = stage.mark();
    let repeat = stage.repeat(&request);
    stage.send([&repeat]).await?;
    let within = RESEND * 2;
    let find = |said: &[Entry]| replies(said).find(|reply| reply.token == request.token).cloned();
    let again = stage.said.wait("the kept reply, at once", mark, within, find).await?;
    ensure!(again == first, "the repeated reply differs from the first");
    stage.acknowledge_replies(true);
    let next = success(&stage.call("conformance.count", json!({ "key": "k", "ms": 0 })).await?)?;
    ensure!(next == json!({ "runs": 2 }), "the repeat of a finished attempt ran it again: {next}");
    Ok(())
}

async fn a_reply_is_repeated_until_it_is_acknowledged(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    stage.acknowledge_replies(false);
    let request = stage.ask("conformance.echo", json!({ "text": "x", "number": 1 })).await?;
    let times = wait_for_replies(stage, &request, Mark::START, 4).await?;
    let waits: Vec<Duration> = times.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    for (index, wait) in waits.iter().enumerate() {
        let expected = RESEND * 2_u32.pow(u32::try_from(index)?);
        ensure!(
            *wait >= expected.mul_f64(0.6) && *wait <= expected * 2 + Duration::from_millis(500),
            "repeats came after {waits:?}; reply_resend_ms is {RESEND:?}, doubled each time"
        );
    }
    let all: Vec<_> = times.iter().flat_map(|entry| entry.said.replies()).collect();
    ensure!(all.windows(2).all(|pair| pair[0] == pair[1]), "the repeats differ");
    Ok(())
}

async fn an_acknowledged_reply_is_forgotten(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    stage.acknowledge_replies(false);
    let request = stage.ask("conformance.echo", json!({ "text": "x", "number": 1 })).await?;
    stage.reply(&request).await?;
    let mark = stage.mark();
    stage.beat("that holds the unacknowledged attempt", mark, |beat| beat.held.iter().any(|held| held.token == request.token)).await?;
    forgotten_after(stage, &request, ReplyDisposition::Recorded, "").await
}

async fn every_disposition_ends_the_repeats(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    stage.acknowledge_replies(false);
    let dispositions = [
        (ReplyDisposition::Recorded, ""),
        (ReplyDisposition::Repeated, ""),
        (ReplyDisposition::Stale, "attempt.closed"),
        (ReplyDisposition::Conflicting, "reply.conflicting"),
        (ReplyDisposition::Refused, "reply.forged"),
    ];
    for (disposition, code) in dispositions {
        let request = stage.ask("conformance.echo", json!({ "text": "x", "number": 1 })).await?;
        stage.reply(&request).await?;
        forgotten_after(stage, &request, disposition, code).await.with_context(|| disposition.as_str_name())?;
    }
    Ok(())
}

async fn a_refused_and_a_conflicting_reply_are_logged_as_errors(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    stage.acknowledge_replies(false);
    for (disposition, code) in [(ReplyDisposition::Refused, "reply.forged"), (ReplyDisposition::Conflicting, "reply.conflicting")] {
        let request = stage.ask("conformance.echo", json!({ "text": "x", "number": 1 })).await?;
        stage.reply(&request).await?;
        stage.acknowledge(&request, disposition, code).await?;
        let what = format!("JSON line of level error with the code {code}");
        stage.worker.json_line(&what, WAIT, |line| level(line) == "error" && line.to_string().contains(code)).await?;
    }
    Ok(())
}

async fn a_stale_reply_is_no_error(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    stage.acknowledge_replies(false);
    let request = stage.ask("conformance.echo", json!({ "text": "x", "number": 1 })).await?;
    stage.reply(&request).await?;
    stage.acknowledge(&request, ReplyDisposition::Stale, "attempt.closed").await?;
    stage.acknowledge_replies(true);
    stage.still_serves().await?;
    let loud =
        stage.worker.all_lines().into_iter().find(|line| serde_json::from_str::<Value>(line).is_ok_and(|value| level(&value) == "error"));
    ensure!(loud.is_none(), "a stale reply was logged as an error: {loud:?}");
    Ok(())
}

async fn sixty_four_requests_in_one_message_are_all_answered(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let requests: Vec<_> = (0..64).map(|n| stage.request("conformance.echo", json!({ "text": "x", "number": n }))).collect();
    stage.send(&requests).await?;
    for (n, request) in requests.iter().enumerate() {
        let result = success(&stage.reply(request).await?)?;
        ensure!(result["number"] == json!(n), "request {n} was answered with {result}");
    }
    let said = stage.said.since(Mark::START);
    let messages = said.iter().filter(|entry| !entry.said.replies().is_empty()).count();
    let tokens: HashSet<_> = replies(&said).map(|reply| reply.token.clone()).collect();
    ensure!(tokens.len() == 64, "{} attempts were answered", tokens.len());
    ensure!(messages < 64, "64 replies took {messages} messages: what is ready together was not sent together");
    Ok(())
}

async fn large_results_are_spread_over_several_messages(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let requests: Vec<_> = (0..16).map(|_| stage.request("conformance.large", json!({ "bytes": 60_000 }))).collect();
    stage.send(&requests).await?;
    for request in &requests {
        success(&stage.reply(request).await?)?;
    }
    for entry in stage.said.since(Mark::START) {
        if let Said::Replies { batch, .. } = &entry.said {
            let bytes = prost::Message::encoded_len(batch);
            // The envelope may come on top of what the protocol counts.
            ensure!(batch.replies.len() == 1 || bytes <= 256 * 1024 + 4096, "a batch of {} replies has {bytes} bytes", batch.replies.len());
        }
    }
    Ok(())
}

/// The first `count` messages with a reply for this request.
async fn wait_for_replies(stage: &Stage, request: &StepRequest, mark: Mark, count: usize) -> Result<Vec<Entry>> {
    let what = format!("{count} repeats of a reply");
    let find = |said: &[Entry]| {
        let with: Vec<Entry> =
            said.iter().filter(|entry| entry.said.replies().iter().any(|reply| reply.token == request.token)).cloned().collect();
        (with.len() >= count).then_some(with)
    };
    stage.said.wait(&what, mark, WAIT, find).await
}

/// Acknowledges, then sees that the reply is neither held nor repeated.
async fn forgotten_after(stage: &Stage, request: &StepRequest, disposition: ReplyDisposition, code: &str) -> Result<()> {
    stage.acknowledge(request, disposition, code).await?;
    let mark = stage.mark();
    let without = |beat: &tasker_proto::worker::v1::Beat| beat.held.iter().all(|held| held.token != request.token);
    stage.beat("without the acknowledged attempt", mark, without).await?;
    let mark = stage.mark();
    tokio::time::sleep(RESEND * 2 + Duration::from_millis(100)).await;
    let repeats = stage.reply_count(request, mark);
    ensure!(repeats == 0, "the acknowledged reply was sent {repeats} more times");
    Ok(())
}

fn level(line: &Value) -> String {
    line["level"].as_str().unwrap_or_default().to_lowercase()
}
