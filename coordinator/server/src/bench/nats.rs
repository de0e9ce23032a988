//! The bus of a run: the coordinator's own listener, a nats-server that is thrown away, or one that is there.

use super::process::{Child, Start, Usage};
use super::{free_address, programs};
use anyhow::bail;
use std::path::Path;
use std::time::{Duration, Instant};

/// A server listens within milliseconds; a busy machine takes longer.
const START_MAX: Duration = Duration::from_secs(20);

/// What workers and coordinator connect to.
#[expect(clippy::large_enum_variant, reason = "there is one per benchmark")]
pub enum Nats {
    /// The coordinator listens at this address.
    Embedded(String),
    /// A server that was started here.
    Own(String, Child),
    /// A server that was there.
    Given(String),
}

impl Nats {
    pub async fn open(given: &str, directory: &Path) -> anyhow::Result<Self> {
        match given {
            "embedded" => Ok(Self::Embedded(free_address()?)),
            "own" => {
                let program = programs::nats_server()?;
                let address = free_address()?;
                let (host, port) = address.rsplit_once(':').unwrap_or(("127.0.0.1", "4222"));
                let arguments = ["-a", host, "-p", port].map(str::to_owned).to_vec();
                let mut server = Child::start(&Start { program: &program, arguments, environment: Vec::new() }, "nats-server", directory)?;
                let until = Instant::now() + START_MAX;
                while tokio::net::TcpStream::connect(&address).await.is_err() {
                    server.still_runs()?;
                    if Instant::now() > until {
                        bail!("[bench.failed]: nats-server did not listen within {START_MAX:?}");
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Ok(Self::Own(format!("nats://{address}"), server))
            }
            url if url.contains("://") => Ok(Self::Given(url.to_owned())),
            other => bail!("[bench.unsupported]: --nats {other}: give embedded, own or nats://HOST:PORT"),
        }
    }

    /// What a worker connects to.
    pub fn url(&self) -> String {
        match self {
            Self::Embedded(address) => format!("nats://{address}"),
            Self::Own(url, _) | Self::Given(url) => url.clone(),
        }
    }

    /// What the coordinator is told.
    pub fn arguments(&self) -> [String; 2] {
        match self {
            Self::Embedded(address) => ["--nats-listen".to_owned(), address.clone()],
            Self::Own(url, _) | Self::Given(url) => ["--nats-url".to_owned(), url.clone()],
        }
    }

    /// What its process has used; none if it has none of its own.
    pub fn usage(&self) -> anyhow::Result<Option<Usage>> {
        match self {
            Self::Own(_, server) => server.usage().map(Some),
            Self::Embedded(_) | Self::Given(_) => Ok(None),
        }
    }

    /// Shown in the report, without credentials.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Embedded(_) => "embedded listener",
            Self::Own(..) => "nats-server, own",
            Self::Given(_) => "nats-server, given",
        }
    }
}
