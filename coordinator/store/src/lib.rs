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
mod letters;
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
use tasker_engine::Namespace;
use tasker_runtime::port::shards::Shards;
use tasker_runtime::port::store::Store;

/// How to open a database.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who this coordinator is, for the people who read why another one was refused: a host's or an installation's name. The process id is
    /// added.
    pub holder: String,
    /// How long to wait for a predecessor's lease on PostgreSQL: a killed process's connection may take a moment to go.
    pub lease_wait: Duration,
    /// How many connections serve reads, 1 to 64; each shard's writes have one of their own.
    pub readers: u32,
    /// Into how many shards a new PostgreSQL database is divided, 1 to 64; one that exists stays as it is.
    pub shards: u8,
    /// Whether no other coordinator may use the PostgreSQL database, because workers reach only this one. A SQLite file has one anyway.
    pub alone: bool,
}

impl Options {
    /// Enough for the connection of a process that was just killed to be noticed.
    pub const LEASE_WAIT: Duration = Duration::from_secs(5);
    /// Reads are short; on two cores more connections only queue elsewhere.
    pub const READERS: u32 = 4;
    /// A coordinator that needs more reads at once should not take them from a database that others share.
    pub const READERS_MAX: u32 = 64;

    /// One coordinator carries tens of thousands of steps a second, and one PostgreSQL server about a hundred thousand appends: more coordinators than
    /// this would only wait for it.
    pub const SHARDS: u8 = 8;

    /// The defaults, for a coordinator with this name.
    pub fn new(holder: impl Into<String>) -> Self {
        Self { holder: holder.into(), lease_wait: Self::LEASE_WAIT, readers: Self::READERS, shards: Self::SHARDS, alone: false }
    }

    /// What others are told.
    fn holder_line(&self) -> String {
        format!("{}, process {}", self.holder, std::process::id())
    }

    fn readers(&self) -> u32 {
        self.readers.clamp(1, Self::READERS_MAX)
    }
}

/// Opens the database behind a URL for a coordinator: brings the tables up to date and proves that commits are durable. Its shards are then taken one
/// by one.
///
/// `sqlite:PATH` names a file, created if it is missing, next to which `PATH.lock` shows who uses it; it has one shard. `postgres://…` names a
/// database that exists. Call it within a tokio runtime.
///
/// # Errors
/// Each [`OpenError`] has a stable code, says what is wrong and what to do. Nothing is left locked.
pub async fn shards(url: &str, options: Options) -> Result<Arc<dyn Shards>, OpenError> {
    match Target::parse(url)? {
        Target::Sqlite(path) => Ok(Arc::new(sqlite::Sole::new(sqlite::open(&path, &options).await?, options.holder_line()))),
        Target::Postgres(connect) => Ok(Arc::new(postgres::shards(*connect, &options).await?)),
    }
}

/// Opens a database that nobody else uses, and takes the shard of a namespace; of a database with one shard, that one. For tools and tests.
///
/// ```no_run
/// # async fn example() -> Result<(), tasker_store::OpenError> {
/// let shop = tasker_engine::Namespace::new("shop").expect("valid");
/// let store = tasker_store::open_for(&shop, "sqlite:/var/lib/tasker/tasker.db", tasker_store::Options::new("shop-1")).await?;
/// println!("{}", store.describe());
/// # Ok(()) }
/// ```
///
/// # Errors
/// See [`shards`].
pub async fn open_for(namespace: &Namespace, url: &str, options: Options) -> Result<Arc<dyn Store>, OpenError> {
    match Target::parse(url)? {
        Target::Sqlite(path) => Ok(Arc::new(sqlite::open(&path, &options).await?)),
        Target::Postgres(connect) => Ok(Arc::new(postgres::open(*connect, &options, Some(namespace)).await?)),
    }
}

/// Opens a database that nobody else uses and that has one shard, as a new one has then, and takes it. For tools and tests.
///
/// # Errors
/// See [`shards`].
pub async fn open(url: &str, options: Options) -> Result<Arc<dyn Store>, OpenError> {
    match Target::parse(url)? {
        Target::Sqlite(path) => Ok(Arc::new(sqlite::open(&path, &options).await?)),
        Target::Postgres(connect) => Ok(Arc::new(postgres::open(*connect, &options, None).await?)),
    }
}

/// Opens every shard of a database to be looked at. On PostgreSQL coordinators may go on writing; a SQLite file must be free.
///
/// # Errors
/// See [`shards`].
pub async fn inspect(url: &str, options: Options) -> Result<Vec<Arc<dyn Store>>, OpenError> {
    match Target::parse(url)? {
        Target::Sqlite(path) => Ok(vec![Arc::new(sqlite::open(&path, &options).await?)]),
        Target::Postgres(connect) => {
            let stores = postgres::inspect(*connect, &options).await?;
            Ok(stores.into_iter().map(|store| Arc::new(store) as Arc<dyn Store>).collect())
        }
    }
}
