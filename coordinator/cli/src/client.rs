//! One request to the server: where it goes, how often it is tried, and what its answer means. Nothing here knows a command.

use crate::failure::Failure;
use crate::global::Global;
use crate::problem::Problem;
use crate::retry::{self, Patience, Trouble};
use crate::text;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Method, Url};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::time::Duration;

/// A server that listens accepts a connection at once; this allows for a far one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// No ordinary answer takes longer; long polls add their wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer that is read: a page of 200 tasks or a manifest is far below it.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A client of one server and one namespace. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    namespace: String,
}

/// What is asked. Built by [`Client::get`] and [`Client::post`], sent by [`Request::send`].
pub(crate) struct Request<'a> {
    client: &'a Client,
    method: Method,
    url: Url,
    headers: Vec<(&'static str, String)>,
    body: Option<(&'static str, String)>,
    repeatable: bool,
    patience: Patience,
    timeout: Duration,
}

/// A 2xx answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// 200, 201 or 202.
    pub(crate) status: u16,
    /// As it came.
    pub(crate) body: Box<RawValue>,
    address: String,
}

impl Answer {
    /// Reads the body as one of the contract's shapes.
    ///
    /// # Errors
    /// [`Failure::Unreadable`] says which field does not fit.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(self.body.get())
            .map_err(|cause| Failure::Unreadable { address: self.address.clone(), cause: cause.to_string() })
    }
}

impl Client {
    /// A client for the server and namespace of the command line.
    ///
    /// # Errors
    /// Fails if the machine's TLS set-up is unusable.
    pub(crate) fn new(global: &Global) -> Result<Self, Failure> {
        let mut builder =
            reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).user_agent(concat!("tasker-cli/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&global.server) {
            // A proxy cannot reach this machine's own loopback address.
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|cause| Failure::Unreachable { address: shown(&global.server), cause: causes(&cause) })?;
        Ok(Self { http, base: global.server.clone(), namespace: global.namespace.clone() })
    }

    /// Asks for something without changing anything.
    pub(crate) fn get(&self, path: &[&str]) -> Request<'_> {
        self.request(Method::GET, path, true)
    }

    /// Asks for a change. Not repeatable unless a key says so.
    pub(crate) fn post(&self, path: &[&str]) -> Request<'_> {
        self.request(Method::POST, path, false)
    }

    fn request(&self, method: Method, path: &[&str], repeatable: bool) -> Request<'_> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .expect("the command line accepts http and https only, which have a path")
            .pop_if_empty()
            .push("v1")
            .extend(path);
        url.query_pairs_mut().append_pair("namespace", &self.namespace);
        Request {
            client: self,
            method,
            url,
            headers: Vec::new(),
            body: None,
            repeatable,
            patience: Patience::Prompt,
            timeout: ANSWER_TIMEOUT,
        }
    }
}

impl<'a> Request<'a> {
    /// Adds a query parameter.
    pub(crate) fn query(mut self, name: &str, value: &str) -> Self {
        self.url.query_pairs_mut().append_pair(name, value);
        self
    }

