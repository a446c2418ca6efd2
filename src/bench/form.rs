//! The service that is measured: everything in one process, or a process for each role. What is measured of it: `line`.

use std::fs::File;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use super::process::{self, ProcError, Usage};
use super::service::{Service, ServiceError};

/// In the order in which they start: whom others ask comes first.
const ROLES: [&str; 4] = ["storage", "analytics", "dashboard", "ingest"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    OneProcess,
    /// Joined by links over loopback, without certificates.
    RolesApart,
}

impl Form {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneProcess => "one process",
            Self::RolesApart => "roles apart",
        }
    }
}

/// All its processes. Killed when dropped.
pub struct Running {
    processes: Vec<(&'static str, Service)>,
}

#[derive(Debug, thiserror::Error)]
pub enum FormError {
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error("could not write the settings of the role {role}: {source}")]
    Settings { role: &'static str, source: io::Error },
}

/// Whose links a role needs.
fn asked_by(role: &str) -> &'static [&'static str] {
    match role {
        "analytics" => &["storage"],
        "dashboard" => &["storage", "analytics"],
        "ingest" => &["analytics"],
        _ => &[],
    }
}

/// Readable by nobody else, since the address of an archive may hold a password.
fn write_private(file: &Path, text: &str) -> io::Result<()> {
    File::options().write(true).create_new(true).mode(0o600).open(file)?.write_all(text.as_bytes())
}

impl Running {
    /// `settings`: TOML that every process gets, less roles and links. `folder` takes their data, settings and messages.
    pub fn start(executable: &Path, form: Form, folder: &Path, settings: &str) -> Result<Self, FormError> {
        let mut running = Self { processes: Vec::new() };
        match form {
            Form::OneProcess => running.add(executable, folder, "all", settings)?,
            Form::RolesApart => {
                for role in ROLES {
                    let links: String = asked_by(role).iter().map(|asked| running.link_to(asked)).collect();
                    running.add(executable, folder, role, &format!("roles = [{role:?}]\n[links]\n{links}{settings}"))?;
                }
            }
        }
        Ok(running)
    }

    fn add(&mut self, executable: &Path, folder: &Path, role: &'static str, settings: &str) -> Result<(), FormError> {
        let file = folder.join(format!("{role}.toml"));
        write_private(&file, settings).map_err(|source| FormError::Settings { role, source })?;
        let arguments = ["--config", file.to_str().expect("a name of ours in a folder that the command line named")];
        let (data, messages) = (folder.join(role), folder.join(format!("{role}.log")));
        self.processes.push((role, Service::start(executable, &data, &messages, &arguments)?));
        Ok(())
    }

    fn link_to(&self, role: &str) -> String {
        format!("{role} = \"http://{}\"\n", self.with(role).grpc())
    }

    fn with(&self, role: &str) -> &Service {
        let found = self.processes.iter().find(|(name, _)| *name == role || *name == "all");
        &found.expect("each role has a process").1
    }

    /// Where vehicles connect.
    #[must_use]
    pub fn mqtt(&self) -> SocketAddr {
        self.with("ingest").mqtt()
    }

    /// Where people ask.
    #[must_use]
    pub fn api(&self) -> SocketAddr {
        self.with("dashboard").http()
    }

    /// Where each process shows its metrics.
    #[must_use]
    pub fn metrics(&self) -> Vec<SocketAddr> {
        self.processes.iter().map(|(_, service)| service.http()).collect()
    }

    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(|(_, service)| service.pid()).collect()
    }

    /// Of each process, by its role; `all` where there is one.
    pub fn usages(&self) -> Result<Vec<(&'static str, Usage)>, ProcError> {
        self.processes.iter().map(|(role, service)| Ok((*role, process::usage(service.pid())?))).collect()
    }

    /// The last messages of each.
    #[must_use]
    pub fn messages(&self) -> String {
        self.processes.iter().fold(String::new(), |text, (role, service)| format!("{text}{role}:\n{}\n", service.messages()))
    }

    /// From the ways in to storage, so that everything drains; returns the first that did not end well.
    pub fn stop(mut self, within: Duration) -> Result<Option<(&'static str, std::process::ExitStatus)>, ServiceError> {
        while let Some((role, service)) = self.processes.pop() {
            let status = service.stop(within)?;
            if !status.success() {
                return Ok(Some((role, status)));
            }
        }
        Ok(None)
    }
}
