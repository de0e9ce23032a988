//! Simulated workers that follow `docs/protocol.md`: hello, poll, credit, beats, replies kept until they are acknowledged, rejoin, cancel. Some
//! are slow, some hang, some fail, some lie, and all of them may be killed.

use crate::cluster::Cluster;
use crate::dice::Dice;
use crate::fault::Fault;
use crate::manifests::{RESULT, SYSTEMS};
use crate::network::ToWorkerPort;
use bytes::Bytes;
use prost::Message;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::SessionId;
use tasker_proto::worker::v1 as proto;
use tasker_proto::worker::v1::directive::Directive;
use tasker_proto::worker::v1::step_reply::Outcome;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

/// The longest pause between two tries of the same reply.
const RESEND_MAX: Duration = Duration::from_secs(10);
/// Pauses between hellos.
const HELLO_PAUSES: [u64; 4] = [1_000, 2_000, 4_000, 5_000];

struct Held {
    request: proto::StepRequest,
    work: Work,
}

enum Work {
    Running { ends: Option<Instant>, times_out: Option<Instant>, stubborn: bool, outcome: Outcome },
    Finished { reply: proto::StepReply, again_at: Instant, pause: Duration, sent: u32, wipes: u32 },
}

struct Worker {
    cluster: Arc<Cluster>,
    number: usize,
    session: SessionId,
    system: &'static str,
    slots: u32,
    dice: Dice,
    welcomed: bool,
    hellos: usize,
    next_hello: Instant,
    next_beat: Instant,
    heartbeat: Duration,
    resend: Duration,
    highest: u64,
    held: BTreeMap<Bytes, Held>,
    /// The last reply that was recorded, for those who say something else afterwards.
    recorded: Option<proto::StepReply>,
    over: bool,
}

/// Runs one worker for ever: whenever its process ends, another with a new session takes its place.
pub async fn run(cluster: Arc<Cluster>, number: usize, mut dice: Dice) {
    // The first three see to it that every system has somebody.
    let system = if number < SYSTEMS.len() { SYSTEMS[number] } else { dice.pick(&SYSTEMS).copied().expect("three systems") };
    loop {
        sleep(dice.millis(0, 800)).await;
        let session = SessionId::new(&format!("worker-{number}-{:08x}", dice.below(1 << 32))).expect("a session");
        let (mailbox, messages) = mpsc::unbounded_channel();
        cluster.network.add_worker(session.clone(), mailbox);
        let now = Instant::now();
        let mut worker = Worker {
            cluster: cluster.clone(),
            number,
            session: session.clone(),
            system,
            slots: dice.between(1, 6) as u32,
            dice: dice.fork(),
            welcomed: false,
            hellos: 0,
            next_hello: now,
            next_beat: now,
            heartbeat: Duration::from_secs(1),
            resend: Duration::from_secs(2),
            highest: 0,
            held: BTreeMap::new(),
            recorded: None,
            over: false,
        };
        worker.live(messages).await;
        cluster.network.forget_worker(&session);
        sleep(dice.millis(100, 3_000)).await;
    }
}

impl Worker {
    async fn live(&mut self, mut messages: mpsc::UnboundedReceiver<ToWorkerPort>) {
        let cluster = self.cluster.clone();
        while !self.over {
            tokio::select! {
                biased;
                () = cluster.killed_worker(self.number) => return,
                message = messages.recv() => match message {
                    None => return,
                    Some(ToWorkerPort::Reconnected) => self.rejoin(),
                    Some(ToWorkerPort::Message(bytes)) => {
                        // What cannot be read is nobody's.
                        if let Ok(told) = proto::ToWorker::decode(bytes) {
                            told.directives.into_iter().filter_map(|told| told.directive).for_each(|told| self.take(told));
                        }
                    }
                },
                () = sleep_until(self.next_due()) => self.on_time(),
            }
        }
    }

