//! What the environment says, checked once at the start.

use async_nats::Subject;
use rand::Rng as _;

use crate::error::WorkerError;

/// A worker with more slots than this is better started twice.
const SLOTS_MAX: usize = 10_000;
const SLOTS_DEFAULT: usize = 8;
const NATS_URL_DEFAULT: &str = "nats://127.0.0.1:7422";
/// 22 characters of base64url carry 132 random bits: nobody meets a session by chance.
const SESSION_LENGTH: usize = 22;

/// Where this worker lives and how much it takes.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub nats_url: String,
    pub prefix: String,
    pub namespace: String,
    pub system: String,
    pub slots: usize,
}

impl Settings {
    /// Reads the environment through `lookup`; what the program said in code wins.
    pub fn read(
        system: &str,
        slots: Option<usize>,
        nats_url: Option<String>,
        namespace: Option<String>,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, WorkerError> {
        let variable = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let slots = match (slots, variable("TASKER_SLOTS")) {
            (Some(slots), _) => slots,
            (None, Some(text)) => text.parse().map_err(|_| invalid("TASKER_SLOTS", format!("`{text}` is not a number")))?,
            (None, None) => SLOTS_DEFAULT,
        };
        if !(1..=SLOTS_MAX).contains(&slots) {
            return Err(invalid("slots", format!("{slots} is not between 1 and {SLOTS_MAX}")));
        }
        let settings = Self {
            nats_url: nats_url.or_else(|| variable("TASKER_NATS_URL")).unwrap_or_else(|| NATS_URL_DEFAULT.to_owned()),
            prefix: variable("TASKER_SUBJECT_PREFIX").unwrap_or_else(|| "tasker".to_owned()),
            namespace: namespace.or_else(|| variable("TASKER_NAMESPACE")).unwrap_or_else(|| "default".to_owned()),
            system: system.to_owned(),
            slots,
        };
        for (what, value) in [("namespace", &settings.namespace), ("system", &settings.system)] {
            if !is_token(value) {
                return Err(invalid(what, format!("`{value}` is not 1 to 64 characters of A-Z a-z 0-9 _ -")));
            }
        }
        if !settings.prefix.split('.').all(is_token) {
            return Err(invalid("TASKER_SUBJECT_PREFIX", format!("`{}` is not a NATS subject without wildcards", settings.prefix)));
        }
        Ok(settings)
    }
}

/// The subjects of one session.
#[derive(Debug, Clone)]
pub(crate) struct Subjects {
    pub hello: Subject,
    pub poll: Subject,
    pub beat: Subject,
    pub to: Subject,
    reply: String,
}

impl Subjects {
    pub fn new(settings: &Settings, session: &str) -> Self {
        let Settings { prefix, namespace, system, .. } = settings;
        let of = |tail: &str| Subject::from(format!("{prefix}.v1.{namespace}.{system}.{tail}"));
        Self {
            hello: of("hello"),
            poll: of("poll"),
            beat: of("beat"),
            to: of(&format!("to.{session}")),
            reply: format!("{prefix}.v1.{namespace}.{system}.reply."),
        }
    }

    pub fn reply(&self, shard: u32) -> Subject {
        Subject::from(format!("{}{shard}", self.reply))
    }
}

/// A session name that no other process will choose.
pub(crate) fn new_session() -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut random = rand::rng();
    (0..SESSION_LENGTH).map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())])).collect()
}

/// One NATS subject token of the names that may stand in subjects.
pub(crate) fn is_token(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// Dotted lower-case words: `payment.charge`.
pub(crate) fn is_capability(name: &str) -> bool {
    name.len() <= 128
        && name.split('.').all(|word| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-')
        })
}

pub(crate) fn invalid(what: &str, problem: impl Into<String>) -> WorkerError {
    WorkerError::Configuration { what: what.to_owned(), problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, WorkerError> {
        Settings::read("shop", None, None, None, |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn an_empty_environment_gives_the_documented_defaults() {
        let settings = read(&[]).expect("defaults are right");
        assert_eq!(settings.nats_url, "nats://127.0.0.1:7422");
        assert_eq!((settings.prefix.as_str(), settings.namespace.as_str(), settings.slots), ("tasker", "default", 8));
    }

    #[test]
    fn a_number_of_slots_that_cannot_be_right_is_refused_by_name() {
        for text in ["0", "10001", "many"] {
            let error = read(&[("TASKER_SLOTS", text)]).expect_err(text).to_string();
            assert!(error.contains("lots") || error.contains("SLOTS"), "{error}");
        }
    }

    #[test]
    fn names_that_would_break_a_subject_are_refused() {
        assert!(read(&[("TASKER_NAMESPACE", "a.b")]).is_err());
        assert!(read(&[("TASKER_SUBJECT_PREFIX", "a.*")]).is_err());
        assert!(read(&[("TASKER_SUBJECT_PREFIX", "acme.tasker")]).is_ok());
    }

    #[test]
    fn subjects_are_those_of_the_protocol() {
        let subjects = Subjects::new(&read(&[]).expect("defaults are right"), "abc");
        assert_eq!(subjects.to.as_str(), "tasker.v1.default.shop.to.abc");
        assert_eq!(subjects.reply(7).as_str(), "tasker.v1.default.shop.reply.7");
    }

    #[test]
    fn two_sessions_are_never_the_same() {
        let (one, two) = (new_session(), new_session());
        assert!(is_token(&one) && one.len() == SESSION_LENGTH);
        assert_ne!(one, two);
    }
}
