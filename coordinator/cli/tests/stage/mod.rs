//! A local HTTP server that answers with the contract's JSON, and the command line run against it as the program runs it.
#![allow(dead_code)] // Each test file uses its own part of the stage.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use clap::{CommandFactory, Parser, Subcommand};
use serde_json::Value;
use std::sync::{Arc, Mutex};
use tasker_cli::{Console, Exit};

/// Tasker, as the tests see it.
// A parser shaped like the real program: its own commands, ours flattened in, `debug` shared.
#[derive(Debug, Parser)]
#[command(name = "tasker", version, propagate_version = true, after_help = tasker_cli::EXIT_CODES)]
pub struct Program {
    #[command(flatten)]
    pub global: tasker_cli::Global,
    #[command(subcommand)]
    pub command: Commands,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "built once per test, and clap flattens no boxes")]
pub enum Commands {
    /// Run everything in one process
    Dev,
    /// Find out why something does not move
    #[command(subcommand)]
    Debug(Debug),
    #[command(flatten)]
    Client(tasker_cli::Command),
}

#[derive(Debug, Subcommand)]
pub enum Debug {
    /// Check the promises
    Check,
    #[command(flatten)]
    Client(tasker_cli::DebugCommand),
}

/// One request as the server saw it.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: Method,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// How many requests came before, on any path.
    pub before: usize,
}

impl Asked {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("printable"))
    }

    /// `GET /v1/tasks`
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

type Script = dyn Fn(&Asked) -> Response + Send + Sync;

#[derive(Clone)]
struct Shared {
    script: Arc<Script>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// A server on a free port of the loopback address.
pub struct Stage {
    pub url: String,
    shared: Shared,
}

impl Stage {
    /// Starts a server that answers each request by the script.
    pub async fn start(script: impl Fn(&Asked) -> Response + Send + Sync + 'static) -> Self {
        let shared = Shared { script: Arc::new(script), asked: Arc::default() };
        let router = axum::Router::new().fallback(answer).with_state(shared.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, shared }
    }

    /// Everything asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().expect("no panic while recording").clone()
    }

    /// Runs a command line against this server.
    pub async fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, "").await
    }

    /// Runs a command line with something on standard input.
    pub async fn run_with(&self, arguments: &[&str], input: &str) -> Ran {
        let mut all = vec!["--server", &self.url];
        all.extend(arguments);
        run(&all, input).await
    }
}

async fn answer(State(shared): State<Shared>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let asked = {
        let mut list = shared.asked.lock().expect("no panic while recording");
        let path = uri.path().to_owned();
        let query = uri.query().unwrap_or_default().to_owned();
        let asked = Asked { method, path, query, headers, body, before: list.len() };
        list.push(asked.clone());
        asked
    };
    (shared.script)(&asked)
}

/// What a command line did.
#[derive(Debug)]
pub struct Ran {
    pub exit: Exit,
    pub out: String,
    pub err: String,
}

/// Runs a command line as the program does, on captured streams.
pub async fn run(arguments: &[&str], input: &str) -> Ran {
    let program = Program::try_parse_from(["tasker"].iter().chain(arguments)).expect("a valid command line");
    let command = match program.command {
        Commands::Client(command) => command,
        Commands::Debug(Debug::Client(command)) => tasker_cli::Command::Debug(command),
        Commands::Dev | Commands::Debug(Debug::Check) => panic!("not a command of this library"),
    };
    let (mut console, captured) = Console::captured(&program.global, std::io::Cursor::new(input.to_owned().into_bytes()));
    let exit = tasker_cli::execute(Program::command(), command, &program.global, &mut console).await;
    Ran { exit, out: captured.out(), err: captured.err() }
}

/// An answer in JSON.
pub fn json(status: u16, body: impl Into<String>) -> Response {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Body::from(body.into())).expect("a valid response")
}

/// A refusal as the contract writes it.
pub fn problem(status: u16, code: &str, detail: &str) -> Response {
    let body = serde_json::json!({
        "type": format!("https://tasker.dev/errors/{code}"), "title": code, "status": status, "detail": detail, "code": code,
        "retryable": matches!(status, 429 | 503), "outcome": "none", "request_id": "req_1",
    });
    json(status, body.to_string())
}

/// A refusal that asks to come back.
pub fn busy(retry_after: &str) -> Response {
    let mut response = problem(429, "coordinator.busy", "too much at once");
    response.headers_mut().insert("retry-after", retry_after.parse().expect("a valid header"));
    response
}

/// A stream of server-sent events that then closes.
pub fn sse(stream: impl Into<String>) -> Response {
    Response::builder().header("content-type", "text/event-stream").body(Body::from(stream.into())).expect("a valid response")
}
