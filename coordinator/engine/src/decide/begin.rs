//! Whether a step goes ahead, and what its going ahead means for its kind.

use super::{Effect, Turn, go_on, scope::TaskScope};
use crate::duration;
use crate::event::Event;
use crate::expression::{Expression, NoValue};
use crate::failure::{Failure, FailureKind, code};
use crate::ids::StepIndex;
use crate::payload::Payload;
use crate::task::{SkipReason, StepState, Task, Wait};
use crate::template::Template;
use crate::time::Timestamp;
use crate::workflow::{Approval, Join, Role, SleepFor, StepKind, Switch, WaitFor, WaitSource};
use serde_json::Value;
use std::time::Duration;

/// What a step's dependencies say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not yet.
    Wait,
    /// It goes ahead.
    Go,
    /// It never will.
    Skip(SkipReason),
}

impl Verdict {
    /// Whether the step goes ahead.
    pub fn goes(self) -> bool {
        self == Self::Go
    }
}

/// The longest text that an approval shows, in bytes.
const SHOWN_BYTES_MAX: usize = 4096;

/// What the dependencies of a forward step say now. Looks at counters, not at the graph: its cost does not grow with the workflow.
pub fn readiness(task: &Task, step: StepIndex) -> Verdict {
    let definition = task.workflow.step(step);
    for branch in &definition.branches {
        if task.progress(branch.switch).state.is_terminal() {
            let taken = task.branch_taken(branch.switch);
            // A step that is named in several cases of one switch runs if any of them is taken.
            if !definition.branches.iter().any(|other| other.switch == branch.switch && Some(other.case) == taken) {
                return Verdict::Skip(SkipReason::Branch);
            }
        }
    }
    let progress = task.progress(step);
    let (open, met) = (progress.open_dependencies, progress.met_dependencies);
    let missed = definition.depends_on.len() as u32 - open - met;
    // The switches of its own branches only say whether it may run; they are none of the results that `any`, `first` and `at_least` count.
    let (mut met, mut others_open, mut all) = (met, open, definition.depends_on.len() as u32);
    for (place, branch) in definition.branches.iter().enumerate() {
        if definition.branches[..place].iter().all(|earlier| earlier.switch != branch.switch) {
            met -= u32::from(task.step_result(branch.switch).is_some());
            others_open -= u32::from(!task.progress(branch.switch).state.is_terminal());
            all -= 1;
        }
    }
    let switches_open = || definition.branches.iter().any(|branch| !task.progress(branch.switch).state.is_terminal());
    match definition.join {
        Join::All if missed > 0 => Verdict::Skip(SkipReason::Join),
        Join::Any if open == 0 && met == 0 && all > 0 => Verdict::Skip(SkipReason::Join),
        Join::All | Join::Any | Join::Done if open > 0 => Verdict::Wait,
        Join::All | Join::Any | Join::Done => Verdict::Go,
        Join::AtLeast { count, .. } if met + others_open < count => Verdict::Skip(SkipReason::Join),
        Join::AtLeast { count, .. } if met < count || switches_open() => Verdict::Wait,
        Join::AtLeast { .. } => Verdict::Go,
    }
}

