//! Why a database was not opened.

use std::path::PathBuf;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a database was not opened: what happened, where, and through [`OpenError::cure`] what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The text is not the address of a database.
    #[error("the database URL is malformed: {reason}")]
    UrlMalformed {
        /// Which rule it breaks; never repeats the URL, which may hold a password.
        reason: String,
    },
    /// No connection, or the server refused who we are.
    #[error("the database at {target} cannot be reached")]
    Unreachable {
        /// Host, port and database, without secrets.
        target: String,
        /// What the client said.
        #[source]
        source: Source,
    },
    /// The file, or the files beside it, cannot be written.
    #[error("`{}` cannot be written", path.display())]
    UnwritableDirectory {
        /// The directory or file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: Source,
    },
    /// The database answers but takes no writes.
    #[error("the database at {target} is read-only: it is a standby")]
    ReadOnly {
        /// Host, port and database, without secrets.
        target: String,
    },
    /// Another coordinator holds the lease.
    #[error("the database {target} is in use by another coordinator: {holder}")]
    InUse {
        /// The file, or host, port and database.
        target: String,
        /// Name and process id of the other one, as it gave them.
        holder: String,
    },
    /// A newer version has changed the tables.
    #[error("the database has migration {version}, which this version does not know")]
    TooNew {
        /// The first unknown migration.
        version: i64,
    },
    /// A migration is not what it was when it was applied.
    #[error("migration {version} was applied with other content or only in part")]
    MigrationChanged {
        /// Which one.
        version: i64,
    },
    /// The SQLite library may damage its write-ahead log.
    #[error("the SQLite library is {found}; versions before {} can damage the write-ahead log", crate::sqlite::VERSION_MIN.1)]
    SqliteTooOld {
        /// Its version.
        found: &'static str,
    },
    /// The server lacks what our statements use.
    #[error("the PostgreSQL server is {found}; {} or newer is needed", crate::postgres::VERSION_MIN)]
    PostgresTooOld {
        /// Its version.
        found: String,
    },
    /// A commit could be lost after it was acknowledged.
    #[error("commits would not survive a power cut: `{setting}` is `{value}`, not `{wanted}`")]
    NotDurable {
        /// The setting.
        setting: &'static str,
        /// What it is.
        value: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// Anything else that the database answered while it was being opened.
    #[error("the database failed while {doing}")]
    Failed {
        /// What was being done.
        doing: &'static str,
        /// What the database said.
        #[source]
        source: Source,
    },
}

impl OpenError {
    /// Stable, for programs; each has a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UrlMalformed { .. } => "database.url_malformed",
            Self::Unreachable { .. } => "database.unreachable",
            Self::UnwritableDirectory { .. } => "database.unwritable_directory",
            Self::ReadOnly { .. } => "database.read_only",
            Self::InUse { .. } => "database.in_use",
            Self::TooNew { .. } => "database.too_new",
            Self::MigrationChanged { .. } => "database.migration_changed",
            Self::SqliteTooOld { .. } => "database.sqlite_too_old",
            Self::PostgresTooOld { .. } => "database.postgres_too_old",
            Self::NotDurable { .. } => "database.not_durable",
            Self::Failed { .. } => "database.failed",
        }
    }

    /// What to do about it, for people.
    pub fn cure(&self) -> &'static str {
        match self {
            Self::UrlMalformed { .. } => "write `sqlite:PATH` or `postgres://USER@HOST/DATABASE`",
            Self::Unreachable { .. } => "check that the server runs, that the database exists, and that user and password are right",
            Self::UnwritableDirectory { .. } => {
                "create the directory and give this user the right to write in it and to the database's files, or free space on the disk"
            }
            Self::ReadOnly { .. } => "point the URL at the primary server",
            Self::InUse { .. } => "stop the other coordinator first, or use another database; nothing needs to be deleted by hand",
            Self::TooNew { .. } => "run the version that migrated the database, or a newer one; migrations only go forward",
            Self::MigrationChanged { .. } => "restore the database from a backup, or run the version that migrated it",
            Self::SqliteTooOld { .. } => "use a build with the bundled SQLite library",
            Self::PostgresTooOld { .. } => "upgrade the server",
            Self::NotDurable { .. } => "change the setting; accepted tasks must survive a power cut",
            Self::Failed { .. } => "read the cause; if it speaks of damage, restore from a backup and keep the damaged files",
        }
    }

    /// For `map_err` while something is being done.
    pub(crate) fn failed<E: Into<Source>>(doing: &'static str) -> impl Fn(E) -> Self {
        move |source| Self::Failed { doing, source: source.into() }
    }

    /// What sqlx's migrations say, in our words.
    pub(crate) fn migration(error: sqlx::migrate::MigrateError) -> Self {
        use sqlx::migrate::MigrateError;
        match error {
            MigrateError::VersionMissing(version) => Self::TooNew { version },
            MigrateError::VersionMismatch(version) | MigrateError::Dirty(version) => Self::MigrationChanged { version },
            other => Self::Failed { doing: "bringing the tables up to date", source: other.into() },
        }
    }
}
