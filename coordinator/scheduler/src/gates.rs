//! Limits of single steps by key: how many attempts at once, and how fast.
//!
//! A step that may not start because its key is used up does not stand in the way of others: it is put aside into the line of its gate, and comes
//! back into its lane, at the place it would have had, when its turn at the gate has come: because an attempt of the same key ended, or because a token is
//! due. Whoever comes back has no right to start, only another look; if it no longer wants to, the next in the line comes.
//!
//! What holds at every moment: if somebody stands in the line of a gate, the gate is used up, or somebody who came from the line is on the way to try.
//!
//! A gate exists while somebody needs it: in line, at work, on the way, or as a bucket that is not full again. Of the latter there are at most
//! [`IDLE_MAX`]; keys beyond share one bucket of their rule, which is stricter than asked and never laxer.

use crate::backlog::{LaneId, Ticket};
use crate::bucket::Bucket;
use crate::queue::Rank;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::flow::Rate;
use tasker_engine::{Namespace, StepName, WorkflowName};

/// The most buckets that are kept only because they are not full again: about 20 MB.
pub const IDLE_MAX: usize = 100_000;

/// The key of the bucket that keys share once there are too many.
const SHARED_KEY: &str = "(keys beyond the limit)";

/// Which step a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleName {
    /// The tenant.
    pub namespace: Namespace,
    /// Its workflow.
    pub workflow: WorkflowName,
    /// The step.
    pub step: StepName,
    /// Whether it is about how fast, not about how many at once.
    pub is_rate: bool,
}

/// A small number that stands for a [`RuleName`], given out once per process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(u32);

/// A small number that stands for a gate while it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GateId(u32);

/// What a rule allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// So many attempts at once.
    AtOnce(u32),
    /// So many per time.
    Rate(Rate),
}

/// A gate as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateView<'g> {
    /// Of which step.
    pub rule: &'g RuleName,
    /// Which key.
    pub key: &'g str,
    /// What is allowed; none if the rule was withdrawn.
    pub allowed: Option<Allowed>,
    /// How many attempts are at work.
    pub held: u32,
    /// How many stand in line.
    pub waiting: usize,
    /// When the next token is due, of a gate with a rate.
    pub next_at: Option<Duration>,
}

#[derive(Debug)]
struct Rule {
    name: RuleName,
    allowed: Option<Allowed>,
    /// In the order of keys, so that whoever is let go together goes in the same order everywhere.
    gates: BTreeMap<Arc<str>, GateId>,
}

#[derive(Debug)]
struct Gate {
    rule: RuleId,
    key: Arc<str>,
    /// Who refers to it: tickets in lanes and lines, and attempts at work.
    users: u32,
    held: u32,
    bucket: Option<Bucket>,
    line: BTreeMap<Rank, (LaneId, Ticket)>,
    /// When it is looked at because a token is due.
    due: Option<Duration>,
    /// Until when it is kept although nobody refers to it.
    idle_until: Option<Duration>,
}

/// Every rule and gate.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    rules: Vec<Rule>,
    by_name: HashMap<RuleName, RuleId>,
    gates: Vec<Option<Gate>>,
    unused: Vec<u32>,
    due: BinaryHeap<Reverse<(Duration, GateId)>>,
    idle: BTreeSet<(Duration, GateId)>,
    /// How many stand in lines.
    in_line: usize,
    /// Whether attempts may have started shortly before the coordinator did, so that a bucket nobody knows begins empty at that time.
    pub cold: bool,
}

impl Gates {
    /// The number of a rule; known from now on, and allowing everything until [`Self::set`] says otherwise.
    pub fn rule(&mut self, name: &RuleName) -> RuleId {
        if let Some(id) = self.by_name.get(name) {
            return *id;
        }
        let id = RuleId(self.rules.len() as u32);
        self.rules.push(Rule { name: name.clone(), allowed: None, gates: BTreeMap::new() });
        self.by_name.insert(name.clone(), id);
        id
    }

