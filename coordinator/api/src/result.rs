//! What came of a task, now or as soon as it is over.

use crate::app::App;
use crate::instant::parse_duration;
use crate::problem::{Code, Place, Problem, ProblemBody};
use crate::request::Ask;
use crate::request::query::{Query, cut, malformed};
use crate::server::Closing;
use crate::tasks;
use crate::view::TaskResult;
use axum::extract::State;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use std::time::Duration;

/// Longer waits are cut by proxies in between; whoever wants to wait longer asks again.
const WAIT_MAX: Duration = Duration::from_secs(60);

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The outcome of a task: 200 if it is over, 202 if not. With `wait`, the answer is held back until it is over or the time is up.
#[utoipa::path(get, path = "/v1/tasks/{id}/result", tag = "tasks", operation_id = "task_result",
    params(
        ("id" = String, Path),
        ("namespace" = Option<String>, Query),
        ("wait" = Option<String>, Query, description = "How long to wait for the end: `30s`, at most 60s"),
        ("Prefer" = Option<String>, Header, description = "`wait=30`: the same in seconds; more than 60 is cut"),
    ),
    responses(
        (status = 200, body = TaskResult, description = "The task is over"),
        (status = 202, body = TaskResult, description = "The task is still running"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "wait.too_many: too many clients wait"),
    ))]
pub(crate) async fn show(State(app): State<App>, closing: Option<Extension<Closing>>, ask: Ask) -> Result<Response, Problem> {
    let query = app.query(&ask, &["wait"])?;
    let id = ask.task_id()?;
    let wait = wait(&query, &ask.headers)?;
    let operations = &app.operations;
    let view = match wait.time.is_zero() {
        true => app.read(operations.task(&query.namespace, id), Duration::ZERO).await?,
        false => {
            let _place = app.gate.enter()?;
            tokio::select! {
                view = app.read(operations.wait_finished(&query.namespace, id, wait.time), wait.time) => view?,
                // Nobody waits through a shutdown: the client gets the state of now and asks again.
                () = Closing::of(closing) => app.read(operations.task(&query.namespace, id), Duration::ZERO).await?,
            }
        }
    };
    let view = view.ok_or_else(|| tasks::unknown(id, &query.namespace))?;
    let mut headers = HeaderMap::new();
    if wait.preferred
        && let Ok(value) = HeaderValue::from_str(&format!("wait={}", wait.time.as_secs()))
    {
        headers.insert(PREFERENCE_APPLIED, value);
    }
    let status = match view.task.status.is_terminal() {
        true => StatusCode::OK,
        false => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            StatusCode::ACCEPTED
        }
    };
    Ok((status, headers, Json(TaskResult::of(&view.task))).into_response())
}

#[derive(Debug, PartialEq)]
struct Wait {
    time: Duration,
    /// Whether it came as a preference, whose use is acknowledged (RFC 7240).
    preferred: bool,
}

fn wait(query: &Query, headers: &HeaderMap) -> Result<Wait, Problem> {
    if let Some(text) = query.one("wait")? {
        let time = parse_duration(text).ok_or_else(|| {
            malformed("wait", &format!("`{}` is not a duration", cut(text))).with_hint("write a number and a unit: 500ms, 30s, 1m")
        })?;
        if time > WAIT_MAX {
            let place = Place::new("?wait", format!("at most {} s can be waited for", WAIT_MAX.as_secs()));
            return Err(Problem::at(Code::LimitExceeded, place).with_hint("ask again when the answer is 202"));
        }
        return Ok(Wait { time, preferred: false });
    }
    // A preference is a wish: what cannot be read is ignored, and what is too much is cut.
    let preferences = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split([',', ';']));
    let seconds = preferences.filter_map(|one| one.split_once('=')).find_map(|(name, value)| {
        let seconds: u64 = value.trim().trim_matches('"').parse().ok()?;
        name.trim().eq_ignore_ascii_case("wait").then_some(seconds)
    });
    Ok(match seconds {
        Some(seconds) => Wait { time: Duration::from_secs(seconds).min(WAIT_MAX), preferred: true },
        None => Wait { time: Duration::ZERO, preferred: false },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Uri;
    use tasker_engine::Namespace;

    fn check(query: &str, prefer: &[&'static str]) -> Result<Wait, Problem> {
        let uri: Uri = format!("/v1/tasks/x/result?{query}").parse().expect("a URI");
        let query = Query::read(&uri, &["wait"], &Namespace::new("default").expect("valid")).expect("known");
        let mut headers = HeaderMap::new();
        for text in prefer {
            headers.append("prefer", HeaderValue::from_static(text));
        }
        wait(&query, &headers)
    }

    fn seconds(time: u64, preferred: bool) -> Wait {
        Wait { time: Duration::from_secs(time), preferred }
    }

    #[test]
    fn the_parameter_is_a_demand_and_the_header_is_a_wish() {
        assert_eq!(check("", &[]).expect("no wait"), seconds(0, false));
        assert_eq!(check("wait=30s", &["wait=5"]).expect("the parameter wins"), seconds(30, false));
        assert_eq!(check("wait=1m", &[]).expect("the most"), seconds(60, false));
        assert_eq!(check("wait=61s", &[]).expect_err("too long").code, Code::LimitExceeded);
        assert_eq!(check("wait=30", &[]).expect_err("no unit").code, Code::RequestMalformed);
        assert_eq!(check("", &["respond-async, wait=10"]).expect("fine"), seconds(10, true));
        assert_eq!(check("", &["return=minimal", "Wait=\"10\""]).expect("fine"), seconds(10, true));
        assert_eq!(check("", &["wait=3600"]).expect("cut"), seconds(60, true));
        assert_eq!(check("", &["wait=soon"]).expect("ignored"), seconds(0, false));
    }
}
