//! Open attempts go out: to sessions and to plain responders, for the first time or again.

use super::Shard;
use super::attempts::{Carrier, Open};
use super::group::AfterCommit;
use crate::port::bus::{Call, CallKey};
use crate::trace::context_of_attempt;
use tasker_engine::decide::dispatch::responder_timeout;
use tasker_engine::{Payload, StepIndex, TaskId};
use tasker_registry::SessionKey;
use tasker_registry::message::{AttemptKey, Directive, StepRequest};

impl Shard {
    /// Sends an open attempt to a session.
    pub(super) fn ask_session(&mut self, id: TaskId, step: StepIndex, session: &SessionKey, input: Payload, dependencies: Payload) {
        let uptime = self.uptime();
        let Some(resident) = self.residents.get(id) else { return };
        let task = &resident.task;
        let (Some(open), Some(call)) = (task.open_attempt(step), task.definition(step).call()) else { return };
        let asked_for =
            self.registry.system(&session.namespace, &session.system).and_then(|system| system.capabilities.get(&call.capability)?.timeout);
        let declared = self.slots.declared(&session.namespace, &session.system, &call.capability);
        let Some(worker) = self.registry.session_mut(session) else { return };
        let slot_cost = worker.cost(&call.capability, declared);
        let sequence = worker.next_sequence(slot_cost);
        worker.sent_at = uptime;
        let definition = task.definition(step);
        let request = StepRequest {
            sequence,
            attempt: AttemptKey { task: id, step: task.label(step), attempt: open.attempt, token: open.token },
            capability: call.capability.clone(),
            input,
            dependencies,
            idempotency_key: task.idempotency_key(step),
            slot_cost,
            // Where the workflow sets no limit, the one that the handler's author asked for holds; the SDK keeps it.
            timeout: definition.timeouts.running.or(asked_for),
            shard: u32::from(self.settings.shard.0),
            trace: context_of_attempt(task, step, open.attempt),
            workflow: task.workflow.name.clone(),
            version: task.workflow.version.clone(),
            attempts_max: definition.retry.attempts_max,
        };
        let carrier = Carrier::Session(session.clone(), sequence);
        self.attempts.put(open.token.0, Open { task: id, step, carrier, sent_at: uptime });
        self.group.direct(session, Directive::Request(Box::new(request)));
    }

    /// Calls plain responders for an open attempt.
    pub(super) fn ask_responders(&mut self, id: TaskId, step: StepIndex, input: Payload) {
        let uptime = self.uptime();
        let Some(resident) = self.residents.get(id) else { return };
        let task = &resident.task;
        let (Some(open), Some(asked), Some(lane)) = (task.open_attempt(step), task.definition(step).call(), resident.lane(step)) else {
            return;
        };
        let call = Call {
            namespace: task.workflow.namespace.clone(),
            system: asked.system.clone(),
            capability: asked.capability.clone(),
            key: CallKey { task: id, step: task.label(step), attempt: open.attempt, token: open.token },
            input,
            idempotency_key: task.idempotency_key(step),
            timeout: responder_timeout(task.definition(step).timeouts.running),
            trace: context_of_attempt(task, step, open.attempt),
        };
        self.responders.called(lane, open.token.0);
        self.attempts.put(open.token.0, Open { task: id, step, carrier: Carrier::Called, sent_at: uptime });
        self.group.then(AfterCommit::Call(Box::new(call)));
    }
}
