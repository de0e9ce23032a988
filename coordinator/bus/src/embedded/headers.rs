//! The header block of a message, as it travels: a version line, `Name: value` lines, an empty line.
//!
//! The listener passes header blocks on untouched. This module is for the coordinator, which writes and reads them.

use bytes::{BufMut, Bytes, BytesMut};

/// What every header block begins with.
const VERSION: &[u8] = b"NATS/1.0";

/// The status of an answer that the listener gives when a request has no responder.
pub const STATUS_NO_RESPONDERS: u16 = 503;

/// Why a header could not be written, or a block not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// A name is empty, or holds a colon, white space or a character outside ASCII.
    #[error("a header name is not a plain ASCII word")]
    Name,
    /// A value holds a line break, which would begin another header.
    #[error("a header value holds a line break")]
    Value,
    /// The block does not begin with `NATS/1.0`, or does not end with an empty line.
    #[error("a header block is not framed by `NATS/1.0` and an empty line")]
    Frame,
}

impl HeaderError {
    /// The stable code of every variant.
    pub const fn code(&self) -> &'static str {
        "headers.invalid"
    }
}

/// A well-framed header block.
///
/// ```
/// use tasker_bus::embedded::Headers;
/// let headers = Headers::build([("Tasker-Step", "reserve")])?;
/// assert_eq!(headers.get("tasker-step"), Some("reserve"));
/// # Ok::<(), tasker_bus::embedded::HeaderError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Headers(Bytes);

impl Headers {
    /// Writes a block with these names and values, in this order; a name may repeat.
    ///
    /// # Errors
    /// Refuses a name or value that would break the block apart.
    pub fn build<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, HeaderError> {
        let mut block = BytesMut::with_capacity(256);
        block.put_slice(VERSION);
        block.put_slice(b"\r\n");
        for (name, value) in pairs {
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') {
                return Err(HeaderError::Name);
            }
            if value.bytes().any(|byte| byte == b'\r' || byte == b'\n') {
                return Err(HeaderError::Value);
            }
            block.put_slice(name.as_bytes());
            block.put_slice(b": ");
            block.put_slice(value.as_bytes());
            block.put_slice(b"\r\n");
        }
        block.put_slice(b"\r\n");
        Ok(Self(block.freeze()))
    }

    /// Accepts a block from the wire.
    ///
    /// # Errors
    /// Refuses a block that is not framed as one. Lines inside that are not `Name: value` are skipped when reading.
    pub fn from_wire(block: impl Into<Bytes>) -> Result<Self, HeaderError> {
        let block = block.into();
        if block.starts_with(VERSION) && block.ends_with(b"\r\n\r\n") { Ok(Self(block)) } else { Err(HeaderError::Frame) }
    }

    /// The block as it travels.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The status in the version line, such as [`STATUS_NO_RESPONDERS`]; most blocks have none.
    pub fn status(&self) -> Option<u16> {
        let line = self.lines().next()?;
        let rest = line.strip_prefix("NATS/1.0")?.trim_start();
        rest.get(..3)?.parse().ok()
    }

    /// The first value of `name`, whatever the case of its letters.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(candidate, _)| candidate.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Names and values in the order in which they were written; lines that are not UTF-8 are skipped.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lines().skip(1).filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name, value.trim()))
        })
    }

    fn lines(&self) -> impl Iterator<Item = &str> {
        // A line that is not text still counts as a line, so that the version line stays the first one.
        self.0.split(|byte| *byte == b'\n').map(|line| std::str::from_utf8(line).map_or("", |text| text.strip_suffix('\r').unwrap_or(text)))
    }
}

impl std::fmt::Debug for Headers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_built_block_reads_back_as_it_was_written() {
        let headers = Headers::build([("Tasker-Step", "reserve"), ("traceparent", "00-ab-cd-01")]).unwrap();
        let again = Headers::from_wire(headers.as_bytes().clone()).unwrap();
        let pairs: Vec<_> = again.iter().collect();
        assert_eq!(pairs, [("Tasker-Step", "reserve"), ("traceparent", "00-ab-cd-01")]);
        assert_eq!(again.get("TASKER-STEP"), Some("reserve"));
        assert_eq!(again.status(), None);
    }

    #[test]
    fn a_status_is_read_from_the_version_line() {
        let block = Headers::from_wire("NATS/1.0 503\r\n\r\n").unwrap();
        assert_eq!(block.status(), Some(STATUS_NO_RESPONDERS));
        let described = Headers::from_wire("NATS/1.0 503 No Responders\r\n\r\n").unwrap();
        assert_eq!(described.status(), Some(STATUS_NO_RESPONDERS));
    }

    #[test]
    fn a_line_break_cannot_smuggle_a_header_in() {
        assert_eq!(Headers::build([("a", "b\r\nc: d")]).unwrap_err(), HeaderError::Value);
        assert_eq!(Headers::build([("a:b", "c")]).unwrap_err(), HeaderError::Name);
        assert_eq!(Headers::build([("", "c")]).unwrap_err(), HeaderError::Name);
    }

    #[test]
    fn a_block_without_its_frame_is_refused() {
        assert_eq!(Headers::from_wire("HTTP/1.1\r\n\r\n").unwrap_err(), HeaderError::Frame);
        assert_eq!(Headers::from_wire("NATS/1.0\r\n").unwrap_err(), HeaderError::Frame);
    }

    proptest! {
        #[test]
        fn reading_any_block_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut framed = b"NATS/1.0".to_vec();
            framed.extend(bytes);
            framed.extend(b"\r\n\r\n");
            let headers = Headers::from_wire(framed).unwrap();
            let _ = headers.status();
            let _ = headers.iter().count();
            let _ = headers.get("x");
        }
    }
}
