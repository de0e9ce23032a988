//! Why a command was not carried out, and what the person can do next.

use crate::exit::Exit;
use crate::look::{Look, Tone};
use crate::problem::Problem;
use crate::text;
use std::io;

/// Why a command ended without its answer. Each variant asks for something else from the person who typed it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The server refused, and said why.
    #[error("the server refused: {}", .0.code)]
    Problem(Box<Problem>),
    /// Nobody listens at the address; nothing was sent.
    #[error("cannot reach a Tasker server at {address}: {cause}")]
    Unreachable { address: String, cause: String },
    /// Only something without consequences was asked, and no whole answer came.
    #[error("no answer from {address}: {cause}")]
    NoAnswer { address: String, cause: String },
    /// Something with consequences was asked, and no answer came.
    #[error("the request was sent to {address}, but no answer came: {cause}")]
    OutcomeUnknown { address: String, cause: String, keyed: bool },
    /// An answer came that the contract does not know.
    #[error("the answer of {address} is not understood: {cause}")]
    Unreadable { address: String, cause: String },
    /// The command line makes sense to the parser, but not to us.
    #[error("{said}")]
    Usage { said: String, help: String },
    /// A file, or standard input, could not be read, or is not what it must be.
    #[error("{path}: {cause}")]
    Input { path: String, cause: String, help: Option<String> },
    /// What was named is not in the file, or not in what was recorded.
    #[error("{what}")]
    Absent { what: String, help: String },
    /// What was asked of this program itself cannot be done with what it was given; the code has a page of its own.
    #[error("{said}")]
    Refused { code: &'static str, said: String, help: String },
    /// The task was not over in time.
    #[error("task {id} is still {status}{}", .waited.as_ref().map(|waited| format!(" after {waited}")).unwrap_or_default())]
    TimedOut { id: String, status: String, waited: Option<String> },
    /// The stream of events could not be continued.
    #[error("the stream of events of {id} broke {tries} times in a row: {cause}")]
    StreamLost { id: String, tries: u32, cause: String },
    /// Our own output could not be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl Failure {
    /// What the process exits with.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Problem(problem) => problem.exit(),
            Self::Unreachable { .. } | Self::NoAnswer { .. } | Self::StreamLost { .. } => Exit::Unreachable,
            Self::OutcomeUnknown { .. } => Exit::OutcomeUnknown,
            Self::Unreadable { .. } | Self::Input { .. } | Self::Refused { .. } => Exit::Error,
            Self::Absent { .. } => Exit::NotFound,
            Self::Usage { .. } => Exit::Usage,
            Self::TimedOut { .. } => Exit::TimedOut,
            // `tasker task list | head` closes the pipe on purpose; that is not a failure of ours.
            Self::Output(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
            Self::Output(_) => Exit::Error,
        }
    }

    /// The stable code: the server's own, or one of the client's.
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::Problem(problem) => &problem.code,
            Self::Unreachable { .. } => "client.unreachable",
            Self::NoAnswer { .. } => "client.no_answer",
            Self::OutcomeUnknown { .. } => "client.outcome_unknown",
            Self::Unreadable { .. } => "client.answer_unreadable",
            Self::Usage { .. } => "client.usage",
            Self::Input { .. } => "client.input_unreadable",
            Self::Absent { .. } => "client.absent",
            Self::Refused { code, .. } => code,
            Self::TimedOut { .. } => "client.timed_out",
            Self::StreamLost { .. } => "client.stream_lost",
            Self::Output(_) => "client.output_unwritable",
        }
    }

    /// Whether there is anybody to tell. A reader that closed the pipe is gone.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self, Self::Output(cause) if cause.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The failure as people read it: `error[code]: …` and `help: …`.
    pub(crate) fn render(&self, look: &Look) -> String {
        if let Self::Problem(problem) = self {
            return problem.render(look);
        }
        let headline = look.headline("error", Tone::Bad, self.code(), &self.to_string());
        match self.help() {
            Some(help) => format!("{headline}\n{} {}", look.paint(Tone::Strong, "help:"), text::clean_lines(&help)),
            None => headline,
        }
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Problem(_) | Self::Output(_) => return None,
            Self::Unreachable { .. } => "start one with `tasker dev`, or name another with --server URL or TASKER_SERVER".to_owned(),
            Self::NoAnswer { .. } => "nothing was changed; try again, or look at the server's log".to_owned(),
            Self::OutcomeUnknown { keyed: true, .. } => {
                "it may or may not have been done; run the same command with the same key again: a repeat gives the same task".to_owned()
            }
            Self::OutcomeUnknown { keyed: false, .. } => {
                "it may or may not have been done: look (`tasker task list`, `tasker workflow list`) before repeating; submissions with --key may always be repeated".to_owned()
            }
            Self::Unreadable { .. } => "is --server a Tasker server, and of the same version as this program?".to_owned(),
            Self::Usage { help, .. } | Self::Absent { help, .. } | Self::Refused { help, .. } => help.clone(),
            Self::Input { help, .. } => return help.clone(),
            Self::TimedOut { id, .. } => format!("it goes on; `tasker task watch {id}` follows it, `tasker debug why {id}` says what it waits for"),
            Self::StreamLost { id, .. } => format!("`tasker task show {id}` asks for the state once"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<(Failure, Exit)> {
        let address = || "http://127.0.0.1:7420/".to_owned();
        let cause = || "connection refused".to_owned();
        vec![
            (Failure::Unreachable { address: address(), cause: cause() }, Exit::Unreachable),
            (Failure::NoAnswer { address: address(), cause: cause() }, Exit::Unreachable),
            (Failure::OutcomeUnknown { address: address(), cause: cause(), keyed: true }, Exit::OutcomeUnknown),
            (Failure::OutcomeUnknown { address: address(), cause: cause(), keyed: false }, Exit::OutcomeUnknown),
            (Failure::Unreadable { address: address(), cause: "missing field `id`".to_owned() }, Exit::Error),
            (Failure::Usage { said: "no input".to_owned(), help: "give --input".to_owned() }, Exit::Usage),
            (Failure::Input { path: "order.json".to_owned(), cause: "not found".to_owned(), help: None }, Exit::Error),
            (
                Failure::Absent { what: "order.yaml declares no system `shop`".to_owned(), help: "it declares pay".to_owned() },
                Exit::NotFound,
            ),
            (Failure::Refused { code: "samples.none", said: "there is no sample".to_owned(), help: "give one".to_owned() }, Exit::Error),
            (Failure::TimedOut { id: "tsk_1".to_owned(), status: "running".to_owned(), waited: Some("1m 00s".to_owned()) }, Exit::TimedOut),
            (Failure::StreamLost { id: "tsk_1".to_owned(), tries: 10, cause: cause() }, Exit::Unreachable),
            (Failure::Output(io::Error::other("disk full")), Exit::Error),
            (Failure::Output(io::ErrorKind::BrokenPipe.into()), Exit::Success),
        ]
    }

    #[test]
    fn every_failure_says_what_happened_and_what_to_do() {
        let rendered: Vec<String> =
            all().iter().filter(|(failure, _)| !failure.is_silent()).map(|(failure, _)| failure.render(&Look::plain())).collect();
        insta::assert_snapshot!(rendered.join("\n\n"));
    }

    #[test]
    fn every_failure_has_its_exit_code() {
        for (failure, exit) in all() {
            assert_eq!(failure.exit(), exit, "{failure}");
        }
    }
}
