//! What people and programs read at the end.

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

/// The verdict on one SDK.
#[derive(Debug, Serialize)]
pub struct Report {
    pub language: String,
    /// As the worker's hello said; empty if none was ever heard.
    pub sdk_version: String,
    pub scenarios: Vec<Verdict>,
}

/// The verdict on one fact.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    pub name: String,
    pub group: String,
    pub passed: bool,
    /// Why it failed; empty if it passed.
    pub detail: String,
}

impl Report {
    pub fn passed(&self) -> bool {
        self.scenarios.iter().all(|verdict| verdict.passed)
    }
}

/// Failures say why below the table, where there is room.
pub fn table(report: &Report) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["GROUP", "SCENARIO", "RESULT"]);
    for verdict in &report.scenarios {
        let result = if verdict.passed { "passed" } else { "FAILED" };
        table.add_row([verdict.group.as_str(), &verdict.name.replace('_', " "), result]);
    }
    let passed = report.scenarios.iter().filter(|verdict| verdict.passed).count();
    let rows: Vec<String> = table.to_string().lines().map(|line| line.trim().to_owned()).collect();
    let mut text = rows.join("\n");
    for verdict in report.scenarios.iter().filter(|verdict| !verdict.passed) {
        text.push_str(&format!("\n\n{}: {}\n  {}", verdict.group, verdict.name, verdict.detail.replace('\n', "\n  ")));
    }
    let version = if report.sdk_version.is_empty() { "unknown" } else { &report.sdk_version };
    text.push_str(&format!("\n\n{} (SDK {version}): {passed} of {} scenarios hold", report.language, report.scenarios.len()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let verdict = |name: &str, group: &str, detail: &str| Verdict {
            name: name.into(),
            group: group.into(),
            passed: detail.is_empty(),
            detail: detail.into(),
        };
        Report {
            language: "python".into(),
            sdk_version: "0.1.0".into(),
            scenarios: vec![
                verdict("hello_names_the_sdk", "session", ""),
                verdict(
                    "a_reply_is_repeated_until_it_is_acknowledged",
                    "replies",
                    "expected a reply within 5s; the worker said nothing\nlast line: x",
                ),
            ],
        }
    }

    #[test]
    fn the_table_names_every_scenario_and_explains_failures_below() {
        insta::assert_snapshot!(table(&report()), @r"
        GROUP    SCENARIO                                      RESULT
        session  hello names the sdk                           passed
        replies  a reply is repeated until it is acknowledged  FAILED

        replies: a_reply_is_repeated_until_it_is_acknowledged
          expected a reply within 5s; the worker said nothing
          last line: x

        python (SDK 0.1.0): 1 of 2 scenarios hold
        ");
    }

    #[test]
    fn one_failure_fails_the_report() {
        assert!(!report().passed());
    }
}