    /// What a rule allows from now on. Answers with those in line that may try again.
    pub fn set(&mut self, rule: RuleId, allowed: Option<Allowed>, now: Duration) -> Vec<(LaneId, Ticket)> {
        let known = &mut self.rules[rule.0 as usize];
        if known.allowed == allowed {
            return Vec::new();
        }
        known.allowed = allowed;
        let gates: Vec<GateId> = known.gates.values().copied().collect();
        let mut freed = Vec::new();
        for id in gates {
            let Some(gate) = self.gates[id.0 as usize].as_mut() else { continue };
            match (allowed, &mut gate.bucket) {
                (Some(Allowed::Rate(rate)), Some(bucket)) => bucket.set_rate(rate, now),
                (Some(Allowed::Rate(rate)), none) => *none = Some(Bucket::empty(rate, now)),
                (Some(Allowed::AtOnce(_)) | None, bucket) => *bucket = None,
            }
            let room = match allowed {
                None => usize::MAX,
                Some(Allowed::AtOnce(limit)) => limit.saturating_sub(gate.held) as usize,
                Some(Allowed::Rate(_)) => gate.bucket.as_ref().map_or(0, |bucket| bucket.tokens(now)) as usize,
            };
            for _ in 0..room {
                let Some((_, first)) = gate.line.pop_first() else { break };
                self.in_line -= 1;
                freed.push(first);
            }
            gate.due = None;
            self.expect(id, now);
        }
        freed
    }

    /// The gate of a key, which the caller refers to from now on.
    pub fn enter(&mut self, rule: RuleId, key: &str, now: Duration) -> GateId {
        self.forget_idle(now);
        let known = &self.rules[rule.0 as usize];
        let shared = self.idle.len() >= IDLE_MAX && known.name.is_rate && !known.gates.contains_key(key);
        let key = if shared { SHARED_KEY } else { key };
        let id = match known.gates.get(key) {
            Some(id) => *id,
            None => self.open(rule, key, now),
        };
        let gate = self.gates[id.0 as usize].as_mut().expect("a rule names only gates that exist");
        gate.users += 1;
        if let Some(until) = gate.idle_until.take() {
            self.idle.remove(&(until, id));
        }
        id
    }

    fn open(&mut self, rule: RuleId, key: &str, now: Duration) -> GateId {
        let id = match self.unused.pop() {
            Some(number) => GateId(number),
            None => {
                self.gates.push(None);
                GateId(self.gates.len() as u32 - 1)
            }
        };
        let known = &mut self.rules[rule.0 as usize];
        let key: Arc<str> = key.into();
        known.gates.insert(key.clone(), id);
        let bucket = match known.allowed {
            Some(Allowed::Rate(rate)) if self.cold => Some(Bucket::empty(rate, Duration::ZERO)),
            Some(Allowed::Rate(rate)) => Some(Bucket::full(rate, now)),
            Some(Allowed::AtOnce(_)) | None => None,
        };
        let gate = Gate { rule, key, users: 0, held: 0, bucket, line: BTreeMap::new(), due: None, idle_until: None };
        self.gates[id.0 as usize] = Some(gate);
        id
    }

    /// Somebody does not refer to a gate any more.
    pub fn leave(&mut self, id: GateId, now: Duration) {
        let Some(gate) = self.gates[id.0 as usize].as_mut() else { return };
        gate.users = gate.users.saturating_sub(1);
        if gate.users > 0 {
            return;
        }
        match gate.bucket.as_ref().map(|bucket| bucket.full_at(now)).filter(|full| *full > now) {
            Some(full) => {
                gate.idle_until = Some(full);
                self.idle.insert((full, id));
            }
            None => self.close(id),
        }
    }

    fn close(&mut self, id: GateId) {
        if let Some(gate) = self.gates[id.0 as usize].take() {
            self.rules[gate.rule.0 as usize].gates.remove(&gate.key);
            self.unused.push(id.0);
        }
    }

    fn forget_idle(&mut self, now: Duration) {
        while let Some((full, id)) = self.idle.first().copied().filter(|(full, _)| *full <= now) {
            self.idle.remove(&(full, id));
            self.close(id);
        }
    }

    /// Whether an attempt may start through the gate now.
    pub fn admits(&self, id: GateId, now: Duration) -> bool {
        let Some(gate) = &self.gates[id.0 as usize] else { return true };
        match self.rules[gate.rule.0 as usize].allowed {
            None => true,
            Some(Allowed::AtOnce(limit)) => gate.held < limit,
            Some(Allowed::Rate(_)) => gate.bucket.as_ref().is_none_or(|bucket| bucket.tokens(now) > 0),
        }
    }

    /// An attempt starts through the gate, which admits it, or started before the coordinator did.
    pub fn begin(&mut self, id: GateId, now: Duration) {
        let Some(gate) = self.gates[id.0 as usize].as_mut() else { return };
        gate.held += 1;
        if let Some(bucket) = &mut gate.bucket {
            bucket.take(now);
        }
    }

