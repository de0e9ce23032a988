//! A real NATS server, without anything to remember: what it is killed with is gone.

use crate::place;
use crate::process::Process;
use crate::stage::Stage;
use crate::until::{SOON, until_true};
use anyhow::{Result, bail};

/// A running server.
pub struct Server {
    /// Where it listens.
    pub port: u16,
    /// The process.
    pub process: Process,
}

impl Server {
    /// Starts a server on a port and waits until it listens.
    ///
    /// # Errors
    /// It ends, or does not listen in time.
    pub async fn start(stage: &Stage, port: u16) -> Result<Self> {
        let arguments = ["-a", "127.0.0.1", "-p", &port.to_string()].map(str::to_owned);
        let process = stage.start("nats-server", &place::nats_server(), &arguments, &[])?;
        let mut server = Self { port, process };
        until_true("the NATS server listens", SOON, async || {
            if !server.process.is_running() {
                bail!("nats-server has ended");
            }
            Ok(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok())
        })
        .await?;
        Ok(server)
    }

    /// The address for clients.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Kills the server without warning and starts an empty one in its place.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn replace(&mut self, stage: &Stage) -> Result<()> {
        self.process.kill()?;
        *self = Self::start(stage, self.port).await?;
        Ok(())
    }
}
