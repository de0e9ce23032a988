//! The tokens that let a system finish, later, what it has accepted.
//!
//! A token names the attempt and carries a signature over it, so the coordinator believes it without remembering that it gave it out: it
//! survives a restart. Whoever holds a token can finish this one attempt and nothing else; a token of a closed attempt does nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use std::fmt;
use tasker_engine::{AttemptNumber, AttemptToken, StepLabel, TaskId};
use tasker_runtime::port::bus::CallKey;

/// The longest token that is looked at; the longest that is made is shorter.
pub const TOKEN_BYTES_MAX: usize = 256;
/// Says how the rest is read. A new form gets a new word, and the old one is read as long as attempts of it may be open.
const VERSION: &str = "v1";
/// Keeps a signature over anything else, made with the same secret, from being one of a token.
const PURPOSE: &[u8] = b"tasker callback v1\0";
/// Task, attempt and attempt token; the rest is the step's name.
const FIXED_BYTES: usize = 8 + 4 + 16;

/// The coordinator's secret for tokens: 32 random bytes, the same for every coordinator of one database. Never printed.
#[derive(Clone)]
pub struct CallbackSecret([u8; 32]);

impl CallbackSecret {
    /// Wraps random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The token for one attempt: only characters that need no escaping in a URL. The same attempt always gets the same token.
    pub fn issue(&self, key: &CallKey) -> String {
        let step = key.step.to_string();
        let mut named = Vec::with_capacity(FIXED_BYTES + step.len());
        named.extend_from_slice(&key.task.as_number().to_be_bytes());
        named.extend_from_slice(&key.attempt.0.to_be_bytes());
        named.extend_from_slice(&key.token.0);
        named.extend_from_slice(step.as_bytes());
        let signature = self.mac(&named).finalize().into_bytes();
        format!("{VERSION}.{}.{}", URL_SAFE_NO_PAD.encode(&named), URL_SAFE_NO_PAD.encode(signature))
    }

    /// The attempt that a token is for; none if the token was not issued with this secret. Takes the same time wherever it differs.
    pub fn verify(&self, token: &str) -> Option<CallKey> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (named, signature) = token.strip_prefix(VERSION)?.strip_prefix('.')?.split_once('.')?;
        let named = URL_SAFE_NO_PAD.decode(named).ok()?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        self.mac(&named).verify_slice(&signature).ok()?;
        let (task, rest) = named.split_first_chunk::<8>()?;
        let (attempt, rest) = rest.split_first_chunk::<4>()?;
        let (attempt_token, step) = rest.split_first_chunk::<16>()?;
        Some(CallKey {
            task: TaskId::from_number(i64::from_be_bytes(*task))?,
            step: std::str::from_utf8(step).ok()?.parse::<StepLabel>().ok()?,
            attempt: AttemptNumber(u32::from_be_bytes(*attempt)),
            token: AttemptToken(*attempt_token),
        })
    }

    fn mac(&self, named: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(PURPOSE);
        mac.update(named);
        mac
    }
}

impl fmt::Debug for CallbackSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tasker_engine::StepName;

    fn key(step: &str) -> CallKey {
        CallKey {
            task: TaskId::from_number(1 << 40).expect("not negative"),
            step: step.parse().expect("a label"),
            attempt: AttemptNumber(3),
            token: AttemptToken([9; 16]),
        }
    }

    #[test]
    fn a_token_names_its_attempt_to_whoever_knows_the_secret() {
        let secret = CallbackSecret::new([1; 32]);
        let longest = format!("{}[{}]", "s".repeat(StepName::BYTES_MAX), u32::MAX);
        for step in ["a", &longest] {
            let token = secret.issue(&key(step));
            assert!(token.len() <= TOKEN_BYTES_MAX, "{} bytes", token.len());
            assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)), "{token}");
            assert_eq!(secret.verify(&token), Some(key(step)), "a restarted coordinator has the same secret and nothing else");
            assert_eq!(CallbackSecret::new([2; 32]).verify(&token), None);
        }
        assert_eq!(format!("{secret:?}"), "[redacted]");
    }

    #[test]
    fn a_token_with_any_character_changed_is_refused() {
        let secret = CallbackSecret::new([1; 32]);
        let token = secret.issue(&key("charge"));
        for at in 0..token.len() {
            for other in ["A", "b", "0", "-", "_", ".", "=", "é"] {
                let changed = format!("{}{other}{}", &token[..at], &token[at + 1..]);
                assert!(changed == token || secret.verify(&changed).is_none(), "{changed}");
            }
            assert!(secret.verify(&token[..at]).is_none(), "cut at {at}");
        }
        assert!(secret.verify(&format!("{token}A")).is_none());
    }

    proptest! {
        #[test]
        fn no_text_is_a_token_by_chance(text in "(v1\\.)?[A-Za-z0-9_.-]{0,300}") {
            prop_assert!(CallbackSecret::new([1; 32]).verify(&text).is_none());
        }
    }
}
