//! How a request is read: everything that comes is known, bounded and checked before a handler looks at it.

pub(crate) mod body;
pub(crate) mod members;
pub(crate) mod query;

use crate::edge::RequestId;
use crate::problem::{Code, Place, Problem};
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};
use std::convert::Infallible;
use tasker_engine::{Namespace, Submission, TaskId};

pub(crate) use query::Query;

/// Everything about a request but its body.
pub(crate) struct Ask {
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) request_id: RequestId,
    path: Result<Vec<(String, String)>, String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Ask {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let path = match RawPathParams::from_request_parts(parts, state).await {
            Ok(params) => Ok(params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()),
            Err(rejection) => Err(rejection.body_text()),
        };
        Ok(Self {
            uri: parts.uri.clone(),
            headers: parts.headers.clone(),
            request_id: parts.extensions.get::<RequestId>().cloned().unwrap_or_default(),
            path,
        })
    }
}

impl Ask {
    /// The query, in which only `known` parameters and the namespace may appear.
    ///
    /// # Errors
    /// See [`Query::read`].
    pub(crate) fn query(&self, known: &[&str], default_namespace: &Namespace) -> Result<Query, Problem> {
        Query::read(&self.uri, known, default_namespace)
    }

    /// A part of the path by its name in the route.
    ///
    /// # Errors
    /// The path is not UTF-8 after decoding.
    pub(crate) fn segment(&self, name: &str) -> Result<&str, Problem> {
        let path =
            self.path.as_ref().map_err(|message| Problem::new(Code::RequestMalformed, format!("the path cannot be read: {message}")))?;
        let found = path.iter().find(|(given, _)| given == name);
        Ok(found.map_or("", |(_, value)| value.as_str()))
    }

    /// The task id in the path.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn task_id(&self) -> Result<TaskId, Problem> {
        task_id(self.segment("id")?)
    }

    /// A header's text; absent if it was not sent.
    ///
    /// # Errors
    /// It is sent more than once, or is not visible ASCII.
    pub(crate) fn header(&self, name: &'static str) -> Result<Option<&str>, Problem> {
        let wrong = |message: &str| Problem::at(Code::RequestMalformed, Place::new(format!("{name}:"), message));
        let mut values = self.headers.get_all(name).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(wrong("the header is given more than once"));
        }
        value.to_str().map(|text| Some(text.trim())).map_err(|_| wrong("the header holds characters other than visible ASCII"))
    }

    /// The idempotency key. The quotes of the IETF draft's notation are not part of the key.
    ///
    /// # Errors
    /// Given twice, empty, too long, or not visible ASCII.
    pub(crate) fn idempotency_key(&self) -> Result<Option<String>, Problem> {
        let Some(text) = self.header("Idempotency-Key")? else { return Ok(None) };
        let key = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
        if key.is_empty() || key.len() > Submission::KEY_BYTES_MAX {
            let message = format!("the key has {} bytes; give 1 to {}", key.len(), Submission::KEY_BYTES_MAX);
            return Err(Problem::at(Code::LimitExceeded, Place::new("Idempotency-Key:", message)));
        }
        Ok(Some(key.to_owned()))
    }
}

/// Reads a task id.
///
/// # Errors
/// Says the rule.
pub(crate) fn task_id(text: &str) -> Result<TaskId, Problem> {
    text.parse().map_err(|error: tasker_engine::ids::InvalidId| {
        Problem::new(Code::TaskIdMalformed, error.to_string()).with_hint("a task id looks like tsk_01k9x2m3a4b5c")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn ask(headers: &[(&'static str, &'static str)]) -> Ask {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        Ask { uri: Uri::from_static("/"), headers: map, request_id: RequestId::default(), path: Ok(Vec::new()) }
    }

    #[test]
    fn an_idempotency_key_is_the_same_with_and_without_quotes() {
        assert_eq!(ask(&[]).idempotency_key().expect("absent"), None);
        for text in ["order-7", "\"order-7\""] {
            assert_eq!(ask(&[("idempotency-key", text)]).idempotency_key().expect("fine").as_deref(), Some("order-7"));
        }
    }

    #[test]
    fn a_key_that_is_given_twice_or_empty_is_refused() {
        let twice = ask(&[("idempotency-key", "a"), ("idempotency-key", "b")]);
        assert_eq!(twice.idempotency_key().expect_err("twice").code, Code::RequestMalformed);
        assert_eq!(ask(&[("idempotency-key", "")]).idempotency_key().expect_err("empty").code, Code::LimitExceeded);
    }

    #[test]
    fn what_is_no_task_id_is_refused_with_the_rule() {
        for text in ["", "7", "tsk_", "tsk_zzzzzzzzzzzzz", "tsk_01k9x2m3a4b5c1", "run_01k9x2m3a4b5c"] {
            let problem = task_id(text).expect_err(text);
            assert_eq!(problem.code, Code::TaskIdMalformed);
        }
    }
}
