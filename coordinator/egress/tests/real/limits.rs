//! Everything is bounded.

use crate::stage::{PATIENCE, Server, Stage, call, response};
use axum::body::Body;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tasker_egress::failures;
use tasker_egress::gate::CALLS_PER_HOST;
use tasker_engine::{AttemptNumber, FailureKind, Payload};
use tasker_runtime::port::egress::{Egress as _, HttpOutcome};
use tokio::sync::{Semaphore, watch};

#[tokio::test]
async fn a_result_above_the_limit_is_not_read_to_its_end() {
    let announced = Server::start(|_, _| async { response(200, &[], vec![b' '; Payload::BYTES_MAX + 1]) }).await;
    // Sends for ever; whoever reads to the end never comes back.
    let endless = Server::start(|_, _| async {
        let pieces = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 64 * 1024]));
        response(200, &[], Body::from_stream(pieces))
    })
    .await;
    for server in [announced, endless] {
        let failure = Stage::local().failure(call(&server.url())).await;
        assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Contract, failures::RESULT_TOO_LARGE));
    }
    let largest = Server::start(|_, _| async { response(200, &[], format!("\"{}\"", "x".repeat(Payload::BYTES_MAX - 2))) }).await;
    let outcome = Stage::local().ask(call(&largest.url())).await;
    assert!(matches!(&outcome, HttpOutcome::Succeeded(result) if result.bytes().len() == Payload::BYTES_MAX));
}

#[tokio::test]
async fn an_answer_with_too_many_headers_is_none() {
    let server = Server::start(|_, _| async {
        let names: Vec<String> = (0..1_000).map(|number| format!("x-{number}")).collect();
        let headers: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "y")).collect();
        response(200, &headers, "{}")
    })
    .await;
    let failure = Stage::local().failure(call(&server.url())).await;
    assert_eq!(failure.code.as_str(), failures::ANSWER_INCOMPLETE, "{}", failure.message);
}

#[tokio::test]
async fn one_host_gets_a_bounded_number_of_calls_at_once_and_all_in_the_end() {
    let (arrived, mut seen) = watch::channel(0);
    let gate = Arc::new(Semaphore::new(0));
    let highest = Arc::new(AtomicUsize::new(0));
    let under_way = Arc::new(AtomicUsize::new(0));
    let server = {
        let (gate, highest, under_way) = (gate.clone(), highest.clone(), under_way.clone());
        let arrived = Arc::new(arrived);
        Server::start(move |_, _| {
            let (gate, highest, under_way, arrived) = (gate.clone(), highest.clone(), under_way.clone(), arrived.clone());
            async move {
                highest.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                arrived.send_modify(|count| *count += 1);
                gate.acquire().await.expect("never closed").forget();
                under_way.fetch_sub(1, Ordering::SeqCst);
                response(200, &[], "1")
            }
        })
        .await
    };
    let mut stage = Stage::local();
    let calls = CALLS_PER_HOST + 10;
    for number in 0..calls {
        let mut call = call(&server.url());
        call.key.attempt = AttemptNumber(u32::try_from(number).expect("few") + 1);
        stage.egress.call(call);
    }
    tokio::time::timeout(PATIENCE, seen.wait_for(|count| *count == CALLS_PER_HOST)).await.expect("in time").expect("the server is there");
    gate.add_permits(calls);
    for _ in 0..calls {
        assert!(matches!(stage.answer().await.outcome, HttpOutcome::Succeeded(_)));
    }
    assert_eq!(highest.load(Ordering::SeqCst), CALLS_PER_HOST);
}

#[tokio::test]
async fn closing_ends_what_is_under_way() {
    let (arrived, mut seen) = watch::channel(false);
    let arrived = Arc::new(arrived);
    let server = Server::start(move |_, _| {
        arrived.send_replace(true);
        std::future::pending()
    })
    .await;
    let stage = Stage::local();
    stage.egress.call(call(&server.url()));
    tokio::time::timeout(PATIENCE, seen.wait_for(|seen| *seen)).await.expect("in time").expect("the server is there");
    tokio::time::timeout(PATIENCE, stage.egress.close()).await.expect("closing does not wait for the system");
    assert!(stage.ends().await, "no answer came");
}
