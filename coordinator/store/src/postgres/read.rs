//! Reads, on connections that cannot write.

use super::{letters, sql};
use crate::chain::{Chain, PAGE_ROWS, TOGETHER_ROWS_MAX, Together};
use crate::row::{self, CALLBACKS, JournalColumns, TaskColumns, database, task_id};
use crate::search::{Bound, Driver, LABEL_COUNT_MAX, merge};
use crate::tail::{ASKED_MAX, Tail};
use futures::TryStreamExt;
use sqlx::postgres::PgArguments;
use sqlx::query::QueryAs;
use sqlx::{PgPool, Postgres};
use std::collections::HashMap;
use tasker_engine::{Namespace, ShardId, TaskId};
use tasker_runtime::port::store::{History, JournalRow, KeyUse, ReadError, Recovery, Search, Sequence, TaskRow};

/// Reads one shard.
#[derive(Clone)]
pub struct Reader {
    pub pool: PgPool,
    pub shard: ShardId,
    /// How many shards there are.
    pub count: u8,
}

impl Reader {
    /// The shard as its column has it.
    fn number(&self) -> i16 {
        i16::from(self.shard.0)
    }

    /// Whether a tenant lives in this shard.
    fn is_home_of(&self, namespace: &Namespace) -> bool {
        ShardId::of(namespace, self.count) == self.shard
    }
}

/// Whether reading works.
pub async fn check(pool: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query(sql::LAYOUT).execute(pool).await.map(|_| ())
}

pub async fn recover(reader: &Reader) -> Result<Recovery, ReadError> {
    let Reader { pool, .. } = reader;
    // One transaction, only so that the time limit of reads is off for it and nothing else.
    let mut transaction = pool.begin().await.map_err(database)?;
    sqlx::query(sql::NO_TIMEOUT).execute(&mut *transaction).await.map_err(database)?;
    let (last, last_task, projected_to): (i64, Option<i64>, i64) =
        sqlx::query_as(sql::ENDS).bind(reader.number()).fetch_one(&mut *transaction).await.map_err(database)?;
    let tenants: Vec<(String,)> = sqlx::query_as(sql::NAMESPACES).fetch_all(&mut *transaction).await.map_err(database)?;
    let at_home = |(name,): &(String,)| Namespace::new(name).is_ok_and(|namespace| reader.is_home_of(&namespace));
    let tenants: Vec<String> = tenants.into_iter().filter(at_home).map(|(name,)| name).collect();
    let mut tail = Tail::default();
    {
        let mut running = sqlx::query_as::<_, (i64, i64, bool)>(sql::RUNNING).bind(&tenants).fetch(&mut *transaction);
        while let Some((task, place, waits)) = running.try_next().await.map_err(database)? {
            tail.running(task, place, waits);
        }
    }
    {
        let mut rows = sqlx::query_as::<_, JournalColumns>(sql::TAIL).bind(reader.number()).fetch(&mut *transaction);
        while let Some((sequence, task, previous, checksum, entry)) = rows.try_next().await.map_err(database)? {
            tail.row(sequence, task, previous, checksum, &entry)?;
        }
    }
    let mut standings = HashMap::new();
    for asked in tail.questions().chunks(ASKED_MAX) {
        let rows: Vec<(i64, String, i64)> =
            sqlx::query_as(sql::STANDINGS).bind(asked).fetch_all(&mut *transaction).await.map_err(database)?;
        standings.extend(rows.into_iter().map(|(id, status, last)| (id, (status, last))));
    }
    transaction.rollback().await.map_err(database)?;
    let last_task = last_task.max(tail.last_task).map(task_id).transpose()?;
    let sorted = tail.sort(&standings)?;
    Ok(Recovery {
        last,
        last_task,
        projected_to,
        active: sorted.active,
        finished_unprojected: sorted.finished_unprojected,
        workflows: of_shard(reader, all(pool, sql::WORKFLOWS, row::workflow_row).await?, |row| &row.namespace),
        contracts: all(pool, sql::CONTRACTS, row::contract).await?,
        systems: of_shard(reader, all(pool, sql::SYSTEMS, row::system_row).await?, |row| &row.namespace),
        capabilities: of_shard(reader, all(pool, sql::CAPABILITIES, row::capability_row).await?, |row| &row.namespace),
        events: of_shard(reader, all(pool, sql::EVENTS, row::kept_event).await?, |row| &row.namespace),
        workflow_pauses: of_shard(reader, all(pool, sql::PAUSES, row::workflow_pause).await?, |row| &row.namespace),
        open_letters: of_shard(reader, all(pool, letters::OPEN, crate::letters::open_letter).await?, |row| &row.namespace),
    })
}

