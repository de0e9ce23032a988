//! What waits for each capability, what holds it back, and what operators say about it.
//!
//! An operator's word is not stored: a coordinator that starts anew follows what manifests declare. Each leaves a line in the log.

use crate::app::App;
use crate::instant::{Instant, millis};
use crate::nearest::did_you_mean;
use crate::problem::{Code, Problem, ProblemBody};
use crate::request::Ask;
use crate::request::body::{self, REASON_BYTES_MAX};
use crate::request::members::{Members, wrong};
use crate::request::query::cut;
use crate::view::Items;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::time::Duration;
use tasker_engine::flow::{CONCURRENT_MAX, CapabilityLimits, Rate};
use tasker_runtime::operations::{Hold, QueueChange, QueueState, Target, Word};
use utoipa::ToSchema;

/// The most steps that a backlog limit may allow.
const BACKLOG_MAX: u32 = 10_000_000;

/// A rate, as manifests write it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Rate)]
struct RateDetail {
    /// So many per second, minute or hour.
    #[schema(example = "50/s")]
    rate: String,
    /// How many at once after a quiet time.
    burst: u32,
}

/// What limits a queue; null: nothing.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QueueLimits)]
struct LimitsDetail {
    rate_limit: Option<RateDetail>,
    /// At most so many attempts open, over the whole fleet.
    max_concurrent: Option<u32>,
    /// Once so many steps wait, submissions that need the capability are refused.
    max_backlog: Option<u32>,
}

/// What keeps every step of a queue from starting.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QueueHold)]
struct HoldDetail {
    /// `paused`, `bulkhead`, `rate` or `system_rate`; more may come.
    by: &'static str,
    /// When the next token is there, of a rate.
    next_in_ms: Option<u64>,
}

/// The queue of a capability.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Queue)]
pub(crate) struct QueueDetail {
    system: String,
    capability: String,
    /// How many steps wait.
    waiting: usize,
    /// Since when the oldest does.
    oldest_waiting: Option<Instant>,
    /// How many attempts are open.
    open: u32,
    /// How many attempts start per second, over the last half minute or so.
    starts_per_second: f64,
    /// Whether an operator paused it.
    paused: bool,
    /// What holds now.
    limits: LimitsDetail,
    /// What the manifests say; an operator's word goes before it.
    declared: LimitsDetail,
    /// How fast its whole system may be asked.
    system_rate: Option<String>,
    /// What keeps every step from starting now; null if nothing does, besides workers without a free slot.
    held_by: Option<HoldDetail>,
    /// Where its breaker stands, if it has one.
    breaker: Option<&'static str>,
}

impl LimitsDetail {
    fn of(limits: CapabilityLimits) -> Self {
        let rate_limit = limits.rate.map(|rate| RateDetail { rate: rate.to_string(), burst: rate.burst() });
        Self { rate_limit, max_concurrent: limits.max_concurrent, max_backlog: limits.max_backlog }
    }
}

impl QueueDetail {
    fn of(state: QueueState) -> Self {
        let queue = state.queue;
        let held_by = queue.and_then(|queue| queue.hold).map(|hold| HoldDetail {
            by: match hold {
                Hold::Paused => "paused",
                Hold::Full { .. } => "bulkhead",
                Hold::Rate { of_system: true, .. } => "system_rate",
                Hold::Rate { of_system: false, .. } => "rate",
            },
            next_in_ms: state.next_in.map(millis),
        });
        Self {
            system: state.target.system.to_string(),
            capability: state.target.capability.to_string(),
            waiting: queue.map_or(0, |queue| queue.waiting),
            oldest_waiting: state.oldest_waiting.map(Instant),
            open: queue.map_or(0, |queue| queue.open),
            starts_per_second: queue.map_or(0.0, |queue| (queue.starts_per_second * 100.0).round() / 100.0),
            paused: queue.is_some_and(|queue| queue.orders.paused),
            limits: LimitsDetail::of(queue.map(|queue| queue.limits).unwrap_or_default()),
            declared: LimitsDetail::of(queue.map(|queue| queue.declared).unwrap_or_default()),
            system_rate: queue.and_then(|queue| queue.system_rate).map(|rate| rate.to_string()),
            held_by,
            breaker: state.breaker.map(|breaker| breaker.as_str()),
        }
    }
}

