//! The figures of one run of `odograph bench scoring`, as JSON for machines and as tables for people.

use std::fmt;

use serde::Serialize;

use super::cell::Measured;
use super::tasks::TasksMeasured;
use super::verdict::{Baseline, BaselineError, Comparison, Now, Verdict, interval_of_median, median};
use crate::bench::process::Machine;

/// Rises with every change that a reader of the JSON, or a comparison, has to know of.
pub(super) const SCHEMA_VERSION: u32 = 1;

#[derive(Debug, Clone, Serialize)]
pub struct Report {
    schema_version: u32,
    models: Vec<ScoringRow>,
    tasks: Vec<TasksRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<Comparison>,
    machine: Machine,
}

/// One model, batch size and number of lanes.
#[derive(Debug, Clone, Serialize)]
struct ScoringRow {
    name: String,
    version: String,
    batch: usize,
    lanes: usize,
    /// Medians of the rounds, all lanes together.
    rows_per_second: f64,
    bare_rows_per_second: f64,
    /// Ours over bare in the same round: the median, and where it is with 95 %.
    ratio: f64,
    ratio_interval: [f64; 2],
    /// Of one call with a whole batch.
    p50_us: f64,
    p99_us: f64,
    bare_p50_us: f64,
    bare_p99_us: f64,
    /// Of every round, for comparisons.
    ratios: Vec<f64>,
}

/// So many tasks, one reading each on the way, from payload to durable.
#[derive(Debug, Clone, Serialize)]
struct TasksRow {
    name: String,
    tasks: usize,
    lanes: usize,
    readings_per_second: f64,
    p50_us: f64,
    p99_us: f64,
    /// Readings that a lane took together.
    batch_p50: u64,
    batch_p99: u64,
    scored_share: f64,
}

impl Report {
    pub(super) fn new(cells: Vec<Measured>, tasks: Vec<TasksMeasured>, machine: Machine) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            models: cells.into_iter().map(ScoringRow::of).collect(),
            tasks: tasks.into_iter().map(TasksRow::of).collect(),
            baseline: None,
            machine,
        }
    }

    /// # Errors
    /// Where the two have no cell in common.
    pub fn compare(&mut self, baseline: &Baseline, tolerance: f64) -> Result<Verdict, BaselineError> {
        let cells = self.models.iter().map(|cell| {
            let ScoringRow { name, batch, lanes, ratios, .. } = cell;
            Now { name, batch: *batch, lanes: *lanes, ratios }
        });
        let cells: Vec<Now<'_>> = cells.collect();
        let comparison = baseline.compare(&cells, tolerance)?;
        let verdict = comparison.verdict;
        self.baseline = Some(comparison);
        Ok(verdict)
    }
}

impl ScoringRow {
    fn of(cell: Measured) -> Self {
        let Measured { name, version, batch, lanes, ours, bare } = cell;
        let rounds = ours.rows_per_second.iter().zip(&bare.rows_per_second);
        let ratios: Vec<f64> = rounds.map(|(ours, bare)| ours / bare).collect();
        Self {
            name,
            version,
            batch,
            lanes,
            rows_per_second: median(&ours.rows_per_second),
            bare_rows_per_second: median(&bare.rows_per_second),
            ratio: median(&ratios),
            ratio_interval: interval_of_median(&ratios),
            p50_us: thousandth(ours.nanoseconds.value_at_quantile(0.5)),
            p99_us: thousandth(ours.nanoseconds.value_at_quantile(0.99)),
            bare_p50_us: thousandth(bare.nanoseconds.value_at_quantile(0.5)),
            bare_p99_us: thousandth(bare.nanoseconds.value_at_quantile(0.99)),
            ratios,
        }
    }
}

impl TasksRow {
    fn of(measured: TasksMeasured) -> Self {
        let TasksMeasured { model, tasks, lanes, readings_per_second, micros, batch_readings, scored_share } = measured;
        Self {
            name: model,
            tasks,
            lanes,
            readings_per_second,
            p50_us: whole(micros.value_at_quantile(0.5)),
            p99_us: whole(micros.value_at_quantile(0.99)),
            batch_p50: batch_readings.value_at_quantile(0.5),
            batch_p99: batch_readings.value_at_quantile(0.99),
            scored_share,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{:<28} {:>5} {:>5} {:>12} {:>12} {:>7} {:>15} {:>9} {:>9}",
            "model", "batch", "lanes", "rows/s", "bare rows/s", "ratio", "with 95 %", "p50 µs", "p99 µs"
        )?;
        for cell in &self.models {
            let ScoringRow {
                name,
                batch,
                lanes,
                rows_per_second,
                bare_rows_per_second,
                ratio,
                ratio_interval,
                p50_us,
                p99_us,
                ..
            } = cell;
            let [low, high] = ratio_interval;
            writeln!(
                formatter,
                "{name:<28} {batch:>5} {lanes:>5} {rows_per_second:>12.0} {bare_rows_per_second:>12.0} {ratio:>7.3} {:>15} {p50_us:>9.1} {p99_us:>9.1}",
                format!("{low:.3} to {high:.3}")
            )?;
        }
        if !self.tasks.is_empty() {
            writeln!(
                formatter,
                "\n{:<28} {:>5} {:>5} {:>12} {:>9} {:>9} {:>11} {:>7}",
                "from payload to durable", "tasks", "lanes", "readings/s", "p50 µs", "p99 µs", "batch p50", "scored"
            )?;
        }
        for cell in &self.tasks {
            let TasksRow { name, tasks, lanes, readings_per_second, p50_us, p99_us, batch_p50, scored_share, .. } = cell;
            writeln!(
                formatter,
                "{name:<28} {tasks:>5} {lanes:>5} {readings_per_second:>12.0} {p50_us:>9.0} {p99_us:>9.0} {batch_p50:>11} {:>6.1}%",
                scored_share * 100.0
            )?;
        }
        if let Some(baseline) = &self.baseline {
            write_baseline(baseline, formatter)?;
        }
        let Machine { cpu, cores, memory_bytes, kernel, build, .. } = &self.machine;
        writeln!(formatter, "\n{cpu}, {cores} cores, {} GiB, Linux {kernel}, {build} build", memory_bytes >> 30)
    }
}

fn write_baseline(baseline: &Comparison, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(
        formatter,
        "\n{:<28} {:>5} {:>5} {:>18} {:>17} verdict",
        "against the baseline", "batch", "lanes", "ratio now/then", "certainly within"
    )?;
    for cell in &baseline.cells {
        let [low, high] = cell.change_interval;
        let verdict = word(cell.verdict);
        writeln!(
            formatter,
            "{:<28} {:>5} {:>5} {:>18.3} {:>17} {verdict}",
            cell.name,
            cell.batch,
            cell.lanes,
            cell.change,
            format!("{low:.3} to {high:.3}")
        )?;
    }
    writeln!(
        formatter,
        "overall: {}; tolerance {:.0} %, {} cells not compared",
        word(baseline.verdict),
        baseline.tolerance * 100.0,
        baseline.not_compared
    )
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Slower => "slower",
        Verdict::Same => "same",
        Verdict::Faster => "faster",
    }
}

fn thousandth(nanoseconds: u64) -> f64 {
    whole(nanoseconds) / 1e3
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
const fn whole(number: u64) -> f64 {
    number as f64
}
