//! Time and chance. The system's, or those of the simulation, which repeats a run from its seed.
//!
//! Only the wall clock is asked for here. Durations (leases, pauses, patience) are measured with tokio's own clock, which a runtime that is
//! paused moves by itself; it never goes backwards, whatever happens to the wall clock.

use std::sync::Arc;
use std::time::SystemTime;
use tasker_engine::Timestamp;

/// The wall clock. It may jump, in both directions: nothing may rely on it for order.
pub trait Clock: Send + Sync + 'static {
    /// The instant on the calendar.
    fn now(&self) -> Timestamp;
}

/// Where attempt tokens and trace ids come from. What nobody can guess keeps a worker from answering for another (P13).
pub trait Chance: Send + Sync + 'static {
    /// Sixteen bytes that were never drawn before.
    fn draw(&self) -> [u8; 16];
}

/// What a coordinator takes from its surroundings besides its ports.
#[derive(Clone)]
pub struct Surroundings {
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Tokens and ids.
    pub chance: Arc<dyn Chance>,
}

impl Surroundings {
    /// The clock and the random numbers of the machine.
    pub fn real() -> Self {
        Self { clock: Arc::new(Machine), chance: Arc::new(Machine) }
    }
}

struct Machine;

impl Clock for Machine {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

impl Chance for Machine {
    fn draw(&self) -> [u8; 16] {
        rand::random()
    }
}
