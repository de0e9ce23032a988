//! What a worker ignores.

use anyhow::{Result, ensure};
use prost::Message as _;
use serde_json::json;
use tasker_proto::worker::v1::directive::Directive as Kind;
use tasker_proto::worker::v1::{Directive, Rejoin, ReplyAcknowledged, ToWorker};

use crate::scenario::scenarios;
use crate::stage::{Stage, WAIT, success};
use crate::transcript::Mark;

scenarios! { "robustness";
    unreadable_bytes_are_ignored,
    a_message_for_another_session_is_ignored,
    a_directive_of_a_newer_protocol_is_ignored,
    an_acknowledgement_of_nothing_is_ignored,
    several_directives_in_one_message_are_all_obeyed,
}

async fn unreadable_bytes_are_ignored(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    for bytes in [vec![0xff; 40], b"{\"json\": true}".to_vec(), Vec::new(), vec![0x0a, 0x7f, 0x01]] {
        stage.send_raw(bytes).await?;
    }
    stage.still_serves().await
}

async fn a_message_for_another_session_is_ignored(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let request = stage.request("conformance.echo", json!({ "text": "x", "number": 1 }));
    let directives = vec![Directive { directive: Some(Kind::StepRequest(request.clone())) }];
    stage.send_raw(ToWorker { session: "somebody-else".to_owned(), directives }.encode_to_vec()).await?;
    stage.still_serves().await?;
    ensure!(stage.reply_count(&request, Mark::START) == 0, "a request for another session was run");
    Ok(())
}

async fn a_directive_of_a_newer_protocol_is_ignored(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let request = stage.request("conformance.echo", json!({ "text": "x", "number": 1 }));
    let session = stage.hello().await?.session;
    let mut envelope = ToWorker { session, directives: Vec::new() }.encode_to_vec();
    // Field 2 (directives), two bytes long: field 15 of the oneof, empty. No version knows it yet.
    envelope.extend([0x12, 0x02, 0x7a, 0x00]);
    let known = Directive { directive: Some(Kind::StepRequest(request.clone())) };
    ToWorker { session: String::new(), directives: vec![known] }.encode_raw(&mut envelope);
    stage.send_raw(envelope).await?;
    success(&stage.reply(&request).await?).map(|_| ())
}

async fn an_acknowledgement_of_nothing_is_ignored(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let running = stage.ask("conformance.sleep", json!({ "ms": 800 })).await?;
    for token in [vec![7; 16], Vec::new(), running.token.to_vec()] {
        let acknowledged =
            ReplyAcknowledged { task_id: "task".to_owned(), token: token.into(), disposition: 1, ..ReplyAcknowledged::default() };
        stage.direct([Kind::ReplyAcknowledged(acknowledged)]).await?;
    }
    success(&stage.reply(&running).await?)?;
    stage.still_serves().await
}

async fn several_directives_in_one_message_are_all_obeyed(stage: &mut Stage) -> Result<()> {
    stage.join().await?;
    let [one, two] = [1, 2].map(|n| stage.request("conformance.echo", json!({ "text": "x", "number": n })));
    let mark = stage.mark();
    stage.direct([Kind::StepRequest(one.clone()), Kind::Rejoin(Rejoin {}), Kind::StepRequest(two.clone())]).await?;
    // A worker that was told to join again may keep its replies until it is welcome.
    stage.hello_since(mark, WAIT).await?;
    stage.welcome().await?;
    success(&stage.reply(&one).await?)?;
    success(&stage.reply(&two).await?).map(|_| ())
}
