//! Sends the spans that the runtime makes to an OTLP receiver, from a thread of its own: a slow or absent receiver never slows a task.

use opentelemetry::trace::{SpanContext, SpanId, SpanKind as OtelKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter, SpanLinks};
use std::time::{Duration, SystemTime};
use tasker_engine::Timestamp;
use tasker_runtime::trace::{Attribute, Span, SpanKind, SpanSink};
use tasker_telemetry::{SERVICE_NAME, attribute};
use tokio::sync::mpsc;

/// Spans that may wait for the exporter; more are dropped and counted.
const WAITING_MAX: usize = 65_536;
/// Spans in one export.
const BATCH_MAX: usize = 512;
/// How long spans gather before they are sent.
const GATHER: Duration = Duration::from_millis(200);
/// How long one export may take.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// The thread that exports, to be waited for at the end.
pub struct Exporter(std::thread::JoinHandle<()>);

impl Exporter {
    /// Waits until everything that was handed over has been sent. The sink and its clones must be gone.
    pub fn finish(self) {
        let _ = self.0.join();
    }
}

/// Starts exporting to `endpoint` (`http://127.0.0.1:4318`); without one, spans go nowhere.
pub fn start(endpoint: Option<&str>, name: &str) -> anyhow::Result<(SpanSink, Option<Exporter>)> {
    let Some(endpoint) = endpoint.filter(|endpoint| !endpoint.is_empty()) else { return Ok((SpanSink::default(), None)) };
    let url = format!("{}/v1/traces", endpoint.trim_end_matches('/').trim_end_matches("/v1/traces"));
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let resource = Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", SERVICE_NAME),
            KeyValue::new("service.instance.id", name.to_owned()),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        ])
        .build();
    let (started, outcome) = std::sync::mpsc::channel();
    // The exporter's client is built on its own thread, because a blocking client must not be built inside the asynchronous runtime.
    let thread = std::thread::Builder::new().name("otlp".into()).spawn(move || {
        let built = opentelemetry_otlp::SpanExporter::builder().with_http().with_endpoint(&url).with_timeout(EXPORT_TIMEOUT).build();
        match built {
            Ok(mut exporter) => {
                exporter.set_resource(&resource);
                let _ = started.send(Ok(()));
                export(exporter, receiver);
            }
            Err(error) => drop(started.send(Err(format!("[telemetry.otlp_endpoint]: `{url}`: {error}; give http://HOST:4318")))),
        }
    })?;
    outcome.recv()?.map_err(anyhow::Error::msg)?;
    Ok((SpanSink::new(sender), Some(Exporter(thread))))
}

fn export(exporter: opentelemetry_otlp::SpanExporter, mut receiver: mpsc::Receiver<Span>) {
    let scope = InstrumentationScope::builder("tasker").with_version(env!("CARGO_PKG_VERSION")).build();
    let mut failing = false;
    while let Some(first) = receiver.blocking_recv() {
        std::thread::sleep(GATHER);
        let mut batch = vec![span_data(first, &scope)];
        while batch.len() < BATCH_MAX
            && let Ok(span) = receiver.try_recv()
        {
            batch.push(span_data(span, &scope));
        }
        match futures::executor::block_on(exporter.export(batch)) {
            Ok(()) if failing => {
                tracing::info!("traces are accepted again");
                failing = false;
            }
            Ok(()) => {}
            Err(error) if !failing => {
                tracing::warn!(%error, "traces are not accepted; tasks go on without them");
                failing = true;
            }
            Err(_) => {}
        }
    }
}

fn span_data(span: Span, scope: &InstrumentationScope) -> SpanData {
    let context = SpanContext::new(
        TraceId::from_bytes(span.trace_id),
        SpanId::from_bytes(span.id),
        TraceFlags::SAMPLED,
        false,
        TraceState::default(),
    );
    let mut attributes: Vec<KeyValue> = span.attributes.into_iter().map(attribute_of).collect();
    let status = match span.error {
        None => Status::Unset,
        Some(code) => {
            attributes.push(KeyValue::new(attribute::ERROR_TYPE, code.clone()));
            Status::error(code)
        }
    };
    SpanData {
        span_context: context,
        parent_span_id: span.parent.map_or(SpanId::INVALID, SpanId::from_bytes),
        parent_span_is_remote: false,
        span_kind: match span.kind {
            SpanKind::Server => OtelKind::Server,
            SpanKind::Producer => OtelKind::Producer,
            SpanKind::Client => OtelKind::Client,
            SpanKind::Internal => OtelKind::Internal,
        },
        name: span.name.into(),
        start_time: time(span.start),
        end_time: time(span.end) + Duration::from_micros(999),
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status,
        instrumentation_scope: scope.clone(),
    }
}

fn attribute_of((name, value): (&'static str, Attribute)) -> KeyValue {
    match value {
        Attribute::Text(text) => KeyValue::new(name, text),
        Attribute::Number(number) => KeyValue::new(name, number),
    }
}

fn time(at: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(at.as_millis()).unwrap_or(0))
}
