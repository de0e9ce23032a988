//! What an installation may choose about its listener. Everything has a limit, and every default says why.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// The port of the embedded listener: not that of a NATS server, so that both can run on one machine.
pub const DEFAULT_PORT: u16 = 7422;

/// How the listener is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen. Default: loopback only, because a listener without credentials belongs to this machine alone.
    pub address: SocketAddr,
    /// The name that clients see in INFO.
    pub name: String,
    /// Who may connect.
    pub authentication: Authentication,
    /// The bounds of everything.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)),
            name: "tasker".to_owned(),
            authentication: Authentication::None,
            limits: Limits::default(),
        }
    }
}

/// Who may connect. All who may connect may publish and subscribe everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authentication {
    /// Everybody who reaches the address.
    None,
    /// Whoever knows the token.
    Token(Secret),
    /// Whoever knows a name and its password.
    Users(Vec<(String, Secret)>),
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` out of logs.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Compares in a time that does not depend on where the texts differ.
    pub(super) fn equals(&self, other: &str) -> bool {
        use subtle::ConstantTimeEq;
        self.0.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("[redacted]")
    }
}

/// The bounds of the listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Clients at a time; one more is told so and closed. Default 1,024: a machine's default for open files.
    pub connections_max: usize,
    /// Subscriptions of one client; one more is refused. Default 65,536.
    pub subscriptions_max: usize,
    /// The largest message, headers included, in bytes. Default 1 MiB, as a NATS server has it.
    pub payload_bytes_max: usize,
    /// The longest line of the protocol, in bytes. Default 4 KiB, as a NATS server has it.
    pub control_line_bytes_max: usize,
    /// What may wait for one client, in bytes, before it is cut off as a slow consumer. Default 64 MiB, as a NATS server has it.
    pub outbound_bytes_max: usize,
    /// How long a client has for its CONNECT. Default 5 s.
    pub handshake_timeout: Duration,
    /// How long a write may make no progress before the client is cut off. Default 10 s, as a NATS server has it.
    pub write_timeout: Duration,
    /// How long a client may be silent before it is asked for a sign of life. Default 60 s.
    pub ping_interval: Duration,
    /// Questions for a sign of life that may stay unanswered; one more and the client is closed as stale. Default 2.
    pub pings_unanswered_max: u32,
    /// How long [`super::Listener::shutdown`] waits for what is still to be written. Default 5 s.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            subscriptions_max: 65_536,
            payload_bytes_max: 1024 * 1024,
            control_line_bytes_max: 4 * 1024,
            outbound_bytes_max: 64 * 1024 * 1024,
            handshake_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(60),
            pings_unanswered_max: 2,
            drain_timeout: Duration::from_secs(5),
        }
    }
}
