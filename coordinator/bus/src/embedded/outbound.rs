//! What waits to be written to one connection, bounded in bytes.
//!
//! Many publishers append, one writer takes. Small pieces are copied into one contiguous tail, because copying 200 bytes
//! is cheaper than another entry in a vectored write; large payloads are shared.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

/// From this size on a payload is shared with the writer instead of being copied.
///
/// Below it, the copy costs little, and sharing would keep the whole read buffer of the sender alive, several times the
/// payload's size.
pub(super) const SHARE_BYTES_MIN: usize = 16 * 1024;

/// Where the contiguous tail is closed and a new one begun, so that growing it never copies more than this.
const TAIL_BYTES_MAX: usize = 64 * 1024;

/// What waits for one connection.
pub(super) struct Outbound {
    state: Mutex<State>,
    /// Wakes the writer.
    ready: Notify,
    /// Wakes publishers that slowed down for this connection.
    relieved: Notify,
    bytes_max: usize,
}

struct State {
    chunks: VecDeque<Bytes>,
    tail: BytesMut,
    /// Waiting and being written; bytes leave this count when the kernel has them.
    bytes: usize,
    /// Whether the writer is, or will be, woken for what waits.
    announced: bool,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// Nothing more is accepted; what waits is still written.
    Draining,
    /// What waits is dropped.
    Cut,
}

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Appended {
    /// It waits to be written.
    Waiting {
        /// The writer must be woken by [`Outbound::wake`] once the caller has appended all it has.
        unannounced: bool,
        /// More than half of the room is taken: the publisher should slow down.
        pressed: bool,
    },
    /// It does not fit. Nothing was appended, and the connection must be cut: it does not read fast enough.
    Overflow,
    /// The connection is closing.
    Closed,
}

/// What the writer finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Something to write was put into the batch.
    Batch,
    /// Nothing now; wait for [`Outbound::ready`].
    Nothing,
    /// Nothing, and nothing will come.
    Finished,
}

impl Outbound {
    pub(super) fn new(bytes_max: usize) -> Self {
        let state = State { chunks: VecDeque::new(), tail: BytesMut::new(), bytes: 0, announced: false, phase: Phase::Open };
        Self { state: Mutex::new(state), ready: Notify::new(), relieved: Notify::new(), bytes_max }
    }

