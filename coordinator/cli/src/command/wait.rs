//! Waiting for the end of a task by long polls: for `submit --wait` and `result --wait`.

use crate::answers::Outcome;
use crate::client::{Answer, Client};
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Format;
use crate::{json, render, text};
use std::time::{Duration, Instant};

/// One long poll; below the server's maximum of 60 s and below what proxies usually cut off.
const POLL_MAX: Duration = Duration::from_secs(30);
/// A server that answers a long poll at once is not asked again at once.
const PAUSE: Duration = Duration::from_millis(250);

/// Waits until the task is over, at most `timeout` (in whole seconds, rounded up, because that is what the server is asked for).
///
/// # Errors
/// [`Failure::TimedOut`] if it is not over; the task goes on.
pub(super) async fn for_end(id: &str, timeout: Duration, client: &Client) -> Result<(Answer, Outcome), Failure> {
    let started = Instant::now();
    let mut status = "running".to_owned();
    loop {
        let remaining = timeout.saturating_sub(started.elapsed());
        let poll = Duration::from_secs(remaining.min(POLL_MAX).as_millis().div_ceil(1_000).try_into().unwrap_or(30));
        let request = client.get(&["tasks", id, "result"]).query("wait", &format!("{}s", poll.as_secs())).waiting(poll).patient();
        // The server's own wait comes first; beyond it we only allow for the way there and back.
        let Ok(answered) = tokio::time::timeout(poll + Duration::from_secs(30), request.send()).await else {
            return Err(timed_out(id, status, timeout, started.elapsed()));
        };
        let answer = answered?;
        let outcome: Outcome = answer.read()?;
        if answer.status == 200 {
            return Ok((answer, outcome));
        }
        if started.elapsed() >= timeout {
            return Err(timed_out(id, outcome.status, timeout, started.elapsed()));
        }
        status = outcome.status;
        tokio::time::sleep(PAUSE.min(timeout.saturating_sub(started.elapsed()))).await;
    }
}

fn timed_out(id: &str, status: String, timeout: Duration, waited: Duration) -> Failure {
    // Somebody who did not ask to wait is not told how long the question took.
    let waited = (timeout > Duration::ZERO).then(|| text::duration(i64::try_from(waited.as_millis()).unwrap_or(i64::MAX)));
    Failure::TimedOut { id: text::clean(id), status: text::clean(&status), waited }
}

/// Prints how a task ended: the result is data, all else is chatter. Gives the exit code that says whether it succeeded.
pub(super) fn print(answer: &Answer, outcome: &Outcome, console: &mut Console) -> Result<Exit, Failure> {
    if console.format() == Format::Table {
        let look = crate::look::Look { colour: false, ..console.look() };
        let said = render::task::outcome(outcome, &look);
        if outcome.status == "succeeded" {
            console.chat(&said);
            let result = outcome.result.as_ref().map_or("null", |result| result.get());
            console.line(&json::pretty(result))?;
        } else {
            console.complain(&said);
        }
    } else {
        console.answer(&answer.body, |_| Ok(String::new()))?;
    }
    Ok(exit_of(&outcome.status))
}

/// Only success is success; a status that we do not know yet is none.
pub(super) fn exit_of(status: &str) -> Exit {
    if status == "succeeded" { Exit::Success } else { Exit::TaskFailed }
}