/// The rows of the tenants that live in this shard.
fn of_shard<T>(reader: &Reader, rows: Vec<T>, namespace: impl Fn(&T) -> &Namespace) -> Vec<T> {
    rows.into_iter().filter(|row| reader.is_home_of(namespace(row))).collect()
}

/// Every row of a small table.
async fn all<C, T>(pool: &PgPool, query: &'static str, word: impl Fn(C) -> Result<T, ReadError>) -> Result<Vec<T>, ReadError>
where
    C: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
{
    let rows: Vec<C> = sqlx::query_as(query).fetch_all(pool).await.map_err(database)?;
    rows.into_iter().map(word).collect()
}

pub async fn history(reader: &Reader, task: TaskId, last: Option<Sequence>) -> Result<Option<History>, ReadError> {
    let (pool, shard) = (&reader.pool, reader.number());
    let last = match last {
        Some(last) => Some(last),
        None => {
            let (row, tail): (Option<i64>, Option<i64>) =
                sqlx::query_as(sql::HEAD).bind(shard).bind(task.as_number()).fetch_one(pool).await.map_err(database)?;
            row.max(tail)
        }
    };
    let Some(last) = last else { return Ok(None) };
    let mut chain = Chain::new(task, last);
    while let Some(next) = chain.next() {
        let page: Vec<JournalColumns> =
            sqlx::query_as(sql::CHAIN).bind(shard).bind(next).bind(PAGE_ROWS).fetch_all(pool).await.map_err(database)?;
        chain.extend(page)?;
    }
    chain.finish().map(Some)
}

pub async fn histories(reader: &Reader, heads: &[(TaskId, Sequence)]) -> Result<Vec<History>, ReadError> {
    let mut asked = heads;
    while asked.len() > 1 {
        if let Some(found) = together(reader, asked).await? {
            return found.finish(asked);
        }
        asked = &asked[..asked.len() / 2];
    }
    let Some((task, last)) = asked.first() else { return Ok(Vec::new()) };
    Ok(history(reader, *task, Some(*last)).await?.into_iter().collect())
}

/// The rows of these tasks; none if they are too many to be read together.
async fn together(reader: &Reader, heads: &[(TaskId, Sequence)]) -> Result<Option<Together>, ReadError> {
    let places: Vec<Sequence> = heads.iter().map(|(_, last)| *last).collect();
    let mut rows =
        sqlx::query_as::<_, JournalColumns>(sql::CHAINS).bind(reader.number()).bind(places).bind(TOGETHER_ROWS_MAX).fetch(&reader.pool);
    let mut found = Together::default();
    while let Some(columns) = rows.try_next().await.map_err(database)? {
        if !found.take(columns) {
            return Ok(None);
        }
    }
    Ok(Some(found))
}

pub async fn find_key(pool: &PgPool, namespace: &Namespace, key: &str) -> Result<Option<KeyUse>, ReadError> {
    let found = sqlx::query_as(sql::FIND_KEY).bind(namespace.as_str()).bind(key.as_bytes()).fetch_optional(pool).await.map_err(database)?;
    found.map(|columns| row::key_use(namespace, key, columns)).transpose()
}

pub async fn task_row(pool: &PgPool, task: TaskId) -> Result<Option<TaskRow>, ReadError> {
    let found = sqlx::query_as(sql::TASK_ROW).bind(task.as_number()).fetch_optional(pool).await.map_err(database)?;
    found.map(row::task_row).transpose()
}

pub async fn journal(reader: &Reader, after: Sequence, limit: usize) -> Result<Vec<JournalRow>, ReadError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let asked = sqlx::query_as(sql::JOURNAL).bind(reader.number()).bind(after).bind(limit);
    let rows: Vec<JournalColumns> = asked.fetch_all(&reader.pool).await.map_err(database)?;
    rows.into_iter().map(row::journal_row).collect()
}

