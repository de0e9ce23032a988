//! Moves what waits for one connection to its socket, as much as possible in each write.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;

use super::outbound::Taken;
use super::peer::Peer;

/// Pieces handed to the kernel in one call.
const PIECES_MAX: usize = 64;

/// Writes until the connection ends, then closes the sending side of the socket.
pub(super) async fn run(peer: Arc<Peer>, mut socket: OwnedWriteHalf, write_timeout: Duration) {
    let mut batch = VecDeque::new();
    loop {
        match peer.outbound.take(&mut batch) {
            Taken::Batch => {
                // A cut must not wait for a client that does not read.
                let written = tokio::select! {
                    biased;
                    () = peer.closing.cancelled() => Ok(()),
                    written = write_all(&peer, &mut socket, &mut batch, write_timeout) => written,
                };
                if peer.closing.is_cancelled() {
                    return;
                }
                if let Err(error) = written {
                    tracing::debug!(connection = peer.id, error = %error, "a write failed, the connection ends");
                    peer.cut();
                    return;
                }
            }
            Taken::Nothing => peer.outbound.ready().await,
            Taken::Finished => break,
        }
    }
    // The client sees an orderly end after the last byte; a failure here means that it is gone already.
    let _ = socket.shutdown().await;
}

async fn write_all(peer: &Peer, socket: &mut OwnedWriteHalf, batch: &mut VecDeque<Bytes>, write_timeout: Duration) -> io::Result<()> {
    while !batch.is_empty() {
        let mut slices = [IoSlice::new(&[]); PIECES_MAX];
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(batch.iter()) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        let write = socket.write_vectored(&slices[..count]);
        let written = tokio::time::timeout(write_timeout, write)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the client does not read"))??;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        peer.outbound.written(written);
        advance(batch, written);
    }
    Ok(())
}

fn advance(batch: &mut VecDeque<Bytes>, mut written: usize) {
    while written > 0 {
        let Some(front) = batch.front_mut() else {
            return;
        };
        let step = written.min(front.len());
        front.advance(step);
        written -= step;
        if front.is_empty() {
            batch.pop_front();
        }
    }
}
