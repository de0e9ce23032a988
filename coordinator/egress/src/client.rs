//! The one HTTP client of the coordinator. Everything that leaves over HTTP passes [`Client::send`].
//!
//! It follows no redirect, uses no proxy of the environment, keeps no cookies, forwards no credentials, and connects only to addresses
//! that [`crate::resolver`] has checked. A body is read up to a limit and never longer than it keeps coming.

use crate::allow::{AllowList, Refused};
use crate::resolver::{Fault, Guarded, Lookup};
use bytes::{Bytes, BytesMut};
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode, Url};
use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// How long connecting may take, TLS included. A system that is up answers in a fraction of it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a body may pause between two pieces; slower senders hold a connection for nothing.
const BODY_SILENCE_MAX: Duration = Duration::from_secs(10);
/// How long an idle connection is kept; below the 60 s after which common servers and balancers close theirs.
const IDLE_CONNECTION_KEPT: Duration = Duration::from_secs(45);
/// Idle connections kept per host; as many as calls of one host may be under way.
const IDLE_CONNECTIONS_PER_HOST: usize = crate::gate::CALLS_PER_HOST;
/// Headers of an answer; more are no answer.
const HEADERS_MAX: usize = 128;
/// The longest URL, in bytes; what browsers and proxies agree on.
pub(crate) const URL_BYTES_MAX: usize = 8_192;

/// Sends requests to where they may go. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    allow: Arc<AllowList>,
}

/// A request that is ready to leave.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Where to, as [`destination`] has checked it.
    pub url: Url,
    /// What is said besides.
    pub headers: HeaderMap,
    /// What is said.
    pub body: Option<Bytes>,
    /// The most bytes of the answer's body that are read.
    pub answer_bytes_max: usize,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// How it went.
    pub status: StatusCode,
    /// What is said besides.
    pub headers: HeaderMap,
    /// What is said.
    pub body: Body,
}

/// The body of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Body {
    /// All of it.
    Whole(Bytes),
    /// More than the request wanted to read.
    TooLarge,
    /// The connection broke or paused for too long, with why.
    Cut(String),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The place may not be called. Trying again changes nothing.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The request did not leave: no such host, nobody listens, no secure connection. It is safe to try again.
    #[error("{0}")]
    Unreachable(String),
    /// The request left, or may have left, and the connection broke before an answer was complete.
    #[error("{0}")]
    Broken(String),
}