pub async fn search(pool: &PgPool, search: &Search) -> Result<Vec<TaskRow>, ReadError> {
    let bound = Bound::of(search);
    match Driver::of(search) {
        Driver::Namespace => page(&bound, sql::SEARCH_NAMESPACE).fetch(pool).await,
        Driver::Workflow => page(&bound, sql::SEARCH_WORKFLOW).fetch(pool).await,
        Driver::ErrorCode => page(&bound, sql::SEARCH_ERROR_CODE).fetch(pool).await,
        Driver::Parent => {
            let labels = page(&bound, sql::SEARCH_PARENT).bind(bytes_of(&bound.label_names)).bind(bytes_of(&bound.label_values));
            labels.fetch(pool).await
        }
        Driver::Waiting(waits) => {
            let mut pages = Vec::new();
            for wait in waits {
                pages.push(page(&bound, sql::search_waiting(wait)).fetch(pool).await?);
            }
            Ok(merge(pages, bound.limit))
        }
        Driver::Statuses(statuses) => {
            let mut pages = Vec::new();
            for status in statuses {
                pages.push(page(&bound, sql::SEARCH_STATUS).bind(status.as_str()).fetch(pool).await?);
            }
            Ok(merge(pages, bound.limit))
        }
        Driver::Label => {
            let rarest = rarest_label(pool, &bound).await?;
            page(&bound, sql::SEARCH_LABEL)
                .bind(bound.label_names[rarest].as_bytes())
                .bind(bound.label_values[rarest].as_bytes())
                .bind(bytes_of(&bound.label_names))
                .bind(bytes_of(&bound.label_values))
                .fetch(pool)
                .await
        }
    }
}

/// One page from one driver, ready for what that driver's statement takes beyond the conditions.
struct Page<'b>(QueryAs<'b, Postgres, TaskColumns, PgArguments>);

impl<'b> Page<'b> {
    fn bind<T: sqlx::Encode<'b, Postgres> + sqlx::Type<Postgres> + 'b>(self, value: T) -> Self {
        Self(self.0.bind(value))
    }

    async fn fetch(self, pool: &PgPool) -> Result<Vec<TaskRow>, ReadError> {
        let rows = self.0.fetch_all(pool).await.map_err(database)?;
        rows.into_iter().map(row::task_row).collect()
    }
}

fn page<'b>(bound: &'b Bound, query: &'static str) -> Page<'b> {
    let query = sqlx::query_as(query)
        .bind(&bound.namespace)
        .bind(bound.id_max)
        .bind(&bound.statuses)
        .bind(&bound.workflow)
        .bind(&bound.error_code)
        .bind(bound.accepted_from)
        .bind(bound.accepted_before)
        .bind(bound.limit)
        .bind(bound.parent)
        .bind(bound.waiting);
    Page(query)
}

fn bytes_of(texts: &[String]) -> Vec<&[u8]> {
    texts.iter().map(String::as_bytes).collect()
}

