//! `odograph bench line`: starts the service and the load as processes of their own, and reads back what was kept. The figures: `report`.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::exposition::Pages;
use super::form::{FormError, Running};
use super::generator::{Generated, Rate};
use super::http::Client;
use super::ledger::Ledger;
use super::postgres::{self, Promise, Server, ServerError, run_sql};
use super::process::{self, ProcError};
use super::read_back::{self, ReadBackError};
use super::report::{Disk, Observed, Report};
use super::service::ServiceError;

pub use super::form::Form;

const STOP_WITHIN: Duration = Duration::from_mins(1);
/// Writes that are timed to say how fast the disk makes things durable.
const TIMED_SYNCS: usize = 51;

#[derive(Debug, Clone)]
pub struct LineBench {
    /// This program.
    pub executable: PathBuf,
    pub rate: Rate,
    pub warm_up: Duration,
    pub measured: Duration,
    pub vehicles: u32,
    pub seed: u64,
    pub archive: BenchArchive,
    pub form: Form,
    /// A folder for the run is made (and removed) in here.
    pub scratch: PathBuf,
}

/// Where the service keeps what it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BenchArchive {
    Sqlite,
    /// On the server at this address, in a database that is made for the run and dropped after it; none: on a server of its own.
    Postgres(Option<String>),
}

impl BenchArchive {
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LineError {
    #[error(transparent)]
    Postgres(#[from] ServerError),
    #[error(transparent)]
    Form(#[from] FormError),
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error("{0}; the last messages of the service:\n{1}")]
    ReadBack(ReadBackError, String),
    #[error(transparent)]
    Proc(#[from] ProcError),
    #[error("could not use {path}: {source}")]
    Scratch { path: PathBuf, source: std::io::Error },
    #[error("the load generator failed ({0}); the last messages of the service:\n{1}")]
    Generator(String, String),
    #[error(
        "{vehicles} vehicles need {needed} open files, a process may have {limit} here; raise `ulimit -n` or give fewer --vehicles"
    )]
    OpenFiles { vehicles: u32, needed: u64, limit: u64 },
    #[error("{process} ended with {status} when it was asked to stop; the last messages of the service:\n{messages}")]
    UncleanStop { process: &'static str, status: std::process::ExitStatus, messages: String },
}

const OUR_NAME: &str = "a name of ours in a folder that the command line named";
/// Scores these readings from the eighth on; the models that score by default want minutes of history, or hours.
const MODEL: &[u8] = include_bytes!("../../models/drive_autoencoder/drive_autoencoder.onnx");
/// Open files beside the connections: journal, archive, probes, runtime.
const SPARE_FILES: u64 = 100;

impl LineBench {
    pub fn run(&self) -> Result<Report, LineError> {
        let limit = process::raise_open_files_limit().unwrap_or(1_024);
        let needed = u64::from(self.vehicles) + SPARE_FILES;
        if needed > limit {
            return Err(LineError::OpenFiles { vehicles: self.vehicles, needed, limit });
        }
        let scratch = |source| LineError::Scratch { path: self.scratch.clone(), source };
        let folder = tempfile::Builder::new().prefix("odograph-bench-").tempdir_in(&self.scratch).map_err(scratch)?;
        let disk = Disk { fdatasync_ms: median_sync_ms(folder.path()).map_err(scratch)? };
        let ledger = folder.path().join("ledger");

        let place = Place::make(&self.archive)?;
        let model = folder.path().join("model.onnx");
        std::fs::write(&model, MODEL).map_err(scratch)?;
        let settings = place.settings(model.to_str().expect(OUR_NAME));
        let service = Running::start(&self.executable, self.form, folder.path(), &settings)?;
        let server_before = place.cpu_us();
        let idle = service.usages()?;
        eprintln!("The service ({}) runs at {}; connecting {} vehicles.", self.form.name(), service.mqtt(), self.vehicles);
        let generated = self.generate(&service, &ledger)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(scratch)?;
        eprintln!("Load done: {} acknowledged. Waiting for the archive and reading back.", generated.acknowledged);
        let explained = |error| LineError::ReadBack(error, service.messages());
        let mut pages = Pages::new(&service.metrics());
        let stored_after = runtime.block_on(read_back::wait_until_stored(&mut pages)).map_err(explained)?;
        let drained = service.usages()?;
        let archive_cpu_us = place.cpu_us().zip(server_before).map(|(after, before)| after - before);
        let ledger = Ledger::read(&ledger).map_err(scratch)?;
        let mut client = Client::new(service.api());
        let comparison = runtime.block_on(read_back::compare(&mut client, &ledger)).map_err(explained)?;
        let quarantined = runtime.block_on(read_back::quarantined(&mut client)).map_err(explained)?;
        let messages = service.messages();
        if let Some((process, status)) = service.stop(STOP_WITHIN)? {
            return Err(LineError::UncleanStop { process, status, messages });
        }
        let machine = process::machine()?;
        let bench = self;
        Ok(Report::new(Observed {
            bench,
            generated,
            comparison,
            quarantined,
            stored_after,
            idle,
            drained,
            disk,
            machine,
            archive_cpu_us,
        }))
    }

    /// Runs the load as a child, so that its CPU and memory are its own.
    fn generate(&self, service: &Running, ledger: &Path) -> Result<Generated, LineError> {
        let failed = |what: String| LineError::Generator(what, service.messages());
        let rate = match self.rate {
            Rate::PerSecond(per_second) => per_second.to_string(),
            Rate::Max { .. } => "max".to_owned(),
        };
        let on_the_way = match self.rate {
            Rate::PerSecond(_) => 1,
            Rate::Max { on_the_way } => on_the_way,
        };
        let pids = service.pids().into_iter().flat_map(|pid| ["--service-pid".to_owned(), pid.to_string()]);
        let metrics = service.metrics().into_iter().flat_map(|address| ["--metrics".to_owned(), address.to_string()]);
        let output = Command::new(&self.executable)
            .args(["bench", "generate", "--rate", &rate, "--on-the-way", &on_the_way.to_string()])
            .args(["--warm-up", &self.warm_up.as_secs_f64().to_string(), "--seconds", &self.measured.as_secs_f64().to_string()])
            .args(["--vehicles", &self.vehicles.to_string(), "--seed", &self.seed.to_string()])
            .args(["--mqtt", &service.mqtt().to_string(), "--http", &service.api().to_string()])
            .args(pids.chain(metrics))
            .arg("--ledger")
            .arg(ledger)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            return Err(failed(output.status.to_string()));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| failed(format!("its result: {error}")))
    }
}

/// The archive of a run.
enum Place {
    Sqlite,
    Own(Server),
    Named { database: String, server: String, name: String },
}

impl Place {
    fn make(archive: &BenchArchive) -> Result<Self, ServerError> {
        Ok(match archive {
            BenchArchive::Sqlite => Self::Sqlite,
            BenchArchive::Postgres(None) => Self::Own(Server::start(Promise::Durable)?),
            BenchArchive::Postgres(Some(server)) => {
                let name = format!("odograph_bench_{}", std::process::id());
                run_sql(server, &format!("create database {name}"))?;
                Self::Named { database: postgres::on_server(server, &name), server: server.clone(), name }
            }
        })
    }

