//! Why a step that could run is held back by a limit: of itself by key, of its capability or system, or by an operator; and how many go before it.

use super::Shard;
use super::resident::Resident;
use super::why::{Told, short};
use crate::operations::Hold;
use tasker_engine::StepIndex;
use tasker_engine::flow::{Priority, step_keys};
use tasker_engine::workflow::Call;
use tasker_scheduler::Target;
use tasker_scheduler::gates::{Allowed, GateId, GateView};

/// The most tasks that are named as being at work.
const NAMED_MAX: usize = 3;

impl Shard {
    /// What is told if a limit holds the step back.
    pub(super) fn why_limited(&self, resident: &Resident, step: StepIndex, call: &Call) -> Option<Told> {
        if let Some((gate, _)) = self.gate_before(resident, step) {
            let view = self.scheduler.gate(gate, self.uptime())?;
            return Some(self.told_of_gate(gate, &view));
        }
        let namespace = resident.task.workflow.namespace.clone();
        let target = Target { namespace, system: call.system.clone(), capability: call.capability.clone() };
        let view = self.scheduler.queue(&target, self.uptime())?;
        let (name, system) = (&call.capability, &call.system);
        let limit = format!("`tasker queue limit {system} {name}` changes it");
        Some(match view.hold? {
            Hold::Paused => (
                format!("the queue of `{name}` of system `{system}` is paused by an operator"),
                Some(format!("`tasker queue resume {system} {name}`")),
            ),
            Hold::Full { open, limit: most } => {
                (format!("bulkhead of capability `{name}`: {open} of {most} attempts are open over the whole fleet"), Some(limit))
            }
            Hold::Rate { rate, of_system, next_at } => {
                let whose = if of_system { format!("system `{system}`") } else { format!("capability `{name}`") };
                let next = short(next_at.saturating_sub(self.uptime()));
                (format!("rate limit of {rate} on {whose}: next token in {next}"), Some(limit).filter(|_| !of_system))
            }
        })
    }

    /// How many go before a step where it waits, for people, with its priority if it has one.
    pub(super) fn place_of(&self, resident: &Resident, step: StepIndex) -> String {
        let id = resident.task.id;
        let in_lane = || self.lane_of(resident, step).and_then(|lane| self.scheduler.position(lane, id, step));
        let ahead = self.gate_before(resident, step).map(|(_, ahead)| ahead).or_else(in_lane).unwrap_or(0);
        match resident.task.submission.priority {
            priority if priority == Priority::default() => format!("{ahead} steps are ahead"),
            priority => format!("priority {priority}, {ahead} steps are ahead"),
        }
    }

    /// The gate in whose line the step stands, and how many stand before it.
    fn gate_before(&self, resident: &Resident, step: StepIndex) -> Option<(GateId, usize)> {
        let rules = resident.lanes.rules(resident.task.node(step));
        if rules == [None; 2] {
            return None;
        }
        let (at_once, fast) = step_keys(&resident.task, step);
        [(rules[0], at_once), (rules[1], fast)].into_iter().find_map(|(rule, key)| {
            let gate = self.scheduler.find_gate(rule?, &key?)?;
            Some((gate, self.scheduler.position_at(gate, resident.task.id, step)?))
        })
    }

    fn told_of_gate(&self, gate: GateId, view: &GateView<'_>) -> Told {
        let step = &view.rule.step;
        let key = if view.key.is_empty() { format!("step `{step}`") } else { format!("key `{}` of step `{step}`", view.key) };
        match view.allowed {
            Some(Allowed::AtOnce(limit)) => {
                let holders = self.passed.tasks_of(gate, &self.attempts);
                let named: Vec<String> = holders.iter().take(NAMED_MAX).map(ToString::to_string).collect();
                let more = holders.len().saturating_sub(NAMED_MAX);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let text = format!("concurrency {key}: {} of {limit} running: {}{more}", view.held, named.join(", "));
                (text, Some("it starts when one of them ends; `concurrency.limit` of the step says how many may run at once".to_owned()))
            }
            Some(Allowed::Rate(rate)) => {
                let next = view.next_at.map(|at| short(at.saturating_sub(self.uptime()))).unwrap_or_default();
                (format!("rate limit of {rate} on {key}: next token in {next}"), None)
            }
            None => (format!("comes from the line of {key}, which is not limited any more"), None),
        }
    }
}
