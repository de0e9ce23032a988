from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SessionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SESSION_STATE_UNSPECIFIED: _ClassVar[SessionState]
    SESSION_STATE_ACTIVE: _ClassVar[SessionState]
    SESSION_STATE_DRAINING: _ClassVar[SessionState]
    SESSION_STATE_LEFT: _ClassVar[SessionState]

class FailureKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAILURE_KIND_UNSPECIFIED: _ClassVar[FailureKind]
    FAILURE_KIND_RETRYABLE: _ClassVar[FailureKind]
    FAILURE_KIND_PERMANENT: _ClassVar[FailureKind]
    FAILURE_KIND_CONTRACT: _ClassVar[FailureKind]
    FAILURE_KIND_CANCELLED: _ClassVar[FailureKind]

class ReplyDisposition(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REPLY_DISPOSITION_UNSPECIFIED: _ClassVar[ReplyDisposition]
    REPLY_DISPOSITION_RECORDED: _ClassVar[ReplyDisposition]
    REPLY_DISPOSITION_REPEATED: _ClassVar[ReplyDisposition]
    REPLY_DISPOSITION_STALE: _ClassVar[ReplyDisposition]
    REPLY_DISPOSITION_CONFLICTING: _ClassVar[ReplyDisposition]
    REPLY_DISPOSITION_REFUSED: _ClassVar[ReplyDisposition]
SESSION_STATE_UNSPECIFIED: SessionState
SESSION_STATE_ACTIVE: SessionState
SESSION_STATE_DRAINING: SessionState
SESSION_STATE_LEFT: SessionState
FAILURE_KIND_UNSPECIFIED: FailureKind
FAILURE_KIND_RETRYABLE: FailureKind
FAILURE_KIND_PERMANENT: FailureKind
FAILURE_KIND_CONTRACT: FailureKind
FAILURE_KIND_CANCELLED: FailureKind
REPLY_DISPOSITION_UNSPECIFIED: ReplyDisposition
REPLY_DISPOSITION_RECORDED: ReplyDisposition
REPLY_DISPOSITION_REPEATED: ReplyDisposition
REPLY_DISPOSITION_STALE: ReplyDisposition
REPLY_DISPOSITION_CONFLICTING: ReplyDisposition
REPLY_DISPOSITION_REFUSED: ReplyDisposition

class Hello(_message.Message):
    __slots__ = ("session", "system_version", "capabilities", "slots", "sdk", "host", "process_id", "held", "labels", "counts_slot_costs")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_VERSION_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    SDK_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PROCESS_ID_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    COUNTS_SLOT_COSTS_FIELD_NUMBER: _ClassVar[int]
    session: str
    system_version: str
    capabilities: _containers.RepeatedCompositeFieldContainer[Capability]
    slots: int
    sdk: Sdk
    host: str
    process_id: int
    held: _containers.RepeatedCompositeFieldContainer[HeldAttempt]
    labels: _containers.ScalarMap[str, str]
    counts_slot_costs: bool
    def __init__(self, session: _Optional[str] = ..., system_version: _Optional[str] = ..., capabilities: _Optional[_Iterable[_Union[Capability, _Mapping]]] = ..., slots: _Optional[int] = ..., sdk: _Optional[_Union[Sdk, _Mapping]] = ..., host: _Optional[str] = ..., process_id: _Optional[int] = ..., held: _Optional[_Iterable[_Union[HeldAttempt, _Mapping]]] = ..., labels: _Optional[_Mapping[str, str]] = ..., counts_slot_costs: bool = ...) -> None: ...

class Capability(_message.Message):
    __slots__ = ("name", "input_schema", "result_schema", "errors", "description", "timeout_ms", "slot_cost")
    NAME_FIELD_NUMBER: _ClassVar[int]
    INPUT_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    RESULT_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    SLOT_COST_FIELD_NUMBER: _ClassVar[int]
    name: str
    input_schema: str
    result_schema: str
    errors: _containers.RepeatedCompositeFieldContainer[ErrorContract]
    description: str
    timeout_ms: int
    slot_cost: int
    def __init__(self, name: _Optional[str] = ..., input_schema: _Optional[str] = ..., result_schema: _Optional[str] = ..., errors: _Optional[_Iterable[_Union[ErrorContract, _Mapping]]] = ..., description: _Optional[str] = ..., timeout_ms: _Optional[int] = ..., slot_cost: _Optional[int] = ...) -> None: ...

class ErrorContract(_message.Message):
    __slots__ = ("code", "details_schema", "description")
    CODE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    code: str
    details_schema: str
    description: str
    def __init__(self, code: _Optional[str] = ..., details_schema: _Optional[str] = ..., description: _Optional[str] = ...) -> None: ...

class Sdk(_message.Message):
    __slots__ = ("name", "version", "language")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    language: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., language: _Optional[str] = ...) -> None: ...

