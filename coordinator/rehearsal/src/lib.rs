//! Runs a checked workflow in this process: the engine of production, virtual time, mocked results. The heart of `tasker workflow test`.
//!
//! A [`Case`] says what a task is given, how its systems answer and what comes from outside; [`rehearse`] plays it to its end and
//! gives an [`Outcome`]; [`judge`] compares that with what the case expects; [`Coverage`] says which ways through the workflow the
//! cases took together. Cases are read from YAML by [`read`], or put together by a program.
//!
//! After every event the engine's own invariants are asked, and at the end the whole history is checked: a case cannot pass on a
//! state that production would refuse.
//!
//! Never here: files, clocks, the network. The same workflows and the same case always give the same outcome.
//!
//! Start reading at [`stage`].

mod answer;
mod case;
mod coverage;
mod judge;
mod learn;
mod outcome;
mod points;
mod read;
mod read_acts;
mod read_expect;
mod report;
pub mod stage;
mod workflows;

pub use case::{Act, Answer, Case, Expect, Given, Mock, Plan, Prompt, Status};
pub use coverage::{Coverage, Share};
pub use judge::{Mismatch, judge};
pub use outcome::{Ended, Outcome, Sent};
pub use points::{Point, PointKind, points};
pub use read::{CODES, Suite, read, workflow_of};
pub use report::{CaseReport, Report, SuiteReport};
pub use stage::rehearse;
pub use workflows::Workflows;
