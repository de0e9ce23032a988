//! Reads, on connections that cannot write.

use super::{letters, sql};
use crate::chain::{Chain, PAGE_ROWS, TOGETHER_ROWS_MAX, Together};
use crate::row::{self, CALLBACKS, JournalColumns, TaskColumns, database, task_id};
use crate::search::{Bound, Driver, LABEL_COUNT_MAX, merge};
use crate::tail::{ASKED_MAX, Tail};
use futures::TryStreamExt;
use sqlx::SqlitePool;
use std::collections::HashMap;
use tasker_engine::{Namespace, TaskId};
use tasker_runtime::port::store::{History, JournalRow, KeyUse, ReadError, Recovery, Search, Sequence, TaskRow};

pub async fn recover(pool: &SqlitePool) -> Result<Recovery, ReadError> {
    let (last, last_task, projected_to): (i64, Option<i64>, i64) = sqlx::query_as(sql::ENDS).fetch_one(pool).await.map_err(database)?;
    let mut tail = Tail::default();
    {
        let mut running = sqlx::query_as::<_, (i64, i64, bool)>(sql::RUNNING).fetch(pool);
        while let Some((task, place, waits)) = running.try_next().await.map_err(database)? {
            tail.running(task, place, waits);
        }
    }
    {
        let mut rows = sqlx::query_as::<_, JournalColumns>(sql::TAIL).fetch(pool);
        while let Some((sequence, task, previous, checksum, entry)) = rows.try_next().await.map_err(database)? {
            tail.row(sequence, task, previous, checksum, &entry)?;
        }
    }
    let mut standings = HashMap::new();
    for asked in tail.questions().chunks(ASKED_MAX) {
        let asked = serde_json::to_string(asked).expect("numbers are always JSON");
        let rows: Vec<(i64, String, i64)> = sqlx::query_as(sql::STANDINGS).bind(asked).fetch_all(pool).await.map_err(database)?;
        standings.extend(rows.into_iter().map(|(id, status, last)| (id, (status, last))));
    }
    let last_task = last_task.max(tail.last_task).map(task_id).transpose()?;
    let sorted = tail.sort(&standings)?;
    Ok(Recovery {
        last,
        last_task,
        projected_to,
        active: sorted.active,
        finished_unprojected: sorted.finished_unprojected,
        workflows: all(pool, sql::WORKFLOWS, row::workflow_row).await?,
        contracts: all(pool, sql::CONTRACTS, row::contract).await?,
        systems: all(pool, sql::SYSTEMS, row::system_row).await?,
        capabilities: all(pool, sql::CAPABILITIES, row::capability_row).await?,
        events: all(pool, sql::EVENTS, row::kept_event).await?,
        workflow_pauses: all(pool, sql::PAUSES, row::workflow_pause).await?,
        open_letters: all(pool, letters::OPEN, crate::letters::open_letter).await?,
    })
}

