//! Which parts of the service a process is, and where it finds the others.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Settings, TlsFiles};

/// What a process does. One that does all of them needs no links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Takes readings in.
    Ingest,
    /// Judges them.
    Analytics,
    /// Keeps them: journal, archive, live state.
    Storage,
    /// Shows them, and takes commands of people.
    Dashboard,
}

/// The processes that have the roles that this one has not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Links {
    /// `http://HOST:PORT`, or `https://HOST:PORT` with the files below: the gRPC address of the process with the role. Empty where this process has it, or nobody asks it.
    pub analytics: String,
    pub storage: String,
    /// This process's own, by which the others know it.
    pub certificate: PathBuf,
    pub private_key: PathBuf,
    /// Whose signature theirs must bear.
    pub authority: PathBuf,
}

impl Links {
    #[must_use]
    pub fn tls(&self) -> TlsFiles {
        let Self { certificate, private_key, authority, .. } = self.clone();
        TlsFiles { certificate, private_key, authority }
    }
}

impl Role {
    pub(super) const ALL: [Self; 4] = [Self::Ingest, Self::Analytics, Self::Storage, Self::Dashboard];
}

impl Settings {
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Nothing has to be asked of another process, or is asked by one.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        Role::ALL.iter().all(|role| self.has(*role))
    }

    pub(super) fn role_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.roles.is_empty() {
            problems
                .push("`roles` is empty; name some of ingest, analytics, storage, dashboard, or leave it out for all".to_owned());
        }
        let needs_analytics = self.has(Role::Ingest) || self.has(Role::Dashboard);
        let needs_storage =
            self.has(Role::Analytics) || self.has(Role::Dashboard) || (self.has(Role::Ingest) && self.ingest.only_registered);
        for (role, name, link, is_needed) in [
            (Role::Analytics, "analytics", &self.links.analytics, needs_analytics),
            (Role::Storage, "storage", &self.links.storage, needs_storage),
        ] {
            if is_needed && !self.has(role) && link.is_empty() {
                problems.push(format!(
                    "`links.{name}` is empty: this process has not the role {name} and has to know where it is, such as http://127.0.0.1:50051"
                ));
            }
            if self.has(role) && !link.is_empty() {
                problems.push(format!("`links.{name}` is set, and this process has the role {name} itself"));
            }
            if link.starts_with("https://") && !self.links.tls().has_authority() {
                problems.push(format!("`links.{name}` is https, and `links.authority` is empty: nobody would be believed"));
            }
            if !link.is_empty() && !link.starts_with("http://") && !link.starts_with("https://") {
                problems.push(format!("`links.{name}` is {link:?}; write https://HOST:PORT, or http://HOST:PORT without TLS"));
            }
        }
        problems
    }
}
