//! Logs as JSON lines on standard error, with the ids of the attempt they belong to.
//!
//! The library speaks through `tracing`; [`init`] is one way to hear it. A
//! program with a subscriber of its own keeps it: the attempt's ids are fields of
//! the span `attempt` around every handler.

use std::fmt;
use std::io::Write as _;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Span, Subscriber};
use tracing_subscriber::layer::{Context as LayerContext, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::context::Context;

/// Installs the JSON logger for this process, at the level that
/// `TASKER_LOG_LEVEL` names (`debug`, `info`, `warn`, `error`; `info` unless set).
/// Called twice, or beside another subscriber, it changes nothing.
///
/// A line has `timestamp` (RFC 3339, UTC), `level`, `message`, `target` and the
/// event's fields; inside a handler also `task_id`, `step`, `attempt`,
/// `trace_id` and `span_id`.
pub fn init() {
    let level = std::env::var("TASKER_LOG_LEVEL").unwrap_or_default();
    let level = match level.as_str() {
        "debug" => tracing::Level::DEBUG,
        "warn" => tracing::Level::WARN,
        "error" => tracing::Level::ERROR,
        _ => tracing::Level::INFO,
    };
    let ours = tracing_subscriber::filter::Targets::new()
        .with_default(level)
        // The clients' own talk is about sockets and buffers; people who set `debug` want to see steps.
        .with_target("async_nats", level.min(tracing::Level::WARN))
        .with_target("hyper_util", level.min(tracing::Level::WARN))
        .with_target("reqwest", level.min(tracing::Level::WARN))
        .with_target("opentelemetry", level.min(tracing::Level::WARN));
    let _ = tracing_subscriber::registry().with(JsonLines.with_filter(ours)).try_init();
}

/// The span around a handler.
pub(crate) fn attempt_span(context: &Context) -> Span {
    let span = tracing::info_span!(
        "attempt",
        task_id = context.task_id(),
        step = context.step(),
        attempt = context.attempt(),
        trace_id = tracing::field::Empty,
        span_id = tracing::field::Empty
    );
    if !span.is_disabled() {
        span.record("trace_id", context.trace_id()).record("span_id", context.span_id());
    }
    span
}

struct JsonLines;

/// The fields of a span, kept with it.
struct SpanFields(Map<String, Value>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for JsonLines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: LayerContext<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Map::new();
            attributes.record(&mut Collect(&mut fields));
            span.extensions_mut().insert(SpanFields(fields));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: LayerContext<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(SpanFields(fields)) = span.extensions_mut().get_mut::<SpanFields>()
        {
            values.record(&mut Collect(fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: LayerContext<'_, S>) {
        let mut line = line(event, context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()), |span, line| {
            if let Some(SpanFields(fields)) = span.extensions().get::<SpanFields>() {
                line.extend(fields.iter().map(|(name, value)| (name.clone(), value.clone())));
            }
        });
        line.push('\n');
        // One write per line, so that lines of several threads do not mix. If nobody reads, there is nobody to tell.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}

fn line<T>(event: &Event<'_>, scope: impl Iterator<Item = T>, add: impl Fn(&T, &mut Map<String, Value>)) -> String {
    let mut line = Map::new();
    scope.for_each(|span| add(&span, &mut line));
    event.record(&mut Collect(&mut line));
    let metadata = event.metadata();
    line.insert("timestamp".to_owned(), Value::String(jiff::Timestamp::now().to_string()));
    line.insert("level".to_owned(), Value::String(metadata.level().as_str().to_ascii_lowercase()));
    line.insert("target".to_owned(), Value::String(metadata.target().to_owned()));
    line.entry("message").or_insert_with(|| Value::String(metadata.name().to_owned()));
    Value::Object(line).to_string()
}

/// Turns the fields of a span or an event into JSON values of their own types.
struct Collect<'a>(&'a mut Map<String, Value>);

impl Collect<'_> {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Collect<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }
}
