//! Hello, welcome, refusal, rejoin.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tasker_proto::worker::v1::directive::Directive as Kind;
use tasker_proto::worker::v1::{Capability, Hello, Refused, Rejoin};

use crate::scenario::{Setup, scenarios};
use crate::stage::{RESEND, Stage, WAIT, replies, success};
use crate::transcript::{Entry, Mark, Said};

/// What every conformance worker registers (README.md).
const CAPABILITIES: [&str; 12] = [
    "conformance.context",
    "conformance.count",
    "conformance.declared",
    "conformance.echo",
    "conformance.echo_sync",
    "conformance.fail",
    "conformance.large",
    "conformance.log",
    "conformance.progress",
    "conformance.sleep",
    "conformance.stubborn",
    "conformance.wrong",
];

scenarios! { "session";
    hello_names_the_sdk_the_host_and_the_slots,
    hello_carries_the_session_subject_as_its_reply_subject,
    hello_announces_the_labels_of_the_environment with Setup { labels: "region=eu, gpu = none,note=a=b,empty=", ..Setup::PLAIN },
    hello_announces_no_labels_where_there_are_none,
    labels_that_cannot_be_read_end_the_worker_with_a_message with Setup { labels: "region", ..Setup::PLAIN },
    hello_lists_every_capability_with_schemas_that_compile,
    schemas_accept_what_fits_and_refuse_what_does_not,
    declared_errors_are_announced_with_a_details_schema,
    hello_is_repeated_until_it_is_answered with Setup { slow: true, ..Setup::PLAIN },
    nothing_but_hello_is_said_before_the_welcome,
    a_poll_with_all_slots_follows_the_welcome,
    a_refusal_for_good_ends_the_worker_with_a_message,
    a_refusal_for_now_is_asked_again,
    a_worker_without_a_coordinator_says_so_and_keeps_trying with Setup { listens: false, ..Setup::PLAIN },
    a_rejoin_keeps_the_session_and_lists_what_is_held,
    a_rejoin_does_not_disturb_a_running_handler,
    the_environment_chooses_prefix_and_namespace with Setup { prefix: "acme.tasks", namespace: "other-2", ..Setup::PLAIN },
}

async fn hello_names_the_sdk_the_host_and_the_slots(stage: &mut Stage) -> Result<()> {
    let hello = stage.hello().await?;
    let sdk = hello.sdk.context("hello has no `sdk`")?;
    ensure!(sdk.name == "tasker-worker", "sdk.name is `{}`, not `tasker-worker`", sdk.name);
    ensure!(sdk.language == stage.language, "sdk.language is `{}`, not `{}`", sdk.language, stage.language);
    ensure!(!sdk.version.is_empty(), "sdk.version is empty");
    ensure!(hello.slots == stage.setup.slots, "slots is {}, TASKER_SLOTS says {}", hello.slots, stage.setup.slots);
    ensure!(!hello.host.is_empty() && hello.process_id > 0, "host or process_id is missing");
    ensure!(hello.held.is_empty(), "a first hello holds {} attempts", hello.held.len());
    let characters = hello.session.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    ensure!((8..=64).contains(&hello.session.len()) && characters, "the session `{}` is not 8 to 64 of A-Za-z0-9_-", hello.session);
    Ok(())
}

async fn hello_carries_the_session_subject_as_its_reply_subject(stage: &mut Stage) -> Result<()> {
    let hello = stage.hello().await?;
    let expected = stage.place.subject(&format!("to.{}", hello.session));
    let first = stage.said.since(Mark::START).into_iter().find_map(|entry| match entry.said {
        Said::Hello { reply_subject, .. } => Some(reply_subject),
        Said::Poll(_) | Said::Beat(_) | Said::Replies { .. } | Said::Unreadable(_) => None,
    });
    ensure!(first == Some(Some(expected.clone())), "the reply subject is {first:?}, not {expected}");
    Ok(())
}

async fn hello_announces_the_labels_of_the_environment(stage: &mut Stage) -> Result<()> {
    let labels: BTreeMap<String, String> = stage.hello().await?.labels.into_iter().collect();
    let expected = [("region", "eu"), ("gpu", "none"), ("note", "a=b"), ("empty", "")];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    ensure!(labels == expected, "TASKER_LABELS is `{}`, but hello announces {labels:?}", stage.setup.labels);
    Ok(())
}

async fn hello_announces_no_labels_where_there_are_none(stage: &mut Stage) -> Result<()> {
    let labels = stage.hello().await?.labels;
    ensure!(labels.is_empty(), "nobody gave labels, but hello announces {labels:?}");
    Ok(())
}

async fn labels_that_cannot_be_read_end_the_worker_with_a_message(stage: &mut Stage) -> Result<()> {
    let status = stage.worker.exit(WAIT).await?;
    ensure!(!status.success(), "the worker ended with {status}, as if all were well");
    stage.worker.line("line that names TASKER_LABELS", WAIT, |line| line.contains("TASKER_LABELS")).await?;
    Ok(())
}

