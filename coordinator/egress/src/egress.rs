//! The runtime's way out: takes calls, waits for their turn, and puts what came of them into the inbox.

use crate::allow::AllowList;
use crate::callback::CallbackSecret;
use crate::client::Client;
use crate::gate::Gate;
use crate::prober::Prober;
use crate::request::{origin, request};
use crate::resolver::Lookup;
use crate::signature::Signer;
use crate::{error_body, now, prober, reply};
use bytes::Bytes;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tasker_engine::{Namespace, Payload, ShardId, SystemName, TaskId};
use tasker_runtime::port::bus::{CallKey, Inbound, Inbox};
use tasker_runtime::port::egress::{CallbackRefusal, Egress, Health, HttpAnswer, HttpCall, HttpOutcome, ProbeTarget};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The path under the public URL where callbacks arrive; the token follows.
pub const CALLBACK_PATH: &str = "/v1/callbacks/";
/// A callback's body may hold a payload and a few words around it.
pub const CALLBACK_BYTES_MAX: usize = Payload::BYTES_MAX + 16 * 1024;

/// What the way out is told once.
#[derive(Debug)]
pub struct Settings {
    /// What may be called besides public addresses.
    pub allow: AllowList,
    /// The secrets with which requests to a system are signed. A system without one gets unsigned requests.
    pub signers: BTreeMap<(Namespace, SystemName), Signer>,
    /// Where systems reach this coordinator: an absolute http or https URL without query. None: systems must answer at once.
    pub public_url: Option<String>,
    /// Signs the tokens of callbacks.
    pub callback_secret: CallbackSecret,
    /// The version shown as the user agent.
    pub version: &'static str,
    /// How often each system's health is asked for. [`prober::INTERVAL`] but in tests.
    pub probe_interval: Duration,
}

/// The way out over HTTP.
pub struct HttpEgress {
    shared: Arc<Shared>,
    prober: Prober,
    /// Whose health each shard wants to know.
    watched: Mutex<BTreeMap<ShardId, Vec<ProbeTarget>>>,
    tasks: TaskTracker,
    closing: CancellationToken,
}

/// What every call needs.
struct Shared {
    client: Client,
    gate: Gate,
    inbox: Inbox,
    signers: BTreeMap<(Namespace, SystemName), Signer>,
    callbacks: Option<String>,
    secret: CallbackSecret,
}

/// Why the way out cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The public URL is nowhere a system could call back to.
    #[error("`public_url` cannot be used: {0}")]
    PublicUrl(String),
    /// The TLS library cannot be set up.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
}

impl HttpEgress {
    /// Opens the way out. Answers go to `inbox`. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The settings cannot be used.
    pub fn open(settings: Settings, lookup: Arc<dyn Lookup>, inbox: Inbox) -> Result<Self, OpenError> {
        let callbacks = settings.public_url.as_deref().map(callback_base).transpose()?;
        let client = Client::new(settings.allow, lookup, settings.version).map_err(OpenError::Client)?;
        let prober = Prober::start(client.clone(), settings.probe_interval);
        let shared = Shared { client, gate: Gate::new(), inbox, signers: settings.signers, callbacks, secret: settings.callback_secret };
        Ok(Self {
            shared: Arc::new(shared),
            prober,
            watched: Mutex::default(),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        })
    }

    /// The same secret in the same coordinator: the URL by which an attempt may be finished, if there is a public URL.
    pub fn callback_url(&self, key: &CallKey) -> Option<String> {
        self.shared.callback_url(key)
    }

    /// The watch over systems' health.
    pub fn prober(&self) -> &Prober {
        &self.prober
    }
}

