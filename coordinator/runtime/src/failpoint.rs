//! Named places at which a debug build ends as if by `kill -9`, so that tests can crash a coordinator exactly there.
//!
//! `TASKER_FAILPOINT=after_commit_before_send:37` ends the process at the 37th passage of that place. A release build contains nothing of
//! this: [`pass`] is empty there, and the variable is not read.

/// Where a process can be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failpoint {
    /// A group is complete, and nothing of it is in the database.
    BeforeCommit,
    /// The group is durable, and nobody knows.
    AfterCommitBeforeSend,
    /// What the group led to was handed to the bus and to those who asked.
    AfterSend,
}

impl Failpoint {
    /// Every place.
    pub const ALL: [Self; 3] = [Self::BeforeCommit, Self::AfterCommitBeforeSend, Self::AfterSend];

    /// As it is called in the environment.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BeforeCommit => "before_commit",
            Self::AfterCommitBeforeSend => "after_commit_before_send",
            Self::AfterSend => "after_send",
        }
    }
}

/// The process passes a place; it ends there if the environment says so.
#[cfg(debug_assertions)]
pub(crate) fn pass(place: Failpoint) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static ARMED: LazyLock<Option<(Failpoint, u64)>> = LazyLock::new(|| {
        let said = std::env::var("TASKER_FAILPOINT").ok()?;
        let armed = read(&said);
        // A test that crashes nothing would prove nothing.
        assert!(armed.is_some(), "TASKER_FAILPOINT is `{said}`, not PLACE:PASSAGE with one of {:?}", Failpoint::ALL.map(Failpoint::as_str));
        armed
    });
    static PASSED: AtomicU64 = AtomicU64::new(0);

    if let Some((armed, passage)) = *ARMED
        && armed == place
        && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == passage
    {
        eprintln!("failpoint {} reached at passage {passage}: this process ends here", place.as_str());
        std::process::abort();
    }
}

/// The process passes a place; a release build knows no failpoints.
#[cfg(not(debug_assertions))]
pub(crate) fn pass(_: Failpoint) {}

/// Reads `PLACE:PASSAGE`; passages count from one.
#[cfg(debug_assertions)]
fn read(text: &str) -> Option<(Failpoint, u64)> {
    let (place, passage) = text.split_once(':')?;
    let place = Failpoint::ALL.into_iter().find(|known| known.as_str() == place)?;
    Some((place, passage.parse().ok().filter(|passage| *passage > 0)?))
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    #[test]
    fn a_place_and_a_passage_are_read_and_nothing_else() {
        assert_eq!(read("after_send:3"), Some((Failpoint::AfterSend, 3)));
        assert_eq!(read("before_commit:1"), Some((Failpoint::BeforeCommit, 1)));
        for wrong in ["after_send", "after_send:0", "after_send:-1", "after_send:x", "elsewhere:1", ""] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