/// Every row of a small table.
async fn all<C, T>(pool: &SqlitePool, query: &'static str, word: impl Fn(C) -> Result<T, ReadError>) -> Result<Vec<T>, ReadError>
where
    C: for<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow> + Send + Unpin,
{
    let rows: Vec<C> = sqlx::query_as(query).fetch_all(pool).await.map_err(database)?;
    rows.into_iter().map(word).collect()
}

pub async fn history(pool: &SqlitePool, task: TaskId, last: Option<Sequence>) -> Result<Option<History>, ReadError> {
    let last = match last {
        Some(last) => Some(last),
        None => {
            let (row, tail): (Option<i64>, Option<i64>) =
                sqlx::query_as(sql::HEAD).bind(task.as_number()).fetch_one(pool).await.map_err(database)?;
            row.max(tail)
        }
    };
    let Some(last) = last else { return Ok(None) };
    let mut chain = Chain::new(task, last);
    while let Some(next) = chain.next() {
        let page: Vec<JournalColumns> = sqlx::query_as(sql::CHAIN).bind(next).bind(PAGE_ROWS).fetch_all(pool).await.map_err(database)?;
        chain.extend(page)?;
    }
    chain.finish().map(Some)
}

pub async fn histories(pool: &SqlitePool, heads: &[(TaskId, Sequence)]) -> Result<Vec<History>, ReadError> {
    let mut asked = heads;
    while asked.len() > 1 {
        if let Some(found) = together(pool, asked).await? {
            return found.finish(asked);
        }
        asked = &asked[..asked.len() / 2];
    }
    let Some((task, last)) = asked.first() else { return Ok(Vec::new()) };
    Ok(history(pool, *task, Some(*last)).await?.into_iter().collect())
}

/// The rows of these tasks; none if they are too many to be read together.
async fn together(pool: &SqlitePool, heads: &[(TaskId, Sequence)]) -> Result<Option<Together>, ReadError> {
    let places: Vec<Sequence> = heads.iter().map(|(_, last)| *last).collect();
    let places = serde_json::to_string(&places).expect("numbers are always JSON");
    let mut rows = sqlx::query_as::<_, JournalColumns>(sql::CHAINS).bind(places).bind(TOGETHER_ROWS_MAX).fetch(pool);
    let mut found = Together::default();
    while let Some(columns) = rows.try_next().await.map_err(database)? {
        if !found.take(columns) {
            return Ok(None);
        }
    }
    Ok(Some(found))
}

pub async fn find_key(pool: &SqlitePool, namespace: &Namespace, key: &str) -> Result<Option<KeyUse>, ReadError> {
    let found = sqlx::query_as(sql::FIND_KEY).bind(namespace.as_str()).bind(key).fetch_optional(pool).await.map_err(database)?;
    found.map(|columns| row::key_use(namespace, key, columns)).transpose()
}

pub async fn task_row(pool: &SqlitePool, task: TaskId) -> Result<Option<TaskRow>, ReadError> {
    let found = sqlx::query_as(sql::TASK_ROW).bind(task.as_number()).fetch_optional(pool).await.map_err(database)?;
    found.map(row::task_row).transpose()
}

pub async fn journal(pool: &SqlitePool, after: Sequence, limit: usize) -> Result<Vec<JournalRow>, ReadError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows: Vec<JournalColumns> = sqlx::query_as(sql::JOURNAL).bind(after).bind(limit).fetch_all(pool).await.map_err(database)?;
    rows.into_iter().map(row::journal_row).collect()
}

pub async fn search(pool: &SqlitePool, search: &Search) -> Result<Vec<TaskRow>, ReadError> {
    let bound = Bound::of(search);
    match Driver::of(search) {
        Driver::Namespace => page(pool, sql::SEARCH_NAMESPACE, &bound, &[]).await,
        Driver::Workflow => page(pool, sql::SEARCH_WORKFLOW, &bound, &[]).await,
        Driver::ErrorCode => page(pool, sql::SEARCH_ERROR_CODE, &bound, &[]).await,
        Driver::Parent => page(pool, sql::SEARCH_PARENT, &bound, &[&bound.labels]).await,
        Driver::Waiting(waits) => {
            let mut pages = Vec::new();
            for wait in waits {
                pages.push(page(pool, sql::search_waiting(wait), &bound, &[]).await?);
            }
            Ok(merge(pages, bound.limit))
        }
        Driver::Statuses(statuses) => {
            let mut pages = Vec::new();
            for status in statuses {
                pages.push(page(pool, sql::SEARCH_STATUS, &bound, &[status.as_str()]).await?);
            }
            Ok(merge(pages, bound.limit))
        }
        Driver::Label => {
            let rarest = rarest_label(pool, &bound).await?;
            let (name, value) = (&bound.label_names[rarest], &bound.label_values[rarest]);
            page(pool, sql::SEARCH_LABEL, &bound, &[name, value, &bound.labels]).await
        }
    }
}

