//! Steps and everything that decides about their course.

use super::parts::{described, duration, member, object, one_of, reference, schema, text, whole};
use serde_json::{Map, Value, json};
use tasker_engine::workflow::ForEach;

/// What makes a step what it is, and which fields mean nothing for it then.
const KINDS: [(&str, &[&str]); 6] = [
    ("owner", &[]),
    ("workflow", &["route", "rate_limit", "concurrency"]),
    ("wait_for", &["input", "retry", "for_each", "compensate", "route", "rate_limit", "concurrency"]),
    ("sleep", &["input", "retry", "for_each", "compensate", "route", "rate_limit", "concurrency", "timeout"]),
    ("approval", &["input", "retry", "for_each", "compensate", "route", "rate_limit", "concurrency"]),
    ("switch", &["input", "retry", "for_each", "compensate", "route", "rate_limit", "concurrency", "timeout"]),
];

/// The definitions of this part.
pub(super) fn definitions() -> Value {
    json!({
        "step": step(),
        "join": join(),
        "for_each": for_each(),
        "child": child(),
        "wait_for": wait_for(),
        "sleep": sleep(),
        "approval": approval(),
        "switch": switch(),
        "route": route(),
        "then": then(),
        "reaction": reaction(),
    })
}

fn step() -> Value {
    let asked = || json!({ "type": "string", "minLength": 1 });
    let on_error = json!({
        "type": "object",
        "propertyNames": { "$ref": "#/$defs/error_code" },
        "additionalProperties": { "$ref": "#/$defs/reaction" },
    });
    let mut step = object(
        "One step, of exactly one kind: a call (`owner`), a child task (`workflow`), `wait_for`, `sleep`, `approval` or `switch`.",
        &["name"],
        &[
            member("name", "Its name; others depend on it and read its result by it.", reference("step_name")),
            member("description", "What it does, for people.", text()),
            member("owner", "The system that runs it.", text()),
            member("capability", "What is asked of the owner.", asked()),
            member("event_pattern", "What is asked of the owner, as older manifests say it.", asked()),
            member("handler", "What is asked of the owner, as a class name; `::` becomes `.`.", asked()),
            member("workflow", "Runs another workflow as this step.", reference("child")),
            member("wait_for", "Waits for a signal to this task, or for an event from outside.", reference("wait_for")),
            member("sleep", "Lets time pass.", reference("sleep")),
            member("approval", "Asks a person to decide.", reference("approval")),
            member("switch", "Chooses a branch.", reference("switch")),
            member("depends_on", "The steps it comes after.", reference("step_names")),
            member("join", "How many of its dependencies must succeed.", reference("join")),
            member("when", "A boolean, looked at once all that it waits for is there; false skips the step.", reference("expression")),
            member("input", "What is sent; absent: the task's input, or the item.", reference("mapping")),
            member("timeout", "How long an attempt, or the waiting, may take.", reference("timeouts")),
            member("retry", "When a failed attempt is followed by another.", reference("retry")),
            member("for_each", "Does it for each item of a list.", reference("for_each")),
            member("on_error", "What follows from a failure, by code; `default` for any other.", on_error),
            member("on_exhausted", "What follows when no further attempt is made and no arm says otherwise.", reference("then")),
            member("compensate", "The handler step that undoes this one.", reference("step_name")),
            member("route", "Which of the owner's workers may run it.", reference("route")),
            member("rate_limit", "How fast the step may be done, over all tasks, by key.", reference("keyed_rate")),
            member("concurrency", "How often the step may be at work at once, over all tasks, by key.", reference("step_concurrency")),
        ],
    );
    step["oneOf"] = KINDS.iter().map(|(mark, _)| json!({ "required": [mark] })).collect();
    let lacking = KINDS.iter().filter(|(_, lacks)| !lacks.is_empty()).map(|(mark, lacks)| {
        let none: Map<String, Value> = lacks.iter().map(|field| ((*field).to_owned(), json!(false))).collect();
        ((*mark).to_owned(), json!({ "properties": none }))
    });
    let asks = |field: &str| ((*field).to_owned(), json!({ "required": ["owner"] }));
    let dependent: Map<String, Value> = lacking.chain(["capability", "event_pattern", "handler"].map(asks)).collect();
    step["dependentSchemas"] = Value::Object(dependent);
    step
}

fn join() -> Value {
    let cancel = || described(json!({ "const": "cancel" }), "The others are withdrawn.");
    let mut counted = object(
        "So many, and what becomes of the others.",
        &[],
        &[
            member("first", "One is enough, and the others are withdrawn.", cancel()),
            member("at_least", "So many are enough.", whole(1, 10_000)),
            member("others", "What becomes of the others; absent: they go on.", cancel()),
        ],
    );
    counted["oneOf"] = json!([{ "required": ["first"] }, { "required": ["at_least"] }]);
    let word = |word: &str, about: &str| described(json!({ "const": word }), about);
    one_of(vec![
        word("all", "Every dependency succeeded."),
        word("any", "Every dependency is over and at least one succeeded."),
        word("done", "Every dependency is over, however it ended."),
        word("first", "One dependency succeeded; the others go on."),
        counted,
    ])
}

