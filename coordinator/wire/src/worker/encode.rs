//! What a worker is told, as bytes.

use super::super::worker as wire;
use bytes::Bytes;
use prost::Message;
use std::time::Duration;
use tasker_engine::task::Trace;
use tasker_proto::worker::v1 as proto;
use tasker_registry::message::{Acknowledgement, AttemptKey, Directive, StepRequest, ToWorker};

/// The most step requests in one message.
pub const REQUESTS_PER_BATCH: usize = 64;
/// The largest message, unless one directive alone is larger.
pub const BATCH_BYTES_MAX: usize = 256 * 1024;

/// The messages for one worker: what is there now, cut where a message would get too large. Order is kept.
pub fn encode(message: ToWorker) -> Vec<Bytes> {
    let session = message.session.to_string();
    let mut messages = Vec::with_capacity(1);
    let mut batch: Vec<proto::Directive> = Vec::with_capacity(message.directives.len());
    let (mut size, mut requests) = (0, 0);
    for directive in message.directives {
        let directive = directive_of(directive);
        // Eight bytes more for the field that holds it.
        let bytes = directive.encoded_len() + 8;
        let is_request = matches!(directive.directive, Some(proto::directive::Directive::StepRequest(_)));
        let full = size + bytes > wire::BATCH_BYTES_MAX || (is_request && requests == wire::REQUESTS_PER_BATCH);
        if full && !batch.is_empty() {
            messages.push(finish(&session, std::mem::take(&mut batch)));
            (size, requests) = (0, 0);
        }
        size += bytes;
        requests += usize::from(is_request);
        batch.push(directive);
    }
    if !batch.is_empty() {
        messages.push(finish(&session, batch));
    }
    messages
}

fn finish(session: &str, directives: Vec<proto::Directive>) -> Bytes {
    proto::ToWorker { session: session.to_owned(), directives }.encode_to_vec().into()
}

fn directive_of(directive: Directive) -> proto::Directive {
    use proto::directive::Directive as Wire;
    let wire = match directive {
        Directive::Welcome(welcome) => Wire::Welcome(proto::Welcome {
            heartbeat_ms: millis(welcome.heartbeat),
            lease_ms: millis(welcome.lease),
            payload_bytes_max: welcome.payload_bytes_max as u64,
            reply_resend_ms: millis(welcome.reply_resend),
            coordinator: welcome.coordinator,
        }),
        Directive::Refused { code, message, retryable } => Wire::Refused(proto::Refused { code, message, retryable }),
        Directive::Rejoin => Wire::Rejoin(proto::Rejoin {}),
        Directive::Request(request) => Wire::StepRequest(request_of(*request)),
        Directive::Acknowledged { attempt, disposition } => Wire::ReplyAcknowledged(acknowledged(attempt, disposition)),
        Directive::Cancel { attempt, reason } => {
            let (task_id, step_name, attempt, token) = key(&attempt);
            Wire::CancelAttempt(proto::CancelAttempt { task_id, step_name, attempt, token, reason })
        }
        Directive::Drain { reason } => Wire::Drain(proto::Drain { reason }),
    };
    proto::Directive { directive: Some(wire) }
}

fn request_of(request: StepRequest) -> proto::StepRequest {
    let (task_id, step_name, attempt, token) = key(&request.attempt);
    proto::StepRequest {
        sequence: request.sequence,
        task_id,
        step_name,
        attempt,
        token,
        capability: request.capability.to_string(),
        input: request.input.bytes().clone(),
        dependencies: request.dependencies.bytes().clone(),
        idempotency_key: request.idempotency_key,
        timeout_ms: request.timeout.map_or(0, millis),
        shard: request.shard,
        traceparent: traceparent(&request.trace),
        tracestate: String::new(),
        workflow_name: request.workflow.to_string(),
        workflow_version: request.version.to_string(),
        attempts_max: request.attempts_max,
        slot_cost: request.slot_cost,
    }
}

fn acknowledged(attempt: AttemptKey, disposition: Acknowledgement) -> proto::ReplyAcknowledged {
    use proto::ReplyDisposition as Wire;
    let (disposition, code, message) = match disposition {
        Acknowledgement::Recorded => (Wire::Recorded, "", String::new()),
        Acknowledgement::Repeated => (Wire::Repeated, "", String::new()),
        Acknowledgement::Stale => (Wire::Stale, "", String::new()),
        Acknowledgement::Conflicting => {
            let message = "another result was recorded for this attempt; a handler must answer each attempt once".to_owned();
            (Wire::Conflicting, "reply.conflicting", message)
        }
        Acknowledgement::Refused { code, message } => (Wire::Refused, code, message),
    };
    let (task_id, step_name, attempt, token) = key(&attempt);
    proto::ReplyAcknowledged { task_id, step_name, attempt, token, disposition: disposition.into(), code: code.to_owned(), message }
}

fn key(attempt: &AttemptKey) -> (String, String, u32, Bytes) {
    let token = Bytes::copy_from_slice(&attempt.token.0);
    (attempt.task.to_string(), attempt.step.to_string(), attempt.attempt.0, token)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// W3C Trace Context; empty if there is no span to continue.
pub(crate) fn traceparent(trace: &Trace) -> String {
    let Some(parent) = trace.parent else { return String::new() };
    let mut text = String::with_capacity(55);
    for (separator, part) in [("00-", &trace.trace_id[..]), ("-", &parent[..])] {
        text.push_str(separator);
        text.push_str(&hex::encode(part));
    }
    text.push_str(if trace.sampled { "-01" } else { "-00" });
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tasker_engine::{Namespace, SessionId, SystemName};

    fn message(directives: Vec<Directive>) -> ToWorker {
        ToWorker {
            namespace: Namespace::new("default").expect("valid"),
            system: SystemName::new("payments").expect("valid"),
            session: SessionId::new("session-1").expect("valid"),
            directives,
        }
    }

    #[test]
    fn a_long_list_is_cut_into_messages_below_the_limit_and_keeps_its_order() {
        let drains = (0..2_000).map(|number| Directive::Drain { reason: format!("{number:0>500}") });
        let messages = encode(message(drains.collect()));
        assert!(messages.len() > 3);
        assert!(messages.iter().all(|bytes| bytes.len() <= BATCH_BYTES_MAX + 100));
        let reasons: Vec<String> = messages
            .iter()
            .flat_map(|bytes| proto::ToWorker::decode(bytes.clone()).expect("what was encoded").directives)
            .map(|directive| match directive.directive {
                Some(proto::directive::Directive::Drain(drain)) => drain.reason.trim_start_matches('0').to_owned(),
                other => panic!("{other:?}"),
            })
            .collect();
        let expected: Vec<String> = (0..2_000).map(|number| if number == 0 { String::new() } else { number.to_string() }).collect();
        assert_eq!(reasons, expected);
    }
}
