//! Small words that pictures and sentences share.

use tasker_engine::StepIndex;
use tasker_engine::duration;
use tasker_engine::template::{Part, Template};
use tasker_engine::workflow::{ForEach, Join, SleepFor, Stop, Switch, WaitSource, Workflow};

/// A text cut to so many characters.
pub(crate) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A template as its author wrote it.
pub(crate) fn written(template: &Template) -> String {
    match template {
        Template::Literal(value) => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
        Template::Expression(expression) => format!("${{ {} }}", expression.source()),
        Template::Text(parts) => parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.clone(),
                Part::Expression(expression) => format!("${{ {} }}", expression.source()),
            })
            .collect(),
        Template::List(_) => "a list".to_owned(),
        Template::Object(_) => "an object".to_owned(),
    }
}

/// A join other than `all`, in a word.
pub(crate) fn join(join: Join) -> Option<String> {
    match join {
        Join::All => None,
        Join::Any => Some("any".to_owned()),
        Join::Done => Some("done".to_owned()),
        Join::AtLeast { count: 1, cancel_others: false } => Some("first".to_owned()),
        Join::AtLeast { count: 1, cancel_others: true } => Some("first, others withdrawn".to_owned()),
        Join::AtLeast { count, cancel_others: false } => Some(format!("at least {count}")),
        Join::AtLeast { count, cancel_others: true } => Some(format!("at least {count}, others withdrawn")),
    }
}

/// What a waiting step waits for, in a few words.
pub(crate) fn source(source: &WaitSource) -> String {
    match source {
        WaitSource::Signal(name) => format!("signal {name}"),
        WaitSource::Event { name, .. } => format!("event {name}"),
    }
}

/// How long a step sleeps, in a few words.
pub(crate) fn sleep(sleep: &SleepFor) -> String {
    match sleep {
        SleepFor::Fixed(length) => duration::format(*length),
        SleepFor::For(expression) => format!("for {}", expression.source()),
        SleepFor::Until(expression) => format!("until {}", expression.source()),
    }
}

/// What a fan-out goes over, in a few words.
pub(crate) fn fan(fan: &ForEach) -> String {
    let mut text = format!("each of {}", fan.items.source());
    if let Some(size) = fan.batch_size {
        text.push_str(&format!(", {size} together"));
    }
    if let Some(most) = fan.max_parallel {
        text.push_str(&format!(", {most} at once"));
    }
    match fan.stop {
        Stop::OnFailure => {}
        Stop::Never => text.push_str(", all are tried"),
        Stop::Failures(most) => text.push_str(&format!(", stops at failure {most}")),
        Stop::Successes(enough) => text.push_str(&format!(", stops at success {enough}")),
    }
    text
}

/// The names of the cases of `switch` in which `step` runs, in their order.
pub(crate) fn cases<'w>(workflow: &Workflow, switch: &'w Switch, at: StepIndex, step: StepIndex) -> Vec<&'w str> {
    let branches = workflow.step(step).branches.iter();
    branches.filter(|branch| branch.switch == at).map(|branch| switch.branch_name(branch.case)).collect()
}
