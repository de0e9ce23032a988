//! Receives spans over OTLP/HTTP, as protobuf or as JSON.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::sync::Notify;

/// One exported span with its service.
#[derive(Debug, Clone)]
pub struct Exported {
    pub service: String,
    pub span: Span,
}

impl Exported {
    pub fn attributes(&self) -> BTreeMap<String, String> {
        attributes(&self.span.attributes)
    }
}

#[derive(Default)]
struct Received {
    spans: Mutex<Vec<Exported>>,
    added: Notify,
}

/// A receiver on a free port, for as long as this value lives.
pub struct Receiver {
    received: Arc<Received>,
    endpoint: String,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Receiver {
    pub async fn start() -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("no free port for the trace receiver")?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let received = Arc::new(Received::default());
        let routes = Router::new().route("/v1/traces", post(receive)).with_state(Arc::clone(&received));
        let server = tokio::spawn(async move {
            // It ends when it is aborted; an error before that shows as missing spans.
            let _ = axum::serve(listener, routes).await;
        });
        Ok(Self { received, endpoint, server })
    }

    /// What `OTEL_EXPORTER_OTLP_ENDPOINT` should be.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub async fn span(&self, what: &str, within: Duration, matches: impl Fn(&Exported) -> bool) -> Result<Exported> {
        let found = async {
            loop {
                let added = self.received.added.notified();
                let span = self.all().into_iter().find(|span| matches(span));
                if let Some(span) = span {
                    return span;
                }
                added.await;
            }
        };
        match tokio::time::timeout(within, found).await {
            Ok(span) => Ok(span),
            Err(_) => {
                let names: Vec<String> = self.all().into_iter().map(|exported| exported.span.name).collect();
                bail!("expected {what} within {within:?}; the spans received are {names:?}")
            }
        }
    }

    fn all(&self) -> Vec<Exported> {
        self.received.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn receive(
    State(received): State<Arc<Received>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, [(header::HeaderName, &'static str); 1], &'static str) {
    let is_json = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|kind| kind.contains("json"));
    let (kind, empty) = if is_json { ("application/json", "{}") } else { ("application/x-protobuf", "") };
    let request = if is_json {
        serde_json::from_slice::<ExportTraceServiceRequest>(&body).ok()
    } else {
        ExportTraceServiceRequest::decode(body).ok()
    };
    let Some(request) = request else { return (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, kind)], empty) };
    let mut spans = received.spans.lock().unwrap_or_else(PoisonError::into_inner);
    for resource in request.resource_spans {
        let about = resource.resource.map(|resource| attributes(&resource.attributes)).unwrap_or_default();
        let service = about.get("service.name").cloned().unwrap_or_default();
        let of_resource = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.extend(of_resource.map(|span| Exported { service: service.clone(), span }));
    }
    drop(spans);
    received.added.notify_waiters();
    (StatusCode::OK, [(header::CONTENT_TYPE, kind)], empty)
}

fn attributes(list: &[KeyValue]) -> BTreeMap<String, String> {
    list.iter().map(|pair| (pair.key.clone(), text(pair.value.as_ref()))).collect()
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}
