//! What depends on what: unknown names, circles, and which steps have certainly finished before another begins.

use crate::codes;
use crate::fields::short;
use crate::report::{Place, Problem, Report};
use crate::steps::StepDraft;
use crate::suggest::nearest;
use std::collections::{BTreeSet, HashMap, HashSet};

/// The most steps named in the message about one circle.
const CIRCLE_SHOWN_MAX: usize = 50;

/// The dependencies of every step, by place in the manifest.
pub(crate) struct Graph {
    /// Sorted, without repeats; the switches of a step's branches are among them.
    pub depends_on: Vec<BTreeSet<usize>>,
    /// The branches of switches in which each step runs: switch, case, and where it is named.
    pub branches: Vec<Vec<(usize, u32, Place)>>,
    /// Each step after all it depends on; absent if there is a circle.
    order: Option<Vec<usize>>,
    by_name: HashMap<String, usize>,
}

impl Graph {
    /// Resolves names and looks for circles.
    pub fn build(steps: &[StepDraft], report: &mut Report<'_>) -> Self {
        let by_name = names(steps, report);
        let mut depends_on: Vec<BTreeSet<usize>> =
            steps.iter().enumerate().map(|(place, step)| resolve(place, step, &by_name, report)).collect();
        let branches = branches(steps, &by_name, &mut depends_on, report);
        let mut graph = Self { depends_on, branches, order: None, by_name };
        graph.order = graph.sort(steps, report);
        graph
    }

    pub fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// Kahn's algorithm: takes steps whose dependencies are all taken; what can never be taken is in or behind a circle.
    fn sort(&self, steps: &[StepDraft], report: &mut Report<'_>) -> Option<Vec<usize>> {
        let mut successors = vec![Vec::new(); steps.len()];
        let mut open: Vec<usize> = self.depends_on.iter().map(BTreeSet::len).collect();
        for (place, dependencies) in self.depends_on.iter().enumerate() {
            dependencies.iter().for_each(|dependency| successors[*dependency].push(place));
        }
        let mut order: Vec<usize> = (0..steps.len()).filter(|place| open[*place] == 0).collect();
        let mut taken = 0;
        while let Some(&place) = order.get(taken) {
            taken += 1;
            for &successor in &successors[place] {
                open[successor] -= 1;
                if open[successor] == 0 {
                    order.push(successor);
                }
            }
        }
        if order.len() == steps.len() {
            return Some(order);
        }
        let left: Vec<bool> = open.iter().map(|open| *open > 0).collect();
        self.report_circles(steps, &successors, &left, report);
        None
    }

    /// Reports one circle in each group of steps that all wait for each other. Linear in steps and dependencies.
    fn report_circles(&self, steps: &[StepDraft], successors: &[Vec<usize>], left: &[bool], report: &mut Report<'_>) {
        for group in self.groups(successors, left) {
            let Some(first) = group.iter().copied().min().filter(|_| group.len() > 1) else { continue };
            let members: HashSet<usize> = group.into_iter().collect();
            let (mut trail, mut at) = (Vec::new(), HashMap::new());
            let mut here = first;
            // Every member depends on a member, so the walk always meets itself again.
            while !at.contains_key(&here) {
                at.insert(here, trail.len());
                trail.push(here);
                match self.depends_on[here].iter().find(|dependency| members.contains(dependency)) {
                    Some(next) => here = *next,
                    None => break,
                }
            }
            self.report_circle(steps, &trail[at.get(&here).copied().unwrap_or(0)..], report);
        }
    }

    /// The strongly connected groups among what is left, by Kosaraju's two passes.
    fn groups(&self, successors: &[Vec<usize>], left: &[bool]) -> Vec<Vec<usize>> {
        let mut seen: Vec<bool> = left.iter().map(|left| !left).collect();
        let mut finished = Vec::new();
        for first in 0..left.len() {
            if std::mem::replace(&mut seen[first], true) {
                continue;
            }
            let mut trail = vec![(first, self.depends_on[first].iter())];
            while let Some((place, open)) = trail.last_mut() {
                match open.next() {
                    Some(&next) if !std::mem::replace(&mut seen[next], true) => trail.push((next, self.depends_on[next].iter())),
                    Some(_) => {}
                    None => {
                        finished.push(*place);
                        trail.pop();
                    }
                }
            }
        }
        let mut seen: Vec<bool> = left.iter().map(|left| !left).collect();
        let mut groups = Vec::new();
        for &first in finished.iter().rev() {
            if std::mem::replace(&mut seen[first], true) {
                continue;
            }
            let (mut group, mut at) = (vec![first], 0);
            while let Some(&place) = group.get(at) {
                at += 1;
                for &next in &successors[place] {
                    if !std::mem::replace(&mut seen[next], true) {
                        group.push(next);
                    }
                }
            }
            groups.push(group);
        }
        groups
    }

