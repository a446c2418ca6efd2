//! `odograph bench …`: what is measured and how the figures are printed. The measuring itself: `crate::bench`.

mod scoring;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use crate::bench::generator::{self, Load, Rate};
use crate::bench::line::{BenchArchive, Form, LineBench};

#[derive(Debug, clap::Subcommand)]
pub enum BenchCommand {
    /// Measure the whole line: throughput, CPU, latency from publish to durable and to live, losses, memory
    Line(LineArguments),
    /// Measure scoring beside the bare ONNX Runtime: models, batch sizes, lanes, tasks; compare with an earlier run
    Scoring(scoring::ScoringArguments),
    /// The load of `bench line`, as a process of its own
    #[command(hide = true)]
    Generate(GenerateArguments),
}

#[derive(Debug, clap::Args)]
pub struct LineArguments {
    #[command(flatten)]
    load: LoadArguments,
    /// Where the readings are kept
    #[arg(long, value_enum, default_value = "sqlite")]
    archive: ArchiveKind,
    /// With `--archive postgres`: the server to use, with the right to make databases; the run makes a database on it and drops it again [default: a
    /// server of its own, from the PostgreSQL that is installed here]
    #[arg(long, value_name = "URL")]
    archive_url: Option<String>,
    /// Folder for the data of the run, which is removed afterwards; the disk it is on decides the latency [default: the system's for temporary files]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Measure twice in this run: everything in one process, and then ingest, analytics, storage and dashboard in processes of their own; JSON then has
    /// both under `one_process` and `roles_apart`
    #[arg(long)]
    apart: bool,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct LoadArguments {
    /// Readings per second on a fixed schedule, or `max` for as many as are acknowledged
    #[arg(long, value_name = "R|max", default_value = "333")]
    rate: RateArgument,
    /// Length of the measured span
    #[arg(long, value_name = "S", default_value = "20", value_parser = seconds)]
    seconds: Duration,
    /// Time under the same load before it
    #[arg(long, value_name = "S", default_value = "5", value_parser = seconds)]
    warm_up: Duration,
    /// Vehicles, each with a connection of its own
    #[arg(long, value_name = "N", default_value = "10000", value_parser = clap::value_parser!(u32).range(1..=99_999))]
    vehicles: u32,
    /// With `--rate max`: messages on the way at any time, at most one a vehicle
    #[arg(long, value_name = "N", default_value = "2048")]
    on_the_way: usize,
    /// The same seed gives the same readings
    #[arg(long, default_value = "1")]
    seed: u64,
}

#[derive(Debug, clap::Args)]
pub struct GenerateArguments {
    #[command(flatten)]
    load: LoadArguments,
    #[arg(long)]
    mqtt: SocketAddr,
    #[arg(long)]
    http: SocketAddr,
    /// The processes whose CPU and memory is measured
    #[arg(long)]
    service_pid: Vec<u32>,
    /// Where they show their metrics
    #[arg(long)]
    metrics: Vec<SocketAddr>,
    /// File for the acknowledged readings
    #[arg(long)]
    ledger: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ArchiveKind {
    Sqlite,
    Postgres,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum RateArgument {
    PerSecond(f64),
    Max,
}

impl FromStr for RateArgument {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "max" {
            return Ok(Self::Max);
        }
        let per_second: f64 = text.parse().map_err(|_| "write a number of readings per second, or max")?;
        let is_possible = (1.0..=1e7).contains(&per_second);
        is_possible.then_some(Self::PerSecond(per_second)).ok_or("between 1 and 10,000,000 readings per second")
    }
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds: f64 = text.parse().map_err(|_| "write a number of seconds")?;
    let is_possible = (0.1..=86_400.0).contains(&seconds);
    is_possible.then(|| Duration::from_secs_f64(seconds)).ok_or("between 0.1 and 86,400 seconds")
}

impl LoadArguments {
    fn rate(&self) -> Rate {
        match self.rate {
            RateArgument::PerSecond(per_second) => Rate::PerSecond(per_second),
            RateArgument::Max => Rate::Max { on_the_way: self.on_the_way.max(1) },
        }
    }
}

pub fn run(command: BenchCommand) -> anyhow::Result<ExitCode> {
    match command {
        BenchCommand::Line(arguments) => line(arguments)?,
        BenchCommand::Scoring(arguments) => return scoring::run(arguments),
        BenchCommand::Generate(arguments) => generate(arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn line(arguments: LineArguments) -> anyhow::Result<()> {
    let archive = match arguments.archive {
        ArchiveKind::Sqlite => BenchArchive::Sqlite,
        ArchiveKind::Postgres => BenchArchive::Postgres(arguments.archive_url),
    };
    let bench = LineBench {
        executable: std::env::current_exe()?,
        rate: arguments.load.rate(),
        warm_up: arguments.load.warm_up,
        measured: arguments.load.seconds,
        vehicles: arguments.load.vehicles,
        seed: arguments.load.seed,
        archive,
        form: Form::OneProcess,
        scratch: arguments.scratch.unwrap_or_else(std::env::temp_dir),
    };
    let one = bench.run()?;
    let apart = arguments.apart.then(|| LineBench { form: Form::RolesApart, ..bench }.run()).transpose()?;
    match (&apart, arguments.json) {
        (None, true) => println!("{}", serde_json::to_string_pretty(&one)?),
        (None, false) => print!("{one}"),
        (Some(apart), true) => {
            let both = serde_json::json!({ "schema_version": 1, "one_process": one, "roles_apart": apart });
            println!("{}", serde_json::to_string_pretty(&both)?);
        }
        (Some(apart), false) => print!("In one process\n{one}\nRoles apart\n{apart}"),
    }
    for report in [Some(one), apart].into_iter().flatten() {
        anyhow::ensure!(report.lost == 0, "{} acknowledged readings were lost", report.lost);
        anyhow::ensure!(report.stored_twice == 0, "{} readings were stored twice", report.stored_twice);
    }
    Ok(())
}

fn generate(arguments: GenerateArguments) -> anyhow::Result<()> {
    let GenerateArguments { load, mqtt, http, service_pid, metrics, ledger } = arguments;
    let result = generator::run(&Load {
        mqtt,
        http,
        rate: load.rate(),
        warm_up: load.warm_up,
        measured: load.seconds,
        vehicles: load.vehicles,
        seed: load.seed,
        service_pids: service_pid,
        metrics,
        ledger,
    })?;
    println!("{}", serde_json::to_string(&result)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_or_max() {
        assert_eq!("max".parse(), Ok(RateArgument::Max));
        assert_eq!("333".parse(), Ok(RateArgument::PerSecond(333.0)));
        for wrong in ["0", "-1", "fast", "NaN", "inf"] {
            assert!(wrong.parse::<RateArgument>().is_err(), "{wrong}");
        }
        assert!(seconds("0").is_err() && seconds("nan").is_err());
    }
}
