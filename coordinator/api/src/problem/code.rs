//! Every code the API answers with. A code is a promise: its meaning and status never change.

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $status:literal, $title:literal;)*) => {
        /// What kind of problem it is. The same text is the member `code`, the end of the member `type`, and the name of the page
        /// `docs/errors/<code>.md`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $variant,)*
        }

        impl Code {
            /// Every code, for documentation and tests.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The stable text.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// The HTTP status.
            pub fn status(self) -> u16 {
                match self {
                    $(Self::$variant => $status,)*
                }
            }

            /// One short phrase for people; the same for every problem of this code.
            pub fn title(self) -> &'static str {
                match self {
                    $(Self::$variant => $title,)*
                }
            }
        }
    };
}

codes! {
    /// The request cannot be read.
    RequestMalformed = "request.malformed", 400, "The request cannot be read";
    /// A member or parameter that nobody would look at.
    RequestUnknownField = "request.unknown_field", 400, "The request names something unknown";
    /// More bytes than the route takes.
    RequestTooLarge = "request.too_large", 413, "The request is too large";
    /// No such path.
    RouteUnknown = "route.unknown", 404, "There is no such route";
    /// The path exists, the method does not.
    MethodNotAllowed = "method.not_allowed", 405, "The route does not take this method";
    /// No such workflow or version.
    WorkflowUnknown = "workflow.unknown", 404, "There is no such workflow";
    /// No such task in the namespace.
    TaskUnknown = "task.unknown", 404, "There is no such task";
    /// The text is no task id.
    TaskIdMalformed = "task.id_malformed", 400, "This is not a task id";
    /// Nobody ever spoke of the system.
    SystemUnknown = "system.unknown", 404, "There is no such system";
    /// Nobody ever spoke of the capability.
    CapabilityUnknown = "capability.unknown", 404, "There is no such capability";
    /// No live worker has the session.
    WorkerUnknown = "worker.unknown", 404, "There is no such worker";
    /// Workers of several systems have the session.
    WorkerAmbiguous = "worker.ambiguous", 409, "More than one worker is meant";
    /// The input is not JSON, or nested too deeply.
    InputNotJson = "input.not_json", 400, "The input is not acceptable JSON";
    /// The input is above the payload limit.
    InputTooLarge = "input.too_large", 413, "The input is too large";
    /// The input breaks the workflow's schema.
    InputViolated = "input.violated", 422, "The input does not fit the workflow's schema";
    /// The key was used for another content.
    IdempotencyKeyReused = "idempotency.key_reused", 422, "The idempotency key was used for another submission";
    /// The cursor is not one of ours, or belongs to another query.
    CursorMalformed = "cursor.malformed", 400, "The cursor cannot be used";
    /// A number or size is out of its range.
    LimitExceeded = "limit.exceeded", 400, "A limit is exceeded";
    /// The checker found errors.
    ManifestInvalid = "manifest.invalid", 422, "The manifest has errors";
    /// The version exists with another content.
    WorkflowVersionTaken = "workflow.version_taken", 409, "The workflow's version exists with another content";
    /// It does not fit the live fleet or the other workflows.
    WorkflowIncompatible = "workflow.incompatible", 409, "The workflow does not fit what runs now";
    /// The task is over and stays as it is.
    TaskAlreadyFinished = "task.already_finished", 409, "The task is already over";
    /// Only a task that is over can be retried.
    TaskStillRunning = "task.still_running", 409, "The task is still running";
    /// The task succeeded.
    TaskNothingToRetry = "task.nothing_to_retry", 409, "The task has nothing to retry";
    /// The workflow's identity says that the task exists.
    TaskDuplicate = "task.duplicate", 409, "The task exists already";
    /// The task is over or on its way to its end.
    TaskNotRunning = "task.not_running", 409, "The task is not running";
    /// The task that started it is paused.
    TaskParentPaused = "task.parent_paused", 409, "The task's parent is paused";
    /// Every task of the workflow is paused.
    WorkflowPaused = "workflow.paused", 409, "The workflow is paused";
    /// The workflow's deadline has no instant for the input.
    DeadlineUnknown = "deadline.unknown", 422, "The task's deadline cannot be computed";
    /// The workflow's identity has no value for the input.
    IdentityUnknown = "identity.unknown", 422, "The task's identity cannot be computed";
    /// The workflow does not allow the priority.
    PriorityNotAllowed = "priority.not_allowed", 422, "The workflow does not allow this priority";
    /// A capability that the workflow needs has too many waiting steps.
    BacklogFull = "backlog.full", 429, "Too much is waiting already";
    /// No such step or item in the task.
    StepUnknown = "step.unknown", 404, "There is no such step";
    /// The step does not wait for a person.
    StepNotHeld = "step.not_held", 409, "The step does not wait for a person";
    /// No step of the workflow waits for such a signal.
    SignalUnknown = "signal.unknown", 404, "No step waits for such a signal";
    /// The signal's payload breaks what the waiting step declares.
    SignalPayloadViolated = "signal.payload_violated", 422, "The signal's payload does not fit";
    /// The task keeps as many signals as it may.
    SignalTooMany = "signal.too_many", 429, "The task keeps too many signals";
    /// The event's payload breaks what the waiting step declares.
    EventPayloadViolated = "event.payload_violated", 422, "The event's payload does not fit";
    /// The namespace keeps as many events as it may.
    EventTooMany = "event.too_many", 429, "Too many events are kept";
    /// The step does not wait for a decision.
    ApprovalNotWaiting = "approval.not_waiting", 409, "The step does not wait for a decision";
    /// Somebody else is asked.
    ApprovalNotAssigned = "approval.not_assigned", 403, "Somebody else is asked to decide";
    /// The form is missing or does not fit.
    ApprovalFormViolated = "approval.form_violated", 422, "The form does not fit what is asked";
    /// The supplied result breaks the step's contract.
    ResultViolated = "result.violated", 422, "The result does not fit the step's contract";
    /// The task has no dead letter.
    DeadLetterUnknown = "dead_letter.unknown", 404, "There is no such dead letter";
    /// It was requeued or discarded before.
    DeadLetterSettled = "dead_letter.settled", 409, "The dead letter was settled before";
    /// The payload is not JSON.
    PayloadNotJson = "payload.not_json", 400, "The payload is not acceptable JSON";
    /// The payload is above the limit.
    PayloadTooLarge = "payload.too_large", 413, "The payload is too large";
    /// The URL of a callback is not ours, or its task is not known any more.
    CallbackTokenInvalid = "callback.token_invalid", 404, "The callback's URL was not given out by this coordinator";
    /// The body of a callback says neither result nor error.
    CallbackBodyMalformed = "callback.body_malformed", 422, "The callback's body cannot be read";
    /// The body of a callback is above the payload limit.
    CallbackBodyTooLarge = "callback.body_too_large", 413, "The callback's body is too large";
    /// The attempt was over before.
    CallbackStale = "callback.stale", 409, "The callback came too late";
    /// The attempt has another outcome.
    CallbackConflicting = "callback.conflicting", 409, "The attempt has another outcome already";
    /// More is waiting than is taken.
    CoordinatorBusy = "coordinator.busy", 429, "The coordinator is busy";
    /// Shutting down.
    CoordinatorDraining = "coordinator.draining", 503, "The coordinator is shutting down";
    /// Between two owners of a namespace.
    ShardMoving = "shard.moving", 503, "Another coordinator is taking over";
    /// Our own mistake.
    CoordinatorFault = "coordinator.fault", 500, "The coordinator made a mistake";
    /// Too many clients wait for news.
    WaitTooMany = "wait.too_many", 503, "Too many clients are waiting for news";
    /// The database cannot be read now.
    StoreUnreadable = "store.unreadable", 503, "The database cannot be read now";
    /// The database's disk is full.
    StoreFull = "store.full", 507, "The database's disk is full";
    /// Nobody knows whether it was done.
    OutcomeUnknown = "outcome.unknown", 503, "The outcome is unknown";
}

