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
            Code { code: concat!("manifest.", $code), severity: Severity::$severity, meaning: $meaning };)*

        /// Every code, each with its meaning, in the order in which a check comes across them.
        pub const CODES: &[Code] = &[
            $(Code { code: concat!("manifest.", $code), severity: Severity::$severity, meaning: $meaning },)*
        ];
    };
}

codes! {
    // The text.
    SYNTAX = Error "syntax": "The text is not YAML.";
    TAB_INDENTATION = Error "tab_indentation": "A line is indented with a tab.";
    TOO_LARGE = Error "too_large": "The manifest has too many bytes, or too many nodes once aliases are followed.";
    TOO_DEEP = Error "too_deep": "The manifest is nested too deeply.";
    SEVERAL_DOCUMENTS = Error "several_documents": "The file holds more than one YAML document.";
    DUPLICATE_KEY = Error "duplicate_key": "A mapping has the same key twice.";
    BAD_KEY = Error "bad_key": "A key is not plain text.";
    MERGE_KEY = Error "merge_key": "A mapping uses the YAML 1.1 merge key `<<`.";
    TAG = Error "tag": "A node carries a YAML tag such as `!!str`.";
    BAD_ALIAS = Error "bad_alias": "An alias points to nothing, or to what contains it.";
    UNQUOTED_BOOLEAN = Error "unquoted_boolean": "An unquoted `yes`, `no`, `on` or `off` could be text or a boolean.";
    BAD_NUMBER = Error "bad_number": "A number cannot be held exactly as written.";

    // The fields.
    UNKNOWN_FIELD = Error "unknown_field": "A field does not exist there.";
    MISSING_FIELD = Error "missing_field": "A required field is absent.";
    WRONG_TYPE = Error "wrong_type": "A value is not of the kind the field takes.";
    BAD_NAME = Error "bad_name": "A name breaks the rule for names of its kind.";
    BAD_VERSION = Error "bad_version": "The version has characters a version may not have.";
    BAD_URL = Error "bad_url": "A URL is not an http or https URL.";
    TOO_LONG = Error "too_long": "A text is longer than its field takes.";
    UNKNOWN_CHOICE = Error "unknown_choice": "A word is not one of those the field takes.";
    BAD_DURATION = Error "bad_duration": "A duration is not written like `30s` or `1m30s`, or is too long.";
    ZERO_DURATION = Error "zero_duration": "A duration is zero where it must be longer.";

    // Systems and capabilities.
    DUPLICATE_CAPABILITY = Error "duplicate_capability": "A system declares the same capability twice.";
    DUPLICATE_ERROR = Error "duplicate_error": "A list of error codes has the same code twice.";
    TOO_MANY_ERRORS = Error "too_many_errors": "A capability declares too many error codes.";
    BAD_SCHEMA = Error "bad_schema": "A schema is not an acceptable JSON Schema 2020-12.";
    TOO_MANY_SCHEMAS = Error "too_many_schemas": "The schemas of the manifest are too large together.";
    UNUSED_SYSTEM = Warning "unused_system": "A system is declared but owns no step.";
    UNDECLARED_CAPABILITY = Warning "undeclared_capability": "A step asks for a capability its system does not declare.";

    // Steps.
    NO_STEPS = Error "no_steps": "The workflow has no steps.";
    TOO_MANY_STEPS = Error "too_many_steps": "The workflow has too many steps.";
    DUPLICATE_STEP = Error "duplicate_step": "Two steps have the same name.";
    UNKNOWN_OWNER = Error "unknown_owner": "A step's owner is not among the systems.";
    MISSING_CAPABILITY = Error "missing_capability": "A step does not say what it asks of its owner.";
    SEVERAL_CAPABILITIES = Error "several_capabilities": "A step says in more than one way what it asks of its owner.";
    STEP_TIMEOUT_ORDER = Error "step_timeout_order": "A part of a step may take longer than the whole step.";
    TASK_TIMEOUT_EXCEEDED = Error "task_timeout_exceeded": "A step may take longer than the whole task.";
    BAD_ATTEMPTS = Error "bad_attempts": "The number of attempts is not within its limits.";
    RETRY_BASE_ABOVE_CAP = Error "retry_base_above_cap": "The first delay between attempts is longer than the longest.";
    UNDECLARED_ERROR = Error "undeclared_error": "`non_retryable` names a code the capability does not declare.";

    // The graph.
    UNKNOWN_DEPENDENCY = Error "unknown_dependency": "A step depends on a step that does not exist.";
    DUPLICATE_DEPENDENCY = Error "duplicate_dependency": "A step names the same dependency twice.";
    SELF_DEPENDENCY = Error "self_dependency": "A step depends on itself.";
    CYCLE = Error "cycle": "Steps depend on each other in a circle.";

    // Mappings.
    BAD_EXPRESSION = Error "bad_expression": "A `${ … }` is not an acceptable expression.";
    TOO_MANY_EXPRESSIONS = Error "too_many_expressions": "The manifest has too many or too large expressions.";
    UNKNOWN_STEP = Error "unknown_step": "An expression reads the result of a step that does not exist.";
    NOT_A_DEPENDENCY = Error "not_a_dependency": "An expression reads a step that may not have finished by then.";
    UNKNOWN_PATH = Error "unknown_path": "An expression reads a field that the schema rules out.";
    UNDECLARED_PATH = Warning "undeclared_path": "An expression reads a field that the schema does not mention.";
    INPUT_MISMATCH = Error "input_mismatch": "A step's input does not fit its capability's schema.";

    // The check itself.
    TOO_MANY_PROBLEMS = Error "too_many_problems": "There are more problems than a check reports.";
}
