//! Dead letters on PostgreSQL.

use crate::letters::{self, Bound, GroupColumns, LetterColumns, LetterDriver, MissedColumns, NotOpen, Settled, Start, filtered};
use crate::row::database;
use crate::writer::Failed;
use sqlx::PgPool;
use sqlx::postgres::PgConnection;
use tasker_engine::{Namespace, TaskId};
use tasker_runtime::port::store::{
    DeadLetter, LetterChanges, LetterFilter, LetterGroups, LetterSearch, LetterState, MissedLetters, ReadError,
};

macro_rules! columns {
    () => {
        "l.task, l.namespace, l.workflow, l.version, l.code, l.message, l.step, l.system, l.capability, l.failed_at, l.state, \
         l.requeued_to, l.settled_at, l.settled_by, l.settled_reason"
    };
}

macro_rules! conditions {
    () => {
        "l.namespace = $1
          AND ($2::text IS NULL OR l.state = $2)
          AND ($3::text IS NULL OR l.code = $3)
          AND ($4::text IS NULL OR l.workflow = $4)
          AND ($5::text IS NULL OR l.step = $5)
          AND ($6::text IS NULL OR l.system = $6)
          AND ($7::text IS NULL OR l.capability = $7)
          AND l.failed_at >= $8
          AND l.failed_at < $9"
    };
}

/// A page, driven by the condition whose index gives it in order; the condition is named in the order too, because the planner would sort
/// otherwise. $10 and $11 are where it starts.
macro_rules! page {
    ($driver:literal, $first:literal, $beyond:literal, $direction:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM dead_letters AS l WHERE ",
            $driver,
            " AND ",
            conditions!(),
            " AND (l.failed_at, l.task) ",
            $beyond,
            " ($10, $11) ORDER BY ",
            $first,
            "l.failed_at ",
            $direction,
            ", l.task ",
            $direction,
            " LIMIT $12"
        )
    };
}

const BY_CODE_NEWEST: &str = page!("l.code = $3", "l.namespace DESC, l.code DESC, ", "<", "DESC");
const BY_CODE_OLDEST: &str = page!("l.code = $3", "l.namespace, l.code, ", ">", "ASC");
const BY_STATE_NEWEST: &str = page!("l.state = $2", "l.namespace DESC, l.state DESC, ", "<", "DESC");
const BY_STATE_OLDEST: &str = page!("l.state = $2", "l.namespace, l.state, ", ">", "ASC");
const NEWEST: &str = page!("TRUE", "l.namespace DESC, ", "<", "DESC");
const OLDEST: &str = page!("TRUE", "l.namespace, ", ">", "ASC");

const ONE: &str = concat!("SELECT ", columns!(), " FROM dead_letters AS l WHERE l.task = $1");

/// Which codes are there, the most frequent first; and how many codes and letters are there in all?
const GROUPS: &str = concat!(
    "WITH counted AS (
        SELECT l.code, COUNT(*) AS count, MIN(l.failed_at) AS oldest, MAX(l.failed_at) AS newest, MAX(l.task) AS example
        FROM dead_letters AS l WHERE ",
    conditions!(),
    " GROUP BY l.code
    )
    SELECT c.code, c.count, c.oldest, c.newest, c.example, e.message, COUNT(*) OVER (), (SUM(c.count) OVER ())::bigint
    FROM counted AS c JOIN dead_letters AS e ON e.task = c.example
    ORDER BY c.count DESC, c.code LIMIT $10"
);

const MISSED: &str = "SELECT count, last_at FROM dead_letters_missed WHERE namespace = $1";

/// Which letters are open, for the one who may settle them?
pub const OPEN: &str = "SELECT task, namespace, code FROM dead_letters WHERE state = 'open' ORDER BY task";

const INSERT: &str =
    "INSERT INTO dead_letters (task, namespace, workflow, version, code, message, step, system, capability, failed_at, state)
    SELECT *, 'open' FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::text[], $8::text[],
        $9::text[], $10::bigint[])";

const SETTLE: &str = "UPDATE dead_letters AS l
    SET state = s.state, requeued_to = s.requeued_to, settled_at = s.at, settled_by = s.by, settled_reason = s.reason
    FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bytea[]) AS s (task, state, requeued_to, at, by, reason)
    WHERE l.task = s.task AND l.state = 'open'";

