//! What was measured, at one moment: the one snapshot that `/metrics` and the OTLP push are both written from.

use crate::histogram::Histogram;
use crate::metric::{Kind, Merge, Metric};
use std::collections::BTreeMap;

/// The value of one series.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of a counter or a gauge.
    Number(f64),
    /// Of a histogram.
    Histogram(Histogram),
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number as f64)
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Number(number as f64)
    }
}

impl From<u8> for Value {
    fn from(number: u8) -> Self {
        Self::Number(number.into())
    }
}

impl From<bool> for Value {
    fn from(holds: bool) -> Self {
        Self::Number(u8::from(holds).into())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<&Histogram> for Value {
    fn from(histogram: &Histogram) -> Self {
        Self::Histogram(histogram.clone())
    }
}

/// The series of one metric: the values of its labels, in the metric's order, and the series' value.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Which metric.
    pub metric: &'static Metric,
    /// By the values of the labels.
    pub series: BTreeMap<Vec<String>, Value>,
}

/// The series of many metrics.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Readings(BTreeMap<&'static str, Family>);

impl Readings {
    /// Adds a series. One that is there already, because several things are counted under one name, is merged with it.
    pub fn add(&mut self, metric: &'static Metric, labels: &[&str], value: impl Into<Value>) {
        debug_assert_eq!(metric.labels.len(), labels.len(), "{} has the labels {:?}", metric.name, metric.labels);
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let family = self.0.entry(metric.name).or_insert_with(|| Family { metric, series: BTreeMap::new() });
        put(family, labels, value.into());
    }

    /// Takes in what another part of the process has measured.
    pub fn merge(&mut self, other: Self) {
        for (name, more) in other.0 {
            let metric = more.metric;
            let family = self.0.entry(name).or_insert_with(|| Family { metric, series: BTreeMap::new() });
            more.series.into_iter().for_each(|(labels, value)| put(family, labels, value));
        }
    }

    /// The series of a metric; none if nothing was measured.
    pub fn family(&self, metric: &Metric) -> Option<&Family> {
        self.0.get(metric.name)
    }

    /// The value of one series of a counter or gauge; none if there is no such series.
    pub fn number(&self, metric: &Metric, labels: &[&str]) -> Option<f64> {
        let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        match self.family(metric)?.series.get(&labels)? {
            Value::Number(number) => Some(*number),
            Value::Histogram(_) => None,
        }
    }

    /// Every metric that has been measured, by name.
    pub fn families(&self) -> impl Iterator<Item = &Family> {
        self.0.values()
    }
}

fn put(family: &mut Family, labels: Vec<String>, value: Value) {
    match family.series.get_mut(&labels) {
        None => {
            family.series.insert(labels, value);
        }
        Some(known) => merge(known, value, family.metric),
    }
}

fn merge(known: &mut Value, more: Value, metric: &Metric) {
    match (known, more) {
        (Value::Number(known), Value::Number(more)) => match metric.merge {
            Merge::Sum => *known += more,
            Merge::Largest => *known = known.max(more),
            Merge::Smallest => *known = known.min(more),
        },
        (Value::Histogram(known), Value::Histogram(more)) => match metric.merge {
            Merge::Sum => known.merge(&more),
            // Two views of the same thing: the one that has seen more is the newer one.
            Merge::Largest | Merge::Smallest if more.count() > known.count() => *known = more,
            Merge::Largest | Merge::Smallest => {}
        },
        (Value::Number(_), Value::Histogram(_)) | (Value::Histogram(_), Value::Number(_)) => {
            debug_assert!(false, "{} is a {}", metric.name, Kind::as_str(metric.kind));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{BACKLOG, BACKLOG_OLDEST, BUS_CONNECTED, STORE_COMMIT};

    fn of(backlog: u64, oldest: f64, connected: bool, commit: f64) -> Readings {
        let mut readings = Readings::default();
        readings.add(&BACKLOG, &["default", "bank", "charge"], backlog);
        readings.add(&BACKLOG_OLDEST, &["default", "bank", "charge"], oldest);
        readings.add(&BUS_CONNECTED, &[], connected);
        let mut histogram = Histogram::new(crate::metric::FINE);
        histogram.observe(commit);
        readings.add(&STORE_COMMIT, &[], &histogram);
        readings
    }

    #[test]
    fn loops_of_one_process_are_summed_or_the_worst_counts() {
        let mut all = of(3, 1.5, true, 0.001);
        all.merge(of(4, 0.5, false, 0.002));
        assert_eq!(all.number(&BACKLOG, &["default", "bank", "charge"]), Some(7.0));
        assert_eq!(all.number(&BACKLOG_OLDEST, &["default", "bank", "charge"]), Some(1.5));
        assert_eq!(all.number(&BUS_CONNECTED, &[]), Some(0.0));
        let commits = all.family(&STORE_COMMIT).and_then(|family| family.series.get(&Vec::new())).cloned();
        assert!(matches!(commits, Some(Value::Histogram(histogram)) if histogram.count() == 2));
    }

    #[test]
    fn what_only_one_part_measures_stays_as_it_is() {
        let mut all = Readings::default();
        all.merge(of(3, 1.5, true, 0.001));
        assert_eq!(all, of(3, 1.5, true, 0.001));
    }
}
