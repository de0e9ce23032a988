//! How much at once, how fast, and in which order: what a manifest says about the flow of work.
//!
//! Only the words and the keys live here, because the checker, the scheduler and the loop need them; who is held back by them is decided in
//! `scheduler`.

use crate::decide::accept::InputScope;
use crate::decide::scope::TaskScope;
use crate::expression::{Expression, Scope};
use crate::ids::{Digest, StepIndex};
use crate::payload::Payload;
use crate::task::Task;
use crate::workflow::Workflow;
use serde_json::Value;
use std::time::Duration;

/// How urgent a task is: -100 to 100, 0 if nobody says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Priority(i8);

impl Priority {
    /// The least urgent.
    pub const LOWEST: Self = Self(-100);
    /// The most urgent.
    pub const HIGHEST: Self = Self(100);
    /// How much waiting time one step on the scale is worth, among the steps of one workflow that wait for one capability: a step of priority 20 goes
    /// before every step of priority 0 that became ready less than a minute before it. So nothing waits for ever: after ten minutes the least urgent
    /// step goes before the most urgent one that comes.
    pub const LEAD: Duration = Duration::from_secs(3);

    /// A priority, if the number is on the scale.
    pub fn new(number: i64) -> Option<Self> {
        i8::try_from(number).ok().map(Self).filter(|priority| (Self::LOWEST..=Self::HIGHEST).contains(priority))
    }

    /// Its number.
    pub const fn get(self) -> i8 {
        self.0
    }
}

impl std::fmt::Display for Priority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What `priority:` of a workflow says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Priorities {
    /// Of a task whose submission says nothing.
    pub default: Priority,
    /// The lowest that a submission may ask for.
    pub min: Priority,
    /// The highest that a submission may ask for.
    pub max: Priority,
}

impl Default for Priorities {
    /// Every submission may ask for anything.
    fn default() -> Self {
        Self { default: Priority::default(), min: Priority::LOWEST, max: Priority::HIGHEST }
    }
}

impl Priorities {
    /// The priority of a task: what its submission asks for, within the range, or the default.
    ///
    /// # Errors
    /// Gives back what was asked for, if the range does not allow it.
    pub fn of(&self, asked: Option<Priority>) -> Result<Priority, Priority> {
        match asked {
            None => Ok(self.default),
            Some(asked) if (self.min..=self.max).contains(&asked) => Ok(asked),
            Some(asked) => Err(asked),
        }
    }
}

/// The share of a workflow, or of a namespace, in what several of them wait for: 1 to 100, in relation to the others' weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u8);

impl Default for Weight {
    fn default() -> Self {
        Self(1)
    }
}

impl Weight {
    /// The largest.
    pub const MAX: u32 = 100;

    /// A weight, if the number is in range.
    pub fn new(number: u32) -> Option<Self> {
        u8::try_from(number).ok().filter(|number| (1..=Self::MAX).contains(&u32::from(*number))).map(Self)
    }

    /// Its number.
    pub fn get(self) -> u8 {
        self.0
    }
}

/// How fast: so many attempts per second, minute or hour, and how many at once after a quiet time. A token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    count: u32,
    per: Period,
    burst: u32,
}

/// The time in which a rate's attempts are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Period {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
}

impl Period {
    /// How long it is.
    pub fn length(self) -> Duration {
        match self {
            Self::Second => Duration::from_secs(1),
            Self::Minute => Duration::from_secs(60),
            Self::Hour => Duration::from_secs(3600),
        }
    }

    /// The letter after the slash.
    pub fn letter(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "m",
            Self::Hour => "h",
        }
    }
}

impl Rate {
    /// The most attempts per period, and the largest burst: more than the coordinator gives out.
    pub const COUNT_MAX: u32 = 1_000_000;

    /// A rate, if the numbers are in range; without a burst, that of a tenth of a second: enough that the loop's own pace does not slow it down.
    pub fn new(count: u32, per: Period, burst: Option<u32>) -> Option<Self> {
        let in_range = |number: u32| (1..=Self::COUNT_MAX).contains(&number);
        let tenth = u64::from(count).div_ceil(per.length().as_secs() * 10) as u32;
        let burst = burst.unwrap_or(tenth.max(1));
        (in_range(count) && in_range(burst)).then_some(Self { count, per, burst })
    }

    /// Reads `50/s`, `100/m` or `10/h`; the burst is the default one.
    pub fn parse(text: &str) -> Option<Self> {
        let (count, per) = text.split_once('/')?;
        let per = [Period::Second, Period::Minute, Period::Hour].into_iter().find(|period| period.letter() == per)?;
        if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Self::new(count.parse().ok()?, per, None)
    }

    /// The same with another burst, if it is in range.
    pub fn with_burst(self, burst: u32) -> Option<Self> {
        Self::new(self.count, self.per, Some(burst))
    }

    /// How many attempts per period.
    pub fn count(self) -> u32 {
        self.count
    }

    /// Which period.
    pub fn per(self) -> Period {
        self.per
    }

    /// How many at once after a quiet time.
    pub fn burst(self) -> u32 {
        self.burst
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.count, self.per.letter())
    }
}

/// The largest limit of a `concurrency` and of `max_concurrent`: more steps are not open at once.
pub const CONCURRENT_MAX: u32 = 1_000_000;

/// What `rate_limit:` of a step says.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyedRate {
    /// How fast.
    pub rate: Rate,
    /// What has a bucket of its own for each of its values; none: the step has one bucket for all.
    pub key: Option<Expression>,
}

