//! `odograph bench scoring`: which models, how long, against what. The measuring itself: `crate::bench::scoring`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use super::seconds;
use crate::analytics::blueprint::ModelSource;
use crate::analytics::library::find_library;
use crate::assembly::shipped_models;
use crate::bench::scoring::{Baseline, ScoringBench, Verdict};
use crate::cli::Exit;

#[derive(Debug, clap::Args)]
pub struct ScoringArguments {
    /// Folder with ONNX files: every one is measured [default: the shipped models]
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Rows that one run takes together
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1,2,4,8,16,32,64,128,256,512,1024,2048",
        value_parser = in_range(1, 65_536))]
    batches: Vec<usize>,
    /// Threads with a session each [default: 1 and one per core]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = in_range(1, 1_024))]
    lanes: Vec<usize>,
    /// Tasks that feed the real lanes up to the journal, one reading each on the way; 0: leave that out
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1,64,1000,10000", value_parser = in_range(0, 1_000_000))]
    tasks: Vec<usize>,
    /// Length of each measurement with tasks
    #[arg(long, value_name = "S", default_value = "3", value_parser = seconds)]
    seconds: Duration,
    /// How often our side and the bare runtime take turns in each cell
    #[arg(long, default_value = "101", value_parser = in_range(5, 10_000))]
    rounds: usize,
    /// Length of one side's turn
    #[arg(long, value_name = "MS", default_value = "5", value_parser = in_range(1, 10_000))]
    turn_ms: usize,
    /// A report of an earlier run (--json): say per cell whether this one is slower, and exit with 1 if any certainly is
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Changes of the ratio to the bare runtime that are let pass, in percent
    #[arg(long, value_name = "PERCENT", default_value = "5", value_parser = clap::value_parser!(u8).range(0..=99))]
    tolerance: u8,
    /// The library of ONNX Runtime [default: beside the binary, or where `make fetch` puts it]
    #[arg(long, value_name = "FILE")]
    onnxruntime: Option<PathBuf>,
    /// Folder for the journal of the tasks, which is removed afterwards; its disk decides how fast they are [default: the system's for temporary files]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Print the figures as JSON, to be kept as a baseline
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: ScoringArguments) -> anyhow::Result<ExitCode> {
    // Before minutes of measuring.
    let baseline = arguments.baseline.as_deref().map(Baseline::read).transpose()?;
    let models = match &arguments.models {
        Some(folder) => models_of(folder)?,
        None => shipped_models(),
    };
    let bench = ScoringBench {
        models,
        library: find_library(arguments.onnxruntime.as_deref().unwrap_or(Path::new(""))),
        batches: arguments.batches,
        lanes: if arguments.lanes.is_empty() { default_lanes() } else { arguments.lanes },
        tasks: arguments.tasks.into_iter().filter(|tasks| *tasks > 0).collect(),
        rounds: arguments.rounds,
        slice: Duration::from_millis(arguments.turn_ms as u64),
        seconds_of_tasks: arguments.seconds,
        scratch: arguments.scratch.unwrap_or_else(std::env::temp_dir),
    };
    if cfg!(debug_assertions) {
        eprintln!("This is a debug build: its figures mean nothing.");
    }
    let spinner = crate::cli::spinner();
    let mut report = bench.run(|what| spinner.set_message(what))?;
    spinner.finish_and_clear();
    let verdict = baseline.map(|baseline| report.compare(&baseline, f64::from(arguments.tolerance) / 100.0)).transpose()?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
        eprint!("{report}");
    } else {
        print!("{report}");
    }
    Ok(if verdict == Some(Verdict::Slower) { ExitCode::from(Exit::CheckFailed as u8) } else { ExitCode::SUCCESS })
}

fn models_of(folder: &Path) -> anyhow::Result<Vec<ModelSource>> {
    let cannot_read = || format!("cannot read the models in {}", folder.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(cannot_read)? {
        let path = entry.with_context(cannot_read)?.path();
        if path.extension().is_some_and(|extension| extension == "onnx") {
            paths.push(path);
        }
    }
    anyhow::ensure!(!paths.is_empty(), "there is no .onnx file in {}", folder.display());
    paths.sort();
    let read = |path: PathBuf| -> anyhow::Result<ModelSource> {
        let file = std::fs::read(&path).with_context(|| format!("cannot read the model {}", path.display()))?;
        Ok(ModelSource { origin: path, file: file.into() })
    };
    paths.into_iter().map(read).collect()
}

fn default_lanes() -> Vec<usize> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if cores > 1 { vec![1, cores] } else { vec![1] }
}

fn in_range(least: usize, most: usize) -> impl Fn(&str) -> Result<usize, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| format!("write a number from {least} to {most}"))
    }
}
