//! The protocol reader: bytes in, operations out.
//!
//! Pure: it owns no socket and no clock. However a byte stream is cut into pieces, the same operations come out, and no
//! bytes make it panic; property tests and a fuzz target hold it to both.
//!
//! It decides only what can be decided from the bytes: framing, numbers and sizes. Whether a subject is valid, or the
//! client may do this now, is decided by the connection.

mod arguments;
mod operation;

pub use operation::{Operation, Publication};

use bytes::BytesMut;

/// What ends a payload.
const LINE_END: &[u8] = b"\r\n";

/// Why a byte stream is not the protocol. Every one of them ends the connection, because the reader no longer knows
/// where the next operation begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The first word of a line is none that a client may send.
    #[error("unknown protocol operation")]
    UnknownOperation,
    /// Too few, too many or unreadable arguments.
    #[error("wrong arguments for {operation}")]
    Arguments {
        /// The operation as the protocol spells it.
        operation: &'static str,
    },
    /// The line has no end within the limit.
    #[error("the control line is longer than {limit} bytes")]
    LineTooLong {
        /// The limit that was passed.
        limit: usize,
    },
    /// The announced payload is over the limit; it was not read.
    #[error("the payload of {announced} bytes is larger than {limit} bytes")]
    PayloadTooLarge {
        /// What the client announced, headers included.
        announced: usize,
        /// The limit that was passed.
        limit: usize,
    },
    /// The bytes after the payload are not a line end, so that the announced size was wrong.
    #[error("the payload does not end where its size says")]
    PayloadEnd,
    /// Something other than CONNECT came first although credentials are required.
    #[error("the first operation is not CONNECT")]
    ConnectExpected,
}

/// The sizes beyond which the reader refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseLimits {
    /// The longest line, in bytes, without its line end.
    pub control_line_bytes_max: usize,
    /// The largest payload, in bytes, headers included.
    pub payload_bytes_max: usize,
}

/// Reads operations off the front of a buffer.
#[derive(Debug)]
pub struct Parser {
    limits: ParseLimits,
    connect_expected: bool,
    /// How many bytes at the front of the buffer are known to hold no line end.
    scanned: usize,
    /// The publication whose control line was read and whose payload has not fully arrived.
    pending: Option<arguments::Announced>,
}

impl Parser {
    /// A reader at the beginning of a stream.
    ///
    /// With `connect_expected`, nothing but CONNECT is read until [`Parser::connected`] is called, so that a stranger
    /// cannot make the listener hold more than one line.
    pub fn new(limits: ParseLimits, connect_expected: bool) -> Self {
        Self { limits, connect_expected, scanned: 0, pending: None }
    }

    /// Accepts every operation from here on.
    pub fn connected(&mut self) {
        self.connect_expected = false;
    }

