//! A scenario: one named fact about a worker, and what must stand before it is looked at.

use anyhow::Result;
use futures::future::BoxFuture;

use crate::stage::Stage;

/// How the stage is set before the worker starts.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    pub slots: u32,
    pub prefix: &'static str,
    pub namespace: &'static str,
    /// What `TASKER_LABELS` says; empty: none.
    pub labels: &'static str,
    /// Receives spans and tells the worker where.
    pub traces: bool,
    /// False: nobody listens to what the worker says until the scenario calls `Stage::listen`.
    pub listens: bool,
    /// Takes long by its nature, so it is begun first.
    pub slow: bool,
}

impl Setup {
    pub const PLAIN: Self =
        Self { slots: 4, prefix: "tasker", namespace: "conformance", labels: "", traces: false, listens: true, slow: false };
}

/// One fact. It holds if `run` returns no error and the stage's invariants hold afterwards.
pub struct Scenario {
    pub name: &'static str,
    pub group: &'static str,
    pub setup: Setup,
    pub run: for<'a> fn(&'a mut Stage) -> BoxFuture<'a, Result<()>>,
}

/// Lists the scenarios of a file: `scenarios! { "group"; fact, other_fact with Setup { … } }`.
macro_rules! scenarios {
    (@setup) => { $crate::scenario::Setup::PLAIN };
    (@setup $setup:expr) => { $setup };
    ($group:literal; $($name:ident $(with $setup:expr)?),* $(,)?) => {
        /// The facts of this group, in the order in which they are reported.
        pub fn scenarios() -> Vec<$crate::scenario::Scenario> {
            vec![$($crate::scenario::Scenario {
                name: stringify!($name),
                group: $group,
                setup: scenarios!(@setup $($setup)?),
                run: |stage| Box::pin($name(stage)),
            }),*]
        }
    };
}
pub(crate) use scenarios;