async fn hello_lists_every_capability_with_schemas_that_compile(stage: &mut Stage) -> Result<()> {
    let hello = stage.hello().await?;
    let names: BTreeSet<&str> = hello.capabilities.iter().map(|capability| capability.name.as_str()).collect();
    let missing: Vec<_> = CAPABILITIES.iter().filter(|name| !names.contains(*name)).collect();
    ensure!(missing.is_empty(), "hello does not list {missing:?}");
    for capability in &hello.capabilities {
        for (what, schema) in [("input", &capability.input_schema), ("result", &capability.result_schema)] {
            if !schema.is_empty() {
                compile(schema).with_context(|| format!("{what} schema of {}", capability.name))?;
            }
        }
    }
    Ok(())
}

async fn schemas_accept_what_fits_and_refuse_what_does_not(stage: &mut Stage) -> Result<()> {
    let hello = stage.hello().await?;
    let echo = capability(&hello, "conformance.echo")?;
    for (what, schema) in [("input", &echo.input_schema), ("result", &echo.result_schema)] {
        ensure!(!schema.is_empty(), "the {what} schema of conformance.echo is empty");
        let schema = compile(schema)?;
        ensure!(schema.is_valid(&json!({ "text": "a", "number": 1 })), "the {what} schema refuses a good value");
        for bad in [json!({ "text": 1, "number": 1 }), json!({ "text": "a", "number": "1" }), json!([])] {
            ensure!(!schema.is_valid(&bad), "the {what} schema accepts {bad}");
        }
    }
    let wrong = compile(&capability(&hello, "conformance.wrong")?.result_schema)?;
    ensure!(
        wrong.is_valid(&json!({ "level": 10 })) && !wrong.is_valid(&json!({ "level": 11 })),
        "the bounds of `level` are not in the schema"
    );
    Ok(())
}

async fn declared_errors_are_announced_with_a_details_schema(stage: &mut Stage) -> Result<()> {
    let hello = stage.hello().await?;
    let declared = capability(&hello, "conformance.declared")?;
    let error = declared.errors.iter().find(|error| error.code == "out_of_stock").context("`out_of_stock` is not in `errors`")?;
    ensure!(!error.details_schema.is_empty(), "`out_of_stock` has no details schema");
    let details = compile(&error.details_schema)?;
    ensure!(details.is_valid(&json!({ "sku": "a" })), "the details schema refuses a good value");
    ensure!(!details.is_valid(&json!({ "sku": 1 })), "the details schema accepts a number as `sku`");
    Ok(())
}

async fn hello_is_repeated_until_it_is_answered(stage: &mut Stage) -> Result<()> {
    stage.hello().await?;
    let hellos = |said: &[Entry]| -> Option<Vec<Entry>> {
        let hellos: Vec<Entry> = said.iter().filter(|entry| entry.said.hello().is_some()).cloned().collect();
        (hellos.len() >= 3).then_some(hellos)
    };
    let hellos = stage.said.wait("three hellos", Mark::START, WAIT, hellos).await?;
    let waits: Vec<Duration> = hellos.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    let near = |wait: Duration, seconds: f64| (seconds * 0.6..seconds * 1.8).contains(&wait.as_secs_f64());
    ensure!(near(waits[0], 1.0) && near(waits[1], 2.0), "hello was repeated after {waits:?}, not after 1 s and 2 s");
    stage.welcome().await?;
    let mark = stage.mark();
    stage.beat("after the welcome", mark, |_| true).await?;
    // One hello may have crossed the welcome; the next would come within 4 s.
    tokio::time::sleep(Duration::from_millis(4500)).await;
    let after = stage.said.since(mark).iter().filter(|entry| entry.said.hello().is_some()).count();
    ensure!(after == 0, "{after} more hellos after the welcome");
    Ok(())
}

async fn nothing_but_hello_is_said_before_the_welcome(stage: &mut Stage) -> Result<()> {
    stage.hello().await?;
    tokio::time::sleep(Duration::from_millis(700)).await;
    let other = stage.said.since(Mark::START).iter().any(|entry| entry.said.hello().is_none());
    ensure!(!other, "before its welcome the worker said {}", stage.said.summary(Mark::START));
    stage.join().await?;
    stage.still_serves().await
}

async fn a_poll_with_all_slots_follows_the_welcome(stage: &mut Stage) -> Result<()> {
    let credit = stage.join().await?.credit.context("the poll has no credit")?;
    ensure!(credit.free == stage.setup.slots, "{} slots are free of {}", credit.free, stage.setup.slots);
    ensure!(credit.highest_sequence == 0, "highest_sequence is {} before any request", credit.highest_sequence);
    Ok(())
}

