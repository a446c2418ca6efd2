//! `odograph train`: a fleet's own baseline from its history, as a model file. Joins what reads the history (`source`), what chooses from
//! it (`collector`) and what fits and writes (`odograph_training`), and tries the file before anybody else does.

mod arguments;
mod collector;
mod labels;
mod report;
mod source;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use odograph_training::{
    AlertLimits, Applies, Baseline, Contract, Found, History, LINFA_VERSION, Options, Part, Persistence, Requires, SplitBy,
    TrainError, Training, onnx_file,
};

use super::features::wanted;
use super::model::write_whole;
use super::{Exit, Failure};
use crate::analytics::contract;
use crate::analytics::library::find_library;
use crate::analytics::model::{Model, Runtime};
use crate::analytics::rows::{FeatureRows, Wanted};
use crate::clock;
use crate::configuration::sha256;
use crate::domain::{SignalTable, Timestamp};
use crate::settings::{Interval, Settings, Sources, signal_table};
use crate::wire::history::{ColumnMap, ReadOptions};

pub use arguments::TrainArgs;
use collector::{Collector, Presence};
use report::Report;
use source::{Source, Step};

const SCHEMA_VERSION: u32 = 1;
/// What the comparison of detectors on the simulator found worth looking at: mostly distances from a vehicle's own normal.
const DEFAULT_FEATURES: &str = include_str!("../../models/fleet_isolation_forest/features.json");
/// One wild reading opens no alert, a state that lasts does.
const PERSISTENCE: Persistence = Persistence { raised: 6, of: 10 };
/// Held-out rows that the finished graph is tried with.
const TRIED_ROWS: usize = 10_000;
/// The graph computes in f32, the fit in f64; relative to the larger of 1 and the score.
const TRIED_TOLERANCE: f32 = 1e-3;
const READINGS_A_MESSAGE: u64 = 10_000;

/// Everything that is known before the history is read.
struct Plan {
    settings: Settings,
    table: Arc<SignalTable>,
    name: String,
    features: Features,
    /// The finished graph is tried in it: better to know that it is missing before hours of work.
    runtime: Runtime,
}

struct Features {
    names: Vec<String>,
    /// Nobody named them: what the fleet does not have goes.
    are_default: bool,
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
    let mut plan = Plan::new(args)?;
    let progress = super::spinner();
    let source = plan.source(args).await?;
    let features_left_out = plan.drop_what_the_fleet_lacks(&source, &progress).await?;
    let collector = plan.collect(args, &source, &progress).await?;
    source.close().await;
    let (left_out, vehicles) = (collector.left_out(), collector.history.vehicles());
    let Collector { readings, sha256: data_sha256, history, .. } = collector;
    let (fitted, held_out, split_by) = history.split();
    let parts = Parts { fitted, held_out, split_by };
    ensure!(!parts.fitted.rows().is_empty(), args.nothing_left(readings, &left_out));

    let features = &plan.features.names;
    progress.set_message(format!("fitting to {} rows of {} features", parts.fitted.rows().len(), features.len()));
    let options = Options { kind: args.kind.into(), components: args.components, seed: args.seed };
    let baseline = Baseline::fit(parts.fitted.rows(), features, &options).map_err(usage_or_failure)?;
    progress.set_message(format!("measuring on {} held-out rows", parts.held_out.rows().len()));
    let raw: Vec<f32> = parts.held_out.rows().iter().map(|row| baseline.raw(row)).collect();
    let alert = AlertLimits::find(&raw, parts.held_out.days(), PERSISTENCE, args.alert_budget / 1_000.0);
    let (limits, found) = alert.as_ref().ok().cloned().unzip();
    let contract = Contract {
        name: &plan.name,
        version: &args.model_version,
        description: &args.described(&baseline, parts.fitted.vehicles()),
        author: "",
        license: "",
        features,
        requires: args.requires(features.len()),
        applies_to: Applies { classes: args.classes.clone(), powertrains: args.powertrains.clone() },
        alert: limits,
        training: training(args, &baseline, &parts, data_sha256, found),
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
        sha256: sha256(&file),
        features: features.len(),
        features_left_out: &features_left_out,
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
        let asked = match &args.features {
            Some(given) => wanted(given, &table).map_err(|error| usage(format!("--features: {error:#}")))?,
            None => contract::Contract::read_input(&serde_json::from_str(DEFAULT_FEATURES)?, &table)?,
        };
        let Wanted::Features(names) = asked else {
            let message = "--features asks for a window; train takes features, training/python has a window model";
            return Err(usage(message.to_owned()).into());
        };
        if names.len() < 2 {
            return Err(usage(format!("--features names only {}; how features move together takes two or more", names[0])).into());
        }
        let features = Features { names, are_default: args.features.is_none() };
        let runtime = Runtime::load(&find_library(&settings.analytics.onnxruntime))
            .map_err(|error| Failure { exit: Exit::DependencyDown, message: error.to_string() })?;
        Ok(Self { settings, table, name, features, runtime })
    }

