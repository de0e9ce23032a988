"""Puts replies that are ready now into as few messages as the protocol allows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ._proto import worker_pb2 as pb
from .limits import BATCH_BYTES_MAX, BATCH_REPLIES_MAX


def batches(session: str, replies: Iterable[tuple[int, pb.StepReply]], credit: pb.Credit) -> Iterator[tuple[int, bytes]]:
    """Yields shard and encoded ``ReplyBatch``; one reply alone may be larger than the limit.

    Replies keep their order within a shard. The credit is absolute, so every
    batch may carry the same.
    """
    by_shard: dict[int, list[pb.StepReply]] = {}
    for shard, reply in replies:
        by_shard.setdefault(shard, []).append(reply)
    for shard, ready in by_shard.items():
        part: list[pb.StepReply] = []
        size = 0
        for reply in ready:
            more = reply.ByteSize()
            if part and (len(part) >= BATCH_REPLIES_MAX or size + more > BATCH_BYTES_MAX):
                yield shard, pb.ReplyBatch(session=session, replies=part, credit=credit).SerializeToString()
                part, size = [], 0
            part.append(reply)
            size += more
        yield shard, pb.ReplyBatch(session=session, replies=part, credit=credit).SerializeToString()