/// What `concurrency:` of a step says.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyedLimit {
    /// How many attempts at once.
    pub limit: u32,
    /// For each value of this; none: for all of them together.
    pub key: Option<Expression>,
}

/// What limits the attempts of one step over all tasks.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StepLimits {
    /// How fast.
    pub rate: Option<KeyedRate>,
    /// How many at once.
    pub concurrency: Option<KeyedLimit>,
}

/// What `concurrency:` of a workflow says.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskConcurrency {
    /// How many tasks at once.
    pub limit: u32,
    /// For each value of this, worked out from the task's input; none: for all of them together.
    pub key: Option<Expression>,
    /// What happens to a task that comes when there are so many.
    pub on_limit: OnLimit,
}

/// What happens to a task that is one too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLimit {
    /// It waits.
    Queue,
    /// It is cancelled.
    CancelNewest,
    /// The oldest one at work is cancelled, and so is whatever waits; it starts once there is room.
    CancelInProgress,
}

impl OnLimit {
    /// Every choice, by the word in the manifest.
    pub const WORDS: [(&'static str, Self); 3] =
        [("queue", Self::Queue), ("cancel_newest", Self::CancelNewest), ("cancel_in_progress", Self::CancelInProgress)];

    /// The word in the manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::CancelNewest => "cancel_newest",
            Self::CancelInProgress => "cancel_in_progress",
        }
    }
}

/// What limits the attempts and the backlog of a capability, for the whole fleet. The default limits nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CapabilityLimits {
    /// How fast it may be asked.
    pub rate: Option<Rate>,
    /// How many attempts may be open.
    pub max_concurrent: Option<u32>,
    /// How many steps may wait for it before submissions are refused.
    pub max_backlog: Option<u32>,
}

/// What a workflow says about the flow of its tasks. The default says nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WorkflowFlow {
    /// How urgent its tasks are.
    pub priority: Priorities,
    /// Its share where several workflows wait for the same capability.
    pub weight: Weight,
    /// How many of its tasks at once.
    pub concurrency: Option<Box<TaskConcurrency>>,
}

/// The longest key that is kept as it is, in bytes; of a longer one the digest is.
const KEY_BYTES_MAX: usize = 128;

/// The key by which the workflow counts the task that this input asks for; none if it does not count them. What has no value is the key `null`: a
/// limit that cannot be worked out holds for all such tasks together.
pub fn task_concurrency_key(workflow: &Workflow, input: &Payload) -> Option<String> {
    let concurrency = workflow.flow.concurrency.as_ref()?;
    Some(match &concurrency.key {
        None => String::new(),
        Some(key) => key_of(key, &InputScope::new(input)),
    })
}

/// The key of a step's concurrency, and that of its rate; each is there exactly if the step has such a limit.
pub fn step_keys(task: &Task, step: StepIndex) -> (Option<String>, Option<String>) {
    let Some(limits) = task.definition(step).call().and_then(|call| call.limits.as_deref()) else { return (None, None) };
    let scope = TaskScope::of(task, step);
    let key = |key: &Option<Expression>| key.as_ref().map_or_else(String::new, |key| key_of(key, &scope));
    (limits.concurrency.as_ref().map(|limit| key(&limit.key)), limits.rate.as_ref().map(|rate| key(&rate.key)))
}

fn key_of(expression: &Expression, scope: &dyn Scope) -> String {
    let text = match expression.evaluate(scope) {
        Ok(Value::String(text)) => text,
        Ok(other) => other.to_string(),
        Err(_) => Value::Null.to_string(),
    };
    if text.len() <= KEY_BYTES_MAX { text } else { Digest::of(text.as_bytes()).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_is_on_the_scale_and_within_the_range_of_its_workflow() {
        assert_eq!([-101, -100, 100, 101, 1_000].map(|number| Priority::new(number).is_some()), [false, true, true, false, false]);
        let priority = |number| Priority::new(number).expect("on the scale");
        let range = Priorities { default: priority(10), min: priority(0), max: priority(50) };
        let asked = [None, Some(0), Some(50), Some(51), Some(-1)].map(|asked| range.of(asked.map(priority)));
        assert_eq!(asked, [Ok(priority(10)), Ok(priority(0)), Ok(priority(50)), Err(priority(51)), Err(priority(-1))]);
    }

    #[test]
    fn a_rate_is_read_as_it_is_written_and_bursts_for_a_tenth_of_a_second() {
        let table = [
            ("50/s", Some((50, Period::Second, 5))),
            ("1/s", Some((1, Period::Second, 1))),
            ("600/m", Some((600, Period::Minute, 1))),
            ("1000000/h", Some((1_000_000, Period::Hour, 28))),
            ("0/s", None),
            ("1000001/s", None),
            ("5/d", None),
            ("+5/s", None),
            ("/s", None),
            ("5", None),
        ];
        for (text, expected) in table {
            let rate = Rate::parse(text);
            assert_eq!(rate.map(|rate| (rate.count(), rate.per(), rate.burst())), expected, "{text}");
            assert_eq!(rate.map(|rate| rate.to_string()), expected.map(|_| text.to_owned()));
        }
        assert_eq!(Rate::parse("5/m").and_then(|rate| rate.with_burst(3)).map(Rate::burst), Some(3));
        assert_eq!(Rate::parse("5/m").and_then(|rate| rate.with_burst(0)), None);
    }

    #[test]
    fn a_weight_is_from_one_to_a_hundred() {
        assert_eq!([0, 1, 100, 101, 257].map(|number| Weight::new(number).is_some()), [false, true, true, false, false]);
    }
}
