//! Who lives, and who owns which shard: rows that every coordinator reads and writes, by the server's clock.
//!
//! A coordinator that shares the database holds a lock together with the others; one that is alone (because its workers reach only itself) holds
//! the same lock for itself, so neither kind ever runs beside the wrong other. The lock is held by the session that beats. A session that is lost is
//! opened again; what happened meanwhile shows in the epochs.

use super::open::{self, now_millis};
use super::read::{self, Reader};
use super::{PostgresStore, sql, writer};
use crate::OpenError;
use crate::row::database;
use crate::writer::Ledger;
use futures::FutureExt;
use futures::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, PgPool};
use std::sync::Arc;
use std::time::Duration;
use tasker_engine::ShardId;
use tasker_runtime::port::shards::{Claim, CoordinatorId, Epoch, LEASE, LEASE_WITHOUT_SESSION, Lease, Peer, Shards, Standing};
use tasker_runtime::port::store::ReadError;
use tokio::sync::Mutex;

/// How long a claim waits for a transaction that its predecessor left open; the next beat tries again.
const CLAIM_WAIT: &str = "2s";

/// The shards of a PostgreSQL database.
pub struct PostgresShards {
    pub(super) me: CoordinatorId,
    pub(super) count: u8,
    pub(super) holder: String,
    pub(super) alone: bool,
    pub(super) connect: PgConnectOptions,
    /// The session that beats and holds the lock; none after it was lost.
    pub(super) session: Mutex<Option<PgConnection>>,
    pub(super) readers: PgPool,
    pub(super) description: String,
}

/// The leases, as the statements take them.
fn leases() -> (i64, i64) {
    let millis = |lease: Duration| i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
    (millis(LEASE), millis(LEASE_WITHOUT_SESSION))
}

impl PostgresShards {
    /// Beats on the session, which is opened again if it was lost.
    async fn beat_on(&self, session: &mut Option<PgConnection>, url: Option<&str>) -> Result<Standing, ReadError> {
        let mut connection = match session.take() {
            Some(connection) => connection,
            None => self.reopen().await?,
        };
        let standing = beat(&mut connection, self, url).await.map_err(database)?;
        // A session that failed is not used again.
        *session = Some(connection);
        Ok(standing)
    }

    async fn reopen(&self) -> Result<PgConnection, ReadError> {
        let connecting = self.connect.connect();
        let mut connection = tokio::time::timeout(LEASE / 3, connecting).await.map_err(database)?.map_err(database)?;
        open::prepare(&mut connection).await.map_err(database)?;
        let lock = if self.alone { sql::LOCK_ALONE } else { sql::LOCK_TOGETHER };
        tokio::time::timeout(LEASE / 3, sqlx::query(lock).execute(&mut connection)).await.map_err(database)?.map_err(database)?;
        tracing::info!("the session with the database was opened again");
        Ok(connection)
    }

    /// Opens a session for writing and takes the shard with it.
    pub(super) async fn take(&self, shard: ShardId) -> Result<Option<(Epoch, PostgresStore)>, ReadError> {
        let mut connection = self.connect.connect().await.map_err(database)?;
        let number = i16::from(shard.0);
        open::prepare(&mut connection).await.map_err(database)?;
        sqlx::query(sql::LOCK_TIMEOUT).bind(CLAIM_WAIT).execute(&mut connection).await.map_err(database)?;
        let (lease, without_session) = leases();
        let ended = sqlx::query(sql::END_SESSION).bind(lease).bind(without_session).bind(number).bind(self.me.0);
        if let Err(error) = ended.execute(&mut connection).await {
            tracing::warn!(shard = shard.0, %error, "the silent owner's session could not be ended; its transaction is waited for");
        }
        let claimed = sqlx::query_as::<_, (i64,)>(sql::CLAIM)
            .bind(lease)
            .bind(without_session)
            .bind(number)
            .bind(self.me.0)
            .bind(self.alone)
            .bind(&self.holder)
            .bind(now_millis())
            .fetch_optional(&mut connection)
            .await
            .map_err(database)?;
        let Some((epoch,)) = claimed else {
            let _ = connection.close().await;
            return Ok(None);
        };
        sqlx::query(sql::LOCK_TIMEOUT).bind("0").execute(&mut connection).await.map_err(database)?;
        let (last,): (i64,) = sqlx::query_as(sql::LAST).bind(number).fetch_one(&mut connection).await.map_err(database)?;
        let store = PostgresStore {
            writer: Some(writer::start(connection, shard, Ledger::new(epoch, last))),
            reader: Reader { pool: self.readers.clone(), shard, count: self.count },
            description: self.description.clone(),
            alone: None,
        };
        Ok(Some((epoch, store)))
    }
}

