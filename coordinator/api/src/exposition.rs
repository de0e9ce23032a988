//! The runtime's figures in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use tasker_runtime::operations::{BreakerFigure, Figures, Target};

/// Writes the figures, or says that there are none. `version` is the coordinator's, `waits` how many clients wait for news.
pub(crate) fn write(figures: Option<&Figures>, version: &str, waits: usize) -> String {
    let mut page = Page(String::with_capacity(4096));
    page.family("tasker_build_info", "gauge", "The build that runs; always 1.");
    page.sample("tasker_build_info", &[("version", version)], 1);
    page.family("tasker_http_waits", "gauge", "Streams and long polls that are open.");
    page.sample("tasker_http_waits", &[], waits);
    page.family("tasker_runtime_answers", "gauge", "Whether the loop answered this scrape; its figures are absent if not.");
    page.sample("tasker_runtime_answers", &[], u8::from(figures.is_some()));
    if let Some(figures) = figures {
        tasks(&mut page, figures);
        attempts(&mut page, figures);
        durability(&mut page, figures);
        waiting(&mut page, figures);
        breakers(&mut page, figures);
    }
    page.0
}

fn tasks(page: &mut Page, figures: &Figures) {
    page.counter("tasker_tasks_accepted_total", "Tasks accepted.", figures.tasks_accepted);
    page.counters("tasker_tasks_finished_total", "Tasks over, by outcome.", "outcome", &figures.tasks_finished);
    page.gauge("tasker_tasks_active", "Tasks that are not over.", figures.tasks_active);
    page.gauge("tasker_backlog", "Steps that wait for a worker.", figures.steps_waiting);
    page.gauge("tasker_uncovered_steps", "Steps that wait for nothing; must be 0.", figures.uncovered_steps);
}

/// What waits for people, for something from outside, or for other tasks.
fn waiting(page: &mut Page, figures: &Figures) {
    let name = "tasker_steps_waiting";
    page.family(name, "gauge", "Steps that wait for no worker, by what they wait for.");
    for (wait, count) in &figures.waits {
        page.sample(name, &[("for", wait)], count);
    }
    page.gauge("tasker_steps_held", "Steps that failed for good and wait for a person.", figures.held_steps);
    page.gauge("tasker_tasks_paused", "Tasks that are paused.", figures.tasks_paused);
    page.gauge("tasker_workflows_paused", "Workflows that are paused.", figures.workflows_paused);
    page.gauge("tasker_children_open", "Attached child tasks that are not over.", figures.children_open);
    page.gauge("tasker_children_waiting", "Child steps that are ready but not started yet.", figures.children_waiting);
    page.counter("tasker_children_started_total", "Child tasks started.", figures.children_started);
    page.counter("tasker_compensations_started_total", "Tasks that began to undo what they had done.", figures.compensations_started);
    page.gauge("tasker_events_kept", "Events from outside that are kept until somebody waits for them.", figures.events_kept);
}

fn attempts(page: &mut Page, figures: &Figures) {
    page.counter("tasker_steps_dispatched_total", "Attempts started.", figures.attempts_started);
    page.counters("tasker_attempts_total", "Attempts over, by outcome.", "outcome", &figures.attempts_finished);
    page.gauge("tasker_attempts_open", "Attempts that are not over.", figures.attempts_open);
    page.counters("tasker_replies_total", "Replies, by what became of them.", "disposition", &figures.replies);
    page.gauge("tasker_workers", "Live workers.", figures.workers);
    page.counter("tasker_reannounced_total", "Open attempts that were announced again.", figures.reannounced);
    page.counters("tasker_bus_rejected_messages_total", "Messages refused at the door.", "reason", &figures.messages_refused);
}

fn durability(page: &mut Page, figures: &Figures) {
    let name = "tasker_store_commit_seconds";
    page.family(name, "summary", "Time spent in commits.");
    page.sample(&format!("{name}_sum"), &[], figures.commit_seconds);
    page.sample(&format!("{name}_count"), &[], figures.commits);
    page.counter("tasker_store_rows_committed_total", "Journal rows committed.", figures.rows_committed);
}

/// Labels are bounded: there are as many breakers as manifests declare and operators demand.
fn breakers(page: &mut Page, figures: &Figures) {
    let mut write = |name: &str, kind: &str, help: &str, value: fn(&BreakerFigure) -> u64| {
        page.family(name, kind, help);
        for breaker in &figures.breakers {
            let Target { namespace, system, capability } = &breaker.target;
            let labels = [("namespace", namespace.as_str()), ("system", system.as_str()), ("capability", capability.as_str())];
            page.sample(name, &labels, value(breaker));
        }
    };
    let help = "Where a capability's breaker stands: 0 closed, 1 half-open, 2 open.";
    write("tasker_breaker_state", "gauge", help, |breaker| breaker.state.as_figure().into());
    write("tasker_breaker_opened_total", "counter", "How often a breaker has opened by itself.", |breaker| breaker.opened);
}

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("writing to a string does not fail");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> = labels.iter().map(|(label, text)| format!("{label}=\"{}\"", escape(text))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        writeln!(self.0, "{name}{labels} {value}").expect("writing to a string does not fail");
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        self.sample(name, &[], value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    fn counters(&mut self, name: &str, help: &str, label: &str, values: &BTreeMap<&'static str, u64>) {
        self.family(name, "counter", help);
        for (text, value) in values {
            self.sample(name, &[(label, text)], value);
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tasker_engine::{CapabilityName, Namespace, SystemName};
    use tasker_runtime::operations::State;

    fn breaker(capability: &str, state: State, opened: u64) -> BreakerFigure {
        let namespace = Namespace::new("default").expect("valid");
        let (system, capability) = (SystemName::new("payments").expect("valid"), CapabilityName::new(capability).expect("valid"));
        BreakerFigure { target: Target { namespace, system, capability }, state, opened }
    }

    #[test]
    fn the_page_holds_every_figure() {
        let figures = Figures {
            tasks_accepted: 7,
            tasks_finished: BTreeMap::from([("failed", 1), ("succeeded", 5)]),
            attempts_started: 12,
            attempts_finished: BTreeMap::from([("lost", 1), ("succeeded", 10)]),
            replies: BTreeMap::from([("recorded", 10), ("stale", 1)]),
            tasks_active: 1,
            steps_waiting: 2,
            attempts_open: 1,
            workers: 3,
            commits: 9,
            rows_committed: 31,
            commit_seconds: 0.0625,
            uncovered_steps: 0,
            reannounced: 4,
            messages_refused: BTreeMap::from([("unreadable", 2)]),
            breakers: vec![breaker("charge", State::Open, 3), breaker("refund", State::Closed, 0)],
            waits: BTreeMap::from([("approval", 2), ("sleep", 40)]),
            held_steps: 1,
            tasks_paused: 1,
            workflows_paused: 0,
            children_open: 3,
            children_waiting: 0,
            children_started: 8,
            compensations_started: 1,
            events_kept: 5,
        };
        insta::assert_snapshot!(write(Some(&figures), "0.1.0", 2));
    }

    #[test]
    fn a_loop_that_does_not_answer_shows_as_such() {
        let page = write(None, "0.\"1\"", 0);
        assert!(page.contains("tasker_runtime_answers 0\n"));
        assert!(page.contains(r#"tasker_build_info{version="0.\"1\""} 1"#));
        assert!(!page.contains("tasker_tasks_accepted_total"));
    }
}
