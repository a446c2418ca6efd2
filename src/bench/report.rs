//! The figures of one run of `odograph bench line`, as JSON for machines and as a table for people.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::exposition::{self, BatchSize};
use super::generator::{Generated, Rate};
use super::latency::Percentiles;
use super::line::LineBench;
use super::process::{Machine, Usage};
use super::read_back::Comparison;
use crate::metrics;

/// Rises with every change that a reader of the JSON has to know of.
const SCHEMA_VERSION: u32 = 1;

#[derive(Debug, Clone, Serialize)]
pub struct Report {
    schema_version: u32,
    load: Load,
    /// Acknowledged in the measured span, per second of it.
    readings_per_second: f64,
    /// CPU of the service process over the measured span.
    cpu_us_per_reading: f64,
    /// The same from the first message (warm-up included) until everything is stored, per acknowledged reading.
    cpu_us_per_reading_until_stored: f64,
    cpu_user_share: f64,
    /// CPU of the archive's server until everything is stored, per acknowledged reading; none where it is part of the service.
    archive_cpu_us_per_reading: Option<f64>,
    generator_cpu_us_per_reading: f64,
    processes: Vec<Process>,
    /// From the moment a message was due to its PUBACK.
    publish_to_durable_ms: Percentiles,
    /// From the moment a message was due to the first answer of the API that shows it; sampled.
    publish_to_live_ms: Percentiles,
    /// How late the generator sent; contained in the latencies.
    send_lateness_ms: Percentiles,
    /// Sent and acknowledged before the start, to fill windows.
    history_readings: u64,
    sent: u64,
    acknowledged: u64,
    unanswered: u64,
    disconnected: u64,
    not_sent: u64,
    stored: u64,
    quarantined: u64,
    /// Acknowledged, neither stored nor quarantined.
    pub lost: u64,
    pub stored_twice: u64,
    /// Share of the readings in the measured span that a model scored.
    scored_share: f64,
    /// From the last acknowledgement until the archive had everything.
    stored_after_ms: f64,
    peak_rss_bytes: u64,
    memory: Memory,
    batch_size: Option<BatchSize>,
    disk: Disk,
    machine_busy_percent: f64,
    machine_interrupts_percent: f64,
    machine: Machine,
}

#[derive(Debug, Clone, Serialize)]
struct Load {
    /// Readings per second, or `null` for as fast as acknowledgements come.
    rate: Option<f64>,
    /// In a closed loop: messages on the way at any time.
    on_the_way: Option<usize>,
    vehicles: u32,
    seconds: f64,
    warm_up_seconds: f64,
    payload_bytes: f64,
    archive: &'static str,
    form: &'static str,
    seed: u64,
}

#[derive(Debug, Clone, Serialize)]
struct Memory {
    idle_rss_bytes: u64,
    /// All vehicles connected, no message sent yet.
    connected_rss_bytes: u64,
    bytes_per_connection: u64,
    connected_in_ms: f64,
}

