//! People decide, comment and resolve; and see what they are asked for.

use super::Shard;
use super::resident::Resident;
use super::waits::Person;
use crate::operations::{
    ApprovalError, ApprovalPage, ApprovalView, HeldPage, HeldView, ListPeople, ResolveError, StepCursor, TaskView, UnknownStep,
};
use serde_json::json;
use tasker_engine::decide::approval::{self, Verdict};
use tasker_engine::decide::resolve;
use tasker_engine::event::Resolution;
use tasker_engine::task::{StepState, Wait};
use tasker_engine::workflow::StepKind;
use tasker_engine::{Namespace, StepIndex, StepLabel, Task, TaskId};
use tasker_manifest::nearest_name;

impl Shard {
    pub(super) fn decide(
        &mut self,
        namespace: &Namespace,
        id: TaskId,
        step: &StepLabel,
        verdict: &Verdict,
    ) -> Result<TaskView, ApprovalError> {
        let resident = self.residents.get_mut(id).filter(|known| known.task.submission.namespace == *namespace);
        let Some(resident) = resident else { return Err(ApprovalError::UnknownTask(id)) };
        let step = find_step(&resident.task, step)?;
        let decision = approval::decide(&mut resident.task, step, verdict, self.clock.now()).map_err(refused)?;
        self.record(id, decision, None);
        self.residents.get(id).map(|resident| self.view(resident)).ok_or(ApprovalError::UnknownTask(id))
    }

    pub(super) fn comment(
        &mut self,
        namespace: &Namespace,
        id: TaskId,
        step: &StepLabel,
        by: &str,
        comment: &str,
    ) -> Result<TaskView, ApprovalError> {
        let resident = self.residents.get_mut(id).filter(|known| known.task.submission.namespace == *namespace);
        let Some(resident) = resident else { return Err(ApprovalError::UnknownTask(id)) };
        let step = find_step(&resident.task, step)?;
        let decision = approval::comment(&mut resident.task, step, by, comment, self.clock.now()).map_err(refused)?;
        self.record(id, decision, None);
        self.residents.get(id).map(|resident| self.view(resident)).ok_or(ApprovalError::UnknownTask(id))
    }

    pub(super) fn resolve(
        &mut self,
        namespace: &Namespace,
        id: TaskId,
        step: &StepLabel,
        resolution: &Resolution,
        by: &str,
        comment: Option<&str>,
    ) -> Result<TaskView, ResolveError> {
        let resident = self.residents.get_mut(id).filter(|known| known.task.submission.namespace == *namespace);
        let Some(resident) = resident else { return Err(ResolveError::UnknownTask(id)) };
        let step = find_step(&resident.task, step)?;
        let decision = resolve::resolve(&mut resident.task, step, resolution, by, comment, self.clock.now());
        let decision = decision.map_err(|refusal| match refusal {
            resolve::Refusal::NotHeld { step, state } => ResolveError::NotHeld { step, state },
            resolve::Refusal::ResultViolated { step, violations } => ResolveError::ResultViolated { step, violations },
        })?;
        self.record(id, decision, None);
        self.residents.get(id).map(|resident| self.view(resident)).ok_or(ResolveError::UnknownTask(id))
    }

    pub(super) fn approvals(&mut self, namespace: &Namespace, list: &ListPeople) -> ApprovalPage {
        let asked = |view: &ApprovalView| {
            let assignee = list.assignee.as_ref();
            assignee.is_none_or(|assignee| view.assignees.is_empty() || view.assignees.contains(assignee))
        };
        let found = self.steps_of_people(Person::Decides, namespace, list, |resident, step| approval_view(resident, step).filter(asked));
        let (approvals, next) = page(found, list.limit, |view| view.cursor);
        ApprovalPage { approvals, next }
    }

    pub(super) fn held(&mut self, namespace: &Namespace, list: &ListPeople) -> HeldPage {
        let found = self.steps_of_people(Person::Resolves, namespace, list, held_view);
        let (held, next) = page(found, list.limit, |view| view.cursor);
        HeldPage { held, next }
    }

