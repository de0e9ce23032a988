//! Whether to ask again, and after how long: a pure function of what was asked and what came back.

use std::time::Duration;

/// How long the person is willing to wait for a server that has trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// A person waits for one answer: a few tries, and none if nobody listens.
    Prompt,
    /// A long-running command is under way: a server may restart meanwhile.
    Long,
}

impl Patience {
    /// Tries after which even a willing client gives up. Prompt: about a second and a half of waiting. Long: about two minutes, time for a restart.
    fn tries_max(self) -> u32 {
        match self {
            Self::Prompt => 4,
            Self::Long => 30,
        }
    }
}

/// What went wrong with one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The server answered with this status.
    Status { status: u16, retry_after: Option<Duration> },
    /// No connection was made, so nothing was sent.
    NotConnected,
    /// The connection broke, or no answer came in time: it may have been done.
    Broken,
}

/// The first delay; doubled for each further try.
const DELAY_FIRST: Duration = Duration::from_millis(200);
/// Delays grow no further than this.
const DELAY_MAX: Duration = Duration::from_secs(5);
/// A server that asks for more than this is not waited for: the person decides.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// The wait before the next try, or `None` if this was the last.
///
/// `repeatable` says that a second request cannot do anything twice: a read, or a submission with a key. Others are asked again only if the
/// first was certainly not sent. `tried` counts the tries made so far, from 1.
pub(crate) fn delay(patience: Patience, repeatable: bool, tried: u32, trouble: Trouble) -> Option<Duration> {
    if tried >= patience.tries_max() {
        return None;
    }
    let backoff = DELAY_FIRST.saturating_mul(1 << (tried.saturating_sub(1)).min(16)).min(DELAY_MAX);
    match trouble {
        Trouble::Status { status: 429 | 502 | 503 | 504 | 507, retry_after } if repeatable => match retry_after {
            Some(asked) if asked > RETRY_AFTER_MAX => None,
            Some(asked) => Some(asked),
            None => Some(backoff),
        },
        Trouble::Status { .. } => None,
        Trouble::NotConnected => (patience == Patience::Long).then_some(backoff),
        Trouble::Broken => repeatable.then_some(backoff),
    }
}

/// Reads the `Retry-After` header: seconds, or a date.
pub(crate) fn retry_after(header: &str, now: jiff::Timestamp) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(header).ok()?;
    Some(Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Patience::{Long, Prompt};

    fn busy(retry_after: Option<u64>) -> Trouble {
        Trouble::Status { status: 429, retry_after: retry_after.map(Duration::from_secs) }
    }

    #[test]
    fn the_server_decides_how_long_to_wait_within_reason() {
        assert_eq!(delay(Prompt, true, 1, busy(Some(3))), Some(Duration::from_secs(3)));
        assert_eq!(delay(Prompt, true, 1, busy(Some(61))), None);
        assert_eq!(delay(Prompt, true, 1, busy(None)), Some(DELAY_FIRST));
        assert_eq!(delay(Long, true, 20, busy(None)), Some(DELAY_MAX));
    }

    #[test]
    fn what_might_be_done_twice_is_never_repeated() {
        assert_eq!(delay(Long, false, 1, busy(Some(1))), None);
        assert_eq!(delay(Long, false, 1, Trouble::Broken), None);
        assert_eq!(delay(Long, false, 1, Trouble::Status { status: 503, retry_after: None }), None);
    }

    #[test]
    fn a_missing_server_is_told_at_once_unless_work_is_under_way() {
        assert_eq!(delay(Prompt, true, 1, Trouble::NotConnected), None);
        assert_eq!(delay(Long, false, 1, Trouble::NotConnected), Some(DELAY_FIRST));
    }

    #[test]
    fn every_patience_ends() {
        for patience in [Prompt, Long] {
            assert_eq!(delay(patience, true, patience.tries_max(), Trouble::Broken), None);
        }
    }

    #[test]
    fn refusals_are_final() {
        for status in [400, 401, 404, 409, 413, 422, 500] {
            assert_eq!(delay(Long, true, 1, Trouble::Status { status, retry_after: None }), None, "{status}");
        }
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now: jiff::Timestamp = "2026-11-21T07:00:00Z".parse().expect("a valid instant");
        assert_eq!(retry_after("2", now), Some(Duration::from_secs(2)));
        assert_eq!(retry_after("Sat, 21 Nov 2026 07:00:09 GMT", now), Some(Duration::from_secs(9)));
        assert_eq!(retry_after("Sat, 21 Nov 2026 06:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }
}
