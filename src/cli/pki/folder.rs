//! The folder of an authority: which certificates were made for whom, and their files, each of which is replaced whole. Signs nothing.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::domain::Timestamp;
use crate::tls::Certificate;

pub(super) const AUTHORITY: &str = "authority";
const REVOKED: &str = "revoked";
/// Every certificate that was ever made here: a name that was renewed has several, and all of them have to be revoked with it.
const RECORD: &str = "issued.json";
const SCHEMA_VERSION: u32 = 1;

#[derive(Debug, thiserror::Error)]
pub(super) enum FolderError {
    #[error("{0} has an authority already; whatever it signed would be worth nothing with another one. Choose another folder")]
    Taken(PathBuf),
    #[error("{0} has no authority; `odograph pki init {0}` makes one")]
    NoAuthority(PathBuf),
    #[error("{name:?} has a certificate already; `odograph pki renew` makes a new one for it")]
    NameTaken { name: String },
    #[error("{name:?} has no certificate here; `odograph pki list` says which there are")]
    Unknown { name: String },
    #[error(
        "{name:?} is no name for a file: letters, digits, `.`, `_` and `-`, at most 64, and neither `authority` nor `revoked`"
    )]
    Name { name: String },
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path} is no record of certificates: {source}")]
    Record { path: PathBuf, source: serde_json::Error },
    #[error("{path} is of a newer version of odograph")]
    Newer { path: PathBuf },
}

impl FolderError {
    pub fn is_refusal(&self) -> bool {
        !matches!(self, Self::Io { .. } | Self::Record { .. })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Authority,
    Server,
    Service,
    Vehicle,
}

/// A certificate with its key, not yet in any file.
pub(super) struct Made {
    pub certificate: String,
    pub private_key: String,
    pub says: Certificate,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Issued {
    pub name: String,
    pub kind: Kind,
    /// Hexadecimal.
    pub serial: String,
    pub ends_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}

impl Issued {
    fn of(name: &str, kind: Kind, says: &Certificate) -> Self {
        let digits: Vec<String> = says.serial.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { name: name.to_owned(), kind, serial: digits.concat(), ends_at: says.valid_until, revoked_at: None }
    }

    fn serial_bytes(&self) -> Vec<u8> {
        let digit = |at: usize| u8::from_str_radix(self.serial.get(at..at + 2)?, 16).ok();
        (0..self.serial.len()).step_by(2).filter_map(digit).collect()
    }

    fn state(&self, now: Timestamp) -> &'static str {
        match self.revoked_at {
            Some(_) => "revoked",
            None if self.ends_at < now => "expired",
            None => "valid",
        }
    }

    pub fn as_text(&self, now: Timestamp) -> String {
        let kind = format!("{:?}", self.kind).to_lowercase();
        format!("{:<24} {kind:<9} {:<40} ends {} {}", self.name, self.serial, self.ends_at, self.state(now))
    }

