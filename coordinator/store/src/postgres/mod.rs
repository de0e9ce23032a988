//! PostgreSQL: one coordinator at a time, on a server that others may share.
//!
//! `open.rs` takes the lease, migrates and proves durability; `writer.rs` is the one task that writes, on the connection whose session
//! holds the lease; `read.rs` answers reads on a small pool of its own. Both need a session of their own: a pooler in between must not
//! hand one session to several clients.

mod open;
mod read;
mod sql;
mod writer;

pub use open::open;

use crate::writer::Handle;
use futures::FutureExt;
use futures::future::BoxFuture;
use sqlx::PgPool;
use tasker_engine::{Namespace, TaskId};
use tasker_runtime::port::store::{Batch, CommitError, History, JournalRow, KeyUse, ReadError, Recovery, Search, Sequence, Store, TaskRow};
use tasker_telemetry::reading::Readings;

/// The oldest server that is tested and still maintained when this was written.
pub const VERSION_MIN: u32 = 13;

/// A coordinator's record in a PostgreSQL database.
pub struct PostgresStore {
    writer: Handle,
    readers: PgPool,
    description: String,
}

impl Store for PostgresStore {
    fn recover(&self) -> BoxFuture<'_, Result<Recovery, ReadError>> {
        read::recover(&self.readers).boxed()
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<(), CommitError>> {
        self.writer.commit(batch).boxed()
    }

    fn history(&self, task: TaskId, last: Option<Sequence>) -> BoxFuture<'_, Result<Option<History>, ReadError>> {
        read::history(&self.readers, task, last).boxed()
    }

    fn histories<'s>(&'s self, heads: &'s [(TaskId, Sequence)]) -> BoxFuture<'s, Result<Vec<History>, ReadError>> {
        read::histories(&self.readers, heads).boxed()
    }

    fn find_key<'s>(&'s self, namespace: &'s Namespace, key: &'s str) -> BoxFuture<'s, Result<Option<KeyUse>, ReadError>> {
        read::find_key(&self.readers, namespace, key).boxed()
    }

    fn search<'s>(&'s self, search: &'s Search) -> BoxFuture<'s, Result<Vec<TaskRow>, ReadError>> {
        read::search(&self.readers, search).boxed()
    }

    fn task_row(&self, task: TaskId) -> BoxFuture<'_, Result<Option<TaskRow>, ReadError>> {
        read::task_row(&self.readers, task).boxed()
    }

    fn journal(&self, after: Sequence, limit: usize) -> BoxFuture<'_, Result<Vec<JournalRow>, ReadError>> {
        read::journal(&self.readers, after, limit).boxed()
    }

    fn callback_secret(&self) -> BoxFuture<'_, Result<[u8; 32], ReadError>> {
        read::callback_secret(&self.readers).boxed()
    }

    /// Commits one small row on the writer's connection, so that a lost lease, a lost connection and a full disk are noticed before a task is.
    fn probe(&self) -> BoxFuture<'_, Result<(), ReadError>> {
        self.writer.probe().boxed()
    }

    fn measure(&self, readings: &mut Readings) {
        self.writer.measure(readings);
    }

    fn describe(&self) -> String {
        self.description.clone()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {
            self.readers.close().await;
            self.writer.close().await;
        }
        .boxed()
    }
}
