//! Priorities, rates and limits.

use super::parts::{described, member, object, one_of, reference, whole};
use serde_json::{Value, json};
use tasker_engine::flow::{CONCURRENT_MAX, Priority, Rate};

pub(super) fn definitions() -> Value {
    json!({
        "rate": {
            "type": "string",
            "pattern": "^[0-9]{1,7}/[smh]$",
            "description": "So many per second, minute or hour.",
            "examples": ["50/s", "100/m", "10/h"],
        },
        "rate_limit": one_of(vec![reference("rate"), object(
            "A token bucket.",
            &["rate"],
            &[rate(), burst()],
        )]),
        "keyed_rate": one_of(vec![reference("rate"), object(
            "A token bucket, for each value of a key.",
            &["rate"],
            &[rate(), burst(), member("key", "What has a bucket of its own for each of its values.", reference("expression"))],
        )]),
        "step_concurrency": object(
            "How often the step may be at work at once.",
            &["limit"],
            &[limit(), member("key", "For each value of this; absent: for all together.", reference("expression"))],
        ),
        "task_concurrency": task_concurrency(),
        "priority": priority(),
    })
}

fn rate() -> super::parts::Member {
    member("rate", "How fast in the long run.", reference("rate"))
}

fn burst() -> super::parts::Member {
    member("burst", "How many at once after a quiet time; absent: that of a tenth of a second.", whole(1, Rate::COUNT_MAX.into()))
}

fn limit() -> super::parts::Member {
    member("limit", "At most so many at once.", whole(1, CONCURRENT_MAX.into()))
}

fn task_concurrency() -> Value {
    let word = |word: &str, about: &str| described(json!({ "const": word }), about);
    let on_limit = one_of(vec![
        word("queue", "It waits."),
        word("cancel_newest", "It is cancelled."),
        word("cancel_in_progress", "The oldest one at work is cancelled, and so is whatever waits; it starts once there is room."),
    ]);
    object(
        "How many of the workflow's tasks at once.",
        &["limit"],
        &[
            limit(),
            member("key", "For each value of this, worked out from `task.input`; absent: for all together.", reference("expression")),
            member("on_limit", "What becomes of a task that is one too many.", on_limit).default(json!("queue")),
        ],
    )
}

fn priority() -> Value {
    let number = || json!({ "type": "integer", "minimum": Priority::LOWEST.get(), "maximum": Priority::HIGHEST.get() });
    one_of(vec![
        described(number(), "Of every task whose submission says nothing."),
        object(
            "The default, and what a submission may ask for.",
            &[],
            &[
                member("default", "Of a task whose submission says nothing.", number()),
                member("min", "The lowest that a submission may ask for.", number()).default(json!(Priority::LOWEST.get())),
                member("max", "The highest that a submission may ask for.", number()).default(json!(Priority::HIGHEST.get())),
            ],
        ),
    ])
}
