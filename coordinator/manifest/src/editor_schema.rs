//! The JSON Schema of manifests, for editors: completion, hover texts and the mistakes that structure alone shows.
//!
//! It is made from the tables in this file and its parts; `docs/manifest.schema.json` is its text, and a test keeps the two equal. Another
//! test asks the checker which fields it knows in every place and compares: the schema cannot know a field that the checker refuses, nor
//! miss one that it takes. What structure cannot show (names, types, the graph) is left to `tasker workflow lint`.

mod control;
mod flow;
mod parts;

use crate::{BYTES_MAX, DEPTH_MAX};
use parts::{described, duration, list, member, object, one_of, reference, schema, text, whole};
use serde_json::{Value, json};
use tasker_engine::Workflow;
use tasker_engine::breaker_policy::BreakerPolicy;
use tasker_engine::flow::{CONCURRENT_MAX, Weight};
use tasker_engine::retry::RetryPolicy;

/// Where the schema is published; editors that know the address need no copy.
pub const EDITOR_SCHEMA_ID: &str = "https://tasker.dev/manifest.schema.json";

/// The schema, in draft 2020-12. The same value every time.
pub fn editor_schema() -> Value {
    let mut root = manifest();
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["$id"] = json!(EDITOR_SCHEMA_ID);
    root["title"] = json!("Tasker manifest");
    root["$comment"] =
        json!(format!("At most {BYTES_MAX} bytes, nested at most {DEPTH_MAX} levels. `tasker workflow lint` checks what a schema cannot."));
    root["$defs"] = definitions();
    root
}

fn manifest() -> Value {
    object(
        "A workflow: which system owns which step, and what flows between them.",
        &["name", "version", "systems", "workflow_steps"],
        &[
            member("name", "What tasks are submitted to.", identifier(128)).example(json!("order_processing")),
            member("version", "A task stays on the definition it was accepted with; another content needs another version.", version())
                .example(json!("1.0.0")),
            member("description", "What it is for, in plain words.", text()),
            member("timeout", "The whole task, from acceptance; the time a task is paused does not count.", duration())
                .example(json!("2h")),
            member(
                "deadline",
                "An instant (RFC 3339) computed from the input; the earlier of timeout and deadline holds.",
                reference("expression"),
            )
            .example(json!("${ task.input.due_at }")),
            member("max_parallel", "At most so many steps, or items of a fan-out, of one task at work at once.", whole(1, 10_000)),
            member("priority", "How urgent its tasks are; docs/flow-control.md.", reference("priority")).default(json!(0)),
            member("weight", "Its share where several workflows wait for the same capability.", whole(1, Weight::MAX.into()))
                .default(json!(1)),
            member("concurrency", "How many of its tasks at once, by key.", reference("task_concurrency")),
            member("identity", "Which submissions are the same task.", reference("identity")),
            member("input", "What a task's input must fit.", schema()),
            member("result", "The task's result; absent: the results of the last steps that ran, by name.", reference("mapping")),
            member(
                "on_failure",
                "Handler steps that run, at the same time, before the task ends as failed, after compensation.",
                reference("step_names"),
            ),
            member(
                "systems",
                "The systems that own steps, by name.",
                json!({
                    "type": "object",
                    "propertyNames": { "pattern": "^[A-Za-z0-9_-]{1,64}$" },
                    "additionalProperties": { "$ref": "#/$defs/system" },
                }),
            ),
            member(
                "workflow_steps",
                "The steps.",
                json!({
                    "type": "array", "minItems": 1, "maxItems": Workflow::STEPS_MAX, "items": { "$ref": "#/$defs/step" },
                }),
            ),
        ],
    )
}