/// Lists the queue of every known capability.
#[utoipa::path(get, path = "/v1/queues", tag = "registry", operation_id = "list_queues",
    params(("namespace" = Option<String>, Query)),
    responses((status = 200, body = Items<QueueDetail>)))]
pub(crate) async fn list(State(app): State<App>, ask: Ask) -> Result<Response, Problem> {
    let query = app.query(&ask, &[])?;
    let all = app.read(app.operations.queues(&query.namespace), Duration::ZERO).await?;
    Ok(Json(Items { items: all.into_iter().map(QueueDetail::of).collect() }).into_response())
}

/// Shows the queue of a capability.
#[utoipa::path(get, path = "/v1/queues/{system}/{name}", tag = "registry", operation_id = "show_queue",
    params(("system" = String, Path), ("name" = String, Path), ("namespace" = Option<String>, Query)),
    responses(
        (status = 200, body = QueueDetail),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "capability.unknown"),
    ))]
pub(crate) async fn show(State(app): State<App>, ask: Ask) -> Result<Response, Problem> {
    let query = app.query(&ask, &[])?;
    let (system, name) = (ask.segment("system")?, ask.segment("name")?);
    let mut all = app.read(app.operations.queues(&query.namespace), Duration::ZERO).await?;
    let is_it = |state: &QueueState| state.target.system.as_str() == system && state.target.capability.as_str() == name;
    match all.iter().position(is_it) {
        Some(place) => Ok(Json(QueueDetail::of(all.swap_remove(place))).into_response()),
        None => {
            let known = all.iter().filter(|state| state.target.system.as_str() == system).map(|state| state.target.capability.as_str());
            let hint = did_you_mean(name, known).unwrap_or_else(|| "GET /v1/queues lists what is known".to_owned());
            Err(unknown(system, name).with_hint(hint))
        }
    }
}

fn unknown(system: &str, name: &str) -> Problem {
    Problem::new(Code::CapabilityUnknown, format!("nobody ever spoke of a capability `{}` of system `{}`", cut(name), cut(system)))
}

/// What an operator changes; what is absent stays as it is.
#[derive(ToSchema)]
#[schema(as = QueueChange)]
#[expect(dead_code, reason = "gives the request its schema")]
pub(crate) struct ChangeBody {
    /// `true`: nothing starts until somebody says otherwise; what is at work goes on.
    paused: Option<bool>,
    /// A rate such as `50/s`, `unlimited`, or `declared`: as the manifests say.
    rate_limit: Option<String>,
    /// With `rate_limit`: how many at once after a quiet time.
    burst: Option<u32>,
    /// A whole number, `unlimited`, or `declared`.
    #[schema(value_type = Option<serde_json::Value>)]
    max_concurrent: Option<serde_json::Value>,
    /// A whole number, `unlimited`, or `declared`.
    #[schema(value_type = Option<serde_json::Value>)]
    max_backlog: Option<serde_json::Value>,
}

