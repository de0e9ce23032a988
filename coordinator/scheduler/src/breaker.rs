//! A circuit breaker: what fails again and again is left alone for a while, and then tried carefully.
//!
//! ```text
//!            `failures` within `window`                  `open_for` has passed
//!   closed ─────────────────────────────▶ open ─────────────────────────────▶ half-open
//!     ▲                                    ▲                                    │   │
//!     │                                    └──── a probe fails: twice as long ──┘   │
//!     └─────────────────────── `probes` probes succeeded ───────────────────────────┘
//! ```
//!
//! One per capability, in the coordinator, so the whole fleet shares it. While it is open nothing is dispatched: ready steps stay where they
//! are and burn no attempts. It lives in memory and starts closed: a coordinator that starts anew knows nothing of the health of others.
//!
//! Pure: instants are parameters, as time since the coordinator started.

use std::collections::VecDeque;
use std::time::Duration;
use tasker_engine::FailureKind;
use tasker_engine::breaker_policy::BreakerPolicy;

/// How often the time for which a breaker stays open is doubled: 2, 4, 8, 16 times as long. A system that comes back after an hour is then asked
/// within minutes.
pub const OPEN_FOR_FACTOR_MAX: u32 = 16;

/// Whether attempts may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Yes.
    Closed,
    /// A few, to see whether it has recovered.
    HalfOpen,
    /// None.
    Open,
}

impl State {
    /// The word used in the API and the CLI.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }

    /// The number in the figures: the larger, the worse.
    pub fn as_figure(self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open => 2,
        }
    }
}

/// What an operator demands of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Override {
    /// Nothing: it follows its policy.
    Auto,
    /// Stay open until told otherwise.
    Open,
    /// Stay closed until told otherwise, whatever fails.
    Closed,
}

impl Override {
    /// The word used in the API and the CLI.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Open => "open",
            Self::Closed => "close",
        }
    }

    /// Reads the word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Auto, Self::Open, Self::Closed].into_iter().find(|known| known.as_str() == word)
    }
}

/// What the end of an attempt says about the health of what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It answered with a result.
    Well,
    /// It failed in a way that others will share: retryable, out of time, or its worker was lost.
    Ill,
    /// Nothing: an orderly no, a broken contract, an attempt that was withdrawn.
    Unknown,
}

impl Verdict {
    /// What a failure says.
    pub fn of(failure: FailureKind) -> Self {
        if failure.is_about_health() { Self::Ill } else { Self::Unknown }
    }
}

/// Goes with an attempt from its start to its end, so that the end is counted in the period in which the attempt began: what began before
/// the breaker last changed says nothing about now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit {
    period: u32,
    wave: u32,
}

/// One capability's breaker.
#[derive(Debug, Clone)]
pub struct Breaker {
    policy: Option<BreakerPolicy>,
    operator: Override,
    phase: Phase,
    since: Duration,
    period: u32,
    opened: u64,
}

#[derive(Debug, Clone)]
enum Phase {
    /// The failures of the window, oldest first; never more than the policy's `failures`.
    Closed {
        failures: VecDeque<Duration>,
    },
    Open {
        until: Duration,
        open_for: Duration,
    },
    HalfOpen(Probing),
}

/// How the probing goes.
#[derive(Debug, Clone)]
struct Probing {
    /// How long it was open before.
    open_for: Duration,
    /// Probes of this wave that have not ended.
    running: u32,
    /// Over all waves.
    succeeded: u32,
    /// Which wave of probes this is.
    wave: u32,
    /// When the last probe started.
    begun_at: Duration,
}

/// What a breaker looks like from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Whether attempts may start.
    pub state: State,
    /// Since when, as time since the coordinator started.
    pub since: Duration,
    /// How many failures count now; 0 unless it is closed.
    pub failures: u32,
    /// When the first probe may start; only while it is open by itself.
    pub next_probe_at: Option<Duration>,
    /// What an operator demands.
    pub operator: Override,
    /// How often it has opened by itself since the coordinator started.
    pub opened: u64,
    /// What it follows; none if nobody declared one and it is there for an operator's demand only.
    pub policy: Option<BreakerPolicy>,
}

impl Breaker {
    /// A closed breaker. Without a policy it obeys operators only.
    pub fn new(policy: Option<BreakerPolicy>, now: Duration) -> Self {
        Self { policy, operator: Override::Auto, phase: Phase::closed(), since: now, period: 0, opened: 0 }
    }

    /// Follows another policy from now on. An open breaker stays open for as long as the old one said; without a policy it closes.
    pub fn set_policy(&mut self, policy: Option<BreakerPolicy>, now: Duration) {
        self.policy = policy;
        match (&mut self.phase, policy) {
            (Phase::Closed { failures }, Some(policy)) => keep_newest(failures, policy.failures() as usize - 1),
            (Phase::Closed { failures }, None) => failures.clear(),
            (Phase::Open { .. }, Some(_)) => {}
            // What was counted against the old number of probes is counted anew.
            (Phase::HalfOpen(probing), Some(_)) => {
                let open_for = probing.open_for;
                self.turn(Phase::probing(open_for, now), now);
            }
            (Phase::Open { .. } | Phase::HalfOpen(_), None) => self.turn(Phase::closed(), now),
        }
    }

    /// Takes an operator's demand. Whatever was counted is forgotten, so `auto` begins closed.
    pub fn set_override(&mut self, operator: Override, now: Duration) {
        self.operator = operator;
        self.turn(Phase::closed(), now);
    }