    fn next_due(&self) -> Instant {
        let own = if self.welcomed { self.next_beat } else { self.next_hello };
        let held = self.held.values().flat_map(|held| match &held.work {
            Work::Running { ends, times_out, .. } => [*ends, *times_out],
            Work::Finished { again_at, .. } => [Some(*again_at), None],
        });
        held.flatten().chain([own]).min().expect("at least its own")
    }

    fn publish(&self, tail: &str, body: &impl Message) {
        self.publish_as(self.system, tail, body);
    }

    fn publish_as(&self, system: &str, tail: &str, body: &impl Message) {
        let subject = format!("tasker.v1.default.{system}.{tail}");
        self.cluster.network.send_from_worker(&self.cluster, &self.session, &subject, body.encode_to_vec());
    }

    fn credit(&self) -> proto::Credit {
        let running = self.held.values().filter(|held| matches!(held.work, Work::Running { .. }));
        let busy = running.map(|held| held.request.slot_cost.max(1)).sum();
        proto::Credit { free: self.slots.saturating_sub(busy), highest_sequence: self.highest, expires_in_ms: 0 }
    }

    fn held_attempts(&self) -> Vec<proto::HeldAttempt> {
        let name = |held: &Held| proto::HeldAttempt {
            task_id: held.request.task_id.clone(),
            step_name: held.request.step_name.clone(),
            attempt: held.request.attempt,
            token: held.request.token.clone(),
            ..Default::default()
        };
        self.held.values().map(name).collect()
    }

    fn hello(&mut self) {
        let capability = proto::Capability {
            name: format!("{}.work", self.system),
            result_schema: RESULT.into(),
            description: "works".into(),
            ..Default::default()
        };
        let hello = proto::Hello {
            session: self.session.to_string(),
            system_version: "1.0.0".into(),
            capabilities: vec![capability],
            slots: self.slots,
            sdk: Some(proto::Sdk { name: "simulated".into(), version: "1".into(), language: "none".into() }),
            host: "nowhere".into(),
            held: self.held_attempts(),
            counts_slot_costs: true,
            ..Default::default()
        };
        self.publish("hello", &hello);
        self.next_hello = Instant::now() + Duration::from_millis(HELLO_PAUSES[self.hellos.min(HELLO_PAUSES.len() - 1)]);
        self.hellos += 1;
    }

    fn poll(&self) {
        self.publish("poll", &proto::Poll { session: self.session.to_string(), credit: Some(self.credit()) });
    }

    fn beat(&mut self) {
        let beat = proto::Beat {
            session: self.session.to_string(),
            held: self.held_attempts(),
            credit: Some(self.credit()),
            state: proto::SessionState::Active as i32,
        };
        self.publish("beat", &beat);
        self.next_beat = Instant::now() + self.heartbeat;
    }

    /// Says hello again with the same session; running handlers are not disturbed.
    fn rejoin(&mut self) {
        self.welcomed = false;
        self.hellos = 0;
        self.hello();
        self.send_again(true);
    }

    fn on_time(&mut self) {
        let now = Instant::now();
        if !self.welcomed && self.next_hello <= now {
            self.hello();
        }
        if self.welcomed && self.next_beat <= now {
            self.beat();
            self.lie();
        }
        self.finish_handlers(now);
        self.send_again(false);
    }

    fn take(&mut self, told: Directive) {
        match told {
            Directive::Welcome(welcome) => {
                self.welcomed = true;
                self.heartbeat = Duration::from_millis(welcome.heartbeat_ms.clamp(100, 5_000));
                self.resend = Duration::from_millis(welcome.reply_resend_ms.clamp(100, 10_000));
                self.highest = 0;
                self.next_beat = Instant::now() + self.heartbeat;
                self.poll();
            }
            // Its supervisor starts another.
            Directive::Refused(refused) => self.over = !refused.retryable,
            Directive::Rejoin(_) => self.rejoin(),
            Directive::StepRequest(request) => self.begin(request),
            Directive::ReplyAcknowledged(acknowledged) => self.acknowledged(&acknowledged),
            Directive::CancelAttempt(cancel) => self.cancel(&cancel.token),
            Directive::Drain(_) => {}
        }
    }

