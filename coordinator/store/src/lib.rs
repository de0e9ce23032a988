//! The record: everything that was accepted lives here, once, in SQLite or PostgreSQL.
//!
//! What it does: makes batches durable in one transaction that also checks the lease, finds out at start what the coordinator must know,
//! and answers reads. It implements [`tasker_runtime::port::store::Store`] twice, and one suite runs on both.
//!
//! What it never does: decide. It knows no clock but the one that stamps a lease, it retries nothing, and it holds no task in memory.
//!
//! Start reading at [`open`], then `sqlite/writer.rs` and `postgres/writer.rs`: what one commit is. `writer.rs` holds the rules that both
//! writers share, `tail.rs` and `chain.rs` how the journal corrects the projection, `row.rs` how columns become words.

mod chain;
mod error;
mod measures;
mod postgres;
mod row;
mod search;
mod sqlite;
mod tail;
mod target;
mod writer;

pub use error::OpenError;

use std::sync::Arc;
use std::time::Duration;
use target::Target;
use tasker_runtime::port::store::Store;

/// How to open a database.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who this coordinator is, for the people who read why another one was refused: a host's or an installation's name. The process id is
    /// added.
    pub holder: String,
    /// How long to wait for a predecessor's lease on PostgreSQL: a killed process's connection may take a moment to go.
    pub lease_wait: Duration,
    /// How many connections serve reads, 1 to 64; writes have one of their own.
    pub readers: u32,
}

impl Options {
    /// Enough for the connection of a process that was just killed to be noticed.
    pub const LEASE_WAIT: Duration = Duration::from_secs(5);
    /// Reads are short; on two cores more connections only queue elsewhere.
    pub const READERS: u32 = 4;
    /// A coordinator that needs more reads at once should not take them from a database that others share.
    pub const READERS_MAX: u32 = 64;

    /// The defaults, for a coordinator with this name.
    pub fn new(holder: impl Into<String>) -> Self {
        Self { holder: holder.into(), lease_wait: Self::LEASE_WAIT, readers: Self::READERS }
    }

    /// What others are told.
    fn holder_line(&self) -> String {
        format!("{}, process {}", self.holder, std::process::id())
    }

    fn readers(&self) -> u32 {
        self.readers.clamp(1, Self::READERS_MAX)
    }
}

/// Opens the database behind a URL: takes the lease, brings the tables up to date and proves that commits are durable.
///
/// `sqlite:PATH` names a file, created if it is missing, next to which `PATH.lock` shows who uses it. `postgres://…` names a database that
/// exists. Call it within a tokio runtime.
///
/// ```no_run
/// # async fn example() -> Result<(), tasker_store::OpenError> {
/// let store = tasker_store::open("sqlite:/var/lib/tasker/tasker.db", tasker_store::Options::new("shop-1")).await?;
/// println!("{}", store.describe());
/// # Ok(()) }
/// ```
///
/// # Errors
/// Each [`OpenError`] has a stable code, says what is wrong and what to do. Nothing is left locked.
pub async fn open(url: &str, options: Options) -> Result<Arc<dyn Store>, OpenError> {
    match Target::parse(url)? {
        Target::Sqlite(path) => Ok(Arc::new(sqlite::open(&path, &options).await?)),
        Target::Postgres(connect) => Ok(Arc::new(postgres::open(*connect, &options).await?)),
    }
}
