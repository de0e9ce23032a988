//! What must hold whenever something is committed or leaves a coordinator, judged from outside: only rows and messages are looked at.

use crate::judge::{Attempt, Judge, Known};
use std::sync::Arc;
use tasker_engine::event::{Entry, Event, Target};
use tasker_engine::invariant::check_state;
use tasker_engine::task::{StepState, Wait};
use tasker_engine::workflow::Role;
use tasker_engine::{Namespace, Payload, StepIndex, Task, TaskId};
use tasker_registry::message::{Acknowledgement, Directive, ToWorker};
use tasker_runtime::port::store::{JournalRow, WorkflowRow};

impl Judge {
    /// A batch has become durable under an epoch.
    pub fn committed(&mut self, epoch: i64, rows: &[JournalRow], workflows: &[WorkflowRow]) {
        if epoch < self.epoch {
            self.violated("P11", format!("epoch {epoch} wrote after epoch {} had taken over", self.epoch));
        }
        self.epoch = self.epoch.max(epoch);
        for row in workflows {
            self.learn(row);
        }
        for row in rows {
            if row.sequence != self.last + 1 {
                self.violated("P19", format!("journal row {} follows row {}", row.sequence, self.last));
            }
            self.last = row.sequence;
            self.note("row", &tasker_wire::journal::encode(&row.entry));
            self.take_row(epoch, &row.entry);
        }
    }

    fn learn(&mut self, row: &WorkflowRow) {
        let checked = tasker_manifest::restore(&row.source, "stored.yaml", &row.namespace);
        let Some(manifest) = checked.manifest else {
            return self.violated("P17", format!("workflow {} {} is stored but no longer checks", row.name, row.version));
        };
        self.current.insert(row.name.clone(), row.digest);
        self.workflows.insert(row.digest, Arc::new(manifest.workflow));
    }

    fn take_row(&mut self, epoch: i64, entry: &Entry) {
        let id = entry.task;
        self.before(epoch, entry);
        let digest = match entry.events.first() {
            Some(Event::TaskAccepted(submission)) => Some(submission.workflow),
            _ => self.tasks.get(&id).map(|known| known.task.workflow.digest),
        };
        let Some(workflow) = digest.and_then(|digest| self.workflows.get(&digest)).cloned() else {
            return self.violated("P17", format!("task {id} runs a workflow that is not stored"));
        };
        let mut entries = self.tasks.remove(&id).map(|known| known.entries).unwrap_or_default();
        entries.push(entry.clone());
        match Task::fold(workflow, &entries) {
            Ok(task) => {
                self.report(check_state(&task));
                let over = task.status.is_terminal();
                self.results_fit(&task, entry);
                self.rare(epoch, &task, entry);
                self.tasks.insert(id, Known { entries, task });
                if over {
                    self.check_whole(id);
                }
            }
            Err(broken) => self.violated("P19", broken.to_string()),
        }
    }

    /// What can be judged against the state before the row.
    fn before(&mut self, epoch: i64, entry: &Entry) {
        let (id, at) = (entry.task, entry.at);
        for event in &entry.events {
            match event {
                Event::TaskAccepted(submission) => {
                    let active = self.open_tasks().count();
                    if submission.parent.is_none() && active >= self.active_max {
                        self.violated("P22", format!("task {id} was accepted although {active} are active"));
                    }
                    if let Some(key) = &submission.idempotency_key
                        && let Some(other) = self.keys.insert(key.clone(), id)
                    {
                        self.violated("P2", format!("key `{key}` led to task {other} and to task {id}"));
                    }
                }
                Event::AttemptStarted { step, token, target, deadline, .. } => {
                    self.not_early(id, *step, at, "an attempt");
                    let known = self.tasks.get(&id).map(|known| known.task.definition(*step).system().cloned());
                    let system = known.flatten().filter(|_| !matches!(target, Target::Child(_)));
                    // Who was asked without a session has its time from when it takes the attempt; the deadline is that of the waiting.
                    let deadline = deadline.filter(|_| matches!(target, Target::Session(_)));
                    let attempt = Attempt { system, epoch, sent: 0, recorded: None, deadline };
                    if self.attempts.insert(token.0, attempt).is_some() {
                        self.violated("P7", format!("task {id}: a token was given out twice"));
                    }
                }
                Event::StepReady { step } => self.not_early(id, *step, at, "a retry"),
                Event::AttemptFailed { step, retry_at, failure, reply, .. } => {
                    self.closed(id, *step, *reply);
                    self.timed_out(id, *step, entry, failure.code.as_str(), reply.is_some());
                    if let Some(due) = retry_at {
                        self.not_before.insert((id, *step), *due);
                    }
                }
                Event::StepSucceeded { step, result, .. } => self.closed(id, *step, Some(result.digest())),
                Event::WaitStarted { step, wait: Wait::Sleep, until: Some(until) } => drop(self.not_before.insert((id, *step), *until)),
                Event::WaitSatisfied { step, .. } => self.not_early(id, *step, at, "the end of a sleep"),
                Event::StepCancelled { step } | Event::StepSkipped { step, .. } | Event::StepFailed { step, .. } => {
                    self.not_before.remove(&(id, *step));
                }
                _ => {}
            }
        }
    }

