//! Asks watched systems, again and again, how they are.

use crate::client::{Client, Request, SendError, destination};
use crate::health::{Finding, Turn, Watched};
use crate::now;
use rand::Rng as _;
use reqwest::Method;
use reqwest::header::HeaderMap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::{Namespace, SystemName};
use tasker_runtime::port::egress::{Health, ProbeTarget};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How often each system is asked.
pub const INTERVAL: Duration = Duration::from_secs(15);
/// How long one question may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// By how much of the interval a question may come early or late, so that systems and coordinators do not fall into step.
const JITTER: f64 = 0.2;
/// Systems watched at most; at one question per 15 s this is 140 questions per second.
pub const TARGETS_MAX: usize = 2_048;
/// Questions under way at once.
const PROBES_MAX: usize = 64;
/// What is read of an answer's body: only its status counts.
const BODY_BYTES_MAX: usize = 64 * 1024;

type Key = (Namespace, SystemName);
/// What is known about every watched system.
type Book = Arc<BTreeMap<Key, Health>>;

/// The door to the task that asks. When the last one is dropped, the task ends.
#[derive(Debug)]
pub struct Prober {
    targets: watch::Sender<Vec<ProbeTarget>>,
    book: watch::Receiver<Book>,
}

impl Prober {
    /// Starts asking; nobody is watched yet.
    pub fn start(client: Client, interval: Duration) -> Self {
        let (targets, wanted) = watch::channel(Vec::new());
        let (published, book) = watch::channel(Book::default());
        tokio::spawn(Round { client, interval, published, systems: BTreeMap::new(), asking: JoinSet::new() }.run(wanted));
        Self { targets, book }
    }

    /// Watches exactly these from now on. What is known of a system whose URL stays is kept.
    pub fn watch(&self, mut targets: Vec<ProbeTarget>) {
        if targets.len() > TARGETS_MAX {
            tracing::warn!(targets = targets.len(), "more systems have a health check than are watched; the last ones are not");
            targets.truncate(TARGETS_MAX);
        }
        self.targets.send_if_modified(|known| {
            let changed = *known != targets;
            *known = targets;
            changed
        });
    }

    /// What is known about a system.
    pub fn health(&self, namespace: &Namespace, system: &SystemName) -> Health {
        self.book.borrow().get(&(namespace.clone(), system.clone())).cloned().unwrap_or(Health::UNKNOWN)
    }

    /// Waits until what is known about a system satisfies a condition; for ever if it never does.
    pub async fn until(&self, namespace: &Namespace, system: &SystemName, holds: impl Fn(&Health) -> bool) -> Health {
        let key = (namespace.clone(), system.clone());
        let mut book = self.book.clone();
        let found = |book: &Book| book.get(&key).cloned().unwrap_or(Health::UNKNOWN);
        match book.wait_for(|book| holds(&found(book))).await {
            Ok(book) => found(&book),
            Err(_) => std::future::pending().await,
        }
    }
}

/// The task that asks.
struct Round {
    client: Client,
    interval: Duration,
    published: watch::Sender<Book>,
    systems: BTreeMap<Key, System>,
    asking: JoinSet<(Key, String, Finding)>,
}

struct System {
    url: String,
    watched: Watched,
    due: Instant,
    is_asked: bool,
}

impl Round {
    async fn run(mut self, mut wanted: watch::Receiver<Vec<ProbeTarget>>) {
        loop {
            let next = self.ask_due();
            tokio::select! {
                changed = wanted.changed() => match changed {
                    Ok(()) => { let targets = wanted.borrow_and_update().clone(); self.rewatch(targets); }
                    Err(_) => return,
                },
                Some(asked) = self.asking.join_next() => match asked {
                    Ok((key, url, finding)) => self.take(&key, &url, finding),
                    // A question that panicked asks again with the next round of its system; nothing else is lost.
                    Err(error) => tracing::error!(%error, "a question about health ended without an answer"),
                },
                () = tokio::time::sleep_until(next) => {}
            }
        }
    }

    fn rewatch(&mut self, targets: Vec<ProbeTarget>) {
        let wanted: BTreeSet<Key> = targets.iter().map(|target| (target.namespace.clone(), target.system.clone())).collect();
        self.systems.retain(|key, _| wanted.contains(key));
        for target in targets {
            let key = (target.namespace, target.system);
            if self.systems.get(&key).is_none_or(|known| known.url != target.url) {
                // Not all at once when a coordinator starts.
                let due = Instant::now() + self.interval.min(Duration::from_secs(1)).mul_f64(rand::rng().random());
                self.systems.insert(key, System { url: target.url, watched: Watched::default(), due, is_asked: false });
            }
        }
        self.publish();
    }

    /// Asks whoever is due and says when the next one is.
    fn ask_due(&mut self) -> Instant {
        let now = Instant::now();
        let mut next = now + self.interval;
        for (key, system) in &mut self.systems {
            if system.is_asked {
                continue;
            }
            if system.due > now || self.asking.len() >= PROBES_MAX {
                next = next.min(system.due.max(now + Duration::from_millis(1)));
                continue;
            }
            let spread = rand::rng().random_range(1.0 - JITTER..=1.0 + JITTER);
            system.due = now + self.interval.mul_f64(spread);
            system.is_asked = true;
            let (client, key, url) = (self.client.clone(), key.clone(), system.url.clone());
            self.asking.spawn(async move {
                let finding = ask(&client, &url).await;
                (key, url, finding)
            });
        }
        next
    }

    fn take(&mut self, key: &Key, url: &str, finding: Finding) {
        // The answer of a place where the system no longer is says nothing.
        let Some(system) = self.systems.get_mut(key).filter(|system| system.url == url) else { return };
        system.is_asked = false;
        let turn = system.watched.take(finding, now());
        let (namespace, name) = key;
        match turn {
            Some(Turn::Fell) => {
                let problem = system.watched.health().problem.as_deref().unwrap_or_default();
                tracing::warn!(%namespace, system = %name, problem, "system is unhealthy and gets no steps over HTTP");
            }
            Some(Turn::Recovered) => tracing::info!(%namespace, system = %name, "system is healthy again"),
            None => {}
        }
        self.publish();
    }

    fn publish(&self) {
        let book = self.systems.iter().map(|(key, system)| (key.clone(), system.watched.health().clone())).collect();
        self.published.send_replace(Arc::new(book));
    }
}

/// One question.
async fn ask(client: &Client, url: &str) -> Finding {
    let url = match destination(url) {
        Ok(url) => url,
        Err(invalid) => return Finding::Unwell(invalid.to_string()),
    };
    let request = Request { method: Method::GET, url, headers: HeaderMap::new(), body: None, answer_bytes_max: BODY_BYTES_MAX };
    match tokio::time::timeout(PROBE_TIMEOUT, client.send(request)).await {
        Ok(Ok(answer)) if answer.status.is_success() => Finding::Well,
        Ok(Ok(answer)) => Finding::Unwell(format!("it answered {}", answer.status.as_u16())),
        Ok(Err(SendError::Refused(refused))) => Finding::Unwell(refused.to_string()),
        Ok(Err(SendError::Unreachable(reason) | SendError::Broken(reason))) => Finding::Unwell(reason),
        Err(_) => Finding::Unwell(format!("no answer within {} s", PROBE_TIMEOUT.as_secs())),
    }
}
