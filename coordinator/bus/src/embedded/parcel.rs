//! A message on its way through the router, and its wording on the wire.

use bytes::{Bytes, BytesMut};

use super::headers::Headers;
use super::outbound::SHARE_BYTES_MIN;
use super::parser::Publication;
use super::router::Message;
use super::subject::Subject;

/// A message, borrowed from whoever sent it.
pub(super) struct Parcel<'a> {
    pub(super) subject: &'a [u8],
    pub(super) reply: Option<&'a [u8]>,
    /// Empty when there is no header block.
    pub(super) headers: &'a [u8],
    pub(super) payload: &'a [u8],
    /// The memory in which a large payload lies, so that it can be shared.
    pub(super) owner: &'a Bytes,
}

impl<'a> Parcel<'a> {
    pub(super) fn from_publication(publication: &'a Publication) -> Self {
        let (headers, payload) = publication.body();
        Self { subject: publication.subject(), reply: publication.reply(), headers, payload, owner: publication.frame() }
    }

    /// The message for a local subscriber.
    ///
    /// A small message is copied out of the read buffer it came in: otherwise one waiting message of a few bytes could
    /// keep a whole buffer alive, and the limits of a mailbox would mean little.
    pub(super) fn to_message(&self) -> Message {
        let (headers, payload) = (self.headers, self.payload);
        if payload.len() >= SHARE_BYTES_MIN {
            return Message {
                subject: Subject::from_checked(Bytes::copy_from_slice(self.subject)),
                reply: self.reply.map(|reply| Subject::from_checked(Bytes::copy_from_slice(reply))),
                headers: headers_of(Bytes::copy_from_slice(headers)),
                payload: self.owner.slice_ref(payload),
            };
        }
        let reply = self.reply.unwrap_or_default();
        let mut copy = BytesMut::with_capacity(self.subject.len() + reply.len() + headers.len() + payload.len());
        for part in [self.subject, reply, headers, payload] {
            copy.extend_from_slice(part);
        }
        let mut copy = copy.freeze();
        let subject = Subject::from_checked(copy.split_to(self.subject.len()));
        let reply_bytes = copy.split_to(reply.len());
        let header_bytes = copy.split_to(headers.len());
        Message { subject, reply: self.reply.map(|_| Subject::from_checked(reply_bytes)), headers: headers_of(header_bytes), payload: copy }
    }
}

/// A block that is not framed as one is dropped: the worker protocol then sees a message without headers.
fn headers_of(block: Bytes) -> Option<Headers> {
    if block.is_empty() { None } else { Headers::from_wire(block).ok() }
}

/// The control lines of the message that is being handed over.
///
/// They are written once per message, whatever the number of subscribers: only the subscription's name differs.
#[derive(Default)]
pub(super) struct Wording {
    full: Line,
    without_headers: Line,
}

#[derive(Default)]
struct Line {
    written: bool,
    /// `MSG <subject> `, before the subscription's name.
    head: Vec<u8>,
    /// ` [reply] <sizes>` and the line end, after it.
    tail: Vec<u8>,
}

impl Wording {
    /// Forgets the last message.
    pub(super) fn begin(&mut self) {
        self.full.written = false;
        self.without_headers.written = false;
    }

    /// The message as it goes to one subscription, in pieces.
    ///
    /// A client that did not announce headers gets the payload alone, as from a NATS server.
    pub(super) fn pieces<'a>(&'a mut self, parcel: &'a Parcel<'_>, sid: &'a [u8], headers: bool) -> [&'a [u8]; 6] {
        let (line, block) =
            if headers || parcel.headers.is_empty() { (&mut self.full, parcel.headers) } else { (&mut self.without_headers, &[][..]) };
        if !line.written {
            line.write(parcel, block.len());
        }
        [&line.head, sid, &line.tail, block, parcel.payload, b"\r\n"]
    }
}

impl Line {
    fn write(&mut self, parcel: &Parcel<'_>, header_bytes: usize) {
        self.written = true;
        self.head.clear();
        self.head.extend_from_slice(if header_bytes > 0 { b"HMSG " } else { b"MSG " });
        self.head.extend_from_slice(parcel.subject);
        self.head.push(b' ');
        self.tail.clear();
        self.tail.push(b' ');
        if let Some(reply) = parcel.reply {
            self.tail.extend_from_slice(reply);
            self.tail.push(b' ');
        }
        if header_bytes > 0 {
            push_decimal(&mut self.tail, header_bytes);
            self.tail.push(b' ');
        }
        push_decimal(&mut self.tail, header_bytes + parcel.payload.len());
        self.tail.extend_from_slice(b"\r\n");
    }
}

/// Writes a number; the formatting machinery of the standard library costs more than the rest of the line.
fn push_decimal(line: &mut Vec<u8>, number: usize) {
    // 20 digits hold any 64-bit number.
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).expect("a remainder of ten fits a byte");
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    line.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worded(parcel: &Parcel<'_>, headers: bool) -> String {
        let mut wording = Wording::default();
        wording.begin();
        String::from_utf8(wording.pieces(parcel, b"7", headers).concat()).unwrap()
    }

    #[test]
    fn a_message_is_worded_for_what_its_reader_understands() {
        let owner = Bytes::from_static(b"NATS/1.0\r\n\r\nhello");
        let (headers, payload) = owner.split_at(12);
        let parcel = Parcel { subject: b"a.b", reply: Some(b"in"), headers, payload, owner: &owner };
        assert_eq!(worded(&parcel, true), "HMSG a.b 7 in 12 17\r\nNATS/1.0\r\n\r\nhello\r\n");
        assert_eq!(worded(&parcel, false), "MSG a.b 7 in 5\r\nhello\r\n");
        let plain = Parcel { subject: b"a.b", reply: None, headers: b"", payload: b"", owner: &owner };
        assert_eq!(worded(&plain, true), "MSG a.b 7 0\r\n\r\n");
    }

    #[test]
    fn a_local_copy_has_all_parts_whether_small_or_large() {
        for size in [3, SHARE_BYTES_MIN] {
            let owner = Bytes::from([b"NATS/1.0\r\nA: b\r\n\r\n".to_vec(), vec![b'x'; size]].concat());
            let (headers, payload) = owner.split_at(18);
            let message = Parcel { subject: b"a", reply: Some(b"in"), headers, payload, owner: &owner }.to_message();
            assert_eq!(message.subject.as_str(), "a");
            assert_eq!(message.reply.as_ref().map(Subject::as_str), Some("in"));
            assert_eq!(message.headers.as_ref().and_then(|headers| headers.get("A")), Some("b"));
            assert_eq!(message.payload.len(), size);
        }
    }

    #[test]
    fn numbers_are_written_in_decimal() {
        for number in [0, 9, 10, 1_048_576, usize::MAX] {
            let mut line = Vec::new();
            push_decimal(&mut line, number);
            assert_eq!(String::from_utf8(line).unwrap(), number.to_string());
        }
    }
}