impl Egress for HttpEgress {
    fn call(&self, call: HttpCall) {
        let place = self.shared.gate.queue();
        let (shared, closing) = (self.shared.clone(), self.closing.clone());
        self.tasks.spawn(async move {
            let (key, namespace) = (call.key.clone(), call.namespace.clone());
            let work = async {
                let outcome = match place {
                    Some(_held) => shared.call(call).await,
                    None => HttpOutcome::Unreachable { reason: "too many calls over HTTP are waiting in this coordinator".into() },
                };
                shared.inbox.deliver(&namespace, Inbound::HttpAnswered(HttpAnswer { call: key, outcome })).await;
            };
            closing.run_until_cancelled(work).await;
        });
    }

    fn read_callback(&self, token: &str, body: Bytes) -> Result<HttpAnswer, CallbackRefusal> {
        // The token first: whoever has none learns nothing about bodies.
        let call = self.shared.secret.verify(token).ok_or(CallbackRefusal::TokenInvalid)?;
        if body.len() > CALLBACK_BYTES_MAX {
            return Err(CallbackRefusal::BodyTooLarge { max: CALLBACK_BYTES_MAX });
        }
        let said = error_body::callback(&body).map_err(CallbackRefusal::BodyMalformed)?;
        Ok(HttpAnswer { call, outcome: reply::called_back(said) })
    }

    fn task_of_callback(&self, token: &str) -> Option<TaskId> {
        self.shared.secret.verify(token).map(|call| call.task)
    }

    fn watch(&self, shard: ShardId, targets: Vec<ProbeTarget>) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.insert(shard, targets);
        self.prober.watch(watched.values().flatten().cloned().collect());
    }

    fn health(&self, namespace: &Namespace, system: &SystemName) -> Health {
        self.prober.health(namespace, system)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.prober.watch(Vec::new());
            self.closing.cancel();
            self.tasks.close();
            self.tasks.wait().await;
        })
    }
}

impl Shared {
    async fn call(&self, call: HttpCall) -> HttpOutcome {
        let callback = self.callback_url(&call.key);
        let signer = self.signers.get(&(call.namespace.clone(), call.system.clone()));
        let request = match request(&call, callback.as_deref(), signer, now()) {
            Ok(request) => request,
            Err(failure) => return HttpOutcome::Failed(failure),
        };
        // A call that gets no turn in time has not left, so no attempt is burnt by our own limits.
        let Ok(_turn) = tokio::time::timeout(call.timeout, self.gate.turn(&origin(&request.url))).await else {
            return HttpOutcome::Unreachable { reason: "too many calls of this host are under way".into() };
        };
        match tokio::time::timeout(call.timeout, self.client.send(request)).await {
            Ok(Ok(answer)) => reply::outcome(&answer, callback.is_some(), now()),
            Ok(Err(error)) => reply::no_answer(error),
            Err(_) => HttpOutcome::TimedOut,
        }
    }

    fn callback_url(&self, key: &CallKey) -> Option<String> {
        self.callbacks.as_deref().map(|base| format!("{base}{}", self.secret.issue(key)))
    }
}

/// Whether systems could call back to this URL, if it is reachable.
///
/// # Errors
/// It is not an absolute http or https URL, or has a query behind which no path can follow.
pub fn check_public_url(public_url: &str) -> Result<(), OpenError> {
    callback_base(public_url).map(|_| ())
}

/// What stands before a token in a callback's URL.
fn callback_base(public_url: &str) -> Result<String, OpenError> {
    let url = crate::client::destination(public_url).map_err(|invalid| OpenError::PublicUrl(invalid.to_string()))?;
    if url.query().is_some() {
        return Err(OpenError::PublicUrl("the URL has a query, behind which no path can follow".into()));
    }
    Ok(format!("{}{CALLBACK_PATH}", url.as_str().trim_end_matches('/')))
}

/// The defaults of a coordinator that may call public addresses and gives out no callbacks.
impl Settings {
    /// Only public addresses, no signatures, no callbacks.
    pub fn new(callback_secret: CallbackSecret, version: &'static str) -> Self {
        Self {
            allow: AllowList::default(),
            signers: BTreeMap::new(),
            public_url: None,
            callback_secret,
            version,
            probe_interval: prober::INTERVAL,
        }
    }
}
