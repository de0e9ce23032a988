//! Counting what happens, as it happens. The loop is one thread, so a count is a plain number in a table that is found by a lane's or a
//! workflow's number: tens of nanoseconds a step, whatever the labels say. Names become text only when somebody asks ([`Counters::read`]).
//!
//! Series are capped at [`SERIES_MAX`] per table; what comes later is counted under `other`, so that a tenant with a thousand workflows
//! costs nobody else their figures.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::event::{Entry, Event};
use tasker_engine::{Failure, FailureKind, Namespace, StepIndex, SystemName, Task, TaskStatus, Workflow, WorkflowName};
use tasker_scheduler::{LaneId, Target};
use tasker_telemetry::histogram::Histogram;
use tasker_telemetry::metric::{self, OTHER, SERIES_MAX};
use tasker_telemetry::reading::Readings;

/// Steps with figures of their own, over all workflows; each has four series, which are single lines.
const STEPS_MAX: usize = 1_000;

/// How an attempt may end.
const ENDS: [&str; 7] = ["succeeded", "retryable", "permanent", "contract", "cancelled", "timed_out", "lost"];

/// How a step may end.
const STEP_ENDS: [&str; 4] = ["succeeded", "failed", "skipped", "cancelled"];

/// How a task may end.
const TASK_ENDS: [&str; 3] = ["succeeded", "failed", "cancelled"];

/// What becomes of replies; all are there from the start, also at zero, so that their first is seen as a rise.
const DISPOSITIONS: [&str; 5] = ["recorded", "repeated", "stale", "conflicting", "refused"];

/// The promises that a finished task's state can show to be broken.
const PROMISES: [&str; 6] = ["P4", "P7", "P9", "P12", "P19", "P22"];

/// What is counted of one capability.
struct Capability {
    /// None for what is counted together: child tasks, and what is beyond the cap.
    target: Option<Target>,
    started: u64,
    ended: [u64; ENDS.len()],
    queue: Histogram,
    run: Histogram,
}

/// What is counted of one workflow, in all its versions.
struct Counted {
    namespace: String,
    workflow: String,
    accepted: u64,
    finished: [u64; TASK_ENDS.len()],
    duration: Histogram,
}

/// One version of a workflow: where its steps are counted. Holding the workflow keeps its address from being used again.
struct Version {
    _workflow: Arc<Workflow>,
    counted: usize,
    steps: Vec<usize>,
}

/// What is counted of one step.
struct Step {
    counted: usize,
    name: String,
    ended: [u64; STEP_ENDS.len()],
}

/// Counts since the start.
pub(super) struct Counters {
    capabilities: Vec<Capability>,
    by_target: BTreeMap<Target, usize>,
    by_lane: HashMap<LaneId, usize>,
    workflows: Vec<Counted>,
    by_name: BTreeMap<(Namespace, WorkflowName), usize>,
    versions: HashMap<usize, Version>,
    steps: Vec<Step>,
    by_step: BTreeMap<(usize, String), usize>,
    failures: BTreeMap<String, u64>,
    replies: [u64; DISPOSITIONS.len()],
    violations: [u64; PROMISES.len()],
    workers_lost: BTreeMap<(Namespace, SystemName), u64>,
    pub rows_committed: u64,
    pub reannounced: u64,
    pub children_started: u64,
    pub backlog_refused: u64,
    compensations_started: u64,
    pub bus_reconnects: u64,
    pub commit: Histogram,
    pub commit_rows: Histogram,
    pub overhead: Histogram,
    pub heartbeat_lateness: Histogram,
    pub timer_lateness: Histogram,
    /// When the messages that are being taken were received, as time since the start.
    pub received_at: Duration,
    /// How many messages waited for the loop when it last looked.
    pub inbox: usize,
}

/// The tables' first rows: where child tasks and everything beyond the cap are counted.
const CHILDREN: usize = 0;
const OTHERS: usize = 1;
const OTHER_WORKFLOWS: usize = 0;
const OTHER_STEPS: usize = 0;

