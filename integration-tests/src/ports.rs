//! Ports that nobody uses.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range from which the system takes ports for outgoing connections. A client that keeps knocking on a closed port of that range
/// may be given the same port as its own, connect to itself, and keep the server out for ever.
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

/// A port of the loopback interface that is free now and is not given out again by this process.
pub fn free() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test programs run side by side: each begins elsewhere.
    let offset = (std::process::id() % 500) as u16 * 40;
    let candidates = (0..COUNT).map(|_| FIRST + (offset + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT);
    let mut free = candidates.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.next().expect("one of twenty thousand ports is free")
}
