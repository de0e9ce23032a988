//! The API about itself: an OpenAPI document and a page to try it, which loads nothing from outside.

use crate::app::App;
use crate::problem::{Code, Problem};
use crate::request::Ask;
use crate::{
    callbacks, capabilities, events, flow, health, letters, listing, outside, people, queues, result, stream, submit, tasks, workflows,
};
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Redirect, Response};
use bytes::Bytes;
use std::sync::{Arc, LazyLock};
use utoipa::OpenApi;
use utoipa_swagger_ui::Config;

/// Scripts and requests stay with this server. The page sets styles on its elements, and draws its icons from `data:`.
const CONTENT_SECURITY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tasker",
        description = "Coordinates systems in different languages: a manifest says which system owns which step; tasks run it.\n\n\
            Every route under `/v1` takes the query parameter `namespace`. Problems follow RFC 9457; programs look at `code`. \
            Members of answers are only ever added, and words such as a status may grow: ignore what you do not know. Unknown members and \
            parameters of requests are refused.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "tasks", description = "Runs of workflows"),
        (name = "workflows", description = "Checked manifests"),
        (name = "registry", description = "Systems, capabilities and workers"),
        (name = "dead letters", description = "Tasks that failed for good, until somebody requeues or discards them"),
        (name = "operation", description = "For whoever runs the coordinator"),
    ),
    paths(
        workflows::apply, workflows::list, workflows::show, workflows::pause, workflows::resume, manifest_schema,
        submit::one, submit::batch,
        listing::list, tasks::show, tasks::cancel, tasks::retry, tasks::pause, tasks::resume, tasks::timeline, tasks::why,
        events::history, stream::follow, result::show, callbacks::finish,
        outside::signal, outside::send_event,
        people::approvals, people::held, people::decide, people::comment, people::resolve, people::items,
        letters::list, letters::groups, letters::show, letters::requeue, letters::discard,
        capabilities::systems, capabilities::system, capabilities::list, capabilities::show, capabilities::workers,
        flow::override_breaker, flow::drain_worker, flow::drain_version,
        queues::list, queues::show, queues::change,
        health::status, health::live, health::ready, health::metrics,
    ),
)]
struct Document;

/// The OpenAPI document as JSON, for a coordinator of this version.
pub fn document(version: &str) -> String {
    let mut document = Document::openapi();
    version.clone_into(&mut document.info.version);
    let mut text = document.to_pretty_json().expect("the document holds nothing that JSON cannot say");
    text.push('\n');
    text
}

/// `GET /openapi.json`.
pub(crate) async fn openapi(State(app): State<App>) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], app.document.clone()).into_response()
}

/// The JSON Schema of manifests, for editors.
#[utoipa::path(get, path = "/v1/manifest.schema.json", tag = "workflows", operation_id = "manifest_schema",
    responses((status = 200, body = serde_json::Value)))]
pub(crate) async fn manifest_schema() -> Response {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(tasker_manifest::editor_schema().to_string()));
    ([(CONTENT_TYPE, HeaderValue::from_static("application/schema+json"))], TEXT.clone()).into_response()
}

/// `GET /docs`: the page's files are addressed relative to `/docs/`.
pub(crate) async fn enter() -> Redirect {
    Redirect::permanent("docs/")
}

/// `GET /docs/`.
pub(crate) async fn index() -> Result<Response, Problem> {
    serve("index.html")
}

/// `GET /docs/{file}`.
pub(crate) async fn file(ask: Ask) -> Result<Response, Problem> {
    serve(ask.segment("file")?)
}

static PAGE: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    // The badge would send the document's address to a server on the internet.
    Arc::new(Config::from("../openapi.json").validator_url("none").try_it_out_enabled(true).deep_linking(true))
});

