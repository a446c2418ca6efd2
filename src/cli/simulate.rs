//! `odograph simulate`: arguments, limits and summary. Simulates nothing itself: `simulator`.

use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{ArgGroup, Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::clock;
use crate::domain::{SignalTable, Timestamp};
use crate::settings::{Interval, TlsFiles};
use crate::simulator::faults::{FAULTS, Fault};
use crate::simulator::fleet::{Fleet, Options};
use crate::simulator::illness::{Plan, RandomFaults};
use crate::simulator::mqtt_vehicle::MqttUrl;
use crate::simulator::sender::{self, Format, SendOptions};
use crate::simulator::{labels, out};
use crate::tasks::Tasks;

const SCHEMA_VERSION: u32 = 1;
/// A fleet in a file begins here unless told otherwise (a Monday, before the early shift), so that a seed gives the same file for ever.
const DEFAULT_START: &str = "2026-11-02T04:00:00Z";
/// Of a fleet in a file.
const DEFAULT_SECONDS: u64 = 86_400;
/// Files that the process has open besides one connection a vehicle.
const OTHER_FILES: u64 = 64;
const LAST_ACKNOWLEDGEMENTS: Duration = Duration::from_secs(20);

const EXIT_FAILED: u8 = 1;
const EXIT_USAGE: u8 = 2;
const EXIT_DEPENDENCY: u8 = 4;

/// A fleet that drives around Karlsruhe and falls ill: to a receiver as it happens, or to a file as fast as possible.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("target").required(true).args(["mqtt", "out"]))]
pub struct SimulateArguments {
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub vehicles: u32,
    /// Between two readings of one vehicle.
    #[arg(long, default_value = "30s", value_name = "INTERVAL")]
    pub every: Interval,
    /// How long. Over MQTT without it: until interrupted; to a file: one day.
    #[arg(long, value_name = "S")]
    pub seconds: Option<u64>,
    /// The same seed gives the same fleet.
    #[arg(long, default_value_t = 1, value_name = "K")]
    pub seed: u64,
    /// Kinds of faults that strike at random, with commas between; `all` or `none`.
    #[arg(long, default_value = "all", value_name = "LIST")]
    pub faults: FaultList,
    /// Mean time between two random faults of one vehicle.
    #[arg(long, default_value = "20d", value_name = "INTERVAL")]
    pub faults_every: Interval,
    /// A fault on demand: VEHICLE:FAULT:AFTER[:SEVERITY], such as `0:overheating:20s`. May be given several times.
    #[arg(long = "plan", value_name = "PLAN")]
    pub plans: Vec<PlanArgument>,
    /// Writes what was wrong with whom, from when to when: JSON lines, or CSV by its ending.
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// First moment of a fleet in a file (RFC 3339).
    #[arg(long, default_value = DEFAULT_START, value_name = "TIME", conflicts_with = "mqtt")]
    pub start: Timestamp,
    #[arg(long, value_enum, default_value_t = FormatArgument::Json, conflicts_with = "out")]
    pub format: FormatArgument,
    /// The receiver: `mqtt://[USER:PASSWORD@]HOST[:PORT]`, or `mqtts://…` with TLS.
    #[arg(long, value_name = "URL")]
    pub mqtt: Option<MqttUrl>,
    #[command(flatten)]
    pub certificates: Certificates,
    /// A file instead: `.parquet` or `.csv`.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// With `mqtts://`.
#[derive(Debug, Clone, Default, Args)]
pub struct Certificates {
    /// Who signed the receiver's certificate (PEM) [default: whoever this system trusts]
    #[arg(long, value_name = "FILE")]
    authority: Option<PathBuf>,
    /// Of the vehicle (PEM); `{id}` stands for its id, such as pki/{id}.pem
    #[arg(long, value_name = "FILE", requires = "private_key")]
    certificate: Option<PathBuf>,
    /// Of the certificate (PEM), with `{id}` as there
    #[arg(long, value_name = "FILE", requires = "certificate")]
    private_key: Option<PathBuf>,
}

impl Certificates {
    pub fn files(&self) -> TlsFiles {
        let Self { authority, certificate, private_key } = self.clone();
        TlsFiles {
            certificate: certificate.unwrap_or_default(),
            private_key: private_key.unwrap_or_default(),
            authority: authority.unwrap_or_default(),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct FaultList(pub Vec<Fault>);

/// A fault of one vehicle, some time after the start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlanArgument {
    vehicle: u32,
    fault: Fault,
    after: Interval,
    severity: Option<f32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatArgument {
    Json,
    Protobuf,
}

#[derive(Debug, thiserror::Error)]
pub enum SimulateArgumentError {
    #[error("{name:?} is no fault; there are: {}", known_faults())]
    UnknownFault { name: String },
    #[error("{text:?} is no plan; write VEHICLE:FAULT:AFTER[:SEVERITY], such as 0:overheating:20s")]
    Plan { text: String },
}

#[derive(Serialize)]
struct OutSummary {
    schema_version: u32,
    vehicles: u32,
    readings: u64,
    labels: usize,
    seconds: f64,
    readings_per_second: f64,
}

#[derive(Serialize)]
struct MqttSummary {
    schema_version: u32,
    #[serde(flatten)]
    sent: sender::Summary,
    labels: usize,
}

/// Runs the command to its end and prints one JSON line on stdout.
///
/// # Errors
/// Where something fails that the exit codes of the contract do not name.
pub async fn run(arguments: SimulateArguments) -> anyhow::Result<ExitCode> {
    if let Some(plan) = arguments.plans.iter().find(|plan| plan.vehicle >= arguments.vehicles) {
        eprintln!("--plan names vehicle {}, but --vehicles {} are numbered from 0.", plan.vehicle, arguments.vehicles);
        return Ok(ExitCode::from(EXIT_USAGE));
    }
    match (&arguments.mqtt, &arguments.out) {
        (Some(url), _) => to_receiver(&arguments, url).await,
        (None, Some(path)) => to_file(&arguments, path),
        (None, None) => anyhow::bail!("neither --mqtt nor --out was given"),
    }
}

async fn to_receiver(arguments: &SimulateArguments, url: &MqttUrl) -> anyhow::Result<ExitCode> {
    let wanted = u64::from(arguments.vehicles) + OTHER_FILES;
    let possible = raise_open_files(wanted);
    if possible < wanted {
        eprintln!(
            "{} vehicles need {wanted} open files and this process may have {possible}. Raise the hard limit (ulimit -Hn), or simulate fewer.",
            arguments.vehicles
        );
        return Ok(ExitCode::from(EXIT_FAILED));
    }
    let tasks = Tasks::default();
    let fleet = Fleet::new(&options(arguments, clock::now()));
    let options = SendOptions {
        url: url.clone().with_certificates(arguments.certificates.files()),
        format: match arguments.format {
            FormatArgument::Json => Format::Json,
            FormatArgument::Protobuf => Format::Protobuf,
        },
        length: arguments.seconds.map(Duration::from_secs),
        last_acknowledgements: LAST_ACKNOWLEDGEMENTS,
    };
    let table = Arc::new(SignalTable::default());
    let sending = sender::send(fleet, options, Arc::clone(&table), tasks.stop());
    tokio::pin!(sending);
    let (sent, labels) = tokio::select! {
        finished = &mut sending => finished?,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.context("could not listen for Ctrl-C")?;
            eprintln!("Stopping: waiting for the last acknowledgements.");
            tasks.request_stop();
            sending.await?
        }
    };
    let count = labels.len();
    write_labels(arguments, labels, &table)?;
    let nobody_answered = sent.connections == 0 && sent.readings > 0;
    let why = sent.first_error.clone().unwrap_or_default();
    let incomplete = sent.unsent_readings + sent.dropped_readings > 0;
    println!("{}", serde_json::to_string(&MqttSummary { schema_version: SCHEMA_VERSION, sent, labels: count })?);
    if nobody_answered {
        eprintln!("No receiver took a connection at {}:{}: {why}", url.host, url.port);
        return Ok(ExitCode::from(EXIT_DEPENDENCY));
    }
    Ok(if incomplete { ExitCode::from(EXIT_FAILED) } else { ExitCode::SUCCESS })
}

fn to_file(arguments: &SimulateArguments, path: &Path) -> anyhow::Result<ExitCode> {
    let table = SignalTable::default();
    let began = Instant::now();
    let mut fleet = Fleet::new(&options(arguments, arguments.start));
    let length = Duration::from_secs(arguments.seconds.unwrap_or(DEFAULT_SECONDS));
    let bar = if stderr().is_terminal() { ProgressBar::new(1_000) } else { ProgressBar::hidden() };
    bar.set_style(ProgressStyle::with_template("{bar:40} {percent} %, {eta} left").context("progress template")?);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 1,000")]
    let progress = |share: f64| bar.set_position((share * 1_000.0) as u64);
    let written = out::write(&mut fleet, length, path, &table, progress)?;
    bar.finish_and_clear();
    let count = written.labels.len();
    write_labels(arguments, written.labels, &table)?;
    let seconds = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "shown, not computed with")]
    let readings_per_second = written.readings as f64 / seconds;
    let summary = OutSummary {
        schema_version: SCHEMA_VERSION,
        vehicles: arguments.vehicles,
        readings: written.readings,
        labels: count,
        seconds,
        readings_per_second,
    };
    println!("{}", serde_json::to_string(&summary)?);
    Ok(ExitCode::SUCCESS)
}

fn options(arguments: &SimulateArguments, start: Timestamp) -> Options {
    let plan = |plan: &PlanArgument| Plan {
        vehicle: plan.vehicle,
        fault: plan.fault,
        onset: start.plus(plan.after.duration()),
        severity: plan.severity,
        sudden: true,
    };
    let mean_days_between = arguments.faults_every.duration().as_secs_f32() / 86_400.0;
    Options {
        vehicles: arguments.vehicles,
        seed: arguments.seed,
        start,
        every: arguments.every.duration().max(Duration::from_millis(10)),
        faults: RandomFaults { kinds: arguments.faults.0.clone(), mean_days_between },
        plans: arguments.plans.iter().map(plan).collect(),
    }
}

fn write_labels(arguments: &SimulateArguments, labels: Vec<labels::Labelled>, table: &SignalTable) -> anyhow::Result<()> {
    let Some(path) = &arguments.labels else { return Ok(()) };
    labels::write(path, labels, table).with_context(|| format!("could not write the labels to {}", path.display()))
}

/// How many files this process may have open, after asking for `wanted`.
pub(super) fn raise_open_files(wanted: u64) -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let possible = limit.maximum.unwrap_or(u64::MAX);
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(wanted.min(possible));
        // A refusal leaves the old limit, which is then reported.
        let _refused = setrlimit(Resource::Nofile, limit);
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

fn known_faults() -> String {
    FAULTS.iter().map(|spec| spec.name).collect::<Vec<_>>().join(", ")
}

fn fault(name: &str) -> Result<Fault, SimulateArgumentError> {
    Fault::from_name(name).ok_or_else(|| SimulateArgumentError::UnknownFault { name: name.to_owned() })
}

impl FromStr for FaultList {
    type Err = SimulateArgumentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self(Vec::new())),
            "all" => Ok(Self(FAULTS.iter().map(|spec| spec.fault).collect())),
            list => Ok(Self(list.split(',').map(|name| fault(name.trim())).collect::<Result<_, _>>()?)),
        }
    }
}

