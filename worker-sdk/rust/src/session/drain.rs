//! How a session ends: it takes nothing new, finishes what it holds, and says goodbye.

use std::time::{Duration, Instant};

use tasker_proto::worker::v1::SessionState;

use super::Session;
use super::held::Cancellation;
use crate::context::StopReason;
use crate::error::StepError;

/// A cancelled handler gets this long to notice; then it is answered for.
const CANCEL_GRACE: Duration = Duration::from_secs(2);
/// How long the last replies wait for their acknowledgements before the worker
/// leaves without: the coordinator gives those attempts to others.
const ACKNOWLEDGE_GRACE: Duration = Duration::from_secs(10);

/// What a drain is waiting for, and until when.
pub(super) struct Draining {
    waits_for: WaitsFor,
    pub deadline: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WaitsFor {
    Handlers,
    CancelledHandlers,
    Acknowledgements,
    Nothing,
}

impl Session {
    pub(super) async fn drain(&mut self, reason: &str) {
        if self.draining.is_some() {
            return;
        }
        tracing::info!(reason, "draining: finishing what is held and taking nothing new");
        self.draining = Some(Draining { waits_for: WaitsFor::Handlers, deadline: Instant::now() + self.plan.drain_timeout });
        if self.beat_due.is_some() {
            self.beat().await;
        }
    }

    pub(super) fn drain_deadline_passed(&mut self, now: Instant) {
        let Some(draining) = &mut self.draining else { return };
        match draining.waits_for {
            WaitsFor::Handlers => {
                *draining = Draining { waits_for: WaitsFor::CancelledHandlers, deadline: now + CANCEL_GRACE };
                for attempt in self.held.unfinished() {
                    tracing::warn!(
                        task_id = attempt.request.task_id,
                        step = attempt.request.step_name,
                        "cancelled: the drain timeout passed"
                    );
                    if let Cancellation::Withdrawn(attempt) = self.held.cancel(&attempt.token, StopReason::Drain) {
                        self.answer_for(&attempt, StepError::cancelled());
                    }
                }
            }
            WaitsFor::CancelledHandlers => {
                *draining = Draining { waits_for: WaitsFor::Acknowledgements, deadline: now + ACKNOWLEDGE_GRACE };
                for attempt in self.held.unfinished() {
                    self.abandoned += 1;
                    self.answer_for(&attempt, StepError::cancelled());
                }
            }
            WaitsFor::Acknowledgements | WaitsFor::Nothing => {
                tracing::warn!(
                    replies = self.held.unacknowledged(),
                    "leaving although replies are unacknowledged; others will run these attempts"
                );
                draining.waits_for = WaitsFor::Nothing;
            }
        }
    }

    /// True once nothing keeps the session.
    pub(super) fn is_over(&self) -> bool {
        self.draining.as_ref().is_some_and(|draining| self.held.is_empty() || draining.waits_for == WaitsFor::Nothing)
    }

    /// Says goodbye; returns how many handlers still run although they were asked to stop.
    pub(super) async fn leave(&mut self) -> usize {
        self.beat_as(SessionState::Left).await;
        self.link.flush().await;
        tracing::info!("left");
        self.abandoned
    }
}