    /// An attempt ends, or, if it was `unused`, never started. Answers with the one in line that may try now.
    pub fn end(&mut self, id: GateId, unused: bool, now: Duration) -> Option<(LaneId, Ticket)> {
        let gate = self.gates[id.0 as usize].as_mut()?;
        gate.held = gate.held.saturating_sub(1);
        if let (true, Some(bucket)) = (unused, &mut gate.bucket) {
            bucket.give_back();
        }
        self.next(id, now)
    }

    /// Who may try now, of those in the line of a gate that admits somebody.
    pub fn next(&mut self, id: GateId, now: Duration) -> Option<(LaneId, Ticket)> {
        if !self.admits(id, now) {
            self.expect(id, now);
            return None;
        }
        let gate = self.gates[id.0 as usize].as_mut()?;
        let (_, first) = gate.line.pop_first()?;
        self.in_line -= 1;
        Some(first)
    }

    /// Puts a ticket into the line of a gate that does not admit it.
    pub fn line_up(&mut self, id: GateId, lane: LaneId, ticket: Ticket, now: Duration) {
        if let Some(gate) = self.gates[id.0 as usize].as_mut() {
            gate.line.insert(ticket.rank, (lane, ticket));
            self.in_line += 1;
            self.expect(id, now);
        }
    }

    /// Looks at a gate again when its next token is due, if somebody stands in its line.
    fn expect(&mut self, id: GateId, now: Duration) {
        let Some(gate) = self.gates[id.0 as usize].as_mut() else { return };
        if gate.due.is_none()
            && !gate.line.is_empty()
            && let Some(bucket) = &gate.bucket
        {
            let due = bucket.next_at(now);
            gate.due = Some(due);
            self.due.push(Reverse((due, id)));
        }
    }

    /// Those in line for whom a token is there now.
    pub fn due(&mut self, now: Duration) -> Vec<(LaneId, Ticket)> {
        let mut freed = Vec::new();
        while let Some(Reverse((at, id))) = self.due.peek().copied().filter(|Reverse((at, _))| *at <= now) {
            self.due.pop();
            let Some(gate) = self.gates[id.0 as usize].as_mut().filter(|gate| gate.due == Some(at)) else { continue };
            gate.due = None;
            let tokens = gate.bucket.as_ref().map_or(0, |bucket| bucket.tokens(now));
            for _ in 0..tokens {
                let Some((_, first)) = gate.line.pop_first() else { break };
                self.in_line -= 1;
                freed.push(first);
            }
            self.expect_later(id, now);
        }
        freed
    }

    /// Like [`Self::expect`], of a gate whose tokens are spoken for by those that were let go just now.
    fn expect_later(&mut self, id: GateId, now: Duration) {
        let Some(gate) = self.gates[id.0 as usize].as_mut() else { return };
        if gate.line.is_empty() {
            return;
        }
        let Some(bucket) = &gate.bucket else { return };
        let mut spent = bucket.clone();
        while spent.take(now) {}
        let due = spent.next_at(now);
        gate.due = Some(due);
        self.due.push(Reverse((due, id)));
    }

    /// When the next token is due that somebody waits for.
    pub fn next_due(&self) -> Option<Duration> {
        self.due.peek().map(|Reverse((at, _))| *at)
    }

    /// How many stand in lines.
    pub fn in_line(&self) -> usize {
        self.in_line
    }

    /// How many gates there are.
    pub fn len(&self) -> usize {
        self.gates.len() - self.unused.len()
    }

    pub fn view(&self, id: GateId, now: Duration) -> Option<GateView<'_>> {
        let gate = self.gates.get(id.0 as usize)?.as_ref()?;
        let rule = &self.rules[gate.rule.0 as usize];
        Some(GateView {
            rule: &rule.name,
            key: &gate.key,
            allowed: rule.allowed,
            held: gate.held,
            waiting: gate.line.len(),
            next_at: gate.bucket.as_ref().map(|bucket| bucket.next_at(now)),
        })
    }

    /// The gate with a key, if there is one.
    pub fn find(&self, rule: RuleId, key: &str) -> Option<GateId> {
        let gates = &self.rules[rule.0 as usize].gates;
        gates.get(key).or_else(|| gates.get(SHARED_KEY)).copied()
    }

    /// How many stand before a ticket in the line of a gate; none if it does not stand there.
    pub fn position(&self, id: GateId, is_it: impl Fn(&Ticket) -> bool) -> Option<usize> {
        self.gates.get(id.0 as usize)?.as_ref()?.line.values().position(|(_, ticket)| is_it(ticket))
    }

    /// Everybody in line, in no order.
    pub fn waiting(&self) -> impl Iterator<Item = &(LaneId, Ticket)> {
        self.gates.iter().flatten().flat_map(|gate| gate.line.values())
    }
}
