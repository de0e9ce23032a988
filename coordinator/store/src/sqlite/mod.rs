//! SQLite: one file, one coordinator.
//!
//! `open.rs` takes the lock, migrates and proves durability; `writer.rs` is the one thread that writes; `checkpoint.rs` keeps the
//! write-ahead log short beside it; `read.rs` answers reads on a small pool of its own.

mod checkpoint;
mod letters;
mod lock;
mod open;
mod read;
mod sole;
mod sql;
mod writer;

pub use open::open;
pub use sole::Sole;

use crate::writer::Handle;
use futures::FutureExt;
use futures::future::BoxFuture;
use lock::Lock;
use sqlx::SqlitePool;
use std::sync::Mutex;
use std::thread::JoinHandle;
use tasker_engine::{Namespace, TaskId};
use tasker_runtime::port::store::{
    Batch, CommitError, DeadLetter, History, JournalRow, KeyUse, LetterFilter, LetterGroups, LetterSearch, MissedLetters, ReadError,
    Recovery, Search, Sequence, Store, TaskRow,
};
use tasker_telemetry::reading::Readings;

/// The first version without the bug that lets a reset of the write-ahead log damage it: as a number, and for people.
pub const VERSION_MIN: (i32, &str) = (3_051_003, "3.51.3");

/// A coordinator's record in a SQLite file.
pub struct SqliteStore {
    epoch: i64,
    writer: Handle,
    readers: SqlitePool,
    threads: Mutex<Option<Held>>,
}

/// What is given back when the store closes, in this order.
struct Held {
    writer: JoinHandle<()>,
    lock: Lock,
}

impl Store for SqliteStore {
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

    fn letters<'s>(&'s self, search: &'s LetterSearch) -> BoxFuture<'s, Result<Vec<DeadLetter>, ReadError>> {
        letters::page(&self.readers, search).boxed()
    }

    fn letter(&self, task: TaskId) -> BoxFuture<'_, Result<Option<DeadLetter>, ReadError>> {
        letters::one(&self.readers, task).boxed()
    }

    fn letter_groups<'s>(&'s self, filter: &'s LetterFilter) -> BoxFuture<'s, Result<LetterGroups, ReadError>> {
        letters::groups(&self.readers, filter).boxed()
    }

    fn letters_missed<'s>(&'s self, namespace: &'s Namespace) -> BoxFuture<'s, Result<Option<MissedLetters>, ReadError>> {
        letters::missed(&self.readers, namespace).boxed()
    }

    fn journal(&self, after: Sequence, limit: usize) -> BoxFuture<'_, Result<Vec<JournalRow>, ReadError>> {
        read::journal(&self.readers, after, limit).boxed()
    }

    /// Commits one small row, so that a full disk and a file system that became read-only are noticed before a task is.
    fn probe(&self) -> BoxFuture<'_, Result<(), ReadError>> {
        self.writer.probe().boxed()
    }

    fn measure(&self, readings: &mut Readings) {
        self.writer.measure(readings);
    }

    fn describe(&self) -> String {
        format!("sqlite {}, WAL, synchronous=FULL", rusqlite::version())
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {
            self.readers.close().await;
            self.writer.close().await;
            let held = self.threads.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
            if let Some(Held { writer, lock }) = held {
                if writer.join().is_err() {
                    tracing::error!("the database's writer thread panicked");
                }
                drop(lock);
            }
        }
        .boxed()
    }
}
