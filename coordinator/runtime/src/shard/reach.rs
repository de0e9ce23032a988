//! Whom one knows only by asking: plain responders on the bus, systems over HTTP. Per lane: whether the last question found somebody, which
//! questions are under way, and which attempts found nobody.
//!
//! While nobody is there, attempts are open and *parked*; one is asked again from time to time, with growing pauses, and all of them once
//! it finds somebody. No attempt is burnt by waiting.

use super::attempts::TokenKey;
use crate::settings::CALLS_PER_LANE;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;
use tasker_scheduler::LaneId;

/// Pauses between questions while nobody is there.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What is known about those who are only known by asking, lane by lane. Instants are times since the start.
pub(super) struct Reach {
    lanes: BTreeMap<LaneId, LaneState>,
    /// Whether somebody is believed to be there before anybody was asked.
    presumed: bool,
    /// Questions whose answer has not come. Kept by token, so that an answer finds its lane even if its task has left the memory.
    under_way: HashMap<TokenKey, LaneId>,
    /// Attempts that others work on without saying so: until when they may, and how long that is.
    limits: BTreeMap<TokenKey, (Duration, Duration)>,
}

#[derive(Default)]
struct LaneState {
    /// Whether the last question found somebody.
    there: bool,
    /// Since when every question found nobody.
    absent_since: Option<Duration>,
    /// What the last question that found nobody ran into, for people.
    reason: Option<String>,
    /// Questions whose answer has not come.
    calls: usize,
    /// Attempts that found nobody.
    parked: VecDeque<TokenKey>,
    /// Not asked again before this.
    retry_at: Duration,
    pause: Duration,
}

impl Reach {
    /// For those who are rarely there: one question at a time until one finds somebody.
    pub fn doubtful() -> Self {
        Self::presuming(false)
    }

    /// For those who are usually there: as many questions as may be under way until one finds nobody.
    pub fn hopeful() -> Self {
        Self::presuming(true)
    }

    fn presuming(presumed: bool) -> Self {
        Self { lanes: BTreeMap::new(), presumed, under_way: HashMap::new(), limits: BTreeMap::new() }
    }

    fn lane(&mut self, lane: LaneId) -> &mut LaneState {
        let there = self.presumed;
        self.lanes.entry(lane).or_insert_with(|| LaneState { there, ..LaneState::default() })
    }

    /// Whether one more may be asked.
    pub fn may_call(&mut self, lane: LaneId, uptime: Duration) -> bool {
        let state = self.lane(lane);
        if state.there { state.calls < CALLS_PER_LANE } else { state.calls == 0 && state.parked.is_empty() && uptime >= state.retry_at }
    }

    /// A question leaves.
    pub fn called(&mut self, lane: LaneId, token: TokenKey) {
        if self.under_way.insert(token, lane).is_none() {
            self.lane(lane).calls += 1;
        }
    }

    /// Whether a question about this attempt is under way.
    pub fn is_called(&self, token: &TokenKey) -> bool {
        self.under_way.contains_key(token)
    }

    /// A question came back having found somebody or not; unknown if it did not come back at all.
    pub fn answered(&mut self, token: &TokenKey, found: Option<bool>, uptime: Duration) {
        let Some(lane) = self.under_way.remove(token) else { return };
        let state = self.lane(lane);
        state.calls = state.calls.saturating_sub(1);
        match found {
            Some(true) => {
                state.there = true;
                state.absent_since = None;
                state.reason = None;
                state.pause = Duration::ZERO;
            }
            Some(false) => {
                state.there = false;
                state.absent_since.get_or_insert(uptime);
            }
            None => {}
        }
    }

    /// Forgets every question that is under way: with the bus, question or answer may have been lost. Says which, in a stable order.
    pub fn interrupted(&mut self) -> Vec<(TokenKey, LaneId)> {
        let mut lost: Vec<_> = std::mem::take(&mut self.under_way).into_iter().collect();
        lost.sort_unstable_by_key(|(token, _)| *token);
        for (_, lane) in &lost {
            let state = self.lane(*lane);
            state.calls = state.calls.saturating_sub(1);
        }
        lost
    }

    /// What the question that found nobody ran into.
    pub fn because(&mut self, lane: LaneId, reason: String) {
        self.lane(lane).reason = Some(reason);
    }

    pub fn park(&mut self, lane: LaneId, token: TokenKey, uptime: Duration) {
        let state = self.lane(lane);
        state.parked.push_back(token);
        // Several questions that were under way together ran into the same absence: they make one pause.
        if uptime >= state.retry_at {
            state.pause = (state.pause * 2).clamp(PAUSE_FIRST, PAUSE_MAX);
            state.retry_at = uptime + state.pause;
        }
    }

    pub fn first_parked(&self, lane: LaneId) -> Option<TokenKey> {
        self.lanes.get(&lane)?.parked.front().copied()
    }

    pub fn unpark(&mut self, lane: LaneId) -> Option<TokenKey> {
        self.lanes.get_mut(&lane)?.parked.pop_front()
    }

    pub fn lanes_with_parked(&self) -> Vec<LaneId> {
        self.lanes.iter().filter(|(_, state)| !state.parked.is_empty()).map(|(lane, _)| *lane).collect()
    }

    /// How many of the lane's parked attempts are asked again now: all once somebody is there, one when a pause is over, otherwise none.
    pub fn due(&self, lane: LaneId, uptime: Duration) -> usize {
        let Some(state) = self.lanes.get(&lane) else { return 0 };
        if state.there {
            return state.parked.len().min(CALLS_PER_LANE.saturating_sub(state.calls));
        }
        usize::from(uptime >= state.retry_at && state.calls == 0).min(state.parked.len())
    }

