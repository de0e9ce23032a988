//! A database of a test's own.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqlSafeStr, SqliteConnection};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tasker_integration_tests::postgres::Cluster;
use tasker_runtime::port::shards::Shards;
use tasker_runtime::port::store::Store;
use tasker_store::{OpenError, Options};
use tempfile::TempDir;

/// Where a test's rows live. Gone when dropped.
pub enum Database {
    Sqlite(TempDir),
    Postgres { url: String, _cluster: Arc<Cluster> },
}

impl Database {
    pub fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().expect("a temporary directory"))
    }

    pub async fn postgres() -> Self {
        let cluster = Cluster::shared().await.expect("a PostgreSQL server");
        let url = cluster.create_database().await.expect("a database");
        Self::Postgres { url, _cluster: cluster }
    }

    pub fn url(&self) -> String {
        match self {
            Self::Sqlite(directory) => format!("sqlite:{}", directory.path().join("tasker.db").display()),
            Self::Postgres { url, .. } => url.clone(),
        }
    }

    /// The file, on SQLite.
    pub fn file(&self) -> Option<PathBuf> {
        match self {
            Self::Sqlite(directory) => Some(directory.path().join("tasker.db")),
            Self::Postgres { .. } => None,
        }
    }

    pub async fn open(&self) -> Arc<dyn Store> {
        tasker_store::open(&self.url(), Options::new("suite")).await.expect("opens")
    }

    pub async fn shards(&self) -> Arc<dyn Shards> {
        tasker_store::shards(&self.url(), Options { shards: 1, ..Options::new("suite") }).await.expect("opens")
    }

    /// Opens without patience.
    pub async fn try_open(&self, holder: &str) -> Result<Arc<dyn Store>, OpenError> {
        let options = Options { lease_wait: Duration::from_millis(50), ..Options::new(holder) };
        tasker_store::open(&self.url(), options).await
    }

    /// Does behind the store's back what a disk, a person or another coordinator might.
    pub async fn meddle(&self, statement: &str) -> u64 {
        let statement = AssertSqlSafe(statement.to_owned()).into_sql_str();
        match self {
            Self::Sqlite(_) => {
                let mut connection = SqliteConnection::connect(&self.url()).await.expect("connects");
                let done = connection.execute(statement).await.expect("the statement is right").rows_affected();
                connection.close().await.expect("closes");
                done
            }
            Self::Postgres { url, .. } => {
                let mut connection = PgConnection::connect(url).await.expect("connects");
                let done = connection.execute(statement).await.expect("the statement is right").rows_affected();
                connection.close().await.expect("closes");
                done
            }
        }
    }
}
