//! The bytes of a request's body: bounded in size, in time, and all of them together in memory.

use crate::instant::millis;
use crate::problem::{Code, Place, Problem};
use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The body of one task: the largest payload the engine takes, its labels with every character escaped, and the words around them.
pub(crate) const TASK_BYTES_MAX: usize = 1024 * 1024 + 128 * 1024;
/// A thousand tasks of ordinary size, or thirty of the largest: more is better sent as several batches, which also fail one by one.
pub(crate) const BATCH_BYTES_MAX: usize = 32 * 1024 * 1024;
/// A manifest of ten thousand steps is well below this.
pub(crate) const MANIFEST_BYTES_MAX: usize = 1024 * 1024;
/// A reason to cancel is one sentence.
pub(crate) const REASON_BYTES_MAX: usize = 64 * 1024;

/// How long a body may take to arrive: a slow client must not hold memory for ever. 32 MiB in this time need 5 Mbit/s.
const ARRIVAL_TIME_MAX: Duration = Duration::from_secs(60);

/// All bodies in memory together. Past it a request is told to come back, and nothing was read.
const BYTES_TOGETHER_MAX: usize = 256 * 1024 * 1024;
/// A permit stands for this many bytes: semaphores count in 32 bits.
const BYTES_PER_PERMIT: usize = 1024;

/// When to try again if too many bodies are in memory: most are gone within a moment.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(1);

/// How much of a body that is too large is read and thrown away, so that the client gets to see the answer instead of a broken
/// connection, and for how long.
const DISCARDED_BYTES_MAX: usize = 8 * 1024 * 1024;
const DISCARD_TIME_MAX: Duration = Duration::from_secs(2);

/// What all bodies together may take.
pub(crate) fn memory() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(BYTES_TOGETHER_MAX / BYTES_PER_PERMIT))
}

/// A body that was read. Its share of the memory is given back when it is dropped.
pub(crate) struct Arrived {
    pub(crate) bytes: Bytes,
    _share: OwnedSemaphorePermit,
}

/// Reads a body of at most `most` bytes.
///
/// # Errors
/// Too large, too slow, cut off, or too much is in memory already.
pub(crate) async fn read(memory: &Arc<Semaphore>, headers: &HeaderMap, body: Body, most: usize) -> Result<Arrived, Problem> {
    let declared: Option<usize> = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    if declared.is_some_and(|declared| declared > most) {
        discard(body).await;
        return Err(too_large(most));
    }
    let permits = declared.unwrap_or(most).div_ceil(BYTES_PER_PERMIT).max(1);
    let permits = u32::try_from(permits).expect("every limit of a body is far below 4 TiB");
    let share = memory.clone().try_acquire_many_owned(permits).map_err(|_| {
        let detail = "the coordinator is reading as many request bodies as it holds in memory; nothing was read";
        Problem::new(Code::CoordinatorBusy, detail).with_retry_after(BUSY_RETRY_AFTER)
    })?;
    let bytes = collect(body, declared.unwrap_or(0), most).await?;
    Ok(Arrived { bytes, _share: share })
}

async fn collect(body: Body, expected: usize, most: usize) -> Result<Bytes, Problem> {
    let mut chunks = body.into_data_stream();
    let mut bytes = BytesMut::with_capacity(expected);
    let deadline = Instant::now() + ARRIVAL_TIME_MAX;
    loop {
        match tokio::time::timeout_at(deadline, chunks.next()).await {
            Ok(None) => return Ok(bytes.freeze()),
            Ok(Some(Ok(chunk))) if bytes.len() + chunk.len() <= most => bytes.extend_from_slice(&chunk),
            Ok(Some(Ok(_))) => {
                drop(bytes);
                discard(Body::from_stream(chunks)).await;
                return Err(too_large(most));
            }
            Ok(Some(Err(_))) => {
                return Err(Problem::new(Code::RequestMalformed, "the body was cut off before its end"));
            }
            Err(_) => {
                let detail = format!("the body did not arrive within {} ms; nothing was done", millis(ARRIVAL_TIME_MAX));
                return Err(Problem::new(Code::RequestMalformed, detail));
            }
        }
    }
}