    /// Others work on the attempt for at most `limit` from now.
    pub fn limit(&mut self, token: TokenKey, uptime: Duration, limit: Duration) {
        self.limits.insert(token, (uptime + limit, limit));
    }

    /// The attempts whose limit has passed, and the limit; they are forgotten.
    pub fn overdue(&mut self, uptime: Duration) -> Vec<(TokenKey, Duration)> {
        let due: Vec<_> =
            self.limits.iter().filter(|(_, (until, _))| *until <= uptime).map(|(token, (_, limit))| (*token, *limit)).collect();
        self.limits.retain(|_, (until, _)| *until > uptime);
        due
    }

    /// The attempt is over, so nobody's limit matters any more.
    pub fn forget(&mut self, token: &TokenKey) {
        self.limits.remove(token);
    }

    /// For how long every question has found nobody; none if the last one found somebody or nobody was asked.
    pub fn absent_for(&self, lane: LaneId, uptime: Duration) -> Option<Duration> {
        let since = self.lanes.get(&lane)?.absent_since?;
        Some(uptime.saturating_sub(since))
    }

    /// Whether attempts wait because nobody is there.
    pub fn is_missed(&self, lane: LaneId) -> bool {
        self.lanes.get(&lane).is_some_and(|state| !state.there && !state.parked.is_empty())
    }

    /// What the last question that found nobody ran into, for people.
    pub fn reason(&self, lane: LaneId) -> Option<&str> {
        self.lanes.get(&lane)?.reason.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tasker_engine::{CapabilityName, Namespace};
    use tasker_scheduler::{Lane, Scheduler, Target};

    fn lane() -> LaneId {
        let name = |text: &str| text.parse().expect("a name");
        let target = Target {
            namespace: Namespace::new("default").expect("a name"),
            system: name("payments"),
            capability: CapabilityName::new("payment.charge").expect("a name"),
        };
        Scheduler::default().lane(&Lane { target, route: None })
    }

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn token(number: u8) -> TokenKey {
        [number; 16]
    }

    #[test]
    fn one_question_at_a_time_finds_out_whether_somebody_is_there() {
        let mut reach = Reach::doubtful();
        assert!(reach.may_call(lane(), at(0)));
        reach.called(lane(), token(1));
        assert!(!reach.may_call(lane(), at(0)), "the first answer is awaited");
        reach.answered(&token(1), Some(true), at(1));
        for number in 0..CALLS_PER_LANE {
            assert!(reach.may_call(lane(), at(1)));
            reach.called(lane(), token(number as u8));
        }
        assert!(!reach.may_call(lane(), at(1)));
    }

    #[test]
    fn those_who_are_usually_there_are_asked_at_once_until_one_is_missed() {
        let mut reach = Reach::hopeful();
        for number in 0..3 {
            assert!(reach.may_call(lane(), at(0)));
            reach.called(lane(), token(number));
        }
        for number in 0..3 {
            reach.answered(&token(number), Some(false), at(10));
            reach.park(lane(), token(number), at(10));
        }
        assert!(!reach.may_call(lane(), at(10)) && reach.is_missed(lane()));
        assert_eq!((reach.due(lane(), at(509)), reach.due(lane(), at(510))), (0, 1), "three absences at once make one pause");
        let asked = reach.unpark(lane()).expect("parked");
        reach.called(lane(), asked);
        assert_eq!(reach.due(lane(), at(5_000)), 0, "one question is under way");
        reach.answered(&asked, Some(true), at(600));
        assert_eq!((reach.due(lane(), at(600)), reach.absent_for(lane(), at(600))), (2, None));
    }

    #[test]
    fn absence_is_counted_from_the_first_question_that_found_nobody() {
        let mut reach = Reach::doubtful();
        assert_eq!(reach.absent_for(lane(), at(5)), None, "nobody was asked");
        for millis in [100, 900] {
            reach.called(lane(), token(1));
            reach.answered(&token(1), Some(false), at(millis));
        }
        assert_eq!(reach.absent_for(lane(), at(1_100)), Some(at(1_000)));
        reach.called(lane(), token(1));
        reach.answered(&token(1), None, at(2_000));
        assert_eq!(reach.absent_for(lane(), at(2_100)), Some(at(2_000)), "silence says nothing");
    }

    #[test]
    fn an_answer_that_comes_twice_counts_once() {
        let mut reach = Reach::hopeful();
        reach.called(lane(), token(1));
        reach.called(lane(), token(2));
        for _ in 0..3 {
            reach.answered(&token(1), Some(true), at(0));
        }
        assert!(!reach.is_called(&token(1)) && reach.is_called(&token(2)));
        for number in 3..=65 {
            reach.called(lane(), token(number));
        }
        assert!(!reach.may_call(lane(), at(0)), "64 are under way");
    }

    #[test]
    fn a_limit_passes_once_and_not_after_the_attempt_is_over() {
        let mut reach = Reach::hopeful();
        reach.limit(token(1), at(0), at(100));
        reach.limit(token(2), at(0), at(100));
        reach.forget(&token(2));
        assert_eq!(reach.overdue(at(99)), []);
        assert_eq!(reach.overdue(at(100)), [(token(1), at(100))]);
        assert_eq!(reach.overdue(at(1_000)), []);
    }
}
