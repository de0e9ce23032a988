//! What the API measures about itself. Labels are bounded: routes are templates, never paths.

use prometheus::{Encoder, HistogramOpts, HistogramVec, IntCounter, Registry, TextEncoder};
use std::sync::Arc;
use std::time::Duration;

/// From answers out of memory to the longest long poll, in seconds.
const BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

/// Methods that have a label of their own; a client may invent others.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// The route of a request that matched none.
const UNMATCHED: &str = "unmatched";

/// The API's own measurements; cheap to clone.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Instruments>);

struct Instruments {
    registry: Registry,
    requests: HistogramVec,
    resets: IntCounter,
    panics: IntCounter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let registry = Registry::new();
        let options = HistogramOpts::new("tasker_http_requests_seconds", "Time from a request's head to its answer's head.")
            .buckets(BUCKETS.to_vec());
        let requests = HistogramVec::new(options, &["method", "route", "status"]).expect("the names are valid");
        let resets = IntCounter::new("tasker_stream_resets_total", "Event streams that had to start again from the beginning.")
            .expect("the name is valid");
        let panics =
            IntCounter::new("tasker_http_panics_total", "Requests that were answered with coordinator.fault.").expect("the name is valid");
        registry.register(Box::new(requests.clone())).expect("registered once");
        registry.register(Box::new(resets.clone())).expect("registered once");
        registry.register(Box::new(panics.clone())).expect("registered once");
        Self(Arc::new(Instruments { registry, requests, resets, panics }))
    }

    /// Counts an answered request. `route` is the template that matched.
    pub(crate) fn answered(&self, method: &str, route: Option<&str>, status: u16, took: Duration) {
        let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("other");
        let labels = [method, route.unwrap_or(UNMATCHED), &status.to_string()];
        self.0.requests.with_label_values(&labels).observe(took.as_secs_f64());
    }

    /// Counts a stream that had to start again.
    pub(crate) fn stream_reset(&self) {
        self.0.resets.inc();
    }

    /// Counts a panic.
    pub(crate) fn panicked(&self) {
        self.0.panics.inc();
    }

    /// The measurements in Prometheus' text format.
    pub(crate) fn write(&self) -> String {
        let mut text = Vec::new();
        match TextEncoder::new().encode(&self.0.registry.gather(), &mut text) {
            Ok(()) => String::from_utf8(text).unwrap_or_default(),
            Err(error) => {
                tracing::error!(%error, "metrics could not be written");
                String::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stay_bounded_whatever_clients_send() {
        let metrics = Metrics::new();
        for number in 0..100 {
            metrics.answered(&format!("METHOD{number}"), None, 404, Duration::from_millis(2));
        }
        metrics.answered("GET", Some("/v1/tasks/{id}"), 200, Duration::from_millis(2));
        let text = metrics.write();
        let series = text.lines().filter(|line| line.starts_with("tasker_http_requests_seconds_count")).count();
        assert_eq!(series, 2, "{text}");
        assert!(text.contains(r#"tasker_http_requests_seconds_count{method="other",route="unmatched",status="404"} 100"#), "{text}");
    }
}
