//! What the API measures about itself. Labels are bounded: routes are templates, never paths.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tasker_telemetry::histogram::Histogram;
use tasker_telemetry::metric;
use tasker_telemetry::reading::Readings;

/// Methods that have a label of their own; a client may invent others.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// The route of a request that matched none.
const UNMATCHED: &str = "unmatched";

/// The API's own measurements; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Metrics(Arc<Numbers>);

/// How long requests took, by the template that matched.
type ByRoute = BTreeMap<String, Histogram>;

#[derive(Default)]
struct Numbers {
    /// By method, status and route. Bounded by the routes there are; held for the time of one look-up.
    requests: Mutex<BTreeMap<(&'static str, u16), ByRoute>>,
    resets: AtomicU64,
    panics: AtomicU64,
}

impl Metrics {
    /// Counts an answered request. `route` is the template that matched.
    pub(crate) fn answered(&self, method: &str, route: Option<&str>, status: u16, took: Duration) {
        let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("other");
        let route = route.unwrap_or(UNMATCHED);
        let mut requests = self.0.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let routes = requests.entry((method, status)).or_default();
        match routes.get_mut(route) {
            Some(histogram) => histogram.observe_time(took),
            None => routes.entry(route.to_owned()).or_insert_with(|| Histogram::new(metric::REQUEST)).observe_time(took),
        }
    }

    /// Counts a stream that had to start again.
    pub(crate) fn stream_reset(&self) {
        self.0.resets.fetch_add(1, Relaxed);
    }

    /// Counts a panic.
    pub(crate) fn panicked(&self) {
        self.0.panics.fetch_add(1, Relaxed);
    }

    /// Adds the measurements to a snapshot.
    pub(crate) fn read(&self, readings: &mut Readings) {
        readings.add(&metric::STREAM_RESETS, &[], self.0.resets.load(Relaxed));
        readings.add(&metric::HTTP_PANICS, &[], self.0.panics.load(Relaxed));
        let requests = self.0.requests.lock().unwrap_or_else(PoisonError::into_inner);
        for ((method, status), routes) in &*requests {
            for (route, histogram) in routes {
                readings.add(&metric::HTTP_REQUESTS, &[method, route, &status.to_string()], histogram);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tasker_telemetry::reading::Value;

    #[test]
    fn labels_stay_bounded_whatever_clients_send() {
        let metrics = Metrics::default();
        for number in 0..100 {
            metrics.answered(&format!("METHOD{number}"), None, 404, Duration::from_millis(2));
        }
        metrics.answered("GET", Some("/v1/tasks/{id}"), 200, Duration::from_millis(2));
        let mut readings = Readings::default();
        metrics.read(&mut readings);
        let requests = &readings.family(&metric::HTTP_REQUESTS).expect("measured").series;
        assert_eq!(requests.len(), 2, "{requests:?}");
        let unmatched = &requests[&vec!["other".to_owned(), "unmatched".to_owned(), "404".to_owned()]];
        assert!(matches!(unmatched, Value::Histogram(histogram) if histogram.count() == 100), "{unmatched:?}");
    }
}
