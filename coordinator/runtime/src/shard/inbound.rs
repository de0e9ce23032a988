//! What workers say.

use super::Shard;
use super::attempts::Carrier;
use super::loading::{LateReply, Pending};
use crate::port::bus::Inbound;
use crate::settings::REPLY_RESEND;
use std::collections::HashSet;
use tasker_engine::decide::lost::lost;
use tasker_engine::decide::reply::{Disposition, Reply, reply};
use tasker_engine::{Payload, TaskId};
use tasker_registry::SessionKey;
use tasker_registry::message::{
    Acknowledgement, Announcement, AttemptKey, Beat, Credit, Directive, FromWorker, Held, Said, SessionState, Welcome, WorkerReply,
};

impl Shard {
    pub(super) fn take_message(&mut self, message: Inbound) {
        match message {
            Inbound::Worker(said) => self.take_word(said),
            Inbound::Answered(answer) => self.take_answer(answer),
            Inbound::HttpAnswered(answer) => self.take_http_answer(answer),
            Inbound::Reconnected => {
                // Whatever was on the way may be gone; the next beats show what each worker holds.
                self.counters.bus_reconnects += 1;
                tracing::warn!("the bus was lost and has come back");
                self.ask_interrupted_again();
            }
            Inbound::Overheard(sessions) => self.greet(&sessions),
        }
    }

    /// Asks workers that another owner of this shard knew to introduce themselves, so that they need not find out by their next beat.
    pub(super) fn greet(&mut self, sessions: &[SessionKey]) {
        for session in sessions.iter().filter(|session| self.registry.session(session).is_none()) {
            self.group.direct(session, Directive::Rejoin);
        }
    }

    fn take_word(&mut self, said: FromWorker) {
        let key = SessionKey { namespace: said.namespace, system: said.system, session: said.session };
        match said.body {
            Said::Hello(announcement) => self.hello(key, *announcement),
            Said::Impossible { code, message } => {
                tracing::warn!(system = %key.system, session = %key.session, code, "hello refused: {message}");
                let refused = Directive::Refused { code: code.to_owned(), message, retryable: false };
                self.group.direct(&key, refused);
            }
            Said::Poll(credit) => {
                if self.hear(&key) {
                    self.grant(&key, Some(credit));
                }
            }
            Said::Beat(beat) => self.beat(&key, beat),
            Said::Replies { replies, credit } => {
                let known = self.hear(&key);
                for reply in replies {
                    self.take_reply(&key, reply);
                }
                if known {
                    self.grant(&key, credit);
                }
            }
        }
    }

    /// Notes a sign of life. A session that is not known is asked to introduce itself again.
    fn hear(&mut self, key: &SessionKey) -> bool {
        let uptime = self.uptime();
        match self.registry.session_mut(key) {
            Some(session) => {
                session.heard_at = uptime;
                true
            }
            None => {
                self.group.direct(key, Directive::Rejoin);
                false
            }
        }
    }

    /// After how long something that was sent has arrived or is lost.
    fn patience(&self) -> std::time::Duration {
        self.settings.heartbeat.mul_f32(1.5)
    }

    fn grant(&mut self, key: &SessionKey, credit: Option<Credit>) {
        let (uptime, patience) = (self.uptime(), self.patience());
        if let (Some(credit), Some(session)) = (credit, self.registry.session_mut(key)) {
            let open_after = |sequence| self.attempts.sent_after(key, sequence);
            session.grant(session.counted(credit, uptime, patience, open_after), uptime);
        }
    }

    fn hello(&mut self, key: SessionKey, announcement: Announcement) {
        let held = announcement.held.clone();
        let (language, version) = (announcement.sdk.language.clone(), announcement.system_version.clone());
        let known = self.registry.session(&key).is_some();
        if let Some(message) = self.stop_at_gate(&key, &announcement) {
            let code = super::gate::CODE;
            tracing::warn!(system = %key.system, session = %key.session, code, "hello refused: {message}");
            return self.group.direct(&key, Directive::Refused { code: code.to_owned(), message, retryable: false });
        }
        match self.registry.announce(key.clone(), announcement, self.uptime(), self.clock.now()) {
            Err(refusal) => {
                tracing::warn!(system = %key.system, session = %key.session, code = refusal.code(), "hello refused: {refusal}");
                let refused =
                    Directive::Refused { code: refusal.code().to_owned(), message: refusal.to_string(), retryable: refusal.is_retryable() };
                self.group.direct(&key, refused);
            }
            Ok(declared) => {
                if !known {
                    tracing::info!(namespace = %key.namespace, system = %key.system, session = %key.session, language, system_version = version, "worker joined");
                }
                self.store_declarations(declared);
                let welcome = Welcome {
                    heartbeat: self.settings.heartbeat,
                    lease: self.settings.lease,
                    payload_bytes_max: Payload::BYTES_MAX,
                    reply_resend: REPLY_RESEND,
                    coordinator: self.settings.name.clone(),
                };
                self.group.direct(&key, Directive::Welcome(welcome));
                if self.draining.is_some() {
                    // A coordinator that leaves gives out nothing, so the worker will simply wait for the next one.
                    return;
                }
                self.adopt(&key, &held);
            }
        }
    }

