//! Moves pages from the write-ahead log into the file beside the writer.
//!
//! A passive checkpoint never makes the writer wait, and on a thread of its own its fsyncs do not lie in any commit's way. But under load it never
//! catches up completely, and only a log that is fully moved starts again at its beginning. So past [`RESTART_PAGES`] the
//! writer itself, between two commits, moves the few pages that are left and starts the log over; nobody else ever restarts it.
//! It does so when the thread has just finished, or, past [`WAIT_PAGES`], waits for it: writing faster than the disk takes it in must end.

use rusqlite::Connection;
use std::cell::Cell;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::Duration;

/// New pages in the log after which the thread is woken: SQLite's own default.
const PASSIVE_PAGES: i32 = 1_000;

/// Pages in the log after which the writer starts it over: 64 MiB, about a second of commits at full speed.
const RESTART_PAGES: i32 = 16_384;

/// Pages in the log from which the writer waits for the thread's checkpoint instead of trying again after the next commit.
const WAIT_PAGES: i32 = 2 * RESTART_PAGES;

/// New pages after which a restart that a reader prevented is tried again.
const RETRY_PAGES: i32 = RESTART_PAGES / 4;

/// How long the restart waits for readers before it gives up until the log has grown again: it keeps the next commit waiting.
const RESTART_BUSY: Duration = Duration::from_millis(50);

thread_local! {
    /// Pages in the log after this thread's last commit. The hook is a bare function, and a writer has its thread for itself.
    static LOG_PAGES: Cell<i32> = const { Cell::new(0) };
}

/// The thread that moves pages.
pub struct Checkpointer {
    wake: SyncSender<()>,
    /// Held during each checkpoint: two at once would only refuse each other.
    turn: Arc<Mutex<()>>,
    thread: JoinHandle<()>,
}

/// Starts the thread on a connection of its own.
pub fn start(connection: Connection) -> std::io::Result<Checkpointer> {
    // One waiting wake-up says all there is to say.
    let (wake, woken) = sync_channel(1);
    let turn = Arc::new(Mutex::new(()));
    let its_turn = Arc::clone(&turn);
    let thread = std::thread::Builder::new().name("store-checkpoint".into()).spawn(move || run(&connection, &woken, &its_turn))?;
    Ok(Checkpointer { wake, turn, thread })
}

fn run(connection: &Connection, woken: &Receiver<()>, turn: &Mutex<()>) {
    while woken.recv().is_ok() {
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)") {
            // The log keeps everything and grows; if the disk is at fault, the next commit says so.
            tracing::warn!(error = %error, "the write-ahead log could not be moved into the database file");
        }
    }
}

/// Runs a checkpoint; says whether it was complete.
fn checkpoint(connection: &Connection, statement: &str) -> rusqlite::Result<bool> {
    connection.query_row(statement, (), |row| {
        let (busy, pages, moved): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(busy == 0 && pages == moved)
    })
}

/// The writer's side: counts the log's pages and decides who moves them.
pub struct Log {
    checkpointer: Checkpointer,
    woken_at: i32,
    restart_at: i32,
}

impl Log {
    /// Starts counting on the writer's connection. Call it on the writer's thread.
    pub fn new(connection: &Connection, checkpointer: Checkpointer) -> Self {
        connection.wal_hook(Some(|_, pages| {
            LOG_PAGES.set(pages);
            Ok(())
        }));
        Self { checkpointer, woken_at: 0, restart_at: RESTART_PAGES }
    }

    /// After a commit was answered.
    pub fn after_commit(&mut self, connection: &Connection) {
        let pages = LOG_PAGES.get();
        if pages < self.woken_at {
            // The log started over by itself: everything had been moved.
            self.woken_at = 0;
            self.restart_at = RESTART_PAGES;
        }
        if pages >= self.restart_at {
            self.restart(connection, pages);
        } else if pages - self.woken_at >= PASSIVE_PAGES {
            self.woken_at = pages;
            // A thread that is awake already needs no waking.
            let _ = self.checkpointer.wake.try_send(());
        }
    }

    fn restart(&mut self, connection: &Connection, pages: i32) {
        let turn = Arc::clone(&self.checkpointer.turn);
        let _turn = match turn.try_lock() {
            Ok(turn) => turn,
            // The thread is moving pages now; the fewer it leaves, the shorter the wait after it.
            Err(TryLockError::WouldBlock) if pages < WAIT_PAGES => return,
            Err(TryLockError::WouldBlock) => turn.lock().unwrap_or_else(PoisonError::into_inner),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        };
        let tried = connection.busy_timeout(RESTART_BUSY).and_then(|()| checkpoint(connection, "PRAGMA wal_checkpoint(RESTART)"));
        // However it went, the next commit has its usual patience again.
        let outcome = connection.busy_timeout(super::open::BUSY).and(tried);
        match outcome {
            Ok(true) => {
                self.woken_at = 0;
                self.restart_at = RESTART_PAGES;
            }
            // A reader is in the way; the thread goes on until the next try.
            Ok(false) => self.restart_at = pages.saturating_add(RETRY_PAGES),
            Err(error) => {
                tracing::warn!(error = %error, pages, "the write-ahead log could not be started over");
                self.restart_at = pages.saturating_add(RETRY_PAGES);
            }
        }
    }

    /// Ends the thread; whoever opens the file next finds the rest of the log.
    pub fn close(self) {
        drop(self.checkpointer.wake);
        if self.checkpointer.thread.join().is_err() {
            tracing::error!("the database's checkpoint thread panicked");
        }
    }
}
