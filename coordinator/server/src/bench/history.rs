//! A long history, made of copies: the rows of a task that has run are stored again and again under ids of their own.
//!
//! They go through the same port, in batches such as the coordinator commits, so that the tables and their trees are what years of
//! operation leave behind; only the work of deciding is saved.

use super::progress::Progress;
use super::shape::Shape;
use anyhow::Context;
use std::sync::Arc;
use tasker_engine::event::Event;
use tasker_engine::{ShardId, TaskId};
use tasker_runtime::port::store::{Batch, JournalRow, Sequence, Store, TaskRow};

/// Rows in one commit: large, because nobody waits for the answer.
const ROWS_PER_COMMIT: usize = 4_000;

/// Rows read to find a task that has ended: its rows stand among those of the tasks beside it.
const ROWS_READ: usize = 20_000;

/// A task that has run from its acceptance to its end.
struct Model {
    rows: Vec<JournalRow>,
    task: TaskRow,
}

/// Stores copies of a finished task until there are so many more steps; gives how many.
pub async fn repeat(store: &dyn Store, shape: Shape, steps: usize) -> anyhow::Result<usize> {
    let model = model(store).await?;
    let recovered = store.recover().await.context("[store.unreadable]")?;
    let shard = model.task.id.shard();
    let task = recovered.last_task.unwrap_or(model.task.id);
    let mut writer = Writer { store, batch: Batch::default(), last: recovered.last, task, shard };
    let copies = steps.div_ceil(shape.steps().max(1));
    let mut progress = Progress::new("tasks stored", copies);
    for copy in 0..copies {
        writer.put(&model).await?;
        progress.at(copy + 1);
    }
    writer.commit().await?;
    Ok(copies * shape.steps().max(1))
}

/// The first task of the journal that has ended, with all its rows.
async fn model(store: &dyn Store) -> anyhow::Result<Model> {
    let missing = "[bench.failed]: the first run left no finished task to copy";
    let rows = store.journal(0, ROWS_READ).await.context("[store.unreadable]")?;
    let ended =
        rows.iter().find(|row| row.entry.events.iter().any(|event| matches!(event, Event::TaskSucceeded { .. }))).context(missing)?;
    let id = ended.entry.task;
    let history = store.history(id, None).await.context("[store.unreadable]")?.context(missing)?;
    let task = store.task_row(id).await.context("[store.unreadable]")?.context(missing)?;
    Ok(Model { rows: history.rows, task })
}

struct Writer<'s> {
    store: &'s dyn Store,
    batch: Batch,
    last: Sequence,
    task: TaskId,
    shard: ShardId,
}

impl Writer<'_> {
    async fn put(&mut self, model: &Model) -> anyhow::Result<()> {
        self.task = self.task.following(model.task.accepted_at, self.shard);
        let mut previous = 0;
        for row in &model.rows {
            self.last += 1;
            let mut entry = (*row.entry).clone();
            entry.task = self.task;
            self.batch.journal.push(JournalRow { sequence: self.last, previous, entry: Arc::new(entry) });
            previous = self.last;
        }
        self.batch.tasks.push(TaskRow { id: self.task, last: self.last, ..model.task.clone() });
        if self.batch.journal.len() >= ROWS_PER_COMMIT { self.commit().await } else { Ok(()) }
    }

    async fn commit(&mut self) -> anyhow::Result<()> {
        self.batch.projected_to = Some(self.last);
        let batch = std::mem::take(&mut self.batch);
        self.store.commit(batch).await.context("[store.commit_failed]: the copies could not be stored")
    }
}
