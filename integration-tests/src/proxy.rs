//! A network between a NATS client and its server that misbehaves on request: it cuts, stalls, delays, repeats and corrupts.
//!
//! It reads the frames that clients send (`PUB`, `HPUB` with their payloads, and lines), so that it can repeat or damage whole messages without
//! breaking the protocol; what the server sends is passed on as bytes.

use crate::ports;
use anyhow::Result;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// How it misbehaves now; every switch may be turned while connections are open.
#[derive(Default)]
pub struct Manners {
    /// Nothing that a client says arrives.
    pub mute_clients: AtomicBool,
    /// Nothing that the server says arrives.
    pub mute_server: AtomicBool,
    /// Every message arrives this many times more.
    pub repeats: AtomicU64,
    /// One message in so many arrives with a damaged payload; 0 for none.
    pub damage_one_in: AtomicU64,
    /// Every message of a client is this many milliseconds late.
    pub delay_ms: AtomicU64,
    /// Nobody gets through, and new connections are refused at once.
    pub closed: AtomicBool,
    /// Messages that were repeated, damaged, or swallowed so far.
    pub touched: AtomicU64,
    /// Of the messages of clients, all.
    pub messages: AtomicU64,
}

/// A listening proxy; it ends with this value.
pub struct Proxy {
    /// Where it listens.
    pub port: u16,
    /// How it behaves.
    pub manners: Arc<Manners>,
    cut: Arc<Notify>,
    connections: Arc<Mutex<Vec<JoinHandle<()>>>>,
    listening: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port and passes everything on to a server on this machine.
    ///
    /// # Errors
    /// It cannot listen.
    pub async fn start(server: u16) -> Result<Self> {
        let port = ports::free();
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let (manners, cut, connections) = (Arc::new(Manners::default()), Arc::new(Notify::new()), Arc::new(Mutex::new(Vec::new())));
        let listening = tokio::spawn(listen(listener, server, manners.clone(), cut.clone(), connections.clone()));
        Ok(Self { port, manners, cut, connections, listening })
    }

    /// The address for clients.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Ends every open connection at once; new ones are taken.
    pub fn cut(&self) {
        self.cut.notify_waiters();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
        for connection in self.connections.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            connection.abort();
        }
    }
}

async fn listen(listener: TcpListener, server: u16, manners: Arc<Manners>, cut: Arc<Notify>, connections: Arc<Mutex<Vec<JoinHandle<()>>>>) {
    while let Ok((client, _)) = listener.accept().await {
        if manners.closed.load(Ordering::Relaxed) {
            continue;
        }
        let (manners, cut) = (manners.clone(), cut.clone());
        let connection = tokio::spawn(async move {
            // Registered before the first byte, so that no cut is missed.
            let cut = cut.notified();
            tokio::pin!(cut);
            cut.as_mut().enable();
            tokio::select! {
                _ = carry(client, server, &manners) => {}
                () = cut => {}
            }
        });
        let mut known = connections.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|open| !open.is_finished());
        known.push(connection);
    }
}

async fn carry(client: TcpStream, server: u16, manners: &Manners) -> Result<()> {
    let upstream = TcpStream::connect(("127.0.0.1", server)).await?;
    client.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = upstream.into_split();
    tokio::select! {
        said = said_by_client(from_client, to_server, manners) => said,
        said = said_by_server(from_server, to_client, manners) => said,
    }
}

async fn said_by_server(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, manners: &Manners) -> Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut bytes).await?;
        if count == 0 {
            return Ok(());
        }
        if manners.mute_server.load(Ordering::Relaxed) {
            manners.touched.fetch_add(1, Ordering::Relaxed);
            // Swallowing a part of the stream would leave half a frame behind: this connection hears nothing more.
            std::future::pending::<()>().await;
        }
        to.write_all(&bytes[..count]).await?;
    }
}

async fn said_by_client(from: OwnedReadHalf, mut to: OwnedWriteHalf, manners: &Manners) -> Result<()> {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        if from.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let Some(size) = payload_of(&line) else {
            if !manners.mute_clients.load(Ordering::Relaxed) {
                to.write_all(&line).await?;
            }
            continue;
        };
        let mut payload = vec![0; size + 2];
        from.read_exact(&mut payload).await?;
        let number = manners.messages.fetch_add(1, Ordering::Relaxed) + 1;
        if manners.mute_clients.load(Ordering::Relaxed) {
            manners.touched.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let delay = manners.delay_ms.load(Ordering::Relaxed);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        let damage = manners.damage_one_in.load(Ordering::Relaxed);
        if damage > 0 && number.is_multiple_of(damage) && size > 0 {
            manners.touched.fetch_add(1, Ordering::Relaxed);
            // Somewhere else each time, and never where the frame ends.
            let place = (number as usize).wrapping_mul(31) % size;
            payload[place] ^= 0xa5;
        }
        let repeats = manners.repeats.load(Ordering::Relaxed);
        manners.touched.fetch_add(repeats.min(1), Ordering::Relaxed);
        for _ in 0..=repeats {
            to.write_all(&line).await?;
            to.write_all(&payload).await?;
        }
    }
}

/// How many bytes of payload follow a line; none if it is no message.
fn payload_of(line: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(line).ok()?.trim_end();
    let mut words = text.split_ascii_whitespace();
    let verb = words.next()?;
    if !verb.eq_ignore_ascii_case("PUB") && !verb.eq_ignore_ascii_case("HPUB") {
        return None;
    }
    words.next_back()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_of_a_message_is_known_and_other_lines_have_none() {
        assert_eq!(payload_of(b"PUB a.b 12\r\n"), Some(12));
        assert_eq!(payload_of(b"PUB a.b reply.to 0\r\n"), Some(0));
        assert_eq!(payload_of(b"HPUB a.b 30 42\r\n"), Some(42));
        for line in [&b"PING\r\n"[..], b"SUB a.b 1\r\n", b"CONNECT {\"verbose\":false}\r\n", b"\xff\r\n", b"\r\n"] {
            assert_eq!(payload_of(line), None);
        }
    }
}
