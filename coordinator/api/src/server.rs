//! Connections: how many, how slow they may be, and how they end.

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

/// Open connections: four times the streams and long polls, so that short requests always get through. Past it the operating system's
/// queue holds newcomers back.
const CONNECTIONS_MAX: usize = 4 * crate::gate::WAITS_MAX;

/// From the first byte that is waited for to the end of a request's head. It also ends connections that stay idle between requests.
const HEAD_TIME_MAX: Duration = Duration::from_secs(30);

/// A request's head in bytes: long label filters and trace state fit.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Lines of a request's head.
const HEAD_LINES_MAX: usize = 100;

/// After the order to stop, requests under way get this long. Streams and long polls end at once.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);

/// How long to wait after the operating system refused to give a connection, usually because files are used up.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// So many refusals without a success in between mean that the listener is of no use any more.
const ACCEPT_FAILURES_MAX: u32 = 600;

/// Tells requests that wait for news that the server is about to stop.
#[derive(Clone)]
pub(crate) struct Closing(watch::Receiver<bool>);

impl Closing {
    /// Returns when the server is about to stop; never, if the request did not come through [`serve`].
    pub(crate) async fn of(closing: Option<Extension<Self>>) {
        match closing {
            // The sender lives as long as the server; if it is gone, so is the server.
            Some(Extension(Self(mut told))) => drop(told.wait_for(|closing| *closing).await),
            None => std::future::pending().await,
        }
    }
}

/// Serves the router until `shutdown` returns; then takes no new connection, ends streams and long polls, and gives requests under way ten
/// seconds.
///
/// # Errors
/// The listener fails again and again.
pub async fn serve(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    let (close, closing) = watch::channel(false);
    let router = router.layer(Extension(Closing(closing.clone())));
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut open = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    let mut failures = 0;
    loop {
        while open.try_join_next().is_some() {}
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                failures = 0;
                open.spawn(connection(stream, router.clone(), closing.clone(), place));
            }
            Err(error) if failures < ACCEPT_FAILURES_MAX => {
                failures += 1;
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
    drop(listener);
    close.send_replace(true);
    let ended = async { while open.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_TIME_MAX, ended).await.is_err() {
        tracing::warn!(open = open.len(), "connections were cut off at the end of the drain");
    }
    Ok(())
}

/// Waits for a place, then for a connection.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

async fn connection(stream: TcpStream, router: Router, mut closing: watch::Receiver<bool>, _place: OwnedSemaphorePermit) {
    // Small answers must not wait for more bytes; if the option cannot be set, they merely come later.
    let _ = stream.set_nodelay(true);
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_headers(HEAD_LINES_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        // The buffer also takes what follows the head; it must not be the tighter limit.
        .max_buf_size(2 * HEAD_BYTES_MAX);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    // The guard that `wait_for` returns must not live across the await below.
    let told = async { drop(closing.wait_for(|closing| *closing).await) };
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = told => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        // Clients break off all the time; it is of interest only to whoever looks for it.
        tracing::debug!(%error, "a connection ended with an error");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;

    async fn start(router: Router) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<io::Result<()>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(serve(listener, router, async { drop(stopped.await) }));
        (address, stop, serving)
    }

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.write_all(request.as_bytes()).await.expect("sends");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answers and closes");
        answer
    }

    #[tokio::test]
    async fn the_server_answers_and_stops_when_told() {
        let (address, stop, serving) = start(Router::new().route("/", get(|| async { "hello" }))).await;
        let answer = ask(address, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("hello"), "{answer}");
        drop(stop);
        serving.await.expect("no panic").expect("an orderly end");
        assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    }

    #[tokio::test]
    async fn a_stop_ends_waiting_requests_and_idle_connections_at_once() {
        let (begun, begins) = tokio::sync::mpsc::channel::<()>(1);
        let waits = move |closing: Option<Extension<Closing>>| async move {
            begun.send(()).await.expect("the test listens");
            Closing::of(closing).await;
            "closing"
        };
        let mut begins = begins;
        let (address, stop, serving) = start(Router::new().route("/", get(waits))).await;
        let mut idle = TcpStream::connect(address).await.expect("connects");
        let waiting = tokio::spawn(async move { ask(address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await });
        begins.recv().await.expect("the request is under way");
        drop(stop);
        let at_most = Duration::from_secs(5);
        let answer = tokio::time::timeout(at_most, waiting).await.expect("does not wait for the drain").expect("no panic");
        assert!(answer.ends_with("closing"), "{answer}");
        let mut rest = Vec::new();
        tokio::time::timeout(at_most, idle.read_to_end(&mut rest)).await.expect("closed").expect("closed");
        serving.await.expect("no panic").expect("an orderly end");
    }

    #[tokio::test]
    async fn a_head_that_is_too_large_is_refused() {
        let (address, _stop, _serving) = start(Router::new().route("/", get(|| async { "hello" }))).await;
        let request = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(HEAD_BYTES_MAX));
        let mut stream = TcpStream::connect(address).await.expect("connects");
        // The server may close before everything is sent.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = vec![0; 64];
        let read = stream.read(&mut answer).await.unwrap_or(0);
        let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_finishes_its_head_is_cut_off() {
        let (address, _stop, _serving) = start(Router::new().route("/", get(|| async { "hello" }))).await;
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.write_all(b"GET / HTTP/1.1\r\nHost:").await.expect("sends");
        let mut answer = Vec::new();
        let read = tokio::time::timeout(HEAD_TIME_MAX * 2, stream.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "the connection is closed before a minute is over");
    }
}