fn definitions() -> Value {
    let mut definitions = json!({
        "expression": {
            "type": "string",
            "pattern": "^\\s*\\$\\{[\\s\\S]*\\}\\s*$",
            "description": "A CEL expression, `${ … }`: it may name `task.input`, `task.id`, `steps.<name>.result`, `.status`, `.error`, and where they exist `item`, `item_index` and `task.error`.",
        },
        "mapping": { "description": "Any value; texts in it may hold expressions, `${ … }`." },
        "duration": {
            "type": "string",
            "minLength": 2,
            "pattern": "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$",
            "description": "Whole numbers with units, largest first.",
            "examples": ["250ms", "30s", "1m30s", "2h", "30d"],
        },
        "step_name": identifier(64),
        "step_names": one_of(vec![reference("step_name"), list(reference("step_name"))]),
        "error_code": { "type": "string", "pattern": "^[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+)*$", "maxLength": 64 },
        "constraint": { "type": "string", "description": "Comparisons of versions, joined by commas.", "examples": [">=1.4.0, <2"] },
        "identity": identity(),
        "system": system(),
        "capability": capability(),
        "error": object(
            "An error that a worker may give.",
            &[],
            &[member("description", "What it means.", text()), member("details", "What its details must fit.", schema())],
        ),
        "retry": retry(),
        "timeouts": timeouts(),
    });
    for more in [control::definitions(), flow::definitions()] {
        if let (Value::Object(all), Value::Object(more)) = (&mut definitions, more) {
            all.extend(more);
        }
    }
    definitions
}

fn identifier(longest: usize) -> Value {
    json!({ "type": "string", "pattern": "^[a-z][a-z0-9_]*$", "maxLength": longest })
}

fn version() -> Value {
    json!({ "type": ["string", "number"], "pattern": "^[A-Za-z0-9._+-]{1,64}$" })
}

fn identity() -> Value {
    let fields = json!({ "type": "array", "minItems": 1, "maxItems": 16, "uniqueItems": true, "items": { "type": "string" } });
    let mut identity = object(
        "Which submissions are the same task: exactly one of `fields`, `expression` and `guid`.",
        &[],
        &[
            member("fields", "Fields of the input, as paths, that must be equal.", fields).example(json!(["customer_id", "order.id"])),
            member("expression", "A text that must be equal.", reference("expression")),
            member("guid", "Every submission is a task of its own.", json!({ "const": true })),
            member("window", "How long a second submission counts as the same; at most 30d.", duration()).default(json!("24h")),
            member(
                "on_duplicate",
                "What a second submission is answered.",
                one_of(vec![
                    described(json!({ "const": "existing" }), "The task there is."),
                    described(json!({ "const": "refuse" }), "409 `task.duplicate`."),
                ]),
            )
            .default(json!("existing")),
        ],
    );
    identity["oneOf"] = json!([{ "required": ["fields"] }, { "required": ["expression"] }, { "required": ["guid"] }]);
    identity
}

fn system() -> Value {
    let url = || json!({ "type": "string", "pattern": "^https?://" });
    let transport = one_of(vec![
        described(json!({ "const": "auto" }), "To its workers; over HTTP if there are none."),
        described(json!({ "const": "bus" }), "To workers and plain responders only."),
        described(json!({ "const": "http" }), "Over HTTP, at once."),
    ]);
    let canary = object(
        "Workers of a new version that get a share of the tasks.",
        &["version", "share"],
        &[member("version", "Which workers.", reference("constraint")), member("share", "Percent of the tasks.", whole(0, 100))],
    );
    let mut system = object(
        "An owner of steps.",
        &[],
        &[
            member("base_url", "Where it is called over HTTP, and where people find it.", url()),
            member("health_check_url", "What says whether it is well.", url()),
            member("transport", "How its steps reach it; see docs/http-systems.md.", transport).default(json!("auto")),
            member("canary", "Tries a new version of its workers.", canary),
            member("rate_limit", "How fast all its capabilities together may be asked.", reference("rate_limit")),
            member("capabilities", "What it can do; empty leaves that to its workers.", list(reference("capability"))),
        ],
    );
    system["type"] = json!(["object", "null"]);
    system
}

