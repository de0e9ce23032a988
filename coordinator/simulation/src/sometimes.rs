//! What must have happened now and then, or a run of many seeds has proved little.

use std::collections::BTreeMap;

/// How often something rare was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sometimes(BTreeMap<&'static str, u64>);

/// Every rare state that a run of many seeds must have reached.
pub const RARE: &[&str] = &[
    "a take-over after a crash",
    "a take-over from an owner that was paused",
    "a take-over from an owner that was cut off from the database",
    "a take-over after an orderly stop",
    "two coordinators that thought they owned the shard",
    "a commit of a stale epoch",
    "a commit failed and nothing was written",
    "a commit that found no space",
    "an unknown commit that was written",
    "an unknown commit that was not written",
    "a commit that arrived after its caller had given up",
    "a power cut during a commit",
    "a task accepted although its client was told nothing",
    "an idempotency key repeated after an unknown outcome",
    "an idempotency key used for other content",
    "a late reply after a take-over",
    "a reply recorded after a take-over",
    "a cancellation that came with the last result",
    "a result that came after its task was cancelled",
    "a timer that was due during a fail-over",
    "a clock that went backwards while a timer ran",
    "a bus wiped, then a reply sent again and recorded",
    "a lost request announced again",
    "a reply repeated and recognised",
    "a second, different reply for one attempt",
    "a reply with a wrong token",
    "a reply of another system",
    "a reply for a step that does not exist",
    "a contract violated on the last attempt",
    "a worker lost while it worked",
    "an attempt that ran out of time",
    "a message that could not be read",
    "a child task that ended while its parent waited",
    "a fan-out finished",
    "an approval decided",
    "a signal taken",
    "an event taken",
    "an event that was kept first",
    "a held step resolved",
    "a compensation that ran",
    "a task paused and resumed",
    "a task retried",
    "a task cancelled while it worked",
    "a submission turned away because too many tasks were active",
    "a task on a version that is no longer current",
    "a task whose turn among those of its key had come",
    "a step that took several slots",
];

impl Sometimes {
    /// Notes that it happened.
    pub fn note(&mut self, what: &'static str) {
        debug_assert!(RARE.contains(&what), "`{what}` is not in the list");
        *self.0.entry(what).or_default() += 1;
    }

    /// Adds what another run saw.
    pub fn add(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    /// How often it was seen.
    pub fn count(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }

    /// What was never seen.
    pub fn missing(&self) -> Vec<&'static str> {
        RARE.iter().copied().filter(|what| self.count(what) == 0).collect()
    }
}