/// One process of the service.
#[derive(Debug, Clone, Serialize)]
struct Process {
    /// `all` where there is no other.
    role: &'static str,
    /// From before anybody connected until everything is stored, per acknowledged reading, those of the windows' histories left out.
    cpu_us_per_reading: f64,
    peak_rss_bytes: u64,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub struct Disk {
    /// Median time to make 4 KiB durable in a file that has its size already, as the journal does, where the data folder is.
    pub fdatasync_ms: f64,
}

/// What a run gave, from all who watched it.
pub struct Observed<'a> {
    pub bench: &'a LineBench,
    pub generated: Generated,
    pub comparison: Comparison,
    pub quarantined: u64,
    pub stored_after: Duration,
    /// Of each process of the service before anybody connected, and once everything was stored.
    pub idle: Vec<(&'static str, Usage)>,
    pub drained: Vec<(&'static str, Usage)>,
    pub disk: Disk,
    pub machine: Machine,
    /// Of the archive's server, from its start until everything was stored.
    pub archive_cpu_us: Option<u64>,
}

impl Report {
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts and microseconds of one run are far below 2^53")]
    pub fn new(observed: Observed<'_>) -> Self {
        let Observed { bench, generated, comparison, quarantined, stored_after, idle, drained, disk, machine, archive_cpu_us } =
            observed;
        let connected = generated.rss_connected_bytes;
        let per_reading = |cpu_us: u64| cpu_us as f64 / generated.acknowledged.max(1) as f64;
        let processes = idle.iter().zip(&drained).map(|((role, idle), (_, drained))| Process {
            role,
            cpu_us_per_reading: per_reading(drained.cpu_us() - idle.cpu_us()),
            peak_rss_bytes: drained.peak_rss_bytes,
        });
        let processes = processes.collect();
        let whole = |usages: &[(&'static str, Usage)]| usages.iter().map(|(_, usage)| *usage).sum::<Usage>();
        let (idle, drained) = (whole(&idle), whole(&drained));
        let (before, after) = (&generated.metrics_before, &generated.metrics_after);
        let grown = |name| exposition::total(after, name).unwrap_or(0.0) - exposition::total(before, name).unwrap_or(0.0);
        let scored = grown(metrics::READINGS_SCORED);
        Self {
            schema_version: SCHEMA_VERSION,
            load: Load::new(bench, generated.payload_bytes),
            readings_per_second: generated.readings_per_second,
            cpu_us_per_reading: generated.service_cpu_us_per_reading,
            cpu_us_per_reading_until_stored: per_reading(drained.cpu_us() - generated.service_cpu_us_at_start),
            archive_cpu_us_per_reading: archive_cpu_us.map(per_reading),
            cpu_user_share: generated.service_user_share,
            generator_cpu_us_per_reading: generated.generator_cpu_us_per_reading,
            processes,
            publish_to_durable_ms: generated.publish_to_durable_ms,
            publish_to_live_ms: generated.publish_to_live_ms,
            send_lateness_ms: generated.send_lateness_ms,
            history_readings: generated.history_readings,
            sent: generated.sent,
            acknowledged: generated.acknowledged,
            unanswered: generated.unanswered,
            disconnected: generated.disconnected,
            not_sent: generated.not_sent,
            stored: comparison.stored,
            quarantined,
            lost: comparison.missing.saturating_sub(quarantined),
            stored_twice: comparison.stored_twice,
            scored_share: scored / (scored + grown(metrics::READINGS_NOT_SCORED)).max(1.0),
            stored_after_ms: stored_after.as_secs_f64() * 1e3,
            peak_rss_bytes: drained.peak_rss_bytes,
            memory: Memory {
                idle_rss_bytes: idle.rss_bytes,
                connected_rss_bytes: connected,
                bytes_per_connection: connected.saturating_sub(idle.rss_bytes) / u64::from(bench.vehicles.max(1)),
                connected_in_ms: generated.connected_in_ms,
            },
            batch_size: exposition::distribution_between(before, after, metrics::LANE_BATCH_READINGS),
            disk,
            machine_busy_percent: generated.machine_busy_percent,
            machine_interrupts_percent: generated.machine_interrupts_percent,
            machine,
        }
    }
}

impl Load {
    fn new(bench: &LineBench, payload_bytes: f64) -> Self {
        let (rate, on_the_way) = match bench.rate {
            Rate::PerSecond(per_second) => (Some(per_second), None),
            Rate::Max { on_the_way } => (None, Some(on_the_way)),
        };
        Self {
            rate,
            on_the_way,
            vehicles: bench.vehicles,
            seconds: bench.measured.as_secs_f64(),
            warm_up_seconds: bench.warm_up.as_secs_f64(),
            payload_bytes,
            archive: bench.archive.name(),
            form: bench.form.name(),
            seed: bench.seed,
        }
    }
}

impl fmt::Display for Report {
    #[expect(clippy::cast_precision_loss, reason = "bytes of memory are far below 2^53")]
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
        let Load { vehicles, seconds, payload_bytes, .. } = &self.load;
        let rate = match (self.load.rate, self.load.on_the_way) {
            (Some(rate), _) => format!("{rate} readings/s on a fixed schedule"),
            (None, on_the_way) => format!("as fast as acknowledged, {} on the way", on_the_way.unwrap_or_default()),
        };
        let mut row = |name: &str, value: String| writeln!(formatter, "{name:<24}{value}");
        row("load", format!("{rate}; {vehicles} vehicles, {seconds} s, {payload_bytes:.0} B a reading"))?;
        row("readings per second", format!("{:.0}", self.readings_per_second))?;
        row("lost, stored twice", format!("{} and {} of {} acknowledged", self.lost, self.stored_twice, self.acknowledged))?;
        row(
            "unanswered",
            format!("{} (connections closed: {}, not sent: {})", self.unanswered, self.disconnected, self.not_sent),
        )?;
        row("quarantined", self.quarantined.to_string())?;
        row("scored", format!("{:.1} %", self.scored_share * 100.0))?;
        row("publish to durable, ms", self.publish_to_durable_ms.to_string())?;
        row("publish to live, ms", self.publish_to_live_ms.to_string())?;
        row("generator lateness, ms", self.send_lateness_ms.to_string())?;
        row(
            "CPU per reading, µs",
            format!(
                "{:.1} ({:.0} % user), {:.1} until stored; generator {:.1}",
                self.cpu_us_per_reading,
                self.cpu_user_share * 100.0,
                self.cpu_us_per_reading_until_stored,
                self.generator_cpu_us_per_reading
            ),
        )?;
        for Process { role, cpu_us_per_reading, peak_rss_bytes } in self.processes.iter().filter(|_| self.processes.len() > 1) {
            row(role, format!("{cpu_us_per_reading:.1} µs of CPU a reading, all in all; peak {:.0} MiB", mib(*peak_rss_bytes)))?;
        }
        if let Some(cpu) = self.archive_cpu_us_per_reading {
            row("archive's server, µs", format!("{cpu:.1} of CPU a reading, until stored"))?;
        }
        row("machine", format!("{:.0} % busy, {:.0} % interrupts", self.machine_busy_percent, self.machine_interrupts_percent))?;
        if let Some(batch) = self.batch_size {
            row("batch of a lane", format!("p50 ≤ {}, p99 ≤ {}, mean {:.1}", batch.p50, batch.p99, batch.mean))?;
        }
        row("stored after, ms", format!("{:.0}", self.stored_after_ms))?;
        row(
            "memory, MiB",
            format!(
                "idle {:.0}, connected {:.0} ({} B a connection), peak {:.0}",
                mib(self.memory.idle_rss_bytes),
                mib(self.memory.connected_rss_bytes),
                self.memory.bytes_per_connection,
                mib(self.peak_rss_bytes)
            ),
        )?;
        row("disk", format!("{:.2} ms to make 4 KiB durable", self.disk.fdatasync_ms))?;
        let Machine { cpu, cores, kernel, build, .. } = &self.machine;
        row("on", format!("{cpu}, {cores} cores, Linux {kernel}, {build} build"))
    }
}
