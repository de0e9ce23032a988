//! A receiver of traces and metrics over OTLP/HTTP, as protobuf or as JSON, and what a trace must be like.

use crate::until::until;
use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Every exporter gathers spans for a while before it sends them.
const EXPORTED_MAX: Duration = Duration::from_secs(30);
/// A batch of spans of a busy exporter.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A span as it was received.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// `service.name` of the process that made it.
    pub service: String,
    /// Its name.
    pub name: String,
    /// `server`, `producer`, `consumer`, `internal` or `client`.
    pub kind: &'static str,
    /// Its id, in hexadecimal.
    pub id: String,
    /// The id of its parent, or empty.
    pub parent: String,
    /// The trace's id.
    pub trace_id: String,
    /// Whether its status is an error.
    pub is_error: bool,
    /// Nanoseconds since 1970.
    pub start: u64,
    /// Nanoseconds since 1970.
    pub end: u64,
    /// Texts and numbers keep their type.
    pub attributes: BTreeMap<String, Value>,
}

/// One series of the newest push: its name (of a histogram: with `_count`), its attributes, its value.
type Series = (String, BTreeMap<String, Value>, f64);

/// The newest push: who made it, and its series.
type Pushed = Arc<Mutex<Option<(BTreeMap<String, Value>, Vec<Series>)>>>;

type Spans = Arc<Mutex<Vec<Received>>>;

/// A receiver on a free port, for as long as this value lives.
pub struct Receiver {
    spans: Spans,
    pushed: Pushed,
    endpoint: String,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Receiver {
    /// Starts listening.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start() -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let spans = Spans::default();
        let pushed = Pushed::default();
        let traces = Router::new().route("/v1/traces", post(receive)).with_state(spans.clone());
        let metrics = Router::new().route("/v1/metrics", post(receive_metrics)).with_state(pushed.clone());
        let routes = traces.merge(metrics).layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
        let serving = tokio::spawn(async move {
            // It ends when it is aborted; an error before that shows as missing spans.
            let _ = axum::serve(listener, routes).await;
        });
        Ok(Self { spans, pushed, endpoint, serving })
    }

    /// What exporters are told.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// In the newest push, the sum of the series with this name and these attributes, whatever others they have; none if there is no such series.
    pub fn pushed(&self, name: &str, attributes: &[(&str, &str)]) -> Option<f64> {
        let pushed = self.pushed.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |has: &BTreeMap<String, Value>| attributes.iter().all(|(key, value)| has.get(*key) == Some(&json!(value)));
        let (_, series) = pushed.as_ref()?;
        series.iter().filter(|(found, has, _)| found == name && fits(has)).map(|(_, _, value)| *value).reduce(|sum, value| sum + value)
    }

    /// The attributes of whoever pushed metrics last.
    pub fn pushed_by(&self) -> Option<BTreeMap<String, Value>> {
        self.pushed.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(about, _)| about.clone())
    }

    /// The spans of one trace, each once: a span that was sent again must be the same.
    ///
    /// # Errors
    /// Two different spans have one id.
    pub fn trace(&self, trace_id: &str) -> Result<Trace> {
        let mut spans: BTreeMap<String, Received> = BTreeMap::new();
        for span in self.spans.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(|span| span.trace_id == trace_id) {
            if let Some(other) = spans.insert(span.id.clone(), span.clone()) {
                let same = (&other.service, &other.name, &other.parent, &other.attributes)
                    == (&span.service, &span.name, &span.parent, &span.attributes);
                ensure!(same, "two spans have the id {}: {other:#?} and {span:#?}", span.id);
            }
        }
        Ok(Trace { spans: spans.into_values().collect() })
    }

    /// Waits until a trace has this many spans, and returns it.
    ///
    /// # Errors
    /// It has fewer in time; shows the tree that there is.
    pub async fn trace_of(&self, trace_id: &str, count: usize) -> Result<Trace> {
        let found = until(&format!("trace {trace_id} has {count} spans"), EXPORTED_MAX, async || {
            let trace = self.trace(trace_id)?;
            Ok((trace.spans.len() >= count).then_some(trace))
        })
        .await;
        found.with_context(|| self.trace(trace_id).map_or_else(|error| error.to_string(), |trace| trace.tree()))
    }
}

/// One trace.
#[derive(Debug, Clone)]
pub struct Trace {
    /// In no particular order.
    pub spans: Vec<Received>,
}