fn for_each() -> Value {
    let most = ForEach::ITEMS_MAX as u64;
    let mut counted = object(
        "How many are enough.",
        &[],
        &[
            member("failures", "So many failed items fail the step.", whole(1, most)),
            member("successes", "So many successful items are enough.", whole(1, most)),
        ],
    );
    counted["oneOf"] = json!([{ "required": ["failures"] }, { "required": ["successes"] }]);
    let stop = one_of(vec![
        described(json!({ "const": "on_failure" }), "The first failed item fails the step."),
        described(json!({ "const": "never" }), "All are tried; a failed item leaves `null`."),
        counted,
    ]);
    object(
        "A list, each item of which is worked on by an attempt of its own.",
        &["items"],
        &[
            member("items", "Gives the list, of at most 10,000 items or batches.", reference("expression")),
            member("max_parallel", "How many at once.", whole(1, most)),
            member("batch_size", "`item` is then a list of up to so many.", whole(1, most)),
            member("stop", "What ends it before all items are over.", stop).default(json!("on_failure")),
        ],
    )
}

fn child() -> Value {
    let name = || json!({ "type": "string", "pattern": "^[a-z][a-z0-9_]*$", "maxLength": 128 });
    let mode = one_of(vec![
        described(json!({ "const": "attached" }), "The step is over when the child is, with its result."),
        described(json!({ "const": "detached" }), "The step is over at once, with the child's id."),
    ]);
    let full = object(
        "Another workflow, in full.",
        &["name"],
        &[
            member("name", "Which workflow.", name()),
            member("version", "Which version; absent: the current one when the step starts.", json!({ "type": ["string", "number"] })),
            member("mode", "Whether the step waits for it.", mode).default(json!("attached")),
        ],
    );
    one_of(vec![name(), full])
}

fn wait_for() -> Value {
    let name = || json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+)*$", "maxLength": 255 });
    let mut wait = object(
        "Exactly one of `signal` and `event`; what arrives before the wait is kept.",
        &[],
        &[
            member("signal", "Sent to this task by its id.", name()),
            member("event", "Sent to whoever waits for this name and key.", name()),
            member("key", "Correlates an event; a text.", reference("expression")),
            member("payload", "What must come; anything else is refused to its sender.", schema()),
        ],
    );
    wait["oneOf"] = json!([{ "required": ["signal"], "not": { "required": ["key"] } }, { "required": ["event", "key"] }]);
    wait
}

fn sleep() -> Value {
    let mut full = object(
        "Computed: exactly one of `for` and `until`.",
        &[],
        &[
            member(
                "for",
                "A duration, or an expression that gives one as text or as seconds.",
                one_of(vec![duration(), reference("expression")]),
            ),
            member("until", "An instant in RFC 3339.", reference("expression")),
        ],
    );
    full["oneOf"] = json!([{ "required": ["for"] }, { "required": ["until"] }]);
    one_of(vec![duration(), full])
}

fn approval() -> Value {
    let people = || json!({ "type": "array", "maxItems": 100, "items": { "type": "string" } });
    let escalate = object(
        "Who is asked as well after a while.",
        &["after", "to"],
        &[member("after", "After how long.", duration()), member("to", "Who.", people())],
    );
    object(
        "Asks a person; the result is `{ decision, by, comment, form }`.",
        &["title"],
        &[
            member("title", "One line; may hold expressions.", text()),
            member("description", "What they should know; may hold expressions.", text()),
            member("form", "What they fill in.", schema()),
            member("assignees", "Who is asked; absent: anybody.", people()),
            member("remind_every", "How often they are reminded.", duration()),
            member("escalate", "Who is asked as well after a while.", escalate),
        ],
    )
}

fn switch() -> Value {
    object(
        "Runs the steps of one case; those of all others are skipped.",
        &["on", "cases"],
        &[
            member("on", "The value looked at.", reference("expression")),
            member(
                "cases",
                "By value, the steps that run.",
                json!({
                    "type": "object",
                    "minProperties": 1,
                    "maxProperties": 1000,
                    "propertyNames": { "not": { "const": "default" } },
                    "additionalProperties": { "$ref": "#/$defs/step_names" },
                }),
            ),
            member(
                "default",
                "The steps that run for any other value; needed unless the cases cover every value.",
                reference("step_names"),
            ),
        ],
    )
}

fn route() -> Value {
    let labels = json!({ "type": "object", "minProperties": 1, "maxProperties": 32, "additionalProperties": { "type": "string", "maxLength": 256 } });
    let mut route = object(
        "Which of the owner's workers may run the step.",
        &[],
        &[
            member("version", "Only builds whose version fits.", reference("constraint")),
            member("labels", "Only workers that announced all of these.", labels),
            member("sticky", "Steps with the same key prefer the same worker.", reference("expression")),
        ],
    );
    route["minProperties"] = json!(1);
    route
}

fn then() -> Value {
    let word = |word: &str, about: &str| described(json!({ "const": word }), about);
    one_of(vec![
        word("compensate", "The task ends as failed, after the compensation of every step that succeeded."),
        word("fail", "The task ends as failed, without compensation."),
        word("continue", "The step stays failed; dependants decide by their `join`."),
        word("wait", "The step waits for a person."),
        object("Another step takes its place.", &["fallback"], &[member("fallback", "The step.", reference("step_name"))]),
    ])
}

fn reaction() -> Value {
    let full = object(
        "Another attempt, whatever the worker said.",
        &["retry"],
        &[
            member("retry", "When and how often.", reference("retry")),
            member("then", "What follows when no attempt is left.", reference("then")).default(json!("compensate")),
        ],
    );
    let retry = described(json!({ "const": "retry" }), "Another attempt by the step's own policy, whatever the worker said.");
    one_of(vec![reference("then"), retry, full])
}
