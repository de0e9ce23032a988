//! A snapshot in Prometheus' text format. Every metric is announced, also one that has no series yet, so that whoever writes a query sees it.

use std::fmt::{Display, Write};
use tasker_telemetry::histogram::Histogram;
use tasker_telemetry::metric::{ALL, Metric};
use tasker_telemetry::reading::{Readings, Value};

/// Writes the page.
pub(crate) fn write(readings: &Readings) -> String {
    let mut page = Page(String::with_capacity(64 * 1024));
    for metric in ALL {
        page.family(metric);
        let series = readings.family(metric).into_iter().flat_map(|family| &family.series);
        for (values, value) in series {
            let labels = labels(metric, values);
            match value {
                Value::Number(number) => page.sample(metric.name, "", &labels, number),
                Value::Histogram(histogram) => page.histogram(metric.name, &labels, histogram),
            }
        }
    }
    page.0
}

/// `a="1",b="2"`. An empty label is the same as none.
fn labels(metric: &Metric, values: &[String]) -> String {
    let mut text = String::new();
    for (label, value) in metric.labels.iter().zip(values).filter(|(_, value)| !value.is_empty()) {
        let comma = if text.is_empty() { "" } else { "," };
        write!(text, "{comma}{label}=\"{}\"", escape(value)).expect("writing to a string does not fail");
    }
    text
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

struct Page(String);

impl Page {
    fn family(&mut self, metric: &Metric) {
        let Metric { name, kind, help, .. } = metric;
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {}", kind.as_str()).expect("writing to a string does not fail");
    }

    fn sample(&mut self, name: &str, suffix: &str, labels: &str, value: impl Display) {
        let written = match labels {
            "" => writeln!(self.0, "{name}{suffix} {value}"),
            labels => writeln!(self.0, "{name}{suffix}{{{labels}}} {value}"),
        };
        written.expect("writing to a string does not fail");
    }

    fn histogram(&mut self, name: &str, labels: &str, histogram: &Histogram) {
        let mut below = 0;
        let bounds = histogram.bounds().iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        let comma = if labels.is_empty() { "" } else { "," };
        for (bound, count) in bounds.zip(histogram.counts()) {
            below += count;
            self.sample(name, "_bucket", &format!("{labels}{comma}le=\"{bound}\""), below);
        }
        self.sample(name, "_sum", labels, histogram.sum());
        self.sample(name, "_count", labels, below);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tasker_telemetry::metric;

    #[test]
    fn counters_gauges_and_histograms_are_written_with_their_labels() {
        let mut readings = Readings::default();
        readings.add(&metric::BUILD_INFO, &["0.\"1\"\\"], 1_u64);
        readings.add(&metric::BACKLOG, &["default", "payments", "payment.process"], 2_u64);
        readings.add(&metric::BACKLOG, &["default", "warehouse", "stock.reserve"], 0_u64);
        readings.add(&metric::STEPS_DISPATCHED, &["", "", ""], 3_u64);
        let mut rows = Histogram::new(metric::ROWS);
        [1.0, 3.0, 5_000.0].into_iter().for_each(|value| rows.observe(value));
        readings.add(&metric::STORE_COMMIT_ROWS, &[], &rows);
        let page = write(&readings);
        let written: Vec<&str> = page.lines().filter(|line| !line.starts_with('#')).collect();
        insta::assert_snapshot!(written.join("\n"));
    }

    #[test]
    fn every_metric_is_announced_also_without_a_series() {
        let page = write(&Readings::default());
        for metric in ALL {
            assert!(page.contains(&format!("# TYPE {} {}\n", metric.name, metric.kind.as_str())), "{}", metric.name);
        }
        assert!(page.lines().all(|line| line.starts_with('#')), "{page}");
    }
}
