//! `odograph replay`: arguments, progress and summary. Does not send: `simulator::replay`.

use std::collections::BTreeMap;
use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::simulate::Certificates;
use crate::clock;
use crate::domain::{SignalTable, Timestamp};
use crate::settings::Interval;
use crate::simulator::mqtt_vehicle::MqttUrl;
use crate::simulator::replay::{self, Clock, Plan, PlanOptions, Progress, ResumeFile, Speed};
use crate::tasks::{TaskError, Tasks};
use crate::wire::history::{ColumnMap, ReadOptions, RefusedRows, RowCounts};

const SCHEMA_VERSION: u32 = 1;
/// How often the progress is shown and saved.
const TICK: Duration = Duration::from_millis(250);
const TICKS_PER_SAVE: u32 = 4;

const EXIT_FAILED: u8 = 1;
const EXIT_USAGE: u8 = 2;
const EXIT_DEPENDENCY: u8 = 4;
const EXIT_REFUSED: u8 = 5;

/// Sends recorded history again, as if its vehicles drove now. Every file has an MQTT connection of its own.
#[derive(Debug, Clone, Args)]
pub struct ReplayArgs {
    /// CSV, gzipped CSV or Parquet files; together they are driven at the same time.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// What the columns mean: `kit_obd2`, `carobd`, `envirocar`, `odograph`, or a TOML file.
    #[arg(long, value_name = "MAP")]
    pub columns: String,
    /// Seconds of history per second, or `max`: as fast as it is acknowledged.
    #[arg(long, default_value = "1", value_name = "FACTOR")]
    pub speed: SpeedArg,
    /// Whether recorded moments are moved. `shift`: the last reading is at the start of the replay, so nothing is in the future.
    #[arg(long, value_enum, default_value_t = TimeArg::Shift)]
    pub time: TimeArg,
    /// With `--time shift`: the first reading is at this moment instead (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub start: Option<Timestamp>,
    /// Put before every vehicle id, with a dash between.
    #[arg(long = "as", value_name = "PREFIX")]
    pub prefix: Option<String>,
    /// Of every interval of this length, send only the last reading of each vehicle, such as `1s`.
    #[arg(long, value_name = "INTERVAL")]
    pub every: Option<Interval>,
    /// The receiver: `mqtt://[USER:PASSWORD@]HOST[:PORT]`, or `mqtts://…` with TLS.
    #[arg(long, value_name = "URL")]
    pub mqtt: MqttUrl,
    #[command(flatten)]
    pub certificates: Certificates,
    /// Keeps here what was acknowledged, and goes on from there.
    #[arg(long, value_name = "FILE")]
    pub resume: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpeedArg(pub Speed);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TimeArg {
    Shift,
    Keep,
}

impl FromStr for SpeedArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self(Speed::Max));
        }
        match text.parse() {
            Ok(factor) if (1e-3..=1e6).contains(&factor) => Ok(Self(Speed::Times(factor))),
            _ => Err("write a number between 0.001 and 1000000, or max".to_owned()),
        }
    }
}

#[derive(Debug, Serialize)]
struct Summary {
    schema_version: u32,
    files: usize,
    vehicles: usize,
    rows: u64,
    refused: RefusedByReason,
    /// Rows left out by `--every`.
    thinned: u64,
    /// Implausible signals of readings that were sent without them.
    rejected_signals: u64,
    /// Readings that an earlier run got acknowledged.
    resumed: u64,
    sent: u64,
    acknowledged: u64,
    messages_resent: u64,
    reconnects: u64,
    seconds: f64,
}

