//! What `/metrics` shows: the figures of every loop that runs here, and those of the coordinator itself, which are there also when it runs none.

use super::{Operations, Unavailable, enter};
use crate::command::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tasker_telemetry::histogram::Histogram;
use tasker_telemetry::metric;
use tasker_telemetry::reading::Readings;
use tokio::sync::oneshot;

/// What a coordinator measures while it keeps its place among the others.
pub(crate) struct Household {
    /// Written four times a second and read once per scrape.
    lateness: Mutex<Histogram>,
}

impl Default for Household {
    fn default() -> Self {
        Self { lateness: Mutex::new(Histogram::new(metric::FINE)) }
    }
}

impl Household {
    /// The database confirmed that the coordinator lives, so much later than it should have.
    pub fn confirmed(&self, late: Duration) {
        self.lateness.lock().unwrap_or_else(PoisonError::into_inner).observe_time(late);
    }
}

impl Operations {
    /// What was counted and measured since the start, and how things stand now, of all shards that run here together; see [`tasker_telemetry::metric`].
    ///
    /// # Errors
    /// The coordinator cannot answer now.
    pub async fn figures(&self) -> Result<Readings, Unavailable> {
        let mut together = Readings::default();
        let doors = self.doors.open();
        together.add(&metric::SHARDS_HELD, &[], doors.len());
        for door in doors {
            let (answer, answered) = oneshot::channel();
            enter(&door, Command::Figures { answer })?;
            together.merge(answered.await.map_err(|_| Unavailable::Unknown)?);
        }
        together.add(&metric::LEASE_LATENESS, &[], &*self.household.lateness.lock().unwrap_or_else(PoisonError::into_inner));
        together.add(&metric::BUS_CONNECTED, &[], self.bus.is_connected());
        // There from the start, so that the first one that is dropped is seen as a rise.
        together.add(&metric::BUS_REJECTED, &["outgoing_full"], 0_u64);
        for (reason, count) in self.bus.refused() {
            together.add(&metric::BUS_REJECTED, &[reason], count);
        }
        Ok(together)
    }
}