    async fn source<'a>(&self, args: &'a TrainArgs) -> anyhow::Result<Source<'a>> {
        if args.data.is_some() {
            let span = (args.from.unwrap_or_default(), args.to.unwrap_or_else(clock::now));
            return Source::archive(&self.settings, &self.table, span).await;
        }
        let columns = Box::new(ColumnMap::load(&args.columns, &self.table)?);
        let read = ReadOptions { every: args.every.map(Interval::duration), vehicle_prefix: None };
        Ok(Source::Files { paths: &args.files, columns, table: Arc::clone(&self.table), read })
    }

    fn rows(&self, source: &Source<'_>) -> anyhow::Result<FeatureRows> {
        let wanted = Wanted::Features(self.features.names.clone());
        let window_bytes = usize::try_from(self.settings.analytics.window_bytes.bytes()).context("window_bytes")?;
        Ok(FeatureRows::new(&wanted, &self.table, window_bytes)?.knowing(source.records()))
    }

    /// Of the default features; what a person named is wanted. Returns the names that went.
    async fn drop_what_the_fleet_lacks(
        &mut self,
        source: &Source<'_>,
        progress: &indicatif::ProgressBar,
    ) -> anyhow::Result<Vec<String>> {
        if !self.features.are_default {
            return Ok(Vec::new());
        }
        progress.set_message("looking which of the default features there are");
        let mut presence = Presence::new(self.rows(source)?, self.features.names.len());
        source
            .read(|step| match step {
                Step::Reading { reading, .. } if presence.take(reading) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            })
            .await?;
        let seen = presence.seen();
        let with_seen = std::mem::take(&mut self.features.names).into_iter().zip(seen);
        let (kept, gone): (Vec<_>, Vec<_>) = with_seen.partition(|(_, seen)| *seen);
        let names = |pairs: Vec<(String, bool)>| pairs.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        self.features.names = names(kept);
        ensure!(
            self.features.names.len() > 1,
            "the history has hardly any of the default features; name others with --features (`odograph features list` shows all)"
        );
        Ok(names(gone))
    }

    async fn collect(
        &self,
        args: &TrainArgs,
        source: &Source<'_>,
        progress: &indicatif::ProgressBar,
    ) -> anyhow::Result<Collector> {
        let Requires { min_readings, max_missing, .. } = args.requires(self.features.names.len());
        let requires = contract::Requires { min_readings, max_missing, max_gap: Some(args.max_gap.duration()) };
        let history = History::new(self.features.names.len(), args.seed);
        let mut collector = Collector::new(self.rows(source)?.requiring(requires), history);
        if let Some(labels) = &args.labels {
            collector.illnesses.read_labels(labels)?;
        }
        source.add_alerts(&mut collector.illnesses).await?;
        if args.data.is_some() {
            // Files do not say what a vehicle is.
            collector.selector = contract::Selector { classes: args.classes.clone(), powertrains: args.powertrains.clone() };
            collector.records = source.records();
        }
        source
            .read(|step| {
                collector.take(&step);
                if collector.readings.is_multiple_of(READINGS_A_MESSAGE) {
                    progress.set_message(format!("{} readings", collector.readings));
                }
                ControlFlow::Continue(())
            })
            .await?;
        Ok(collector)
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
