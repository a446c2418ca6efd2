//! `odograph model check`. The file is tried in a process of its own with bounded memory and time: a model that crashes, hangs or eats
//! memory is refused with its reason, and nothing else is hurt.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::{read, settings_of};
use crate::analytics::calibration::Calibration;
use crate::analytics::contract::Contract;
use crate::analytics::library::find_library;
use crate::analytics::model::Runtime;
use crate::analytics::model::check::{POINTS, Verdict, check};
use crate::analytics::onnx_file;
use crate::settings::{ByteSize, signal_table};

const SCHEMA_VERSION: u32 = 1;
/// Of one reading in a batch of 64.
const DEFAULT_MAX_US: f64 = 100.0;

/// Address space that threads and the runtime reserve and do not use; comes on top of the budget.
const RESERVED: u64 = 256 << 20;
/// Processor seconds for all points together; a whole check takes about one.
const MOST_SECONDS: u64 = 60;

#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// An ONNX file with its contract inside
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Settings whose signals the features may name (default: the built-in signals)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Time that one reading may take in a batch of 64, in microseconds
    #[arg(long, value_name = "US", default_value_t = DEFAULT_MAX_US)]
    max_us: f64,
    /// Memory that the model may take in one lane, such as `64MiB`
    #[arg(long, value_name = "SIZE", default_value = "256MiB")]
    max_memory: ByteSize,
    /// As JSON, for CI
    #[arg(long)]
    json: bool,
    /// In the process of its own: print what was found, for the one that started it
    #[arg(long, hide = true)]
    alone: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Report {
    schema_version: u32,
    file: PathBuf,
    passed: bool,
    points: Vec<Line>,
    /// What a person may want to know and what does not count against the model.
    notes: Vec<String>,
    next: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    name: String,
    verdict: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    detail: String,
}

pub fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    if args.alone {
        let report = check_here(args)?;
        println!("{}", serde_json::to_string(&report)?);
        return Ok(ExitCode::SUCCESS);
    }
    // So that a wrong path is an error of this command, not a model that failed.
    read(&args.file)?;
    let report = check_apart(args)?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{}", report.as_text());
    }
    Ok(if report.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What `odograph doctor` wants to know of a model.
pub struct Judgement {
    /// Points that failed, with what was found.
    pub failed: Vec<(String, String)>,
    pub notes: Vec<String>,
}

/// As `odograph model check` with its own budgets, in a process of its own.
///
/// # Errors
/// Where the file or the settings cannot be read, or no process can be started.
pub fn judge(file: &std::path::Path, config: Option<&PathBuf>) -> anyhow::Result<Judgement> {
    read(file)?;
    let args = CheckArgs {
        file: file.to_owned(),
        config: config.cloned(),
        max_us: DEFAULT_MAX_US,
        max_memory: ByteSize::from_mib(256),
        json: true,
        alone: false,
    };
    let report = check_apart(&args)?;
    let failed = report.points.into_iter().filter(|point| point.verdict == "fail").map(|point| (point.name, point.detail));
    Ok(Judgement { failed: failed.collect(), notes: report.notes })
}

fn check_apart(args: &CheckArgs) -> anyhow::Result<Report> {
    let mut command = Command::new(std::env::current_exe().context("where is this program?")?);
    command.args(["model", "check", "--alone", "--max-us", &args.max_us.to_string(), "--max-memory"]);
    command.arg(args.max_memory.to_string()).arg(&args.file);
    if let Some(config) = &args.config {
        command.arg("--config").arg(config);
    }
    let output =
        command.stdin(Stdio::null()).stderr(Stdio::piped()).output().context("could not start a process for the check")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if let Ok(report) = serde_json::from_str(text.trim()) {
        return Ok(report);
    }
    let message = String::from_utf8_lossy(&output.stderr);
    if died(output.status) {
        return Ok(Report::of_a_death(args, &message));
    }
    bail!("{}", message.trim().trim_start_matches("odograph: "));
}

/// By a signal, or by the runtime's own way of ending a process that has no memory left.
fn died(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.signal().is_some() || status.code().is_some_and(|code| code > 100)
}

fn check_here(args: &CheckArgs) -> anyhow::Result<Report> {
    let settings = settings_of(args.config.as_ref())?;
    let table = signal_table(&settings.signals);
    let runtime = Runtime::load(&find_library(&settings.analytics.onnxruntime))?;
    let file = read(&args.file)?;
    let before = memory().resident;
    bound(args.max_memory.bytes())?;
    let mut points = check(&runtime, &file, &table, Duration::from_secs_f64(args.max_us.max(0.0) / 1e6));
    let taken = memory().resident.saturating_sub(before);
    let passed = points.iter().all(|point| point.verdict == Verdict::Pass);
    let fits = taken <= args.max_memory.bytes();
    let mut lines: Vec<Line> = points.drain(..).map(Line::from).collect();
    lines.push(Line {
        name: "memory".to_owned(),
        verdict: if !passed {
            "skipped"
        } else if fits {
            "pass"
        } else {
            "fail"
        }
        .to_owned(),
        detail: if passed { format!("{} KiB; the budget is {}", taken >> 10, args.max_memory) } else { String::new() },
    });
    let contract = onnx_file::metadata_of(&file).ok().and_then(|metadata| Contract::read(&metadata, &table).ok());
    let notes = contract.map(|contract| notes(&contract, settings.analytics.alert.open_tail_probability)).unwrap_or_default();
    Ok(Report::new(args, lines, notes))
}

/// From here on this process may not grow beyond the budget, nor compute for long.
fn bound(memory_bytes: u64) -> anyhow::Result<()> {
    for (resource, most) in [(Resource::As, memory().address_space + RESERVED + memory_bytes), (Resource::Cpu, MOST_SECONDS)] {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) }).context("could not bound the process")?;
    }
    Ok(())
}