async fn discard(body: Body) {
    let mut chunks = body.into_data_stream();
    let mut read = 0;
    let reading = async {
        while let Some(Ok(chunk)) = chunks.next().await {
            read += chunk.len();
            if read > DISCARDED_BYTES_MAX {
                break;
            }
        }
    };
    // Whether it ends by itself or by the clock does not matter: the bytes are of no use.
    let _ = tokio::time::timeout(DISCARD_TIME_MAX, reading).await;
}

fn too_large(most: usize) -> Problem {
    Problem::new(Code::RequestTooLarge, format!("the body is larger than the {most} bytes that this route takes"))
        .with_hint("keep large data elsewhere and put a reference into the task; or send a batch in parts")
}

/// Refuses a body that does not say that it is JSON. Besides being honest, this keeps web pages of other origins from submitting forms.
///
/// # Errors
/// Another content type, or none.
pub(crate) fn must_be_json(headers: &HeaderMap) -> Result<(), Problem> {
    let given = media_type(headers);
    if given == "application/json" || (given.starts_with("application/") && given.ends_with("+json")) {
        return Ok(());
    }
    Err(wrong_type(&given, "application/json"))
}

/// Refuses a body that does not say that it is YAML or text.
///
/// # Errors
/// Another content type, or none.
pub(crate) fn must_be_yaml(headers: &HeaderMap) -> Result<(), Problem> {
    let given = media_type(headers);
    if matches!(given.as_str(), "application/yaml" | "application/x-yaml") || given.starts_with("text/") {
        return Ok(());
    }
    Err(wrong_type(&given, "application/yaml"))
}

fn media_type(headers: &HeaderMap) -> String {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn wrong_type(given: &str, wanted: &str) -> Problem {
    let message = match given {
        "" => "the request does not say what its body is".to_owned(),
        given => format!("this route does not take `{}`", super::query::cut(given)),
    };
    Problem::at(Code::RequestMalformed, Place::new("Content-Type:", message)).with_hint(format!("send `Content-Type: {wanted}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use futures::stream;

    fn chunks(count: usize, bytes: usize) -> Body {
        let chunk = Bytes::from(vec![b'x'; bytes]);
        Body::from_stream(stream::iter((0..count).map(move |_| Ok::<_, std::io::Error>(chunk.clone()))))
    }

    #[tokio::test]
    async fn a_body_of_unknown_length_is_cut_off_at_the_limit() {
        assert_eq!(collect(chunks(4, 10), 0, 40).await.expect("fits").len(), 40);
        assert_eq!(collect(chunks(5, 10), 0, 40).await.expect_err("one too many").code, Code::RequestTooLarge);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_not_taken_for_a_whole_one() {
        let broken = stream::iter([Ok(Bytes::from_static(b"{}")), Err(std::io::Error::other("reset"))]);
        let problem = collect(Body::from_stream(broken), 0, 40).await.expect_err("cut off");
        assert_eq!(problem.code, Code::RequestMalformed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_arrives_is_given_up() {
        let problem = collect(Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()), 0, 40).await.expect_err("too slow");
        assert!(problem.detail.contains("did not arrive"), "{}", problem.detail);
    }

    #[test]
    fn a_form_is_not_mistaken_for_json() {
        let headers = |text: &'static str| HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(text))]);
        for good in ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/merge+json"] {
            assert!(must_be_json(&headers(good)).is_ok(), "{good}");
        }
        for bad in ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", "jsonish"] {
            let problem = must_be_json(&headers(bad)).expect_err(bad);
            assert_eq!(problem.hint.as_deref(), Some("send `Content-Type: application/json`"));
        }
        assert!(must_be_json(&HeaderMap::new()).is_err());
        for good in ["application/yaml", "text/yaml", "text/plain; charset=utf-8", "application/x-yaml"] {
            assert!(must_be_yaml(&headers(good)).is_ok(), "{good}");
        }
        assert!(must_be_yaml(&headers("application/json")).is_err());
    }
}
