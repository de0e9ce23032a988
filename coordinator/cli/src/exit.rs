//! What the process says to the script that started it.

use std::process::ExitCode;

/// The exit codes. They are a contract: scripts and CI pipelines branch on them, so a number is never given a second meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It was done.
    Success = 0,
    /// It was not done; the message says why.
    Error = 1,
    /// The command line itself is wrong. The same number that clap uses.
    Usage = 2,
    /// What was named does not exist.
    NotFound = 3,
    /// It exists in a state that does not allow this.
    Conflict = 4,
    /// The server, or a proxy in front of it, does not let us.
    Denied = 5,
    /// The task is over and did not succeed: failed or cancelled.
    TaskFailed = 6,
    /// The task was not over in the time allowed; it goes on.
    TimedOut = 7,
    /// No server was reached, or only a question was left unanswered; nothing was changed.
    Unreachable = 8,
    /// The request was sent and no answer came: it may or may not have been done.
    OutcomeUnknown = 9,
}

/// The table of exit codes, as `--help` and `tasker help exit-codes` print it.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  error: the message says what happened and what to do
  2  usage: the command line itself is wrong
  3  not found: the workflow, task, system or capability does not exist
  4  conflict: it exists in a state that does not allow this
  5  denied: the server or a proxy in front of it refused who is asking
  6  the task failed or was cancelled (--wait, watch, result)
  7  the task was not over in the time allowed; it goes on
  8  the server could not be reached, or left a question unanswered; nothing was changed
  9  outcome unknown: sent, no answer; it may or may not have been done";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_table_names_every_code_once() {
        let all = [
            Exit::Success,
            Exit::Error,
            Exit::Usage,
            Exit::NotFound,
            Exit::Conflict,
            Exit::Denied,
            Exit::TaskFailed,
            Exit::TimedOut,
            Exit::Unreachable,
            Exit::OutcomeUnknown,
        ];
        let printed: Vec<u8> = EXIT_CODES.lines().skip(1).filter_map(|line| line.trim_start().split(' ').next()?.parse().ok()).collect();
        assert_eq!(printed, all.map(|exit| exit as u8));
    }
}
