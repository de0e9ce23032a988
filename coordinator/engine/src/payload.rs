//! JSON that travels through the coordinator without being taken apart.

use crate::ids::Digest;
use bytes::Bytes;
use serde_json::Value;

/// UTF-8 JSON text, checked once when it came in. Cloning shares the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Bytes);

/// Why bytes are not a payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPayload {
    /// More bytes than the limit.
    #[error("{bytes} bytes are more than the limit of {max}")]
    TooLarge {
        /// What came.
        bytes: usize,
        /// What is accepted.
        max: usize,
    },
    /// Not JSON, with the parser's place.
    #[error("not JSON: {0}")]
    NotJson(String),
}

impl Payload {
    /// The largest payload, in bytes: below the 1 MiB that NATS accepts by default, with room for the envelope.
    pub const BYTES_MAX: usize = 960 * 1024;

    /// The deepest nesting of arrays and objects that is read: what `serde_json` accepts by default.
    pub const DEPTH_MAX: usize = 128;

    /// Checks that the bytes are JSON of an accepted size and depth.
    ///
    /// # Errors
    /// Too large, not JSON, or nested deeper than [`Self::DEPTH_MAX`].
    pub fn parse(bytes: Bytes) -> Result<Self, InvalidPayload> {
        if bytes.len() > Self::BYTES_MAX {
            return Err(InvalidPayload::TooLarge { bytes: bytes.len(), max: Self::BYTES_MAX });
        }
        serde_json::from_slice::<CheckedJson>(&bytes).map_err(|error| InvalidPayload::NotJson(error.to_string()))?;
        Ok(Self(bytes))
    }

    /// Wraps bytes that were a payload when they were stored.
    pub fn trusted(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// Writes a value.
    pub fn of(value: &Value) -> Self {
        Self(Bytes::from(value.to_string()))
    }

    /// The JSON `null`.
    pub fn null() -> Self {
        Self(Bytes::from_static(b"null"))
    }

    /// The text as bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The value; `null` if the stored bytes are no JSON, which only a damaged store can cause.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.0).unwrap_or(Value::Null)
    }

    /// The digest by which an identical repeat is recognised.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", String::from_utf8_lossy(&self.0))
    }
}

/// Walks a whole JSON text without building it, under serde_json's depth limit.
///
/// `IgnoredAny` would skip the depth limit, because the parser ignores values iteratively.
struct CheckedJson;

impl<'de> serde::Deserialize<'de> for CheckedJson {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walk)
    }
}

struct Walk;

impl<'de> serde::de::Visitor<'de> for Walk {
    type Value = CheckedJson;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E>(self, _: bool) -> Result<CheckedJson, E> {
        Ok(CheckedJson)
    }
    fn visit_i64<E>(self, _: i64) -> Result<CheckedJson, E> {
        Ok(CheckedJson)
    }
    fn visit_u64<E>(self, _: u64) -> Result<CheckedJson, E> {
        Ok(CheckedJson)
    }
    fn visit_f64<E>(self, _: f64) -> Result<CheckedJson, E> {
        Ok(CheckedJson)
    }
    fn visit_str<E>(self, _: &str) -> Result<CheckedJson, E> {
        Ok(CheckedJson)
    }
    fn visit_unit<E>(self) -> Result<CheckedJson, E> {
        Ok(CheckedJson)
    }
    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut sequence: A) -> Result<CheckedJson, A::Error> {
        while sequence.next_element::<CheckedJson>()?.is_some() {}
        Ok(CheckedJson)
    }
    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<CheckedJson, A::Error> {
        while map.next_entry::<CheckedJson, CheckedJson>()?.is_some() {}
        Ok(CheckedJson)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_within_the_limits_is_a_payload() {
        assert!(Payload::parse(Bytes::from_static(b"{\"a\":[1,2.5,null,true,\"x\"]}")).is_ok());
        for text in ["", "{", "{\"a\":}", "nul", "{} x", "\u{feff}{}"] {
            assert!(Payload::parse(Bytes::from(text.to_owned())).is_err(), "{text}");
        }
        assert!(Payload::parse(Bytes::from(vec![0xff, 0xfe])).is_err());
    }

    #[test]
    fn json_nested_too_deeply_is_refused() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert!(matches!(Payload::parse(Bytes::from(deep)), Err(InvalidPayload::NotJson(_))));
    }

    #[test]
    fn a_payload_above_the_limit_is_refused_with_both_figures() {
        let text = format!("\"{}\"", "x".repeat(Payload::BYTES_MAX));
        let error = Payload::parse(Bytes::from(text)).expect_err("too large");
        assert_eq!(error, InvalidPayload::TooLarge { bytes: Payload::BYTES_MAX + 2, max: Payload::BYTES_MAX });
    }
}