impl Trace {
    /// The only span of this name.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn only(&self, name: &str) -> Result<&Received> {
        let found: Vec<&Received> = self.spans.iter().filter(|span| span.name == name).collect();
        ensure!(found.len() == 1, "{} spans are called `{name}`:\n{}", found.len(), self.tree());
        Ok(found[0])
    }

    /// The children of a span, earliest first.
    pub fn children(&self, parent: &str) -> Vec<&Received> {
        let mut children: Vec<&Received> = self.spans.iter().filter(|span| span.parent == parent).collect();
        children.sort_by(|a, b| (a.start, &a.name).cmp(&(b.start, &b.name)));
        children
    }

    /// The tree as text: one span a line, with kind and service, children below their parent.
    pub fn tree(&self) -> String {
        let mut text = String::new();
        let known = |id: &String| self.spans.iter().any(|span| span.id == *id);
        for root in self.spans.iter().filter(|span| !known(&span.parent)) {
            self.branch(root, 0, &mut text);
        }
        text
    }

    fn branch(&self, span: &Received, depth: usize, text: &mut String) {
        let error = if span.is_error {
            format!(" !{}", span.attributes.get("error.type").and_then(Value::as_str).unwrap_or("?"))
        } else {
            String::new()
        };
        writeln!(text, "{}{} ({}, {}){error}", "  ".repeat(depth), span.name, span.kind, span.service)
            .expect("writing to a text does not fail");
        for child in self.children(&span.id) {
            self.branch(child, depth + 1, text);
        }
    }
}

async fn receive(
    State(spans): State<Spans>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, [(header::HeaderName, &'static str); 1], &'static str) {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_json = content_type.contains("json");
    let (answer_type, empty) = if is_json { ("application/json", "{}") } else { ("application/x-protobuf", "") };
    let request = if is_json {
        serde_json::from_slice::<ExportTraceServiceRequest>(&body).ok()
    } else {
        ExportTraceServiceRequest::decode(body).ok()
    };
    let Some(request) = request else { return (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, answer_type)], empty) };
    let mut kept = spans.lock().unwrap_or_else(PoisonError::into_inner);
    for resource in request.resource_spans {
        let about = resource.resource.map(|resource| attributes(&resource.attributes)).unwrap_or_default();
        let service = about.get("service.name").and_then(Value::as_str).unwrap_or_default().to_owned();
        kept.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans).map(|span| read(&service, span)));
    }
    (StatusCode::OK, [(header::CONTENT_TYPE, answer_type)], empty)
}

async fn receive_metrics(State(pushed): State<Pushed>, body: Bytes) -> StatusCode {
    let Ok(request) = ExportMetricsServiceRequest::decode(body) else { return StatusCode::BAD_REQUEST };
    let (mut about, mut series) = (BTreeMap::new(), Vec::new());
    for resource in request.resource_metrics {
        about = resource.resource.map(|resource| attributes(&resource.attributes)).unwrap_or_default();
        for metric in resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
            let numbers = match metric.data {
                Some(Data::Sum(sum)) => sum.data_points,
                Some(Data::Gauge(gauge)) => gauge.data_points,
                Some(Data::Histogram(histogram)) => {
                    let counts = histogram.data_points.iter().map(|point| (attributes(&point.attributes), point.count as f64));
                    series.extend(counts.map(|(attributes, count)| (format!("{}_count", metric.name), attributes, count)));
                    continue;
                }
                _ => continue,
            };
            series.extend(numbers.iter().map(|point| (metric.name.clone(), attributes(&point.attributes), number(point.value.as_ref()))));
        }
    }
    *pushed.lock().unwrap_or_else(PoisonError::into_inner) = Some((about, series));
    StatusCode::OK
}

fn number(value: Option<&number_data_point::Value>) -> f64 {
    match value {
        Some(number_data_point::Value::AsDouble(number)) => *number,
        Some(number_data_point::Value::AsInt(number)) => *number as f64,
        None => f64::NAN,
    }
}

fn read(service: &str, span: Span) -> Received {
    const ERROR: i32 = 2;
    Received {
        service: service.to_owned(),
        name: span.name,
        kind: ["unspecified", "internal", "server", "client", "producer", "consumer"].get(span.kind as usize).copied().unwrap_or("unknown"),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        trace_id: hex(&span.trace_id),
        is_error: span.status.is_some_and(|status| status.code == ERROR),
        start: span.start_time_unix_nano,
        end: span.end_time_unix_nano,
        attributes: attributes(&span.attributes),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attributes(list: &[KeyValue]) -> BTreeMap<String, Value> {
    list.iter().map(|pair| (pair.key.clone(), value(pair.value.as_ref()))).collect()
}

fn value(value: Option<&AnyValue>) -> Value {
    match value.and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => json!(text),
        Some(any_value::Value::IntValue(number)) => json!(number),
        Some(any_value::Value::DoubleValue(number)) => json!(number),
        Some(any_value::Value::BoolValue(truth)) => json!(truth),
        Some(other) => json!(format!("{other:?}")),
        None => Value::Null,
    }
}
