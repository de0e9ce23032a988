//! Orders of operators about what may be dispatched and where: breakers by hand, drained workers and builds.
//!
//! None of them is stored: a coordinator that starts anew follows what manifests declare. Each leaves a line in the log.

use crate::app::App;
use crate::nearest::did_you_mean;
use crate::problem::{Code, Place, Problem, ProblemBody};
use crate::request::Ask;
use crate::request::body::{self, REASON_BYTES_MAX};
use crate::request::members::{Members, wrong};
use crate::request::query::cut;
use crate::view::{CapabilityDetail, WorkerDetail};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tasker_engine::SystemName;
use tasker_runtime::operations::{Override, Target};
use utoipa::ToSchema;

/// What an operator may demand of a breaker.
const DEMANDS: [Override; 3] = [Override::Open, Override::Closed, Override::Auto];

/// As long as a version in the registry may be.
const VERSION_BYTES_MAX: usize = 1_024;

/// What an operator demands of a breaker.
#[derive(ToSchema)]
#[schema(as = BreakerOverride)]
#[expect(dead_code, reason = "gives the request its schema")]
pub(crate) struct OverrideBody {
    /// `open`: nothing is dispatched until somebody says otherwise. `close`: everything is, whatever fails. `auto`: its policy decides.
    r#override: String,
}

