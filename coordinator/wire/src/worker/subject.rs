//! Which subject says what.

use tasker_engine::{CapabilityName, Namespace, SessionId, ShardId, SystemName};

/// The subjects of one installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subjects {
    /// `tasker.v1`.
    root: String,
}

/// What a subject says about a message of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The tenant.
    pub namespace: Namespace,
    /// Who is speaking (P13).
    pub system: SystemName,
    /// What kind of message it is.
    pub kind: Kind,
}

/// The kinds of message a worker sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `…hello`
    Hello,
    /// `…poll`
    Poll,
    /// `…beat`
    Beat,
    /// `…reply.<shard>`
    Reply,
}

/// Why a prefix cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("subject prefix `{0}` is not acceptable: give words of letters, digits, `_` or `-`, joined by dots, at most 64 bytes")]
pub struct InvalidPrefix(pub String);

impl Subjects {
    /// The subjects below a prefix.
    ///
    /// # Errors
    /// The prefix is empty, too long, or has characters that mean something in subjects.
    pub fn new(prefix: &str) -> Result<Self, InvalidPrefix> {
        let word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        if prefix.len() > 64 || !prefix.split('.').all(word) {
            return Err(InvalidPrefix(prefix.chars().take(80).collect()));
        }
        Ok(Self { root: format!("{prefix}.v1") })
    }

    /// What every coordinator hears of every namespace, whoever runs it: greetings, credit and signs of life.
    pub fn of_every_coordinator(&self) -> [String; 3] {
        ["hello", "poll", "beat"].map(|tail| format!("{}.*.*.{tail}", self.root))
    }

    /// Where the replies to one shard come in.
    pub fn replies(&self, shard: ShardId) -> String {
        format!("{}.*.*.reply.{shard}", self.root)
    }

    /// Everything that workers say, for a coordinator that is alone.
    pub fn of_coordinator(&self) -> [String; 4] {
        ["hello", "poll", "beat", "reply.*"].map(|tail| format!("{}.*.*.{tail}", self.root))
    }

    /// Where one coordinator hears itself; `name` is drawn at random, and none of the words that end a worker's subject.
    pub fn echo(&self, name: &str) -> String {
        format!("{}._coordinator.echo.{name}", self.root)
    }

    /// Reads the subject of a message that arrived; none if it is not one of a worker's.
    pub fn read(&self, subject: &str) -> Option<Arrival> {
        let mut tokens = subject.strip_prefix(&self.root)?.strip_prefix('.')?.split('.');
        let namespace = Namespace::new(tokens.next()?).ok()?;
        let system = SystemName::new(tokens.next()?).ok()?;
        let kind = match (tokens.next()?, tokens.next()) {
            ("hello", None) => Kind::Hello,
            ("poll", None) => Kind::Poll,
            ("beat", None) => Kind::Beat,
            ("reply", Some(shard)) if shard.parse::<u32>().is_ok() => Kind::Reply,
            _ => return None,
        };
        tokens.next().is_none().then_some(Arrival { namespace, system, kind })
    }

    /// Where one worker listens.
    pub fn to(&self, namespace: &Namespace, system: &SystemName, session: &SessionId) -> String {
        format!("{}.{namespace}.{system}.to.{session}", self.root)
    }

    /// Where plain responders of a capability listen.
    pub fn call(&self, namespace: &Namespace, system: &SystemName, capability: &CapabilityName) -> String {
        format!("{}.{namespace}.{system}.call.{capability}", self.root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_say_who_speaks_and_what_kind_of_message_it_is() {
        let subjects = Subjects::new("acme.tasker").expect("valid");
        let read = |subject: &str| subjects.read(subject).map(|arrival| (arrival.system.to_string(), arrival.kind));
        assert_eq!(read("acme.tasker.v1.default.payments.hello"), Some(("payments".into(), Kind::Hello)));
        assert_eq!(read("acme.tasker.v1.default.payments.reply.0"), Some(("payments".into(), Kind::Reply)));
        for foreign in [
            "acme.tasker.v1.default.payments.reply",
            "acme.tasker.v1.default.payments.reply.x",
            "acme.tasker.v1.default.payments.reply.0.1",
            "acme.tasker.v1.default.payments.to.session-1",
            "acme.tasker.v1.default.payments.hello.x",
            "acme.tasker.v1.default..hello",
            "acme.tasker.v2.default.payments.hello",
            "tasker.v1.default.payments.hello",
            "",
        ] {
            assert_eq!(read(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_prefix_with_wildcards_or_blanks_is_refused() {
        for prefix in ["", "a..b", "*", "a.>", "a b", ".a", "a."] {
            assert!(Subjects::new(prefix).is_err(), "{prefix}");
        }
    }
}
