//! What waits for capabilities, and what holds it back.

use super::fields;
use crate::answers::queues::{QueueDetail, QueueHold, QueueLimits};
use crate::look::{Look, Tone};
use crate::table::{self, Table};
use crate::text;

pub(crate) fn list(queues: &[QueueDetail], look: &Look) -> String {
    if queues.is_empty() {
        return "No capabilities in this namespace yet, so nothing can wait for one.\n".to_owned();
    }
    let mut table = Table::new(&["!system", "!capability", "waiting", "oldest", "open", "starts/s", "rate", "held by"]);
    for queue in queues {
        let open = match queue.limits.max_concurrent {
            Some(most) => format!("{}/{most}", queue.open),
            None => queue.open.to_string(),
        };
        table.row(vec![
            table::plain(&queue.system),
            table::plain(&queue.capability),
            queue.waiting.to_string(),
            oldest(queue, look).unwrap_or_else(|| "-".to_owned()),
            open,
            format!("{:.1}", queue.starts_per_second),
            table::optional(queue.limits.rate_limit.as_ref().map(|rate| rate.rate.as_str())),
            queue.held_by.as_ref().map_or_else(|| "-".to_owned(), held_by),
        ]);
    }
    table.render(look)
}

pub(crate) fn one(queue: &QueueDetail, look: &Look) -> String {
    let name = format!("{} · {}", text::clean(&queue.system), text::clean(&queue.capability));
    let mut out = format!("{}\n", look.paint(Tone::Strong, &name));
    out.push_str(&fields(
        look,
        &[
            ("waiting", Some(text::counted(usize::try_from(queue.waiting).unwrap_or(usize::MAX), "step"))),
            ("oldest", oldest(queue, look).map(|age| format!("has waited {age}"))),
            ("open", Some(text::counted(usize::try_from(queue.open).unwrap_or(usize::MAX), "attempt"))),
            ("starts", Some(format!("{:.1} per second", queue.starts_per_second))),
            ("paused", queue.paused.then(|| "by an operator".to_owned())),
            ("held by", queue.held_by.as_ref().map(held_by)),
            ("breaker", queue.breaker.as_deref().map(text::clean)),
            ("limits", Some(limits(&queue.limits))),
            ("declared", (queue.limits != queue.declared).then(|| limits(&queue.declared))),
            ("system rate", queue.system_rate.as_deref().map(text::clean)),
        ],
    ));
    out
}

fn oldest(queue: &QueueDetail, look: &Look) -> Option<String> {
    queue.oldest_waiting.map(|since| text::duration(text::milliseconds_between(since, look.now)))
}

fn held_by(hold: &QueueHold) -> String {
    let next = hold.next_in_ms.map(|next| format!(", next token in {}", text::duration(next)));
    format!("{}{}", text::clean(&hold.by).replace('_', " "), next.unwrap_or_default())
}

/// `50/s (burst 5), at most 8 open, at most 10000 waiting`.
fn limits(limits: &QueueLimits) -> String {
    let rate = limits.rate_limit.as_ref().map(|rate| format!("{} (burst {})", text::clean(&rate.rate), rate.burst));
    let open = limits.max_concurrent.map(|most| format!("at most {most} open"));
    let waiting = limits.max_backlog.map(|most| format!("at most {most} waiting"));
    let all: Vec<String> = [rate, open, waiting].into_iter().flatten().collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: &str = r#"{"system":"node_payments","capability":"payment.charge","waiting":12,"oldest_waiting":"2026-11-21T10:00:00Z","open":8,
        "starts_per_second":3.25,"paused":false,"limits":{"rate_limit":{"rate":"50/s","burst":5},"max_concurrent":8,"max_backlog":null},
        "declared":{"rate_limit":null,"max_concurrent":8,"max_backlog":10000},"held_by":{"by":"rate","next_in_ms":180},"breaker":"closed"}"#;

    #[test]
    fn a_queue_is_shown_with_what_holds_it_back() {
        let queue: QueueDetail = serde_json::from_str(QUEUE).expect("reads");
        let look = Look { now: "2026-11-21T10:00:12Z".parse().expect("an instant"), width: Some(150), ..Look::plain() };
        insta::assert_snapshot!(format!("{}\n{}", list(std::slice::from_ref(&queue), &look), one(&queue, &look)));
    }
}
