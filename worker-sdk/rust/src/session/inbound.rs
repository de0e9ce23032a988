//! What the session does with what arrives: directives, finished handlers, a new connection.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_nats::{Message, StatusCode};
use prost::Message as _;
use tasker_proto::worker::v1::directive::Directive;
use tasker_proto::worker::v1::{CancelAttempt, Refused, ReplyAcknowledged, ReplyDisposition, StepRequest, ToWorker, Welcome};

use super::attempt::{self, Finished};
use super::held::{Admission, Cancellation};
use super::{HELLO_WAIT_FIRST, PERIOD_MIN, Session};
use crate::connection::LinkState;
use crate::context::{Attempt, StopReason, Token};
use crate::error::{StepError, WorkerError};

/// What an envelope may add to a payload before NATS refuses the message.
const ENVELOPE_BYTES: usize = 8 * 1024;

impl Session {
    pub(super) async fn receive(&mut self, message: Message) -> Result<(), WorkerError> {
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            tracing::warn!(
                namespace = self.plan.settings.namespace,
                "no coordinator is listening; is it running, and in this namespace? trying again"
            );
            return Ok(());
        }
        let envelope = match ToWorker::decode(message.payload) {
            Ok(envelope) => envelope,
            Err(error) => {
                tracing::warn!(%error, "ignored a message that is not a ToWorker");
                return Ok(());
            }
        };
        if envelope.session != self.id {
            tracing::warn!("ignored a message for another session");
            return Ok(());
        }
        let received = Instant::now();
        for directive in envelope.directives {
            // A oneof this version does not know: a newer coordinator may say more than we understand.
            let Some(directive) = directive.directive else { continue };
            match directive {
                Directive::Welcome(welcome) => self.welcomed(&welcome).await,
                Directive::Refused(refused) => self.refused(refused)?,
                Directive::Rejoin(_) => self.rejoin().await,
                Directive::StepRequest(request) => self.step_requested(request, received),
                Directive::ReplyAcknowledged(acknowledged) => self.acknowledged(&acknowledged),
                Directive::CancelAttempt(cancel) => self.cancel(&cancel),
                Directive::Drain(drain) => self.drain(&drain.reason).await,
            }
        }
        Ok(())
    }

    async fn welcomed(&mut self, welcome: &Welcome) {
        tracing::info!(
            coordinator = welcome.coordinator,
            session = self.id,
            system = self.plan.settings.system,
            slots = self.plan.settings.slots,
            "welcomed"
        );
        self.heartbeat = Duration::from_millis(welcome.heartbeat_ms).max(PERIOD_MIN);
        self.resend = Duration::from_millis(welcome.reply_resend_ms).max(PERIOD_MIN);
        let told = usize::try_from(welcome.payload_bytes_max).unwrap_or(usize::MAX);
        let server = self.link.message_bytes_max().saturating_sub(ENVELOPE_BYTES);
        self.shop.payload_bytes_max.store(told.min(server), Ordering::Relaxed);
        self.hello_due = None;
        self.hello_wait = HELLO_WAIT_FIRST;
        self.held.welcomed(self.resend);
        let now = Instant::now();
        self.beat_due = Some(now + self.heartbeat);
        self.poll().await;
        if self.draining.is_some() {
            // A coordinator that has only just met us must know at once that we are going.
            self.beat().await;
        }
        self.outgoing = self.held.all_replies(now);
        self.arm_resend(now);
    }

    fn refused(&mut self, refused: Refused) -> Result<(), WorkerError> {
        if refused.retryable {
            tracing::warn!(code = refused.code, reason = refused.message, "refused for now; asking again");
            return Ok(());
        }
        Err(WorkerError::Refused { code: refused.code, message: refused.message })
    }

    async fn rejoin(&mut self) {
        // While a hello is unanswered its own repeat does this; several Rejoins would only multiply it.
        if self.hello_due.is_none() {
            tracing::info!("the coordinator does not know this session; joining again");
            self.hello_wait = HELLO_WAIT_FIRST;
            self.say_hello().await;
        }
    }

    pub(super) async fn link_changed(&mut self, state: LinkState) {
        if state.up {
            tracing::info!(connections = state.connections, "connected to NATS");
            self.hello_wait = HELLO_WAIT_FIRST;
            self.say_hello().await;
        }
    }

    fn step_requested(&mut self, request: StepRequest, received: Instant) {
        self.held.received(request.sequence);
        let Ok(token) = Token::try_from(request.token.as_ref()) else {
            tracing::warn!(task_id = request.task_id, step = request.step_name, "ignored a step request whose token has not 16 bytes");
            return;
        };
        let known = self.held.holds(&token);
        if self.draining.is_some() && !known {
            tracing::debug!(task_id = request.task_id, step = request.step_name, "not taken: this worker is draining");
            return;
        }
        match self.held.admit(token, || Attempt::new(request, token, received)) {
            Admission::Start(attempt) => self.start(attempt),
            Admission::Waits => {}
            // The coordinator counts the repeat against our slots, and no reply of it will correct that.
            Admission::Held => self.must_poll = true,
            Admission::Answered(reply) => self.outgoing.push(reply),
            Admission::Full => tracing::warn!("not taken: too many replies are unacknowledged; the coordinator will ask again"),
        }
    }

    fn start(&mut self, attempt: Arc<Attempt>) {
        let Some(handler) = self.plan.handlers.get(&attempt.request.capability) else {
            let problem =
                format!("this worker of system `{}` has no capability `{}`", self.plan.settings.system, attempt.request.capability);
            self.answer_for(&attempt, StepError::permanent("capability.unknown", problem));
            return;
        };
        tokio::spawn(attempt::run(Arc::clone(&self.shop), Arc::clone(handler), attempt));
    }

    pub(super) fn finish(&mut self, finished: Finished) {
        let now = Instant::now();
        let (kept, next) = self.held.finish(&finished.token, finished.reply.encoded.clone(), now);
        if kept {
            self.outgoing.push(finished.reply);
            if self.resend_due.is_none() {
                self.arm_resend(now);
            }
        }
        next.into_iter().for_each(|next| self.start(next));
    }

    /// Replies where no handler will.
    pub(super) fn answer_for(&mut self, attempt: &Attempt, error: StepError) {
        let reply = attempt::refuse(attempt, error, self.shop.payload_bytes_max.load(Ordering::Relaxed));
        self.finish(Finished { token: attempt.token, reply });
    }

    fn acknowledged(&mut self, acknowledged: &ReplyAcknowledged) {
        let Ok(token) = Token::try_from(acknowledged.token.as_ref()) else { return };
        if !self.held.acknowledge(&token) {
            return;
        }
        let ReplyAcknowledged { task_id, step_name: step, attempt, code, message, .. } = acknowledged;
        match acknowledged.disposition() {
            ReplyDisposition::Refused | ReplyDisposition::Conflicting => {
                tracing::error!(task_id, step, attempt, code, reason = message, "the coordinator did not take this reply");
            }
            ReplyDisposition::Stale => {
                tracing::info!(task_id, step, attempt, code, "the attempt was over before its reply arrived");
            }
            ReplyDisposition::Recorded | ReplyDisposition::Repeated | ReplyDisposition::Unspecified => {}
        }
    }

    fn cancel(&mut self, cancel: &CancelAttempt) {
        let Ok(token) = Token::try_from(cancel.token.as_ref()) else { return };
        match self.held.cancel(&token, StopReason::Coordinator) {
            Cancellation::Withdrawn(attempt) => self.answer_for(&attempt, StepError::cancelled()),
            Cancellation::Told => {
                tracing::info!(task_id = cancel.task_id, step = cancel.step_name, reason = cancel.reason, "cancelling an attempt");
            }
            Cancellation::Nothing => {}
        }
    }
}
