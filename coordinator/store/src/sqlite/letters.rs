//! Dead letters on SQLite.

use crate::letters::{self, Bound, GroupColumns, LetterColumns, LetterDriver, MissedColumns, NotOpen, Settled, Start, filtered};
use crate::row::database;
use crate::writer::Failed;
use rusqlite::{Transaction, params};
use sqlx::SqlitePool;
use tasker_engine::{Namespace, TaskId};
use tasker_runtime::port::store::{DeadLetter, LetterChanges, LetterFilter, LetterGroups, LetterSearch, MissedLetters, ReadError};

macro_rules! columns {
    () => {
        "l.task, l.namespace, l.workflow, l.version, l.code, CAST(l.message AS BLOB), l.step, l.system, l.capability, l.failed_at, l.state, \
         l.requeued_to, l.settled_at, CAST(l.settled_by AS BLOB), CAST(l.settled_reason AS BLOB)"
    };
}

macro_rules! conditions {
    () => {
        "l.namespace = ?1
          AND (?2 IS NULL OR l.state = ?2)
          AND (?3 IS NULL OR l.code = ?3)
          AND (?4 IS NULL OR l.workflow = ?4)
          AND (?5 IS NULL OR l.step = ?5)
          AND (?6 IS NULL OR l.system = ?6)
          AND (?7 IS NULL OR l.capability = ?7)
          AND l.failed_at >= ?8
          AND l.failed_at < ?9"
    };
}

/// A page, by the index that gives it in order. ?10 and ?11 are where it starts.
macro_rules! page {
    ($index:literal, $driver:literal, $beyond:literal, $direction:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM dead_letters AS l INDEXED BY ",
            $index,
            " WHERE ",
            $driver,
            " AND ",
            conditions!(),
            " AND (l.failed_at, l.task) ",
            $beyond,
            " (?10, ?11) ORDER BY l.failed_at ",
            $direction,
            ", l.task ",
            $direction,
            " LIMIT ?12"
        )
    };
}

const BY_CODE_NEWEST: &str = page!("dead_letters_by_code", "l.code = ?3", "<", "DESC");
const BY_CODE_OLDEST: &str = page!("dead_letters_by_code", "l.code = ?3", ">", "ASC");
const BY_STATE_NEWEST: &str = page!("dead_letters_by_state", "l.state = ?2", "<", "DESC");
const BY_STATE_OLDEST: &str = page!("dead_letters_by_state", "l.state = ?2", ">", "ASC");
const NEWEST: &str = page!("dead_letters_by_failure", "TRUE", "<", "DESC");
const OLDEST: &str = page!("dead_letters_by_failure", "TRUE", ">", "ASC");

const ONE: &str = concat!("SELECT ", columns!(), " FROM dead_letters AS l WHERE l.task = ?1");

/// Which codes are there, the most frequent first; and how many codes and letters are there in all?
const GROUPS: &str = concat!(
    "WITH counted AS (
        SELECT l.code, COUNT(*) AS count, MIN(l.failed_at) AS oldest, MAX(l.failed_at) AS newest, MAX(l.task) AS example
        FROM dead_letters AS l WHERE ",
    conditions!(),
    " GROUP BY l.code
    )
    SELECT c.code, c.count, c.oldest, c.newest, c.example, CAST(e.message AS BLOB), COUNT(*) OVER (), SUM(c.count) OVER ()
    FROM counted AS c CROSS JOIN dead_letters AS e ON e.task = c.example
    ORDER BY c.count DESC, c.code LIMIT ?10"
);

const MISSED: &str = "SELECT count, last_at FROM dead_letters_missed WHERE namespace = ?1";

/// Which letters are open, for the one who may settle them?
pub const OPEN: &str = "SELECT task, namespace, code FROM dead_letters WHERE state = 'open' ORDER BY task";

