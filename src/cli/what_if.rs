//! `odograph what-if`: the alerts that other rules, thresholds, fences or models would have given over stored history, against those
//! of today. Both are computed anew by the lane's own code, so that they differ only in what judges.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use super::Failure;
use crate::analytics::library::find_library;
use crate::analytics::offline::OfflineLane;
use crate::configuration::Configuration;
use crate::domain::{Alert, Change, Timestamp};
use crate::settings::{Settings, Sources, signal_table};
use crate::storage::{SharedArchive, SharedStore, VehicleRegister, Walk};
use crate::{assembly, clock};

const SCHEMA_VERSION: u32 = 1;
const PAGE: u32 = 10_000;
/// Alerts of one vehicle and key that open so close together are the same one.
const SAME_WITHIN: Duration = Duration::from_mins(30);

#[derive(Debug, clap::Args)]
pub struct WhatIfArgs {
    /// Settings to try: rules, fences, models
    #[arg(long, value_name = "FILE")]
    try_config: PathBuf,
    /// Settings file of the installation
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data folder of the installation [default: odograph-data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// First moment, RFC 3339 [default: a day before the last]
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Behind the last moment [default: now]
    #[arg(long, value_name = "TIME")]
    to: Option<Timestamp>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    schema_version: u32,
    from: Timestamp,
    to: Timestamp,
    readings: u64,
    by_key: BTreeMap<String, Difference>,
    gained: Vec<Line>,
    lost: Vec<Line>,
}

#[derive(Debug, Default, Serialize)]
struct Difference {
    today: u64,
    tried: u64,
    gained: u64,
    lost: u64,
}

#[derive(Debug, Serialize)]
struct Line {
    vehicle_id: String,
    alert_key: String,
    severity: &'static str,
    opened_at: Timestamp,
    summary: String,
}

/// # Errors
/// Where settings or the archive cannot be read.
pub async fn run(args: &WhatIfArgs) -> anyhow::Result<ExitCode> {
    let flags = args.data.clone().map(|data| ("data", "--data", data)).into_iter().collect();
    let sources = Sources { file: args.config.clone(), environment: Settings::environment(), flags };
    let settings = Settings::load(&sources).map_err(Failure::from)?;
    let tried = Sources { file: Some(args.try_config.clone()), environment: Settings::environment(), flags: Vec::new() };
    let tried = Settings::load(&tried).map_err(Failure::from)?;
    let table = Arc::new(signal_table(&settings.signals));
    let store = super::archive(&settings, Arc::clone(&table)).await?;
    let archive: SharedArchive = store.clone();
    let newest =
        archive.newest_configuration().await?.context("the archive has no configuration yet: nothing was ever judged")?;
    let today = Configuration::load(newest.revision, &archive).await?;
    let library = find_library(&settings.analytics.onnxruntime);
    let mut lanes = Vec::new();
    for mut blueprint in [today.blueprint(newest.revision, &archive, library).await?, assembly::blueprint(&tried, &table)?] {
        let register = VehicleRegister::open(archive.clone()).await?;
        blueprint.records.of = Arc::new(move |id| register.get(id));
        lanes.push((OfflineLane::new(blueprint.parts(1)?.pop().expect("one was asked for")), Vec::new()));
    }
    let to = args.to.unwrap_or_else(clock::now);
    let from = args.from.unwrap_or_else(|| to.minus(Duration::from_hours(24)));
    let readings = judge(&store, Walk::new(from, to), &mut lanes).await?;
    store.close().await;
    let [(_, today), (_, tried)] = &lanes[..] else { unreachable!("two were made") };
    let report = compare(
        today,
        tried,
        Report {
            schema_version: SCHEMA_VERSION,
            from,
            to,
            readings,
            by_key: BTreeMap::new(),
            gained: Vec::new(),
            lost: Vec::new(),
        },
    );
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print(&report);
    }
    Ok(ExitCode::SUCCESS)
}

async fn judge(archive: &SharedStore, mut walk: Walk, lanes: &mut [(OfflineLane, Vec<Alert>)]) -> anyhow::Result<u64> {
    let mut readings = 0;
    loop {
        let mut page = archive.walk(&mut walk, PAGE).await?;
        if page.is_empty() {
            break;
        }
        readings += page.len() as u64;
        // As they came: a walk goes vehicle by vehicle within a minute.
        page.sort_by_key(|assessment| assessment.reading.received_at);
        for assessment in page {
            for (lane, opened) in &mut *lanes {
                lane.push(assessment.reading.clone(), &mut |event| {
                    if event.change == Change::Opened {
                        opened.push(event.alert.clone());
                    }
                });
            }
        }
    }
    for (lane, opened) in lanes {
        lane.finish(&mut |event| {
            if event.change == Change::Opened {
                opened.push(event.alert.clone());
            }
        });
    }
    Ok(readings)
}

fn compare(today: &[Alert], tried: &[Alert], mut report: Report) -> Report {
    for alert in today {
        report.by_key.entry(alert.key.to_string()).or_default().today += 1;
        if !has(tried, alert) {
            report.by_key.entry(alert.key.to_string()).or_default().lost += 1;
            report.lost.push(Line::new(alert));
        }
    }
    for alert in tried {
        report.by_key.entry(alert.key.to_string()).or_default().tried += 1;
        if !has(today, alert) {
            report.by_key.entry(alert.key.to_string()).or_default().gained += 1;
            report.gained.push(Line::new(alert));
        }
    }
    report
}

fn has(alerts: &[Alert], like: &Alert) -> bool {
    let distance = |other: &Alert| other.opened_at.since(like.opened_at).max(like.opened_at.since(other.opened_at));
    alerts.iter().any(|other| other.vehicle_id == like.vehicle_id && other.key == like.key && distance(other) <= SAME_WITHIN)
}

impl Line {
    fn new(alert: &Alert) -> Self {
        Self {
            vehicle_id: alert.vehicle_id.to_string(),
            alert_key: alert.key.to_string(),
            severity: alert.severity.code(),
            opened_at: alert.opened_at,
            summary: alert.summary.to_string(),
        }
    }
}

fn print(report: &Report) {
    println!("{} readings from {} to {}", report.readings, report.from, report.to);
    println!("{:<40} {:>6} {:>6} {:>7} {:>6}", "alerts by key", "today", "tried", "gained", "lost");
    for (key, Difference { today, tried, gained, lost }) in &report.by_key {
        println!("{key:<40} {today:>6} {tried:>6} {gained:>7} {lost:>6}");
    }
    for (sign, lines) in [('+', &report.gained), ('-', &report.lost)] {
        for Line { vehicle_id, alert_key, severity, opened_at, summary } in lines {
            println!("{sign} {opened_at} {vehicle_id} {alert_key} ({severity}): {summary}");
        }
    }
}
