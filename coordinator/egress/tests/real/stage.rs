//! A server that answers as a test wants, a table of names, and a way out that may call this machine.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tasker_egress::{AllowList, CallbackSecret, HttpEgress, Lookup, Settings};
use tasker_engine::task::Trace;
use tasker_engine::{AttemptNumber, AttemptToken, CapabilityName, Failure, Namespace, Payload, StepName, SystemName, TaskId};
use tasker_runtime::port::bus::{CallKey, Inbound, Inbox};
use tasker_runtime::port::egress::{Egress as _, HttpAnswer, HttpCall, HttpMethod, HttpOutcome, HttpRoute};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// Longer than anything here takes; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Answers to names from a table; a name with several answers gives them one after another, the last one for ever.
#[derive(Default)]
pub struct Names {
    known: Mutex<BTreeMap<String, Vec<Vec<IpAddr>>>>,
    pub asked: AtomicUsize,
}

impl Names {
    pub fn knowing(names: &[(&str, &[&[&str]])]) -> Arc<Self> {
        let known = names.iter().map(|(name, answers)| {
            let parse = |answer: &&[&str]| answer.iter().map(|address| address.parse().expect("an address")).collect();
            ((*name).to_owned(), answers.iter().rev().map(parse).collect())
        });
        Arc::new(Self { known: Mutex::new(known.collect()), asked: AtomicUsize::new(0) })
    }
}

impl Lookup for Names {
    fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut known = self.known.lock().expect("a lock");
        let answer = match known.get_mut(&host) {
            None => Err(io::Error::other("no such name")),
            Some(answers) if answers.len() > 1 => Ok(answers.pop().expect("more than one")),
            Some(answers) => Ok(answers[0].clone()),
        };
        Box::pin(async move { answer })
    }
}

/// A server on this machine.
pub struct Server {
    pub address: SocketAddr,
    pub requests: Arc<AtomicUsize>,
}

impl Server {
    /// Answers every request with what `answer` makes of it and of its body.
    pub async fn start<F, R>(answer: F) -> Self
    where
        F: Fn(Request<()>, Bytes) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = requests.clone();
        let router = Router::new().fallback(move |request: Request| {
            counted.fetch_add(1, Ordering::SeqCst);
            let answer = answer.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = to_bytes(body, 10_000_000).await.expect("a body");
                answer(Request::from_parts(parts, ()), body).await
            }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, requests }
    }

    pub async fn answering(status: u16, headers: &'static [(&'static str, &'static str)], body: &'static str) -> Self {
        Self::start(move |_, _| async move { response(status, headers, body) }).await
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

pub fn response(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).expect("a response")
}

/// A way out and where its answers arrive.
pub struct Stage {
    pub egress: HttpEgress,
    inbox: mpsc::Receiver<Inbound>,
}

impl Stage {
    pub fn open(settings: Settings, names: Arc<Names>) -> Self {
        let (sender, inbox) = mpsc::channel(256);
        Self { egress: HttpEgress::open(settings, names, Inbox::One(sender)).expect("a way out"), inbox }
    }

    /// May call this machine.
    pub fn local() -> Self {
        Self::open(settings(&["127.0.0.1"]), Names::knowing(&[]))
    }

    pub async fn answer(&mut self) -> HttpAnswer {
        match tokio::time::timeout(PATIENCE, self.inbox.recv()).await.expect("an answer in time") {
            Some(Inbound::HttpAnswered(answer)) => answer,
            other => panic!("{other:?}"),
        }
    }

    pub async fn ask(&mut self, call: HttpCall) -> HttpOutcome {
        let key = call.key.clone();
        self.egress.call(call);
        let answer = self.answer().await;
        assert_eq!(answer.call, key);
        answer.outcome
    }

    pub async fn failure(&mut self, call: HttpCall) -> Failure {
        match self.ask(call).await {
            HttpOutcome::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    /// Whether the inbox was closed by the last call that could have written to it.
    pub async fn ends(mut self) -> bool {
        drop(self.egress);
        self.inbox.recv().await.is_none()
    }
}

pub fn settings(allow: &[&str]) -> Settings {
    let settings = Settings::new(CallbackSecret::new([5; 32]), "0.1.0");
    Settings { allow: AllowList::parse(allow).expect("a list"), ..settings }
}

pub fn name() -> (Namespace, SystemName) {
    (Namespace::new("default").expect("a name"), SystemName::new("payments").expect("a name"))
}

pub fn call(base_url: &str) -> HttpCall {
    let (namespace, system) = name();
    HttpCall {
        namespace,
        system,
        capability: CapabilityName::new("payment.charge").expect("a name"),
        key: CallKey {
            task: TaskId::from_number(42).expect("not negative"),
            step: StepName::new("charge").expect("a name").into(),
            attempt: AttemptNumber(1),
            token: AttemptToken([7; 16]),
        },
        base_url: base_url.to_owned(),
        route: HttpRoute::new(HttpMethod::Post, "/v1/charges").expect("a path"),
        input: Payload::trusted(Bytes::from_static(br#"{"amount":1.50}"#)),
        idempotency_key: "tsk_000000000001a/charge".into(),
        timeout: PATIENCE,
        trace: Trace { trace_id: [1; 16], parent: Some([2; 8]), sampled: true },
    }
}
