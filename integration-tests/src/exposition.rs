//! Reads `/metrics`, and what boards, alerts and pages say about it.

use crate::api::Api;
use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, BTreeSet};

/// One series of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its name, with the suffix of a histogram's part.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// A page of figures.
#[derive(Debug, Clone)]
pub struct Page {
    /// Every series, in the page's order.
    pub samples: Vec<Sample>,
    /// The kind of each metric.
    pub kinds: BTreeMap<String, String>,
}

impl Page {
    /// Asks a coordinator.
    ///
    /// # Errors
    /// There is no page, or a line of it is not of the format.
    pub async fn of(api: &Api) -> Result<Self> {
        let answer = api.get("/metrics").await?.ok()?;
        Self::read(answer.as_str().context("the page is no text")?)
    }

    /// Reads a page.
    ///
    /// # Errors
    /// A line is not of the format, or a series is there twice.
    pub fn read(text: &str) -> Result<Self> {
        let mut page = Self { samples: Vec::new(), kinds: BTreeMap::new() };
        let mut seen = BTreeSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').with_context(|| format!("no type: {line}"))?;
                ensure!(page.kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} is announced twice");
            } else if !line.starts_with('#') {
                let (series, value) = line.rsplit_once(' ').with_context(|| format!("no sample: {line}"))?;
                ensure!(seen.insert(series.to_owned()), "{series} is there twice");
                let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
                let labels = labels.strip_suffix('}').with_context(|| format!("labels without an end: {line}"))?;
                let value = value.parse().with_context(|| format!("no number: {line}"))?;
                page.samples.push(Sample { name: name.to_owned(), labels: labels_of(labels), value });
            }
        }
        Ok(page)
    }

    /// The sum of the series with this name and these labels, whatever other labels they have; none if there is no such series.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let fits = |sample: &&Sample| {
            sample.name == name && labels.iter().all(|(label, value)| sample.labels.get(*label).is_some_and(|found| found == value))
        };
        self.samples.iter().filter(fits).map(|sample| sample.value).reduce(|sum, value| sum + value)
    }

    /// The labels that the series of a name have; none if there is no series.
    pub fn labels(&self, name: &str) -> Option<BTreeSet<&str>> {
        let series = self.samples.iter().filter(|sample| sample.name == name);
        series.map(|sample| sample.labels.keys().map(String::as_str).collect::<BTreeSet<_>>()).reduce(|mut all, more| {
            all.extend(more);
            all
        })
    }
}

/// `a="1",b="2"`; values of this project's labels have neither commas nor quotes, except in the routes' templates, which have neither.
fn labels_of(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split("\",").filter_map(|pair| pair.split_once("=\""));
    pairs.map(|(label, value)| (label.to_owned(), value.trim_end_matches('"').to_owned())).collect()
}

/// What one expression asks of metrics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    /// Each series that is named, with the labels of its selector.
    pub selected: Vec<(String, BTreeSet<String>)>,
    /// The labels by which it groups or matches.
    pub grouped: BTreeSet<String>,
}

/// Reads an expression as far as names and labels go.
pub fn asked(expression: &str) -> Asked {
    let mut asked = Asked::default();
    let mut rest = expression;
    while let Some(start) = rest.find(|first: char| first.is_ascii_alphabetic() || first == '_') {
        rest = &rest[start..];
        let end = rest.find(|next: char| !(next.is_ascii_alphanumeric() || next == '_')).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        if word.starts_with("tasker_") || word.starts_with("process_") {
            let (inside, after) = after.strip_prefix('{').and_then(|inside| inside.split_once('}')).unwrap_or(("", after));
            let labels =
                inside.split(',').filter_map(|pair| pair.split(['=', '!']).next()).map(str::trim).filter(|label| !label.is_empty());
            asked.selected.push((word.to_owned(), labels.map(str::to_owned).collect()));
            rest = after;
        } else if matches!(word, "by" | "on" | "without" | "ignoring")
            && let Some((inside, after)) = after.trim_start().strip_prefix('(').and_then(|inside| inside.split_once(')'))
        {
            asked.grouped.extend(inside.split(',').map(|label| label.trim().to_owned()).filter(|label| !label.is_empty()));
            rest = after;
        } else if let Some(text) = after.strip_prefix('"') {
            rest = text.split_once('"').map_or("", |(_, after)| after);
        }
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_selectors_and_groups_of_an_expression_are_found() {
        let found = asked(
            "sum by (system, le) (rate(tasker_a_bucket{instance=~\"$instance\",state!=\"x\"}[5m])) > 0 and on (system) tasker_b == 0",
        );
        let labels = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(found.selected, [("tasker_a_bucket".into(), labels(&["instance", "state"])), ("tasker_b".into(), labels(&[]))]);
        assert_eq!(found.grouped, labels(&["system", "le"]));
    }

    #[test]
    fn a_page_is_read_and_a_repeated_series_refused() {
        let page = Page::read("# HELP a b.\n# TYPE a gauge\na{x=\"1\",y=\"/v1/{id}\"} 2\na{x=\"2\"} 3\n").expect("a page");
        assert_eq!((page.sum("a", &[]), page.sum("a", &[("x", "1")]), page.sum("b", &[])), (Some(5.0), Some(2.0), None));
        assert_eq!(page.samples[0].labels["y"], "/v1/{id}");
        assert!(Page::read("a 1\na 2\n").is_err());
    }
}
