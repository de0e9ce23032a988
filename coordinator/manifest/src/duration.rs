//! Reads durations out of manifests; how they are written is the engine's affair.

use crate::codes;
use crate::fields::{short, wrong_type};
use crate::report::{Problem, Report};
use crate::yaml::{Kind, Node};
use std::time::Duration;
pub(crate) use tasker_engine::duration::{DURATION_MAX, InvalidDuration, format, parse};

/// Reads a duration as manifests write it, for settings and flags that follow the same rule: `250ms`, `30s`, `1m30s`, `2h`, `1d`.
///
/// Zero is a duration here; whoever needs more refuses it. `None` for a bare number, an unknown unit, units out of order, or more
/// than 366 days.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(tasker_manifest::parse_duration("1m30s"), Some(Duration::from_secs(90)));
/// assert_eq!(tasker_manifest::parse_duration("90"), None);
/// ```
pub fn parse_duration(text: &str) -> Option<Duration> {
    parse(text).ok()
}

/// Reads a duration that must be longer than zero.
pub(crate) fn read(node: &Node, what: &str, report: &mut Report<'_>) -> Option<Duration> {
    let text = match &node.kind {
        Kind::Text(text) => text,
        Kind::Number(_, written) => {
            let problem = Problem::new(&codes::BAD_DURATION, node.place, format!("{what} has no unit"));
            let whole = written.bytes().all(|byte| byte.is_ascii_digit());
            let problem = problem.hint("write the unit: `ms`, `s`, `m`, `h` or `d`");
            report.add(if whole { problem.fix(format!("{written}s")) } else { problem });
            return None;
        }
        _ => {
            wrong_type(node, what, "a duration such as `30s`", report);
            return None;
        }
    };
    match parse(text) {
        Ok(Duration::ZERO) => {
            let problem = Problem::new(&codes::ZERO_DURATION, node.place, format!("{what} is zero"));
            report.add(problem.hint("nothing can be done in no time; remove the field to leave it out"));
            None
        }
        Ok(duration) => Some(duration),
        Err(InvalidDuration::TooLong) => {
            let message = format!("{what}, `{}`, is longer than {}", short(text), format(DURATION_MAX));
            report.add(Problem::new(&codes::BAD_DURATION, node.place, message).hint("write a shorter one, or remove the field"));
            None
        }
        Err(InvalidDuration::Malformed) => {
            let problem = Problem::new(&codes::BAD_DURATION, node.place, format!("`{}` is not a duration", short(text)));
            report.add(problem.hint("write whole numbers with units, largest first: `250ms`, `30s`, `1m30s`, `2h`, `1d`"));
            None
        }
    }
}
