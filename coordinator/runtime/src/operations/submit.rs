//! Submitting: the key is looked up and the content is fingerprinted before the loop is asked.

use super::{Operations, Submit, SubmitError, Submitted, Unavailable, unreadable};
use crate::command::{Accepted, Command, IdentifiedSubmission, KeyedSubmission, NewTask};
use tasker_engine::task::Submission;
use tasker_engine::{Digest, Namespace, Payload};
use tokio::sync::oneshot;

/// Begins the keys under which identities of tasks are remembered; idempotency keys begin otherwise.
pub(crate) const IDENTITY_PREFIX: &str = "identity:";
/// Begins the keys under which ids of events are remembered; idempotency keys begin otherwise.
pub(crate) const EVENT_PREFIX: &str = "event:";

/// How often an identity is looked up: a second time only if another version was applied meanwhile, which gives another identity.
const LOOK_UPS_MAX: usize = 3;

impl Operations {
    /// Accepts a task; answers after the commit (P1). A repeat with the same key and content answers with the same task (P2).
    ///
    /// # Errors
    /// Unknown workflow, unacceptable input, a key that was used for other content, or the coordinator cannot take it now.
    pub async fn submit(&self, namespace: &Namespace, submit: Submit) -> Result<Submitted, SubmitError> {
        let started = self.start_submit(namespace, submit).await?;
        match started {
            Started::Found(submitted) => Ok(submitted),
            Started::Asked(answered) => self.finish_submit(answered).await,
        }
    }

    /// Accepts many tasks; each has its own outcome, in the order given.
    pub async fn submit_many(&self, namespace: &Namespace, submits: Vec<Submit>) -> Vec<Result<Submitted, SubmitError>> {
        let mut started = Vec::with_capacity(submits.len());
        for submit in submits {
            started.push(self.start_submit(namespace, submit).await);
        }
        let mut outcomes = Vec::with_capacity(started.len());
        for one in started {
            outcomes.push(match one {
                Err(error) => Err(error),
                Ok(Started::Found(submitted)) => Ok(submitted),
                Ok(Started::Asked(answered)) => self.finish_submit(answered).await,
            });
        }
        outcomes
    }

    async fn start_submit(&self, namespace: &Namespace, submit: Submit) -> Result<Started, SubmitError> {
        check_limits(&submit)?;
        let input = Payload::parse(submit.input.clone())?;
        let mut keyed = None;
        if let Some(key) = &submit.idempotency_key {
            let fingerprint = fingerprint(&submit);
            let looked_up_at = self.looks_up();
            if let Some(used) = self.door(namespace)?.store.find_key(namespace, key).await.map_err(unreadable)? {
                if used.fingerprint != fingerprint {
                    return Err(SubmitError::KeyReused { key: key.clone(), task: used.task });
                }
                let trace_id = match self.task(namespace, used.task).await? {
                    Some(view) => crate::trace::hex(&view.task.submission.trace.trace_id),
                    None => String::new(),
                };
                return Ok(Started::Found(Submitted { task: used.task, created: false, trace_id }));
            }
            keyed = Some(KeyedSubmission { key: key.clone(), fingerprint, looked_up_at });
        }
        let submission = NewTask {
            namespace: namespace.clone(),
            workflow: submit.workflow,
            version: submit.version,
            input,
            labels: submit.labels,
            priority: submit.priority,
            keyed,
            identified: None,
            traceparent: submit.traceparent,
        };
        Ok(Started::Asked(self.ask_to_accept(Box::new(submission))?))
    }

    fn ask_to_accept(&self, submission: Box<NewTask>) -> Result<Answered, Unavailable> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Submit { submission, answer })?;
        Ok(answered)
    }

    /// Waits for the answer; looks the task's identity up if its workflow declares one.
    async fn finish_submit(&self, mut answered: Answered) -> Result<Submitted, SubmitError> {
        for _ in 0..LOOK_UPS_MAX {
            let (key, mut submission) = match answered.await.map_err(|_| Unavailable::Unknown)?? {
                Accepted::Done(submitted) => return Ok(submitted),
                Accepted::LookUp { key, submission } => (key, submission),
            };
            let looked_up_at = self.looks_up();
            let used = self.door(&submission.namespace)?.store.find_key(&submission.namespace, &key).await.map_err(unreadable)?;
            if let Some(used) = &used {
                // The task there is may not be in memory, where its trace is read from.
                self.task(&submission.namespace, used.task).await?;
            }
            submission.identified = Some(IdentifiedSubmission { key, used, looked_up_at });
            answered = self.ask_to_accept(submission)?;
        }
        match answered.await.map_err(|_| Unavailable::Unknown)?? {
            Accepted::Done(submitted) => Ok(submitted),
            Accepted::LookUp { .. } => Err(Unavailable::Busy { retry_after: std::time::Duration::from_secs(1) }.into()),
        }
    }
}

enum Started {
    Found(Submitted),
    Asked(Answered),
}

/// The loop's answer to a submission, to come.
type Answered = oneshot::Receiver<Result<Accepted, SubmitError>>;

/// What makes two submissions the same: workflow, version, input and labels, byte by byte.
fn fingerprint(submit: &Submit) -> Digest {
    let mut text = Vec::with_capacity(submit.input.len() + 256);
    let mut part = |bytes: &[u8]| {
        text.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        text.extend_from_slice(bytes);
    };
    part(submit.workflow.as_str().as_bytes());
    part(submit.version.as_ref().map_or("", |version| version.as_str()).as_bytes());
    part(&submit.input);
    for (name, value) in &submit.labels {
        part(name.as_bytes());
        part(value.as_bytes());
    }
    // Said only by those who say it, so that keys that were used before there were priorities find their tasks.
    if let Some(priority) = submit.priority {
        part(&priority.get().to_le_bytes());
    }
    Digest::of(&text)
}

fn check_limits(submit: &Submit) -> Result<(), SubmitError> {
    let limit = |text: String| Err(SubmitError::Limit(text));
    if submit.labels.len() > Submission::LABELS_MAX {
        return limit(format!("{} labels are given; at most {} are kept", submit.labels.len(), Submission::LABELS_MAX));
    }
    for (name, value) in &submit.labels {
        if name.is_empty() || name.len() > Submission::LABEL_BYTES_MAX || value.len() > Submission::LABEL_BYTES_MAX {
            let shown: String = name.chars().take(40).collect();
            return limit(format!(
                "label `{shown}`: name and value take at most {} bytes, and the name is not empty",
                Submission::LABEL_BYTES_MAX
            ));
        }
    }
    if let Some(key) = &submit.idempotency_key
        && (key.is_empty() || key.len() > Submission::KEY_BYTES_MAX)
    {
        return limit(format!("the idempotency key has {} bytes; give 1 to {}", key.len(), Submission::KEY_BYTES_MAX));
    }
    let own = [IDENTITY_PREFIX, EVENT_PREFIX];
    if let Some(prefix) = submit.idempotency_key.as_deref().and_then(|key| own.into_iter().find(|prefix| key.starts_with(prefix))) {
        return limit(format!("an idempotency key cannot begin with `{prefix}`: these keys are the coordinator's own"));
    }
    Ok(())
}
