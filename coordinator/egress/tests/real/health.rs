//! Watching systems.

use crate::stage::{Names, PATIENCE, Server, Stage, name, response, settings};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tasker_egress::Settings;
use tasker_engine::ShardId;
use tasker_runtime::port::egress::{Egress as _, Health, HealthState, ProbeTarget};

fn target(url: String) -> ProbeTarget {
    let (namespace, system) = name();
    ProbeTarget { namespace, system, url }
}

fn stage(allow: &[&str]) -> Stage {
    Stage::open(Settings { probe_interval: Duration::from_millis(10), ..settings(allow) }, Names::knowing(&[]))
}

async fn until(stage: &Stage, state: HealthState) -> Health {
    let (namespace, system) = name();
    let health = stage.egress.prober().until(&namespace, &system, |health| health.state == state);
    tokio::time::timeout(PATIENCE, health).await.expect("the state in time")
}

#[tokio::test]
async fn a_system_falls_and_recovers_with_its_answers() {
    let status = Arc::new(AtomicU16::new(200));
    let answered = status.clone();
    let server = Server::start(move |request, _| {
        assert_eq!((request.method().as_str(), request.uri().path()), ("GET", "/health"));
        let status = answered.load(Ordering::SeqCst);
        async move { response(status, &[], "fine") }
    })
    .await;
    let stage = stage(&["127.0.0.1"]);
    let (namespace, system) = name();
    assert_eq!(stage.egress.health(&namespace, &system), Health::UNKNOWN);
    stage.egress.watch(ShardId::default(), vec![target(format!("{}/health", server.url()))]);
    assert_eq!(until(&stage, HealthState::Healthy).await.problem, None);
    status.store(503, Ordering::SeqCst);
    let before = server.requests();
    assert_eq!(until(&stage, HealthState::Unhealthy).await.problem.as_deref(), Some("it answered 503"));
    assert!(server.requests() >= before + 2, "one bad answer is not enough");
    status.store(204, Ordering::SeqCst);
    assert!(until(&stage, HealthState::Healthy).await.since.is_some());
    stage.egress.watch(ShardId::default(), Vec::new());
    until(&stage, HealthState::Unknown).await;
}

#[tokio::test]
async fn questions_about_health_pass_the_same_guard_and_follow_no_redirect() {
    let inside = Server::answering(200, &[], "{}").await;
    let refused = stage(&[]);
    refused.egress.watch(ShardId::default(), vec![target(inside.url())]);
    let problem = until(&refused, HealthState::Unhealthy).await.problem.expect("a problem");
    assert!(problem.contains("a loopback address"), "{problem}");
    assert_eq!(inside.requests(), 0);
    let redirecting = Server::answering(302, &[("location", "/elsewhere")], "").await;
    let stage = stage(&["127.0.0.1"]);
    stage.egress.watch(ShardId::default(), vec![target(redirecting.url())]);
    assert_eq!(until(&stage, HealthState::Unhealthy).await.problem.as_deref(), Some("it answered 302"));
}

#[tokio::test]
async fn a_system_that_moved_is_known_anew() {
    let (down, up) = (Server::answering(500, &[], "").await, Server::answering(200, &[], "").await);
    let stage = stage(&["127.0.0.1"]);
    stage.egress.watch(ShardId::default(), vec![target(down.url())]);
    until(&stage, HealthState::Unhealthy).await;
    stage.egress.watch(ShardId::default(), vec![target(up.url())]);
    assert_eq!(until(&stage, HealthState::Healthy).await.problem, None);
}
