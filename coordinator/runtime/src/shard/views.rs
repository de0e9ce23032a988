//! Questions that change nothing.

use super::Shard;
use super::children::children_of;
use super::people::find_step;
use super::resident::Resident;
use crate::command::{Command, Head};
use crate::operations::{
    CHILDREN_SHOWN_MAX, CapabilityView, ChildView, ItemPage, ItemView, ItemsError, ListItems, SystemView, TaskView, WorkerView,
};
use std::collections::BTreeMap;
use std::time::Duration;
use tasker_engine::{CapabilityName, Namespace, StepName, SystemName, TaskId};
use tasker_registry::Session;
use tasker_registry::registry::System;
use tokio::sync::oneshot;

impl Shard {
    pub(super) fn take_question(&mut self, command: Command) {
        match command {
            Command::Show { namespace, id, answer } => {
                let found =
                    self.residents.get(id).filter(|known| known.task.submission.namespace == namespace).map(|resident| self.view(resident));
                self.answer_about(id, answer, Ok(found));
            }
            Command::Head { namespace, id, answer } => {
                let found = self.residents.get(id).filter(|known| known.task.submission.namespace == namespace);
                let head = found.map(|resident| Head {
                    workflow: resident.task.workflow.clone(),
                    last: resident.last,
                    finished: resident.task.status.is_terminal(),
                });
                self.answer_about(id, answer, Ok(head));
            }
            Command::WaitFinished { namespace, id, answer } => {
                let found = self.residents.get(id).filter(|known| known.task.submission.namespace == namespace);
                match found {
                    Some(resident) if !resident.task.status.is_terminal() => {
                        let waiters = self.waiters.entry(id).or_default();
                        waiters.retain(|waiter| !waiter.is_closed());
                        waiters.push(answer);
                    }
                    found => {
                        let view = found.map(|resident| self.view(resident));
                        self.answer_about(id, answer, Ok(view));
                    }
                }
            }
            Command::Why { namespace, id, answer } => {
                let found = self.residents.get(id).filter(|known| known.task.submission.namespace == namespace);
                let reasons = found.map(|resident| self.why(resident));
                self.answer(answer, Ok(reasons));
            }
            Command::Items { namespace, id, step, list, answer } => {
                let page = self.items(&namespace, id, &step, &list);
                self.answer(answer, page);
            }
            other => self.take_overview(other),
        }
    }

