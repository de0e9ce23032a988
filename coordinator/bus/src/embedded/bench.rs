//! What the benches may see of the inside. Not an interface: it changes whenever the inside does.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use tokio_util::sync::CancellationToken;

use super::options::Limits;
use super::parcel::Parcel;
use super::parser::{Operation, ParseLimits, Parser};
use super::peer::{Interest, Peer, Target};
use super::router::{Publisher, Router};
use super::subject::{Pattern, SubjectError};

/// A publisher and subscribers without sockets: everything between two system calls.
pub struct Feed {
    parser: Parser,
    buffer: BytesMut,
    publisher: Publisher,
    router: Arc<Router>,
    peers: Vec<Arc<Peer>>,
}

impl Feed {
    /// A router with a subscription per pattern, each of its own peer.
    ///
    /// # Errors
    /// Refuses what is not a pattern.
    pub fn new(patterns: &[String]) -> Result<Self, SubjectError> {
        let limits = Limits::default();
        let router = Arc::new(Router::default());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let mut peers = Vec::new();
        for (id, pattern) in (1..).zip(patterns) {
            let peer = Arc::new(Peer::new(id, address, limits.outbound_bytes_max, CancellationToken::new()));
            peer.headers.store(true, Ordering::Relaxed);
            let pattern = Pattern::new(pattern.clone())?;
            let target = Target::Peer(Arc::clone(&peer));
            router.subscribe(Arc::new(Interest::new(pattern, None, Bytes::from_static(b"1"), target)));
            peers.push(peer);
        }
        let parse_limits =
            ParseLimits { control_line_bytes_max: limits.control_line_bytes_max, payload_bytes_max: limits.payload_bytes_max };
        Ok(Self {
            parser: Parser::new(parse_limits, false),
            buffer: BytesMut::new(),
            publisher: Publisher::new(Arc::clone(&router), None),
            router,
            peers,
        })
    }

    /// Reads and routes whole operations, drops what would be written, and says how many messages were handed over.
    pub fn feed(&mut self, bytes: &[u8]) -> usize {
        let mut delivered = 0;
        self.buffer.extend_from_slice(bytes);
        while let Ok(Some(operation)) = self.parser.next(&mut self.buffer) {
            if let Operation::Publish(publication) = operation {
                delivered += self.publisher.publish(&Parcel::from_publication(&publication)).unwrap_or(0);
            }
        }
        self.publisher.wake();
        let mut batch = VecDeque::new();
        for peer in &self.peers {
            peer.outbound.take(&mut batch);
            let written = batch.iter().map(Bytes::len).sum();
            peer.outbound.written(written);
            batch.clear();
        }
        delivered
    }

    /// Looks a subject up without remembering it.
    pub fn has_interest(&self, subject: &str) -> bool {
        self.router.has_interest(subject.as_bytes())
    }
}
