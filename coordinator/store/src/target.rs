//! The address of a database, parsed at the door.

use crate::OpenError;
use sqlx::postgres::PgConnectOptions;
use std::path::PathBuf;
use std::str::FromStr;

/// Where the record lives.
#[derive(Debug)]
pub enum Target {
    /// A file.
    Sqlite(PathBuf),
    /// A server's database.
    Postgres(Box<PgConnectOptions>),
}

impl Target {
    /// Reads `sqlite:PATH`, `sqlite://PATH`, `postgres://…` or `postgresql://…`.
    ///
    /// # Errors
    /// Never repeats the URL: it may hold a password.
    pub fn parse(url: &str) -> Result<Self, OpenError> {
        let malformed = |reason: String| OpenError::UrlMalformed { reason };
        if let Some(rest) = url.strip_prefix("sqlite:") {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            return match path {
                "" => Err(malformed("`sqlite:` is followed by no path".into())),
                ":memory:" => {
                    Err(malformed("an in-memory database would lose accepted tasks; name a file, a temporary one if you like".into()))
                }
                _ if path.contains(['?', '\0']) => Err(malformed("a SQLite path takes no `?` parameters; all settings are fixed".into())),
                _ => Ok(Self::Sqlite(PathBuf::from(path))),
            };
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let options = PgConnectOptions::from_str(url).map_err(|error| match error {
                sqlx::Error::Configuration(reason) => malformed(reason.to_string()),
                other => malformed(other.to_string()),
            })?;
            return Ok(Self::Postgres(Box::new(options)));
        }
        let scheme: String = url.split(':').next().unwrap_or_default().chars().take(20).collect();
        if url.contains(':') && scheme.chars().all(|char| char.is_ascii_alphanumeric()) {
            return Err(malformed(format!("`{scheme}:` is neither `sqlite:` nor `postgres:`")));
        }
        Err(malformed("it starts with neither `sqlite:` nor `postgres:`".into()))
    }
}

/// Host, port and database, for people.
pub fn describe(options: &PgConnectOptions) -> String {
    let place = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => options.get_host().to_owned(),
    };
    format!("{place}:{}/{}", options.get_port(), options.get_database().unwrap_or_else(|| options.get_username()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_url_is_refused_without_repeating_it() {
        for url in
            ["", "tasker.db", "mysql://u:secret@h/d", "sqlite:", "sqlite::memory:", "sqlite:a?mode=ro", "postgres://u:secret@h:port/d"]
        {
            let error = Target::parse(url).expect_err(url);
            assert_eq!(error.code(), "database.url_malformed", "{url}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn both_forms_of_a_sqlite_url_name_the_same_file() {
        for url in ["sqlite:/a/b.db", "sqlite:///a/b.db"] {
            assert!(matches!(Target::parse(url), Ok(Target::Sqlite(path)) if path.as_os_str() == "/a/b.db"), "{url}");
        }
        assert!(matches!(Target::parse("sqlite:b.db"), Ok(Target::Sqlite(path)) if path.as_os_str() == "b.db"));
    }

    #[test]
    fn a_described_server_shows_no_password() {
        let Ok(Target::Postgres(options)) = Target::parse("postgres://user:secret@db.example:5433/tasks") else { panic!("parses") };
        assert_eq!(describe(&options), "db.example:5433/tasks");
    }
}
