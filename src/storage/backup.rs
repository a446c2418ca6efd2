//! Copies an archive and puts a copy back. A file is copied by SQLite, a server by PostgreSQL's own `pg_dump` and `pg_restore`.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::{ArchiveAddress, ArchiveError, inspect, sqlite};

/// In a backup's folder.
pub const SQLITE_FILE: &str = "archive.sqlite";
pub const POSTGRES_FILE: &str = "archive.pgdump";

/// How the archive stands in a backup.
#[must_use]
pub const fn file_name(address: &ArchiveAddress) -> &'static str {
    match address {
        ArchiveAddress::Sqlite(_) => SQLITE_FILE,
        ArchiveAddress::Postgres(..) => POSTGRES_FILE,
    }
}

/// As it is at one moment after the call. `url` is where `address` was read from.
///
/// # Errors
/// Where it does not answer, or `pg_dump` is missing or fails.
pub async fn copy(address: &ArchiveAddress, url: &str, into: &Path) -> Result<(), ArchiveError> {
    match address {
        ArchiveAddress::Sqlite(file) => sqlite::copy(file, into).await,
        ArchiveAddress::Postgres(..) => {
            let mut dump = tool("pg_dump", url);
            dump.args(["--format=custom", "--file"]).arg(into);
            run(dump, "pg_dump").await
        }
    }
}

/// Another file of SQLite in the data folder, as it is at one moment after the call.
///
/// # Errors
/// Where it cannot be read.
pub async fn copy_file(file: &Path, into: &Path) -> Result<(), ArchiveError> {
    sqlite::copy(file, into).await
}

/// Fills an archive that must be empty.
///
/// # Errors
/// Where it is not, does not answer, or `pg_restore` is missing or fails: then it is as empty as before.
pub async fn put_back(address: &ArchiveAddress, url: &str, from: &Path) -> Result<(), ArchiveError> {
    if let Some(found) = inspect(address).await?
        && (found.schema.is_some() || matches!(address, ArchiveAddress::Sqlite(_)))
    {
        return Err(ArchiveError::NotEmpty);
    }
    match address {
        ArchiveAddress::Sqlite(file) => {
            let copied = fs::copy(from, file).and_then(|_bytes| File::open(file)?.sync_all());
            copied.map_err(|source| {
                // It was not there before.
                let _what_there_is = fs::remove_file(file);
                ArchiveError::Copy { path: file.clone(), source }
            })
        }
        ArchiveAddress::Postgres(..) => {
            let mut restore = tool("pg_restore", url);
            // Whose tables they are is a matter of the server that they come to.
            restore.args(["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"]).arg(from);
            run(restore, "pg_restore").await
        }
    }
}

/// A password never stands on a command line, where every user of the machine could read it.
fn tool(program: &str, url: &str) -> Command {
    let (url, password) = without_password(url);
    let mut command = Command::new(program);
    command.arg("--no-password").arg(format!("--dbname={url}")).stdin(Stdio::null()).kill_on_drop(true);
    if let Some(password) = password {
        command.env("PGPASSWORD", password);
    }
    command
}

async fn run(mut command: Command, program: &'static str) -> Result<(), ArchiveError> {
    let output = command.output().await.map_err(|source| ArchiveError::NoTool { program, source })?;
    if output.status.success() {
        return Ok(());
    }
    let messages = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(ArchiveError::ToolFailed { program, messages })
}

/// The address without its password, and the password, which may stand before the host or among the parameters.
fn without_password(url: &str) -> (String, Option<String>) {
    let Some((scheme, rest)) = url.split_once("://") else { return (url.to_owned(), None) };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let (user, place) = authority.rsplit_once('@').map_or((None, authority), |(user, place)| (Some(user), place));
    let (user, mut password) = user.map_or((None, None), |user| match user.split_once(':') {
        Some((user, password)) => (Some(user), Some(decoded(password))),
        None => (Some(user), None),
    });
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (secret, open): (Vec<_>, Vec<_>) =
        query.split('&').filter(|pair| !pair.is_empty()).partition(|pair| pair.starts_with("password="));
    if let Some(pair) = secret.last() {
        password = Some(decoded(&pair["password=".len()..]));
    }
    let user = user.map(|user| format!("{user}@")).unwrap_or_default();
    let query = if open.is_empty() { String::new() } else { format!("?{}", open.join("&")) };
    (format!("{scheme}://{user}{place}{path}{query}"), password)
}

/// What `%40` and the like stand for.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let hex = behind.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_taken_out_of_an_address_wherever_it_stands() {
        let cases = [
            ("postgres://h/d", "postgres://h/d", None),
            ("postgres://u@h:5/d?sslmode=require", "postgres://u@h:5/d?sslmode=require", None),
            ("postgres://u:p%40s%2Fs%@h/d", "postgres://u@h/d", Some("p@s/s%")),
            ("postgres://u:a@b@h/d?host=/run/x", "postgres://u@h/d?host=/run/x", Some("a@b")),
            ("postgresql://h/d?password=x%3D&port=5", "postgresql://h/d?port=5", Some("x=")),
            ("postgres:///d?user=u&password=x", "postgres:///d?user=u", Some("x")),
        ];
        for (url, clean, password) in cases {
            assert_eq!(without_password(url), (clean.to_owned(), password.map(str::to_owned)), "{url}");
        }
    }
}
