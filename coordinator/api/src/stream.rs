//! A task's events as they happen, over Server-Sent Events, without gap or repeat.
//!
//! The watch is opened before the history is read, so what is committed in between arrives twice and is dropped by its number. A watch that
//! falls behind is made good by reading the history again.

use crate::app::App;
use crate::metrics::Metrics;
use crate::problem::{Problem, ProblemBody};
use crate::request::Ask;
use crate::server::Closing;
use crate::tasks;
use crate::view::{Event, end_of};
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use serde_json::json;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::event::Entry;
use tasker_engine::{TaskId, TaskStatus};
use tasker_runtime::operations::{Committed, History, StepNames};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::Instant;

/// Proxies close connections that are silent for half a minute or more.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What an event source waits before it connects again.
const RETRY_MS: u64 = 2_000;

/// Streams a task's events: first those after `Last-Event-ID`, then new ones as they are committed.
///
/// Each event has its number as `id`, its name as `event`, and the JSON of an event as `data`. `reset` says that the stream starts again from
/// the first event, because the `Last-Event-ID` is not of this task; `end` follows the event that ends the task. A comment keeps the
/// connection open.
#[utoipa::path(get, path = "/v1/tasks/{id}/events:stream", tag = "tasks", operation_id = "stream_events",
    params(
        ("id" = String, Path),
        ("namespace" = Option<String>, Query),
        ("Last-Event-ID" = Option<u64>, Header, description = "The number of the last event that is known already"),
    ),
    responses(
        (status = 200, body = Event, content_type = "text/event-stream"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "wait.too_many: too many clients wait"),
    ))]
pub(crate) async fn follow(State(app): State<App>, closing: Option<Extension<Closing>>, ask: Ask) -> Result<Response, Problem> {
    let query = app.query(&ask, &[])?;
    let id = ask.task_id()?;
    let seen = ask.header("Last-Event-ID")?.map(str::to_owned);
    let place = app.gate.enter()?;
    let live = app.operations.watch(id);
    let namespace = query.namespace.clone();
    let reader = app.clone();
    let read = move || {
        let (app, namespace) = (reader.clone(), query.namespace.clone());
        async move { app.read(app.operations.history(&namespace, id), Duration::ZERO).await }
    };
    let history = read().await?.ok_or_else(|| tasks::unknown(id, &namespace))?;
    let follower = Follower::start(id, history, live, read, seen.as_deref(), &app.metrics);
    let frames = stream::unfold((follower, place, closing), |(mut follower, place, closing)| async move {
        let frame = tokio::select! {
            frame = follower.next() => frame?,
            // The client connects again, to whoever serves by then, and continues where it stopped.
            () = Closing::of(closing.clone()) => return None,
        };
        Some((Ok::<_, Infallible>(frame), (follower, place, closing)))
    });
    let mut response = Response::new(Body::from_stream(frames));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Tells reverse proxies not to hold events back.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

/// Turns a history and the commits after it into frames.
struct Follower<R> {
    id: TaskId,
    /// How its steps and items are called, as far as its history was read and its commits were seen.
    names: StepNames,
    live: broadcast::Receiver<Committed>,
    read: R,
    /// Entries that were not sent, or not wholly.
    queue: VecDeque<Arc<Entry>>,
    /// The number of the next event to send.
    next: u64,
    /// What is sent before any event.
    opening: Option<Bytes>,
    /// Whether commits were missed, so that the history must be read again.
    behind: bool,
    /// How the task ended, once that is known.
    ended: Option<TaskStatus>,
    closed: bool,
    heartbeat_at: Instant,
}

impl<R, F> Follower<R>
where
    R: Fn() -> F,
    F: Future<Output = Result<Option<History>, Problem>>,
{
    fn start(id: TaskId, history: History, live: broadcast::Receiver<Committed>, read: R, seen: Option<&str>, metrics: &Metrics) -> Self {
        let known = history.entries.last().map_or(0, |entry| entry.first + entry.events.len() as u64 - 1);
        let mut opening = format!("retry: {RETRY_MS}\n\n");
        let next = match seen.map(|text| text.parse::<u64>().ok().filter(|number| *number <= known)) {
            None => 1,
            Some(Some(number)) => number + 1,
            Some(None) => {
                metrics.stream_reset();
                let data = json!({ "next": 1, "reason": "the Last-Event-ID is not the number of an event of this task" });
                opening.push_str(&frame(None, "reset", &data.to_string()));
                1
            }
        };
        let mut follower = Self {
            id,
            names: StepNames::new(history.workflow.clone()),
            live,
            read,
            queue: VecDeque::new(),
            next,
            opening: Some(Bytes::from(opening)),
            behind: false,
            ended: None,
            closed: false,
            heartbeat_at: Instant::now() + HEARTBEAT,
        };
        follower.take_history(history);
        follower
    }

    fn take_history(&mut self, history: History) {
        if history.finished {
            self.ended = history.entries.iter().flat_map(|entry| &entry.events).find_map(end_of);
        }
        let next = self.next;
        self.names = history.names();
        self.queue = history.entries.into_iter().filter(|entry| entry.first + entry.events.len() as u64 > next).collect();
        self.behind = false;
    }

    fn take_commit(&mut self, committed: Committed) {
        let entry = committed.entry;
        if committed.task != self.id || entry.first + entry.events.len() as u64 <= self.next {
            return;
        }
        // A commit beyond the next event means that others were missed; they and this one are in the history.
        match entry.first > self.next {
            true => self.behind = true,
            false => {
                self.names.note(&entry);
                self.queue.push_back(entry);
            }
        }
    }

    /// The next frame; none once the stream is over.
    async fn next(&mut self) -> Option<Bytes> {
        let frame = match self.opening.take() {
            Some(opening) => opening,
            None => self.wait().await?,
        };
        self.heartbeat_at = Instant::now() + HEARTBEAT;
        Some(frame)
    }

    async fn wait(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.queued() {
                return Some(event);
            }
            if self.closed {
                return None;
            }
            if let Some(status) = self.ended {
                self.closed = true;
                let data = json!({ "id": self.id, "status": status.as_str() });
                return Some(Bytes::from(frame(Some(self.next - 1), "end", &data.to_string())));
            }
            if self.behind {
                // If the history cannot be read now, the client connects again and continues where it stopped.
                let history = (self.read)().await.ok().flatten()?;
                self.take_history(history);
                continue;
            }
            match tokio::time::timeout_at(self.heartbeat_at, self.live.recv()).await {
                Err(_) => return Some(Bytes::from_static(b": heartbeat\n\n")),
                Ok(Ok(committed)) => self.take_commit(committed),
                Ok(Err(RecvError::Lagged(_))) => self.behind = true,
                Ok(Err(RecvError::Closed)) => return None,
            }
        }
    }

    /// The next event of the queue.
    fn queued(&mut self) -> Option<Bytes> {
        loop {
            let entry = self.queue.front()?;
            let place = self.next.saturating_sub(entry.first);
            let Some(event) = usize::try_from(place).ok().and_then(|place| entry.events.get(place)) else {
                self.queue.pop_front();
                continue;
            };
            self.ended = self.ended.or(end_of(event));
            let event = Event::of(&self.names, entry, usize::try_from(place).expect("was in range"));
            self.next += 1;
            let data = serde_json::to_string(&event).expect("an event holds nothing that JSON cannot say");
            return Some(Bytes::from(frame(Some(event.number), event.event, &data)));
        }
    }
}