impl Default for Counters {
    fn default() -> Self {
        Self {
            capabilities: vec![Capability::new(None), Capability::new(None)],
            by_target: BTreeMap::new(),
            by_lane: HashMap::new(),
            workflows: vec![Counted::new(OTHER, OTHER)],
            by_name: BTreeMap::new(),
            versions: HashMap::new(),
            steps: vec![Step { counted: OTHER_WORKFLOWS, name: OTHER.to_owned(), ended: [0; STEP_ENDS.len()] }],
            by_step: BTreeMap::new(),
            failures: BTreeMap::new(),
            replies: [0; DISPOSITIONS.len()],
            violations: [0; PROMISES.len()],
            workers_lost: BTreeMap::new(),
            rows_committed: 0,
            reannounced: 0,
            children_started: 0,
            backlog_refused: 0,
            compensations_started: 0,
            bus_reconnects: 0,
            commit: Histogram::new(metric::FINE),
            commit_rows: Histogram::new(metric::ROWS),
            overhead: Histogram::new(metric::FINE),
            heartbeat_lateness: Histogram::new(metric::FINE),
            timer_lateness: Histogram::new(metric::FINE),
            received_at: Duration::ZERO,
            inbox: 0,
        }
    }
}

impl Capability {
    fn new(target: Option<Target>) -> Self {
        let (queue, run) = (Histogram::new(metric::LONG), Histogram::new(metric::LONG));
        Self { target, started: 0, ended: [0; ENDS.len()], queue, run }
    }
}

impl Counted {
    fn new(namespace: &str, workflow: &str) -> Self {
        let (namespace, workflow) = (namespace.to_owned(), workflow.to_owned());
        Self { namespace, workflow, accepted: 0, finished: [0; TASK_ENDS.len()], duration: Histogram::new(metric::LONG) }
    }
}

impl Counters {
    /// Counts what a decision led to. `lane` says where a step of the task waits; none if it asks no system.
    pub fn count(&mut self, task: &Task, entry: &Entry, lane: impl Fn(StepIndex) -> Option<LaneId>, name: impl Fn(LaneId) -> Target) {
        for event in &entry.events {
            match event {
                Event::TaskAccepted(_) => {
                    let counted = self.version(task).counted;
                    self.workflows[counted].accepted += 1;
                }
                Event::AttemptStarted { step, .. } => self.capability(lane(*step), &name).started += 1,
                Event::AttemptFailed { step, failure, .. } => {
                    self.capability(lane(*step), &name).ended[end_of(failure.kind)] += 1;
                    self.failed(failure);
                }
                Event::StepSucceeded { step, .. } => {
                    self.capability(lane(*step), &name).ended[0] += 1;
                    self.step_ended(task, *step, 0);
                }
                Event::StepCollected { step } | Event::WaitSatisfied { step, .. } | Event::BranchTaken { step, .. } => {
                    self.step_ended(task, *step, 0);
                }
                Event::StepFailed { step, .. } => self.step_ended(task, *step, 1),
                Event::StepSkipped { step, .. } => self.step_ended(task, *step, 2),
                Event::StepCancelled { step } => self.step_ended(task, *step, 3),
                Event::TaskEnding { compensate: true, .. } => self.compensations_started += 1,
                // Neither the start nor the end of anything that is counted here.
                _ => {}
            }
        }
    }

    /// Counts a task that is over, and what its state shows to be broken.
    pub fn finished(&mut self, task: &Task) {
        let end = match task.status {
            TaskStatus::Succeeded => 0,
            TaskStatus::Failed => 1,
            TaskStatus::Cancelled => 2,
            TaskStatus::Running => return,
        };
        let counted = self.version(task).counted;
        let counted = &mut self.workflows[counted];
        counted.finished[end] += 1;
        counted.duration.observe_time(task.finished_at.map_or(Duration::ZERO, |at| at.since(task.accepted_at)));
        for violation in tasker_engine::invariant::check_state(task) {
            tracing::error!(task_id = %violation.task, promise = violation.promise, seen = violation.seen, "a promise is broken");
            if let Some(place) = PROMISES.iter().position(|promise| *promise == violation.promise) {
                self.violations[place] += 1;
            }
        }
    }