    /// Adds a query parameter if there is a value.
    pub(crate) fn query_if(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// Sends JSON.
    pub(crate) fn json(mut self, body: String) -> Self {
        self.body = Some(("application/json", body));
        self
    }

    /// Sends a manifest.
    pub(crate) fn yaml(mut self, source: String) -> Self {
        self.body = Some(("application/yaml", source));
        self
    }

    /// Sends an idempotency key, which makes the request repeatable.
    pub(crate) fn key(mut self, key: &str) -> Self {
        self.headers.push(("idempotency-key", key.to_owned()));
        self.repeatable()
    }

    /// Sends a header.
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Says that a repeat cannot do anything twice, because its content carries keys or names its own outcome.
    pub(crate) fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Goes on trying while a server restarts.
    pub(crate) fn patient(mut self) -> Self {
        self.patience = Patience::Long;
        self
    }

    /// Allows the server this much more time, for a long poll.
    pub(crate) fn waiting(mut self, wait: Duration) -> Self {
        self.timeout += wait;
        self
    }

    /// Sends, and sends again as [`retry::delay`] says.
    ///
    /// # Errors
    /// The server's refusal, or what is known about a request that got no answer.
    pub(crate) async fn send(self) -> Result<Answer, Failure> {
        let mut tried = 0;
        loop {
            tried += 1;
            let (trouble, failure) = match self.try_once().await {
                Ok(answer) => return Ok(answer),
                Err(refused) => *refused,
            };
            match trouble.and_then(|trouble| retry::delay(self.patience, self.repeatable, tried, trouble)) {
                Some(delay) => tokio::time::sleep(delay).await,
                None => return Err(failure),
            }
        }
    }

    /// One try. The error says what went wrong for the retry, if a retry could help, and for the person.
    async fn try_once(&self) -> Result<Answer, Box<(Option<Trouble>, Failure)>> {
        let response = self.builder().timeout(self.timeout).send().await.map_err(|cause| self.no_answer(&cause))?;
        let status = response.status().as_u16();
        let retry_after = read_retry_after(response.headers());
        let bytes = read_body(response).await.map_err(|cause| self.broken(&cause))?;
        if !(200..300).contains(&status) {
            let problem = Problem::read(status, &bytes);
            let trouble = Trouble::Status { status, retry_after };
            let asks_too_much = retry_after.is_some_and(|asked| asked > retry::RETRY_AFTER_MAX) && problem.hint.is_none();
            let hint = match retry_after {
                Some(asked) if asks_too_much => Some(format!(
                    "the server asks to come back in {}",
                    text::duration(i64::try_from(asked.as_millis()).unwrap_or(i64::MAX))
                )),
                _ => problem.hint.clone(),
            };
            return Err(Box::new((Some(trouble), Problem { hint, ..problem }.into())));
        }
        let body = serde_json::from_slice::<Box<RawValue>>(&bytes)
            .map_err(|cause| Box::new((None, Failure::Unreadable { address: shown(&self.url), cause: cause.to_string() })))?;
        Ok(Answer { status, body, address: shown(&self.url) })
    }

    /// Opens a stream of server-sent events: tried once, without a time limit on the whole.
    ///
    /// # Errors
    /// As [`Request::send`], with the trouble that the caller's own retry needs.
    pub(crate) async fn open_stream(self) -> Result<reqwest::Response, Box<(Option<Trouble>, Failure)>> {
        let answered = tokio::time::timeout(ANSWER_TIMEOUT, self.builder().header("accept", "text/event-stream").send()).await;
        let response = match answered {
            Ok(Ok(response)) => response,
            Ok(Err(cause)) => return Err(self.no_answer(&cause)),
            Err(_) => return Err(self.broken("no answer in time")),
        };
        let status = response.status().as_u16();
        if status == 200 {
            return Ok(response);
        }
        let retry_after = read_retry_after(response.headers());
        let bytes = read_body(response).await.map_err(|cause| self.broken(&cause))?;
        Err(Box::new((Some(Trouble::Status { status, retry_after }), Problem::read(status, &bytes).into())))
    }

    fn builder(&self) -> reqwest::RequestBuilder {
        let mut builder = self.client.http.request(self.method.clone(), self.url.clone());
        for (name, value) in &self.headers {
            builder = builder.header(*name, value);
        }
        if let Some((kind, body)) = &self.body {
            builder = builder.header(CONTENT_TYPE, *kind).body(body.clone());
        }
        builder
    }

    fn no_answer(&self, cause: &reqwest::Error) -> Box<(Option<Trouble>, Failure)> {
        if cause.is_builder() {
            let said = format!("the request cannot be built: {}", causes(cause));
            return Box::new((None, Failure::Usage { said, help: "keys and labels are printable text without line breaks".to_owned() }));
        }
        if cause.is_connect() {
            let failure = Failure::Unreachable { address: shown(&self.client.base), cause: causes(cause) };
            return Box::new((Some(Trouble::NotConnected), failure));
        }
        let said = if cause.is_timeout() {
            format!("no answer within {}", text::duration(i64::try_from(self.timeout.as_millis()).unwrap_or(i64::MAX)))
        } else {
            causes(cause)
        };
        self.broken(&said)
    }

    fn broken(&self, cause: &str) -> Box<(Option<Trouble>, Failure)> {
        let address = shown(&self.client.base);
        let failure = if self.method == Method::GET {
            Failure::NoAnswer { address, cause: cause.to_owned() }
        } else {
            Failure::OutcomeUnknown { address, cause: cause.to_owned(), keyed: self.repeatable }
        };
        Box::new((Some(Trouble::Broken), failure))
    }
}

fn read_retry_after(headers: &HeaderMap) -> Option<Duration> {
    retry::retry_after(headers.get(RETRY_AFTER)?.to_str().ok()?, jiff::Timestamp::now())
}

/// Reads the whole body, up to a limit, so that a wrong server cannot fill the memory.
async fn read_body(mut response: reqwest::Response) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|cause| causes(&cause))? {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(format!("the answer is larger than {} MiB", ANSWER_BYTES_MAX / 1024 / 1024));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// An address without its password, for messages.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    if url.password().is_some() {
        // Fails only for addresses without a host, which the command line refuses.
        let _ = url.set_password(Some("redacted"));
    }
    url.to_string()
}

/// The innermost cause says most: `connection refused` instead of `error sending request`.
fn causes(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
