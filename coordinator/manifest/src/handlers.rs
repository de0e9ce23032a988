//! Handler steps: who names them, and what a step that runs only for another may not say.

use crate::codes::{self, Code};
use crate::fields::short;
use crate::graph::Graph;
use crate::kind::Kind;
use crate::reactions::How;
use crate::report::{Place, Problem, Report};
use crate::steps::StepDraft;
use crate::suggest::nearest;
use tasker_engine::ids::StepIndex;
use tasker_engine::workflow::Role;

/// Which steps are handlers, by place in the manifest.
pub(crate) struct Handlers {
    /// The role of every step.
    pub roles: Vec<Role>,
    /// The steps of the workflow's `on_failure`.
    pub on_failure: Vec<usize>,
}

/// The longest chain of handlers that run for each other.
pub(crate) const CHAIN_MAX: usize = 16;

/// One naming of a handler.
struct Claim {
    handler: usize,
    role: Role,
    place: Place,
}

impl Handlers {
    /// Resolves every name of a handler and reports what a handler may not be or have.
    pub fn find(steps: &[StepDraft], on_failure: &[(String, Place)], graph: &Graph, report: &mut Report<'_>) -> Self {
        let claims = claims(steps, on_failure, graph, report);
        let mut roles = vec![Role::Forward; steps.len()];
        let mut handlers = Vec::new();
        for claim in claims {
            let before = roles[claim.handler];
            if before == Role::Forward {
                roles[claim.handler] = claim.role;
                handlers.push(claim.handler);
            } else if before != claim.role || claim.role == Role::OnFailure {
                let name = steps[claim.handler].shown();
                let message = format!("`{name}` is named as a handler twice: {}, and {}", says(before, steps), says(claim.role, steps));
                let problem = Problem::new(&codes::SHARED_HANDLER, claim.place, message);
                report.add(problem.hint("a handler runs for one step and once; write a second step for the second purpose"));
            }
        }
        let on_failure = handlers.iter().copied().filter(|handler| roles[*handler] == Role::OnFailure).collect();
        let found = Self { roles, on_failure };
        let circles = found.check_circles(steps, &handlers, report);
        for &handler in &handlers {
            if !circles {
                found.check_chain(handler, steps, report);
            }
            found.check_handler(handler, steps, graph, report);
        }
        if !steps.is_empty() && handlers.len() == steps.len() {
            let message = "every step is a handler, so none would ever begin";
            let problem = Problem::new(&codes::ONLY_HANDLERS, steps[0].place, message);
            report.add(problem.hint("add a step that no `compensate`, `fallback` or `on_failure` names"));
        }
        found.check_dependants(steps, graph, report);
        found
    }

    /// The role that decides for a fallback: that of the step at the beginning of its chain.
    pub fn root(&self, step: usize) -> Role {
        let mut role = self.roles[step];
        // Longer chains, and circles, are reported; the count ends the walk there.
        for _ in 0..CHAIN_MAX {
            match role {
                Role::Fallback { of } => match self.roles[of.at()] {
                    Role::Forward => return role,
                    outer => role = outer,
                },
                Role::Forward | Role::Compensation { .. } | Role::OnFailure => return role,
            }
        }
        role
    }

    /// Reports handlers of handlers of handlers, further than anybody can follow.
    fn check_chain(&self, handler: usize, steps: &[StepDraft], report: &mut Report<'_>) {
        let chain = std::iter::successors(Some(handler), |here| owner(self.roles[*here]));
        if chain.take(CHAIN_MAX + 2).count() == CHAIN_MAX + 2 {
            let message = format!("`{}` is the handler of a handler, and so on, more than {CHAIN_MAX} times", steps[handler].shown());
            let problem = Problem::new(&codes::OUT_OF_RANGE, steps[handler].place, message);
            report.add(problem.hint("let a child task try one way after the other"));
        }
    }

    /// Reports handlers whose owners, followed upwards, lead back to themselves: none of them would ever run. Says whether there are any.
    fn check_circles(&self, steps: &[StepDraft], handlers: &[usize], report: &mut Report<'_>) -> bool {
        let mut seen = vec![false; steps.len()];
        let mut any = false;
        for &first in handlers {
            let (mut here, mut trail) = (first, Vec::new());
            while !std::mem::replace(&mut seen[here], true) {
                trail.push(here);
                match owner(self.roles[here]) {
                    Some(owner) => here = owner,
                    None => break,
                }
            }
            // A walk that ended at a step of its own trail, which has an owner, went round.
            let start = trail.iter().position(|place| *place == here && owner(self.roles[here]).is_some());
            let Some(start) = start.filter(|_| trail.last().and_then(|last| owner(self.roles[*last])) == Some(here)) else { continue };
            any = true;
            let circle: Vec<String> =
                trail[start..].iter().chain([&here]).take(CHAIN_MAX).map(|place| format!("`{}`", steps[*place].shown())).collect();
            let message = format!("these steps handle each other, so none of them would ever run: {}", circle.join(" → "));
            let place = trail[start..].iter().min().map_or(steps[here].place, |first| steps[*first].place);
            report.add(Problem::new(&codes::HANDLER_CYCLE, place, message).hint("each arrow reads “runs for”; remove one of them"));
        }
        any
    }