    /// Counts what became of a reply.
    pub fn reply(&mut self, disposition: &'static str) {
        if let Some(place) = DISPOSITIONS.iter().position(|known| *known == disposition) {
            self.replies[place] += 1;
        }
    }

    /// Takes in how long a step waited for its attempt.
    pub fn waited(&mut self, lane: LaneId, time: Duration, name: impl Fn(LaneId) -> Target) {
        self.capability(Some(lane), &name).queue.observe_time(time);
    }

    /// Takes in how long an attempt was open.
    pub fn ran(&mut self, lane: LaneId, time: Duration, name: impl Fn(LaneId) -> Target) {
        self.capability(Some(lane), &name).run.observe_time(time);
    }

    /// Counts a worker that fell silent.
    pub fn worker_lost(&mut self, namespace: &Namespace, system: &SystemName) {
        let key = (namespace.clone(), system.clone());
        if self.workers_lost.len() < SERIES_MAX || self.workers_lost.contains_key(&key) {
            *self.workers_lost.entry(key).or_default() += 1;
        }
    }

    fn failed(&mut self, failure: &Failure) {
        let code = failure.code.as_str();
        if let Some(count) = self.failures.get_mut(code) {
            *count += 1;
        } else {
            let name = if self.failures.len() < SERIES_MAX { code } else { OTHER };
            *self.failures.entry(name.to_owned()).or_default() += 1;
        }
    }

    fn capability(&mut self, lane: Option<LaneId>, name: impl Fn(LaneId) -> Target) -> &mut Capability {
        let place = match lane {
            None => CHILDREN,
            Some(lane) => match self.by_lane.get(&lane) {
                Some(place) => *place,
                None => self.learn_lane(lane, name(lane)),
            },
        };
        &mut self.capabilities[place]
    }

    fn learn_lane(&mut self, lane: LaneId, target: Target) -> usize {
        let place = match self.by_target.get(&target) {
            Some(place) => *place,
            None if self.by_target.len() >= SERIES_MAX => OTHERS,
            None => {
                self.capabilities.push(Capability::new(Some(target.clone())));
                self.by_target.insert(target, self.capabilities.len() - 1);
                self.capabilities.len() - 1
            }
        };
        self.by_lane.insert(lane, place);
        place
    }

    fn step_ended(&mut self, task: &Task, step: StepIndex, end: usize) {
        let node = task.node(step).at();
        let place = self.version(task).steps.get(node).copied().unwrap_or(OTHER_STEPS);
        self.steps[place].ended[end] += 1;
    }

    fn version(&mut self, task: &Task) -> &Version {
        let address = Arc::as_ptr(&task.workflow) as usize;
        if !self.versions.contains_key(&address) {
            let version = self.learn_version(&task.workflow);
            self.versions.insert(address, version);
        }
        &self.versions[&address]
    }

    fn learn_version(&mut self, workflow: &Arc<Workflow>) -> Version {
        let key = (workflow.namespace.clone(), workflow.name.clone());
        let counted = match self.by_name.get(&key) {
            Some(counted) => *counted,
            None if self.by_name.len() >= SERIES_MAX => OTHER_WORKFLOWS,
            None => {
                self.workflows.push(Counted::new(key.0.as_str(), key.1.as_str()));
                self.by_name.insert(key, self.workflows.len() - 1);
                self.workflows.len() - 1
            }
        };
        let steps = workflow.steps.iter().map(|step| self.learn_step(counted, step.name.as_str())).collect();
        Version { _workflow: workflow.clone(), counted, steps }
    }

    fn learn_step(&mut self, counted: usize, name: &str) -> usize {
        if counted == OTHER_WORKFLOWS {
            return OTHER_STEPS;
        }
        let key = (counted, name.to_owned());
        if let Some(place) = self.by_step.get(&key) {
            return *place;
        }
        if self.by_step.len() >= STEPS_MAX {
            return OTHER_STEPS;
        }
        self.steps.push(Step { counted, name: name.to_owned(), ended: [0; STEP_ENDS.len()] });
        self.by_step.insert(key, self.steps.len() - 1);
        self.steps.len() - 1
    }
}

