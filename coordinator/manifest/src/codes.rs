//! Every code a check can report. Each has a page `docs/errors/<code>.md`, and a manifest that provokes it in
//! `manifests/invalid/<code>.yaml`; tests hold the three together.

use crate::diagnostic::Severity;

/// One code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// Stable: `manifest.unknown_field`.
    pub code: &'static str,
    /// Whether a manifest with it can be used.
    pub severity: Severity,
    /// What it says, in one line.
    pub meaning: &'static str,
}

macro_rules! codes {
    ($($name:ident = $severity:ident $code:literal: $meaning:literal;)*) => {
        $(pub(crate) static $name: Code =
            Code { code: $code, severity: Severity::$severity, meaning: $meaning };)*

        /// Every code, each with its meaning, in the order in which a check comes across them.
        pub const CODES: &[Code] = &[
            $(Code { code: $code, severity: Severity::$severity, meaning: $meaning },)*
        ];
    };
}

codes! {
    // The text.
    SYNTAX = Error "manifest.syntax": "The text is not YAML.";
    TAB_INDENTATION = Error "manifest.tab_indentation": "A line is indented with a tab.";
    TOO_LARGE = Error "manifest.too_large": "The manifest has too many bytes, or too many nodes once aliases are followed.";
    TOO_DEEP = Error "manifest.too_deep": "The manifest is nested too deeply.";
    SEVERAL_DOCUMENTS = Error "manifest.several_documents": "The file holds more than one YAML document.";
    DUPLICATE_KEY = Error "manifest.duplicate_key": "A mapping has the same key twice.";
    BAD_KEY = Error "manifest.bad_key": "A key is not plain text.";
    MERGE_KEY = Error "manifest.merge_key": "A mapping uses the YAML 1.1 merge key `<<`.";
    TAG = Error "manifest.tag": "A node carries a YAML tag such as `!!str`.";
    BAD_ALIAS = Error "manifest.bad_alias": "An alias points to nothing, or to what contains it.";
    UNQUOTED_BOOLEAN = Error "manifest.unquoted_boolean": "An unquoted `yes`, `no`, `on` or `off` could be text or a boolean.";
    BAD_NUMBER = Error "manifest.bad_number": "A number cannot be held exactly as written.";

    // The fields.
    UNKNOWN_FIELD = Error "manifest.unknown_field": "A field does not exist there.";
    MISSING_FIELD = Error "manifest.missing_field": "A required field is absent.";
    WRONG_TYPE = Error "manifest.wrong_type": "A value is not of the kind the field takes.";
    BAD_NAME = Error "manifest.bad_name": "A name breaks the rule for names of its kind.";
    BAD_VERSION = Error "manifest.bad_version": "The version has characters a version may not have.";
    BAD_URL = Error "manifest.bad_url": "A URL is not an http or https URL.";
    TOO_LONG = Error "manifest.too_long": "A text is longer than its field takes.";
    UNKNOWN_CHOICE = Error "manifest.unknown_choice": "A word is not one of those the field takes.";
    BAD_DURATION = Error "manifest.bad_duration": "A duration is not written like `30s` or `1m30s`, or is too long.";
    BAD_RATE = Error "manifest.bad_rate": "A rate is not written like `50/s`, or is out of range.";
    ZERO_DURATION = Error "manifest.zero_duration": "A duration is zero where it must be longer.";
    OUT_OF_RANGE = Error "manifest.out_of_range": "A number or a count is not within its limits.";
    EXACTLY_ONE = Error "manifest.exactly_one": "Of several fields that exclude each other, none or more than one is given.";

    // Systems and capabilities.
    DUPLICATE_CAPABILITY = Error "manifest.duplicate_capability": "A system declares the same capability twice.";
    DUPLICATE_ERROR = Error "manifest.duplicate_error": "A list of error codes has the same code twice.";
    TOO_MANY_ERRORS = Error "manifest.too_many_errors": "A capability declares too many error codes.";
    BAD_SCHEMA = Error "manifest.bad_schema": "A schema is not an acceptable JSON Schema 2020-12.";
    BAD_PATH = Error "manifest.bad_path": "The path of a capability over HTTP is not acceptable.";
    BAD_CONSTRAINT = Error "manifest.bad_constraint": "A version constraint cannot be read, or nothing can fulfil it.";
    QUERY_NOT_SCALAR = Error "manifest.query_not_scalar": "An input that travels as a query has a list or an object in it.";
    TRANSPORT_WITHOUT_URL = Error "manifest.transport_without_url": "A system is to be called over HTTP, but has no address.";
    TRANSPORT_CONFLICT = Error "manifest.transport_conflict": "A field can have no effect with the way the system is reached.";
    TOO_MANY_SCHEMAS = Error "manifest.too_many_schemas": "The schemas of the manifest are too large together.";
    UNUSED_SYSTEM = Warning "manifest.unused_system": "A system is declared but owns no step.";
    UNDECLARED_CAPABILITY = Warning "manifest.undeclared_capability": "A step asks for a capability its system does not declare.";

    // Steps.
    NO_STEPS = Error "manifest.no_steps": "The workflow has no steps.";
    TOO_MANY_STEPS = Error "manifest.too_many_steps": "The workflow has too many steps.";
    DUPLICATE_STEP = Error "manifest.duplicate_step": "Two steps have the same name.";
    UNKNOWN_OWNER = Error "manifest.unknown_owner": "A step's owner is not among the systems.";
    STEP_WITHOUT_KIND = Error "manifest.step_without_kind": "A step does not say what it does.";
    SEVERAL_KINDS = Error "manifest.several_kinds": "A step says that it does two different things.";
    FIELD_OF_OTHER_KIND = Error "manifest.field_of_other_kind": "A field means nothing for what the step does.";
    MISSING_CAPABILITY = Error "manifest.missing_capability": "A step does not say what it asks of its owner.";
    SEVERAL_CAPABILITIES = Error "manifest.several_capabilities": "A step says in more than one way what it asks of its owner.";
    STEP_TIMEOUT_ORDER = Error "manifest.step_timeout_order": "A part of a step may take longer than the whole step.";
    TASK_TIMEOUT_EXCEEDED = Error "manifest.task_timeout_exceeded": "A step may take longer than the whole task.";
    BAD_ATTEMPTS = Error "manifest.bad_attempts": "The number of attempts is not within its limits.";
    RETRY_BASE_ABOVE_CAP = Error "manifest.retry_base_above_cap": "The first delay between attempts is longer than the longest.";
    UNDECLARED_ERROR = Error "manifest.undeclared_error": "A code is named that the capability does not declare.";
    APPROVAL_ORDER = Error "manifest.approval_order": "A reminder or an escalation comes when the approval is over.";
    RESERVED_CASE = Error "manifest.reserved_case": "A case of a switch is called `default`.";
    DUPLICATE_CASE = Error "manifest.duplicate_case": "Two cases of a switch have the same value.";

    // What follows from failures.
    TWO_DEFAULTS = Error "manifest.two_defaults": "`on_error.default` and `on_exhausted` are both given.";
    IMPOSSIBLE_ERROR = Error "manifest.impossible_error": "`on_error` names a code that can never come from this step.";
    UNHANDLED_ERRORS = Error "manifest.unhandled_errors": "`on_error` leaves out codes that the capability declares.";
    RETRY_IMPOSSIBLE = Error "manifest.retry_impossible": "A reaction `retry` where no further attempt can follow.";
    RETRY_OF_NON_RETRYABLE = Error "manifest.retry_of_non_retryable": "A code is retried by `on_error` and listed in `non_retryable`.";

    // Handlers.
    UNKNOWN_HANDLER = Error "manifest.unknown_handler": "A handler is named that does not exist.";
    SELF_HANDLER = Error "manifest.self_handler": "A step is named as its own handler.";
    SHARED_HANDLER = Error "manifest.shared_handler": "A step is the handler of two steps, or for two purposes.";
    HANDLER_CYCLE = Error "manifest.handler_cycle": "Handlers run for each other in a circle.";
    HANDLER_DEPENDS = Error "manifest.handler_depends": "A handler has dependencies.";
    DEPENDS_ON_HANDLER = Error "manifest.depends_on_handler": "A step waits for a handler, or a branch names one.";
    HANDLER_KIND = Error "manifest.handler_kind": "A switch is used as a handler.";
    HANDLER_REACTION = Error "manifest.handler_reaction": "A step that runs while the task ends would end it.";
    COMPENSATED_HANDLER = Error "manifest.compensated_handler": "A step that undoes, or that runs when the task failed, has a `compensate`.";
    ONLY_HANDLERS = Error "manifest.only_handlers": "Every step is a handler, so none begins.";

    // The graph.
    UNKNOWN_DEPENDENCY = Error "manifest.unknown_dependency": "A step depends on a step that does not exist.";
    DUPLICATE_DEPENDENCY = Error "manifest.duplicate_dependency": "A step names the same dependency twice.";
    SELF_DEPENDENCY = Error "manifest.self_dependency": "A step depends on itself.";
    CYCLE = Error "manifest.cycle": "Steps depend on each other in a circle.";
    JOIN_WITHOUT_DEPENDENCIES = Error "manifest.join_without_dependencies": "A step joins dependencies, but has none.";
    JOIN_BEYOND_DEPENDENCIES = Error "manifest.join_beyond_dependencies": "A join asks for more dependencies than there are.";
    UNREACHABLE = Warning "step.unreachable": "A step can never run.";
    NO_DATA = Info "dependency.no_data": "A step waits for another, but nobody reads what that one finds out.";

    // Mappings.
    BAD_EXPRESSION = Error "manifest.bad_expression": "A `${ … }` is not an acceptable expression.";
    NOT_AN_EXPRESSION = Error "manifest.not_an_expression": "A field takes one `${ … }`, and something else is there.";
    TOO_MANY_EXPRESSIONS = Error "manifest.too_many_expressions": "The manifest has too many or too large expressions.";
    UNKNOWN_STEP = Error "manifest.unknown_step": "An expression reads the result of a step that does not exist.";
    READS_HANDLER = Error "manifest.reads_handler": "An expression reads a handler that may never run.";
    ITEM_OUTSIDE_FOR_EACH = Error "manifest.item_outside_for_each": "An expression reads `item` where there is none.";
    TASK_ERROR_OUTSIDE_HANDLER = Error "manifest.task_error_outside_handler": "An expression reads `task.error` while nothing went wrong.";
    BEFORE_THE_TASK = Error "manifest.before_the_task": "`identity` or `deadline` reads what exists only later.";
    NOT_A_DEPENDENCY = Error "manifest.not_a_dependency": "An expression reads a step that may not have finished by then.";
    UNKNOWN_PATH = Error "manifest.unknown_path": "An expression reads a field that the schema rules out.";
    UNDECLARED_PATH = Warning "manifest.undeclared_path": "An expression reads a field that the schema does not mention.";
    INPUT_MISMATCH = Error "manifest.input_mismatch": "A step's input does not fit its capability's schema.";

    // Types.
    TYPE_MISMATCH = Error "type.mismatch": "An expression uses a value as something that it is not.";
    OPTIONAL_READ = Error "type.optional_read": "An expression reads what may not be there.";
    TYPE_UNPROVEN = Info "type.unproven": "Whether a value fits cannot be shown before it runs.";
    IMPOSSIBLE = Error "condition.impossible": "A condition is always true, or never.";
    IMPOSSIBLE_CASE = Error "switch.impossible_case": "A case of a switch never comes.";
    NOT_EXHAUSTIVE = Error "switch.not_exhaustive": "A switch has no case for a value that may come.";
    FALLBACK_TYPE = Warning "fallback.type": "A fallback gives another type of result than the step whose place it takes.";

    // The check itself.
    TOO_MANY_PROBLEMS = Error "manifest.too_many_problems": "There are more problems than a check reports.";
}