async fn beat(connection: &mut PgConnection, shards: &PostgresShards, url: Option<&str>) -> Result<Standing, sqlx::Error> {
    let (lease, without_session) = leases();
    sqlx::query(sql::BEAT).bind(shards.me.0).bind(&shards.holder).bind(url).execute(&mut *connection).await?;
    let living: Vec<(i64, String, Option<String>)> =
        sqlx::query_as(sql::LIVING).bind(lease).bind(without_session).fetch_all(&mut *connection).await?;
    let held: Vec<(i64, i64, Option<i64>)> =
        sqlx::query_as(sql::LEASES).bind(lease).bind(without_session).fetch_all(&mut *connection).await?;
    // Whoever is alone has the lock, so rows of others are of processes that are gone.
    let counts = |id: i64| !shards.alone || id == shards.me.0;
    let coordinators = living.into_iter().filter(|(id, ..)| counts(*id));
    let leases = held.into_iter().map(|(shard, epoch, owner)| Lease {
        shard: ShardId(u8::try_from(shard).unwrap_or(u8::MAX)),
        epoch,
        owner: owner.filter(|owner| counts(*owner)).map(CoordinatorId),
    });
    Ok(Standing {
        coordinators: coordinators.map(|(id, name, url)| Peer { id: CoordinatorId(id), name, url }).collect(),
        leases: leases.collect(),
    })
}

impl Shards for PostgresShards {
    fn me(&self) -> CoordinatorId {
        self.me
    }

    fn count(&self) -> u8 {
        self.count
    }

    fn beat<'s>(&'s self, url: Option<&'s str>) -> BoxFuture<'s, Result<Standing, ReadError>> {
        async move {
            let mut session = self.session.lock().await;
            self.beat_on(&mut session, url).await
        }
        .boxed()
    }

    fn claim(&self, shard: ShardId) -> BoxFuture<'_, Result<Option<Claim>, ReadError>> {
        async move { Ok(self.take(shard).await?.map(|(epoch, store)| Claim { epoch, store: Arc::new(store) })) }.boxed()
    }

    fn leave(&self) -> BoxFuture<'_, ()> {
        async {
            let Some(mut connection) = self.session.lock().await.take() else { return };
            // Whoever stays finds out by itself if any of this is lost.
            let _ = sqlx::query(sql::LEAVE).bind(self.me.0).execute(&mut connection).await;
            let _ = connection.close().await;
        }
        .boxed()
    }

    fn callback_secret(&self) -> BoxFuture<'_, Result<[u8; 32], ReadError>> {
        read::callback_secret(&self.readers).boxed()
    }

    fn describe(&self) -> String {
        self.description.clone()
    }
}

/// Who holds the lock that was waited for in vain.
pub(super) async fn in_use(connection: &mut PgConnection, target: &str) -> OpenError {
    let holder = sqlx::query_as::<_, (String,)>(sql::HOLDER).fetch_one(connection).await;
    // The tables may not exist yet: then the other one is just creating them.
    let holder = holder.map_or_else(|_| "a process that has just started".into(), |(holder,)| holder);
    OpenError::InUse { target: target.to_owned(), holder }
}