    /// Open attempts that the worker says it holds are its own from now on, whoever carried them before. Its sequence starts anew,
    /// so what it does not hold counts as lost on the way and is sent again by the next beat.
    fn adopt(&mut self, key: &SessionKey, held: &[Held]) {
        for (token, open) in self.attempts.of_session(key) {
            let carrier = Carrier::Session(key.clone(), 0);
            self.attempts.put(token, super::attempts::Open { carrier, ..open });
        }
        for held in held {
            if self.absent.is_unread(held.attempt.task) {
                self.load(held.attempt.task, Pending::Adopt(key.clone(), Box::new(held.clone())));
            } else {
                self.adopt_one(key, held);
            }
        }
    }

    pub(super) fn adopt_one(&mut self, key: &SessionKey, held: &Held) {
        let (uptime, token) = (self.uptime(), held.attempt.token.0);
        if let Some(open) = self.attempts.get(&token).cloned()
            && self.registry.session(key).is_some()
            && self.is_owner(key, open.task, open.step)
        {
            let carrier = Carrier::Session(key.clone(), 0);
            self.attempts.put(token, super::attempts::Open { carrier, sent_at: uptime, ..open });
        }
    }

    fn is_owner(&self, key: &SessionKey, task: TaskId, step: tasker_engine::StepIndex) -> bool {
        self.residents.get(task).is_some_and(|resident| {
            let workflow = &resident.task.workflow;
            workflow.namespace == key.namespace && resident.task.definition(step).system() == Some(&key.system)
        })
    }

    fn beat(&mut self, key: &SessionKey, beat: Beat) {
        if beat.state == SessionState::Left {
            return self.forget_session(key, "left while it still held the attempt");
        }
        self.note_beat(key);
        if !self.hear(key) {
            return;
        }
        let (uptime, patience) = (self.uptime(), self.patience());
        if let Some(session) = self.registry.session_mut(key) {
            session.state = beat.state;
        }
        self.grant(key, beat.credit);
        self.remind_of_drain(key);
        let seen = beat.credit.map_or(0, |credit| credit.highest_sequence);
        let mut holds = HashSet::with_capacity(beat.held.len());
        for held in beat.held {
            let token = held.attempt.token.0;
            match self.attempts.get(&token).cloned() {
                Some(open) => {
                    holds.insert(token);
                    if let (Some(progress), Some(resident)) = (held.progress, self.residents.get_mut(open.task)) {
                        resident.progress.insert(open.step, progress);
                    }
                }
                // After a start nobody knows yet which attempts of the task are open.
                None if self.absent.is_unread(held.attempt.task) => self.wake(held.attempt.task),
                None => {
                    // Closed meanwhile: the order to stop may have been lost.
                    let reason = "the attempt is no longer open".to_owned();
                    self.group.direct(key, Directive::Cancel { attempt: held.attempt, reason });
                }
            }
        }
        if beat.state != SessionState::Active {
            return;
        }
        for (token, open) in self.attempts.of_session(key) {
            let Carrier::Session(_, sequence) = open.carrier else { continue };
            let overtaken = sequence > 0 && seen >= sequence;
            let overdue = uptime.saturating_sub(open.sent_at) > patience;
            if !holds.contains(&token) && (overtaken || overdue) {
                self.announce_again(open.task, open.step, key);
            }
        }
    }

    /// Gives what silent sessions carry to others.
    pub(super) fn expire_leases(&mut self) {
        let (uptime, lease) = (self.uptime(), self.settings.lease);
        let mut silent = self.registry.expired(uptime, lease);
        // After a restart open attempts are carried by sessions that have not said hello again.
        let unknown = self.attempts.sessions().filter(|key| self.registry.session(key).is_none() && uptime > lease);
        silent.extend(unknown.cloned().collect::<Vec<_>>());
        for key in silent {
            let carried = self.attempts.count_of(&key);
            self.counters.worker_lost(&key.namespace, &key.system);
            tracing::warn!(namespace = %key.namespace, system = %key.system, session = %key.session, carried, "worker lost: silent for longer than its lease");
            self.forget_session(&key, "fell silent for longer than its lease");
        }
    }