fn end_of(kind: FailureKind) -> usize {
    match kind {
        FailureKind::Retryable => 1,
        FailureKind::Permanent => 2,
        FailureKind::Contract => 3,
        FailureKind::Cancelled => 4,
        FailureKind::TimedOut => 5,
        FailureKind::Lost => 6,
    }
}

/// Reading the counts.
impl Counters {
    /// Writes every count into the snapshot.
    pub fn read(&self, readings: &mut Readings) {
        self.read_capabilities(readings);
        self.read_workflows(readings);
        for (code, count) in &self.failures {
            readings.add(&metric::ATTEMPT_FAILURES, &[code], *count);
        }
        for (disposition, count) in DISPOSITIONS.iter().zip(self.replies) {
            readings.add(&metric::REPLIES, &[disposition], count);
        }
        for (promise, count) in PROMISES.iter().zip(self.violations) {
            readings.add(&metric::VIOLATIONS, &[promise], count);
        }
        for ((namespace, system), count) in &self.workers_lost {
            readings.add(&metric::WORKERS_LOST, &[namespace.as_str(), system.as_str()], *count);
        }
        readings.add(&metric::STORE_ROWS, &[], self.rows_committed);
        readings.add(&metric::REANNOUNCED, &[], self.reannounced);
        readings.add(&metric::BACKLOG_REFUSED, &[], self.backlog_refused);
        readings.add(&metric::CHILDREN_STARTED, &[], self.children_started);
        readings.add(&metric::COMPENSATIONS_STARTED, &[], self.compensations_started);
        readings.add(&metric::BUS_RECONNECTS, &[], self.bus_reconnects);
        readings.add(&metric::STORE_COMMIT, &[], &self.commit);
        readings.add(&metric::STORE_COMMIT_ROWS, &[], &self.commit_rows);
        readings.add(&metric::STEP_OVERHEAD, &[], &self.overhead);
        readings.add(&metric::HEARTBEAT_LATENESS, &[], &self.heartbeat_lateness);
        readings.add(&metric::TIMER_LATENESS, &[], &self.timer_lateness);
        readings.add(&metric::INBOX, &[], self.inbox);
    }

    fn read_capabilities(&self, readings: &mut Readings) {
        for (place, capability) in self.capabilities.iter().enumerate() {
            let unused = capability.target.is_none() && capability.started == 0;
            let labels = match &capability.target {
                Some(target) => [target.namespace.as_str(), target.system.as_str(), target.capability.as_str()],
                None if place == CHILDREN => ["", "", ""],
                None => [OTHER; 3],
            };
            if unused {
                continue;
            }
            readings.add(&metric::STEPS_DISPATCHED, &labels, capability.started);
            for (end, count) in ENDS.iter().zip(capability.ended) {
                readings.add(&metric::ATTEMPTS, &[labels[0], labels[1], labels[2], end], count);
            }
            if place != CHILDREN {
                readings.add(&metric::STEP_QUEUE, &labels, &capability.queue);
                readings.add(&metric::STEP_RUN, &labels, &capability.run);
            }
        }
    }

    fn read_workflows(&self, readings: &mut Readings) {
        let used = |place: usize| place != OTHER_WORKFLOWS || self.workflows[place].accepted > 0;
        for (_, counted) in self.workflows.iter().enumerate().filter(|(place, _)| used(*place)) {
            let labels = [counted.namespace.as_str(), counted.workflow.as_str()];
            readings.add(&metric::TASKS_ACCEPTED, &labels, counted.accepted);
            readings.add(&metric::TASK_DURATION, &labels, &counted.duration);
            for (end, count) in TASK_ENDS.iter().zip(counted.finished) {
                readings.add(&metric::TASKS_FINISHED, &[labels[0], labels[1], end], count);
            }
        }
        for (place, step) in self.steps.iter().enumerate() {
            if place == OTHER_STEPS && step.ended.iter().all(|count| *count == 0) {
                continue;
            }
            let counted = &self.workflows[step.counted];
            for (end, count) in STEP_ENDS.iter().zip(step.ended) {
                let labels = [counted.namespace.as_str(), counted.workflow.as_str(), step.name.as_str(), end];
                readings.add(&metric::STEPS_FINISHED, &labels, count);
            }
        }
    }
}
