//! Trace and span ids. Span ids are derived from the trace, the task and the place in it, so that a span can be written at any
//! time by any process, and a crash loses none.

use tasker_engine::task::Trace;
use tasker_engine::{AttemptNumber, Digest, StepIndex, Task, TaskId, Timestamp};
use tasker_telemetry::span::ITEM_SPANS_MAX;

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    hex::encode(bytes)
}

/// Reads a W3C `traceparent`; none if it is not one, as the standard asks.
pub fn parse_traceparent(text: &str) -> Option<Trace> {
    let mut parts = text.trim().split('-');
    let (version, trace_id, span_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if version.len() != 2 || version == "ff" || (version == "00" && parts.next().is_some()) || flags.len() != 2 {
        return None;
    }
    let trace_id: [u8; 16] = bytes(trace_id)?;
    let parent: [u8; 8] = bytes(span_id)?;
    let flags: [u8; 1] = bytes(flags)?;
    bytes::<1>(version)?;
    if trace_id == [0; 16] || parent == [0; 8] {
        return None;
    }
    Some(Trace { trace_id, parent: Some(parent), sampled: flags[0] & 1 == 1 })
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
        return None;
    }
    let mut bytes = [0; N];
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).ok()?;
    }
    Some(bytes)
}

/// Writes a W3C `traceparent`.
pub fn traceparent(trace_id: &[u8; 16], span: &[u8; 8], sampled: bool) -> String {
    format!("00-{}-{}-{:02x}", hex(trace_id), hex(span), u8::from(sampled))
}

/// The span that covers accepting the submission.
pub fn submit_span(task: TaskId) -> [u8; 8] {
    derive(task, 0, 0, 0)
}

/// The span that covers the task.
pub fn task_span(task: TaskId) -> [u8; 8] {
    derive(task, 1, 0, 0)
}

/// The span that covers a step, from ready to its end.
pub fn step_span(task: TaskId, step: StepIndex) -> [u8; 8] {
    derive(task, 2, step.0, 0)
}

/// The span of asking a worker for one attempt; its context travels with the request.
pub fn publish_span(task: TaskId, step: StepIndex, attempt: AttemptNumber) -> [u8; 8] {
    derive(task, 3, step.0, attempt.0)
}

/// Whether a step has spans: every step of the workflow does, of the items of its fan-outs the first ones.
pub fn has_spans(task: &Task, step: StepIndex) -> bool {
    step.at() < task.workflow.steps.len() + ITEM_SPANS_MAX
}

/// The trace context of a request for an attempt: whoever works on it continues the span of asking.
pub fn context_of_attempt(task: &Task, step: StepIndex, attempt: AttemptNumber) -> Trace {
    let trace = task.submission.trace;
    Trace { parent: Some(publish_span(task.id, step, attempt)), sampled: trace.sampled && has_spans(task, step), ..trace }
}

/// The trace context of a child task: it is part of the step that started it, or, beyond the items that have spans, of the fan-out.
pub fn context_of_child(task: &Task, step: StepIndex) -> Trace {
    let spanned = if has_spans(task, step) { step } else { task.node(step) };
    Trace { parent: Some(step_span(task.id, spanned)), ..task.submission.trace }
}

fn derive(task: TaskId, kind: u8, step: u32, attempt: u32) -> [u8; 8] {
    let mut text = [0u8; 17];
    text[..8].copy_from_slice(&task.as_number().to_le_bytes());
    text[8] = kind;
    text[9..13].copy_from_slice(&step.to_le_bytes());
    text[13..].copy_from_slice(&attempt.to_le_bytes());
    let digest = Digest::of(&text);
    let mut span = [0u8; 8];
    span.copy_from_slice(&digest.0[..8]);
    span
}

/// A span that is complete.
#[derive(Debug, Clone)]
pub struct Span {
    /// Of which trace.
    pub trace_id: [u8; 16],
    /// Its id.
    pub id: [u8; 8],
    /// The span it belongs to.
    pub parent: Option<[u8; 8]>,
    /// `step charge`.
    pub name: String,
    /// OpenTelemetry's kind.
    pub kind: SpanKind,
    /// From the first microsecond of this millisecond.
    pub start: Timestamp,
    /// To the last microsecond of this millisecond: what happened within the span, on another machine's finer clock, lies inside it.
    pub end: Timestamp,
    /// The error code, if it ended badly.
    pub error: Option<String>,
    /// Names from the `telemetry` room.
    pub attributes: Vec<(&'static str, Attribute)>,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// A word or an id.
    Text(String),
    /// A count.
    Number(i64),
}

impl From<String> for Attribute {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u32> for Attribute {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

/// OpenTelemetry's kinds, as far as they are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// Handles a request.
    Server,
    /// Sends a message.
    Producer,
    /// Sends a request.
    Client,
    /// Inside one process.
    Internal,
}

/// Where spans go. Never blocks: what does not fit is dropped and counted, because a trace must not slow a task.
#[derive(Clone, Default)]
pub struct SpanSink {
    to: Option<tokio::sync::mpsc::Sender<Span>>,
    dropped: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

impl SpanSink {
    /// A sink that forwards to an exporter.
    pub fn new(to: tokio::sync::mpsc::Sender<Span>) -> Self {
        Self { to: Some(to), dropped: std::sync::Arc::default() }
    }

    /// Whether anybody listens.
    pub fn is_on(&self) -> bool {
        self.to.is_some()
    }

    /// Hands over a span.
    pub fn send(&self, span: Span) {
        if let Some(to) = &self.to
            && to.try_send(span).is_err()
        {
            self.dropped.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// How many spans were dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(std::sync::atomic::Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_survives_reading_and_writing() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let trace = parse_traceparent(text).expect("valid");
        assert_eq!(traceparent(&trace.trace_id, &trace.parent.expect("has a parent"), trace.sampled), text);
    }

    #[test]
    fn what_is_not_a_traceparent_is_ignored() {
        for text in [
            "",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-extra",
            "00-0af7-b7ad-01",
        ] {
            assert_eq!(parse_traceparent(text), None, "{text}");
        }
    }
}
