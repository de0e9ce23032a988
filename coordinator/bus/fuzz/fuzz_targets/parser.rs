//! No bytes make the protocol reader panic, and how a stream is cut changes nothing.
//!
//! The first byte says how large the pieces are; the rest is the stream.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use tasker_bus::embedded::parser::{Operation, ParseError, ParseLimits, Parser};

const LIMITS: ParseLimits = ParseLimits {
    control_line_bytes_max: 256,
    payload_bytes_max: 1_024,
};

fuzz_target!(|data: &[u8]| {
    let Some((cut, stream)) = data.split_first() else {
        return;
    };
    let piece_bytes = usize::from(*cut) + 1;
    let whole = read(std::iter::once(stream));
    let pieces = read(stream.chunks(piece_bytes));
    assert_eq!(whole, pieces);
});

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Operation>, Option<ParseError>) {
    let mut parser = Parser::new(LIMITS, false);
    let mut buffer = BytesMut::new();
    let mut operations = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match parser.next(&mut buffer) {
                Ok(Some(operation)) => operations.push(operation),
                Ok(None) => break,
                Err(error) => return (operations, Some(error)),
            }
        }
    }
    (operations, None)
}
