//! What workers noted, and percentiles of it.

use anyhow::Context;
use serde_json::{Value, json};
use std::path::Path;

/// What a worker writes when it stops: a line with the instant at which its first handler started, or 0, then one with each time between a
/// result and its successor's start. All in microseconds of the monotonic clock.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Samples {
    /// None if nothing was run.
    pub first_start_us: Option<u64>,
    /// How long successors waited, in no order.
    pub waited_us: Vec<u32>,
}

impl Samples {
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let problem = || format!("[bench.failed]: {} was not written as expected; the worker did not end in order", file.display());
        let text = std::fs::read_to_string(file).with_context(problem)?;
        Self::parse(&text).with_context(problem)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let first: u64 = lines.next()?.parse().ok()?;
        let waited_us =
            lines.map(|line| line.parse::<u64>().ok().map(|us| u32::try_from(us).unwrap_or(u32::MAX))).collect::<Option<_>>()?;
        Some(Self { first_start_us: (first > 0).then_some(first), waited_us })
    }

    pub fn write(&self, file: &Path) -> std::io::Result<()> {
        use std::fmt::Write;
        let mut text = format!("{}\n", self.first_start_us.unwrap_or(0));
        for sample in &self.waited_us {
            let _ = writeln!(text, "{sample}");
        }
        std::fs::write(file, text)
    }

    /// Several workers' samples together.
    pub fn join(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().fold(Self::default(), |mut together, one| {
            together.first_start_us = [together.first_start_us, one.first_start_us].into_iter().flatten().min();
            together.waited_us.extend(one.waited_us);
            together
        })
    }
}

/// p50 to p99.9, by nearest rank, and the mean, in milliseconds; null where there is nothing.
pub fn percentiles_ms(mut micros: Vec<u32>) -> Value {
    micros.sort_unstable();
    let at = |share: f64| {
        let rank = (micros.len() as f64 * share).ceil() as usize;
        micros.get(rank.clamp(1, micros.len().max(1)) - 1).map(|micros| f64::from(*micros) / 1_000.0)
    };
    let mean = (!micros.is_empty()).then(|| micros.iter().map(|micros| f64::from(*micros)).sum::<f64>() / micros.len() as f64 / 1_000.0);
    json!({ "p50": at(0.50), "p90": at(0.90), "p99": at(0.99), "p999": at(0.999), "mean": mean, "samples": micros.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let found = percentiles_ms((1..=1_000).rev().map(|place| place * 1_000).collect());
        assert_eq!(found, json!({ "p50": 500.0, "p90": 900.0, "p99": 990.0, "p999": 999.0, "mean": 500.5, "samples": 1_000 }));
        assert_eq!(percentiles_ms(vec![1_500])["p999"], json!(1.5));
        assert_eq!(percentiles_ms(Vec::new())["p50"], Value::Null);
    }

    #[test]
    fn what_a_worker_wrote_is_read_back_and_a_torn_file_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("samples");
        let samples = Samples { first_start_us: Some(17), waited_us: vec![3, u32::MAX] };
        samples.write(&file).expect("written");
        assert_eq!(Samples::read(&file).expect("read"), samples);
        assert_eq!(Samples::parse("0\n"), Some(Samples::default()));
        assert_eq!(Samples::parse(""), None);
        assert_eq!(Samples::parse("1\n2\nx"), None);
        let joined = Samples::join([Samples::default(), samples, Samples { first_start_us: Some(5), waited_us: vec![9] }]);
        assert_eq!(joined, Samples { first_start_us: Some(5), waited_us: vec![3, u32::MAX, 9] });
    }
}
