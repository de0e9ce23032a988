//! The server's refusals: RFC 9457 problem documents, read leniently and shown the same way everywhere.

use crate::exit::Exit;
use crate::look::{Look, Tone};
use crate::text;
use serde::Deserialize;
use serde_json::Value;
use tasker_manifest::Diagnostic;

/// A refusal as the server describes it. Every field may be missing, because a proxy in front of the server answers in its own words.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) title: String,
    pub(crate) detail: Option<String>,
    pub(crate) errors: Vec<Place>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) retryable: bool,
    /// `unknown` if the request may have been carried out; anything else means that it was not.
    pub(crate) outcome: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) hint: Option<String>,
}

impl Default for Problem {
    fn default() -> Self {
        Self {
            status: 0,
            code: "server.unexplained".to_owned(),
            title: String::new(),
            detail: None,
            errors: Vec::new(),
            diagnostics: Vec::new(),
            retryable: false,
            outcome: None,
            request_id: None,
            hint: None,
        }
    }
}

/// One place in the request that is wrong.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Place {
    pub(crate) pointer: String,
    pub(crate) message: String,
    pub(crate) code: Option<String>,
    pub(crate) hint: Option<String>,
}

impl Problem {
    /// Reads a refusal. A body that is no problem document still gives one: with the status, and the start of what was said.
    pub(crate) fn read(status: u16, body: &[u8]) -> Self {
        /// Enough of a proxy's page to recognise it, little enough not to flood the terminal.
        const QUOTED_CHARACTERS_MAX: usize = 200;
        let parsed = serde_json::from_slice::<Value>(body)
            .ok()
            .filter(|value| value.get("code").is_some_and(Value::is_string))
            .and_then(|value| serde_json::from_value::<Self>(value).ok());
        if let Some(problem) = parsed {
            return Self { status, ..problem };
        }
        let said = text::shorten(&text::clean(String::from_utf8_lossy(body).trim()), QUOTED_CHARACTERS_MAX);
        let detail = if said.is_empty() {
            format!("the server answered {status} without an explanation")
        } else {
            format!("the server answered {status}: {said}")
        };
        let hint = "this is not how a Tasker server answers; is --server the right address?".to_owned();
        Self { status, detail: Some(detail), hint: Some(hint), ..Self::default() }
    }

    /// What the process exits with.
    pub(crate) fn exit(&self) -> Exit {
        if self.outcome.as_deref() == Some("unknown") {
            return Exit::OutcomeUnknown;
        }
        match self.status {
            401 | 403 => Exit::Denied,
            404 => Exit::NotFound,
            409 => Exit::Conflict,
            // A key that belongs to another submission is a conflict, although the standard's draft answers it with 422.
            422 if self.code == "idempotency.key_reused" => Exit::Conflict,
            _ => Exit::Error,
        }
    }

    /// The refusal as people read it: diagnostics and places first, because they say where to look; then what to do.
    pub(crate) fn render(&self, look: &Look) -> String {
        let mut lines = Vec::new();
        for diagnostic in &self.diagnostics {
            lines.push(text::clean_lines(diagnostic.render().trim_end()));
            lines.push(String::new());
        }
        let said = self.detail.as_deref().filter(|detail| !detail.is_empty()).unwrap_or(&self.title);
        lines.push(look.headline("error", Tone::Bad, &self.code, said));
        for place in &self.errors {
            let pointer = if place.pointer.is_empty() { "(the whole document)" } else { &place.pointer };
            let code = place.code.as_deref().map(|code| format!(" [{}]", text::clean(code))).unwrap_or_default();
            lines.push(format!("  --> {}: {}{code}", text::clean(pointer), text::clean(&place.message)));
            if let Some(hint) = place.hint.as_deref().filter(|hint| is_for_people(hint)) {
                lines.push(format!("      help: {}", text::clean(hint)));
            }
        }
        if let Some(id) = &self.request_id {
            lines.push(look.paint(Tone::Dim, &format!("  = request {}", text::clean(id))));
        }
        let hints = [self.hint.as_deref().filter(|hint| is_for_people(hint)), usual_help(&self.code)];
        for hint in hints.into_iter().flatten() {
            lines.push(format!("{} {}", look.paint(Tone::Strong, "help:"), text::clean(hint)));
        }
        lines.join("\n")
    }
}

/// Whether a hint of the server helps somebody at a terminal: those that name routes are for programs, and `usual_help` says the same as a command.
fn is_for_people(hint: &str) -> bool {
    !["/v1/", "?namespace", "`:"].iter().any(|route| hint.contains(route))
}