fn serve(name: &str) -> Result<Response, Problem> {
    let unknown = || Problem::new(Code::RouteUnknown, format!("the documentation has no file `{}`", crate::request::query::cut(name)));
    let file = utoipa_swagger_ui::serve(name, PAGE.clone())
        .map_err(|error| {
            tracing::error!(%error, name, "the documentation page could not be built");
            Problem::new(Code::CoordinatorFault, "the documentation page could not be built")
        })?
        .ok_or_else(unknown)?;
    let mut response = Response::new(Body::from(file.bytes.into_owned()));
    let headers = response.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(&file.content_type) {
        headers.insert(CONTENT_TYPE, kind);
    }
    if file.gzpipped {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.insert(CONTENT_SECURITY_POLICY, CONTENT_SECURITY);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::BTreeSet;

    fn parsed() -> Value {
        serde_json::from_str(&document(env!("CARGO_PKG_VERSION"))).expect("JSON")
    }

    #[test]
    fn the_committed_document_is_the_one_that_is_served() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
        let now = document(env!("CARGO_PKG_VERSION"));
        if std::env::var_os("TASKER_WRITE_OPENAPI").is_some() {
            std::fs::write(path, &now).expect("docs/openapi.json can be written");
        }
        let committed = std::fs::read_to_string(path).expect("docs/openapi.json");
        assert!(
            committed == now,
            "docs/openapi.json is out of date: run the tests once with TASKER_WRITE_OPENAPI=1 and look at the difference"
        );
    }

    #[test]
    fn every_reference_in_the_document_leads_somewhere() {
        fn references(value: &Value, found: &mut BTreeSet<String>) {
            match value {
                Value::Object(members) => members.iter().for_each(|(name, member)| match (name.as_str(), member) {
                    ("$ref", Value::String(target)) => drop(found.insert(target.clone())),
                    _ => references(member, found),
                }),
                Value::Array(items) => items.iter().for_each(|item| references(item, found)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        let document = parsed();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() > 20, "{found:?}");
        for target in found {
            let pointer = target.strip_prefix('#').expect("a reference within the document");
            assert!(document.pointer(pointer).is_some(), "{target}");
        }
    }

    #[test]
    fn the_document_and_the_table_of_routes_name_the_same_paths() {
        let table: BTreeSet<&str> =
            include_str!("app.rs").lines().filter_map(|line| line.trim().strip_prefix(".route(\"")?.split('"').next()).collect();
        let document = parsed();
        let paths: BTreeSet<&str> = document["paths"]
            .as_object()
            .expect("paths")
            .keys()
            // Verbs are told apart by the handler of the path that they are appended to.
            .map(|path| match path.rsplit_once("}:") {
                Some((before, verb)) if !verb.starts_with("stream") => &path[..before.len() + 1],
                _ => path,
            })
            .collect();
        let itself = BTreeSet::from(["/openapi.json", "/docs", "/docs/", "/docs/{file}"]);
        assert_eq!(&table - &itself, paths);
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_and_a_sentence() {
        let document = parsed();
        let mut names = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().expect("paths") {
            for (method, operation) in methods.as_object().expect("methods") {
                let name = operation["operationId"].as_str().expect("a name");
                assert!(names.insert(name.to_owned()), "{name} twice");
                assert!(operation["summary"].as_str().is_some_and(|text| text.ends_with('.')), "{method} {path}");
            }
        }
    }

    #[test]
    fn the_page_loads_only_files_of_its_own() {
        let page =
            String::from_utf8(utoipa_swagger_ui::serve("index.html", PAGE.clone()).expect("builds").expect("there").bytes.into_owned())
                .expect("text");
        assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("//cdn"), "{page}");
        assert!(!page.contains("<script>") && !page.contains("onload="), "the policy forbids scripts inside the page: {page}");
        for part in page.split(['"', '\'']).filter(|part| part.starts_with("./")) {
            assert!(serve(part.trim_start_matches("./")).is_ok(), "{part}");
        }
        let start = utoipa_swagger_ui::serve("swagger-initializer.js", PAGE.clone()).expect("builds").expect("there");
        let start = String::from_utf8(start.bytes.into_owned()).expect("text");
        assert!(start.contains("../openapi.json") && start.contains("\"validatorUrl\": \"none\""), "{start}");
    }

    #[test]
    fn a_file_that_is_not_there_is_a_problem_and_not_a_path() {
        for name in ["nothing.js", "../Cargo.toml", "..%2fCargo.toml", ""] {
            let answer = serve(name);
            assert!(name.is_empty() || answer.is_err(), "{name}");
        }
    }
}