/// Which of the labels the fewest tasks have.
async fn rarest_label(pool: &PgPool, bound: &Bound) -> Result<usize, ReadError> {
    let mut rarest = (i64::MAX, 0);
    if bound.label_names.len() == 1 {
        return Ok(0);
    }
    for (place, (name, value)) in bound.label_names.iter().zip(&bound.label_values).enumerate() {
        let (count,): (i64,) = sqlx::query_as(sql::COUNT_LABEL)
            .bind(&bound.namespace)
            .bind(name.as_bytes())
            .bind(value.as_bytes())
            .bind(LABEL_COUNT_MAX)
            .fetch_one(pool)
            .await
            .map_err(database)?;
        rarest = rarest.min((count, place));
    }
    Ok(rarest.1)
}

pub async fn callback_secret(pool: &PgPool) -> Result<[u8; 32], ReadError> {
    let (secret,): (Vec<u8>,) = sqlx::query_as(sql::SECRET).bind(CALLBACKS).fetch_one(pool).await.map_err(database)?;
    secret.try_into().map_err(|_| ReadError::Damaged("the secret of callbacks does not have 32 bytes".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use std::str::FromStr;
    use tasker_integration_tests::postgres::Cluster;
    use tasker_runtime::port::store::WaitingFor;

    /// The planner knows nothing about bits, so what it chooses is looked at with many tasks of which few wait for a person.
    const TASKS: &str = "INSERT INTO tasks
        SELECT n, 'shop', 'order', '1', decode(repeat('00', 32), 'hex'), 'running', n, NULL, NULL, NULL, 0, '{}', 0,
            CASE WHEN n % 100 = 0 THEN n / 1000 END, CASE WHEN n % 2000 = 0 THEN 47 WHEN n % 2 = 0 THEN 16 ELSE 0 END
        FROM generate_series(1, 40000) AS n";

    #[tokio::test]
    async fn children_and_waiting_tasks_are_found_without_reading_the_others() {
        let cluster = Cluster::shared().await.expect("a PostgreSQL server");
        let url = cluster.create_database().await.expect("a database");
        let connect = sqlx::postgres::PgConnectOptions::from_str(&url).expect("an address");
        let store = super::super::open(connect.clone(), &Options::new("plans"), None).await.expect("opens");
        let pool = PgPool::connect_with(connect).await.expect("connects");
        sqlx::raw_sql(TASKS).execute(&pool).await.expect("inserts");
        sqlx::raw_sql("ANALYZE tasks").execute(&pool).await.expect("analyzes");
        let indexes = WaitingFor::ALL.map(|waiting| (sql::search_waiting(waiting), format!("tasks_by_{}", waiting.as_str())));
        for (search, index) in indexes.into_iter().chain([(sql::SEARCH_PARENT, "tasks_by_parent".to_owned())]) {
            let plan = plan(&pool, search).await;
            assert!(plan.contains(&index) && !plan.contains("Sort"), "{search}\n{plan}");
        }
        pool.close().await;
        tasker_runtime::port::store::Store::close(&store).await;
    }

    async fn plan(pool: &PgPool, search: &str) -> String {
        let mut parameters = vec!["text", "bigint", "text[]", "text", "text", "bigint", "bigint", "bigint", "bigint", "bigint"];
        let mut values = vec!["'shop'", "999999", "NULL", "NULL", "NULL", "NULL", "NULL", "50", "1", "63"];
        if search == sql::SEARCH_PARENT {
            parameters.extend(["bytea[]", "bytea[]"]);
            values.extend(["'{}'", "'{}'"]);
        }
        let prepare = format!("PREPARE asked ({}) AS {search}", parameters.join(", "));
        let mut connection = pool.acquire().await.expect("connects");
        // The plan that has to do for every value.
        let statements = ["SET plan_cache_mode = force_generic_plan".to_owned(), prepare];
        for statement in statements {
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut *connection).await.expect("prepares");
        }
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN EXECUTE asked ({})", values.join(", ")));
        let lines: Vec<(String,)> = sqlx::query_as(explain).fetch_all(&mut *connection).await.expect("explains");
        sqlx::raw_sql("DEALLOCATE asked").execute(&mut *connection).await.expect("forgets");
        lines.into_iter().map(|(line,)| line + "\n").collect()
    }
}