    /// As TOML.
    fn settings(&self, model: &str) -> String {
        let url = match self {
            Self::Sqlite => String::new(),
            Self::Own(server) => server.url("postgres"),
            Self::Named { database, .. } => database.clone(),
        };
        format!("[archive]\nurl = {url:?}\n[analytics]\nmodels = [{model:?}]\n")
    }

    /// Of a server of our own; others may have more to do.
    fn cpu_us(&self) -> Option<u64> {
        if let Self::Own(server) = self { server.cpu_us() } else { None }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Self::Named { server, name, .. } = self
            && let Err(error) = run_sql(server, &format!("drop database {name} with (force)"))
        {
            eprintln!("The database {name} could not be dropped: {error}");
        }
    }
}

const BLOCK_BYTES: usize = 4_096;

/// How long the disk under `folder` takes to make 4 KiB durable: nothing can be acknowledged faster.
fn median_sync_ms(folder: &Path) -> std::io::Result<f64> {
    let path = folder.join("sync");
    let mut file = File::create(&path)?;
    file.write_all(&vec![0; TIMED_SYNCS * BLOCK_BYTES])?;
    file.sync_all()?;
    file.rewind()?;
    let mut times = Vec::with_capacity(TIMED_SYNCS);
    for _ in 0..TIMED_SYNCS {
        file.write_all(&[7; BLOCK_BYTES])?;
        let since = Instant::now();
        file.sync_data()?;
        times.push(since.elapsed());
    }
    std::fs::remove_file(path)?;
    times.sort_unstable();
    Ok(times[TIMED_SYNCS / 2].as_secs_f64() * 1e3)
}