    /// What `see` shows of the steps of tasks that may wait for a person, in order: at most one more than a page, and where to go on if not all
    /// tasks were looked at. Tasks that do not wait any more leave the index on the way. Those that are looked at are in memory: the command
    /// waited until they were.
    fn steps_of_people<V>(
        &mut self,
        what: Person,
        namespace: &Namespace,
        list: &ListPeople,
        see: impl Fn(&Resident, StepIndex) -> Option<V>,
    ) -> (Vec<V>, Option<StepCursor>) {
        let tasks = self.people_asked(what, namespace, list);
        let last =
            tasks.last().copied().filter(|last| list.task.is_none() && !self.waits.waiting_for(what, namespace, last.next(), 1).is_empty());
        let rest = last.map(|task| StepCursor { task, step: StepIndex(u32::MAX) });
        let mut found = Vec::new();
        for id in tasks {
            let Some(resident) = self.residents.get(id) else { continue };
            let waiting: Vec<StepIndex> = resident.task.indexes().filter(|step| waits_for(what, &resident.task, *step)).collect();
            if waiting.is_empty() {
                self.waits.forget(what, namespace, id);
                continue;
            }
            let after = |step: &StepIndex| list.after.is_none_or(|after| StepCursor { task: id, step: *step } > after);
            found.extend(waiting.into_iter().filter(after).filter_map(|step| see(resident, step)));
            if found.len() > list.limit {
                break;
            }
        }
        (found, rest)
    }
}

/// The step or item of a label.
pub(super) fn find_step(task: &Task, step: &StepLabel) -> Result<StepIndex, UnknownStep> {
    task.find(step).ok_or_else(|| {
        let names = task.workflow.steps.iter().map(|step| step.name.as_str());
        let similar = nearest_name(step.name.as_str(), names).map(str::to_owned);
        // An item of a step that has fewer is not a misspelt name.
        let similar = similar.filter(|similar| similar != step.name.as_str());
        UnknownStep { task: task.id, step: step.to_string(), similar }
    })
}

fn refused(refusal: approval::Refusal) -> ApprovalError {
    match refusal {
        approval::Refusal::NotWaiting(step) => ApprovalError::NotWaiting(step),
        approval::Refusal::NotAssigned { by, assignees } => ApprovalError::NotAssigned { by, assignees },
        approval::Refusal::FormViolated(violations) => ApprovalError::FormViolated(violations),
    }
}

fn waits_for(what: Person, task: &Task, step: StepIndex) -> bool {
    match (what, &task.progress(step).state) {
        (Person::Decides, StepState::Waiting(waiting)) => matches!(waiting.wait, Wait::Approval { .. }),
        (Person::Resolves, StepState::Held { .. }) => true,
        _ => false,
    }
}

fn approval_view(resident: &Resident, step: StepIndex) -> Option<ApprovalView> {
    let task = &resident.task;
    let waiting = task.waiting(step)?;
    let Wait::Approval { title, description, assignees } = &waiting.wait else { return None };
    let form = match &task.definition(step).kind {
        StepKind::Approval(approval) => approval.form.as_ref().map(|form| form.source().clone()),
        StepKind::Call(_) | StepKind::Child(_) | StepKind::Wait(_) | StepKind::Sleep(_) | StepKind::Switch(_) => None,
    };
    Some(ApprovalView {
        task: task.id,
        workflow: task.workflow.name.clone(),
        step: task.label(step),
        cursor: StepCursor { task: task.id, step },
        title: title.clone(),
        description: description.clone(),
        form,
        assignees: assignees.clone(),
        since: waiting.since,
        until: waiting.until,
        reminded: waiting.reminded,
        reminded_at: waiting.reminded_at,
        escalated_at: waiting.escalated_at,
        comments: resident.comments.iter().filter(|(about, _)| *about == step).map(|(_, comment)| comment.clone()).collect(),
    })
}

fn held_view(resident: &Resident, step: StepIndex) -> Option<HeldView> {
    let task = &resident.task;
    let StepState::Held { failure, since } = &task.progress(step).state else { return None };
    let result = task.definition(step).contract.result.as_ref().map(|result| result.source().clone());
    // In the place of a whole fan-out stands a list of what its items would have given.
    let whole = task.definition(step).for_each.is_some() && task.item(step).is_none();
    let result = if whole {
        let items = result.map_or_else(|| json!({}), |result| json!({ "anyOf": [result, { "type": "null" }] }));
        Some(json!({ "type": "array", "items": items }))
    } else {
        result
    };
    Some(HeldView {
        task: task.id,
        workflow: task.workflow.name.clone(),
        step: task.label(step),
        cursor: StepCursor { task: task.id, step },
        failure: failure.clone(),
        since: *since,
        attempts: task.progress(step).closed.len() as u32,
        result,
    })
}

/// The first of what was found, and where the next page begins, if there is one.
fn page<V>(
    (mut found, rest): (Vec<V>, Option<StepCursor>),
    limit: usize,
    cursor: impl Fn(&V) -> StepCursor,
) -> (Vec<V>, Option<StepCursor>) {
    if found.len() <= limit {
        return (found, rest);
    }
    found.truncate(limit);
    let next = found.last().map(cursor);
    (found, next)
}
