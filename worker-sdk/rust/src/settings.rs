//! What the environment says, checked once at the start.

use async_nats::Subject;
use rand::Rng as _;
use std::collections::BTreeMap;

use crate::error::WorkerError;

/// A worker with more slots than this is better started twice.
const SLOTS_MAX: usize = 10_000;
const SLOTS_DEFAULT: usize = 8;
/// What the protocol allows: more is refused by the coordinator, so it is refused here, by name.
const LABELS_MAX: usize = 32;
const LABEL_BYTES_MAX: usize = 256;
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
    pub labels: BTreeMap<String, String>,
}

impl Settings {
    /// Reads the environment through `lookup`; what the program said in code wins, label by label.
    pub fn read(
        system: &str,
        slots: Option<usize>,
        nats_url: Option<String>,
        namespace: Option<String>,
        labels: BTreeMap<String, String>,
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
            labels: checked_labels(labels, variable("TASKER_LABELS"))?,
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

/// The labels of the environment, `region=eu,gpu=none`, and over them those of the program.
fn checked_labels(said: BTreeMap<String, String>, variable: Option<String>) -> Result<BTreeMap<String, String>, WorkerError> {
    let mut labels = BTreeMap::new();
    for pair in variable.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| invalid("TASKER_LABELS", format!("`{pair}` is not `name=value`")))?;
        labels.insert(name.trim().to_owned(), value.trim().to_owned());
    }
    labels.extend(said);
    if labels.len() > LABELS_MAX {
        return Err(invalid("labels", format!("{} are given; at most {LABELS_MAX} are accepted", labels.len())));
    }
    for (name, value) in &labels {
        if name.is_empty() || name.len() > LABEL_BYTES_MAX || value.len() > LABEL_BYTES_MAX {
            return Err(invalid("labels", format!("`{name}`: a name has 1 to {LABEL_BYTES_MAX} bytes, a value up to {LABEL_BYTES_MAX}")));
        }
    }
    Ok(labels)
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
        read_with(&[], pairs)
    }

    fn read_with(labels: &[(&str, &str)], pairs: &[(&str, &str)]) -> Result<Settings, WorkerError> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Settings::read("shop", None, None, None, labels, |name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
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
    fn labels_come_from_the_environment_and_the_program_wins() {
        let environment = [("TASKER_LABELS", "region=eu, gpu = none,,zone=a=b")];
        let labels = read_with(&[("gpu", "two")], &environment).expect("well-formed").labels;
        let expected = [("gpu", "two"), ("region", "eu"), ("zone", "a=b")];
        assert_eq!(labels, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        assert!(read(&[]).expect("defaults are right").labels.is_empty());
    }

    #[test]
    fn labels_that_the_coordinator_would_refuse_are_refused_here() {
        let long = format!("region={}", "x".repeat(257));
        let many: Vec<String> = (0..33).map(|number| format!("label{number}=")).collect();
        for text in ["region", "=eu", &long, &many.join(",")] {
            let error = read(&[("TASKER_LABELS", text)]).expect_err(text).to_string();
            assert!(error.contains("abels") || error.contains("LABELS"), "{error}");
        }
        assert!(read(&[("TASKER_LABELS", &many[..32].join(","))]).is_ok());
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
