//! The contract over a real server, and what only PostgreSQL has.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::server::{Promise, Server, run_sql};
use crate::storage::ArchiveAddress;
use crate::storage::contract::{self, Site};

/// A server that is there already; tests make and drop databases on it.
const NAMED_SERVER: &str = "ODOGRAPH_TEST_POSTGRES_URL";

/// A database of its own.
struct Database {
    name: String,
}

/// The address of a database on the server that all tests share.
fn url(database: &str) -> String {
    static SERVER: OnceLock<Result<String, Server>> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "tests have no settings")]
    let server = SERVER.get_or_init(|| match std::env::var(NAMED_SERVER) {
        Ok(url) => Ok(url),
        Err(_) => {
            Err(Server::start(Promise::Quick).unwrap_or_else(|error| panic!("{error}; or name a server in {NAMED_SERVER}")))
        }
    });
    match server {
        Err(own) => own.url(database),
        Ok(named) => {
            let (server, parameters) =
                named.split_once('?').map_or((named.as_str(), String::new()), |(server, rest)| (server, format!("?{rest}")));
            let (server, _database) = server.rsplit_once('/').expect("its address names a database");
            format!("{server}/{database}{parameters}")
        }
    }
}

impl Site for Database {
    const POISON: &str = "create function poison() returns trigger language plpgsql as
            $$ begin raise check_violation using message = 'poison'; end $$;
        create trigger poison before insert on readings for each row when (new.sequence = 13) execute function poison();";

    const CASES: u32 = 8;

    async fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("odograph_test_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        run_sql(&url("postgres"), &format!("create database {name} template template0")).unwrap();
        Self { name }
    }

    fn address(&self) -> ArchiveAddress {
        ArchiveAddress::read(&url(&self.name), std::path::Path::new("")).unwrap()
    }

    async fn run_sql(&self, statements: &'static str) {
        run_sql(&url(&self.name), statements).unwrap();
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _gone_with_its_server = run_sql(&url("postgres"), &format!("drop database if exists {} with (force)", self.name));
    }
}

contract::tests!(Database);
