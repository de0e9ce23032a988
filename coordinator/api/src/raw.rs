//! JSON that passes through as the bytes that came: neither read into a tree nor written again, so no number loses digits.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use tasker_engine::Payload;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A payload inside a response.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Raw(pub(crate) Payload);

impl Raw {
    /// Shares the payload's bytes.
    pub(crate) fn of(payload: &Payload) -> Self {
        Self(payload.clone())
    }
}

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Only a damaged store can hold a payload that is no JSON; the response must stay readable all the same.
        match serde_json::from_slice::<&RawValue>(self.0.bytes()) {
            Ok(raw) => raw.serialize(serializer),
            Err(_) => serializer.serialize_none(),
        }
    }
}

impl PartialSchema for Raw {
    fn schema() -> RefOr<Schema> {
        serde_json::Value::schema()
    }
}

impl ToSchema for Raw {}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn a_payload_is_embedded_byte_for_byte() {
        let text = r#"{"amount":12345678901234567890123456789.10,"a":1,"a":2}"#;
        let payload = Payload::parse(Bytes::from_static(text.as_bytes())).expect("JSON");
        assert_eq!(serde_json::to_string(&Raw(payload)).expect("writes"), text);
    }

    #[test]
    fn a_damaged_payload_does_not_break_the_response() {
        let payload = Payload::trusted(Bytes::from_static(b"{\"a\":"));
        assert_eq!(serde_json::to_string(&[Raw(payload)]).expect("writes"), "[null]");
    }
}