impl FromStr for PlanArgument {
    type Err = SimulateArgumentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || SimulateArgumentError::Plan { text: text.to_owned() };
        let mut parts = text.split(':');
        let mut next = || parts.next().ok_or_else(wrong);
        let vehicle = next()?.parse().map_err(|_| wrong())?;
        let fault = fault(next()?)?;
        let after = next()?.parse().map_err(|_| wrong())?;
        let severity = parts.next().map(|severity| severity.parse().map_err(|_| wrong())).transpose()?;
        Ok(Self { vehicle, fault, after, severity })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::simulator::faults::MEAN_DAYS_BETWEEN_FAULTS;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        arguments: SimulateArguments,
    }

    fn parse(arguments: &str) -> Result<SimulateArguments, clap::Error> {
        Program::try_parse_from(std::iter::once("simulate").chain(arguments.split_whitespace())).map(|program| program.arguments)
    }

    #[test]
    fn the_command_line_of_the_contract_is_understood() {
        let arguments = parse(
            "--vehicles 10000 --every 30s --seconds 60 --seed 7 --faults fuel_theft,gps_jumps --labels l.jsonl --mqtt mqtt://localhost:1883",
        )
        .unwrap();
        assert_eq!(arguments.faults, FaultList(vec![Fault::FuelTheft, Fault::GpsJumps]));
        assert!(parse("--out fleet.parquet --faults none").unwrap().faults.0.is_empty());
        assert!((MEAN_DAYS_BETWEEN_FAULTS - options(&arguments, Timestamp::default()).faults.mean_days_between).abs() < 1e-6);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_would() {
        assert!(parse("--vehicles 10").is_err(), "no target");
        assert!(parse("--out a.csv --mqtt mqtt://localhost").is_err(), "two targets");
        let error = parse("--out a.csv --faults hiccups").unwrap_err().to_string();
        assert!(error.contains("hiccups") && error.contains("overheating"), "{error}");
    }

    #[test]
    fn a_plan_names_vehicle_fault_time_and_perhaps_severity() {
        let plan: PlanArgument = "3:overheating:20s:0.9".parse().unwrap();
        assert_eq!((plan.vehicle, plan.fault, plan.severity), (3, Fault::Overheating, Some(0.9)));
        assert!("3:overheating".parse::<PlanArgument>().is_err());
    }
}
