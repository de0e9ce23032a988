//! Every fact, one file per group.

mod beats;
mod cancellation;
mod context;
mod credit;
mod drain;
mod outcomes;
mod reconnect;
mod replies;
mod robustness;
mod session;
mod traces;

use crate::scenario::Scenario;

/// All scenarios in the order in which they are reported.
pub fn all() -> Vec<Scenario> {
    [
        session::scenarios(),
        credit::scenarios(),
        outcomes::scenarios(),
        replies::scenarios(),
        cancellation::scenarios(),
        beats::scenarios(),
        context::scenarios(),
        traces::scenarios(),
        drain::scenarios(),
        reconnect::scenarios(),
        robustness::scenarios(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn every_scenario_has_a_name_of_its_own() {
        let scenarios = super::all();
        let names: HashSet<_> = scenarios.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), scenarios.len());
        assert!(names.len() >= 35);
    }
}