const MISS: &str = "INSERT INTO dead_letters_missed AS m (namespace, count, last_at) VALUES ($1, $2, $3)
    ON CONFLICT (namespace) DO UPDATE SET count = m.count + excluded.count, last_at = excluded.last_at";

const FORGET: &str = "DELETE FROM dead_letters WHERE task IN (
        SELECT task FROM dead_letters WHERE settled_at < $1 ORDER BY settled_at LIMIT $2
    )";

const FORGET_MISSED: &str = "DELETE FROM dead_letters_missed WHERE last_at < $1";

/// Makes changes durable, as part of a commit.
pub async fn write(connection: &mut PgConnection, changes: &LetterChanges) -> Result<(), Failed> {
    if !changes.opened.is_empty() {
        insert(connection, &changes.opened).await?;
    }
    if !changes.settled.is_empty() {
        settle(connection, &changes.settled).await?;
    }
    for (namespace, (count, last_at)) in &changes.missed {
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        sqlx::query(MISS).bind(namespace.as_str()).bind(count).bind(last_at.as_millis()).execute(&mut *connection).await?;
    }
    if let Some(before) = changes.forget_before {
        let most = DeadLetter::FORGOTTEN_PER_COMMIT as i64;
        sqlx::query(FORGET).bind(before.as_millis()).bind(most).execute(&mut *connection).await?;
        sqlx::query(FORGET_MISSED).bind(before.as_millis()).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn insert(connection: &mut PgConnection, opened: &[DeadLetter]) -> Result<(), sqlx::Error> {
    fn column<'r, T>(letters: &'r [DeadLetter], pick: impl Fn(&'r DeadLetter) -> T) -> Vec<T> {
        letters.iter().map(pick).collect()
    }
    sqlx::query(INSERT)
        .bind(column(opened, |letter| letter.task.as_number()))
        .bind(column(opened, |letter| letter.namespace.as_str()))
        .bind(column(opened, |letter| letter.workflow.as_str()))
        .bind(column(opened, |letter| letter.version.as_str()))
        .bind(column(opened, |letter| letter.code.as_str()))
        .bind(column(opened, |letter| letter.message.as_bytes()))
        .bind(column(opened, |letter| letter.step.as_ref().map(|name| name.as_str())))
        .bind(column(opened, |letter| letter.system.as_ref().map(|name| name.as_str())))
        .bind(column(opened, |letter| letter.capability.as_ref().map(|name| name.as_str())))
        .bind(column(opened, |letter| letter.failed_at.as_millis()))
        .execute(connection)
        .await?;
    Ok(())
}

async fn settle(connection: &mut PgConnection, settled: &[(TaskId, LetterState)]) -> Result<(), Failed> {
    let rows: Vec<(i64, Settled<'_>)> = settled.iter().map(|(task, state)| (task.as_number(), Settled::of(state))).collect();
    let done = sqlx::query(SETTLE)
        .bind(rows.iter().map(|(task, _)| *task).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.state).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.requeued_to).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.at).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.by.map(str::as_bytes)).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.reason.map(str::as_bytes)).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    if done.rows_affected() == rows.len() as u64 { Ok(()) } else { Err(NotOpen.into()) }
}

pub async fn page(pool: &PgPool, search: &LetterSearch) -> Result<Vec<DeadLetter>, ReadError> {
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

pub async fn one(pool: &PgPool, task: TaskId) -> Result<Option<DeadLetter>, ReadError> {
    let found = sqlx::query_as::<_, LetterColumns>(ONE).bind(task.as_number()).fetch_optional(pool).await.map_err(database)?;
    found.map(letters::letter).transpose()
}

pub async fn groups(pool: &PgPool, filter: &LetterFilter) -> Result<LetterGroups, ReadError> {
    let bound = Bound::of(filter);
    let query = sqlx::query_as::<_, GroupColumns>(GROUPS);
    let query = filtered!(query, bound).bind(LetterGroups::GROUPS_MAX as i64);
    let rows = query.fetch_all(pool).await.map_err(database)?;
    letters::groups(rows)
}

pub async fn missed(pool: &PgPool, namespace: &Namespace) -> Result<Option<MissedLetters>, ReadError> {
    let found = sqlx::query_as::<_, MissedColumns>(MISSED).bind(namespace.as_str()).fetch_optional(pool).await.map_err(database)?;
    found.map(letters::missed).transpose()
}
