//! What a client can ask for.

use bytes::Bytes;

use super::LINE_END;

/// One thing a client said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// CONNECT: who the client is and what it can do.
    Connect {
        /// A JSON object, not yet read.
        options: Bytes,
    },
    /// PUB or HPUB: a message for whoever is interested.
    Publish(Publication),
    /// SUB: the client wants messages.
    Subscribe {
        /// Which ones, not yet checked.
        pattern: Bytes,
        /// The group in which only one member gets each message.
        queue: Option<Bytes>,
        /// The client's name for this subscription.
        sid: Bytes,
    },
    /// UNSUB: the client wants no more messages, or only so many.
    Unsubscribe {
        /// The client's name for the subscription.
        sid: Bytes,
        /// How many messages it wants in all, counted from the start; `None` is none from now on.
        max: Option<u64>,
    },
    /// PING: the client asks whether the listener is there, and whether all it said before was processed.
    Ping,
    /// PONG: the answer to a ping of the listener.
    Pong,
    /// `+OK`: some clients acknowledge; nothing follows from it.
    Acknowledge,
}

/// One published message: a single shared piece of memory, and where in it the parts are.
///
/// Cloning it, or handing its payload on, copies nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Publication {
    frame: Bytes,
    spans: Spans,
}

/// Where the parts of a publication lie in its frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Spans {
    pub(super) subject: (usize, usize),
    /// Empty when the sender wants no answer.
    pub(super) reply: (usize, usize),
    /// Where the body begins: the headers, or the payload if there are none.
    pub(super) body: usize,
    /// Where the payload begins; equal to `body` when there are no headers.
    pub(super) payload: usize,
}

impl Publication {
    pub(super) fn new(frame: Bytes, spans: Spans) -> Self {
        Self { frame, spans }
    }

    /// Where the message goes, not yet checked.
    pub fn subject(&self) -> &[u8] {
        &self.frame[self.spans.subject.0..self.spans.subject.1]
    }

    /// Where an answer should go, not yet checked; `None` when none is wanted.
    pub fn reply(&self) -> Option<&[u8]> {
        let (start, end) = self.spans.reply;
        (start < end).then(|| &self.frame[start..end])
    }

    /// Whether the client sent HPUB.
    pub fn has_headers(&self) -> bool {
        self.spans.payload > self.spans.body
    }

    /// The size of the header block, in bytes; 0 without headers.
    pub fn header_bytes(&self) -> usize {
        self.spans.payload - self.spans.body
    }

    /// The size of the payload without headers, in bytes.
    pub fn payload_bytes(&self) -> usize {
        self.frame.len() - LINE_END.len() - self.spans.payload
    }

    /// The header block, shared.
    pub fn headers(&self) -> Bytes {
        self.frame.slice(self.spans.body..self.spans.payload)
    }

    /// The payload, shared.
    pub fn payload(&self) -> Bytes {
        self.frame.slice(self.spans.payload..self.frame.len() - LINE_END.len())
    }

    /// The memory in which all parts lie; parts that are borrowed from here can be shared without copying.
    pub(in crate::embedded) fn frame(&self) -> &Bytes {
        &self.frame
    }

    /// Header block and payload, borrowed.
    pub(in crate::embedded) fn body(&self) -> (&[u8], &[u8]) {
        self.frame[self.spans.body..self.frame.len() - LINE_END.len()].split_at(self.header_bytes())
    }
}

impl std::fmt::Debug for Publication {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Publication")
            .field("subject", &String::from_utf8_lossy(self.subject()))
            .field("reply", &self.reply().map(String::from_utf8_lossy))
            .field("header_bytes", &self.header_bytes())
            .field("payload_bytes", &self.payload_bytes())
            .finish()
    }
}