/// What usually helps, for refusals whose cure is another command; said after the server's own hint.
fn usual_help(code: &str) -> Option<&'static str> {
    Some(match code {
        "workflow.unknown" => {
            "`tasker workflow list` shows what has been applied in this namespace; `tasker workflow apply FILE` adds to it"
        }
        "workflow.version_taken" => "a version never changes: give the manifest a new `version` and apply it again",
        "task.unknown" => "`tasker task list` shows the tasks of this namespace; -n chooses another",
        "task.already_finished" => "a task that is over never changes; `tasker task retry ID` makes a new one that keeps its results",
        "task.still_running" => "`tasker task watch ID` waits for the end; `tasker task cancel ID` brings it about",
        "task.nothing_to_retry" => "submit a new task to run the workflow again",
        "system.unknown" => "`tasker system list` shows the systems of this namespace",
        "capability.unknown" => "`tasker capability list` shows the capabilities of this namespace",
        "idempotency.key_reused" => "the key belongs to a task with another input: choose a new key, or send the same input",
        "coordinator.busy" | "coordinator.draining" => "try again in a moment",
        "outcome.unknown" => "look before repeating: `tasker task list`; with --key a repeat is always safe",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(status: u16, body: &Value) -> Problem {
        Problem::read(status, body.to_string().as_bytes())
    }

    #[test]
    fn a_contract_violation_shows_every_place_and_the_way_out() {
        let problem = read(
            422,
            &json!({
                "type": "https://tasker.dev/errors/input.violated", "title": "Input violated", "status": 422, "code": "input.violated",
                "detail": "the input does not fit what `process_order` 2.0.0 asks for",
                "errors": [
                    {"pointer": "/lines/0/quantity", "message": "-2 is less than the minimum of 1", "code": "minimum"},
                    {"pointer": "", "message": "\"order_id\" is a required property", "hint": "add \"order_id\""},
                ],
                "retryable": false, "outcome": "none", "request_id": "req_01",
                "hint": "`tasker workflow show process_order --source` prints the contract",
            }),
        );
        insta::assert_snapshot!(problem.render(&Look::plain()));
    }

    #[test]
    fn an_invalid_manifest_shows_its_diagnostics_before_the_refusal() {
        let problem = read(
            422,
            &json!({
                "status": 422, "code": "manifest.invalid", "title": "Manifest invalid", "detail": "the manifest has 1 error",
                "diagnostics": [{"code": "manifest.unknown_step", "severity": "error", "message": "no step is called `chrge`", "file": "order.yaml",
                    "line": 7, "column": 17, "length": 5, "excerpt": "    depends_on: chrge", "hint": "did you mean `charge`?", "fix": null}],
            }),
        );
        insta::assert_snapshot!(problem.render(&Look::plain()));
    }

    #[test]
    fn a_page_of_a_proxy_is_quoted_and_not_obeyed() {
        let problem = Problem::read(502, b"<html>\x1b[31mBad Gateway</html>");
        insta::assert_snapshot!(problem.render(&Look::plain()));
        assert_eq!(problem.exit(), Exit::Error);
    }

    #[test]
    fn hints_about_routes_give_way_to_commands() {
        let rendered = read(404, &json!({"code": "workflow.unknown", "detail": "there is no workflow `nope`", "hint": "apply its manifest first: POST /v1/workflows"}))
            .render(&Look::plain());
        assert!(!rendered.contains("/v1/") && rendered.contains("tasker workflow apply"), "{rendered}");
        let rendered =
            read(404, &json!({"code": "workflow.unknown", "detail": "there is no workflow `nope`", "hint": "did you mean `note`?"}))
                .render(&Look::plain());
        assert!(rendered.contains("help: did you mean `note`?\nhelp: `tasker workflow list`"), "{rendered}");
    }

    #[test]
    fn statuses_map_to_exit_codes() {
        let check = |status, expect| assert_eq!(read(status, &json!({"code": "some.code"})).exit(), expect, "{status}");
        check(400, Exit::Error);
        check(401, Exit::Denied);
        check(403, Exit::Denied);
        check(404, Exit::NotFound);
        check(409, Exit::Conflict);
        check(422, Exit::Error);
        assert_eq!(read(422, &json!({"code": "idempotency.key_reused"})).exit(), Exit::Conflict);
        check(429, Exit::Error);
        check(503, Exit::Error);
        assert_eq!(read(503, &json!({"code": "outcome.unknown", "outcome": "unknown"})).exit(), Exit::OutcomeUnknown);
    }

    #[test]
    fn colours_are_used_only_when_asked_for() {
        let problem = read(404, &json!({"code": "task.unknown", "detail": "no task `tsk_1` in `default`"}));
        assert!(!problem.render(&Look::plain()).contains('\u{1b}'));
        assert!(problem.render(&Look { colour: true, ..Look::plain() }).starts_with("\u{1b}[1;31merror[task.unknown]"));
    }
}