fn capability() -> Value {
    let name = || json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+)*$", "maxLength": 128 });
    let http = object(
        "How it is asked over HTTP.",
        &[],
        &[
            member(
                "method",
                "With GET and DELETE the input's members are query parameters.",
                json!({ "enum": ["POST", "PUT", "PATCH", "GET", "DELETE"] }),
            )
            .default(json!("POST")),
            member(
                "path",
                "Below the system's base_url; absent: /capabilities/<name>.",
                json!({ "type": "string", "pattern": "^/[^?#]*$", "maxLength": 1024 }),
            ),
        ],
    );
    let breaker = object(
        "When the capability is left alone for a while.",
        &[],
        &[
            member("failures", "So many failures within the window open it.", whole(1, BreakerPolicy::FAILURES_MAX.into())),
            member("window", "Over how long failures are counted.", duration()),
            member("open_for", "How long it is left alone.", duration()),
            member("probes", "How many attempts may try it then.", whole(1, BreakerPolicy::PROBES_MAX.into())),
        ],
    );
    let errors = one_of(vec![
        json!({
            "type": "object",
            "propertyNames": { "$ref": "#/$defs/error_code" },
            "additionalProperties": { "$ref": "#/$defs/error" },
        }),
        list(reference("error_code")),
    ]);
    let full = object(
        "Something that a system can do, with its contract.",
        &["name"],
        &[
            member("name", "What steps ask for.", name()).example(json!("payment.charge")),
            member("description", "What it does.", text()),
            member("timeout", "How long an attempt may take, for steps that set none.", duration()),
            member("input", "What its input must fit.", schema()),
            member("result", "What its result must fit before it counts.", schema()),
            member("errors", "Every error code a worker may give, with the schema of its details.", errors),
            member("http", "How it is asked over HTTP.", http),
            member("breaker", "When it is left alone for a while.", breaker),
            member(
                "slot_cost",
                "How many slots of its worker one attempt takes, unless the handler says so itself.",
                whole(1, crate::slot_cost::SLOT_COST_MAX.into()),
            )
            .default(json!(1)),
            member("rate_limit", "How fast it may be asked.", reference("rate_limit")),
            member("max_concurrent", "At most so many attempts open, over the whole fleet.", whole(1, CONCURRENT_MAX.into())),
            member(
                "max_backlog",
                "Once so many steps wait for it, submissions of workflows that use it are refused with 429.",
                whole(1, crate::flow::BACKLOG_MAX.into()),
            ),
        ],
    );
    one_of(vec![described(name(), "A name alone: whatever its workers announce."), full])
}

fn retry() -> Value {
    object(
        "When a failed attempt is followed by another.",
        &[],
        &[
            member("kind", "How the delay grows.", json!({ "enum": ["fixed", "linear", "exponential", "fibonacci"] }))
                .default(json!("exponential")),
            member("base", "The delay after the first failed attempt.", duration()).default(json!("500ms")),
            member("cap", "The longest delay.", duration()).default(json!("30s")),
            member("jitter", "How the delay is spread.", json!({ "enum": ["none", "equal", "full"] })).default(json!("equal")),
            member("max_attempts", "All attempts, the first included.", whole(1, RetryPolicy::ATTEMPTS_MAX.into())).default(json!(5)),
            member("non_retryable", "Codes after which no attempt follows, whatever the worker says.", list(reference("error_code"))),
        ],
    )
}

fn timeouts() -> Value {
    let full: Value = object(
        "The limits in full.",
        &[],
        &[
            member("waiting", "From ready to an attempt's start; of waits and approvals: how long they wait.", duration()),
            member("running", "From an attempt's start to its reply.", duration()),
            member("total", "From the first time it was ready to its end, retries included.", duration()),
        ],
    );
    one_of(vec![duration(), full])
}