impl Turn<'_> {
    /// A step's dependencies changed: does what they say now.
    pub(super) fn settle(&mut self, step: StepIndex) {
        let waits = matches!(self.task.progress(step).state, StepState::Pending);
        if !waits || self.task.queued || self.task.ending.is_some() || self.task.workflow.step(step).role != Role::Forward {
            return;
        }
        match readiness(self.task, step) {
            Verdict::Wait => {}
            Verdict::Skip(reason) => self.skip(step, reason, "the step is not needed"),
            Verdict::Go => {
                self.begin(step);
                self.cancel_others(step);
            }
        }
    }

    /// Withdraws the dependencies that a `first` or `at_least` with `cancel` needs no more.
    fn cancel_others(&mut self, step: StepIndex) {
        let workflow = self.task.workflow.clone();
        let Join::AtLeast { cancel_others: true, .. } = workflow.step(step).join else { return };
        for dependency in &workflow.step(step).depends_on {
            if !self.task.progress(*dependency).state.is_terminal() {
                self.skip(*dependency, SkipReason::NotNeeded, "others were enough");
            }
        }
    }

    /// Ends a step that is not needed, whatever it is doing.
    pub(super) fn skip(&mut self, step: StepIndex, reason: SkipReason, why: &str) {
        self.withdraw_items(step, why);
        if let StepState::FallingBack { to, .. } = self.task.progress(step).state {
            self.skip_quietly(to, why);
        }
        self.skip_quietly_with(step, reason, why);
        self.over(step);
    }

    fn skip_quietly(&mut self, step: StepIndex, why: &str) {
        self.withdraw_items(step, why);
        self.skip_quietly_with(step, SkipReason::NotNeeded, why);
    }

    fn skip_quietly_with(&mut self, step: StepIndex, reason: SkipReason, why: &str) {
        self.withdraw(step, why);
        self.emit(Event::StepSkipped { step, reason });
    }

    /// The step's time has come: looks at its condition, then does what its kind says.
    pub(super) fn begin(&mut self, step: StepIndex) {
        let workflow = self.task.workflow.clone();
        if let Some(when) = &workflow.step(step).when {
            match when.evaluate(&TaskScope::of(self.task, step)) {
                Ok(Value::Bool(true)) => {}
                Ok(Value::Bool(false)) => return self.skip(step, SkipReason::Condition, "its condition is false"),
                Ok(other) => return self.give_up(step, unfit("when", &format!("`{}` gives {other}, not a boolean", when.source()))),
                Err(missing) => return self.give_up(step, unfit("when", &missing.to_string())),
            }
        }
        self.begin_kind(step);
    }

    /// Does what the step's kind says.
    pub(super) fn begin_kind(&mut self, step: StepIndex) {
        let workflow = self.task.workflow.clone();
        let definition = workflow.step(self.task.node(step));
        if let Some(for_each) = definition.for_each.as_deref().filter(|_| self.task.item(step).is_none()) {
            return match self.task.progress(step).fan {
                None => self.fan_out(step, for_each),
                Some(_) => self.item_over(step),
            };
        }
        match &definition.kind {
            StepKind::Call(_) | StepKind::Child(_) => self.make_ready(step),
            StepKind::Switch(switch) => self.choose(step, switch),
            StepKind::Sleep(sleep) => self.sleep(step, sleep),
            StepKind::Wait(wait) => self.wait(step, wait, definition.timeouts.waiting),
            StepKind::Approval(approval) => self.ask_person(step, approval, definition.timeouts.waiting),
        }
    }

    /// Gives a piece of work a place, or lets it wait for one. Handlers always have a place, so that an ending task ends.
    pub(super) fn make_ready(&mut self, step: StepIndex) {
        let handler = self.task.definition(step).role != Role::Forward;
        if handler || self.task.has_place() {
            self.ready(step);
        } else {
            self.emit(Event::StepParked { step });
        }
    }

    /// An attempt may start.
    pub(super) fn ready(&mut self, step: StepIndex) {
        self.emit(Event::StepReady { step });
        self.effects.extend(go_on(self.task, step));
        self.set_timer(step);
    }

    /// Gives free places to those who wait for one: parked steps, then the next items of fan-outs. Says whether something changed.
    pub(super) fn fill_places(&mut self) -> bool {
        if self.task.ending.is_some() || self.task.workflow.max_parallel.is_none() {
            return false;
        }
        let mut changed = false;
        while self.task.has_place() {
            let Some(step) = self.task.parked.front().copied() else { break };
            self.ready(step);
            changed = true;
        }
        if self.task.has_place() {
            let fans: Vec<StepIndex> =
                self.task.workflow.indexes().filter(|step| matches!(self.task.progress(*step).state, StepState::FannedOut)).collect();
            for fan in fans {
                changed |= self.start_items(fan);
            }
        }
        changed
    }

    fn choose(&mut self, step: StepIndex, switch: &Switch) {
        let value = match switch.on.evaluate(&TaskScope::of(self.task, step)) {
            Ok(value) => value,
            Err(missing) => return self.give_up(step, unfit("switch.on", &missing.to_string())),
        };
        match switch.branch_of(&value) {
            Some(branch) => {
                self.emit(Event::BranchTaken { step, branch });
                self.over(step);
            }
            None => {
                let message = format!("no case fits {value}, and there is no `default`");
                self.give_up(step, Failure::new(FailureKind::Permanent, code::switch_unmatched(), message));
            }
        }
    }

    fn sleep(&mut self, step: StepIndex, sleep: &SleepFor) {
        match wake_at(&TaskScope::of(self.task, step), sleep, self.now) {
            Ok(until) => {
                self.emit(Event::WaitStarted { step, wait: Wait::Sleep, until: Some(until) });
                self.set_timer(step);
            }
            Err(problem) => self.give_up(step, unfit("sleep", &problem)),
        }
    }

    fn wait(&mut self, step: StepIndex, wait: &WaitFor, limit: Option<Duration>) {
        let until = limit.map(|limit| self.now.after(limit));
        match &wait.source {
            WaitSource::Signal(name) => {
                self.emit(Event::WaitStarted { step, wait: Wait::Signal { name: name.clone() }, until });
                self.take_kept_signal(step, name);
            }
            WaitSource::Event { name, key } => {
                let key = match text_of(key, &TaskScope::of(self.task, step)) {
                    Ok(key) => key,
                    Err(problem) => return self.give_up(step, unfit("wait_for.key", &problem)),
                };
                self.emit(Event::WaitStarted { step, wait: Wait::Event { name: name.clone(), key }, until });
                self.effects.extend(go_on(self.task, step));
            }
        }
        self.set_timer(step);
    }

    fn ask_person(&mut self, step: StepIndex, approval: &Approval, limit: Option<Duration>) {
        let scope = TaskScope::of(self.task, step);
        let written = || {
            let title = shown(&approval.title, &scope)?;
            let description = approval.description.as_ref().map(|description| shown(description, &scope)).transpose()?;
            let assignees = names(&approval.assignees, &scope)?;
            Ok::<_, NoValue>(Wait::Approval { title, description, assignees })
        };
        match written() {
            Ok(wait) => {
                let until = limit.map(|limit| self.now.after(limit));
                self.emit(Event::WaitStarted { step, wait, until });
                self.set_timer(step);
            }
            Err(missing) => self.give_up(step, unfit("approval", &missing.to_string())),
        }
    }

    /// The wait of a step is over.
    pub(super) fn satisfy(&mut self, step: StepIndex, result: Payload) {
        self.emit(Event::WaitSatisfied { step, result });
        self.over(step);
    }

    /// The place for effects that are not events.
    pub(super) fn then(&mut self, effect: Effect) {
        self.effects.push(effect);
    }
}

