//! Passwords of vehicles: a file of argon2id hashes, read again when it changes, and a check that a flood of log-ins cannot turn against
//! the machine. Knows no protocol.
//!
//! Each line is `vehicle_id:$argon2id$…`; `#` begins a comment. `odograph password` writes them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

use crate::domain::{VehicleId, VehicleIdError};
use crate::tls::Watched;

/// Passwords that are checked at once: each takes 20 MB and tens of milliseconds of a core, which other work needs too.
const CHECKS: usize = 2;

/// Log-ins that wait for their turn: a few seconds' worth. Full: further ones are told to come again.
const WAITING: usize = 64;

/// A hash that asks for more memory is refused: several are computed at once.
const MAX_MEMORY_KIB: u32 = 64 * 1024;
const MAX_PASSES: u32 = 16;
const MAX_THREADS: u32 = 4;

#[derive(Debug, thiserror::Error)]
pub enum PasswordsError {
    #[error("cannot read {path}: {source}; `odograph password {path} VEHICLE_ID` makes it")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{path}, line {line}: {source}")]
    Id { path: PathBuf, line: usize, source: VehicleIdError },
    #[error("{path}, line {line}: {problem}; a line is `vehicle_id:$argon2id$…`, as `odograph password` writes it")]
    Line { path: PathBuf, line: usize, problem: &'static str },
}

/// What a log-in has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogIn {
    Proven(PasswordProof),
    /// The name or the password is wrong; which of them, nobody is told.
    Wrong,
    /// As many wait as may.
    Busy,
}

/// By which entry of the file somebody is known. It holds as long as the entry stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordProof {
    pub vehicle_id: VehicleId,
    hash: Arc<str>,
}

type Entries = HashMap<VehicleId, Arc<str>>;

pub struct Passwords {
    entries: Watched<Entries>,
    /// Computed for names that are not in the file, so that an answer's time does not say which names are.
    stand_in: Arc<str>,
    checks: Arc<Semaphore>,
    places: Semaphore,
}

impl Passwords {
    /// # Errors
    /// Where the file is missing or not such a file; the message says where.
    pub fn open(path: &Path) -> Result<Self, PasswordsError> {
        let file = path.to_owned();
        let entries = Watched::new("passwords", [path.to_owned()], move || read(&file))?;
        let stand_in = hash("nobody's").into();
        Ok(Self { entries, stand_in, checks: Arc::new(Semaphore::new(CHECKS)), places: Semaphore::new(CHECKS + WAITING) })
    }

    /// Takes as long, and as much, whether the name is known or not.
    pub async fn check(&self, name: &str, password: &[u8]) -> LogIn {
        let Ok(_place) = self.places.try_acquire() else { return LogIn::Busy };
        let known = VehicleId::new(name).ok().and_then(|vehicle_id| {
            let hash = Arc::clone(self.entries.get().get(&vehicle_id)?);
            Some(PasswordProof { vehicle_id, hash })
        });
        let asked = Arc::clone(known.as_ref().map_or(&self.stand_in, |proof| &proof.hash));
        let password = password.to_owned();
        let Ok(turn) = Arc::clone(&self.checks).acquire_owned().await else { return LogIn::Busy };
        // The turn goes along: a client that goes away meanwhile gives nobody else room before the work is done.
        let checked = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            fits(&password, &asked)
        });
        match (checked.await, known) {
            (Ok(true), Some(proof)) => LogIn::Proven(proof),
            _ => LogIn::Wrong,
        }
    }

    /// Whether it would still let in whoever it let in.
    pub fn still_holds(&self, proof: &PasswordProof) -> bool {
        self.entries.get().get(&proof.vehicle_id) == Some(&proof.hash)
    }
}

/// For a line of the file: argon2id with a salt of its own, with the parameters that OWASP recommends (19 MiB, 2 passes).
///
/// # Panics
/// Never: the parameters are the crate's own, and the system has randomness.
#[must_use]
pub fn hash(password: &str) -> String {
    let salt: [u8; 16] = rand::random();
    let hashed = Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
    hashed.expect("the default parameters are valid, and so is a salt of 16 bytes").to_string()
}

fn fits(password: &[u8], hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok())
}