    /// Whether anything still needs this breaker: a policy or an operator's demand.
    pub fn is_needed(&self) -> bool {
        self.policy.is_some() || self.operator != Override::Auto
    }

    /// Whether an attempt may start now. An open breaker whose time is up becomes half-open by being asked.
    ///
    /// A probe that has not ended when the pause before it has passed once more no longer holds up the next: a handler that hangs
    /// without a timeout must not keep the breaker half-open for ever. Its end, when it comes, still counts.
    pub fn admits(&mut self, now: Duration) -> bool {
        match self.operator {
            Override::Open => return false,
            Override::Closed => return true,
            Override::Auto => {}
        }
        if let Phase::Open { until, open_for } = self.phase
            && now >= until
        {
            self.turn(Phase::probing(open_for, now), now);
        }
        let probes = self.probes();
        match &mut self.phase {
            Phase::Closed { .. } => true,
            Phase::Open { .. } => false,
            Phase::HalfOpen(probing) => {
                if probing.running > 0 && now.saturating_sub(probing.begun_at) >= probing.open_for {
                    (probing.running, probing.wave) = (0, probing.wave.wrapping_add(1));
                }
                probing.running + probing.succeeded < probes
            }
        }
    }

    /// Notes that an attempt starts; asked for only after [`Breaker::admits`] said yes.
    pub fn begin(&mut self, now: Duration) -> Permit {
        let mut wave = 0;
        if let Phase::HalfOpen(probing) = &mut self.phase {
            probing.running += 1;
            probing.begun_at = now;
            wave = probing.wave;
        }
        Permit { period: self.period, wave }
    }

    /// Notes how an attempt ended; once per permit.
    pub fn report(&mut self, permit: Permit, verdict: Verdict, now: Duration) {
        if permit.period != self.period || self.operator != Override::Auto {
            return;
        }
        let Some(policy) = self.policy else { return };
        match (&mut self.phase, verdict) {
            (Phase::Closed { failures }, Verdict::Ill) => {
                forget(failures, policy.window(), now);
                failures.push_back(now);
                if failures.len() >= policy.failures() as usize {
                    self.open(policy.open_for(), now);
                }
            }
            (Phase::HalfOpen(probing), Verdict::Ill) => {
                let longer = (probing.open_for * 2).min(policy.open_for() * OPEN_FOR_FACTOR_MAX);
                self.open(longer, now);
            }
            (Phase::HalfOpen(probing), Verdict::Well | Verdict::Unknown) => {
                if permit.wave == probing.wave {
                    probing.running = probing.running.saturating_sub(1);
                }
                probing.succeeded += u32::from(verdict == Verdict::Well);
                if probing.succeeded >= policy.probes() {
                    self.turn(Phase::closed(), now);
                }
            }
            // A success does not clear the window: what fails every other time is ill, too.
            (Phase::Closed { .. }, Verdict::Well | Verdict::Unknown) => {}
            // Nothing starts while it is open, so no permit is of that period.
            (Phase::Open { .. }, _) => {}
        }
    }

    /// Whether attempts may start, without changing anything.
    pub fn state(&self, now: Duration) -> State {
        match (self.operator, &self.phase) {
            (Override::Open, _) => State::Open,
            (Override::Closed, _) | (Override::Auto, Phase::Closed { .. }) => State::Closed,
            (Override::Auto, Phase::Open { until, .. }) if now < *until => State::Open,
            (Override::Auto, Phase::Open { .. } | Phase::HalfOpen(_)) => State::HalfOpen,
        }
    }

    /// What people are shown.
    pub fn view(&self, now: Duration) -> View {
        let failures = match (&self.phase, self.policy) {
            (Phase::Closed { failures }, Some(policy)) => failures.iter().filter(|at| now.saturating_sub(**at) < policy.window()).count(),
            _ => 0,
        };
        let (since, next_probe_at) = match (self.operator, &self.phase) {
            (Override::Auto, Phase::Open { until, .. }) if now < *until => (self.since, Some(*until)),
            // Nobody has asked since its time was up.
            (Override::Auto, Phase::Open { until, .. }) => (*until, None),
            _ => (self.since, None),
        };
        View {
            state: self.state(now),
            since,
            failures: failures as u32,
            next_probe_at,
            operator: self.operator,
            opened: self.opened,
            policy: self.policy,
        }
    }

    fn probes(&self) -> u32 {
        self.policy.map_or(1, |policy| policy.probes())
    }

    fn open(&mut self, open_for: Duration, now: Duration) {
        self.opened += 1;
        self.turn(Phase::Open { until: now + open_for, open_for }, now);
    }

    fn turn(&mut self, phase: Phase, now: Duration) {
        self.phase = phase;
        self.since = now;
        self.period = self.period.wrapping_add(1);
    }
}

impl Phase {
    fn closed() -> Self {
        Self::Closed { failures: VecDeque::new() }
    }

    fn probing(open_for: Duration, now: Duration) -> Self {
        Self::HalfOpen(Probing { open_for, running: 0, succeeded: 0, wave: 0, begun_at: now })
    }
}

/// Forgets what has left the window.
fn forget(failures: &mut VecDeque<Duration>, window: Duration, now: Duration) {
    while failures.front().is_some_and(|at| now.saturating_sub(*at) >= window) {
        failures.pop_front();
    }
}

fn keep_newest(failures: &mut VecDeque<Duration>, most: usize) {
    let surplus = failures.len().saturating_sub(most);
    failures.drain(..surplus);
}

#[cfg(test)]
mod tests;
