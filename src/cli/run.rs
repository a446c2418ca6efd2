//! `odograph run`: settings, runtime, logging, and hand over to the assembly.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tracing::info;

use super::simulate::raise_open_files;
use super::{Exit, Failure};
#[cfg(debug_assertions)]
use crate::crash_point::{self, CrashPoint};
use crate::domain::{SignalTable, Timestamp};
use crate::settings::{Role, Settings, Sources, signal_table};
use crate::simulator::faults::Fault;
use crate::simulator::fleet::{Fleet, Options};
use crate::simulator::illness::{Plan, RandomFaults};
use crate::simulator::mqtt_vehicle::MqttUrl;
use crate::simulator::roads::Roads;
use crate::simulator::sender::{self, Format, SendOptions};
use crate::tasks::Tasks;
use crate::{assembly, clock, logging};

/// Of the simulated fleet and its roads.
const SEED: u64 = 1;

#[derive(Debug, clap::Args)]
pub struct RunArguments {
    /// Settings file (see odograph.toml for all settings)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of journal, checkpoints and the embedded archive [default: odograph-data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Address of page, API, health and metrics; port 0 picks a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// Address of the endpoint for vehicles; port 0 picks a free one [default: 127.0.0.1:1883]
    #[arg(long, value_name = "ADDR")]
    mqtt: Option<String>,
    /// Address of the gRPC services; port 0 picks a free one [default: 127.0.0.1:50051]
    #[arg(long, value_name = "ADDR")]
    grpc: Option<String>,
    /// What this process does, some of ingest,analytics,storage,dashboard; where it has not all of them, [links] in the settings say where the
    /// others are [default: all]
    #[arg(long, value_name = "LIST")]
    roles: Option<String>,
    /// Drive N simulated vehicles into this process, over its own endpoint
    #[arg(long, value_name = "N")]
    simulate: Option<u32>,
    /// For tests, in debug builds alone: dies at a place, the Nth time that it comes by
    #[cfg(debug_assertions)]
    #[arg(long, value_name = "PLACE:N", value_parser = parse_crash, hide = true)]
    crash_at: Option<(CrashPoint, u32)>,
}

impl RunArguments {
    fn settings(&self) -> Result<Settings, Failure> {
        let flag = |key, name, value: &Option<String>| value.clone().map(|value| (key, name, value));
        let flags = [
            flag("data", "--data", &self.data),
            flag("roles", "--roles", &self.roles),
            flag("http.address", "--http", &self.http),
            flag("mqtt.address", "--mqtt", &self.mqtt),
            flag("grpc.address", "--grpc", &self.grpc),
        ];
        let flags = flags.into_iter().flatten().collect();
        Ok(Settings::load(&Sources { file: self.config.clone(), environment: Settings::environment(), flags })?)
    }
}

/// Runs until the process is told to stop.
pub fn run(arguments: &RunArguments) -> anyhow::Result<()> {
    #[cfg(debug_assertions)]
    if let Some((point, times)) = arguments.crash_at {
        crash_point::arm(point, times);
    }
    let mut settings = arguments.settings()?;
    if arguments.simulate.is_some() && !settings.has(Role::Ingest) {
        let message = "--simulate drives vehicles into the endpoint of this process, which has not the role ingest".to_owned();
        return Err(Failure { exit: Exit::Usage, message }.into());
    }
    logging::start(&settings.log)?;
    settings.mqtt.max_connections = allowed_connections(settings.mqtt.max_connections, arguments.simulate.unwrap_or_default());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let table = Arc::new(signal_table(&settings.signals));
    let simulated = arguments.simulate;
    let roads = simulated.map(|_| Roads::new(SEED));
    runtime.block_on(assembly::run(settings, roads, |addresses, tasks| {
        if let (Some(vehicles), Some(mqtt)) = (simulated, addresses.mqtt) {
            simulate(vehicles, mqtt, table, tasks);
        }
    }))
}

#[cfg(debug_assertions)]
fn parse_crash(text: &str) -> Result<(CrashPoint, u32), String> {
    let (point, times) = text.split_once(':').ok_or("PLACE:N")?;
    Ok((clap::ValueEnum::from_str(point, false)?, times.parse().map_err(|error| format!("{error}"))?))
}

/// One open file per vehicle, as many as the system admits; a simulated one needs another for its own end. Returns how many vehicles that is:
/// one more would take a file from the journal.
fn allowed_connections(max_connections: usize, simulated: u32) -> usize {
    let wanted = files_wanted(max_connections) + u64::from(simulated);
    let possible = raise_open_files(wanted);
    let allowed = within_limit(max_connections, possible.saturating_sub(simulated.into()));
    if allowed < max_connections {
        info!(
            open_files = possible,
            max_connections, allowed, "the hard limit of open files (ulimit -Hn) admits fewer vehicles than settings do"
        );
    }
    allowed
}

/// At least one vehicle may come.
fn within_limit(max_connections: usize, open_files: u64) -> usize {
    let left = open_files.saturating_sub(OTHER_FILES).max(1);
    usize::try_from(left).unwrap_or(usize::MAX).min(max_connections)
}

const OTHER_FILES: u64 = 1_000;

/// One for each vehicle, and those of journal, archive, HTTP and the rest.
pub(super) const fn files_wanted(max_connections: usize) -> u64 {
    max_connections as u64 + OTHER_FILES
}

/// The fleet reports every few seconds, so that a page shows it driving soon; what goes wrong in the first minute is planned.
fn simulate(vehicles: u32, mqtt: SocketAddr, table: Arc<SignalTable>, tasks: &Tasks) {
    const EVERY: Duration = Duration::from_secs(5);
    const LAST_ACKNOWLEDGEMENTS: Duration = Duration::from_secs(2);
    let start = clock::now();
    let options =
        Options { vehicles, seed: SEED, start, every: EVERY, faults: RandomFaults::all(), plans: plans(vehicles, start) };
    let send = SendOptions {
        url: MqttUrl { host: mqtt.ip().to_string(), port: mqtt.port(), login: None, tls: None },
        format: Format::Json,
        length: None,
        last_acknowledgements: LAST_ACKNOWLEDGEMENTS,
    };
    let stop = tasks.stop();
    tasks.spawn("simulated fleet", async move {
        let fleet = tokio::task::block_in_place(|| Fleet::new(&options));
        sender::send(fleet, send, table, stop).await?;
        Ok(())
    });
}

/// Several, since a vehicle that is parked does not fall ill: of four kinds that show soon, on a few vehicles each.
fn plans(vehicles: u32, start: Timestamp) -> Vec<Plan> {
    const FAULTS: [Fault; 4] = [Fault::SensorOpenCircuit, Fault::TireLeakFast, Fault::GpsJumps, Fault::Overheating];
    let each = |(number, vehicle): (u32, u32)| Plan {
        vehicle,
        fault: FAULTS[number as usize % FAULTS.len()],
        onset: start.plus(Duration::from_secs(15 + 5 * u64::from(number))),
        severity: None,
        sudden: true,
    };
    (0..8).zip((0..vehicles).step_by(7)).map(each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vehicles_leave_the_files_that_journal_and_archive_need() {
        assert_eq!(within_limit(50_000, 1 << 20), 50_000);
        assert_eq!(within_limit(50_000, 20_000), 19_000);
        assert_eq!(within_limit(50_000, 500), 1);
    }
}
