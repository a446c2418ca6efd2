//! `odograph model evaluate`: how well rules, fences and models find what was wrong in labelled history. The counting itself:
//! `crate::evaluation`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde::Serialize;

use super::Failure;
use crate::assembly;
use crate::evaluation::{Evaluated, Evaluation, KindResult, Scores};
use crate::settings::{Interval, Settings, Sources, signal_table};
use crate::wire::history::{ColumnMap, ReadOptions};

const SCHEMA_VERSION: u32 = 1;

#[derive(Debug, Clone, clap::Args)]
pub struct EvaluateArgs {
    /// CSV, gzipped CSV or Parquet with a column `fault`: what was wrong at that moment, empty while nothing was
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What the columns mean: `odograph`, `kit_obd2`, `carobd`, `envirocar`, or a TOML file
    #[arg(long, value_name = "MAP", default_value = "odograph")]
    columns: String,
    /// Rules, fences, models and thresholds to judge with (default: those of a fresh installation)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// ONNX files in place of those of the settings; `none` for none
    #[arg(long, value_name = "FILE")]
    model: Vec<PathBuf>,
    /// Leave the rules out
    #[arg(long)]
    without_rules: bool,
    /// Of every interval of this length, only the last reading of each vehicle, such as `30s`
    #[arg(long, value_name = "INTERVAL")]
    every: Option<Interval>,
    /// Take files without labels as healthy throughout
    #[arg(long)]
    healthy: bool,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    schema_version: u32,
    kinds: BTreeMap<&'a str, Kind<'a>>,
    false_alerts_per_1000_vehicle_days: f64,
    /// What the counted days cannot exclude with 95 % confidence.
    false_alerts_per_1000_vehicle_days_at_most: f64,
    false_alerts: u64,
    false_alerts_by_key: &'a BTreeMap<String, u64>,
    /// Neither right nor false.
    alerts_after_a_fault: u64,
    vehicle_days: f64,
    vehicles: u64,
    readings: u64,
    readings_per_second: f64,
}

#[derive(Debug, Serialize)]
struct Kind<'a> {
    episodes: u64,
    recall: f64,
    median_delay_readings: Option<u64>,
    found_by: &'a BTreeMap<String, u64>,
}

/// # Errors
/// Where settings, a model or a file is wrong.
pub fn run(args: &EvaluateArgs) -> anyhow::Result<ExitCode> {
    let sources = Sources { file: args.config.clone(), environment: Settings::environment(), flags: Vec::new() };
    let mut settings = Settings::load(&sources).map_err(Failure::from)?;
    if !args.model.is_empty() {
        settings.analytics.models.clone_from(&args.model);
    }
    let table = Arc::new(signal_table(&settings.signals));
    let columns = ColumnMap::load(&args.columns, &table)?;
    let mut blueprint = assembly::blueprint(&settings, &table)?;
    if args.without_rules {
        blueprint.checks = Arc::new(blueprint.checks.without_rules());
    }
    blueprint.checks = Arc::new(blueprint.checks.without_silence());
    let parts = blueprint.parts(1)?.pop().expect("one was asked for");
    let evaluation = Evaluation {
        files: &args.files,
        columns: &columns,
        table: &table,
        read: ReadOptions { every: args.every.map(Interval::duration), vehicle_prefix: None },
        healthy: args.healthy,
    };
    let progress = super::spinner();
    let evaluated = evaluation.run(parts, |path, rows| progress.set_message(format!("{}: {rows} rows", path.display())))?;
    progress.finish_and_clear();
    for (refusal, refused) in &evaluated.rows.refused {
        eprintln!(
            "{} rows refused as {}; the first is row {}: {}",
            refused.count,
            refusal.code(),
            refused.first_row,
            refused.first_detail
        );
    }
    let report = Report::new(&evaluated);
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{}", report.as_text());
    }
    Ok(ExitCode::SUCCESS)
}

impl<'a> Report<'a> {
    fn new(evaluated: &'a Evaluated) -> Self {
        let Scores { kinds, readings, vehicles, vehicle_days, false_alerts, false_by_key, after_effects } = &evaluated.scores;
        let (rate, at_most) = evaluated.scores.false_alerts_per_1000_vehicle_days();
        let seconds = evaluated.lane_time.as_secs_f64().max(f64::MIN_POSITIVE);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let readings_per_second = *readings as f64 / seconds;
        Self {
            schema_version: SCHEMA_VERSION,
            kinds: kinds.iter().map(|(name, kind)| (name.as_str(), Kind::new(kind))).collect(),
            false_alerts_per_1000_vehicle_days: rate,
            false_alerts_per_1000_vehicle_days_at_most: at_most,
            false_alerts: *false_alerts,
            false_alerts_by_key: false_by_key,
            alerts_after_a_fault: *after_effects,
            vehicle_days: *vehicle_days,
            vehicles: *vehicles,
            readings: *readings,
            readings_per_second,
        }
    }

    fn as_text(&self) -> String {
        let mut text = format!("{:<28} {:>8} {:>7} {:>14}  found by\n", "fault", "episodes", "recall", "delay/readings");
        for (name, kind) in &self.kinds {
            let delay = kind.median_delay_readings.map_or_else(|| "-".to_owned(), |delay| delay.to_string());
            let mut by: Vec<_> = kind.found_by.iter().collect();
            by.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
            let by = by.iter().take(3).map(|(key, count)| format!("{key} {count}")).collect::<Vec<_>>().join(", ");
            let _never_fails = writeln!(text, "{name:<28} {:>8} {:>7.2} {delay:>14}  {by}", kind.episodes, kind.recall);
        }
        let _never_fails = writeln!(
            text,
            "false alerts: {} in {:.1} vehicle-days = {:.1} per 1,000 (at most {:.1} with 95 % confidence); {} soon after a fault",
            self.false_alerts,
            self.vehicle_days,
            self.false_alerts_per_1000_vehicle_days,
            self.false_alerts_per_1000_vehicle_days_at_most,
            self.alerts_after_a_fault
        );
        for (key, count) in self.false_alerts_by_key {
            let _never_fails = writeln!(text, "  {key}: {count}");
        }
        let _never_fails = writeln!(
            text,
            "{} readings of {} vehicles; the lane judged {:.0} a second",
            self.readings, self.vehicles, self.readings_per_second
        );
        text
    }
}

impl<'a> Kind<'a> {
    fn new(from: &'a KindResult) -> Self {
        Self {
            episodes: from.episodes,
            recall: from.recall(),
            median_delay_readings: from.median_delay_readings(),
            found_by: &from.by_key,
        }
    }
}
