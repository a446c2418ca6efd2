//! `odograph train`: a fleet's own baseline from its history, as a model file. Reads and gates the history (`source`), says what came of
//! it; what is fitted and written, `odograph_training` knows.

mod labels;
mod report;
mod source;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use odograph_training::{
    AlertLimits, Applies, Baseline, Contract, Found, History, Kind, LINFA_VERSION, Options, Part, Persistence, Requires, SplitBy,
    TrainError, Training, onnx_file,
};
use sha2::{Digest, Sha256};

use super::features::wanted;
use super::model::write_whole;
use super::{Exit, Failure};
use crate::analytics::contract;
use crate::analytics::library::find_library;
use crate::analytics::model::{Model, Runtime};
use crate::analytics::rows::{FeatureRows, Wanted};
use crate::clock;
use crate::domain::{Label, SignalTable, Timestamp};
use crate::settings::{Interval, Settings, Sources, signal_table};
use crate::wire::history::{ColumnMap, ReadOptions};

use report::Report;
use source::{Collector, Counts, LeftOut, hex};

const SCHEMA_VERSION: u32 = 1;
/// What the comparison of detectors on the simulator found worth looking at: mostly distances from a vehicle's own normal.
const DEFAULT_FEATURES: &str = include_str!("../../models/fleet_isolation_forest/features.json");
/// One wild reading opens no alert, a state that lasts does.
const PERSISTENCE: Persistence = Persistence { raised: 6, of: 10 };
/// Held-out rows that the finished graph is tried with.
const TRIED_ROWS: usize = 10_000;
/// The graph computes in f32, the fit in f64; relative to the larger of 1 and the score.
const TRIED_TOLERANCE: f32 = 1e-3;

#[derive(Debug, Clone, Args)]
pub struct TrainArgs {
    /// CSV, gzipped CSV or Parquet files, in the order in which their readings arrive
    #[arg(value_name = "FILE", required_unless_present = "data", conflicts_with = "data")]
    files: Vec<PathBuf>,
    /// Learn from the archive in this data folder instead; periods of open and of confirmed alerts are left out
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// First moment of the archive to learn from, RFC 3339 [default: all it has]
    #[arg(long, value_name = "TIME", requires = "data")]
    from: Option<Timestamp>,
    /// Behind the last moment [default: now]
    #[arg(long, value_name = "TIME", requires = "data")]
    to: Option<Timestamp>,
    /// Settings file: declared signals, where the archive is
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What the columns of the files mean: `odograph`, `kit_obd2`, `carobd`, `envirocar`, or a TOML file
    #[arg(long, value_name = "MAP", default_value = "odograph")]
    columns: String,
    /// Of every interval of this length, only the last reading of each vehicle, such as `30s`
    #[arg(long, value_name = "INTERVAL", conflicts_with = "data")]
    every: Option<Interval>,
    /// What was wrong with whom and when, as `odograph simulate --labels` writes it: those readings, and two hours after, are left out. A
    /// column `fault` of the files is heeded without it
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Names with commas between, or `@FILE`: a JSON list, or an object that has one under `features` (`odograph features list` shows all)
    /// [default: 19 that tell faults of engine, cooling, battery, tyres and sensors]
    #[arg(long, value_name = "LIST|@FILE")]
    features: Option<String>,
    /// `pca`: how far features are from moving together as usual, with the share of each as explanation. `gaussian-mixture`: how unlikely
    /// they are among a few clouds of usual states
    #[arg(long, value_enum, default_value_t = KindArgument::Pca)]
    kind: KindArgument,
    /// Principal components or clouds [default: as many components as explain 90 % of the variance; 6 clouds]
    #[arg(long, value_name = "N")]
    components: Option<usize>,
    /// Classes of vehicles that the model is for, with commas between [default: all]. From an archive it learns only from these
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = label)]
    classes: Vec<String>,
    /// Powertrains that the model is for, with commas between [default: all]. From an archive it learns only from these
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = label)]
    powertrains: Vec<String>,
    /// Readings within ten minutes (or the longest window of the features) that a reading needs to be learnt from, and later to be scored
    #[arg(long, value_name = "N", default_value_t = 8)]
    min_readings: usize,
    /// Features that may be missing [default: a quarter of them]
    #[arg(long, value_name = "N")]
    max_missing: Option<usize>,
    /// Longest time between two of these readings; raise it for vehicles that report seldom
    #[arg(long, value_name = "INTERVAL", default_value = "3m")]
    max_gap: Interval,
    /// False alerts per 1,000 vehicle-days that the model may raise
    #[arg(long, value_name = "N", default_value_t = 0.5, value_parser = budget)]
    alert_budget: f64,
    /// What the model is called [default: the name of the file without its ending]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Raise it with every training: alerts name the version that raised them
    #[arg(long, value_name = "VERSION", default_value = "1")]
    model_version: String,
    /// One sentence for whoever meets the model later [default: what it was fitted to]
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// The same history and seed give the same bytes
    #[arg(long, value_name = "K", default_value_t = 7)]
    seed: u64,
    /// The model file, such as models/my_fleet/my_fleet.onnx
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print what came of it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KindArgument {
    Pca,
    GaussianMixture,
}