    /// Takes the next whole operation off `buffer`; `None` means that more bytes are needed.
    ///
    /// When a payload has been announced, room for it is reserved at once, so that it arrives in one piece.
    ///
    /// # Errors
    /// Refuses what is not the protocol. The stream cannot be continued after that.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Operation>, ParseError> {
        if let Some(announced) = self.pending.take() {
            return self.payload(announced, buffer);
        }
        let Some(line_bytes) = self.line_end(buffer)? else {
            return Ok(None);
        };
        let line = trim_carriage_return(&buffer[..line_bytes]);
        let verb_bytes = line.iter().position(|byte| is_blank(*byte)).unwrap_or(line.len());
        let verb = Verb::read(&line[..verb_bytes]).ok_or(ParseError::UnknownOperation)?;
        if self.connect_expected && verb != Verb::Connect {
            return Err(ParseError::ConnectExpected);
        }
        let rest = verb_bytes..line.len();
        match verb {
            Verb::Publish => {
                let announced = arguments::publish(line, rest, line_bytes + 1)?;
                self.payload(announced, buffer)
            }
            Verb::PublishWithHeaders => {
                let announced = arguments::publish_with_headers(line, rest, line_bytes + 1)?;
                self.payload(announced, buffer)
            }
            Verb::Subscribe => {
                let ranges = arguments::subscribe(line, rest)?;
                let frame = buffer.split_to(line_bytes + 1).freeze();
                Ok(Some(ranges.operation(&frame)))
            }
            Verb::Unsubscribe => {
                let ranges = arguments::unsubscribe(line, rest)?;
                let frame = buffer.split_to(line_bytes + 1).freeze();
                Ok(Some(ranges.operation(&frame)))
            }
            Verb::Connect => {
                let length = line.len();
                let frame = buffer.split_to(line_bytes + 1).freeze();
                Ok(Some(Operation::Connect { options: frame.slice(verb_bytes..length) }))
            }
            Verb::Ping => Ok(Some(take_line(buffer, line_bytes, Operation::Ping))),
            Verb::Pong => Ok(Some(take_line(buffer, line_bytes, Operation::Pong))),
            Verb::Acknowledge => Ok(Some(take_line(buffer, line_bytes, Operation::Acknowledge))),
        }
    }

    /// Finds the line feed; looks at no byte twice while a line trickles in.
    fn line_end(&mut self, buffer: &BytesMut) -> Result<Option<usize>, ParseError> {
        let limit = self.limits.control_line_bytes_max;
        let found = memchr::memchr(b'\n', &buffer[self.scanned..]).map(|offset| self.scanned + offset);
        match found {
            Some(line_bytes) if trim_carriage_return(&buffer[..line_bytes]).len() <= limit => {
                self.scanned = 0;
                Ok(Some(line_bytes))
            }
            // One byte more than the limit may still turn out to be the carriage return.
            None if buffer.len() <= limit + 1 => {
                self.scanned = buffer.len();
                Ok(None)
            }
            Some(_) | None => Err(ParseError::LineTooLong { limit }),
        }
    }

    fn payload(&mut self, announced: arguments::Announced, buffer: &mut BytesMut) -> Result<Option<Operation>, ParseError> {
        let limit = self.limits.payload_bytes_max;
        if announced.total_bytes > limit {
            return Err(ParseError::PayloadTooLarge { announced: announced.total_bytes, limit });
        }
        let payload_end = announced.line_bytes + announced.total_bytes;
        let frame_bytes = payload_end + LINE_END.len();
        // The end is judged byte by byte as it comes, so that how the stream was cut makes no difference.
        let arrived_end = buffer.get(payload_end..).unwrap_or_default();
        let arrived_end = &arrived_end[..arrived_end.len().min(LINE_END.len())];
        if !LINE_END.starts_with(arrived_end) {
            return Err(ParseError::PayloadEnd);
        }
        if buffer.len() < frame_bytes {
            buffer.reserve(frame_bytes - buffer.len());
            self.pending = Some(announced);
            return Ok(None);
        }
        let frame = buffer.split_to(frame_bytes).freeze();
        Ok(Some(Operation::Publish(announced.publication(frame))))
    }
}

/// The first word of a line, whatever the case of its letters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Publish,
    PublishWithHeaders,
    Subscribe,
    Unsubscribe,
    Connect,
    Ping,
    Pong,
    Acknowledge,
}

impl Verb {
    fn read(word: &[u8]) -> Option<Self> {
        const WORDS: [(&[u8], Verb); 8] = [
            (b"PUB", Verb::Publish),
            (b"HPUB", Verb::PublishWithHeaders),
            (b"PING", Verb::Ping),
            (b"PONG", Verb::Pong),
            (b"SUB", Verb::Subscribe),
            (b"UNSUB", Verb::Unsubscribe),
            (b"CONNECT", Verb::Connect),
            (b"+OK", Verb::Acknowledge),
        ];
        WORDS.iter().find(|(name, _)| word.eq_ignore_ascii_case(name)).map(|(_, verb)| *verb)
    }
}

fn take_line(buffer: &mut BytesMut, line_bytes: usize, operation: Operation) -> Operation {
    bytes::Buf::advance(buffer, line_bytes + 1);
    operation
}

fn trim_carriage_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

#[cfg(test)]
mod tests;
