//! Pushes what is measured to an OTLP receiver, from the same snapshot that `/metrics` shows. A slow or absent receiver costs nothing but
//! one warning: counters go on, and the next push says all that the lost ones would have said.

mod message;

use anyhow::Context;
use prost::Message as _;
use std::time::{Duration, SystemTime};
use tasker_api::Measurements;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long one push may take.
const PUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// More headers than anybody needs to authenticate.
const HEADERS_MAX: usize = 32;

/// A push that goes on until it is told to stop.
pub struct Push {
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Push {
    /// Pushes once more and ends.
    pub async fn finish(self) {
        let _ = self.stop.send(());
        // Bounded by the time that a push may take.
        let _ = self.ended.await;
    }
}

/// Starts pushing to `endpoint` (`http://127.0.0.1:4318`) every `period`; without one, or with `off`, nothing is pushed.
pub fn start(endpoint: Option<&str>, period: Duration, name: &str, measurements: Measurements) -> anyhow::Result<Option<Push>> {
    let Some(endpoint) = endpoint.filter(|endpoint| !endpoint.is_empty() && *endpoint != "off") else { return Ok(None) };
    let url = url_of(endpoint);
    let malformed = || format!("[config.malformed]: otlp_metrics_endpoint: `{url}`; give http://HOST:4318 or `off`");
    reqwest::Url::parse(&url).ok().filter(|url| url.has_host() && url.scheme().starts_with("http")).with_context(malformed)?;
    let receiver = Receiver { client: client()?, url, about: message::About::new(name, SystemTime::now()) };
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(run(receiver, period, measurements, stopped));
    Ok(Some(Push { stop, ended }))
}

/// The address of metrics under a base address; one that ends in the path of a signal is taken as the base before it.
fn url_of(endpoint: &str) -> String {
    let base = endpoint.trim_end_matches('/');
    let base = base.strip_suffix("/v1/traces").or_else(|| base.strip_suffix("/v1/metrics")).unwrap_or(base);
    format!("{base}/v1/metrics")
}

async fn run(receiver: Receiver, period: Duration, measurements: Measurements, mut stopped: oneshot::Receiver<()>) {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut failing, mut last) = (false, false);
    while !last {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = &mut stopped => last = true,
        }
        let readings = if last { measurements.read_now().await } else { measurements.read().await };
        match receiver.push(&readings).await {
            Ok(()) if failing => {
                tracing::info!("metrics are accepted again");
                failing = false;
            }
            Ok(()) => {}
            Err(error) if !failing => {
                tracing::warn!(error = format!("{error:#}"), "metrics are not accepted; they are pushed again later");
                failing = true;
            }
            Err(_) => {}
        }
    }
}

struct Receiver {
    client: reqwest::Client,
    url: String,
    about: message::About,
}

impl Receiver {
    async fn push(&self, readings: &tasker_telemetry::reading::Readings) -> anyhow::Result<()> {
        let body = message::request(readings, &self.about, SystemTime::now()).encode_to_vec();
        let request = self.client.post(&self.url).header("content-type", "application/x-protobuf").body(body);
        let answer = request.send().await.context("no answer")?;
        anyhow::ensure!(answer.status().is_success(), "{} answered {}", self.url, answer.status());
        Ok(())
    }
}

/// A client with what the standard variables of OTLP exporters say about headers and certificates.
fn client() -> anyhow::Result<reqwest::Client> {
    let mut headers = reqwest::header::HeaderMap::new();
    for variable in ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_METRICS_HEADERS"] {
        let Ok(text) = std::env::var(variable) else { continue };
        for (name, value) in pairs(&text) {
            let malformed =
                || format!("[config.malformed]: {variable}: `{name}` is no header; give name=value, several with commas between");
            let name = reqwest::header::HeaderName::try_from(&name).with_context(malformed)?;
            let mut value = reqwest::header::HeaderValue::try_from(&value).with_context(malformed)?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    let mut client = reqwest::Client::builder().timeout(PUSH_TIMEOUT).default_headers(headers);
    for variable in ["OTEL_EXPORTER_OTLP_CERTIFICATE", "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE"] {
        let Ok(file) = std::env::var(variable) else { continue };
        let unreadable = || format!("[config.file_unreadable]: {variable}: {file}; give a file with PEM certificates");
        let read = std::fs::read(&file).with_context(unreadable)?;
        for certificate in reqwest::Certificate::from_pem_bundle(&read).with_context(unreadable)? {
            client = client.add_root_certificate(certificate);
        }
    }
    client.build().context("[config.malformed]: no HTTP client for OTLP can be made")
}

/// `a=1,b=2`, with values percent-encoded as the standard has it.
fn pairs(text: &str) -> Vec<(String, String)> {
    let entries = text.split(',').filter_map(|entry| entry.split_once('=')).take(HEADERS_MAX);
    entries.map(|(name, value)| (name.trim().to_ascii_lowercase(), decoded(value.trim()))).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = tail.get(..2).and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        match (first, code) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_metrics_is_found_from_any_address_of_the_receiver() {
        for given in ["http://a:4318", "http://a:4318/", "http://a:4318/v1/traces", "http://a:4318/v1/metrics/"] {
            assert_eq!(url_of(given), "http://a:4318/v1/metrics");
        }
    }

    #[test]
    fn headers_are_read_as_the_standard_writes_them() {
        let expected = [("authorization", "Basic a=="), ("x-scope", "1")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(pairs("Authorization=Basic%20a==, x-scope=1,nothing"), expected);
        assert_eq!(decoded("50%"), "50%");
    }
}