    /// P14: nothing that waits for an instant happens before it.
    fn not_early(&mut self, id: TaskId, step: StepIndex, at: tasker_engine::Timestamp, what: &str) {
        if let Some(due) = self.not_before.remove(&(id, step))
            && at < due
        {
            let early = due.since(at).as_millis();
            self.violated("P14", format!("task {id} step {}: {what} came {early} ms early", step.0));
        }
    }

    fn timed_out(&mut self, id: TaskId, step: StepIndex, entry: &Entry, code: &str, replied: bool) {
        if code != "attempt.timeout" || replied {
            return;
        }
        let open = self.tasks.get(&id).and_then(|known| known.task.open_attempt(step)).and_then(|open| self.attempts.get(&open.token.0));
        if let Some(due) = open.and_then(|attempt| attempt.deadline)
            && entry.at < due
        {
            self.violated("P14", format!("task {id} step {}: the attempt ran out of time before its time", step.0));
        }
        self.sometimes("an attempt that ran out of time");
    }

    /// Notes with which reply an open attempt was closed.
    fn closed(&mut self, id: TaskId, step: StepIndex, reply: Option<tasker_engine::Digest>) {
        let open = self.tasks.get(&id).and_then(|known| known.task.open_attempt(step)).map(|open| open.token.0);
        if let Some(attempt) = open.and_then(|token| self.attempts.get_mut(&token)) {
            attempt.recorded = reply;
        }
    }

    /// P13 and P16: what is recorded as a result comes from its owner and keeps its contract.
    fn results_fit(&mut self, task: &Task, entry: &Entry) {
        for event in &entry.events {
            let Event::StepSucceeded { step, result, .. } = event else { continue };
            if task.definition(*step).call().is_none() {
                continue;
            }
            let value = result.value();
            if value.get("forged").is_some() {
                self.violated("P13", format!("task {} step `{}`: a forged result was recorded", task.id, task.label(*step)));
            }
            if !keeps_contract(result) {
                self.violated("P16", format!("task {} step `{}`: {value} was recorded against the contract", task.id, task.label(*step)));
            }
        }
    }

    /// What must have been seen now and then.
    fn rare(&mut self, epoch: i64, task: &Task, entry: &Entry) {
        let mut seen: Vec<&'static str> = Vec::new();
        for event in &entry.events {
            match event {
                Event::ReplyConflicted { .. } => seen.push("a second, different reply for one attempt"),
                Event::AttemptFailed { failure, retry_at, .. } => match failure.code.as_str() {
                    "contract.result_violated" if retry_at.is_none() => seen.push("a contract violated on the last attempt"),
                    "worker.lost" => seen.push("a worker lost while it worked"),
                    _ => {}
                },
                Event::StepCollected { .. } => seen.push("a fan-out finished"),
                Event::WaitSatisfied { step, .. } => match &task.definition(*step).kind {
                    tasker_engine::workflow::StepKind::Approval(_) => seen.push("an approval decided"),
                    tasker_engine::workflow::StepKind::Wait(wait) => seen.push(match &wait.source {
                        tasker_engine::workflow::WaitSource::Signal(_) => "a signal taken",
                        tasker_engine::workflow::WaitSource::Event { .. } => "an event taken",
                    }),
                    _ => {}
                },
                Event::TaskAdmitted => seen.push("a task whose turn among those of its key had come"),
                Event::StepResolved { .. } => seen.push("a held step resolved"),
                Event::TaskResumed => seen.push("a task paused and resumed"),
                Event::TaskAccepted(submission) if submission.origin.is_some() => seen.push("a task retried"),
                Event::CancelRequested { .. } if task.steps.iter().any(|step| !step.closed.is_empty()) => {
                    seen.push("a task cancelled while it worked");
                }
                Event::AttemptStarted { step, .. } => {
                    if matches!(task.definition(*step).role, Role::Compensation { .. }) {
                        seen.push("a compensation that ran");
                    }
                    if self.current.get(&task.workflow.name).is_some_and(|current| *current != task.workflow.digest) {
                        seen.push("a task on a version that is no longer current");
                    }
                }
                Event::StepSucceeded { step, .. } => {
                    let closed = task.progress(*step).closed.last();
                    if closed.is_some_and(|closed| matches!(closed.target, Target::Child(_))) {
                        seen.push("a child task that ended while its parent waited");
                    }
                    let opened = closed.and_then(|closed| self.attempts.get(&closed.token.0));
                    if opened.is_some_and(|attempt| attempt.epoch < epoch) {
                        seen.push("a reply recorded after a take-over");
                    }
                }
                _ => {}
            }
        }
        seen.into_iter().for_each(|what| self.sometimes(what));
    }

