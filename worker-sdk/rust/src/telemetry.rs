//! Continues the coordinator's trace: one consumer span per attempt.

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tasker_proto::worker::v1::StepRequest;

use crate::error::{StepError, WorkerError};
use crate::settings::Settings;

/// Where spans go, and what they all have in common.
pub(crate) struct Telemetry {
    exporting: Option<(SdkTracerProvider, SdkTracer)>,
    common: [KeyValue; 6],
}

impl Telemetry {
    /// Exports over OTLP/HTTP if `OTEL_EXPORTER_OTLP_ENDPOINT` is set; otherwise
    /// handlers still see the incoming trace, so that their own tracer can continue it.
    pub async fn from_environment(settings: &Settings) -> Result<Self, WorkerError> {
        let set = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty());
        let wanted = set("OTEL_EXPORTER_OTLP_ENDPOINT") || set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        if !wanted || std::env::var("OTEL_SDK_DISABLED").is_ok_and(|value| value == "true") {
            return Ok(Self::new(settings, None));
        }
        let system = settings.system.clone();
        // The exporter's blocking HTTP client must not be built or dropped on an async thread.
        let provider = tokio::task::spawn_blocking(move || provider(system, set("OTEL_SERVICE_NAME")))
            .await
            .map_err(|error| WorkerError::Telemetry(error.to_string()))??;
        // Spans that a handler makes through the global tracer belong to the same service.
        opentelemetry::global::set_tracer_provider(provider.clone());
        let tracer = provider.tracer("tasker-worker");
        Ok(Self::new(settings, Some((provider, tracer))))
    }

    fn new(settings: &Settings, exporting: Option<(SdkTracerProvider, SdkTracer)>) -> Self {
        let common = [
            KeyValue::new("messaging.system", "nats"),
            KeyValue::new("messaging.operation.name", "process"),
            KeyValue::new("messaging.operation.type", "process"),
            KeyValue::new("messaging.destination.template", format!("{}.v1.{{namespace}}.{{system}}.to.{{session}}", settings.prefix)),
            KeyValue::new("tasker.system", settings.system.clone()),
            KeyValue::new("tasker.namespace", settings.namespace.clone()),
        ];
        Self { exporting, common }
    }

    /// The context to run a handler in: with the consumer span if spans are
    /// exported, else with the coordinator's span, else empty.
    pub fn start(&self, request: &StepRequest) -> Context {
        let parent = match parse_parent(&request.traceparent, &request.tracestate) {
            Some(parent) => Context::new().with_remote_span_context(parent),
            None => Context::new(),
        };
        let Some((_, tracer)) = &self.exporting else { return parent };
        let own = [
            KeyValue::new("messaging.message.conversation_id", request.task_id.clone()),
            KeyValue::new("tasker.task.id", request.task_id.clone()),
            KeyValue::new("tasker.step.name", request.step_name.clone()),
            KeyValue::new("tasker.attempt.number", i64::from(request.attempt)),
            KeyValue::new("tasker.capability.name", request.capability.clone()),
        ];
        let span = tracer
            .span_builder(format!("process {}", request.capability))
            .with_kind(SpanKind::Consumer)
            .with_attributes(self.common.iter().cloned().chain(own))
            .start_with_context(tracer, &parent);
        parent.with_span(span)
    }

    pub fn end(&self, context: &Context, error: Option<&StepError>) {
        if self.exporting.is_none() {
            return;
        }
        let span = context.span();
        if let Some(error) = error {
            span.set_attribute(KeyValue::new("error.type", error.code().to_owned()));
            span.set_status(Status::error(error.message().to_owned()));
        }
        span.end();
    }

    /// Sends what is still here. Bounded by the exporter's own timeout.
    pub async fn shutdown(&self) {
        let Some((provider, _)) = &self.exporting else { return };
        let provider = provider.clone();
        let ended = tokio::task::spawn_blocking(move || provider.shutdown()).await;
        if let Ok(Err(error)) = ended {
            tracing::warn!(%error, "the last spans could not be exported");
        }
    }
}

fn provider(system: String, named_by_user: bool) -> Result<SdkTracerProvider, WorkerError> {
    let exporter = SpanExporter::builder().with_http().build().map_err(|error| WorkerError::Telemetry(error.to_string()))?;
    let resource = Resource::builder();
    let resource = if named_by_user { resource } else { resource.with_service_name(system) };
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build())
}

/// W3C Trace Context, version 00. Anything else is no trace, as the standard asks.
fn parse_parent(traceparent: &str, tracestate: &str) -> Option<SpanContext> {
    let mut fields = traceparent.split('-');
    let (version, trace, span, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    if version.len() != 2 || version == "ff" || trace.len() != 32 || span.len() != 16 || flags.len() != 2 {
        return None;
    }
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        tracestate.parse::<TraceState>().unwrap_or_default(),
    );
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_or_ignored_whole() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let parent = parse_parent(good, "vendor=1").expect("the standard's own example");
        assert_eq!(parent.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert!(parent.is_sampled() && parent.is_remote());
        for bad in [
            "",
            "00",
            "00-0-0-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        ] {
            assert!(parse_parent(bad, "").is_none(), "{bad}");
        }
    }
}