struct Memory {
    address_space: u64,
    resident: u64,
}

/// Of this process, in bytes.
fn memory() -> Memory {
    const PAGE_BYTES: u64 = 4_096;
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let mut bytes = text.split(' ').map(|pages| pages.parse::<u64>().unwrap_or(0) * PAGE_BYTES);
    Memory { address_space: bytes.next().unwrap_or(0), resident: bytes.next().unwrap_or(0) }
}

fn notes(contract: &Contract, open: f64) -> Vec<String> {
    let resolution = contract.calibration.as_ref().map(Calibration::resolution).filter(|resolution| *resolution > open);
    let never_alerts = resolution.filter(|_| contract.alert.is_none()).map(|resolution| {
        format!(
            "it scores and never alerts: its calibration tells tail probabilities down to {resolution:.1e}, \
             analytics.alert.open_tail_probability is {open:.1e}; give its contract an `alert`, or calibrate on more readings"
        )
    });
    never_alerts.into_iter().collect()
}

impl From<crate::analytics::model::check::Point> for Line {
    fn from(point: crate::analytics::model::check::Point) -> Self {
        let verdict = match point.verdict {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::Skipped => "skipped",
        };
        Self { name: point.name.to_owned(), verdict: verdict.to_owned(), detail: point.detail }
    }
}

impl Report {
    fn new(args: &CheckArgs, points: Vec<Line>, notes: Vec<String>) -> Self {
        let failed = points.iter().find(|point| point.verdict == "fail").map(|point| point.name.clone());
        let file = args.file.display();
        let next = match failed.as_deref() {
            None => format!("odograph model evaluate LABELLED.parquet --model {file}, then name it in analytics.models"),
            Some("contract" | "features") => format!("odograph model annotate {file} --contract contract.json"),
            Some("golden rows") => {
                format!("make the golden rows anew with the graph that is in {file}, and odograph model annotate")
            }
            Some(_) => format!("export the model anew and odograph model check {file}"),
        };
        Self { schema_version: SCHEMA_VERSION, file: args.file.clone(), passed: failed.is_none(), points, notes, next }
    }

    /// The process of its own did not live to tell.
    fn of_a_death(args: &CheckArgs, message: &str) -> Self {
        let last = message.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no last words");
        let detail = format!(
            "the process that tried it died: out of {} of memory, over {MOST_SECONDS} s, or crashed ({last})",
            args.max_memory
        );
        let line =
            |name: &str, verdict: &str, detail: String| Line { name: name.to_owned(), verdict: verdict.to_owned(), detail };
        let skipped = POINTS.iter().map(|name| line(name, "skipped", String::new()));
        let points = std::iter::once(line("survival", "fail", detail)).chain(skipped).collect();
        Self::new(args, points, Vec::new())
    }

    fn as_text(&self) -> String {
        let mut text = String::new();
        for Line { name, verdict, detail } in &self.points {
            text.push_str(format!("{verdict:<8} {name:<17} {detail}").trim_end());
            text.push('\n');
        }
        for note in &self.notes {
            let _never_fails = writeln!(text, "note     {note}");
        }
        let _never_fails = writeln!(text, "{}; next: {}", if self.passed { "passed" } else { "refused" }, self.next);
        text
    }
}