    /// Names a circle in the order in which its steps would have to run, starting with the one that comes first in the file.
    fn report_circle(&self, steps: &[StepDraft], circle: &[usize], report: &mut Report<'_>) {
        let first = circle.iter().enumerate().min_by_key(|(_, place)| **place).map_or(0, |(at, _)| at);
        let mut around: Vec<usize> = circle[first..].iter().chain(&circle[..first]).copied().collect();
        around.push(around[0]);
        let shown: Vec<String> = around.iter().take(CIRCLE_SHOWN_MAX).map(|place| format!("`{}`", steps[*place].shown())).collect();
        let rest = if around.len() > shown.len() { format!(" → … ({} steps in all)", circle.len()) } else { String::new() };
        let message = format!("these steps wait for each other: {}{rest}", shown.join(" → "));
        let (head, next) = (around[0], around[1]);
        let written = steps[head].depends_on.iter().find(|(written, _)| written == steps[next].shown()).map(|(_, place)| *place);
        let named = self.branches[head].iter().find(|(switch, ..)| *switch == next).map(|(_, _, place)| *place);
        let branched = around.windows(2).any(|pair| self.branches[pair[0]].iter().any(|(switch, ..)| *switch == pair[1]));
        let hint = match branched {
            true => "each arrow reads “depends on”; a step in a branch depends on its switch; remove one of them",
            false => "each arrow reads “depends on”; remove one of them",
        };
        let place = written.or(named).unwrap_or(steps[head].place);
        report.add(Problem::new(&codes::CYCLE, place, message).hint(hint));
    }

    /// Which steps come before each one; absent if there is a circle.
    ///
    /// One bit for each pair: ten thousand steps take 12 MB and one pass over the dependencies.
    pub fn ancestors(&self) -> Option<Ancestors> {
        let order = self.order.as_ref()?;
        let words = self.depends_on.len().div_ceil(64);
        let mut bits = vec![0u64; words * self.depends_on.len()];
        for &place in order {
            for &dependency in &self.depends_on[place] {
                let (from, to) = (dependency * words, place * words);
                for word in 0..words {
                    bits[to + word] |= bits[from + word];
                }
                bits[to + dependency / 64] |= 1 << (dependency % 64);
            }
        }
        Some(Ancestors { words, bits })
    }
}

/// The transitive dependencies of every step.
pub(crate) struct Ancestors {
    words: usize,
    bits: Vec<u64>,
}

impl Ancestors {
    pub fn contain(&self, step: usize, ancestor: usize) -> bool {
        self.bits[step * self.words + ancestor / 64] & (1 << (ancestor % 64)) != 0
    }
}

fn names(steps: &[StepDraft], report: &mut Report<'_>) -> HashMap<String, usize> {
    let mut by_name: HashMap<String, usize> = HashMap::with_capacity(steps.len());
    for (place, step) in steps.iter().enumerate() {
        let Some(name) = &step.name else { continue };
        if let Some(first) = by_name.get(name.as_str()) {
            let line = steps[*first].place.line;
            let problem = Problem::new(&codes::DUPLICATE_STEP, step.place, format!("a second step is called `{name}`"));
            report.add(problem.hint(format!("the first is in line {line}; give one of them another name")));
            continue;
        }
        by_name.insert(name.to_string(), place);
    }
    by_name
}

fn resolve(place: usize, step: &StepDraft, by_name: &HashMap<String, usize>, report: &mut Report<'_>) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    for (name, at) in &step.depends_on {
        match by_name.get(name) {
            // Another step may have the same name; that is reported already, and is not a circle.
            Some(dependency) if *dependency == place => {
                let problem = Problem::new(&codes::SELF_DEPENDENCY, *at, format!("step `{name}` depends on itself"));
                report.add(problem.hint("it would never start; remove the dependency"));
            }
            Some(dependency) => {
                if !found.insert(*dependency) {
                    let problem = Problem::new(&codes::DUPLICATE_DEPENDENCY, *at, format!("`{name}` is named twice"));
                    report.add(problem.hint("remove one of the two"));
                }
            }
            None => {
                let close = nearest(report, name, by_name.keys().map(String::as_str));
                let problem = Problem::new(&codes::UNKNOWN_DEPENDENCY, *at, format!("no step is called `{}`", short(name)));
                report.add(problem.hint("a step can only depend on steps of the same workflow").nearest(close));
            }
        }
    }
    found
}

/// Adds to each step the switches in whose branches it is named.
fn branches(
    steps: &[StepDraft],
    by_name: &HashMap<String, usize>,
    depends_on: &mut [BTreeSet<usize>],
    report: &mut Report<'_>,
) -> Vec<Vec<(usize, u32, Place)>> {
    let mut branches = vec![Vec::new(); steps.len()];
    for (switch, step) in steps.iter().enumerate() {
        let Some(written) = step.switch() else { continue };
        for (case, named) in written.branches.iter().enumerate() {
            let case = case as u32;
            for (name, at) in named {
                let Some(&found) = by_name.get(name) else {
                    let close = nearest(report, name, by_name.keys().map(String::as_str));
                    let problem = Problem::new(&codes::UNKNOWN_DEPENDENCY, *at, format!("no step is called `{}`", short(name)));
                    report.add(problem.hint("a branch names steps of the same workflow").nearest(close));
                    continue;
                };
                if found == switch {
                    let problem = Problem::new(&codes::SELF_DEPENDENCY, *at, format!("switch `{name}` is in its own branch"));
                    report.add(problem.hint("it would never start; name another step"));
                    continue;
                }
                // The branches are visited in order, so a repeat within one case is the last one.
                if branches[found].last().is_some_and(|(other, before, _)| (*other, *before) == (switch, case)) {
                    let problem = Problem::new(&codes::DUPLICATE_DEPENDENCY, *at, format!("`{name}` is named twice in one case"));
                    report.add(problem.hint("remove one of the two"));
                    continue;
                }
                branches[found].push((switch, case, *at));
                depends_on[found].insert(switch);
            }
        }
    }
    branches
}
