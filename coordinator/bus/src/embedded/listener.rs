//! Accepts connections, counts them, and ends them in order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection;
use super::handshake::{self, Identity};
use super::local::LocalClient;
use super::options::{Authentication, Options};
use super::router::Router;

/// How long accepting pauses after the system refused to give a connection, usually for want of open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the listener could not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process listens there.
    #[error("the address {address} is in use by another process; stop that process (perhaps another `tasker`), or choose another port")]
    PortInUse {
        /// Where the listener should have been.
        address: SocketAddr,
    },
    /// This machine has no such address.
    #[error("this machine has no address {}; listen on 127.0.0.1, or on an address of this machine", address.ip())]
    AddressUnknown {
        /// Where the listener should have been.
        address: SocketAddr,
    },
    /// The system does not let this process listen there.
    #[error("listening on {address} is not permitted; ports below 1024 need a privilege, choose a higher one")]
    NotPermitted {
        /// Where the listener should have been.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("listening on {address} failed")]
    Failed {
        /// Where the listener should have been.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl BindError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::PortInUse { .. } => "bus.port_in_use",
            Self::AddressUnknown { .. } => "bus.address_unknown",
            Self::NotPermitted { .. } => "bus.port_not_permitted",
            Self::Failed { .. } => "bus.listen_failed",
        }
    }

    fn from_io(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::PortInUse { address },
            io::ErrorKind::AddrNotAvailable => Self::AddressUnknown { address },
            io::ErrorKind::PermissionDenied => Self::NotPermitted { address },
            _ => Self::Failed { address, source },
        }
    }
}

/// What the listener counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistics {
    /// Clients connected now.
    pub connections: usize,
    /// Subscriptions now, of remote and local clients.
    pub subscriptions: usize,
    /// Messages that remote clients published since the start.
    pub messages_received: u64,
    /// Clients cut off since the start because more waited for them than may.
    pub slow_consumers_cut: u64,
    /// Clients turned away since the start because there were too many.
    pub connections_refused: u64,
}

/// What the accepting task and all connections share.
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) identity: Identity,
    pub(super) router: Arc<Router>,
    /// No more input is read; output is flushed.
    pub(super) draining: CancellationToken,
    /// Everything ends now.
    pub(super) cut: CancellationToken,
    pub(super) tasks: TaskTracker,
    connections: AtomicUsize,
    connections_refused: AtomicU64,
    /// Counts connections, to give each its number.
    connections_ever: AtomicU64,
}

/// The embedded listener. Dropping it cuts all connections; [`Listener::shutdown`] ends them in order.
pub struct Listener {
    shared: Arc<Shared>,
    client: LocalClient,
}

impl Listener {
    /// Listens, and serves clients from now on. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// Says why the address could not be had, and what to do about it.
    pub async fn bind(options: Options) -> Result<Self, BindError> {
        let address = options.address;
        let socket = TcpListener::bind(address).await.map_err(|source| BindError::from_io(address, source))?;
        let local = socket.local_addr().map_err(|source| BindError::from_io(address, source))?;
        if !local.ip().is_loopback() && options.authentication == Authentication::None {
            tracing::warn!(
                address = %local,
                "the embedded bus is open to the network without credentials; set a token or listen on 127.0.0.1"
            );
        }
        let router = Arc::new(Router::default());
        let draining = CancellationToken::new();
        let client = LocalClient::new(Arc::clone(&router), options.limits.payload_bytes_max, draining.clone());
        let shared = Arc::new(Shared {
            options,
            identity: Identity { server_id: format!("{:032x}", rand::random::<u128>()), local },
            router,
            draining,
            cut: CancellationToken::new(),
            tasks: TaskTracker::new(),
            connections: AtomicUsize::new(0),
            connections_refused: AtomicU64::new(0),
            connections_ever: AtomicU64::new(0),
        });
        shared.tasks.spawn(accept(Arc::clone(&shared), socket));
        tracing::info!(address = %local, "embedded bus listens");
        Ok(Self { shared, client })
    }

    /// Where the listener is reached; tells the port if the options left it to the system.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.identity.local
    }

    /// A client for this process. All of them are the same client.
    pub fn client(&self) -> LocalClient {
        self.client.clone()
    }

    /// What was counted so far.
    pub fn statistics(&self) -> Statistics {
        let router = &self.shared.router;
        Statistics {
            connections: self.shared.connections.load(Ordering::Relaxed),
            subscriptions: router.subscription_count(),
            messages_received: router.messages_received.load(Ordering::Relaxed),
            slow_consumers_cut: router.slow_consumers_cut.load(Ordering::Relaxed),
            connections_refused: self.shared.connections_refused.load(Ordering::Relaxed),
        }
    }

    /// Accepts and reads nothing more, writes what waits, closes all connections.
    ///
    /// Takes [`super::Limits::drain_timeout`] at most; clients that have not read everything by then are cut. Local
    /// subscriptions give what came before and then end.
    pub async fn shutdown(self) {
        self.shared.draining.cancel();
        self.shared.tasks.close();
        let drained = tokio::time::timeout(self.shared.options.limits.drain_timeout, self.shared.tasks.wait()).await;
        if drained.is_err() {
            tracing::warn!("embedded bus cuts clients that did not read what waited for them");
            self.shared.cut.cancel();
            self.shared.tasks.wait().await;
        }
        tracing::info!("embedded bus stopped");
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shared.draining.cancel();
        self.shared.cut.cancel();
    }
}

async fn accept(shared: Arc<Shared>, socket: TcpListener) {
    loop {
        let accepted = tokio::select! {
            () = shared.draining.cancelled() => return,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, client)) => admit(&shared, stream, client),
            Err(error) => {
                tracing::warn!(error = %error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves a client, or turns it away when there are too many.
fn admit(shared: &Arc<Shared>, stream: TcpStream, client: SocketAddr) {
    let id = shared.connections_ever.fetch_add(1, Ordering::Relaxed) + 1;
    // Only the accepting task adds, so that looking first and adding second cannot exceed the limit.
    if shared.connections.load(Ordering::Relaxed) >= shared.options.limits.connections_max {
        shared.connections_refused.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(client = %client, "client refused: as many are connected as may be");
        refuse(shared, stream, client, id);
        return;
    }
    shared.connections.fetch_add(1, Ordering::Relaxed);
    let counted = Counted(Arc::clone(shared));
    shared.tasks.spawn(async move {
        connection::serve(Arc::clone(&counted.0), stream, client, id).await;
        drop(counted);
    });
}

/// Says why, as far as the socket takes it at once: a client too many gets no task and no memory.
fn refuse(shared: &Shared, mut stream: TcpStream, client: SocketAddr, id: u64) {
    let mut lines = handshake::info_line(&shared.options, &shared.identity, id, client, false);
    lines.extend_from_slice(b"-ERR 'maximum connections exceeded'\r\n");
    // The send buffer of a new socket is empty and far larger than this; if it fails, the client sees only the end.
    let _ = stream.try_write(&lines);
    let _ = futures::FutureExt::now_or_never(stream.shutdown());
}

/// Counts one connection until it is dropped, however it ends.
struct Counted(Arc<Shared>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
