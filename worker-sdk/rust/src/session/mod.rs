//! One session: the loop that owns everything a worker holds.
//!
//! Handlers run on tasks of their own and hand their replies over a channel;
//! all other state is changed here and nowhere else. What the loop does with
//! what arrives is in `inbound.rs`, what it sends in `outbound.rs`, how it ends
//! in `drain.rs`.

mod attempt;
mod batch;
mod drain;
mod held;
mod inbound;
mod outbound;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use async_nats::Subject;
use futures::{FutureExt as _, StreamExt as _};
use tasker_proto::worker::v1::Hello;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::attempt::{Finished, Shop};
use self::batch::BATCH_REPLIES_MAX;
use self::drain::Draining;
use self::held::{Held, Reply};
use crate::connection::Link;
use crate::error::WorkerError;
use crate::settings::{Settings, Subjects, new_session};
use crate::step::Handler;
use crate::telemetry::Telemetry;

/// How many messages are taken in one turn, so that replies are not kept waiting behind them.
const MESSAGES_PER_TURN: usize = 64;
/// Before the first `Welcome` nothing is known; these hold until then.
const HEARTBEAT_UNTIL_TOLD: Duration = Duration::from_secs(5);
const RESEND_UNTIL_TOLD: Duration = Duration::from_secs(1);
/// Silence after a hello is waited out this long, then doubled up to the maximum.
const HELLO_WAIT_FIRST: Duration = Duration::from_secs(1);
const HELLO_WAIT_MAX: Duration = Duration::from_secs(5);
/// A period that no coordinator means: it would make the worker spin.
const PERIOD_MIN: Duration = Duration::from_millis(10);

/// What a session is made from.
pub(crate) struct Plan {
    pub settings: Settings,
    /// The announcement without session and held attempts.
    pub announcement: Hello,
    pub handlers: HashMap<String, Arc<dyn Handler>>,
    pub drain_timeout: Duration,
    /// Cancelled when the worker should leave.
    pub leave: CancellationToken,
}

/// How a session ended.
pub(crate) struct Ended {
    /// Handlers that did not stop when they were asked to, and still run.
    pub abandoned: usize,
}

struct Session {
    id: String,
    subjects: Subjects,
    reply_subjects: HashMap<u32, Subject>,
    link: Link,
    plan: Plan,
    shop: Arc<Shop>,
    held: Held,
    /// Replies to publish at the end of this turn.
    outgoing: Vec<Reply>,
    /// Credit changed; if no reply carries it at the end of this turn, a poll does.
    must_poll: bool,
    heartbeat: Duration,
    resend: Duration,
    hello_wait: Duration,
    /// No answer to hello until then: say it again. `None` once welcomed.
    hello_due: Option<Instant>,
    /// Set at the first `Welcome`.
    beat_due: Option<Instant>,
    /// Set while replies are unacknowledged.
    resend_due: Option<Instant>,
    draining: Option<Draining>,
    /// Handlers that were answered for because they did not stop.
    abandoned: usize,
}

/// Runs a session until it has left.
///
/// # Errors
/// The coordinator refused the worker for good, or the NATS client closed.
pub(crate) async fn run(plan: Plan, telemetry: Telemetry) -> Result<Ended, WorkerError> {
    let id = new_session();
    let subjects = Subjects::new(&plan.settings, &id);
    let link = Link::open(&plan.settings.nats_url, &format!("tasker-worker {}", plan.settings.system), &subjects.to).await?;
    let mut messages = link.subscribe(&subjects.to).await?;
    let mut states = link.states();
    // One place per running attempt: a handler that ended never waits for the loop.
    let (finished, mut finished_attempts) = mpsc::channel(plan.settings.slots);
    let leave = plan.leave.clone();
    let shop = Arc::new(Shop { telemetry, payload_bytes_max: AtomicUsize::new(link.message_bytes_max()), finished });
    let mut session = Session::new(id, subjects, link, plan, Arc::clone(&shop));
    let mut ready: Vec<Finished> = Vec::with_capacity(BATCH_REPLIES_MAX);
    let alarm = tokio::time::sleep(HELLO_WAIT_FIRST);
    tokio::pin!(alarm);

    while !session.is_over() {
        let next = session.next_alarm();
        if alarm.deadline().into_std() != next {
            alarm.as_mut().reset(next.into());
        }
        tokio::select! {
            message = messages.next() => {
                let Some(message) = message else {
                    return Err(WorkerError::Nats("the NATS client closed its subscription".to_owned()));
                };
                session.receive(message).await?;
                for _ in 1..MESSAGES_PER_TURN {
                    let Some(Some(message)) = messages.next().now_or_never() else { break };
                    session.receive(message).await?;
                }
            }
            _ = finished_attempts.recv_many(&mut ready, BATCH_REPLIES_MAX) => {
                ready.drain(..).for_each(|finished| session.finish(finished));
            }
            changed = states.changed() => {
                if changed.is_err() {
                    return Err(WorkerError::Nats("the NATS client stopped".to_owned()));
                }
                let state = *states.borrow_and_update();
                session.link_changed(state).await;
            }
            () = &mut alarm => session.alarm_rang(Instant::now()).await,
            () = leave.cancelled(), if session.draining.is_none() => session.drain("the process was asked to stop").await,
        }
        session.publish_replies().await;
    }
    let abandoned = session.leave().await;
    shop.telemetry.shutdown().await;
    Ok(Ended { abandoned })
}

impl Session {
    fn new(id: String, subjects: Subjects, link: Link, plan: Plan, shop: Arc<Shop>) -> Self {
        Self {
            held: Held::new(plan.settings.slots),
            id,
            subjects,
            reply_subjects: HashMap::new(),
            link,
            plan,
            shop,
            outgoing: Vec::with_capacity(BATCH_REPLIES_MAX),
            must_poll: false,
            heartbeat: HEARTBEAT_UNTIL_TOLD,
            resend: RESEND_UNTIL_TOLD,
            hello_wait: HELLO_WAIT_FIRST,
            hello_due: Some(Instant::now() + HELLO_WAIT_FIRST),
            beat_due: None,
            resend_due: None,
            draining: None,
            abandoned: 0,
        }
    }

    /// The earliest moment at which time alone requires something.
    fn next_alarm(&self) -> Instant {
        let draining = self.draining.as_ref().map(|draining| draining.deadline);
        [self.hello_due, self.beat_due, self.resend_due, draining]
            .into_iter()
            .flatten()
            .min()
            // Nothing is due; any distant moment will do.
            .unwrap_or_else(|| Instant::now() + HEARTBEAT_UNTIL_TOLD)
    }

    async fn alarm_rang(&mut self, now: Instant) {
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        if is_due(self.hello_due) {
            self.hello_wait = (self.hello_wait * 2).min(HELLO_WAIT_MAX);
            self.say_hello().await;
        }
        if is_due(self.beat_due) {
            self.beat().await;
        }
        if is_due(self.resend_due) {
            self.outgoing.extend(self.held.due(now));
            self.arm_resend(now);
        }
        if is_due(self.draining.as_ref().map(|draining| draining.deadline)) {
            self.drain_deadline_passed(now);
        }
    }

    /// Replies are looked through a few times per resend period, and only while there are any.
    fn arm_resend(&mut self, now: Instant) {
        self.resend_due = (self.held.unacknowledged() > 0).then(|| now + (self.resend / 4).max(PERIOD_MIN));
    }
}