impl Code {
    /// Whether the same request may succeed later, without being changed.
    pub fn is_retryable(self) -> bool {
        match self {
            Self::SignalTooMany
            | Self::EventTooMany
            | Self::BacklogFull
            | Self::CoordinatorBusy
            | Self::CoordinatorDraining
            | Self::ShardMoving
            | Self::WaitTooMany
            | Self::StoreUnreadable
            | Self::StoreFull
            | Self::OutcomeUnknown => true,
            Self::RequestMalformed
            | Self::RequestUnknownField
            | Self::RequestTooLarge
            | Self::RouteUnknown
            | Self::MethodNotAllowed
            | Self::WorkflowUnknown
            | Self::TaskUnknown
            | Self::TaskIdMalformed
            | Self::SystemUnknown
            | Self::CapabilityUnknown
            | Self::WorkerUnknown
            | Self::WorkerAmbiguous
            | Self::InputNotJson
            | Self::InputTooLarge
            | Self::InputViolated
            | Self::IdempotencyKeyReused
            | Self::CursorMalformed
            | Self::LimitExceeded
            | Self::ManifestInvalid
            | Self::WorkflowVersionTaken
            | Self::WorkflowIncompatible
            | Self::TaskAlreadyFinished
            | Self::TaskStillRunning
            | Self::TaskNothingToRetry
            | Self::TaskDuplicate
            | Self::TaskNotRunning
            | Self::TaskParentPaused
            | Self::WorkflowPaused
            | Self::DeadlineUnknown
            | Self::IdentityUnknown
            | Self::PriorityNotAllowed
            | Self::StepUnknown
            | Self::StepNotHeld
            | Self::SignalUnknown
            | Self::SignalPayloadViolated
            | Self::EventPayloadViolated
            | Self::ApprovalNotWaiting
            | Self::ApprovalNotAssigned
            | Self::ApprovalFormViolated
            | Self::ResultViolated
            | Self::DeadLetterUnknown
            | Self::DeadLetterSettled
            | Self::PayloadNotJson
            | Self::PayloadTooLarge
            | Self::CallbackTokenInvalid
            | Self::CallbackBodyMalformed
            | Self::CallbackBodyTooLarge
            | Self::CallbackStale
            | Self::CallbackConflicting
            | Self::CoordinatorFault => false,
        }
    }

    /// Whether the request may have been carried out although it was answered with this code (P3).
    pub fn is_outcome_unknown(self) -> bool {
        matches!(self, Self::OutcomeUnknown | Self::CoordinatorFault)
    }
}