    /// Something is told to a worker: it must have become durable first (P5).
    pub fn leaving(&mut self, epoch: i64, message: &ToWorker) {
        for directive in &message.directives {
            match directive {
                Directive::Request(request) => {
                    let version = self.tasks.get(&request.attempt.task).map(|known| known.task.workflow.version.clone());
                    if version.is_some_and(|version| version != request.version) {
                        self.violated("P17", format!("task {} is sent as version {}", request.attempt.task, request.version));
                    }
                    match self.attempts.get_mut(&request.attempt.token.0) {
                        Some(attempt) => {
                            attempt.sent += 1;
                            let strange = attempt.system.as_ref().is_some_and(|system| *system != message.system);
                            let again = attempt.sent > 1;
                            if strange {
                                self.violated(
                                    "P23",
                                    format!("task {}: a request went to system `{}`", request.attempt.task, message.system),
                                );
                            }
                            if again {
                                self.sometimes("a lost request announced again");
                            }
                        }
                        None => self.violated(
                            "P5",
                            format!(
                                "task {} step `{}` was sent to a worker before its attempt was committed",
                                request.attempt.task, request.attempt.step
                            ),
                        ),
                    }
                }
                Directive::Acknowledged { attempt, disposition } => {
                    let known = self.attempts.get(&attempt.token.0);
                    let (recorded, late) = (known.and_then(|known| known.recorded), known.is_some_and(|known| known.epoch < epoch));
                    match disposition {
                        Acknowledgement::Recorded | Acknowledgement::Repeated if recorded.is_none() => {
                            let (task, step) = (attempt.task, &attempt.step);
                            self.violated("P5", format!("task {task} step `{step}`: a reply was acknowledged before it was committed"));
                        }
                        Acknowledgement::Repeated => self.sometimes("a reply repeated and recognised"),
                        Acknowledgement::Stale if self.is_cancelled(attempt.task) => {
                            self.sometimes("a result that came after its task was cancelled");
                        }
                        Acknowledgement::Stale if late => self.sometimes("a late reply after a take-over"),
                        Acknowledgement::Refused { code, message } if *code == "reply.forged" => {
                            let what = match message.as_str() {
                                "the step belongs to another system" => Some("a reply of another system"),
                                "the task has no such step" => Some("a reply for a step that does not exist"),
                                "the token is not that of the attempt" => Some("a reply with a wrong token"),
                                _ => None,
                            };
                            what.into_iter().for_each(|what| self.sometimes(what));
                        }
                        Acknowledgement::Recorded
                        | Acknowledgement::Stale
                        | Acknowledgement::Conflicting
                        | Acknowledgement::Refused { .. } => {}
                    }
                }
                _ => {}
            }
        }
    }

    fn is_cancelled(&self, task: TaskId) -> bool {
        self.tasks.get(&task).is_some_and(|known| known.task.status == tasker_engine::TaskStatus::Cancelled)
    }

    /// A client was told that its task exists (P1, P2, P5).
    pub fn told_accepted(&mut self, id: TaskId, key: Option<&str>) {
        if !self.tasks.contains_key(&id) {
            self.violated("P1", format!("a client was told of task {id} before it was committed"));
        }
        if let Some(key) = key
            && self.keys.get(key) != Some(&id)
        {
            self.violated("P2", format!("key `{key}` was answered with task {id}, but belongs to {:?}", self.keys.get(key)));
        }
    }

    /// Whether something should have happened by itself while nobody owned the shard.
    pub fn note_fail_over(&mut self, now: tasker_engine::Timestamp) {
        let due = |task: &Task| task.task_due().into_iter().chain(task.indexes().filter_map(|step| task.step_due(step))).min();
        if self.open_tasks().any(|(_, known)| due(&known.task).is_some_and(|due| due <= now)) {
            self.sometimes("a timer that was due during a fail-over");
        }
    }

    /// P12, at the end: what is still open and why.
    pub fn unfinished(&self) -> Vec<String> {
        let mut all = Vec::new();
        for (id, known) in self.open_tasks() {
            let task = &known.task;
            let open = task.indexes().filter(|step| !task.progress(*step).state.is_terminal());
            let steps: Vec<String> = open.map(|step| format!("{} is {}", task.label(step), told(&task.progress(step).state))).collect();
            let paused = if task.paused.is_some() { ", paused" } else { "" };
            all.push(format!("task {id} of {} {}{paused}: {}", task.workflow.name, task.workflow.version, steps.join("; ")));
        }
        all
    }
}

fn told(state: &StepState) -> String {
    match state {
        StepState::Running(open) => format!("running attempt {} by {:?} since {}", open.attempt, open.target, open.started_at.as_millis()),
        other => other.as_str().to_owned(),
    }
}

/// An opinion of its own on the contract in `manifests.rs`.
fn keeps_contract(result: &Payload) -> bool {
    let value = result.value();
    let number = value.get("value").and_then(serde_json::Value::as_f64);
    number.is_some_and(|number| number >= 0.0 && number.fract() == 0.0) && value.get("by").is_some_and(serde_json::Value::is_string)
}

/// The one tenant.
pub fn tenant() -> Namespace {
    Namespace::new("default").expect("a name")
}
