//! The command line: what each command is called and takes. Data goes to stdout, messages to stderr.

mod backup;
mod bench;
mod doctor;
mod evaluate;
mod explain;
mod features;
mod health;
mod model;
mod password;
mod pki;
mod replay;
mod run;
mod simulate;
mod train;
mod what_if;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, Parser, Subcommand};

use crate::backup::BackupError;
use crate::domain::SignalTable;
use crate::journal::JournalError;
use crate::settings::{Settings, SettingsError, Sources};
use crate::storage::{self, ArchiveAddress, ArchiveError, SharedStore};

/// Fleet telemetry with in-process anomaly scoring
#[derive(Debug, Parser)]
#[command(name = "odograph", version, about, max_term_width = 120, arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Receive, score and keep the readings of a fleet
    Run(run::RunArguments),
    /// Drive a fleet that is not there
    Simulate(simulate::SimulateArguments),
    /// Send recorded drives again, each file as a vehicle
    Replay(replay::ReplayArgs),
    /// The features that models name: list them, or export a training set
    #[command(subcommand)]
    Features(features::FeaturesCommand),
    /// Models: check, describe and annotate a file, and count what it finds
    #[command(subcommand)]
    Model(model::ModelCommand),
    /// Fit a fleet's own baseline to its history and write it as a model file
    Train(train::TrainArgs),
    /// Judge an alert's reading again with what judged it then, and compare bit for bit
    Explain(explain::ExplainArgs),
    /// Compare the alerts that other settings would have given over stored history with those of today
    WhatIf(what_if::WhatIfArgs),
    /// Look at settings, disk, archive, broker, limits and models, and say what is wrong, why, and what to do
    Doctor(doctor::DoctorArgs),
    /// Ask a running service whether it is ready
    Health(health::HealthArgs),
    /// Copy everything that was acknowledged into a folder, also while a service runs
    Backup(backup::BackupArgs),
    /// Put a backup back into an empty data folder
    Restore(backup::RestoreArgs),
    /// Certificates of a development authority, for servers, services and vehicles
    #[command(subcommand)]
    Pki(pki::PkiCommand),
    /// Give a vehicle a password: print it, and put its hash into a file
    Password(password::PasswordArgs),
    /// Measure this machine and this build
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// Show or check the settings
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print a completion script for a shell
    Completions { shell: clap_complete::Shell },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the settings in force, all of them, as TOML
    Show(ConfigArguments),
    /// Say whether the settings are right, with every mistake at once
    Check(ConfigArguments),
}

#[derive(Debug, clap::Args)]
struct ConfigArguments {
    /// Settings file (see odograph.toml for all settings)
    #[arg(long, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
}

/// What a CI job can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    CheckFailed = 1,
    Usage = 2,
    Settings = 3,
    DependencyDown = 4,
    Refused = 5,
}

/// A failure with its exit code; all others exit with 1.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        Self { exit: Exit::Settings, message: error.to_string() }
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        let exit = if matches!(error, ArchiveError::Address { .. }) { Exit::Settings } else { Exit::DependencyDown };
        Self { exit, message: error.to_string() }
    }
}

/// The archive of a deployment, for a command that only reads it.
async fn archive(settings: &Settings, table: Arc<SignalTable>) -> Result<SharedStore, Failure> {
    let address = ArchiveAddress::read(&settings.archive.url, &settings.data)?;
    Ok(storage::open_existing(address, table).await?)
}

/// Parses, runs, and turns an error into a message and an exit code. Usage errors exit with 2.
#[must_use]
pub fn main() -> ExitCode {
    let line = CommandLine::parse();
    match execute(line.command) {
        Ok(exit) => exit,
        Err(error) => {
            eprintln!("odograph: {error:#}");
            ExitCode::from(exit_of(&error) as u8)
        }
    }
}

fn exit_of(error: &anyhow::Error) -> Exit {
    let refuses = |error: &JournalError| matches!(error, JournalError::Locked { .. } | JournalError::HalfRestored { .. });
    if error.downcast_ref().is_some_and(refuses) || error.downcast_ref().is_some_and(BackupError::is_refusal) {
        return Exit::Refused;
    }
    if let Some(exit) = pki::exit_of(error) {
        return exit;
    }
    match error.downcast_ref() {
        Some(BackupError::Archive(ArchiveError::Address { .. })) => return Exit::Settings,
        Some(BackupError::Archive(error)) if error.is_away() => return Exit::DependencyDown,
        _ => {}
    }
    error.downcast_ref::<Failure>().map_or(Exit::CheckFailed, |failure| failure.exit)
}

fn execute(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(arguments) => run::run(&arguments)?,
        Command::Simulate(arguments) => return simulate(arguments),
        Command::Replay(arguments) => return replay::run(&arguments),
        Command::Features(command) => return features::run(&command),
        Command::Model(command) => return model::run(&command),
        Command::Train(arguments) => return train(&arguments),
        Command::Explain(arguments) => return explain(&arguments),
        Command::WhatIf(arguments) => return what_if(&arguments),
        Command::Doctor(arguments) => return doctor::run(&arguments),
        Command::Health(arguments) => return health::run(&arguments),
        Command::Backup(arguments) => return backup::backup(&arguments),
        Command::Restore(arguments) => return backup::restore(&arguments),
        Command::Pki(command) => return pki::run(&command),
        Command::Password(arguments) => return password::run(&arguments),
        Command::Bench(command) => return bench::run(command),
        Command::Config { command: ConfigCommand::Show(arguments) } => {
            print!("{}", load(&arguments)?.without_passwords().to_toml());
        }
        Command::Config { command: ConfigCommand::Check(arguments) } => {
            load(&arguments)?;
            eprintln!("The settings are right.");
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut CommandLine::command(), "odograph", &mut std::io::stdout());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn explain(arguments: &explain::ExplainArgs) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(explain::run(arguments))
}

fn what_if(arguments: &what_if::WhatIfArgs) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(what_if::run(arguments))
}

fn train(arguments: &train::TrainArgs) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(train::run(arguments))
}

fn simulate(arguments: simulate::SimulateArguments) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(simulate::run(arguments))
}

/// On a terminal only.
fn spinner() -> indicatif::ProgressBar {
    let bar = indicatif::ProgressBar::new_spinner();
    if !std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    bar
}

fn load(arguments: &ConfigArguments) -> Result<Settings, Failure> {
    let sources = Sources { file: arguments.config.clone(), environment: Settings::environment(), flags: Vec::new() };
    Ok(Settings::load(&sources)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        CommandLine::command().debug_assert();
    }
}
