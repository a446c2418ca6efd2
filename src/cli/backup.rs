//! `odograph backup` and `odograph restore`: settings in, a sentence or JSON out. How: `backup`.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::{Failure, spinner};
use crate::backup::{self, Manifest};
use crate::settings::{Settings, Sources};

const SCHEMA_VERSION: u32 = 1;

const ABOUT_BACKUPS: &str = "A service may run meanwhile: everything that it acknowledged before the backup began is in it. The folder holds journal, states,
archive and a manifest with checksums; it is readable by you only. An archive on PostgreSQL is copied by pg_dump, which must be
installed and not older than the server. Not in it: the settings (a copy without passwords is there to look at), and files that they
name, such as models and fences; what judged is in the archive. As long as it takes, the archive and the journal keep what they would
otherwise delete, so leave room.

Exit codes: 0 done; 1 it failed, and what is in DIR is no backup; 3 the settings are wrong; 4 the archive does not answer; 5 refused,
since DIR is not empty or there is nothing to back up.";

const ABOUT_RESTORES: &str = "Every checksum is verified before anything is written. An archive on PostgreSQL is filled by pg_restore; the database that `archive.url`
names must be there, and empty. Then start the service on the folder: it goes on where the backup ended. Vehicles do not send
again what the old service acknowledged after the backup, so that is missing.

Exit codes: 0 done; 1 it failed, or the backup is damaged; 3 the settings are wrong; 4 the archive does not answer; 5 refused, since
the data folder is in use or not empty, or the backup is of a newer version or of another kind of archive.";

#[derive(Debug, clap::Args)]
#[command(after_help = ABOUT_BACKUPS)]
pub struct BackupArgs {
    /// Where to; empty, or not there yet
    #[arg(value_name = "DIR")]
    into: PathBuf,
    #[command(flatten)]
    deployment: Deployment,
}

#[derive(Debug, clap::Args)]
#[command(after_help = ABOUT_RESTORES)]
pub struct RestoreArgs {
    /// A folder that `odograph backup` made
    #[arg(value_name = "DIR")]
    from: PathBuf,
    #[command(flatten)]
    deployment: Deployment,
}

#[derive(Debug, clap::Args)]
struct Deployment {
    /// Settings file (see odograph.toml for all settings)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of journal, checkpoints and the embedded archive [default: odograph-data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

impl Deployment {
    fn settings(&self) -> Result<Settings, Failure> {
        let flags = self.data.clone().map(|data| ("data", "--data", data)).into_iter().collect();
        Ok(Settings::load(&Sources { file: self.config.clone(), environment: Settings::environment(), flags })?)
    }

    fn report(&self, manifest: &Manifest, sentence: &str) {
        if self.json {
            let report = json!({
                "schema_version": SCHEMA_VERSION,
                "begun_at": manifest.begun_at,
                "files": manifest.files.len(),
                "bytes": manifest.bytes(),
                "archive": manifest.archive,
                "formats": manifest.formats,
            });
            println!("{report}");
        } else {
            println!("{sentence}");
        }
    }
}

pub fn backup(arguments: &BackupArgs) -> anyhow::Result<ExitCode> {
    let settings = arguments.deployment.settings()?;
    let manifest = run(format!("copying to {}", arguments.into.display()), backup::take(&settings, &arguments.into))?;
    let (files, mebibytes, begun_at) = (manifest.files.len(), manifest.bytes() >> 20, &manifest.begun_at);
    let into = arguments.into.display();
    let sentence = format!("{files} files, {mebibytes} MiB, are in {into}: everything that was acknowledged before {begun_at}.");
    arguments.deployment.report(&manifest, &sentence);
    Ok(ExitCode::SUCCESS)
}

pub fn restore(arguments: &RestoreArgs) -> anyhow::Result<ExitCode> {
    let settings = arguments.deployment.settings()?;
    let manifest = run(format!("restoring {}", arguments.from.display()), backup::restore(&settings, &arguments.from))?;
    let (files, data, begun_at) = (manifest.files.len(), settings.data.display(), &manifest.begun_at);
    let sentence =
        format!("{files} files are checked and back in {data}, as of {begun_at}. Start the service with the same settings.");
    arguments.deployment.report(&manifest, &sentence);
    Ok(ExitCode::SUCCESS)
}

fn run<T>(what: String, work: impl Future<Output = Result<T, backup::BackupError>>) -> anyhow::Result<T> {
    let bar = spinner();
    bar.set_message(what);
    bar.enable_steady_tick(std::time::Duration::from_millis(100));
    let done = tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work);
    bar.finish_and_clear();
    Ok(done?)
}
