//! Certificates as a user makes them: by `odograph pki`, in a folder of their own.

use std::path::{Path, PathBuf};

use odograph::settings::TlsFiles;
use serde_json::Value;
use tempfile::TempDir;

use super::odograph;

pub struct Pki {
    folder: TempDir,
}

impl Pki {
    pub fn new() -> Self {
        let pki = Self { folder: tempfile::tempdir().unwrap() };
        pki.run(&["init"], &[]);
        pki
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// For this machine.
    pub fn server(&self, name: &str) -> TlsFiles {
        self.run(&["server"], &[name, "--address", "127.0.0.1", "localhost"]);
        self.files(name)
    }

    /// That may be asked on this machine, too.
    pub fn service(&self, name: &str) -> TlsFiles {
        self.run(&["service"], &[name, "--address", "127.0.0.1", "localhost"]);
        self.files(name)
    }

    pub fn vehicle(&self, id: &str) -> TlsFiles {
        self.vehicle_for(id, "30d")
    }

    pub fn vehicle_for(&self, id: &str, valid_for: &str) -> TlsFiles {
        self.run(&["vehicle"], &[id, "--valid-for", valid_for]);
        self.files(id)
    }

    pub fn renew(&self, name: &str) {
        self.run(&["renew"], &[name]);
    }

    pub fn revoke(&self, name: &str) {
        self.run(&["revoke"], &[name]);
    }

    pub fn files(&self, name: &str) -> TlsFiles {
        TlsFiles {
            certificate: self.file(&format!("{name}.pem")),
            private_key: self.file(&format!("{name}.key")),
            authority: self.file("authority.pem"),
        }
    }

    /// For a client that trusts this authority and shows nothing.
    pub fn nobody(&self) -> TlsFiles {
        TlsFiles { authority: self.file("authority.pem"), ..TlsFiles::default() }
    }

    /// What it says, with `--json`.
    pub fn run(&self, command: &[&str], arguments: &[&str]) -> Value {
        let folder = self.path().to_str().unwrap();
        let output = odograph(&[&["pki"], command, &[folder], arguments, &["--json"]].concat());
        assert!(output.status.success(), "{command:?} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}