/// Makes changes durable, as part of a commit.
pub fn write(transaction: &Transaction<'_>, changes: &LetterChanges) -> Result<(), Failed> {
    for letter in &changes.opened {
        transaction
            .prepare_cached(
                "INSERT INTO dead_letters (task, namespace, workflow, version, code, message, step, system, capability, failed_at, state)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'open')",
            )?
            .execute(params![
                letter.task.as_number(),
                letter.namespace.as_str(),
                letter.workflow.as_str(),
                letter.version.as_str(),
                letter.code,
                letter.message,
                letter.step.as_ref().map(|name| name.as_str()),
                letter.system.as_ref().map(|name| name.as_str()),
                letter.capability.as_ref().map(|name| name.as_str()),
                letter.failed_at.as_millis()
            ])?;
    }
    for (task, state) in &changes.settled {
        let settled = Settled::of(state);
        let changed = transaction
            .prepare_cached(
                "UPDATE dead_letters SET state = ?2, requeued_to = ?3, settled_at = ?4, settled_by = ?5, settled_reason = ?6
                 WHERE task = ?1 AND state = 'open'",
            )?
            .execute(params![task.as_number(), settled.state, settled.requeued_to, settled.at, settled.by, settled.reason])?;
        if changed == 0 {
            return Err(NotOpen.into());
        }
    }
    for (namespace, (count, last_at)) in &changes.missed {
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        transaction
            .prepare_cached(
                "INSERT INTO dead_letters_missed (namespace, count, last_at) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET count = count + excluded.count, last_at = excluded.last_at",
            )?
            .execute(params![namespace.as_str(), count, last_at.as_millis()])?;
    }
    if let Some(before) = changes.forget_before {
        transaction
            .prepare_cached(
                "DELETE FROM dead_letters WHERE task IN (
                    SELECT task FROM dead_letters WHERE settled_at < ?1 ORDER BY settled_at LIMIT ?2
                 )",
            )?
            .execute(params![before.as_millis(), DeadLetter::FORGOTTEN_PER_COMMIT as i64])?;
        transaction.prepare_cached("DELETE FROM dead_letters_missed WHERE last_at < ?1")?.execute([before.as_millis()])?;
    }
    Ok(())
}

pub async fn page(pool: &SqlitePool, search: &LetterSearch) -> Result<Vec<DeadLetter>, ReadError> {
    let statement = match (LetterDriver::of(&search.filter), search.newest_first) {
        (LetterDriver::Code, true) => BY_CODE_NEWEST,
        (LetterDriver::Code, false) => BY_CODE_OLDEST,
        (LetterDriver::State, true) => BY_STATE_NEWEST,
        (LetterDriver::State, false) => BY_STATE_OLDEST,
        (LetterDriver::Namespace, true) => NEWEST,
        (LetterDriver::Namespace, false) => OLDEST,
    };
    let (bound, start) = (Bound::of(&search.filter), Start::of(search));
    let query = sqlx::query_as::<_, LetterColumns>(statement);
    let query = filtered!(query, bound).bind(start.failed_at).bind(start.task).bind(start.limit);
    let rows = query.fetch_all(pool).await.map_err(database)?;
    rows.into_iter().map(letters::letter).collect()
}

pub async fn one(pool: &SqlitePool, task: TaskId) -> Result<Option<DeadLetter>, ReadError> {
    let found = sqlx::query_as::<_, LetterColumns>(ONE).bind(task.as_number()).fetch_optional(pool).await.map_err(database)?;
    found.map(letters::letter).transpose()
}

pub async fn groups(pool: &SqlitePool, filter: &LetterFilter) -> Result<LetterGroups, ReadError> {
    let bound = Bound::of(filter);
    let query = sqlx::query_as::<_, GroupColumns>(GROUPS);
    let query = filtered!(query, bound).bind(LetterGroups::GROUPS_MAX as i64);
    let rows = query.fetch_all(pool).await.map_err(database)?;
    letters::groups(rows)
}

pub async fn missed(pool: &SqlitePool, namespace: &Namespace) -> Result<Option<MissedLetters>, ReadError> {
    let found = sqlx::query_as::<_, MissedColumns>(MISSED).bind(namespace.as_str()).fetch_optional(pool).await.map_err(database)?;
    found.map(letters::missed).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use sqlx::AssertSqlSafe;

    /// Pages must come from an index in order: a sort would read everything that fits before it gives the first row.
    #[tokio::test]
    async fn no_page_of_dead_letters_is_sorted() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = super::super::open(&directory.path().join("plans.db"), &Options::new("plans")).await.expect("opens");
        for (page, index) in [
            (BY_CODE_NEWEST, "dead_letters_by_code (namespace=? AND code=?"),
            (BY_CODE_OLDEST, "dead_letters_by_code (namespace=? AND code=?"),
            (BY_STATE_NEWEST, "dead_letters_by_state (namespace=? AND state=?"),
            (BY_STATE_OLDEST, "dead_letters_by_state (namespace=? AND state=?"),
            (NEWEST, "dead_letters_by_failure (namespace=?"),
            (OLDEST, "dead_letters_by_failure (namespace=?"),
        ] {
            let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {page}"));
            let lines: Vec<(i64, i64, i64, String)> = sqlx::query_as(explain).fetch_all(&store.readers).await.expect("explains");
            let plan: String = lines.into_iter().map(|(.., line)| line + "\n").collect();
            assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{page}\n{plan}");
        }
    }
}
