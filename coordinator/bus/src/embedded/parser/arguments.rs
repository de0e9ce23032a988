//! The arguments after the first word of a control line.

use std::ops::Range;

use bytes::Bytes;

use super::operation::{Operation, Publication, Spans};
use super::{ParseError, is_blank};

/// The most arguments any operation has: HPUB with a reply subject.
const ARGUMENTS_MAX: usize = 4;

/// A publication whose payload is still to come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Announced {
    /// The control line with its line feed.
    pub(super) line_bytes: usize,
    /// Headers and payload together.
    pub(super) total_bytes: usize,
    header_bytes: usize,
    subject: (usize, usize),
    reply: (usize, usize),
}

impl Announced {
    /// The message, now that `frame` holds its control line, its body and its line end.
    pub(super) fn publication(&self, frame: Bytes) -> Publication {
        let spans = Spans { subject: self.subject, reply: self.reply, body: self.line_bytes, payload: self.line_bytes + self.header_bytes };
        Publication::new(frame, spans)
    }
}

/// Where the arguments of SUB lie in its line.
pub(super) struct SubscribeRanges {
    pattern: Range<usize>,
    queue: Option<Range<usize>>,
    sid: Range<usize>,
}

impl SubscribeRanges {
    /// Copies, because a subscription outlives the read buffer by far and must not keep it alive.
    pub(super) fn operation(&self, frame: &[u8]) -> Operation {
        Operation::Subscribe {
            pattern: Bytes::copy_from_slice(&frame[self.pattern.clone()]),
            queue: self.queue.clone().map(|range| Bytes::copy_from_slice(&frame[range])),
            sid: Bytes::copy_from_slice(&frame[self.sid.clone()]),
        }
    }
}

/// Where the name in UNSUB lies in its line, and the number.
pub(super) struct UnsubscribeRanges {
    sid: Range<usize>,
    max: Option<u64>,
}

impl UnsubscribeRanges {
    pub(super) fn operation(&self, frame: &Bytes) -> Operation {
        Operation::Unsubscribe { sid: frame.slice(self.sid.clone()), max: self.max }
    }
}

/// `PUB <subject> [reply] <payload bytes>`
pub(super) fn publish(line: &[u8], rest: Range<usize>, line_bytes: usize) -> Result<Announced, ParseError> {
    const REFUSED: ParseError = ParseError::Arguments { operation: "PUB" };
    let words = split(line, rest, REFUSED)?;
    let (subject, reply, total) = match words.as_slice() {
        [subject, total] => (subject, None, total),
        [subject, reply, total] => (subject, Some(reply), total),
        _ => return Err(REFUSED),
    };
    Ok(Announced {
        line_bytes,
        total_bytes: size(&line[total.clone()]).ok_or(REFUSED)?,
        header_bytes: 0,
        subject: (subject.start, subject.end),
        reply: reply.map_or((0, 0), |range| (range.start, range.end)),
    })
}

/// `HPUB <subject> [reply] <header bytes> <header and payload bytes>`
pub(super) fn publish_with_headers(line: &[u8], rest: Range<usize>, line_bytes: usize) -> Result<Announced, ParseError> {
    const REFUSED: ParseError = ParseError::Arguments { operation: "HPUB" };
    let words = split(line, rest, REFUSED)?;
    let (subject, reply, headers, total) = match words.as_slice() {
        [subject, headers, total] => (subject, None, headers, total),
        [subject, reply, headers, total] => (subject, Some(reply), headers, total),
        _ => return Err(REFUSED),
    };
    let header_bytes = size(&line[headers.clone()]).ok_or(REFUSED)?;
    let total_bytes = size(&line[total.clone()]).ok_or(REFUSED)?;
    if header_bytes == 0 || header_bytes > total_bytes {
        return Err(REFUSED);
    }
    Ok(Announced {
        line_bytes,
        total_bytes,
        header_bytes,
        subject: (subject.start, subject.end),
        reply: reply.map_or((0, 0), |range| (range.start, range.end)),
    })
}

/// `SUB <pattern> [queue] <sid>`
pub(super) fn subscribe(line: &[u8], rest: Range<usize>) -> Result<SubscribeRanges, ParseError> {
    const REFUSED: ParseError = ParseError::Arguments { operation: "SUB" };
    let words = split(line, rest, REFUSED)?;
    match words.as_slice() {
        [pattern, sid] => Ok(SubscribeRanges { pattern: pattern.clone(), queue: None, sid: sid.clone() }),
        [pattern, queue, sid] => Ok(SubscribeRanges { pattern: pattern.clone(), queue: Some(queue.clone()), sid: sid.clone() }),
        _ => Err(REFUSED),
    }
}

/// `UNSUB <sid> [messages]`
pub(super) fn unsubscribe(line: &[u8], rest: Range<usize>) -> Result<UnsubscribeRanges, ParseError> {
    const REFUSED: ParseError = ParseError::Arguments { operation: "UNSUB" };
    let words = split(line, rest, REFUSED)?;
    match words.as_slice() {
        [sid] => Ok(UnsubscribeRanges { sid: sid.clone(), max: None }),
        [sid, max] => {
            let max = number(&line[max.clone()]).ok_or(REFUSED)?;
            // Zero has always meant "now" to NATS servers, and clients send it.
            Ok(UnsubscribeRanges { sid: sid.clone(), max: (max > 0).then_some(max) })
        }
        _ => Err(REFUSED),
    }
}

/// The arguments of one line; never more than an operation can have.
struct Words {
    ranges: [Range<usize>; ARGUMENTS_MAX],
    count: usize,
}

impl Words {
    fn as_slice(&self) -> &[Range<usize>] {
        &self.ranges[..self.count]
    }
}

fn split(line: &[u8], rest: Range<usize>, refused: ParseError) -> Result<Words, ParseError> {
    let mut words = Words { ranges: [0..0, 0..0, 0..0, 0..0], count: 0 };
    let mut at = rest.start;
    while at < rest.end {
        if is_blank(line[at]) {
            at += 1;
            continue;
        }
        let start = at;
        while at < rest.end && !is_blank(line[at]) {
            at += 1;
        }
        let slot = words.ranges.get_mut(words.count).ok_or(refused)?;
        *slot = start..at;
        words.count += 1;
    }
    Ok(words)
}

fn size(digits: &[u8]) -> Option<usize> {
    number(digits).and_then(|value| usize::try_from(value).ok())
}

/// The longest number that is read; one digit more could overflow 64 bits.
const DIGITS_MAX: usize = 18;

/// Digits only: no sign, no blanks.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > DIGITS_MAX {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u64::from(byte - b'0')))
}