    fn forget_session(&mut self, key: &SessionKey, how: &str) {
        if let Some(session) = self.registry.remove(key)
            && session.state != SessionState::Left
        {
            tracing::info!(system = %key.system, session = %key.session, "worker gone");
        }
        for (token, open) in self.attempts.of_session(key) {
            let message = format!("worker {} of `{}` {how}", key.session, key.system);
            let Some(resident) = self.residents.get_mut(open.task) else {
                self.attempts.remove(&token);
                continue;
            };
            let token = tasker_engine::AttemptToken(token);
            let decision = lost(&mut resident.task, open.step, token, &message, self.clock.now());
            self.record(open.task, decision, None);
            self.attempts.remove(&token.0);
        }
    }

    /// Before a drain: workers keep what they hold, and are asked to say hello to whoever comes next by that one itself.
    pub(super) fn tell_workers_to_wait(&mut self) {
        tracing::info!(attempts_open = self.attempts.len(), "draining: no new work is given out");
    }

    fn take_reply(&mut self, session: &SessionKey, said: WorkerReply) {
        let task = said.attempt.task;
        if self.residents.get(task).is_none() {
            let pending = Pending::Reply(Box::new(LateReply { session: session.clone(), reply: said }));
            return self.load(task, pending);
        }
        let acknowledgement = self.decide_reply(session, &said);
        let (step, attempt, ran_ms) = (&said.attempt.step, said.attempt.attempt.0, said.ran.as_millis() as u64);
        tracing::debug!(task_id = %said.attempt.task, %step, attempt, ran_ms, disposition = ?acknowledgement, "reply taken");
        self.acknowledge(session, said.attempt, acknowledgement);
    }

    /// A reply whose task has been read.
    pub(super) fn take_late(&mut self, late: LateReply) {
        let acknowledgement = self.decide_reply(&late.session, &late.reply);
        self.acknowledge(&late.session, late.reply.attempt, acknowledgement);
    }

    fn acknowledge(&mut self, session: &SessionKey, attempt: AttemptKey, disposition: Acknowledgement) {
        if disposition == Acknowledgement::Recorded {
            self.group.answers(self.counters.received_at);
        }
        self.counters.reply(match &disposition {
            Acknowledgement::Recorded => "recorded",
            Acknowledgement::Repeated => "repeated",
            Acknowledgement::Stale => "stale",
            Acknowledgement::Conflicting => "conflicting",
            Acknowledgement::Refused { .. } => "refused",
        });
        self.group.direct(session, Directive::Acknowledged { attempt, disposition });
    }

    fn decide_reply(&mut self, session: &SessionKey, said: &WorkerReply) -> Acknowledgement {
        let forged = |message: &str| Acknowledgement::Refused { code: "reply.forged", message: message.to_owned() };
        let task = said.attempt.task;
        let known = self.attempts.get(&said.attempt.token.0).filter(|open| open.task == task).map(|open| open.step);
        let Some(resident) = self.residents.get_mut(task) else { return forged("there is no such task") };
        let workflow = resident.task.workflow.clone();
        let step = match known {
            Some(step) if resident.task.label(step) == said.attempt.step => step,
            _ => match resident.task.find(&said.attempt.step) {
                Some(step) => step,
                None => return forged("the task has no such step"),
            },
        };
        // The system is the one on whose subject the reply arrived (P13).
        if workflow.namespace != session.namespace || resident.task.definition(step).system() != Some(&session.system) {
            tracing::warn!(system = %session.system, task = %task, step = %said.attempt.step, "reply refused: the step belongs to another system");
            return forged("the step belongs to another system");
        }
        let outcome = match &said.outcome {
            Ok(outcome) => outcome.clone(),
            Err(malformed) => {
                return Acknowledgement::Refused { code: "reply.malformed", message: malformed.0.clone() };
            }
        };
        let contract =
            resident.task.open_attempt(step).and_then(|open| open.contract).and_then(|digest| self.registry.contract(&digest).cloned());
        let input = Reply { step, attempt: said.attempt.attempt, token: said.attempt.token, outcome };
        let (disposition, decision) = reply(&mut resident.task, &input, contract.as_deref(), self.clock.now());
        self.record(task, decision, None);
        match disposition {
            Disposition::Recorded => Acknowledgement::Recorded,
            Disposition::Repeated => Acknowledgement::Repeated,
            Disposition::Stale => Acknowledgement::Stale,
            Disposition::Conflicting => Acknowledgement::Conflicting,
            Disposition::Forged => forged("the token is not that of the attempt"),
        }
    }
}

/// The word for a disposition in figures.
pub(super) fn late_outcome(disposition: Disposition) -> &'static str {
    match disposition {
        Disposition::Recorded => "recorded",
        Disposition::Repeated => "repeated",
        Disposition::Stale => "stale",
        Disposition::Conflicting => "conflicting",
        Disposition::Forged => "refused",
    }
}
