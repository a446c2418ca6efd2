//! Connections to the server: who may wait how long, and what becomes of one that was left in the middle of a question.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::{PoolConnection, PoolOptions};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPool, PgRow};
use sqlx::query::Query;
use sqlx::{ConnectOptions, Connection, Executor, Postgres};

use crate::storage::error::{ArchiveError, database_error};

/// Connections for questions. More questions than that wait for each other, never for the writer.
const READERS: u32 = 4;
/// That a service opens: readers, the writer, and for a moment one that brings the schema up to date.
pub const CONNECTIONS: u32 = READERS + 2;
/// To connect, or to get a connection that is free.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// The server gives a statement up by then.
const STATEMENT_TIMEOUT: &str = "25s";
/// And if it does not even say so, we do.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// The wait for a lock that somebody else holds.
const LOCK_TIMEOUT: &str = "5s";
const APPLICATION_NAME: &str = "odograph";
/// Parameters of the address that are understood; of others the value may be a secret with a misspelt name.
const PARAMETERS: &[&str] = &[
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// How to reach the server. Shows no password. Cheap to clone.
#[derive(Clone)]
pub struct Connector(Arc<PgConnectOptions>);

impl Connector {
    /// From `postgres://USER:PASSWORD@HOST:PORT/DATABASE?parameters`; what is missing comes from `PGHOST`, `PGPASSWORD` … and the
    /// password file `~/.pgpass`, as with every client.
    ///
    /// # Errors
    /// Where it makes no sense.
    pub fn read(url: &str) -> Result<Self, ArchiveError> {
        let (_, query) = url.split_once('?').unwrap_or((url, ""));
        let keys = query.split('&').filter_map(|pair| pair.split('=').next()).filter(|key| !key.is_empty());
        for key in keys {
            if !PARAMETERS.contains(&key) && !key.starts_with("options[") {
                let problem = format!("has the parameter {key:?}; there are {}", PARAMETERS.join(", "));
                return Err(ArchiveError::Address { problem });
            }
        }
        let wrong = |error: sqlx::Error| ArchiveError::Address { problem: format!("makes no sense: {error}") };
        let options: PgConnectOptions = url.parse().map_err(wrong)?;
        let options = if options.get_application_name().is_none() { options.application_name(APPLICATION_NAME) } else { options };
        let options = options.options([
            ("statement_timeout", STATEMENT_TIMEOUT),
            ("lock_timeout", LOCK_TIMEOUT),
            ("idle_in_transaction_session_timeout", STATEMENT_TIMEOUT),
            // It pays for long questions only, and costs the others up to a second.
            ("jit", "off"),
        ]);
        Ok(Self(Arc::new(options.disable_statement_logging())))
    }

    /// One connection, for whoever asks now and tries once: its error says why, where a pool would try again and say that it took too long.
    pub async fn once(&self) -> Result<Lease, ArchiveError> {
        let action = "reach its server";
        let connected = tokio::time::timeout(CONNECT_WITHIN, self.0.connect()).await;
        let connected = connected.map_err(|_elapsed| ArchiveError::Silent { action, after: CONNECT_WITHIN })?;
        connected.map_err(database_error(action))?.close().await.map_err(database_error(action))?;
        Lease::of(&self.writer()).await
    }

    /// Makes no connection yet.
    pub(super) fn readers(&self) -> PgPool {
        // A plan for any day would have to look at all of them.
        let options = PgConnectOptions::clone(&self.0).options([("plan_cache_mode", "force_custom_plan")]);
        let pool = PoolOptions::new().max_connections(READERS).acquire_timeout(CONNECT_WITHIN);
        pool.connect_lazy_with(options)
    }

    /// One connection, kept for good: a new one would have to prepare all statements again.
    pub(super) fn writer(&self) -> PgPool {
        let pool = PoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None).acquire_timeout(CONNECT_WITHIN);
        pool.connect_lazy_with(PgConnectOptions::clone(&self.0))
    }
}

impl fmt::Display for Connector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = &self.0;
        let database = options.get_database().unwrap_or_else(|| options.get_username());
        let place = options.get_socket().map_or_else(|| options.get_host().to_owned(), |socket| socket.display().to_string());
        write!(formatter, "postgres://{}@{place}:{}/{database}", options.get_username(), options.get_port())
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

/// A connection for as long as somebody asks. One that was left in the middle of a question, because it failed, took too long or whoever
/// asked went away, is closed: nobody can tell what the server would answer next.
pub struct Lease {
    connection: PoolConnection<Postgres>,
    is_asking: bool,
}

impl Lease {
    pub async fn of(pool: &PgPool) -> Result<Self, ArchiveError> {
        let connection = pool.acquire().await.map_err(database_error("reach its server"))?;
        Ok(Self { connection, is_asking: false })
    }

    /// All rows of the answer.
    pub async fn rows(
        &mut self,
        action: &'static str,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, ArchiveError> {
        self.is_asking = true;
        let answer = tokio::time::timeout(ANSWER_WITHIN, query.fetch_all(&mut *self.connection)).await;
        self.answered(action, answer)
    }

    pub async fn row(
        &mut self,
        action: &'static str,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<Option<PgRow>, ArchiveError> {
        Ok(self.rows(action, query).await?.pop())
    }

    /// How many rows it changed.
    pub async fn execute(&mut self, action: &'static str, query: Query<'_, Postgres, PgArguments>) -> Result<u64, ArchiveError> {
        self.is_asking = true;
        let answer = tokio::time::timeout(ANSWER_WITHIN, query.execute(&mut *self.connection)).await;
        self.answered(action, answer).map(|done| done.rows_affected())
    }

    /// Statements without parameters, such as `begin`.
    pub async fn run(&mut self, action: &'static str, statements: &'static str) -> Result<(), ArchiveError> {
        self.is_asking = true;
        let answer = tokio::time::timeout(ANSWER_WITHIN, self.connection.execute(statements)).await;
        self.answered(action, answer).map(|_done| ())
    }

    fn answered<T>(
        &mut self,
        action: &'static str,
        answer: Result<Result<T, sqlx::Error>, tokio::time::error::Elapsed>,
    ) -> Result<T, ArchiveError> {
        let answer = answer.map_err(|_elapsed| ArchiveError::Silent { action, after: ANSWER_WITHIN })?;
        let answer = answer.map_err(database_error(action))?;
        self.is_asking = false;
        Ok(answer)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.is_asking {
            self.connection.close_on_drop();
        }
    }
}