    /// Answers a question about one task: at once if everything that the answer speaks of is durable, so that reading what rests is quick however
    /// much is being committed; otherwise after the commit, like everything else.
    fn answer_about<A: Send + 'static>(&mut self, id: TaskId, answer: oneshot::Sender<A>, value: A) {
        match self.is_durable(id) {
            // Whoever asked may have gone.
            true => drop(answer.send(value)),
            false => self.answer(answer, value),
        }
    }

    /// Whether a crash would undo nothing of what is said about a task: neither of itself, nor of its children, nor of a pause of its workflow.
    fn is_durable(&self, id: TaskId) -> bool {
        if !self.group.batch.workflow_pauses.is_empty() || self.in_flight.as_ref().is_some_and(|running| running.pauses) {
            return false;
        }
        let is_durable = |id: TaskId| self.residents.get(id).is_none_or(|known| known.last <= self.committed_to);
        is_durable(id) && self.residents.get(id).is_none_or(|known| children_of(&known.task).into_keys().all(is_durable))
    }

    /// Questions about more than one task.
    fn take_overview(&mut self, command: Command) {
        match command {
            Command::Workflows { namespace, answer } => {
                let views = self.catalog.views(&namespace, &self.pauses);
                self.answer(answer, views);
            }
            Command::Systems { namespace, answer } => {
                let views = self.systems(&namespace);
                self.answer(answer, views);
            }
            Command::Capabilities { namespace, answer } => {
                let views = self.capabilities(&namespace);
                self.answer(answer, views);
            }
            Command::Queues { namespace, answer } => {
                let views = self.queues(&namespace);
                self.answer(answer, views);
            }
            Command::Approvals { namespace, list, answer } => {
                let page = self.approvals(&namespace, &list);
                self.answer(answer, Ok(page));
            }
            Command::Held { namespace, list, answer } => {
                let page = self.held(&namespace, &list);
                self.answer(answer, Ok(page));
            }
            Command::Status { answer } => {
                let bus = ("bus", self.bus.is_connected(), self.bus.describe());
                let draining = self.draining.is_some();
                let state = if draining { "draining".to_owned() } else { format!("{} active tasks", self.active()) };
                self.answer(answer, vec![bus, ("runtime", !draining, state)]);
            }
            Command::Figures { answer } => {
                // At once and not after the commit: a database that hangs is when figures are needed most, and a figure promises nothing.
                let _ = answer.send(self.figures());
            }
            Command::Show { .. }
            | Command::Head { .. }
            | Command::WaitFinished { .. }
            | Command::Why { .. }
            | Command::Items { .. }
            | Command::Apply { .. }
            | Command::Submit { .. }
            | Command::Cancel { .. }
            | Command::Signal { .. }
            | Command::SendEvent { .. }
            | Command::Decide { .. }
            | Command::Comment { .. }
            | Command::Resolve { .. }
            | Command::Pause { .. }
            | Command::Resume { .. }
            | Command::RequeueLetter { .. }
            | Command::DiscardLetter { .. }
            | Command::PauseWorkflow { .. }
            | Command::Retry { .. }
            | Command::Callback { .. }
            | Command::OverrideBreaker { .. }
            | Command::ChangeQueue { .. }
            | Command::DrainWorker { .. }
            | Command::DrainVersion { .. }
            | Command::Drain { .. } => {
                unreachable!("changes and questions about one task are taken before")
            }
        }
    }

    /// What a reader of a task gets.
    pub(super) fn view(&self, resident: &Resident) -> TaskView {
        let task = &resident.task;
        let children = children_of(task);
        let shown = children.len().saturating_sub(CHILDREN_SHOWN_MAX);
        let children = children.into_iter().skip(shown).map(|(child, (step, detached))| ChildView {
            task: child,
            step: task.label(step),
            detached,
            status: self.status_of(child),
        });
        TaskView {
            children: children.collect(),
            workflow_pause: self.pauses.of(&task.workflow.namespace, &task.workflow.name).cloned(),
            progress: resident.progress.clone(),
            task: task.clone(),
        }
    }

    fn items(&self, namespace: &Namespace, id: TaskId, step: &StepName, list: &ListItems) -> Result<ItemPage, ItemsError> {
        let resident = self.residents.get(id).filter(|known| known.task.submission.namespace == *namespace);
        let Some(task) = resident.map(|resident| &resident.task) else { return Err(ItemsError::UnknownTask(id)) };
        let step = find_step(task, &step.clone().into())?;
        let fan = task.progress(step).fan.as_deref().cloned().unwrap_or_default();
        let numbered = (0..fan.count).zip(fan.indexes()).filter(|(number, item)| {
            let state = task.progress(*item).state.as_str();
            list.after.is_none_or(|after| *number > after) && (list.states.is_empty() || list.states.contains(state))
        });
        let mut items: Vec<ItemView> = numbered
            .take(list.limit + 1)
            .filter_map(|(number, item)| {
                let value = task.item(item)?.value.clone();
                Some(ItemView { label: task.label(item), number, value, progress: task.progress(item).clone() })
            })
            .collect();
        let more = items.len() > list.limit;
        items.truncate(list.limit);
        let next = items.last().filter(|_| more).map(|item| item.number);
        Ok(ItemPage { fan, items, next })
    }

    fn systems(&self, namespace: &Namespace) -> Vec<SystemView> {
        let mut views: BTreeMap<SystemName, System> = BTreeMap::new();
        for (tenant, name, system) in self.registry.systems() {
            if tenant == namespace {
                views.insert(name.clone(), system.clone());
            }
        }
        let with_workers = views.into_iter().map(|(name, system)| {
            let sessions = self.registry.sessions();
            let own = sessions.filter(|session| session.key.namespace == *namespace && session.key.system == name);
            SystemView {
                namespace: namespace.clone(),
                workers: own.map(|session| self.worker(session)).collect(),
                canary: self.scheduler.canary(namespace, &name).cloned(),
                drained_versions: self.registry.drained_versions(namespace, &name).map(str::to_owned).collect(),
                transport: self.manners.transport(namespace, &name),
                health: self.egress.health(namespace, &name),
                name,
                system,
            }
        });
        with_workers.collect()
    }

    pub(super) fn worker(&self, session: &Session) -> WorkerView {
        let uptime = self.uptime();
        let announcement = &session.announcement;
        WorkerView {
            namespace: session.key.namespace.clone(),
            system: session.key.system.clone(),
            session: session.key.session.to_string(),
            system_version: announcement.system_version.clone(),
            sdk: announcement.sdk.clone(),
            host: announcement.host.clone(),
            process_id: announcement.process_id,
            labels: announcement.labels.clone(),
            state: session.state,
            withheld: session.withheld,
            capabilities: session.capabilities.keys().cloned().collect(),
            slots: announcement.slots,
            slot_costs: self.costs_of(session),
            running: self.attempts.count_of(&session.key),
            joined_at: self.started_at.after(session.joined_at),
            silent_for: uptime.saturating_sub(session.heard_at),
        }
    }

    pub(super) fn capabilities(&self, namespace: &Namespace) -> Vec<CapabilityView> {
        let mut views: BTreeMap<(SystemName, CapabilityName), CapabilityView> = BTreeMap::new();
        let empty = |system: &SystemName, name: &CapabilityName| CapabilityView {
            namespace: namespace.clone(),
            system: system.clone(),
            name: name.clone(),
            capability: None,
            workers: self.registry.offering(namespace, system, name).count(),
            waiting: 0,
            oldest_waiting: None,
            breaker: self.breaker_view(namespace, system, name),
        };
        for (tenant, system, known) in self.registry.systems().filter(|(tenant, _, _)| *tenant == namespace) {
            for (name, capability) in &known.capabilities {
                debug_assert_eq!(tenant, namespace);
                let mut view = empty(system, name);
                view.capability = Some(capability.clone());
                views.insert((system.clone(), name.clone()), view);
            }
        }
        for target in self.catalog.lanes().map(|lane| &self.scheduler.name(lane).target).filter(|target| target.namespace == *namespace) {
            let key = (target.system.clone(), target.capability.clone());
            views.entry(key).or_insert_with(|| empty(&target.system, &target.capability));
        }
        for (target, (waiting, oldest)) in self.scheduler.backlog() {
            if let Some(view) = views.get_mut(&(target.system.clone(), target.capability.clone()))
                && target.namespace == *namespace
            {
                (view.waiting, view.oldest_waiting) = (waiting, oldest);
            }
        }
        views.into_values().collect()
    }

    /// How long ago an instant was, for people.
    pub(super) fn ago(&self, at: tasker_engine::Timestamp) -> Duration {
        self.clock.now().since(at)
    }
}