/// Everything that is known before the history is read.
struct Plan {
    settings: Settings,
    table: Arc<SignalTable>,
    name: String,
    features: Vec<String>,
    requires: Requires,
    /// The finished graph is tried in it: better to know that it is missing before hours of work.
    runtime: Runtime,
}

/// The two parts of the history.
struct Parts {
    fitted: Part,
    held_out: Part,
    split_by: SplitBy,
}

/// # Errors
/// Where settings, a name or the history are wrong, or nothing can be learnt from it; the file appears only when it is complete.
pub async fn run(args: &TrainArgs) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let plan = Plan::new(args)?;
    let progress = super::spinner();
    let collector = plan.collect(args, &progress).await?;
    let (left_out, vehicles) = (collector.left_out(), collector.history.vehicles());
    let Counts { readings, sha256, .. } = collector.counts;
    let (fitted, held_out, split_by) = collector.history.split();
    let parts = Parts { fitted, held_out, split_by };
    ensure!(!parts.fitted.rows().is_empty(), args.nothing_left(readings, &left_out));

    progress.set_message(format!("fitting to {} rows of {} features", parts.fitted.rows().len(), plan.features.len()));
    let options = Options { kind: args.kind.into(), components: args.components, seed: args.seed };
    let baseline = Baseline::fit(parts.fitted.rows(), &plan.features, &options).map_err(usage_or_failure)?;
    progress.set_message(format!("measuring on {} held-out rows", parts.held_out.rows().len()));
    let raw: Vec<f32> = parts.held_out.rows().iter().map(|row| baseline.raw(row)).collect();
    let alert = AlertLimits::find(&raw, parts.held_out.days(), PERSISTENCE, args.alert_budget / 1_000.0);
    let (limits, found) = alert.as_ref().ok().cloned().unzip();
    let contract = Contract {
        name: &plan.name,
        version: &args.model_version,
        description: &args.described(&baseline, &parts),
        author: "",
        license: "",
        features: &plan.features,
        requires: plan.requires.clone(),
        applies_to: Applies { classes: args.classes.clone(), powertrains: args.powertrains.clone() },
        alert: limits,
        training: training(args, &baseline, &parts, sha256, found),
    };
    let file = onnx_file(&baseline, &contract, parts.held_out.rows(), &raw)?;
    progress.set_message("trying the finished graph");
    let largest_difference = try_graph(&plan, &file, &parts.held_out, &raw)?;
    write_whole(&args.out, &file)?;
    progress.finish_and_clear();
    let report = Report {
        schema_version: SCHEMA_VERSION,
        file: &args.out,
        name: &plan.name,
        version: &args.model_version,
        kind: args.kind.word(),
        bytes: file.len(),
        sha256: hex(&Sha256::digest(&file)),
        features: plan.features.len(),
        readings,
        vehicles,
        left_out: &left_out,
        left_out_by_lot: parts.fitted.left_out() + parts.held_out.left_out(),
        training: &contract.training,
        alert: contract.alert.as_ref(),
        vehicle_days: alert.as_ref().map_or_else(|days| *days, |(_, found)| found.vehicle_days),
        largest_difference,
        seconds: began.elapsed().as_secs_f64(),
        next: format!("odograph model check {}", args.out.display()),
    };
    report.print(args.json)?;
    Ok(ExitCode::SUCCESS)
}