async fn a_refusal_for_good_ends_the_worker_with_a_message(stage: &mut Stage) -> Result<()> {
    stage.hello().await?;
    let message = "capability conformance.echo belongs to another system".to_owned();
    stage.direct([Kind::Refused(Refused { code: "capability.owned".to_owned(), message: message.clone(), retryable: false })]).await?;
    let status = stage.worker.exit(WAIT).await?;
    ensure!(!status.success(), "the worker ended with {status}, as if all were well");
    stage.worker.line("line with the refusal's message", WAIT, |line| line.contains(&message)).await?;
    Ok(())
}

async fn a_refusal_for_now_is_asked_again(stage: &mut Stage) -> Result<()> {
    stage.hello().await?;
    let mark = stage.mark();
    stage.direct([Kind::Refused(Refused { code: "fleet.full".to_owned(), message: "later".to_owned(), retryable: true })]).await?;
    stage.hello_since(mark, WAIT).await?;
    ensure!(stage.worker.is_running(), "the worker ended");
    stage.join().await?;
    stage.still_serves().await
}

async fn a_worker_without_a_coordinator_says_so_and_keeps_trying(stage: &mut Stage) -> Result<()> {
    stage.worker.line("line that says that no coordinator listens", WAIT * 2, |line| line.to_lowercase().contains("coordinator")).await?;
    ensure!(stage.worker.is_running(), "the worker ended");
    stage.listen().await?;
    stage.join().await?;
    stage.still_serves().await
}

async fn a_rejoin_keeps_the_session_and_lists_what_is_held(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    stage.acknowledge_replies(false);
    let running = stage.ask("conformance.sleep", json!({ "ms": 20_000 })).await?;
    let finished = stage.ask("conformance.echo", json!({ "text": "kept", "number": 1 })).await?;
    let first = stage.reply(&finished).await?;
    let before = stage.hello().await?.session;
    // Past the second repeat the next is four periods away, so that what follows the welcome is its own doing.
    let thrice = |said: &[Entry]| (replies(said).filter(|reply| reply.token == finished.token).count() >= 3).then_some(());
    stage.said.wait("two repeats of a reply", Mark::START, WAIT, thrice).await?;

    let mark = stage.mark();
    stage.direct([Kind::Rejoin(Rejoin {})]).await?;
    let hello = stage.hello_since(mark, WAIT).await?;
    ensure!(hello.session == before, "the session changed");
    ensure!(hello.capabilities.len() >= CAPABILITIES.len(), "the second hello lists {} capabilities", hello.capabilities.len());
    for (what, request) in [("running", &running), ("unacknowledged", &finished)] {
        let held =
            hello.held.iter().find(|held| held.token == request.token).with_context(|| format!("the {what} attempt is not in `held`"))?;
        ensure!(
            held.task_id == request.task_id && held.step_name == request.step_name && held.attempt == 1,
            "the {what} attempt is misnamed"
        );
    }

    let mark = stage.mark();
    stage.welcome().await?;
    let credit =
        stage.said.wait("a poll", mark, WAIT, |said| said.iter().find_map(|entry| entry.said.poll().and_then(|poll| poll.credit))).await?;
    ensure!(credit.free == stage.setup.slots - 1, "{} slots are free although one handler runs", credit.free);
    let find = |said: &[Entry]| replies(said).find(|reply| reply.token == finished.token).cloned();
    let again = stage.said.wait("the unacknowledged reply at once after the welcome", mark, RESEND * 2, find).await?;
    ensure!(again == first, "the reply changed");
    Ok(())
}

async fn a_rejoin_does_not_disturb_a_running_handler(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let request = stage.ask("conformance.count", json!({ "key": "a", "ms": 1200 })).await?;
    stage.beat("that holds the attempt", Mark::START, |beat| !beat.held.is_empty()).await?;
    let mark = stage.mark();
    stage.direct([Kind::Rejoin(Rejoin {})]).await?;
    stage.hello_since(mark, WAIT).await?;
    stage.welcome().await?;
    // The coordinator restarted and announces the open attempt again.
    let repeated = stage.repeat(&request);
    stage.send([&repeated]).await?;
    let result = success(&stage.reply(&request).await?)?;
    ensure!(result == json!({ "runs": 1 }), "the handler ran again: {result}");
    let second = stage.call("conformance.count", json!({ "key": "a", "ms": 0 })).await?;
    ensure!(success(&second)? == json!({ "runs": 2 }), "the handler had run more than once");
    Ok(())
}

async fn the_environment_chooses_prefix_and_namespace(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    stage.still_serves().await
}

fn capability<'a>(hello: &'a Hello, name: &str) -> Result<&'a Capability> {
    hello.capabilities.iter().find(|capability| capability.name == name).with_context(|| format!("hello does not list {name}"))
}

fn compile(schema: &str) -> Result<jsonschema::Validator> {
    let schema: Value = serde_json::from_str(schema).context("the schema is not JSON")?;
    jsonschema::draft202012::new(&schema).map_err(|error| anyhow::anyhow!("the schema is not JSON Schema 2020-12: {error}"))
}