/// A failure of the manifest's own making: an expression that has no value, or not one of the right kind.
pub(super) fn unfit(place: &str, problem: &str) -> Failure {
    Failure::new(FailureKind::Contract, code::expression_failed(), format!("{place}: {problem}"))
}

/// A template's value as a text, cut at the limit.
fn shown(template: &Template, scope: &TaskScope<'_>) -> Result<String, NoValue> {
    let mut text = match template.evaluate(scope)? {
        Value::String(text) => text,
        other => other.to_string(),
    };
    if text.len() > SHOWN_BYTES_MAX {
        text.truncate(text.floor_char_boundary(SHOWN_BYTES_MAX));
    }
    Ok(text)
}

/// Names of people: each template gives one, or a list of them.
pub(super) fn names(templates: &[Template], scope: &TaskScope<'_>) -> Result<Vec<String>, NoValue> {
    let mut names: Vec<String> = Vec::new();
    for template in templates {
        let found = match template.evaluate(scope)? {
            Value::Array(items) => items,
            one => vec![one],
        };
        for name in found {
            let name = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    Ok(names)
}

/// An expression's value, which must be a text.
pub(super) fn text_of(expression: &Expression, scope: &dyn crate::expression::Scope) -> Result<String, String> {
    match expression.evaluate(scope) {
        Ok(Value::String(text)) => Ok(text),
        // Numbers are what most shops use as keys.
        Ok(Value::Number(number)) => Ok(number.to_string()),
        Ok(other) => Err(format!("`{}` gives {other}, not a text", expression.source())),
        Err(missing) => Err(missing.to_string()),
    }
}

/// The instant that an RFC 3339 text names.
pub(super) fn instant(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>().ok().map(|instant| Timestamp::from_millis(instant.as_millisecond()))
}

fn wake_at(scope: &TaskScope<'_>, sleep: &SleepFor, now: Timestamp) -> Result<Timestamp, String> {
    match sleep {
        SleepFor::Fixed(duration) => Ok(now.after(*duration)),
        SleepFor::For(expression) => {
            let value = expression.evaluate(scope).map_err(|missing| missing.to_string())?;
            let length = match &value {
                Value::String(text) => duration::parse(text).ok(),
                // From here on the length fits: it is between zero and the longest duration there is.
                Value::Number(number) => number
                    .as_f64()
                    .filter(|seconds| (0.0..=duration::DURATION_MAX.as_secs_f64()).contains(seconds))
                    .map(Duration::from_secs_f64),
                _ => None,
            };
            let length = length.ok_or_else(|| format!("`{}` gives {value}, not a duration such as `30d`", expression.source()))?;
            Ok(now.after(length))
        }
        SleepFor::Until(expression) => {
            let text = text_of(expression, scope)?;
            instant(&text).ok_or_else(|| format!("`{}` gives `{text}`, not an instant such as `2027-01-31T09:00:00Z`", expression.source()))
        }
    }
}