    pub fn as_json(&self, now: Timestamp) -> Value {
        let Self { name, kind, serial, ends_at, revoked_at } = self;
        let state = self.state(now);
        json!({"name": name, "kind": kind, "serial": serial, "ends_at": ends_at, "state": state, "revoked_at": revoked_at})
    }
}

#[derive(Serialize, Deserialize)]
struct Record {
    schema_version: u32,
    certificates: Vec<Issued>,
}

/// One process at a time holds it.
pub(super) struct Folder {
    path: PathBuf,
    issued: Vec<Issued>,
    _lock: File,
}

impl Folder {
    /// With an authority that `make` writes into it.
    pub fn create<E>(path: &Path, make: impl FnOnce(&Path) -> Result<Made, E>) -> anyhow::Result<Issued>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| io(path, source))?;
        let lock = lock(path)?;
        if path.join(format!("{AUTHORITY}.key")).exists() || path.join(format!("{AUTHORITY}.pem")).exists() {
            return Err(FolderError::Taken(path.to_owned()).into());
        }
        let authority = make(path)?;
        let mut folder = Self { path: path.to_owned(), issued: Vec::new(), _lock: lock };
        folder.issued.push(Issued::of(AUTHORITY, Kind::Authority, &authority.says));
        folder.save()?;
        // So that settings may name it from the start.
        folder.write_revocations("")?;
        Ok(folder.issued.remove(0))
    }

    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let record = path.join(RECORD);
        if !record.exists() {
            return Err(FolderError::NoAuthority(path.to_owned()));
        }
        let lock = lock(path)?;
        let text = fs::read(&record).map_err(|source| io(&record, source))?;
        let Record { schema_version, certificates } =
            serde_json::from_slice(&text).map_err(|source| FolderError::Record { path: record.clone(), source })?;
        if schema_version > SCHEMA_VERSION {
            return Err(FolderError::Newer { path: record });
        }
        Ok(Self { path: path.to_owned(), issued: certificates, _lock: lock })
    }

    pub fn issued(&self) -> &[Issued] {
        &self.issued
    }

    pub fn check_free(&self, name: &str) -> Result<(), FolderError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let is_file = (1..=64).contains(&name.len()) && name.bytes().all(is_plain) && !name.starts_with('.');
        if !is_file || name == AUTHORITY || name == REVOKED {
            return Err(FolderError::Name { name: name.to_owned() });
        }
        if self.newest(name).is_ok() {
            return Err(FolderError::NameTaken { name: name.to_owned() });
        }
        Ok(())
    }

    pub fn newest(&self, name: &str) -> Result<&Issued, FolderError> {
        let newest = self.issued.iter().rev().find(|one| one.name == name && one.kind != Kind::Authority);
        newest.ok_or_else(|| FolderError::Unknown { name: name.to_owned() })
    }

    /// Recorded before there is a file of it: what nobody knows of cannot be revoked.
    pub fn add<'a>(&mut self, made: impl IntoIterator<Item = (&'a str, Made)>, kind: Kind) -> Result<Vec<Issued>, FolderError> {
        let made: Vec<(&str, Made)> = made.into_iter().collect();
        let first = self.issued.len();
        self.issued.extend(made.iter().map(|(name, made)| Issued::of(name, kind, &made.says)));
        self.save()?;
        for (name, Made { certificate, private_key, .. }) in &made {
            let (key, pem) = (self.path.join(format!("{name}.key")), self.path.join(format!("{name}.pem")));
            write_private(&key, private_key).map_err(|source| io(&key, source))?;
            // Until it is there too, whoever reads both finds that they do not go together, and keeps what was before.
            write_public(&pem, certificate).map_err(|source| io(&pem, source))?;
        }
        Ok(self.issued[first..].to_vec())
    }

    /// All of a name that are not revoked yet. `sign` makes a list of all that ever were.
    pub fn revoke<E>(
        &mut self,
        name: &str,
        now: Timestamp,
        sign: impl FnOnce(&[(Vec<u8>, Timestamp)]) -> Result<String, E>,
    ) -> anyhow::Result<Vec<Issued>>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        self.newest(name)?;
        for one in self.issued.iter_mut().filter(|one| one.name == name) {
            one.revoked_at.get_or_insert(now);
        }
        let revoked: Vec<_> = self.issued.iter().filter_map(|one| Some((one.serial_bytes(), one.revoked_at?))).collect();
        let list = sign(&revoked)?;
        self.save()?;
        self.write_revocations(&list)?;
        Ok(self.issued.iter().filter(|one| one.name == name).cloned().collect())
    }

    fn save(&self) -> Result<(), FolderError> {
        let path = self.path.join(RECORD);
        let record = Record { schema_version: SCHEMA_VERSION, certificates: self.issued.clone() };
        let text = serde_json::to_string_pretty(&record).expect("texts and numbers are JSON");
        write_public(&path, &text).map_err(|source| io(&path, source))
    }

    /// Ids of vehicles and comments that somebody wrote into the file stay there.
    fn write_revocations(&self, list: &str) -> Result<(), FolderError> {
        let path = self.path.join(format!("{REVOKED}.pem"));
        let before = fs::read_to_string(&path).unwrap_or_default();
        let by_hand: String = outside_of_pem(&before).flat_map(|line| [line, "\n"]).collect();
        write_public(&path, &format!("{by_hand}{list}")).map_err(|source| io(&path, source))
    }
}

fn outside_of_pem(text: &str) -> impl Iterator<Item = &str> {
    let mut is_pem = false;
    text.lines().filter(move |line| {
        is_pem |= line.starts_with("-----BEGIN ");
        let is_outside = !is_pem;
        is_pem &= !line.starts_with("-----END ");
        is_outside
    })
}

fn lock(path: &Path) -> Result<File, FolderError> {
    let file = File::open(path).map_err(|source| io(path, source))?;
    flock(&file, FlockOperation::LockExclusive).map_err(|source| io(path, source.into()))?;
    Ok(file)
}

fn io(path: &Path, source: std::io::Error) -> FolderError {
    FolderError::Io { path: path.to_owned(), source }
}

/// Readable by its owner alone, from the first byte on.
pub(super) fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    write(path, text, 0o600)
}

pub(super) fn write_public(path: &Path, text: &str) -> std::io::Result<()> {
    write(path, text, 0o644)
}

/// By rename: a server that reads it meanwhile sees the old file or the new one.
fn write(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
