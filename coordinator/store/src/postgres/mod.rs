//! PostgreSQL: any number of coordinators share a database, each shard of it with one owner at a time.
//!
//! `open.rs` checks the server, migrates and proves durability; `ledger.rs` says who lives and who owns which shard; `writer.rs` is the one task
//! that writes a shard, on a session of its own; `read.rs` answers reads on a small pool. All need sessions of their own: a pooler in between must
//! not hand one session to several clients.

mod ledger;
mod letters;
mod open;
mod read;
mod sql;
mod writer;

pub use ledger::PostgresShards;
pub use open::{inspect, open, shards};

use crate::writer::Handle;
use futures::FutureExt;
use futures::future::BoxFuture;
use read::Reader;
use tasker_engine::{Namespace, TaskId};
use tasker_runtime::port::shards::Shards;
use tasker_runtime::port::store::{
    Batch, CommitError, DeadLetter, History, JournalRow, KeyUse, LetterFilter, LetterGroups, LetterSearch, MissedLetters, ReadError,
    Recovery, Search, Sequence, Store, TaskRow,
};
use tasker_telemetry::reading::Readings;

/// The oldest server that is tested and still maintained when this was written.
pub const VERSION_MIN: u32 = 13;

/// Somebody wanted to write where only reading was asked for.
#[derive(Debug, thiserror::Error)]
#[error("the database was opened to be looked at; nothing is written")]
struct OnlyLookedAt;

/// The record of one shard in a PostgreSQL database.
pub struct PostgresStore {
    /// None if it is only looked at.
    writer: Option<Handle>,
    reader: Reader,
    description: String,
    /// Of a store that was opened by itself: what keeps others away.
    alone: Option<Box<PostgresShards>>,
}

impl Store for PostgresStore {
    fn recover(&self) -> BoxFuture<'_, Result<Recovery, ReadError>> {
        read::recover(&self.reader).boxed()
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<(), CommitError>> {
        match &self.writer {
            Some(writer) => writer.commit(batch).boxed(),
            None => async { Err(CommitError::Unknown(OnlyLookedAt.into())) }.boxed(),
        }
    }

    fn history(&self, task: TaskId, last: Option<Sequence>) -> BoxFuture<'_, Result<Option<History>, ReadError>> {
        read::history(&self.reader, task, last).boxed()
    }

    fn histories<'s>(&'s self, heads: &'s [(TaskId, Sequence)]) -> BoxFuture<'s, Result<Vec<History>, ReadError>> {
        read::histories(&self.reader, heads).boxed()
    }

    fn find_key<'s>(&'s self, namespace: &'s Namespace, key: &'s str) -> BoxFuture<'s, Result<Option<KeyUse>, ReadError>> {
        read::find_key(&self.reader.pool, namespace, key).boxed()
    }

    fn search<'s>(&'s self, search: &'s Search) -> BoxFuture<'s, Result<Vec<TaskRow>, ReadError>> {
        read::search(&self.reader.pool, search).boxed()
    }

    fn task_row(&self, task: TaskId) -> BoxFuture<'_, Result<Option<TaskRow>, ReadError>> {
        read::task_row(&self.reader.pool, task).boxed()
    }

    fn letters<'s>(&'s self, search: &'s LetterSearch) -> BoxFuture<'s, Result<Vec<DeadLetter>, ReadError>> {
        letters::page(&self.reader.pool, search).boxed()
    }

    fn letter(&self, task: TaskId) -> BoxFuture<'_, Result<Option<DeadLetter>, ReadError>> {
        letters::one(&self.reader.pool, task).boxed()
    }

    fn letter_groups<'s>(&'s self, filter: &'s LetterFilter) -> BoxFuture<'s, Result<LetterGroups, ReadError>> {
        letters::groups(&self.reader.pool, filter).boxed()
    }

    fn letters_missed<'s>(&'s self, namespace: &'s Namespace) -> BoxFuture<'s, Result<Option<MissedLetters>, ReadError>> {
        letters::missed(&self.reader.pool, namespace).boxed()
    }

    fn journal(&self, after: Sequence, limit: usize) -> BoxFuture<'_, Result<Vec<JournalRow>, ReadError>> {
        read::journal(&self.reader, after, limit).boxed()
    }

    /// Commits one small row on the writer's connection, so that a lost lease, a lost connection and a full disk are noticed before a task is.
    fn probe(&self) -> BoxFuture<'_, Result<(), ReadError>> {
        match &self.writer {
            Some(writer) => writer.probe().boxed(),
            None => async { Err(ReadError::Database(OnlyLookedAt.into())) }.boxed(),
        }
    }

    fn measure(&self, readings: &mut Readings) {
        if let Some(writer) = &self.writer {
            writer.measure(readings);
        }
    }

    fn describe(&self) -> String {
        self.description.clone()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {
            // The pool is shared with the other shards; it closes with the last of them.
            if let Some(writer) = &self.writer {
                writer.close().await;
            }
            if let Some(alone) = &self.alone {
                alone.leave().await;
                self.reader.pool.close().await;
            }
        }
        .boxed()
    }
}