    /// Reports what a handler may not have.
    fn check_handler(&self, handler: usize, steps: &[StepDraft], graph: &Graph, report: &mut Report<'_>) {
        let step = &steps[handler];
        let (name, why) = (step.shown(), says(self.roles[handler], steps));
        if let Some(place) = step.depends_on_place.filter(|_| !step.depends_on.is_empty()) {
            let message = format!("`{name}` has dependencies, but it is a handler: {why}");
            report.add(Problem::new(&codes::HANDLER_DEPENDS, place, message).hint("remove `depends_on`; it runs when it is needed"));
        }
        if let Some(join) = step.join.filter(|_| step.depends_on.is_empty()) {
            let message = format!("`{name}` joins dependencies, but it is a handler, which has none: {why}");
            report.add(Problem::new(&codes::HANDLER_DEPENDS, join.place, message).hint("remove `join`"));
        }
        for (_, _, place) in &graph.branches[handler] {
            let message = format!("a branch names `{name}`, but it is a handler: {why}");
            report.add(Problem::new(&codes::DEPENDS_ON_HANDLER, *place, message).hint("name a step that runs by itself"));
        }
        if step.kind == Some(Kind::Switch) {
            let message = format!("`{name}` is a switch, but it is a handler: {why}");
            let problem = Problem::new(&codes::HANDLER_KIND, step.place, message);
            report.add(problem.hint("a handler does one thing; give it a `when`, or start a child task that decides"));
        }
        let word = match self.root(handler) {
            Role::Compensation { .. } => "compensation",
            Role::OnFailure => "an on_failure step",
            Role::Forward | Role::Fallback { .. } => return,
        };
        if let Some((_, place)) = &step.compensate {
            let message = format!("`{name}` is {word}, so nothing undoes it");
            let problem = Problem::new(&codes::COMPENSATED_HANDLER, *place, message);
            report.add(problem.hint("remove `compensate`; say by `on_exhausted` what follows if it fails"));
        }
        for then in step.reactions.thens().filter(|then| matches!(then.how, How::Compensate | How::Fail)) {
            let message = format!("`{name}` is {word}, which cannot `{}`: the task is ending already", then.how.word());
            let problem = Problem::new(&codes::HANDLER_REACTION, then.place, message);
            report.add(problem.hint("write `wait`, so that a person looks at it, or `continue`, so that the task ends without it"));
        }
    }

    /// Reports steps that wait for a handler, which may never run.
    fn check_dependants(&self, steps: &[StepDraft], graph: &Graph, report: &mut Report<'_>) {
        for step in steps {
            for (name, place) in &step.depends_on {
                let Some(found) = graph.find(name).filter(|found| self.roles[*found] != Role::Forward) else { continue };
                let message = format!("`{}` depends on `{name}`, which is a handler: {}", step.shown(), says(self.roles[found], steps));
                let hint = match owner(self.roles[found]) {
                    Some(owner) => format!("depend on `{}` instead", steps[owner].shown()),
                    None => "remove the dependency".into(),
                };
                report.add(Problem::new(&codes::DEPENDS_ON_HANDLER, *place, message).hint(hint));
            }
        }
    }
}

/// The step for which a handler runs; none for forward and on_failure steps.
pub(crate) fn owner(role: Role) -> Option<usize> {
    match role {
        Role::Compensation { of } | Role::Fallback { of } => Some(of.at()),
        Role::Forward | Role::OnFailure => None,
    }
}

fn says(role: Role, steps: &[StepDraft]) -> String {
    match role {
        Role::Forward => "it runs by itself".into(),
        Role::Compensation { of } => format!("it undoes `{}`", steps[of.at()].shown()),
        Role::Fallback { of } => format!("it takes over for `{}`", steps[of.at()].shown()),
        Role::OnFailure => "it runs when the task fails".into(),
    }
}

fn claims(steps: &[StepDraft], on_failure: &[(String, Place)], graph: &Graph, report: &mut Report<'_>) -> Vec<Claim> {
    let mut claims = Vec::new();
    for (place, step) in steps.iter().enumerate() {
        let of = StepIndex(place as u32);
        let undo = step.compensate.iter().map(|(name, at)| (name, *at, Role::Compensation { of }));
        let fallbacks = step.reactions.thens().filter_map(|then| match &then.how {
            How::Fallback(name) => Some((name, then.place, Role::Fallback { of })),
            How::Compensate | How::Fail | How::Continue | How::Wait => None,
        });
        for (name, at, role) in undo.chain(fallbacks) {
            let Some(handler) = resolve(name, at, graph, report) else { continue };
            if handler == place {
                add(&codes::SELF_HANDLER, at, format!("step `{name}` is named as its own handler"), "name another step", report);
                continue;
            }
            claims.push(Claim { handler, role, place: at });
        }
    }
    for (name, at) in on_failure {
        if let Some(handler) = resolve(name, *at, graph, report) {
            claims.push(Claim { handler, role: Role::OnFailure, place: *at });
        }
    }
    claims
}

fn resolve(name: &str, place: Place, graph: &Graph, report: &mut Report<'_>) -> Option<usize> {
    let found = graph.find(name);
    if found.is_none() {
        let close = nearest(report, name, graph.names());
        let problem = Problem::new(&codes::UNKNOWN_HANDLER, place, format!("no step is called `{}`", short(name)));
        report.add(problem.hint("a handler is a step of the same workflow").nearest(close));
    }
    found
}

fn add(code: &'static Code, place: Place, message: String, hint: &str, report: &mut Report<'_>) {
    report.add(Problem::new(code, place, message).hint(hint));
}