/// Opens or closes a capability's breaker by hand, or lets it follow its policy again. Answers with the capability as it stands then.
#[utoipa::path(post, path = "/v1/capabilities/{system}/{name}/breaker", tag = "registry", operation_id = "override_breaker",
    params(("system" = String, Path), ("name" = String, Path), ("namespace" = Option<String>, Query)),
    request_body(content = OverrideBody, content_type = "application/json"),
    responses(
        (status = 200, body = CapabilityDetail),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "capability.unknown"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn override_breaker(State(app): State<App>, ask: Ask, body: Body) -> Result<Response, Problem> {
    let query = app.query(&ask, &[])?;
    let (system, name) = (ask.segment("system")?, ask.segment("name")?);
    let unknown =
        |_| Problem::new(Code::CapabilityUnknown, format!("nobody ever spoke of a capability `{}` of system `{}`", cut(name), cut(system)));
    let system = system.parse().map_err(unknown)?;
    let capability = name.parse().map_err(unknown)?;
    let arrived = body::read(&app.body_memory, &ask.headers, body, REASON_BYTES_MAX).await?;
    body::must_be_json(&ask.headers)?;
    let operator = demand_of(&arrived.bytes)?;
    let target = Target { namespace: query.namespace, system, capability };
    let view = app.change(app.operations.override_breaker(target, operator)).await?;
    Ok(Json(CapabilityDetail::of(view)).into_response())
}

fn demand_of(body: &[u8]) -> Result<Override, Problem> {
    let members = Members::of_body(body)?;
    members.only(&["override"])?;
    members.required("override")?;
    let word = members.text("override")?.unwrap_or_default();
    Override::from_word(&word).ok_or_else(|| {
        let known = DEMANDS.map(Override::as_str);
        let message = format!("`{}` is no demand; known are `open`, `close` and `auto`", cut(&word));
        let problem = wrong("/override", message);
        match did_you_mean(&word, known) {
            Some(hint) => problem.with_hint(hint),
            None => problem,
        }
    })
}

/// Whose worker is meant.
#[derive(ToSchema)]
#[schema(as = WorkerDrain)]
#[expect(dead_code, reason = "gives the request its schema")]
pub(crate) struct DrainWorkerBody {
    /// Its system; needed only if workers of two systems chose the same session.
    system: Option<String>,
}

/// Gives a worker nothing new and asks it to finish what it holds and leave. Asked again, it answers the same.
#[utoipa::path(post, path = "/v1/workers/{session}/drain", tag = "registry", operation_id = "drain_worker",
    params(("session" = String, Path), ("namespace" = Option<String>, Query)),
    request_body(content = Option<DrainWorkerBody>, content_type = "application/json"),
    responses(
        (status = 200, body = WorkerDetail),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "worker.unknown"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "worker.ambiguous"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn drain_worker(State(app): State<App>, ask: Ask, body: Body) -> Result<Response, Problem> {
    let query = app.query(&ask, &[])?;
    let session = ask.segment("session")?;
    let arrived = body::read(&app.body_memory, &ask.headers, body, REASON_BYTES_MAX).await?;
    let system: Option<SystemName> = match arrived.bytes.is_empty() {
        true => None,
        false => {
            body::must_be_json(&ask.headers)?;
            let members = Members::of_body(&arrived.bytes)?;
            members.only(&["system"])?;
            members.parsed("system")?
        }
    };
    let view = app.change(app.operations.drain_worker(&query.namespace, session, system)).await?;
    Ok(Json(WorkerDetail::of(view)).into_response())
}

/// Which build is drained.
#[derive(ToSchema)]
#[schema(as = VersionDrain)]
#[expect(dead_code, reason = "gives the request its schema")]
pub(crate) struct DrainVersionBody {
    /// As its workers announce it.
    version: String,
    /// Gives its workers work again.
    undo: Option<bool>,
}

/// A build of a system that gets nothing new, or does again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DrainedVersion {
    system: String,
    version: String,
    /// Whether its workers get nothing new.
    drained: bool,
    /// How many live workers it is about; those that join later are held to it, too.
    workers: usize,
}

/// Gives the workers of a build nothing new, those that join later included; they stay and finish what they hold. `undo` takes that back.
#[utoipa::path(post, path = "/v1/systems/{name}/drain", tag = "registry", operation_id = "drain_version",
    params(("name" = String, Path), ("namespace" = Option<String>, Query)),
    request_body(content = DrainVersionBody, content_type = "application/json"),
    responses(
        (status = 200, body = DrainedVersion),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "system.unknown"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn drain_version(State(app): State<App>, ask: Ask, body: Body) -> Result<Response, Problem> {
    let query = app.query(&ask, &[])?;
    let name = ask.segment("name")?;
    let unknown = |_| Problem::new(Code::SystemUnknown, format!("nobody ever spoke of a system `{}`", cut(name)));
    let system: SystemName = name.parse().map_err(unknown)?;
    let arrived = body::read(&app.body_memory, &ask.headers, body, REASON_BYTES_MAX).await?;
    body::must_be_json(&ask.headers)?;
    let (version, undo) = version_of(&arrived.bytes)?;
    let done = app.operations.drain_version(&query.namespace, system, &version, undo);
    let done = app.change(done).await?;
    let answer = DrainedVersion { system: done.system.to_string(), version: done.version, drained: done.drained, workers: done.workers };
    Ok(Json(answer).into_response())
}

fn version_of(body: &[u8]) -> Result<(String, bool), Problem> {
    let members = Members::of_body(body)?;
    members.only(&["version", "undo"])?;
    members.required("version")?;
    let version = members.text("version")?.ok_or_else(|| wrong("/version", "expected text, found null".to_owned()))?.into_owned();
    if version.len() > VERSION_BYTES_MAX {
        let message = format!("the version has {} bytes; at most {VERSION_BYTES_MAX} are announced", version.len());
        return Err(Problem::at(Code::LimitExceeded, Place::new("/version", message)));
    }
    let undo = match members.raw("undo").map(|raw| raw.get()) {
        None | Some("null" | "false") => false,
        Some("true") => true,
        Some(_) => return Err(wrong("/undo", "expected `true` or `false`".to_owned())),
    };
    Ok((version, undo))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demand_is_one_of_three_words() {
        for known in DEMANDS {
            let body = format!(r#"{{"override":"{}"}}"#, known.as_str());
            assert_eq!(demand_of(body.as_bytes()).expect("known"), known);
        }
        assert_eq!(demand_of(br#"{"override":"opne"}"#).expect_err("a slip").hint.as_deref(), Some("did you mean `open`?"));
        for (body, code) in [
            (r#"{}"#, Code::RequestMalformed),
            (r#"{"override":null}"#, Code::RequestMalformed),
            (r#"{"override":"half_open"}"#, Code::RequestMalformed),
            (r#"{"override":"open","state":"open"}"#, Code::RequestUnknownField),
        ] {
            assert_eq!(demand_of(body.as_bytes()).expect_err(body).code, code, "{body}");
        }
    }

    #[test]
    fn a_version_is_text_and_undo_is_yes_or_no() {
        assert_eq!(version_of(br#"{"version":"2.0.0"}"#).expect("fine"), ("2.0.0".to_owned(), false));
        assert_eq!(version_of(br#"{"version":"","undo":true}"#).expect("fine"), (String::new(), true));
        for body in [r#"{}"#, r#"{"version":2}"#, r#"{"version":null}"#, r#"{"version":"2","undo":"yes"}"#] {
            assert_eq!(version_of(body.as_bytes()).expect_err(body).code, Code::RequestMalformed, "{body}");
        }
        let long = format!(r#"{{"version":"{}"}}"#, "x".repeat(VERSION_BYTES_MAX + 1));
        assert_eq!(version_of(long.as_bytes()).expect_err("long").code, Code::LimitExceeded);
    }
}
