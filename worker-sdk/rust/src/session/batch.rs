//! Puts replies that are ready now into as few messages as the protocol allows.
//!
//! A reply is encoded once, when its handler ends, and copied from then on: a
//! repeat is the identical bytes, and the hot path allocates once per batch.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use tasker_proto::worker::v1::Credit;

use super::held::Reply;

/// As many as the protocol allows in one `ReplyBatch`.
pub(crate) const BATCH_REPLIES_MAX: usize = 64;
/// As large as the protocol allows, unless one reply alone is larger.
const BATCH_BYTES_MAX: usize = 256 * 1024;

/// The field numbers of `ReplyBatch` in `worker.proto`; a test decodes what is written here.
const FIELD_SESSION: u32 = 1;
const FIELD_REPLIES: u32 = 2;
const FIELD_CREDIT: u32 = 3;

/// Takes every reply and calls `publish` with each shard's encoded batches.
/// Replies to one shard keep their order.
pub(crate) fn batches(session: &str, replies: &mut Vec<Reply>, credit: &Credit) -> Vec<(u32, Bytes)> {
    let mut batches = Vec::new();
    // Stable and nearly free when all go to one shard, as they do on a small installation.
    replies.sort_by_key(|reply| reply.shard);
    for of_shard in replies.chunk_by(|one, other| one.shard == other.shard) {
        let mut rest = of_shard;
        while let Some(first) = rest.first() {
            let mut bytes = first.encoded.len();
            let mut count = 1;
            while count < rest.len().min(BATCH_REPLIES_MAX) && bytes + rest[count].encoded.len() <= BATCH_BYTES_MAX {
                bytes += rest[count].encoded.len();
                count += 1;
            }
            let (batch, after) = rest.split_at(count);
            batches.push((first.shard, encode(session, batch, bytes, credit)));
            rest = after;
        }
    }
    replies.clear();
    batches
}

fn encode(session: &str, replies: &[Reply], reply_bytes: usize, credit: &Credit) -> Bytes {
    // A key is one byte for fields 1 to 15; a length is at most ten.
    let mut buffer = BytesMut::with_capacity(reply_bytes + replies.len() * 6 + session.len() + 48);
    let mut field = |number: u32, length: usize, write: &mut dyn FnMut(&mut BytesMut)| {
        encode_key(number, WireType::LengthDelimited, &mut buffer);
        encode_varint(length as u64, &mut buffer);
        debug_assert!(encoded_len_varint(length as u64) <= 10);
        write(&mut buffer);
    };
    field(FIELD_SESSION, session.len(), &mut |buffer| buffer.put_slice(session.as_bytes()));
    for reply in replies {
        field(FIELD_REPLIES, reply.encoded.len(), &mut |buffer| buffer.put_slice(&reply.encoded));
    }
    field(FIELD_CREDIT, credit.encoded_len(), &mut |buffer| credit.encode_raw(buffer));
    buffer.freeze()
}

#[cfg(test)]
mod tests {
    use tasker_proto::worker::v1::{ReplyBatch, StepReply, Success, step_reply::Outcome};

    use super::*;

    fn reply(shard: u32, number: u32, bytes: usize) -> (StepReply, Reply) {
        let reply = StepReply {
            attempt: number,
            outcome: Some(Outcome::Success(Success { result: vec![b'1'; bytes].into() })),
            ..StepReply::default()
        };
        let encoded = Reply { shard, encoded: reply.encode_to_vec().into() };
        (reply, encoded)
    }

    #[test]
    fn what_is_written_by_hand_is_what_the_schema_says() {
        let (one, one_encoded) = reply(2, 1, 10);
        let (two, two_encoded) = reply(2, 2, 300);
        let credit = Credit { free: 3, highest_sequence: 9, expires_in_ms: 0 };
        let made = batches("abcdefgh", &mut vec![one_encoded, two_encoded], &credit);
        let decoded = ReplyBatch::decode(made[0].1.clone()).expect("a batch");
        let expected = ReplyBatch { session: "abcdefgh".into(), replies: vec![one, two], credit: Some(credit) };
        assert_eq!((made.len(), made[0].0, decoded), (1, 2, expected));
    }

    #[test]
    fn each_shard_gets_its_own_batches_of_at_most_sixty_four() {
        let mut replies: Vec<Reply> = (0..150).map(|n| reply(n % 2, n, 1).1).collect();
        let made = batches("s", &mut replies, &Credit::default());
        let sizes: Vec<(u32, usize)> =
            made.iter().map(|(shard, bytes)| (*shard, ReplyBatch::decode(bytes.clone()).expect("a batch").replies.len())).collect();
        assert_eq!(sizes, [(0, 64), (0, 11), (1, 64), (1, 11)]);
        assert!(replies.is_empty());
    }

    #[test]
    fn a_batch_is_cut_by_size_and_a_giant_travels_alone() {
        let mut replies = vec![reply(0, 1, 200_000).1, reply(0, 2, 100_000).1, reply(0, 3, 400_000).1, reply(0, 4, 1).1];
        let made = batches("s", &mut replies, &Credit::default());
        let attempts: Vec<Vec<u32>> = made
            .iter()
            .map(|(_, bytes)| ReplyBatch::decode(bytes.clone()).expect("a batch").replies.iter().map(|r| r.attempt).collect())
            .collect();
        assert_eq!(attempts, [vec![1], vec![2], vec![3], vec![4]]);
    }
}