/// Why a URL is nowhere to go.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the URL {0}")]
pub struct InvalidUrl(pub &'static str);

impl Client {
    /// Opens the way out. `version` is part of the user agent.
    ///
    /// On a machine without any certificate authority, secure connections fail and everything else works.
    ///
    /// # Errors
    /// The TLS library cannot be set up at all.
    pub fn new(allow: AllowList, lookup: Arc<dyn Lookup>, version: &str) -> Result<Self, reqwest::Error> {
        let allow = Arc::new(allow);
        let builder = || {
            reqwest::Client::builder()
                .user_agent(format!("tasker/{version}"))
                .dns_resolver(Arc::new(Guarded { lookup: lookup.clone(), allow: allow.clone() }))
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .no_proxy()
                .referer(false)
                // One request per connection: a broken connection is the concern of one attempt.
                .http1_only()
                .http1_max_headers(HEADERS_MAX)
                .tcp_nodelay(true)
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_idle_timeout(IDLE_CONNECTION_KEPT)
                .pool_max_idle_per_host(IDLE_CONNECTIONS_PER_HOST)
        };
        let http = builder().build().or_else(|error| {
            tracing::warn!(error = %said(&error), "no certificate authority was found: systems at https:// addresses cannot be called");
            builder().tls_certs_only(Vec::new()).build()
        })?;
        Ok(Self { http, allow })
    }

    /// Sends one request once and reads the answer. Waits as long as the other side lets it: callers set the limit.
    ///
    /// # Errors
    /// Refused before anything leaves, not reached, or broken on the way.
    pub async fn send(&self, request: Request) -> Result<Answer, SendError> {
        if let Some(address) = literal(&request.url) {
            self.allow.check(&address.to_string(), address)?;
        }
        let mut builder = self.http.request(request.method, request.url).headers(request.headers);
        if let Some(body) = request.body {
            builder = builder.body(body);
        }
        let mut response = builder.send().await.map_err(fault)?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let body = read(&mut response, request.answer_bytes_max).await;
        Ok(Answer { status, headers, body })
    }
}

/// Reads a URL to which a request may go, but for what its host's name turns out to be.
///
/// # Errors
/// Says which rule it breaks.
pub fn destination(url: &str) -> Result<Url, InvalidUrl> {
    if url.len() > URL_BYTES_MAX {
        return Err(InvalidUrl("is longer than 8192 bytes"));
    }
    let url = Url::parse(url).map_err(|_| InvalidUrl("is not an absolute URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(InvalidUrl("begins with neither `http://` nor `https://`"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(InvalidUrl("holds credentials; they would be sent to whoever answers and shown to whoever reads it"));
    }
    if url.fragment().is_some() {
        return Err(InvalidUrl("has a fragment, which is never sent"));
    }
    Ok(url)
}

/// The address, if the URL names one instead of a host. The client would connect to it without asking the resolver.
///
/// Every way to write an address (`2130706433`, `0x7f.1`, `017700000001`) has become the plain one when the URL was read.
fn literal(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host).parse().ok()
}

async fn read(response: &mut reqwest::Response, max: usize) -> Body {
    let announced = response.content_length().and_then(|length| usize::try_from(length).ok());
    if announced.is_some_and(|length| length > max) {
        return Body::TooLarge;
    }
    let mut body = BytesMut::new();
    loop {
        match tokio::time::timeout(BODY_SILENCE_MAX, response.chunk()).await {
            Ok(Ok(Some(piece))) if body.len() + piece.len() > max => return Body::TooLarge,
            Ok(Ok(Some(piece))) => body.extend_from_slice(&piece),
            Ok(Ok(None)) => return Body::Whole(body.freeze()),
            Ok(Err(error)) => return Body::Cut(said(&error)),
            Err(_) => return Body::Cut(format!("nothing came for {} s", BODY_SILENCE_MAX.as_secs())),
        }
    }
}

/// What an error of the HTTP library means for the request.
fn fault(error: reqwest::Error) -> SendError {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(at) = cause {
        match at.downcast_ref::<Fault>() {
            Some(Fault::Refused(refused)) => return SendError::Refused(refused.clone()),
            Some(not_found @ Fault::NotFound(..)) => return SendError::Unreachable(not_found.to_string()),
            None => cause = at.source(),
        }
    }
    if error.is_connect() { SendError::Unreachable(said(&error)) } else { SendError::Broken(said(&error)) }
}

/// The innermost cause: the outer ones say only that something went wrong. URLs are left out, because callers name the system.
fn said(error: &reqwest::Error) -> String {
    let mut innermost: &dyn Error = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string().chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_http_urls_without_credentials_are_destinations() {
        for url in ["http://example.com", "https://example.com:8443/a?b=c", "http://[2606:4700::1]/", "HTTP://Example.COM"] {
            assert!(destination(url).is_ok(), "{url}");
        }
        for url in [
            "",
            "example.com",
            "/path",
            "//example.com",
            "ftp://example.com",
            "file:///etc/passwd",
            "gopher://example.com",
            "unix:/run/docker.sock",
            "http://",
            "http://user@example.com",
            "http://user:secret@example.com",
            "http://:secret@example.com",
            "http://example.com/#x",
            "http://a b/",
            "http://[::1",
            "javascript:alert(1)",
            "data:text/plain,x",
        ] {
            assert!(destination(url).is_err(), "{url}");
        }
        assert!(destination(&format!("http://example.com/{}", "x".repeat(URL_BYTES_MAX))).is_err());
    }

    #[test]
    fn an_address_is_recognised_however_it_is_written() {
        for (url, address) in [
            ("http://127.0.0.1/", "127.0.0.1"),
            ("http://2130706433/", "127.0.0.1"),
            ("http://0x7f000001/", "127.0.0.1"),
            ("http://0177.0.0.1/", "127.0.0.1"),
            ("http://127.1/", "127.0.0.1"),
            ("http://0x7f.1/", "127.0.0.1"),
            ("http://127.0.0.1./", "127.0.0.1"),
            ("http://①②⑦.⓪.⓪.①/", "127.0.0.1"),
            ("http://0xa9fea9fe/", "169.254.169.254"),
            ("http://2852039166/latest/meta-data", "169.254.169.254"),
            ("http://0/", "0.0.0.0"),
            ("http://[::1]:80/", "::1"),
            ("http://[0:0:0:0:0:ffff:127.0.0.1]/", "::ffff:127.0.0.1"),
            ("http://[::ffff:a9fe:a9fe]/", "::ffff:169.254.169.254"),
        ] {
            let url = destination(url).expect(url);
            assert_eq!(literal(&url), Some(address.parse().expect("an address")), "{url}");
        }
        for url in ["http://localhost/", "http://localtest.me/", "http://127.0.0.1.nip.io/", "http://example.com/127.0.0.1"] {
            assert_eq!(literal(&destination(url).expect(url)), None, "{url}");
        }
    }
}