/// One event in the format of the HTML standard. `data` is JSON, in which line breaks stand only between values, so each may become a space.
fn frame(id: Option<u64>, name: &str, data: &str) -> String {
    let data = data.replace(['\r', '\n'], " ");
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    format!("{id}event: {name}\ndata: {data}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::sample;
    use std::sync::Mutex;
    use tasker_engine::Workflow;

    struct Stage {
        id: TaskId,
        entries: Vec<Arc<Entry>>,
        workflow: Arc<Workflow>,
        sender: broadcast::Sender<Committed>,
        metrics: Metrics,
        reads: Arc<Mutex<usize>>,
    }

    impl Stage {
        fn new(capacity: usize) -> Self {
            let (workflow, entries) = sample::history();
            let (sender, _) = broadcast::channel(capacity);
            let reads = Arc::new(Mutex::new(0));
            Self { id: entries[0].task, entries, workflow, sender, metrics: Metrics::default(), reads }
        }

        fn history(&self, entries: usize) -> History {
            let finished = self.entries[..entries].iter().flat_map(|entry| &entry.events).any(|event| end_of(event).is_some());
            History { workflow: self.workflow.clone(), entries: self.entries[..entries].to_vec(), finished }
        }

        fn follow(
            &self,
            known: usize,
            seen: Option<&str>,
        ) -> Follower<impl Fn() -> std::future::Ready<Result<Option<History>, Problem>> + use<>> {
            let (whole, reads) = (self.history(self.entries.len()), self.reads.clone());
            let read = move || {
                *reads.lock().expect("not poisoned") += 1;
                std::future::ready(Ok(Some(whole.clone())))
            };
            Follower::start(self.id, self.history(known), self.sender.subscribe(), read, seen, &self.metrics)
        }

        fn commit(&self, place: usize) {
            let committed = Committed { task: self.id, entry: self.entries[place].clone() };
            self.sender.send(committed).expect("somebody follows");
        }
    }

    async fn rest(follower: &mut Follower<impl Fn() -> std::future::Ready<Result<Option<History>, Problem>>>) -> Vec<String> {
        let mut frames = Vec::new();
        while let Some(frame) = follower.next().await {
            frames.push(String::from_utf8(frame.to_vec()).expect("text"));
        }
        frames
    }

    fn numbers(frames: &[String]) -> Vec<u64> {
        let events = frames.iter().filter(|frame| !frame.contains("event: end"));
        events.filter_map(|frame| frame.lines().find_map(|line| line.strip_prefix("id: "))?.parse().ok()).collect()
    }

    #[tokio::test]
    async fn a_finished_task_is_told_from_its_history_and_ends() {
        let stage = Stage::new(16);
        let frames = rest(&mut stage.follow(stage.entries.len(), None)).await;
        assert_eq!(frames[0], "retry: 2000\n\n");
        let told = numbers(&frames);
        assert_eq!(told, (1..=told.len() as u64).collect::<Vec<_>>());
        assert!(frames.last().expect("an end").contains("event: end\ndata: {\"id\":\"tsk_"), "{frames:?}");
        assert!(frames.last().expect("an end").contains("\"status\":\"failed\""));
    }

    #[tokio::test]
    async fn what_is_committed_while_the_history_is_read_is_told_once() {
        let stage = Stage::new(64);
        let mut follower = stage.follow(3, None);
        for place in 1..stage.entries.len() - 1 {
            stage.commit(place);
        }
        let told = numbers(&rest(&mut follower).await);
        assert_eq!(told, (1..=told.len() as u64).collect::<Vec<_>>());
        assert_eq!(*stage.reads.lock().expect("not poisoned"), 0, "nothing was missed, so nothing was read again");
    }

    #[tokio::test]
    async fn a_follower_that_fell_behind_reads_the_history_again_without_gap_or_repeat() {
        let stage = Stage::new(1);
        let mut follower = stage.follow(1, None);
        for place in 1..stage.entries.len() {
            stage.commit(place);
        }
        let told = numbers(&rest(&mut follower).await);
        assert_eq!(told, (1..=told.len() as u64).collect::<Vec<_>>());
        assert!(*stage.reads.lock().expect("not poisoned") >= 1);
    }

    #[tokio::test]
    async fn a_client_that_comes_back_continues_after_the_last_event_it_saw() {
        let stage = Stage::new(16);
        let all = numbers(&rest(&mut stage.follow(stage.entries.len(), None)).await);
        let told = numbers(&rest(&mut stage.follow(stage.entries.len(), Some("4"))).await);
        assert_eq!(told, all[4..]);
        let last = all.len().to_string();
        let frames = rest(&mut stage.follow(stage.entries.len(), Some(&last))).await;
        assert!(numbers(&frames).is_empty());
        assert!(frames.last().expect("an end").starts_with(&format!("id: {last}\nevent: end\n")));
    }

    #[tokio::test]
    async fn a_last_event_id_of_another_task_resets_the_stream() {
        let stage = Stage::new(16);
        for foreign in ["999", "x", "-1", ""] {
            let frames = rest(&mut stage.follow(stage.entries.len(), Some(foreign))).await;
            assert!(frames[0].contains("event: reset\ndata: {\"next\":1"), "{foreign}: {}", frames[0]);
            assert_eq!(numbers(&frames)[0], 1);
        }
        let mut readings = tasker_telemetry::reading::Readings::default();
        stage.metrics.read(&mut readings);
        assert_eq!(readings.number(&tasker_telemetry::metric::STREAM_RESETS, &[]), Some(4.0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_beats_even_while_other_tasks_are_busy() {
        let stage = Stage::new(4096);
        let mut follower = stage.follow(2, None);
        let others = async {
            loop {
                let entry = stage.entries[0].clone();
                let task = TaskId::from_number(1).expect("not negative");
                let _ = stage.sender.send(Committed { task, entry });
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let beat = async {
            loop {
                let frame = follower.next().await.expect("goes on");
                if frame.starts_with(b":") {
                    return frame;
                }
            }
        };
        let beat = async { tokio::time::timeout(Duration::from_secs(20), beat).await };
        let frame = tokio::select! { frame = beat => frame.expect("within twenty seconds"), () = others => unreachable!() };
        assert_eq!(frame, Bytes::from_static(b": heartbeat\n\n"));
    }

    #[test]
    fn line_breaks_between_values_never_break_a_frame() {
        let frame = frame(Some(7), "step_succeeded", "{\"result\": {\r\n\"a\":\n\n1}}");
        assert_eq!(frame, "id: 7\nevent: step_succeeded\ndata: {\"result\": {  \"a\":  1}}\n\n");
    }
}