    fn begin(&mut self, request: proto::StepRequest) {
        self.highest = self.highest.max(request.sequence);
        let now = Instant::now();
        self.cluster.overhear(self.system, &request);
        self.forge(&request);
        if let Some(held) = self.held.get_mut(&request.token) {
            if let Work::Finished { again_at, .. } = &mut held.work {
                *again_at = now;
            }
            return self.send_again(false);
        }
        if request.slot_cost > 1 {
            self.cluster.sometimes("a step that took several slots");
        }
        let times_out = (request.timeout_ms > 0).then(|| now + Duration::from_millis(request.timeout_ms.min(3_600_000)));
        let (ends, stubborn, outcome) = self.decide(&request);
        let work = Work::Running { ends: ends.map(|after| now + after), times_out, stubborn, outcome };
        self.held.insert(request.token.clone(), Held { request, work });
    }

    /// How the handler will end, and after how long; never, if it hangs.
    fn decide(&mut self, request: &proto::StepRequest) -> (Option<Duration>, bool, Outcome) {
        let suffers = |fault| self.cluster.suffers(fault);
        let (hangs, slow) = (suffers(Fault::WorkerHang), suffers(Fault::WorkerSlow));
        let (fails, violates) = (suffers(Fault::WorkerFail), suffers(Fault::WorkerViolate));
        let dice = &mut self.dice;
        let after = if slow && dice.percent(15) { dice.millis(800, 6_000) } else { dice.millis(1, 120) };
        let number = dice.below(1_000);
        if hangs && dice.percent(4) {
            return (None, dice.percent(30), success(self.system, number));
        }
        if request.capability != format!("{}.work", self.system) {
            return (Some(after), false, failure(proto::FailureKind::Permanent, "capability.unknown"));
        }
        let outcome = match dice.below(100) {
            0..12 if fails => failure(proto::FailureKind::Retryable, "busy"),
            12..16 if fails => failure(proto::FailureKind::Permanent, "broken"),
            16..28 if violates => {
                let wrong = ["{\"value\":-1,\"by\":\"x\"}", "{\"value\":\"many\",\"by\":\"x\"}", "{\"by\":\"x\"}", "7"];
                let text = *dice.pick(&wrong).expect("not empty");
                Outcome::Success(proto::Success { result: Bytes::from_static(text.as_bytes()) })
            }
            _ => success(self.system, number),
        };
        (Some(after), false, outcome)
    }

    fn finish_handlers(&mut self, now: Instant) {
        for held in self.held.values_mut() {
            let Work::Running { ends, times_out, stubborn, outcome } = &mut held.work else { continue };
            let outcome = if ends.is_some_and(|at| at <= now) {
                outcome.clone()
            } else if times_out.is_some_and(|at| at <= now) {
                if *stubborn || ends.is_none() {
                    // Hangs on; only its supervisor helps.
                    *times_out = None;
                    continue;
                }
                failure(proto::FailureKind::Retryable, "attempt.timeout")
            } else {
                continue;
            };
            held.work = finished(&held.request, outcome, now, self.resend);
        }
    }

    fn cancel(&mut self, token: &Bytes) {
        let now = Instant::now();
        let resend = self.resend;
        if let Some(held) = self.held.get_mut(token)
            && let Work::Running { stubborn: false, .. } = held.work
        {
            held.work = finished(&held.request, failure(proto::FailureKind::Cancelled, "attempt.cancelled"), now, resend);
            self.send_again(false);
        }
    }

    /// Sends every reply that is due, in one batch.
    fn send_again(&mut self, all: bool) {
        let now = Instant::now();
        let wiped = self.cluster.judge(|judge| judge.wipes);
        let mut replies: BTreeMap<u32, Vec<proto::StepReply>> = BTreeMap::new();
        for held in self.held.values_mut() {
            let shard = held.request.shard;
            if let Work::Finished { reply, again_at, pause, sent, wipes } = &mut held.work
                && (all || *again_at <= now)
            {
                if *sent == 0 {
                    *wipes = wiped;
                }
                *sent += 1;
                *again_at = now + *pause;
                *pause = (*pause * 2).min(RESEND_MAX);
                replies.entry(shard).or_default().push(reply.clone());
            }
        }
        for (shard, replies) in replies {
            let batch = proto::ReplyBatch { session: self.session.to_string(), replies, credit: Some(self.credit()) };
            self.publish(&format!("reply.{shard}"), &batch);
        }
    }