class Poll(_message.Message):
    __slots__ = ("session", "credit")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    session: str
    credit: Credit
    def __init__(self, session: _Optional[str] = ..., credit: _Optional[_Union[Credit, _Mapping]] = ...) -> None: ...

class Credit(_message.Message):
    __slots__ = ("free", "highest_sequence", "expires_in_ms")
    FREE_FIELD_NUMBER: _ClassVar[int]
    HIGHEST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_IN_MS_FIELD_NUMBER: _ClassVar[int]
    free: int
    highest_sequence: int
    expires_in_ms: int
    def __init__(self, free: _Optional[int] = ..., highest_sequence: _Optional[int] = ..., expires_in_ms: _Optional[int] = ...) -> None: ...

class Beat(_message.Message):
    __slots__ = ("session", "held", "credit", "state")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    session: str
    held: _containers.RepeatedCompositeFieldContainer[HeldAttempt]
    credit: Credit
    state: SessionState
    def __init__(self, session: _Optional[str] = ..., held: _Optional[_Iterable[_Union[HeldAttempt, _Mapping]]] = ..., credit: _Optional[_Union[Credit, _Mapping]] = ..., state: _Optional[_Union[SessionState, str]] = ...) -> None: ...

class HeldAttempt(_message.Message):
    __slots__ = ("task_id", "step_name", "attempt", "token", "progress")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_NAME_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    step_name: str
    attempt: int
    token: bytes
    progress: bytes
    def __init__(self, task_id: _Optional[str] = ..., step_name: _Optional[str] = ..., attempt: _Optional[int] = ..., token: _Optional[bytes] = ..., progress: _Optional[bytes] = ...) -> None: ...

class ToWorker(_message.Message):
    __slots__ = ("session", "directives")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    DIRECTIVES_FIELD_NUMBER: _ClassVar[int]
    session: str
    directives: _containers.RepeatedCompositeFieldContainer[Directive]
    def __init__(self, session: _Optional[str] = ..., directives: _Optional[_Iterable[_Union[Directive, _Mapping]]] = ...) -> None: ...

class Directive(_message.Message):
    __slots__ = ("welcome", "refused", "rejoin", "step_request", "reply_acknowledged", "cancel_attempt", "drain")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    REJOIN_FIELD_NUMBER: _ClassVar[int]
    STEP_REQUEST_FIELD_NUMBER: _ClassVar[int]
    REPLY_ACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    CANCEL_ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    refused: Refused
    rejoin: Rejoin
    step_request: StepRequest
    reply_acknowledged: ReplyAcknowledged
    cancel_attempt: CancelAttempt
    drain: Drain
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., refused: _Optional[_Union[Refused, _Mapping]] = ..., rejoin: _Optional[_Union[Rejoin, _Mapping]] = ..., step_request: _Optional[_Union[StepRequest, _Mapping]] = ..., reply_acknowledged: _Optional[_Union[ReplyAcknowledged, _Mapping]] = ..., cancel_attempt: _Optional[_Union[CancelAttempt, _Mapping]] = ..., drain: _Optional[_Union[Drain, _Mapping]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("heartbeat_ms", "lease_ms", "payload_bytes_max", "reply_resend_ms", "coordinator")
    HEARTBEAT_MS_FIELD_NUMBER: _ClassVar[int]
    LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    REPLY_RESEND_MS_FIELD_NUMBER: _ClassVar[int]
    COORDINATOR_FIELD_NUMBER: _ClassVar[int]
    heartbeat_ms: int
    lease_ms: int
    payload_bytes_max: int
    reply_resend_ms: int
    coordinator: str
    def __init__(self, heartbeat_ms: _Optional[int] = ..., lease_ms: _Optional[int] = ..., payload_bytes_max: _Optional[int] = ..., reply_resend_ms: _Optional[int] = ..., coordinator: _Optional[str] = ...) -> None: ...

class Refused(_message.Message):
    __slots__ = ("code", "message", "retryable")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    retryable: bool
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., retryable: bool = ...) -> None: ...

