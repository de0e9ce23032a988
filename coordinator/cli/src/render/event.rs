//! Events, one line each: readable while they scroll by, and a record each for `grep`.

use super::brief;
use crate::answers::Event;
use crate::look::{Look, Tone};
use crate::text;

/// What an event says about itself, beside its step; longer payloads are for `-o json`.
const DATA_CHARACTERS_MAX: usize = 160;

/// `   4  07:00:12.345  attempt_failed     charge #2  code=card_declined …`, with a line break.
pub(crate) fn line(event: &Event, look: &Look) -> String {
    let place = match (&event.step, event.attempt) {
        (Some(step), Some(attempt)) => format!("{} #{attempt}", text::clean(step)),
        (Some(step), None) => text::clean(step),
        (None, _) => String::new(),
    };
    let data = event.data.as_ref().map(|data| brief(&serde_json::Value::Object(data.clone()), usize::MAX)).unwrap_or_default();
    let head = format!("{:>4}  {}  ", event.number, text::time_of_day(event.at));
    let name = format!("{:<18}", text::clean(&event.event));
    let place = format!("  {place:<24}  ");
    let used = head.chars().count() + name.chars().count() + place.chars().count();
    let room = look.width.map_or(DATA_CHARACTERS_MAX, |width| usize::from(width).saturating_sub(used).max(20));
    let rest = format!("{place}{}", text::shorten(&data, room));
    let (name, rest) = if rest.trim_end().is_empty() { (name.trim_end(), "") } else { (name.as_str(), rest.trim_end()) };
    let name = tone(&event.event).map_or_else(|| name.to_owned(), |tone| look.paint(tone, name));
    format!("{}{name}{rest}\n", look.paint(Tone::Dim, &head))
}

fn tone(name: &str) -> Option<Tone> {
    match name {
        "task_succeeded" | "step_succeeded" => Some(Tone::Good),
        "task_failed" | "step_failed" => Some(Tone::Bad),
        "step_held" => Some(Tone::Bad),
        "attempt_failed" | "reply_conflicted" | "cancel_requested" | "wait_started" | "approval_escalated" | "fallback_started"
        | "task_ending" | "task_paused" => Some(Tone::Busy),
        "wait_satisfied" | "fallback_taken" | "step_collected" => Some(Tone::Good),
        "task_cancelled" | "step_cancelled" | "step_skipped" | "step_parked" => Some(Tone::Dim),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_one_line_each() {
        let events = [
            r#"{"number":1,"at":"2026-11-21T07:00:12.345Z","event":"task_accepted","step":null,"attempt":null,"data":{"workflow":"process_order","version":"2.0.0"}}"#,
            r#"{"number":3,"at":"2026-11-21T07:00:12.350Z","event":"attempt_started","step":"validate_order","attempt":1,"data":{"worker":"aB3dE5gH7jK9mN1p"}}"#,
            r#"{"number":12,"at":"2026-11-21T07:00:14.001Z","event":"attempt_failed","step":"charge_payment","attempt":2,"data":{"failure":{"kind":"retryable","code":"card.declined","message":"the bank\u001b[2J says no"},"retry_at":"2026-11-21T07:00:15.001Z"}}"#,
            r#"{"number":13,"at":"2026-11-21T07:00:14.002Z","event":"step_jumped_over","step":"send_mail"}"#,
            r#"{"number":14,"at":"2026-11-21T07:00:14.003Z","event":"wait_started","step":"review","attempt":null,"data":{"waits_for":"approval","name":"Approve A-7","until":"2026-11-22T07:00:00Z","assignees":["legal","ada"]}}"#,
            r#"{"number":15,"at":"2026-11-21T07:00:15.000Z","event":"approval_commented","step":"review","attempt":null,"data":{"by":"ada","comment":"looks\u001b[2J fine"}}"#,
            r#"{"number":16,"at":"2026-11-21T07:00:15.001Z","event":"step_skipped","step":"gift","attempt":null,"data":{"reason":"condition"}}"#,
            r#"{"number":17,"at":"2026-11-21T07:00:15.002Z","event":"step_fanned_out","step":"resize","attempt":null,"data":{"items":70}}"#,
            r#"{"number":18,"at":"2026-11-21T07:00:15.003Z","event":"step_resolved","step":"ship","attempt":null,"data":{"result":{"id":1},"by":"ada","resolution":"supply"}}"#,
            r#"{"number":19,"at":"2026-11-21T07:00:15.004Z","event":"task_ending","step":null,"attempt":null,"data":{"failure":{"kind":"permanent","code":"card.declined","message":"no"},"compensate":true}}"#,
            r#"{"number":20,"at":"2026-11-21T07:00:15.005Z","event":"task_resumed","step":null,"attempt":null,"data":{}}"#,
        ];
        let lines: String =
            events.iter().map(|event| line(&serde_json::from_str(event).expect("fits the contract"), &Look::plain())).collect();
        insta::assert_snapshot!(lines);
    }
}
