//! The names under which Tasker is seen: spans, their attributes, where messages go, and metrics ([`metric`]); and the numbers that are
//! shown under the latter, as plain values ([`reading`], [`histogram`]). It measures nothing itself and sends nothing anywhere.
//!
//! Names follow the OpenTelemetry semantic conventions for messaging (1.44); what they do not know is `tasker.*`. They are public: a
//! dashboard or an alert may rely on them.

pub mod histogram;
pub mod metric;
pub mod reading;

/// Attributes of spans; the same words are fields of log lines.
pub mod attribute {
    /// Always `nats`.
    pub const MESSAGING_SYSTEM: &str = "messaging.system";
    /// `publish` or `process`.
    pub const MESSAGING_OPERATION_NAME: &str = "messaging.operation.name";
    /// `send` or `process`.
    pub const MESSAGING_OPERATION_TYPE: &str = "messaging.operation.type";
    /// The subject with its variable parts left open, so that it can be counted.
    pub const MESSAGING_DESTINATION_TEMPLATE: &str = "messaging.destination.template";
    /// The task's id.
    pub const MESSAGING_CONVERSATION_ID: &str = "messaging.message.conversation_id";
    /// `task/step/attempt`.
    pub const MESSAGING_MESSAGE_ID: &str = "messaging.message.id";
    /// The error code, if it ended badly.
    pub const ERROR_TYPE: &str = "error.type";
    /// The tenant.
    pub const NAMESPACE: &str = "tasker.namespace";
    /// The workflow.
    pub const WORKFLOW_NAME: &str = "tasker.workflow.name";
    /// Its version.
    pub const WORKFLOW_VERSION: &str = "tasker.workflow.version";
    /// The task.
    pub const TASK_ID: &str = "tasker.task.id";
    /// The step.
    pub const STEP_NAME: &str = "tasker.step.name";
    /// What the step does: `call`, `child`, `wait`, `sleep`, `approval` or `switch`.
    pub const STEP_KIND: &str = "tasker.step.kind";
    /// When the step runs, if not by itself: `compensation`, `fallback` or `on_failure`.
    pub const STEP_ROLE: &str = "tasker.step.role";
    /// Which item of a fan-out, from 0.
    pub const ITEM_INDEX: &str = "tasker.item.index";
    /// Which try.
    pub const ATTEMPT_NUMBER: &str = "tasker.attempt.number";
    /// What is asked.
    pub const CAPABILITY_NAME: &str = "tasker.capability.name";
    /// Of whom.
    pub const SYSTEM: &str = "tasker.system";
}

/// Names of spans: `{operation} {what}`.
pub mod span {
    /// Accepting a submission.
    pub const SUBMIT: &str = "submit";
    /// `task <workflow>`: from acceptance to the end.
    pub const TASK: &str = "task";
    /// `step <name>`: from ready to its end; of each item of a fan-out as well, up to [`ITEM_SPANS_MAX`] of them.
    pub const STEP: &str = "step";
    /// `publish <capability>`: asking for one attempt.
    pub const PUBLISH: &str = "publish";
    /// `call <capability>`: asking a system for one attempt over HTTP.
    pub const CALL: &str = "call";
    /// The most items of one task that have spans, in the order in which they came to be: no tracing system shows a trace of tens of thousands
    /// of spans, and most refuse it. Requests for the items after these carry a trace context that says *not sampled*.
    pub const ITEM_SPANS_MAX: usize = 2_000;
}

/// Subjects with their variable parts left open.
pub mod destination {
    /// Step requests to a worker.
    pub const TO_SESSION: &str = "tasker.v1.{namespace}.{system}.to.{session}";
    /// Requests to plain responders.
    pub const CALL: &str = "tasker.v1.{namespace}.{system}.call.{capability}";
}

/// Who writes the spans.
pub const SERVICE_NAME: &str = "tasker";