class Rejoin(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StepRequest(_message.Message):
    __slots__ = ("sequence", "task_id", "step_name", "attempt", "token", "capability", "input", "dependencies", "idempotency_key", "timeout_ms", "shard", "traceparent", "tracestate", "workflow_name", "workflow_version", "attempts_max", "slot_cost")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_NAME_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    DEPENDENCIES_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    SHARD_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    TRACESTATE_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_NAME_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_VERSION_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_MAX_FIELD_NUMBER: _ClassVar[int]
    SLOT_COST_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    task_id: str
    step_name: str
    attempt: int
    token: bytes
    capability: str
    input: bytes
    dependencies: bytes
    idempotency_key: str
    timeout_ms: int
    shard: int
    traceparent: str
    tracestate: str
    workflow_name: str
    workflow_version: str
    attempts_max: int
    slot_cost: int
    def __init__(self, sequence: _Optional[int] = ..., task_id: _Optional[str] = ..., step_name: _Optional[str] = ..., attempt: _Optional[int] = ..., token: _Optional[bytes] = ..., capability: _Optional[str] = ..., input: _Optional[bytes] = ..., dependencies: _Optional[bytes] = ..., idempotency_key: _Optional[str] = ..., timeout_ms: _Optional[int] = ..., shard: _Optional[int] = ..., traceparent: _Optional[str] = ..., tracestate: _Optional[str] = ..., workflow_name: _Optional[str] = ..., workflow_version: _Optional[str] = ..., attempts_max: _Optional[int] = ..., slot_cost: _Optional[int] = ...) -> None: ...

class ReplyBatch(_message.Message):
    __slots__ = ("session", "replies", "credit")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    REPLIES_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    session: str
    replies: _containers.RepeatedCompositeFieldContainer[StepReply]
    credit: Credit
    def __init__(self, session: _Optional[str] = ..., replies: _Optional[_Iterable[_Union[StepReply, _Mapping]]] = ..., credit: _Optional[_Union[Credit, _Mapping]] = ...) -> None: ...

class StepReply(_message.Message):
    __slots__ = ("task_id", "step_name", "attempt", "token", "success", "failure", "ran_ms")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_NAME_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    RAN_MS_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    step_name: str
    attempt: int
    token: bytes
    success: Success
    failure: Failure
    ran_ms: int
    def __init__(self, task_id: _Optional[str] = ..., step_name: _Optional[str] = ..., attempt: _Optional[int] = ..., token: _Optional[bytes] = ..., success: _Optional[_Union[Success, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., ran_ms: _Optional[int] = ...) -> None: ...

class Success(_message.Message):
    __slots__ = ("result",)
    RESULT_FIELD_NUMBER: _ClassVar[int]
    result: bytes
    def __init__(self, result: _Optional[bytes] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("kind", "code", "message", "details", "retry_after_ms")
    KIND_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    kind: FailureKind
    code: str
    message: str
    details: bytes
    retry_after_ms: int
    def __init__(self, kind: _Optional[_Union[FailureKind, str]] = ..., code: _Optional[str] = ..., message: _Optional[str] = ..., details: _Optional[bytes] = ..., retry_after_ms: _Optional[int] = ...) -> None: ...

class ReplyAcknowledged(_message.Message):
    __slots__ = ("task_id", "step_name", "attempt", "token", "disposition", "code", "message")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_NAME_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    DISPOSITION_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    step_name: str
    attempt: int
    token: bytes
    disposition: ReplyDisposition
    code: str
    message: str
    def __init__(self, task_id: _Optional[str] = ..., step_name: _Optional[str] = ..., attempt: _Optional[int] = ..., token: _Optional[bytes] = ..., disposition: _Optional[_Union[ReplyDisposition, str]] = ..., code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class CancelAttempt(_message.Message):
    __slots__ = ("task_id", "step_name", "attempt", "token", "reason")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_NAME_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    step_name: str
    attempt: int
    token: bytes
    reason: str
    def __init__(self, task_id: _Optional[str] = ..., step_name: _Optional[str] = ..., attempt: _Optional[int] = ..., token: _Optional[bytes] = ..., reason: _Optional[str] = ...) -> None: ...

class Drain(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...
