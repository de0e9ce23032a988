//! A system without an SDK: the official NATS client subscribes to a subject and answers in JSON.

use anyhow::Result;
use async_nats::HeaderMap;
use futures::StreamExt;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};

/// An answer of a plain responder.
#[derive(Debug, Clone)]
pub enum Reply {
    /// The step's result.
    Result(Value),
    /// Headers of an error, and a body for its details.
    Error(Vec<(&'static str, String)>, Value),
}

impl Reply {
    /// A failure that another attempt would not change.
    pub fn failing(code: &str) -> Self {
        let headers = vec![
            ("Nats-Service-Error-Code", "422".to_owned()),
            ("Nats-Service-Error", "no".to_owned()),
            ("Tasker-Error-Code", code.to_owned()),
            ("Tasker-Error-Kind", "permanent".to_owned()),
        ];
        Self::Error(headers, Value::Null)
    }

    /// A failure that another attempt may change.
    pub fn busy() -> Self {
        let headers = vec![("Nats-Service-Error-Code", "503".to_owned()), ("Nats-Service-Error", "busy".to_owned())];
        Self::Error(headers, Value::Null)
    }
}

/// What was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The step's input.
    pub input: Value,
    /// As they came.
    pub headers: HeaderMap,
}

impl Asked {
    /// A header's text, empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.as_str())
    }
}

/// A responder for one capability, for as long as this value lives.
pub struct Responder {
    asked: Arc<Mutex<Vec<Asked>>>,
    answering: tokio::task::JoinHandle<()>,
}

impl Responder {
    /// Subscribes, in a queue group, and answers each request with what `answer` says to it.
    ///
    /// # Errors
    /// No connection, or no subscription.
    pub async fn start(
        url: &str,
        system: &str,
        capability: &str,
        mut answer: impl FnMut(&Asked) -> Reply + Send + 'static,
    ) -> Result<Self> {
        let client = async_nats::connect(url).await?;
        let mut requests = client.queue_subscribe(format!("tasker.v1.default.{system}.call.{capability}"), "workers".to_owned()).await?;
        client.flush().await?;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = asked.clone();
        let answering = tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                let input = serde_json::from_slice(&request.payload).unwrap_or_default();
                let request_asked = Asked { input, headers: request.headers.unwrap_or_default() };
                let reply = answer(&request_asked);
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(request_asked);
                let Some(inbox) = request.reply else { continue };
                // An answer that cannot be sent shows as a step that times out.
                let _ = match reply {
                    Reply::Result(result) => client.publish(inbox, result.to_string().into()).await,
                    Reply::Error(headers, body) => {
                        let mut map = HeaderMap::new();
                        headers.into_iter().for_each(|(name, value)| map.insert(name, value));
                        client.publish_with_headers(inbox, map, body.to_string().into()).await
                    }
                };
            }
        });
        Ok(Self { asked, answering })
    }

    /// Every request so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.answering.abort();
    }
}
