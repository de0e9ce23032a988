//! The one snapshot of everything this process measures: `/metrics` and the push over OTLP are both written from it.

use crate::gate::Gate;
use crate::metrics::Metrics;
use crate::process;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tasker_runtime::operations::Operations;
use tasker_telemetry::metric;
use tasker_telemetry::reading::Readings;
use tokio::sync::Mutex;

/// How old a snapshot may be that is shown again: however many scrape, the loop is asked once in this time.
const FRESH: Duration = Duration::from_secs(1);

/// Whoever scrapes gives up soon after this time, so the rest is shown without the loop's figures.
const LOOP_TIME_MAX: Duration = Duration::from_secs(4);

/// Reads everything that is measured; cheap to clone.
#[derive(Clone)]
pub struct Measurements(Arc<Parts>);

struct Parts {
    operations: Operations,
    metrics: Metrics,
    gate: Gate,
    version: String,
    /// Whoever comes while a snapshot is made waits for that one.
    last: Mutex<Option<(Instant, Arc<Readings>)>>,
}

impl Measurements {
    pub(crate) fn new(operations: Operations, metrics: Metrics, gate: Gate, version: String) -> Self {
        Self(Arc::new(Parts { operations, metrics, gate, version, last: Mutex::new(None) }))
    }

    /// The snapshot, at most a second old. Never fails: what does not answer is missing, and `tasker_runtime_answers` says so.
    pub async fn read(&self) -> Arc<Readings> {
        self.younger_than(FRESH).await
    }

    /// A snapshot of this moment, for whoever will not ask again.
    pub async fn read_now(&self) -> Arc<Readings> {
        self.younger_than(Duration::ZERO).await
    }

    async fn younger_than(&self, age: Duration) -> Arc<Readings> {
        let mut last = self.0.last.lock().await;
        if let Some((at, readings)) = &*last
            && at.elapsed() < age
        {
            return readings.clone();
        }
        let readings = Arc::new(self.0.read().await);
        *last = Some((Instant::now(), readings.clone()));
        readings
    }
}

impl Parts {
    async fn read(&self) -> Readings {
        let figures = tokio::time::timeout(LOOP_TIME_MAX, self.operations.figures()).await.ok().and_then(Result::ok);
        let answers = figures.is_some();
        let mut readings = figures.unwrap_or_default();
        readings.add(&metric::RUNTIME_ANSWERS, &[], answers);
        readings.add(&metric::BUILD_INFO, &[&self.version], true);
        readings.add(&metric::HTTP_WAITS, &[], self.gate.taken());
        self.metrics.read(&mut readings);
        process::read(&mut readings);
        readings
    }
}
