//! `docs/metrics.md` says what the table says.

use tasker_telemetry::metric::{ALL, Kind, Metric};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");

fn row(metric: &Metric) -> String {
    let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
    format!("| `{}` | {} | {} | {} |", metric.name, metric.kind.as_str(), labels.join(", "), metric.help)
}

#[test]
fn the_page_has_every_metric_of_the_table_in_its_order_and_no_other() {
    let page = std::fs::read_to_string(PAGE).expect("docs/metrics.md is there");
    let written: Vec<&str> = page.lines().filter(|line| line.starts_with("| `tasker_") || line.starts_with("| `process_")).collect();
    let expected: Vec<String> = ALL.iter().map(|metric| row(metric)).collect();
    let missing: Vec<&String> = expected.iter().filter(|row| !written.contains(&row.as_str())).collect();
    assert!(missing.is_empty(), "docs/metrics.md lacks these rows:\n{}", missing.iter().map(|row| format!("{row}\n")).collect::<String>());
    assert_eq!(written, expected, "docs/metrics.md has a row too many, or another order");
}

#[test]
fn the_page_names_the_bounds_of_every_histogram() {
    let page = std::fs::read_to_string(PAGE).expect("docs/metrics.md is there");
    for metric in ALL {
        if let Kind::Histogram(bounds) = metric.kind {
            let bounds: Vec<String> = bounds.iter().map(f64::to_string).collect();
            assert!(
                page.contains(&bounds.join(", ")),
                "docs/metrics.md does not name the bounds of {}: {}",
                metric.name,
                bounds.join(", ")
            );
        }
    }
}
