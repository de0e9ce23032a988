//! The only shard of a file, and its only coordinator: the operating system's lock has seen to that before anything is asked here.

use super::{SqliteStore, read};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tasker_engine::ShardId;
use tasker_runtime::port::shards::{Claim, CoordinatorId, Lease, Peer, Shards, Standing};
use tasker_runtime::port::store::{ReadError, Store};

/// Whoever has opened the file.
const ME: CoordinatorId = CoordinatorId(1);

/// The shards of a SQLite file: one, taken once.
pub struct Sole {
    store: Arc<SqliteStore>,
    holder: String,
    taken: AtomicBool,
}

impl Sole {
    /// Of a file that has been opened.
    pub fn new(store: SqliteStore, holder: String) -> Self {
        Self { store: Arc::new(store), holder, taken: AtomicBool::new(false) }
    }
}

impl Shards for Sole {
    fn me(&self) -> CoordinatorId {
        ME
    }

    fn count(&self) -> u8 {
        1
    }

    fn beat<'s>(&'s self, url: Option<&'s str>) -> BoxFuture<'s, Result<Standing, ReadError>> {
        let owner = self.taken.load(Ordering::Relaxed).then_some(ME);
        let me = Peer { id: ME, name: self.holder.clone(), url: url.map(str::to_owned) };
        let lease = Lease { shard: ShardId::default(), epoch: self.store.epoch, owner };
        async move { Ok(Standing { coordinators: vec![me], leases: vec![lease] }) }.boxed()
    }

    /// A loop that has ended takes the process with it, so there is no second claim.
    fn claim(&self, _: ShardId) -> BoxFuture<'_, Result<Option<Claim>, ReadError>> {
        let free = !self.taken.swap(true, Ordering::Relaxed);
        let claim = free.then(|| Claim { epoch: self.store.epoch, store: self.store.clone() });
        async move { Ok(claim) }.boxed()
    }

    fn leave(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }

    fn callback_secret(&self) -> BoxFuture<'_, Result<[u8; 32], ReadError>> {
        read::callback_secret(&self.store.readers).boxed()
    }

    fn describe(&self) -> String {
        self.store.describe()
    }
}
