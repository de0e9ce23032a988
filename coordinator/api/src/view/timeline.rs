//! Where the time of a task went.

use super::task::{attempts, ended};
use crate::instant::{Instant, millis};
use serde::Serialize;
use tasker_engine::{StepIndex, Task, TaskId, Timestamp};
use utoipa::ToSchema;

/// A task as rows of bars, ready to be drawn.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Timeline {
    #[schema(value_type = String, example = "tsk_01k9x2m3a4b5c")]
    id: TaskId,
    status: &'static str,
    accepted_at: Instant,
    finished_at: Option<Instant>,
    trace_id: String,
    /// One per step, in the order of the manifest.
    rows: Vec<Row>,
}

/// One step.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TimelineRow)]
struct Row {
    step: String,
    /// `call`, `child`, `wait`, `sleep`, `approval` or `switch`.
    kind: &'static str,
    system: Option<String>,
    capability: Option<String>,
    state: &'static str,
    /// When it was first ready.
    ready_at: Option<Instant>,
    /// When it ended.
    finished_at: Option<Instant>,
    /// From ready to the first attempt, or to its end, or until now; null if the step was never ready.
    waited_ms: Option<u64>,
    attempts: Vec<Bar>,
}

/// One attempt.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TimelineAttempt)]
struct Bar {
    attempt: u32,
    worker: String,
    started_at: Instant,
    finished_at: Option<Instant>,
    /// From the task's acceptance to the attempt's start.
    offset_ms: u64,
    /// To its end, or until now.
    duration_ms: u64,
    /// `running`, `succeeded`, `failed` or `withdrawn`.
    outcome: &'static str,
    /// The code of its failure.
    code: Option<String>,
}

impl Timeline {
    /// The task's timeline; what is still open lasts until `now`.
    pub(crate) fn of(task: &Task, now: Timestamp) -> Self {
        Self {
            id: task.id,
            status: task.status.as_str(),
            accepted_at: Instant(task.accepted_at),
            finished_at: task.finished_at.map(Instant),
            trace_id: tasker_runtime::trace::hex(&task.submission.trace.trace_id),
            rows: task.workflow.indexes().map(|step| row(task, step, now)).collect(),
        }
    }
}

fn row(task: &Task, index: StepIndex, now: Timestamp) -> Row {
    let step = task.workflow.step(index);
    let progress = task.progress(index);
    let bars: Vec<Bar> = attempts(progress)
        .into_iter()
        .map(|attempt| Bar {
            attempt: attempt.attempt,
            code: attempt.code(),
            offset_ms: millis(attempt.started_at.0.since(task.accepted_at)),
            duration_ms: millis(attempt.finished_at.map_or(now, |end| end.0).since(attempt.started_at.0)),
            worker: attempt.worker,
            started_at: attempt.started_at,
            finished_at: attempt.finished_at,
            outcome: attempt.outcome,
        })
        .collect();
    let finished_at = ended(progress);
    let waited_until = bars.first().map(|bar| bar.started_at.0).or(finished_at).or(task.finished_at).unwrap_or(now);
    Row {
        step: step.name.to_string(),
        kind: step.kind.as_str(),
        system: step.system().map(ToString::to_string),
        capability: step.capability().map(ToString::to_string),
        state: progress.state.as_str(),
        ready_at: progress.first_ready_at.map(Instant),
        finished_at: finished_at.map(Instant),
        waited_ms: progress.first_ready_at.map(|ready| millis(waited_until.since(ready))),
        attempts: bars,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::sample;

    #[test]
    fn a_timeline_separates_waiting_from_running() {
        let now = sample::at(60_000);
        insta::assert_snapshot!(serde_json::to_string_pretty(&Timeline::of(&sample::running().task, now)).expect("writes"));
        insta::assert_snapshot!(serde_json::to_string_pretty(&Timeline::of(&sample::failed().task, now)).expect("writes"));
    }
}
