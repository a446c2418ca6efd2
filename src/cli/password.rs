//! `odograph password`: a vehicle's password, of which only the hash is kept. What a server does with the file: `ingest::passwords`.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use rand::RngExt;
use serde_json::json;
use tempfile::NamedTempFile;

use super::{Exit, Failure};
use crate::domain::VehicleId;
use crate::ingest::passwords::{self, Passwords};

const SCHEMA_VERSION: u32 = 1;
/// 24 of 62 characters are 142 bits.
const GENERATED_LENGTH: usize = 24;
const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// MQTT admits 65,535 bytes; whoever sends more than this by mistake is told.
const MAX_PASSWORD_BYTES: u64 = 1_024;

const ABOUT: &str = "`[mqtt] passwords` names FILE; a running server reads it again, so nothing has to be restarted. The password is printed once and kept
nowhere. A vehicle that has one already gets another, and its connection ends. To take it away, delete the line.

Exit codes: 0 done; 1 the file cannot be written, or is no such file; 2 usage.";

#[derive(Debug, clap::Args)]
#[command(after_help = ABOUT)]
pub struct PasswordArgs {
    /// File of hashes, made where it is not there; readable by you only
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[arg(value_name = "VEHICLE_ID")]
    vehicle_id: String,
    /// Take the password from stdin (its first line) instead of making one
    #[arg(long)]
    stdin: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &PasswordArgs) -> anyhow::Result<ExitCode> {
    let PasswordArgs { file, vehicle_id, stdin, json } = arguments;
    let usage = |message: String| Failure { exit: Exit::Usage, message };
    let vehicle_id = VehicleId::new(vehicle_id).map_err(|error| usage(format!("{vehicle_id:?}: {error}")))?;
    let password = if *stdin { from_stdin()? } else { generated() };
    if password.is_empty() {
        return Err(usage("the password on stdin is empty".to_owned()).into());
    }
    write(file, &vehicle_id, &passwords::hash(&password))?;
    let shown = (!stdin).then_some(&password);
    if *json {
        let report =
            json!({"schema_version": SCHEMA_VERSION, "file": file, "vehicle_id": vehicle_id.as_str(), "password": shown});
        println!("{report}");
    } else if let Some(password) = shown {
        println!("{password}");
    }
    eprintln!("{} knows {vehicle_id} by a new password", file.display());
    Ok(ExitCode::SUCCESS)
}

fn from_stdin() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin().take(MAX_PASSWORD_BYTES).read_to_string(&mut text).context("cannot read a password from stdin")?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn generated() -> String {
    let mut chance = rand::rng();
    (0..GENERATED_LENGTH).map(|_| char::from(ALPHABET[chance.random_range(0..ALPHABET.len())])).collect()
}

/// In place of the vehicle's line, or behind the last; by rename, so that a server reads the old file or the new one.
fn write(path: &Path, vehicle_id: &VehicleId, hash: &str) -> anyhow::Result<()> {
    let place = || format!("cannot write {}", path.display());
    let before = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    if !before.is_empty() {
        // Else a file with a mistake in it, or quite another one, would be made worse.
        Passwords::open(path)?;
    }
    let line = format!("{vehicle_id}:{hash}");
    let is_its_own = |text: &str| text.trim().split_once(':').is_some_and(|(id, _)| id == vehicle_id.as_str());
    let mut lines: Vec<&str> = before.lines().map(|text| if is_its_own(text) { &*line } else { text }).collect();
    if !lines.contains(&&*line) {
        lines.push(&line);
    }
    // Whoever may read it, for example the group of the service, may go on reading it.
    let mode = fs::metadata(path).map_or(0o600, |metadata| metadata.permissions().mode() & 0o7777);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder).with_context(place)?;
    file.write_all((lines.join("\n") + "\n").as_bytes()).with_context(place)?;
    file.as_file().set_permissions(Permissions::from_mode(mode)).with_context(place)?;
    file.as_file().sync_all().with_context(place)?;
    file.persist(path).with_context(place)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_is_added_or_replaced_and_everything_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwords");
        let id = |text: &str| VehicleId::new(text).unwrap();
        write(&path, &id("truck-7"), &passwords::hash("seven")).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, format!("# ours\n{}", fs::read_to_string(&path).unwrap())).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        write(&path, &id("truck-8"), &passwords::hash("eight")).unwrap();
        write(&path, &id("truck-7"), &passwords::hash("another")).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let ids: Vec<_> = text.lines().map(|line| line.split(':').next().unwrap()).collect();
        assert_eq!(ids, ["# ours", "truck-7", "truck-8"]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        fs::write(&path, "something else\n").unwrap();
        write(&path, &id("truck-7"), &passwords::hash("seven")).unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "something else\n");
    }

    #[test]
    fn generated_passwords_differ_and_are_long() {
        let (one, other) = (generated(), generated());
        assert_ne!(one, other);
        assert_eq!((one.len(), one.bytes().all(|byte| byte.is_ascii_alphanumeric())), (24, true));
    }
}