    /// Appends `pieces` in order, as one unit: all or nothing, and nothing of another publisher in between.
    ///
    /// `owner` is the memory that the pieces were borrowed from, if it can be shared; large pieces of it are not copied.
    pub(super) fn append(&self, pieces: &[&[u8]], owner: Option<&Bytes>) -> Appended {
        let added: usize = pieces.iter().map(|piece| piece.len()).sum();
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return Appended::Closed;
        }
        if state.bytes + added > self.bytes_max {
            return Appended::Overflow;
        }
        for piece in pieces {
            match owner {
                Some(owner) if piece.len() >= SHARE_BYTES_MIN && lies_in(piece, owner) => {
                    state.share(owner.slice_ref(piece));
                }
                Some(_) | None => state.copy(piece),
            }
        }
        state.bytes += added;
        let unannounced = !std::mem::replace(&mut state.announced, true);
        Appended::Waiting { unannounced, pressed: state.bytes > self.bytes_max / 2 }
    }

    /// Wakes the writer.
    pub(super) fn wake(&self) {
        self.ready.notify_one();
    }

    /// Waits until the writer is woken; a wake that came before is not lost.
    pub(super) async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Moves everything that waits into `batch`, which must be empty.
    pub(super) fn take(&self, batch: &mut VecDeque<Bytes>) -> Taken {
        let mut state = self.lock();
        state.announced = false;
        if state.phase == Phase::Cut {
            return Taken::Finished;
        }
        state.close_tail();
        std::mem::swap(&mut state.chunks, batch);
        match (batch.is_empty(), state.phase) {
            (false, _) => Taken::Batch,
            (true, Phase::Open) => Taken::Nothing,
            (true, Phase::Draining | Phase::Cut) => Taken::Finished,
        }
    }

    /// Counts `bytes` as written, and lets publishers go on that had slowed down.
    pub(super) fn written(&self, bytes: usize) {
        let mut state = self.lock();
        let before = state.bytes;
        state.bytes = before.saturating_sub(bytes);
        let half = self.bytes_max / 2;
        let crossed = before > half && state.bytes <= half;
        drop(state);
        if crossed {
            self.relieved.notify_waiters();
        }
    }

    /// Waits until at most half of the room is taken, or the connection closes.
    pub(super) async fn relieved(&self) {
        loop {
            let relieved = self.relieved.notified();
            tokio::pin!(relieved);
            // Registered before looking, so that relief between looking and waiting is not missed.
            relieved.as_mut().enable();
            {
                let state = self.lock();
                if state.bytes <= self.bytes_max / 2 || state.phase != Phase::Open {
                    return;
                }
            }
            relieved.await;
        }
    }

    /// Accepts nothing more; what waits is still written.
    pub(super) fn drain(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Draining;
        }
        drop(state);
        self.ready.notify_one();
        self.relieved.notify_waiters();
    }

    /// Accepts nothing more and drops what waits.
    pub(super) fn cut(&self) {
        let mut state = self.lock();
        state.phase = Phase::Cut;
        state.chunks = VecDeque::new();
        state.tail = BytesMut::new();
        state.bytes = 0;
        drop(state);
        self.ready.notify_one();
        self.relieved.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change leaves the state whole, so that a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lies_in(piece: &[u8], owner: &Bytes) -> bool {
    let (inner, outer) = (piece.as_ptr_range(), owner.as_ptr_range());
    outer.start <= inner.start && inner.end <= outer.end
}

impl State {
    fn copy(&mut self, piece: &[u8]) {
        if self.tail.len() + piece.len() > TAIL_BYTES_MAX {
            self.close_tail();
        }
        self.tail.extend_from_slice(piece);
    }

    fn share(&mut self, piece: Bytes) {
        self.close_tail();
        self.chunks.push_back(piece);
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            // `split` keeps the spare room, and the memory is reclaimed when the writer has dropped the chunk.
            let chunk = self.tail.split().freeze();
            self.chunks.push_back(chunk);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(outbound: &Outbound) -> Vec<u8> {
        let mut batch = VecDeque::new();
        outbound.take(&mut batch);
        batch.iter().flat_map(|chunk| chunk.to_vec()).collect()
    }

    #[test]
    fn pieces_come_out_in_the_order_in_which_they_went_in() {
        let outbound = Outbound::new(1 << 20);
        let large = Bytes::from(vec![b'L'; SHARE_BYTES_MIN]);
        outbound.append(&[b"a", b"b"], None);
        outbound.append(&[b"c", &large, b"d"], Some(&large));
        outbound.append(&[b"e"], None);
        let expect = [b"abc".to_vec(), large.to_vec(), b"de".to_vec()].concat();
        assert_eq!(contents(&outbound), expect);
    }

    #[test]
    fn a_large_payload_is_shared_and_a_small_one_is_copied() {
        let outbound = Outbound::new(1 << 20);
        let large = Bytes::from(vec![b'L'; SHARE_BYTES_MIN]);
        outbound.append(&[&large], Some(&large));
        let mut batch = VecDeque::new();
        outbound.take(&mut batch);
        assert_eq!(batch[0].as_ptr(), large.as_ptr());
    }

    #[test]
    fn what_does_not_fit_is_refused_whole() {
        let outbound = Outbound::new(10);
        assert!(matches!(outbound.append(&[b"12345678"], None), Appended::Waiting { pressed: true, .. }));
        assert_eq!(outbound.append(&[b"1", b"23"], None), Appended::Overflow);
        assert_eq!(contents(&outbound), b"12345678");
        // What is being written still takes room.
        assert_eq!(outbound.append(&[b"123"], None), Appended::Overflow);
        outbound.written(8);
        assert!(matches!(outbound.append(&[b"123"], None), Appended::Waiting { pressed: false, .. }));
    }

    #[test]
    fn the_writer_is_woken_once_for_many_appends() {
        let outbound = Outbound::new(100);
        assert!(matches!(outbound.append(&[b"1"], None), Appended::Waiting { unannounced: true, .. }));
        assert!(matches!(outbound.append(&[b"2"], None), Appended::Waiting { unannounced: false, .. }));
        contents(&outbound);
        assert!(matches!(outbound.append(&[b"3"], None), Appended::Waiting { unannounced: true, .. }));
    }

    #[test]
    fn draining_writes_what_waits_and_cutting_drops_it() {
        let draining = Outbound::new(100);
        draining.append(&[b"1"], None);
        draining.drain();
        assert_eq!(draining.append(&[b"2"], None), Appended::Closed);
        let mut batch = VecDeque::new();
        assert_eq!(draining.take(&mut batch), Taken::Batch);
        batch.clear();
        assert_eq!(draining.take(&mut batch), Taken::Finished);

        let cut = Outbound::new(100);
        cut.append(&[b"1"], None);
        cut.cut();
        assert_eq!(cut.take(&mut batch), Taken::Finished);
        assert!(batch.is_empty());
    }

    #[tokio::test]
    async fn a_publisher_that_slowed_down_goes_on_when_half_is_written() {
        let outbound = Outbound::new(10);
        outbound.append(&[b"12345678"], None);
        let waiting = outbound.relieved();
        tokio::pin!(waiting);
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        outbound.written(3);
        waiting.await;
    }
}
