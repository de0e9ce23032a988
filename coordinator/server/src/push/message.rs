//! A snapshot as OTLP's message. Counters and histograms are cumulative since the process started, as on `/metrics`, so a lost push loses nothing.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram as OtlpHistogram, HistogramDataPoint, Metric as OtlpMetric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use std::time::SystemTime;
use tasker_telemetry::SERVICE_NAME;
use tasker_telemetry::histogram::Histogram;
use tasker_telemetry::metric::{Kind, Metric};
use tasker_telemetry::reading::{Family, Readings, Value};

const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

/// Who pushes, and since when.
pub struct About {
    resource: Vec<KeyValue>,
    started: u64,
}

impl About {
    /// The same resource as the one of traces.
    pub fn new(name: &str, started: SystemTime) -> Self {
        let resource =
            vec![text("service.name", SERVICE_NAME), text("service.instance.id", name), text("service.version", env!("CARGO_PKG_VERSION"))];
        Self { resource, started: nanos(started) }
    }
}

/// The message of one push.
pub fn request(readings: &Readings, about: &About, now: SystemTime) -> ExportMetricsServiceRequest {
    let times = Times { start: about.started, now: nanos(now) };
    let scope = InstrumentationScope {
        name: SERVICE_NAME.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let metrics = readings.families().map(|family| metric(family, times)).collect();
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics, ..ScopeMetrics::default() }];
    let resource = Some(Resource { attributes: about.resource.clone(), ..Resource::default() });
    ExportMetricsServiceRequest { resource_metrics: vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }] }
}

#[derive(Clone, Copy)]
struct Times {
    start: u64,
    now: u64,
}

fn metric(family: &Family, times: Times) -> OtlpMetric {
    let Family { metric, series } = family;
    let (mut numbers, mut histograms) = (Vec::new(), Vec::new());
    for (labels, value) in series {
        match value {
            Value::Number(number) => numbers.push(number_point(metric, labels, *number, times)),
            Value::Histogram(histogram) => histograms.push(histogram_point(metric, labels, histogram, times)),
        }
    }
    let data = match metric.kind {
        Kind::Counter => Data::Sum(Sum { data_points: numbers, aggregation_temporality: CUMULATIVE, is_monotonic: true }),
        Kind::Gauge => Data::Gauge(Gauge { data_points: numbers }),
        Kind::Histogram(_) => Data::Histogram(OtlpHistogram { data_points: histograms, aggregation_temporality: CUMULATIVE }),
    };
    OtlpMetric {
        name: metric.name.to_owned(),
        description: metric.help.to_owned(),
        unit: metric.unit().to_owned(),
        data: Some(data),
        ..OtlpMetric::default()
    }
}

fn number_point(metric: &Metric, labels: &[String], number: f64, times: Times) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes(metric, labels),
        start_time_unix_nano: if metric.kind == Kind::Counter { times.start } else { 0 },
        time_unix_nano: times.now,
        value: Some(number_data_point::Value::AsDouble(number)),
        ..NumberDataPoint::default()
    }
}

fn histogram_point(metric: &Metric, labels: &[String], histogram: &Histogram, times: Times) -> HistogramDataPoint {
    HistogramDataPoint {
        attributes: attributes(metric, labels),
        start_time_unix_nano: times.start,
        time_unix_nano: times.now,
        count: histogram.count(),
        sum: Some(histogram.sum()),
        bucket_counts: histogram.counts().to_vec(),
        explicit_bounds: histogram.bounds().to_vec(),
        ..HistogramDataPoint::default()
    }
}

/// An empty label is none, as on `/metrics`.
fn attributes(metric: &Metric, labels: &[String]) -> Vec<KeyValue> {
    metric.labels.iter().zip(labels).filter(|(_, value)| !value.is_empty()).map(|(name, value)| text(name, value)).collect()
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn nanos(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tasker_telemetry::metric::{BACKLOG, FINE, STORE_COMMIT, TASKS_ACCEPTED};

    #[test]
    fn each_kind_of_metric_becomes_its_own_kind_of_data() {
        let mut readings = Readings::default();
        readings.add(&TASKS_ACCEPTED, &["default", "order"], 3_u64);
        readings.add(&BACKLOG, &["default", "", "charge"], 2_u64);
        let mut commits = Histogram::new(FINE);
        [0.0002, 0.0002, 99.0].into_iter().for_each(|value| commits.observe(value));
        readings.add(&STORE_COMMIT, &[], &commits);
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let mut request = request(&readings, &About::new("host/1", at(1)), at(2));
        let metrics = request.resource_metrics.remove(0).scope_metrics.remove(0).metrics;
        let of = |name: &str| metrics.iter().find(|metric| metric.name == name).and_then(|metric| metric.data.clone());
        let Some(Data::Sum(sum)) = of("tasker_tasks_accepted_total") else { panic!("a sum: {metrics:?}") };
        assert!(sum.is_monotonic && sum.aggregation_temporality == CUMULATIVE);
        assert_eq!((sum.data_points[0].start_time_unix_nano, sum.data_points[0].time_unix_nano), (1_000_000_000, 2_000_000_000));
        let Some(Data::Gauge(gauge)) = of("tasker_backlog") else { panic!("a gauge: {metrics:?}") };
        let labels: Vec<&str> = gauge.data_points[0].attributes.iter().map(|pair| pair.key.as_str()).collect();
        assert_eq!(labels, ["namespace", "capability"]);
        let Some(Data::Histogram(histogram)) = of("tasker_store_commit_seconds") else { panic!("a histogram: {metrics:?}") };
        let point = &histogram.data_points[0];
        assert_eq!((point.count, point.bucket_counts.len(), point.explicit_bounds.len()), (3, FINE.len() + 1, FINE.len()));
        assert_eq!((point.bucket_counts[1], point.bucket_counts[FINE.len()]), (2, 1));
    }
}
