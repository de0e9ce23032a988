//! Where a page of tasks ended, as text that only we read.
//!
//! A cursor holds the last id of its page and a digest of the filters it belongs to, so a page can never be continued with other
//! filters, and a checksum, so that a cut or edited cursor is refused instead of giving a wrong page. It holds no secret and is not signed:
//! whoever builds one by hand sees nothing that the list would not show anyway.

use crate::problem::{Code, Place, Problem};
use tasker_engine::{Digest, TaskId};
use tasker_runtime::trace::hex;

/// Raised when the layout changes, so that old cursors are refused instead of misread.
const LAYOUT: u8 = 1;
const BODY_BYTES: usize = 1 + 8 + 8;
const CHECKSUM_BYTES: usize = 4;

/// The cursor after `last` for a query with these filters.
pub(crate) fn write(last: TaskId, filters: &str) -> String {
    let mut bytes = Vec::with_capacity(BODY_BYTES + CHECKSUM_BYTES);
    bytes.push(LAYOUT);
    bytes.extend_from_slice(&last.as_number().to_be_bytes());
    bytes.extend_from_slice(&Digest::of(filters.as_bytes()).0[..8]);
    let checksum = Digest::of(&bytes);
    bytes.extend_from_slice(&checksum.0[..CHECKSUM_BYTES]);
    hex(&bytes)
}

/// Reads a cursor back.
///
/// # Errors
/// It was not written by [`write`], or for other filters.
pub(crate) fn read(text: &str, filters: &str) -> Result<TaskId, Problem> {
    let malformed = |message: &str| {
        let place = Place::new("?cursor", message);
        Problem::at(Code::CursorMalformed, place).with_hint("start again without `cursor`, and pass `next_cursor` on exactly as it came")
    };
    let bytes = unhex(text).ok_or_else(|| malformed("the cursor is not one that this server gave out"))?;
    let (body, checksum) = bytes.split_at(BODY_BYTES);
    if body[0] != LAYOUT || Digest::of(body).0[..CHECKSUM_BYTES] != *checksum {
        return Err(malformed("the cursor is damaged"));
    }
    if Digest::of(filters.as_bytes()).0[..8] != body[9..17] {
        return Err(malformed("the cursor belongs to a query with other filters"));
    }
    let mut number = [0u8; 8];
    number.copy_from_slice(&body[1..9]);
    TaskId::from_number(i64::from_be_bytes(number)).ok_or_else(|| malformed("the cursor is damaged"))
}

fn unhex(text: &str) -> Option<[u8; BODY_BYTES + CHECKSUM_BYTES]> {
    let mut bytes = [0u8; BODY_BYTES + CHECKSUM_BYTES];
    if text.len() != 2 * bytes.len() || !text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(number: i64) -> TaskId {
        TaskId::from_number(number).expect("not negative")
    }

    #[test]
    fn a_cursor_of_other_filters_is_refused() {
        let cursor = write(id(5), "status=failed");
        assert_eq!(read(&cursor, "status=failed").expect("ours"), id(5));
        let problem = read(&cursor, "status=running").expect_err("other filters");
        assert_eq!(problem.code, Code::CursorMalformed);
        assert!(problem.detail.contains("other filters"), "{}", problem.detail);
    }

    proptest! {
        #[test]
        fn every_cursor_reads_back(number in 0..=i64::MAX, filters in ".{0,40}") {
            prop_assert_eq!(read(&write(id(number), &filters), &filters).expect("ours"), id(number));
        }

        #[test]
        fn a_cursor_with_one_changed_digit_is_refused(number in 0..=i64::MAX, place in 0usize..42, digit in 1u8..16) {
            let mut text = write(id(number), "").into_bytes();
            let value = (text[place] as char).to_digit(16).expect("hexadecimal") as u8 ^ digit;
            text[place] = char::from_digit(u32::from(value), 16).expect("below 16") as u8;
            let text = String::from_utf8(text).expect("ASCII");
            prop_assert!(read(&text, "").is_err());
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,80}") {
            prop_assert!(read(&text, "").is_err());
        }
    }
}
