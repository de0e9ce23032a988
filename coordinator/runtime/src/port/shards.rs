//! Which coordinator runs which shard. Implemented on PostgreSQL, where any number of coordinators share one database, and on SQLite, where one
//! owns the file and its only shard.
//!
//! Ownership is a row with an epoch. Whoever takes a shard raises its epoch, and every writing transaction checks the epoch, so a coordinator
//! that was paused, cut off or simply late is refused by the database itself (P11). Clocks decide only when somebody may *try* to take over.

use super::store::{ReadError, Store};
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::ShardId;

/// A coordinator's own name among the others: random, drawn at its start, so that a restarted process is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CoordinatorId(pub i64);

/// Counts the owners that a shard has had.
pub type Epoch = i64;

/// How often a coordinator says that it lives.
pub const BEAT: Duration = Duration::from_millis(250);
/// How long a coordinator may be silent before others take its shards.
pub const LEASE: Duration = Duration::from_secs(3);
/// The same if its session in the database is gone, too: a killed process is replaced sooner, a session that was only cut has time to come back.
pub const LEASE_WITHOUT_SESSION: Duration = Duration::from_millis(700);

/// The ledger of shards behind a coordinator.
pub trait Shards: Send + Sync + 'static {
    /// Who this coordinator is.
    fn me(&self) -> CoordinatorId;

    /// How many shards the database has: fixed when it was created.
    fn count(&self) -> u8;

    /// Says that this coordinator lives, and answers with who runs what. `url` is where others reach its API; none if they cannot.
    ///
    /// # Errors
    /// The database does not answer: nothing is known, and others may take over.
    fn beat<'s>(&'s self, url: Option<&'s str>) -> BoxFuture<'s, Result<Standing, ReadError>>;

    /// Takes a shard if it is free, its owner is silent, or it is our own already; opens its store under a new epoch. `None` if somebody else has it.
    ///
    /// # Errors
    /// The database does not answer; the shard may have been taken, which the next claim repeats.
    fn claim(&self, shard: ShardId) -> BoxFuture<'_, Result<Option<Claim>, ReadError>>;

    /// Says that this coordinator goes, so that nobody waits for it or hands it anything. What it still holds stays its own until it is closed.
    fn leave(&self) -> BoxFuture<'_, ()>;

    /// The secret with which callback URLs are signed: 32 random bytes, drawn when the database was first opened and the same ever since, for
    /// every coordinator of this database. Whoever can read the database or its backups can finish open attempts of HTTP systems.
    fn callback_secret(&self) -> BoxFuture<'_, Result<[u8; 32], ReadError>>;

    /// What it is and how durable its commits are, for people.
    fn describe(&self) -> String;
}

/// A shard that was taken.
pub struct Claim {
    /// Its new epoch.
    pub epoch: Epoch,
    /// Its record. Closing it lets go of the shard.
    pub store: Arc<dyn Store>,
}

/// Who runs what, at one instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Every coordinator that lives, this one included, in a stable order.
    pub coordinators: Vec<Peer>,
    /// Every shard, by number.
    pub leases: Vec<Lease>,
}

/// A coordinator that lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Which one.
    pub id: CoordinatorId,
    /// Host and process, for people.
    pub name: String,
    /// Where its API is.
    pub url: Option<String>,
}

/// Who holds a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Which shard.
    pub shard: ShardId,
    /// Since which epoch.
    pub epoch: Epoch,
    /// The owner, if it lives; none if the shard may be taken.
    pub owner: Option<CoordinatorId>,
}