/// Runs the command to its end. Prints one JSON line on stdout when readings were sent.
///
/// # Errors
/// Where something fails that the exit codes of the contract do not name.
pub fn run(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let table = Arc::new(SignalTable::default());
    let map = match ColumnMap::load(&args.columns, &table) {
        Ok(map) => Arc::new(map),
        Err(error) => return Ok(fail(EXIT_USAGE, &error)),
    };
    if args.start.is_some() && args.time == TimeArg::Keep {
        return Ok(fail(EXIT_USAGE, "--start moves the recorded moments and --time keep keeps them: give one of the two"));
    }
    let clock = match (args.time, args.start) {
        (TimeArg::Keep, _) => Clock::Keep,
        (TimeArg::Shift, Some(start)) => Clock::StartAt(start),
        (TimeArg::Shift, None) => Clock::EndAt(clock::now()),
    };
    let read = ReadOptions { every: args.every.map(Interval::duration), vehicle_prefix: args.prefix.clone() };
    let settings = format!(
        "--columns {} --every {} --as {}",
        args.columns,
        args.every.map_or_else(|| "all".to_owned(), |every| every.to_string()),
        args.prefix.as_deref().unwrap_or("unchanged"),
    );
    let resume = match &args.resume {
        Some(path) => ResumeFile::load(path, settings),
        None => Ok(ResumeFile::new(settings)),
    };
    let resume = match resume {
        Ok(resume) => resume,
        Err(error) => return Ok(fail(EXIT_USAGE, &error)),
    };
    let options = PlanOptions { clock, speed: args.speed.0, read };
    let plan = match Plan::make(&args.files, &map, &table, options, &resume) {
        Ok(plan) => Arc::new(plan),
        Err(error) => return Ok(fail(EXIT_REFUSED, &error)),
    };
    for file in &plan.files {
        report_refused(&file.path, &file.counts);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("could not start the runtime")?;
    runtime.block_on(send(args, &plan, &map, &table, resume))
}

async fn send(
    args: &ReplayArgs,
    plan: &Arc<Plan>,
    map: &Arc<ColumnMap>,
    table: &Arc<SignalTable>,
    mut resume: ResumeFile,
) -> anyhow::Result<ExitCode> {
    let progress = Arc::new(Progress::new(plan));
    let tasks = Tasks::default();
    let started = Instant::now();
    replay::start(plan, map, table, &Arc::new(args.mqtt.clone().with_certificates(args.certificates.files())), &progress, &tasks);
    let bar = progress_bar(plan.remaining());
    let mut save = || -> anyhow::Result<()> {
        let Some(path) = &args.resume else { return Ok(()) };
        resume.set(plan.marks(|file| progress.acknowledged[file].load(Ordering::Relaxed)));
        Ok(resume.save(path)?)
    };
    let mut ticks = tokio::time::interval(TICK);
    let mut tick = 0u32;
    let mut interrupted = false;
    let finished = tasks.finished();
    tokio::pin!(finished);
    let result = loop {
        tokio::select! {
            result = &mut finished => break result,
            _ = ticks.tick() => {
                bar.set_position(progress.acknowledged_now(plan));
                tick = tick.wrapping_add(1);
                if tick.is_multiple_of(TICKS_PER_SAVE) {
                    save()?;
                }
            }
            _ = tokio::signal::ctrl_c(), if !interrupted => {
                interrupted = true;
                tasks.request_stop();
            }
        }
    };
    save()?;
    bar.finish_and_clear();
    let summary = Summary::new(plan, &progress, started.elapsed());
    println!("{}", serde_json::to_string(&summary).context("could not write the summary")?);
    let complete = summary.acknowledged == plan.remaining();
    match result {
        Ok(()) if complete => Ok(ExitCode::SUCCESS),
        Ok(()) => Ok(fail(EXIT_FAILED, "stopped before everything was sent")),
        Err(TaskError::Failed { error, .. }) => Ok(fail(EXIT_DEPENDENCY, format!("{error:#}"))),
        Err(error) => Err(error.into()),
    }
}

impl Summary {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a run are far below 2^53")]
    fn new(plan: &Plan, progress: &Progress, took: Duration) -> Self {
        let vehicles = plan.files.iter().flat_map(|file| &file.vehicles);
        Self {
            schema_version: SCHEMA_VERSION,
            files: plan.files.len(),
            vehicles: vehicles.collect::<std::collections::BTreeSet<_>>().len(),
            rows: plan.files.iter().map(|file| file.counts.rows).sum(),
            refused: refused_by_reason(plan.files.iter().map(|file| &file.counts)),
            thinned: plan.files.iter().map(|file| file.counts.thinned).sum(),
            rejected_signals: plan.files.iter().map(|file| file.counts.rejected_signals).sum(),
            resumed: plan.files.iter().map(|file| file.already_acknowledged).sum(),
            sent: progress.sent.load(Ordering::Relaxed),
            acknowledged: progress.acknowledged_now(plan),
            messages_resent: progress.messages_resent.load(Ordering::Relaxed),
            reconnects: progress.reconnects.load(Ordering::Relaxed),
            seconds: took.as_millis() as f64 / 1e3,
        }
    }
}

/// Rows of all files by why they were refused.
pub(super) type RefusedByReason = BTreeMap<&'static str, u64>;

pub(super) fn refused_by_reason<'a>(files: impl IntoIterator<Item = &'a RowCounts>) -> RefusedByReason {
    let mut refused = RefusedByReason::new();
    for (refusal, rows) in files.into_iter().flat_map(|counts| &counts.refused) {
        *refused.entry(refusal.code()).or_default() += rows.count;
    }
    refused
}

/// One line on stderr for each reason.
pub(super) fn report_refused(path: &Path, counts: &RowCounts) {
    let path = path.display();
    for (refusal, rows) in &counts.refused {
        let RefusedRows { count, first_row, first_detail } = rows;
        eprintln!("{path}: {count} rows refused as {}; the first is row {first_row}: {first_detail}", refusal.code());
    }
    if counts.rejected_signals > 0 {
        eprintln!("{path}: {} implausible signals left out", counts.rejected_signals);
    }
}

fn progress_bar(readings: u64) -> ProgressBar {
    let target = if stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} readings  {per_sec}  {eta} left")
        .expect("the template is fixed and valid");
    ProgressBar::with_draw_target(Some(readings), target).with_style(style)
}

fn fail(code: u8, what: impl std::fmt::Display) -> ExitCode {
    eprintln!("odograph replay: {what}");
    ExitCode::from(code)
}