impl Plan {
    fn new(args: &TrainArgs) -> anyhow::Result<Self> {
        let flags = args.data.clone().map(|data| ("data", "--data", data)).into_iter().collect();
        let sources = Sources { file: args.config.clone(), environment: Settings::environment(), flags };
        let settings = Settings::load(&sources).map_err(Failure::from)?;
        let table = Arc::new(signal_table(&settings.signals));
        let Some(name) = args.name.clone().or_else(|| Some(args.out.file_stem()?.to_string_lossy().into_owned())) else {
            return Err(usage(format!("--out {} names no file", args.out.display())).into());
        };
        let features = match &args.features {
            Some(given) => wanted(given, &table).map_err(|error| usage(format!("--features: {error:#}")))?,
            None => contract::Contract::read_input(&serde_json::from_str(DEFAULT_FEATURES)?, &table)?,
        };
        let Wanted::Features(features) = features else {
            return Err(usage(
                "--features asks for a window; train takes features, training/python has a window model".to_owned(),
            )
            .into());
        };
        let max_missing = args.max_missing.unwrap_or(features.len() / 4);
        let requires = Requires { min_readings: args.min_readings, max_missing, max_gap: args.max_gap.to_string() };
        let library = find_library(&settings.analytics.onnxruntime);
        let runtime =
            Runtime::load(&library).map_err(|error| Failure { exit: Exit::DependencyDown, message: error.to_string() })?;
        Ok(Self { settings, table, name, features, requires, runtime })
    }

    async fn collect(&self, args: &TrainArgs, progress: &indicatif::ProgressBar) -> anyhow::Result<Collector> {
        let wanted = Wanted::Features(self.features.clone());
        let window_bytes = usize::try_from(self.settings.analytics.window_bytes.bytes()).context("window_bytes")?;
        let requires = contract::Requires {
            min_readings: self.requires.min_readings,
            max_missing: self.requires.max_missing,
            max_gap: Some(args.max_gap.duration()),
        };
        let rows = FeatureRows::new(&wanted, &self.table, window_bytes)?.requiring(requires);
        let mut collector = Collector::new(rows, History::new(self.features.len(), args.seed));
        if let Some(labels) = &args.labels {
            collector.illnesses.read_labels(labels)?;
        }
        if args.data.is_some() {
            let selector = contract::Selector { classes: args.classes.clone(), powertrains: args.powertrains.clone() };
            let span = (args.from.unwrap_or_default(), args.to.unwrap_or_else(clock::now));
            let told = |readings| progress.set_message(format!("{readings} readings"));
            return collector.read_archive(&self.settings, &self.table, selector, span, told).await;
        }
        let columns = ColumnMap::load(&args.columns, &self.table)?;
        let read = ReadOptions { every: args.every.map(Interval::duration), vehicle_prefix: None };
        for path in &args.files {
            let told = |readings| progress.set_message(format!("{}: {readings} readings so far", path.display()));
            collector.read_file(path, &columns, (&self.table, &read), told)?;
        }
        Ok(collector)
    }
}

impl TrainArgs {
    fn nothing_left(&self, readings: u64, left_out: &LeftOut) -> String {
        let reasons: Vec<String> = left_out.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        format!(
            "of {readings} readings none is left to learn from: {}. --min-readings {}, --max-missing and --max-gap {} say what a reading needs",
            if reasons.is_empty() { "there were none".to_owned() } else { reasons.join(", ") },
            self.min_readings,
            self.max_gap
        )
    }

