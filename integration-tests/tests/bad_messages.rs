//! What comes over the bus is believed only if it is well formed, from its owner, and in time; nothing else changes anything.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tasker_integration_tests::api::Api;
use tasker_integration_tests::coordinator::{Coordinator, Setup};
use tasker_integration_tests::raw::{RawWorker, success};
use tasker_integration_tests::stage::{Language, Stage, on_stage};
use tasker_integration_tests::until::{SOON, until_true};
use tasker_proto::worker::v1::{self as proto, ReplyDisposition, directive::Directive, step_reply::Outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const CHARGE: &str = "
name: charge
version: 1.0.0
systems: { bank: {}, thief: {} }
workflow_steps: [{ name: pay, owner: bank, capability: card.charge }]
";

/// Runs a play on the embedded listener and on a NATS server.
fn on_both_buses(play: impl AsyncFn(&Stage, &mut Coordinator) -> Result<()>) {
    on_stage(async |stage| {
        let mut coordinator = Setup::embedded(stage).start(stage).await?;
        play(stage, &mut coordinator).await?;
        let server = stage.nats().await?;
        let database = format!("sqlite:{}", stage.path("nats.db").display());
        let mut coordinator = Setup::embedded(stage).database(database).nats(&server).start(stage).await?;
        play(stage, &mut coordinator).await
    });
}

async fn assert_running_with(api: &Api, id: &str, events: usize) -> Result<()> {
    let (task, now) = (api.task(id).await?, api.events(id).await?);
    ensure!(task["status"] == "running" && now.len() == events, "something changed: {task:#} {now:#?}");
    Ok(())
}

fn assert_refused(what: &str, acknowledged: &proto::ReplyAcknowledged, code: &str) -> Result<()> {
    let is_complete = acknowledged.code == code && !acknowledged.message.is_empty();
    ensure!(acknowledged.disposition() == ReplyDisposition::Refused && is_complete, "{what}: {acknowledged:?}");
    Ok(())
}

#[test]
fn a_reply_is_believed_once_from_its_owner_with_its_token_and_in_time() {
    on_both_buses(async |stage, coordinator| {
        let (api, url) = (coordinator.api.clone(), coordinator.setup().worker_url());
        api.apply(CHARGE).await?;
        let id = api.submit("charge", json!({})).await?;
        let mut bank = RawWorker::connect(&url, "bank", "bank-session").await?;
        let asked = bank.take("card.charge").await?;
        ensure!(asked.task_id == id && asked.attempt == 1 && asked.token.len() == 16, "{asked:?}");
        let events = api.events(&id).await?.len();

        // The right system, and everything wrong that it can say about an open attempt.
        let good = success(&asked, r#"{"paid":true}"#);
        let wrong_token = proto::StepReply { token: vec![7; 16].into(), ..good.clone() };
        let short_token = proto::StepReply { token: vec![7; 3].into(), ..good.clone() };
        let other_attempt = proto::StepReply { attempt: 2, ..good.clone() };
        let other_step = proto::StepReply { step_name: "refund".into(), ..good.clone() };
        // Well formed, and nobody's.
        let other_task = proto::StepReply { task_id: format!("{}z", &id[..id.len() - 1]), ..good.clone() };
        for (what, reply) in
            [("wrong token", wrong_token), ("other attempt", other_attempt), ("other step", other_step), ("other task", other_task)]
        {
            assert_refused(what, &bank.reply(asked.shard, reply).await.context(what)?, "reply.forged")?;
            assert_running_with(&api, &id, events).await?;
        }
        // A token that cannot be one may be refused or left without an answer; it changes nothing.
        let batch = proto::ReplyBatch { session: "bank-session".into(), replies: vec![short_token], credit: None };
        bank.say(&format!("reply.{}", asked.shard), &batch).await?;

        // Another system that knows everything, even the token: the subject says who it is.
        let mut thief = RawWorker::connect(&url, "thief", "thief-session").await?;
        let hello = thief.hello("card.charge");
        thief.say("hello", &hello).await?;
        thief.expect("a welcome", |directive| matches!(directive, Directive::Welcome(_)).then_some(())).await?;
        assert_refused("other system", &thief.reply(asked.shard, good.clone()).await?, "reply.forged")?;
        assert_running_with(&api, &id, events).await?;

        // Replies that are not well formed.
        let with = |outcome: Option<Outcome>| proto::StepReply { outcome, ..good.clone() };
        let failure = |kind: i32, code: &str, details: &[u8]| {
            with(Some(Outcome::Failure(proto::Failure {
                kind,
                code: code.into(),
                details: details.to_vec().into(),
                ..proto::Failure::default()
            })))
        };
        for (what, reply) in [
            ("no outcome", with(None)),
            ("not JSON", success(&asked, "{paid}")),
            ("nothing", success(&asked, "")),
            ("deep JSON", success(&asked, &("[".repeat(500) + &"]".repeat(500)))),
            ("no kind", failure(0, "card_declined", b"")),
            ("unknown kind", failure(99, "card_declined", b"")),
            ("not a code", failure(2, "Not A Code!", b"")),
            ("details are not JSON", failure(2, "card_declined", b"{")),
        ] {
            assert_refused(what, &bank.reply(asked.shard, reply).await.context(what)?, "reply.malformed")?;
            assert_running_with(&api, &id, events).await?;
        }

        // Now the truth; then the same again, then something else.
        ensure!(
            bank.reply(asked.shard, good.clone()).await?.disposition() == ReplyDisposition::Recorded,
            "the good reply was not recorded"
        );
        let task = api.finished_as(&id, "succeeded").await?;
        ensure!(bank.reply(asked.shard, good).await?.disposition() == ReplyDisposition::Repeated, "the identical reply");
        for _ in 0..2 {
            let other = bank.reply(asked.shard, success(&asked, r#"{"paid":false}"#)).await?;
            ensure!(other.disposition() == ReplyDisposition::Conflicting, "{other:?}");
        }
        let after = api.task(&id).await?;
        ensure!(
            after["result"] == task["result"] && after["finished_at"] == task["finished_at"],
            "a late reply changed the result: {after:#}"
        );
        let conflicts = api.events(&id).await?.iter().filter(|event| event["event"] == "reply_conflicted").count();
        ensure!(conflicts == 1, "the conflict is in the history {conflicts} times");

        // A reply for an attempt that was cancelled is stale.
        let second = api.submit("charge", json!({})).await?;
        let mut late = RawWorker::connect(&url, "bank", "late-session").await?;
        let asked = late.take("card.charge").await?;
        ensure!(asked.task_id == second, "{asked:?}");
        let cancelled = api.post(&format!("/v1/tasks/{second}:cancel"), &json!({ "reason": "enough" })).await?.ok()?;
        late.expect("an order to stop", |directive| matches!(directive, Directive::CancelAttempt(_)).then_some(())).await?;
        ensure!(late.reply(asked.shard, success(&asked, "{}")).await?.disposition() == ReplyDisposition::Stale, "the reply after the end");
        ensure!(api.task(&second).await? == cancelled, "a late reply changed a cancelled task");
        coordinator.stop().await?;
        coordinator.check(stage, &[id, second]).await?;
        Ok(())
    });
}

#[test]
fn a_hello_that_cannot_work_is_refused_with_its_code() {
    on_both_buses(async |_, coordinator| {
        let url = coordinator.setup().worker_url();
        let mut worker = RawWorker::connect(&url, "bank", "refused-session").await?;
        let good = worker.hello("card.charge");
        let with = |change: &dyn Fn(&mut proto::Hello)| {
            let mut hello = good.clone();
            change(&mut hello);
            hello
        };
        let table = [
            (with(&|hello| hello.capabilities.clear()), "worker.no_capability"),
            (with(&|hello| hello.slots = 0), "worker.slots_out_of_range"),
            (with(&|hello| hello.slots = u32::MAX), "worker.slots_out_of_range"),
            (with(&|hello| hello.capabilities[0].name = "not a name".into()), "worker.capability_malformed"),
            (with(&|hello| hello.capabilities[0].input_schema = "{".into()), "worker.schema_invalid"),
            (with(&|hello| hello.capabilities[0].result_schema = r#"{"type":"nothing"}"#.into()), "worker.schema_invalid"),
            (
                with(&|hello| hello.capabilities[0].input_schema = r#"{"$ref":"http://127.0.0.1:1/schema.json"}"#.into()),
                "worker.schema_invalid",
            ),
            (
                with(&|hello| hello.capabilities[0].errors.push(proto::ErrorContract { code: "No Code".into(), ..Default::default() })),
                "worker.error_code_malformed",
            ),
            (with(&|hello| hello.capabilities = vec![hello.capabilities[0].clone(); 1_001]), "worker.too_many_capabilities"),
        ];
        for (hello, code) in table {
            worker.say("hello", &hello).await?;
            let refused = worker
                .expect(code, |directive| match directive {
                    Directive::Refused(refused) => Some(refused.clone()),
                    _ => None,
                })
                .await?;
            ensure!(refused.code == code && !refused.message.is_empty() && !refused.retryable, "expected `{code}`: {refused:?}");
        }
        ensure!(coordinator.api.workers().await?.is_empty(), "a refused worker is listed");
        // The same session may join once it is in order.
        worker.say("hello", &good).await?;
        worker.expect("a welcome", |directive| matches!(directive, Directive::Welcome(_)).then_some(())).await
    });
}

#[test]
fn unreadable_messages_change_nothing() {
    on_both_buses(async |stage, coordinator| {
        let (api, url) = (coordinator.api.clone(), coordinator.setup().worker_url());
        let noise = RawWorker::connect(&url, "bank", "noise-session").await?;
        let large = vec![0xff; 900 * 1024];
        let bodies: [&[u8]; 5] = [b"", b"{\"json\":true}", &[0xff; 64], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], &large];
        for tail in
            ["hello", "poll", "beat", "reply.0", "reply.999999", "reply.x", "reply", "bogus", "to.noise-session", "call.card.charge"]
        {
            for body in bodies {
                noise.say_bytes(tail, body.to_vec()).await?;
            }
        }
        // Well formed, but from nobody.
        for session in ["", "short", "with spaces and more", &"x".repeat(65)] {
            let credit = Some(proto::Credit { free: u32::MAX, highest_sequence: u64::MAX, expires_in_ms: u64::MAX });
            noise.say("poll", &proto::Poll { session: session.into(), credit }).await?;
            noise.say("beat", &proto::Beat { session: session.into(), credit, ..Default::default() }).await?;
        }
        // Somebody who is not known is asked to introduce itself.
        let mut stranger = RawWorker::connect(&url, "bank", "stranger-session").await?;
        stranger.say("beat", &proto::Beat { session: "stranger-session".into(), ..Default::default() }).await?;
        stranger.expect("a request to join", |directive| matches!(directive, Directive::Rejoin(_)).then_some(())).await?;
        ensure!(api.workers().await?.is_empty(), "noise has become a worker");
        ensure!(api.is_ready().await, "noise has made the coordinator unready");
        api.apply(&CHARGE.replace("card.charge", "conformance.echo")).await?;
        let _worker = coordinator.worker(stage, Language::Rust, "bank").await?;
        let id = api.submit("charge", json!({ "text": "x", "number": 1 })).await?;
        api.finished_as(&id, "succeeded").await?;
        coordinator.stop().await?;
        coordinator.check(stage, &[id]).await?;
        Ok(())
    });
}

#[test]
fn frames_that_are_not_of_the_protocol_end_only_their_own_connection() {
    on_stage(async |stage| {
        let coordinator = Setup::embedded(stage).start(stage).await?;
        let api = coordinator.api.clone();
        api.apply(&CHARGE.replace("card.charge", "conformance.echo")).await?;
        let _worker = coordinator.worker(stage, Language::Python, "bank").await?;
        let endless = vec![b'A'; 1024 * 1024];
        let connect = b"CONNECT {}\r\n";
        let frames: [Vec<u8>; 6] = [
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
            endless,
            [connect.as_slice(), b"PUB tasker.v1.default.bank.hello 99999999999\r\n"].concat(),
            [connect.as_slice(), b"PUB a -1\r\n\r\n"].concat(),
            [connect.as_slice(), b"HPUB a 99 5\r\nhello\r\n"].concat(),
            b"CONNECT {\"verbose\":[[[[\r\n".to_vec(),
        ];
        for frame in frames {
            let shown = String::from_utf8_lossy(&frame[..frame.len().min(60)]).into_owned();
            let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", coordinator.setup().nats_port)).await?;
            // The listener may have closed before everything was written.
            let _ = stream.write_all(&frame).await;
            let mut said = Vec::new();
            let closed = tokio::time::timeout(SOON, stream.read_to_end(&mut said)).await;
            ensure!(closed.is_ok(), "the connection stays open after `{shown}`, and said {:?}", String::from_utf8_lossy(&said));
        }
        // Somebody who sends half a frame and waits holds up nobody.
        let mut half = tokio::net::TcpStream::connect(("127.0.0.1", coordinator.setup().nats_port)).await?;
        half.write_all(b"CONNECT {}\r\nPUB tasker.v1.default.bank.hello 1000\r\nabc").await?;
        let id = api.submit("charge", json!({ "text": "x", "number": 1 })).await?;
        api.finished_as(&id, "succeeded").await?;
        until_true("the worker is still there", SOON, async || Ok(api.workers().await?.len() == 1)).await
    });
}