/// One page from one driver; `extra` is what that driver's statement takes beyond the conditions.
async fn page(pool: &SqlitePool, query: &'static str, bound: &Bound, extra: &[&str]) -> Result<Vec<TaskRow>, ReadError> {
    let statuses = bound.statuses.as_ref().map(|words| serde_json::to_string(words).expect("texts are always JSON"));
    let mut query = sqlx::query_as::<_, TaskColumns>(query)
        .bind(&bound.namespace)
        .bind(bound.id_max)
        .bind(statuses)
        .bind(&bound.workflow)
        .bind(&bound.error_code)
        .bind(bound.accepted_from)
        .bind(bound.accepted_before)
        .bind(bound.limit)
        .bind(bound.parent)
        .bind(bound.waiting);
    for text in extra {
        query = query.bind((*text).to_owned());
    }
    let rows = query.fetch_all(pool).await.map_err(database)?;
    rows.into_iter().map(row::task_row).collect()
}

/// Which of the labels the fewest tasks have.
async fn rarest_label(pool: &SqlitePool, bound: &Bound) -> Result<usize, ReadError> {
    let mut rarest = (i64::MAX, 0);
    if bound.label_names.len() == 1 {
        return Ok(0);
    }
    for (place, (name, value)) in bound.label_names.iter().zip(&bound.label_values).enumerate() {
        let (count,): (i64,) = sqlx::query_as(sql::COUNT_LABEL)
            .bind(&bound.namespace)
            .bind(name)
            .bind(value)
            .bind(LABEL_COUNT_MAX)
            .fetch_one(pool)
            .await
            .map_err(database)?;
        rarest = rarest.min((count, place));
    }
    Ok(rarest.1)
}

pub async fn callback_secret(pool: &SqlitePool) -> Result<[u8; 32], ReadError> {
    let (secret,): (Vec<u8>,) = sqlx::query_as(sql::SECRET).bind(CALLBACKS).fetch_one(pool).await.map_err(database)?;
    secret.try_into().map_err(|_| ReadError::Damaged("the secret of callbacks does not have 32 bytes".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use sqlx::AssertSqlSafe;
    use tasker_runtime::port::store::WaitingFor;

    /// Pages must come from an index in order: a sort would read everything that fits before it gives the first row.
    #[tokio::test]
    async fn no_search_sorts_and_none_reads_the_whole_table() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = super::super::open(&directory.path().join("plans.db"), &Options::new("plans")).await.expect("opens");
        let searches = [
            (sql::SEARCH_NAMESPACE, "tasks_by_namespace (namespace=? AND id<?)"),
            (sql::SEARCH_WORKFLOW, "tasks_by_workflow (namespace=? AND workflow=? AND id<?)"),
            (sql::SEARCH_ERROR_CODE, "tasks_by_error_code (namespace=? AND error_code=? AND id<?)"),
            (sql::SEARCH_STATUS, "tasks_by_status (status=? AND namespace=? AND id<?)"),
            (sql::SEARCH_PARENT, "tasks_by_parent (parent=? AND id<?)"),
            (sql::search_waiting(WaitingFor::Approval), "tasks_by_approval (namespace=? AND id<?)"),
            (sql::search_waiting(WaitingFor::Held), "tasks_by_held (namespace=? AND id<?)"),
            (sql::search_waiting(WaitingFor::Signal), "tasks_by_signal (namespace=? AND id<?)"),
            (sql::search_waiting(WaitingFor::Event), "tasks_by_event (namespace=? AND id<?)"),
            (sql::search_waiting(WaitingFor::Sleep), "tasks_by_sleep (namespace=? AND id<?)"),
            (sql::search_waiting(WaitingFor::Paused), "tasks_by_paused (namespace=? AND id<?)"),
            (sql::SEARCH_LABEL, "PRIMARY KEY (namespace=? AND name=? AND value=? AND task<?)"),
        ];
        for (search, index) in searches {
            let plan = plan(&store.readers, search).await;
            assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{search}\n{plan}");
        }
        for (question, index) in [(sql::RUNNING, "tasks_by_status (status=?)"), (sql::TAIL, "(rowid>?)"), (sql::CHAIN, "(rowid=?)")] {
            let plan = plan(&store.readers, question).await;
            assert!(plan.contains(index), "{question}\n{plan}");
        }
    }

    async fn plan(pool: &SqlitePool, query: &str) -> String {
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}"));
        let lines: Vec<(i64, i64, i64, String)> = sqlx::query_as(explain).fetch_all(pool).await.expect("explains");
        lines.into_iter().map(|(.., line)| line + "\n").collect()
    }
}