    fn described(&self, baseline: &Baseline, parts: &Parts) -> String {
        self.description.clone().unwrap_or_else(|| {
            let what = match self.kind {
                KindArgument::Pca => "principal components: how far features are from moving together as usual",
                KindArgument::GaussianMixture => "clouds of usual states: how unlikely a state is",
            };
            format!("{} {what}. Fitted to {} vehicles of this fleet.", baseline.components(), parts.fitted.vehicles())
        })
    }
}

fn training(args: &TrainArgs, baseline: &Baseline, parts: &Parts, data_sha256: Vec<String>, alert: Option<Found>) -> Training {
    let Parts { fitted, held_out, split_by } = parts;
    let day = |micros| Timestamp::from_micros(micros).to_string().chars().take(10).collect();
    let (first, last) = fitted.period_micros().unwrap_or_default();
    Training {
        data_sha256,
        rows: fitted.rows().len(),
        rows_calibration: held_out.rows().len(),
        period: [day(first), day(last)],
        split_by: match split_by {
            SplitBy::Vehicle => "vehicle",
            SplitBy::Time => "time",
        },
        vehicles: fitted.vehicles(),
        vehicles_calibration: held_out.vehicles(),
        components: baseline.components(),
        explained_variance: baseline.explained(),
        alert,
        tool: "odograph train".to_owned(),
        versions: BTreeMap::from([("odograph", env!("CARGO_PKG_VERSION").to_owned()), ("linfa", LINFA_VERSION.to_owned())]),
        seed: args.seed,
    }
}

/// What a lane would do with the file: contract, golden rows, and the graph beside the fit on many rows. Returns the largest difference.
fn try_graph(plan: &Plan, file: &[u8], held_out: &Part, expected: &[f32]) -> anyhow::Result<f32> {
    let own = "the finished file does not pass its own check, nothing was written";
    let mut model = Model::load(&plan.runtime, file, &plan.table).context(own)?;
    let every = held_out.rows().len().div_ceil(TRIED_ROWS);
    let mut raw = Vec::with_capacity(TRIED_ROWS);
    let rows: Vec<f32> = held_out.rows().iter().step_by(every).flatten().copied().collect();
    model.score(&rows, &mut raw).context(own)?;
    let differences = raw.iter().zip(expected.iter().step_by(every)).map(|(raw, expected)| {
        let is_alike = raw.is_nan() && !expected.is_finite();
        if is_alike { 0.0 } else { (raw - expected).abs() / expected.abs().max(1.0) }
    });
    let largest = differences.fold(0.0, |largest: f32, difference| if difference <= largest { largest } else { difference });
    ensure!(
        largest <= TRIED_TOLERANCE,
        "{own}: the graph differs from the fit by {largest}; leave out features that hardly ever move"
    );
    Ok(largest)
}

fn usage(message: String) -> Failure {
    Failure { exit: Exit::Usage, message }
}

fn usage_or_failure(error: TrainError) -> anyhow::Error {
    match error {
        TrainError::Components { .. } => usage(format!("--components: {error}")).into(),
        _ => error.into(),
    }
}

fn label(text: &str) -> Result<String, String> {
    Label::new(text).map(|label| label.as_str().to_owned()).map_err(|error| error.to_string())
}

fn budget(text: &str) -> Result<f64, String> {
    let given: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if given > 0.0 && given < 1_000.0 { Ok(given) } else { Err("must be above 0 and below 1000".to_owned()) }
}

impl KindArgument {
    const fn word(self) -> &'static str {
        match self {
            Self::Pca => "pca",
            Self::GaussianMixture => "gaussian-mixture",
        }
    }
}

impl From<KindArgument> for Kind {
    fn from(argument: KindArgument) -> Self {
        match argument {
            KindArgument::Pca => Self::Pca,
            KindArgument::GaussianMixture => Self::GaussianMixture,
        }
    }
}