/// Pauses or resumes a queue, or changes its limits until the coordinator starts anew. Answers with the queue as it stands then.
#[utoipa::path(post, path = "/v1/queues/{system}/{name}", tag = "registry", operation_id = "change_queue",
    params(("system" = String, Path), ("name" = String, Path), ("namespace" = Option<String>, Query)),
    request_body(content = ChangeBody, content_type = "application/json"),
    responses(
        (status = 200, body = QueueDetail),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "capability.unknown"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn change(State(app): State<App>, ask: Ask, body: Body) -> Result<Response, Problem> {
    let query = app.query(&ask, &[])?;
    let (system, name) = (ask.segment("system")?, ask.segment("name")?);
    let target = Target {
        namespace: query.namespace,
        system: system.parse().map_err(|_| unknown(system, name))?,
        capability: name.parse().map_err(|_| unknown(system, name))?,
    };
    let arrived = body::read(&app.body_memory, &ask.headers, body, REASON_BYTES_MAX).await?;
    body::must_be_json(&ask.headers)?;
    let change = change_of(&arrived.bytes)?;
    let state = app.change(app.operations.change_queue(target, change)).await?;
    Ok(Json(QueueDetail::of(state)).into_response())
}

fn change_of(body: &[u8]) -> Result<QueueChange, Problem> {
    let members = Members::of_body(body)?;
    members.only(&["paused", "rate_limit", "burst", "max_concurrent", "max_backlog"])?;
    let paused = match members.raw("paused").map(|raw| raw.get()) {
        None | Some("null") => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(_) => return Err(wrong("/paused", "expected `true` or `false`".to_owned())),
    };
    let change = QueueChange {
        paused,
        rate: rate_of(&members)?,
        max_concurrent: number_of(&members, "max_concurrent", CONCURRENT_MAX)?,
        max_backlog: number_of(&members, "max_backlog", BACKLOG_MAX)?,
    };
    match change == QueueChange::default() {
        true => {
            Err(wrong("", "nothing is changed: give at least one of `paused`, `rate_limit`, `max_concurrent`, `max_backlog`".to_owned()))
        }
        false => Ok(change),
    }
}

fn rate_of(members: &Members<'_>) -> Result<Option<Word<Rate>>, Problem> {
    let burst = match number_of(members, "burst", Rate::COUNT_MAX)? {
        None => None,
        Some(Word::Limit(burst)) => Some(burst),
        Some(Word::Declared | Word::Unlimited) => return Err(wrong("/burst", "expected a whole number".to_owned())),
    };
    let Some(written) = members.text("rate_limit")? else {
        return match burst {
            None => Ok(None),
            Some(_) => Err(wrong("/burst", "there is a `burst` only with a `rate_limit`".to_owned())),
        };
    };
    match (written.as_ref(), burst) {
        ("declared", None) => Ok(Some(Word::Declared)),
        ("unlimited", None) => Ok(Some(Word::Unlimited)),
        (text, burst) => {
            let rate = Rate::parse(text).and_then(|rate| burst.map_or(Some(rate), |burst| rate.with_burst(burst)));
            let refused =
                || wrong("/rate_limit", format!("`{}` is no rate; write `50/s`, `100/m`, `10/h`, `unlimited` or `declared`", cut(text)));
            rate.map(|rate| Some(Word::Limit(rate))).ok_or_else(refused)
        }
    }
}

fn number_of(members: &Members<'_>, name: &str, most: u32) -> Result<Option<Word<u32>>, Problem> {
    let Some(written) = members.raw(name).map(|raw| raw.get()) else { return Ok(None) };
    match written {
        "null" => Ok(None),
        "\"declared\"" => Ok(Some(Word::Declared)),
        "\"unlimited\"" => Ok(Some(Word::Unlimited)),
        number => match number.parse().ok().filter(|number| (1..=most).contains(number)) {
            Some(number) => Ok(Some(Word::Limit(number))),
            None => Err(wrong(&format!("/{name}"), format!("expected a whole number from 1 to {most}, `unlimited` or `declared`"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_says_what_changes_and_nothing_else() {
        let change = |body: &str| change_of(body.as_bytes());
        assert_eq!(change(r#"{"paused":true}"#).expect("fine"), QueueChange { paused: Some(true), ..QueueChange::default() });
        let rate = Rate::parse("5/m").and_then(|rate| rate.with_burst(3)).expect("in range");
        let all = change(r#"{"rate_limit":"5/m","burst":3,"max_concurrent":"unlimited","max_backlog":"declared"}"#).expect("fine");
        let expected = QueueChange {
            paused: None,
            rate: Some(Word::Limit(rate)),
            max_concurrent: Some(Word::Unlimited),
            max_backlog: Some(Word::Declared),
        };
        assert_eq!(all, expected);
        for (body, pointer) in [
            ("{}", ""),
            (r#"{"paused":"yes"}"#, "/paused"),
            (r#"{"rate_limit":"5/d"}"#, "/rate_limit"),
            (r#"{"rate_limit":"unlimited","burst":3}"#, "/rate_limit"),
            (r#"{"burst":3}"#, "/burst"),
            (r#"{"max_concurrent":0}"#, "/max_concurrent"),
            (r#"{"max_concurrent":"many"}"#, "/max_concurrent"),
            (r#"{"max_backlog":1.5}"#, "/max_backlog"),
        ] {
            assert_eq!(change(body).expect_err(body).errors[0].pointer, pointer, "{body}");
        }
        assert_eq!(change(r#"{"limit":3}"#).expect_err("unknown").code, Code::RequestUnknownField);
    }
}
