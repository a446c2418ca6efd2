//! `odograph model`: what a model file says about itself, whether it may score live traffic, and how a contract gets into it. What is
//! checked: `analytics::model::check`; how well it finds faults: `evaluate`.

mod annotate;
pub(super) mod check;
mod describe;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;

use super::Failure;
use crate::domain::SignalTable;
use crate::settings::{Settings, Sources, signal_table};

#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Say for a model file, point by point, whether it may score live traffic, and what to do next
    Check(check::CheckArgs),
    /// Show what a model file says about itself: features, requirements, score, alerts, training
    Describe(describe::DescribeArgs),
    /// Write a contract into an ONNX file; the graph stays as it is
    Annotate(annotate::AnnotateArgs),
    /// Count what rules, fences and models find in labelled history, what they miss, and what they make up
    Evaluate(super::evaluate::EvaluateArgs),
}

/// # Errors
/// Where a file or a setting is wrong; a check that failed is no error but exit code 1.
pub fn run(command: &ModelCommand) -> anyhow::Result<ExitCode> {
    match command {
        ModelCommand::Check(args) => check::run(args),
        ModelCommand::Describe(args) => describe::run(args),
        ModelCommand::Annotate(args) => annotate::run(args),
        ModelCommand::Evaluate(args) => super::evaluate::run(args),
    }
}

fn settings_of(config: Option<&PathBuf>) -> anyhow::Result<Settings> {
    let sources = Sources { file: config.cloned(), environment: Settings::environment(), flags: Vec::new() };
    Ok(Settings::load(&sources).map_err(Failure::from)?)
}

/// The signals that features may name.
fn table_of(config: Option<&PathBuf>) -> anyhow::Result<SignalTable> {
    Ok(signal_table(&settings_of(config)?.signals))
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("could not read {}", file.display()))
}

/// Under its name there is the old file or the whole new one. Folders that are missing are made.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let in_words = || format!("could not write {}", path.display());
    std::fs::create_dir_all(folder).with_context(in_words)?;
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(in_words)?;
    file.write_all(bytes).with_context(in_words)?;
    file.as_file().sync_all().with_context(in_words)?;
    file.persist(path).with_context(in_words)?;
    Ok(())
}