    fn acknowledged(&mut self, acknowledged: &proto::ReplyAcknowledged) {
        let Some(held) = self.held.get(&acknowledged.token) else { return };
        let Work::Finished { reply, sent, wipes, .. } = &held.work else { return };
        if acknowledged.disposition() == proto::ReplyDisposition::Recorded {
            if *sent > 1 && self.cluster.judge(|judge| judge.wipes) > *wipes {
                self.cluster.sometimes("a bus wiped, then a reply sent again and recorded");
            }
            self.recorded = Some(reply.clone());
        }
        self.held.remove(&acknowledged.token);
    }

    /// Somebody answers before the worker does: with a token that was guessed, or with the right one from another system.
    fn forge(&mut self, request: &proto::StepRequest) {
        if !self.cluster.suffers(Fault::WorkerLie) || !self.dice.percent(8) {
            return;
        }
        let mut reply = forged(request);
        let guessed = self.dice.percent(50);
        if guessed {
            reply.token = self.dice.sixteen().to_vec().into();
        }
        let other = SYSTEMS.iter().copied().find(|system| *system != self.system).unwrap_or(self.system);
        let batch = proto::ReplyBatch { session: self.session.to_string(), replies: vec![reply], credit: None };
        self.publish_as(if guessed { self.system } else { other }, &format!("reply.{}", request.shard), &batch);
    }

    /// Says what no honest worker says.
    fn lie(&mut self) {
        if !self.cluster.suffers(Fault::WorkerLie) || !self.dice.percent(35) {
            return;
        }
        let Some((system, request)) = self.cluster.overheard(&mut self.dice) else { return };
        let mut reply = forged(&request);
        match self.dice.below(5) {
            0 => reply.token = self.dice.sixteen().to_vec().into(),
            1 => reply.step_name = "no_such_step".into(),
            2 => match &self.recorded {
                Some(before) => reply = before.clone(),
                None => return,
            },
            3 => match &self.recorded {
                Some(before) => reply = proto::StepReply { outcome: Some(success(self.system, 1_001)), ..before.clone() },
                None => return,
            },
            // The right token, of another system's step: only the subject gives it away.
            _ if system != self.system => {}
            _ => return,
        }
        let shard = request.shard;
        let batch = proto::ReplyBatch { session: self.session.to_string(), replies: vec![reply], credit: None };
        self.publish(&format!("reply.{shard}"), &batch);
    }
}

/// What nobody may believe.
fn forged(request: &proto::StepRequest) -> proto::StepReply {
    let result = Bytes::from_static(b"{\"value\":1,\"by\":\"liar\",\"forged\":true}");
    proto::StepReply {
        task_id: request.task_id.clone(),
        step_name: request.step_name.clone(),
        attempt: request.attempt,
        token: request.token.clone(),
        ran_ms: 1,
        outcome: Some(Outcome::Success(proto::Success { result })),
    }
}

fn finished(request: &proto::StepRequest, outcome: Outcome, now: Instant, pause: Duration) -> Work {
    let reply = proto::StepReply {
        task_id: request.task_id.clone(),
        step_name: request.step_name.clone(),
        attempt: request.attempt,
        token: request.token.clone(),
        ran_ms: 1,
        outcome: Some(outcome),
    };
    Work::Finished { reply, again_at: now, pause, sent: 0, wipes: 0 }
}

fn success(system: &str, number: u64) -> Outcome {
    Outcome::Success(proto::Success { result: Bytes::from(format!("{{\"value\":{number},\"by\":\"{system}\"}}")) })
}

fn failure(kind: proto::FailureKind, code: &str) -> Outcome {
    Outcome::Failure(proto::Failure { kind: kind as i32, code: code.into(), message: "simulated".into(), ..Default::default() })
}