fn read(path: &Path) -> Result<Entries, PasswordsError> {
    let text = std::fs::read_to_string(path).map_err(|source| PasswordsError::Unreadable { path: path.to_owned(), source })?;
    let mut entries = Entries::new();
    for (number, text) in (1..).zip(text.lines()) {
        let line = |problem| PasswordsError::Line { path: path.to_owned(), line: number, problem };
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let (id, hash) = text.split_once(':').ok_or_else(|| line("there is no `:` in it"))?;
        let id = VehicleId::new(id).map_err(|source| PasswordsError::Id { path: path.to_owned(), line: number, source })?;
        check_hash(hash).map_err(line)?;
        if entries.insert(id, hash.into()).is_some() {
            return Err(line("this vehicle was on an earlier line already"));
        }
    }
    Ok(entries)
}

fn check_hash(hash: &str) -> Result<(), &'static str> {
    let parsed = PasswordHash::new(hash).map_err(|_| "what follows the `:` is no hash")?;
    if parsed.algorithm.as_str() != "argon2id" || parsed.hash.is_none() || parsed.salt.is_none() {
        return Err("the hash is not a whole one of argon2id");
    }
    let params = argon2::Params::try_from(&parsed).map_err(|_| "the parameters of the hash are not argon2's")?;
    let is_bearable = params.m_cost() <= MAX_MEMORY_KIB && params.t_cost() <= MAX_PASSES && params.p_cost() <= MAX_THREADS;
    if is_bearable { Ok(()) } else { Err("the hash asks for more than 64 MiB, 16 passes or 4 threads") }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::ingest::fixtures::soon;

    fn file(lines: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwords");
        let lines: Vec<String> = lines.iter().map(|(id, password)| format!("{id}:{}\n", hash(password))).collect();
        fs::write(&path, format!("# vehicles\n\n{}", lines.concat())).unwrap();
        (folder, path)
    }

    #[tokio::test]
    async fn the_right_password_opens_its_own_name_alone() {
        let (_folder, path) = file(&[("truck-7", "seven"), ("truck-8", "eight")]);
        let passwords = Passwords::open(&path).unwrap();
        let LogIn::Proven(proof) = passwords.check("truck-7", b"seven").await else { panic!("it is right") };
        assert_eq!(proof.vehicle_id.as_str(), "truck-7");
        assert!(passwords.still_holds(&proof));
        for (name, password) in
            [("truck-7", "eight"), ("truck-8", "seven"), ("truck-9", "nobody's"), ("+", "seven"), ("truck-7", "")]
        {
            assert_eq!(passwords.check(name, password.as_bytes()).await, LogIn::Wrong, "{name} {password}");
        }
    }

    #[tokio::test]
    async fn more_log_ins_than_may_wait_are_told_to_come_again() {
        let (_folder, path) = file(&[("truck-7", "seven")]);
        let passwords = Passwords::open(&path).unwrap();
        // Nobody's turn comes meanwhile.
        let turns = Arc::clone(&passwords.checks).acquire_many_owned(2).await.unwrap();
        let mut waiting: Vec<_> = (0..CHECKS + WAITING).map(|_| Box::pin(passwords.check("truck-7", b"wrong"))).collect();
        for one in &mut waiting {
            assert!(futures_util::poll!(one).is_pending());
        }
        assert_eq!(soon(passwords.check("truck-7", b"seven")).await, LogIn::Busy);
        drop((waiting, turns));
        assert!(matches!(passwords.check("truck-7", b"seven").await, LogIn::Proven(_)));
    }

    #[test]
    fn a_file_that_is_wrong_is_refused_with_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwords");
        let good = hash("a");
        for (text, expected) in [
            ("truck-7".to_owned(), "line 1: there is no `:`"),
            ("# a\ntruck 7:x".to_owned(), "line 2: a vehicle id consists of"),
            ("truck-7:seven".to_owned(), "line 1: what follows the `:` is no hash"),
            (format!("a:{good}\na:{good}"), "line 2: this vehicle was on an earlier line"),
            (format!("a:{}", good.replace("argon2id", "argon2i")), "not a whole one of argon2id"),
            (format!("a:{}", good.replace("m=19456", "m=4194304")), "more than 64 MiB"),
        ] {
            fs::write(&path, text).unwrap();
            let error = Passwords::open(&path).err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
