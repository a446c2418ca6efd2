//! Whether a model file may score live traffic, point by point. Stops at the first point that everything after it needs.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::{Model, ModelError, Runtime};
use crate::analytics::contract::{Contract, ContractError, VERSION};
use crate::analytics::onnx_file::{self, OnnxFileError};
use crate::domain::SignalTable;

/// Rows of the runs that are compared and timed; a lane under load has about as many.
const ROWS: usize = 64;
/// One row alone and the same among others may differ by so much, relative to the larger of 1 and the score: sums in another order.
const BATCH_TOLERANCE: f64 = 1e-4;
/// The median of so many runs is taken.
const TIMED_RUNS: usize = 101;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    pub name: &'static str,
    pub verdict: Verdict,
    /// For people: what was found.
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Pass,
    Fail,
    /// Something before it failed.
    Skipped,
}

/// In this order.
pub const POINTS: [&str; 10] = [
    "file",
    "safety",
    "contract",
    "features",
    "graph",
    "dynamic batch",
    "golden rows",
    "batch invariance",
    "edge inputs",
    "speed",
];

/// Every point of [`POINTS`]. `budget`: time of one reading in a batch of 64.
#[must_use]
pub fn check(runtime: &Runtime, file: &[u8], table: &SignalTable, budget: Duration) -> Vec<Point> {
    let mut points = Vec::with_capacity(POINTS.len());
    let mut pass = |name, detail: String| points.push(Point { name, verdict: Verdict::Pass, detail });
    let failed = match examine(runtime, file, table, budget, &mut pass) {
        Ok(()) => return points,
        Err(failed) => failed,
    };
    // What stands before the failed point was passed on the way to it.
    for name in POINTS.iter().take_while(|name| **name != failed.name) {
        if !points.iter().any(|point| point.name == *name) {
            points.push(Point { name, verdict: Verdict::Pass, detail: String::new() });
        }
    }
    points.push(failed);
    for name in POINTS.iter().skip(points.len()) {
        points.push(Point { name, verdict: Verdict::Skipped, detail: String::new() });
    }
    points
}

fn examine(
    runtime: &Runtime,
    file: &[u8],
    table: &SignalTable,
    budget: Duration,
    pass: &mut impl FnMut(&'static str, String),
) -> Result<(), Point> {
    let metadata = onnx_file::metadata_of(file).map_err(|error| fail(place_of_file_error(&error), error.to_string()))?;
    pass("file", format!("{} bytes, ONNX", file.len()));
    pass("safety", "no external data, only operators of the standard".to_owned());
    let contract = Contract::read(&metadata, table).map_err(|error| fail(place_of_contract_error(&error), error.to_string()))?;
    pass("contract", format!("{} {}, contract {}", contract.name, contract.version, VERSION));
    pass("features", shape_of(&contract));
    let mut model = Model::load(runtime, file, table).map_err(|error| fail(place_of_model_error(&error), error.to_string()))?;
    pass("graph", format!("output {:?}, loaded and run", contract.output));
    pass("dynamic batch", "1 and 3 rows".to_owned());
    pass("golden rows", format!("{} rows within {}", contract.golden.raw.len(), contract.golden.tolerance));
    let rows = varied_rows(&contract, ROWS);
    pass("batch invariance", batch_invariance(&mut model, &rows).map_err(|detail| fail("batch invariance", detail))?);
    pass("edge inputs", edge_inputs(&mut model, &contract).map_err(|detail| fail("edge inputs", detail))?);
    let per_reading = time_per_reading(&mut model, &rows).map_err(|error| fail("speed", error.to_string()))?;
    let detail = format!(
        "{:.2} µs a reading in batches of {ROWS}; the budget is {:.2} µs",
        per_reading.as_secs_f64() * 1e6,
        budget.as_secs_f64() * 1e6
    );
    if per_reading > budget {
        return Err(fail("speed", detail));
    }
    pass("speed", detail);
    Ok(())
}

const fn fail(name: &'static str, detail: String) -> Point {
    Point { name, verdict: Verdict::Fail, detail }
}

const fn place_of_file_error(error: &OnnxFileError) -> &'static str {
    match error {
        OnnxFileError::ExternalData { .. } | OnnxFileError::CustomDomain { .. } | OnnxFileError::OtherFormat => "safety",
        OnnxFileError::DuplicateKey { .. } => "contract",
        OnnxFileError::TooLarge { .. } | OnnxFileError::Protobuf(_) | OnnxFileError::NoGraph | OnnxFileError::Damaged => "file",
    }
}

const fn place_of_contract_error(error: &ContractError) -> &'static str {
    match error {
        ContractError::Feature { .. } => "features",
        _ => "contract",
    }
}

const fn place_of_model_error(error: &ModelError) -> &'static str {
    match error {
        ModelError::File(_) => "file",
        ModelError::Contract(_) => "contract",
        ModelError::FixedBatch { .. } | ModelError::Output { .. } | ModelError::Rows { .. } => "dynamic batch",
        ModelError::Golden { .. } => "golden rows",
        ModelError::Load(_)
        | ModelError::Inputs { .. }
        | ModelError::Input { .. }
        | ModelError::OutputType { .. }
        | ModelError::NoOutput { .. }
        | ModelError::Run(_)
        | ModelError::TooSlow
        | ModelError::Resting => "graph",
    }
}

fn shape_of(contract: &Contract) -> String {
    match contract.window {
        None => format!("{}, all known", contract.features.len()),
        Some(grid) => {
            format!("{} signals over {} steps of {} s, all known", contract.features.len(), grid.steps, grid.step.as_secs())
        }
    }
}

/// Golden rows again and again, each value a few percent off: real rows differ, and repeated ones flatter trees.
#[must_use]
pub fn varied_rows(contract: &Contract, rows: usize) -> Vec<f32> {
    let values = contract.golden.rows.iter().cycle().take(rows * contract.width());
    let mut random = 0x9E37_79B9_u32;
    let varied = values.map(|value| {
        // xorshift (Marsaglia 2003)
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        #[expect(clippy::cast_precision_loss, reason = "any number will do")]
        let share = random as f32 / u32::MAX as f32 - 0.5;
        value + 0.1 * share * value.abs().max(0.1)
    });
    varied.collect()
}

fn batch_invariance(model: &mut Model, rows: &[f32]) -> Result<String, String> {
    let mut together = Vec::with_capacity(ROWS);
    model.score(rows, &mut together).map_err(|error| error.to_string())?;
    let mut alone = Vec::with_capacity(ROWS);
    for row in rows.chunks_exact(model.contract().width()) {
        model.score(row, &mut alone).map_err(|error| error.to_string())?;
    }
    let mut largest = 0.0_f64;
    for (row, (together, alone)) in together.iter().zip(&alone).enumerate() {
        let difference = (f64::from(*together) - f64::from(*alone)).abs() / f64::from(alone.abs().max(1.0));
        let is_equal = difference <= BATCH_TOLERANCE || (together.is_nan() && alone.is_nan());
        if !is_equal {
            return Err(format!("row {row} gives {together} among {ROWS} rows and {alone} alone"));
        }
        largest = largest.max(difference);
    }
    Ok(format!("{ROWS} rows together and alone, largest difference {largest:.1e}"))
}

/// Values that no reading should have and some will: they may have no score, but must not fail the run nor touch their neighbours.
fn edge_inputs(model: &mut Model, contract: &Contract) -> Result<String, String> {
    const EDGES: [(&str, f32); 7] = [
        ("missing", f32::NAN),
        ("infinite", f32::INFINITY),
        ("minus infinite", f32::NEG_INFINITY),
        ("largest", f32::MAX),
        ("smallest", f32::MIN),
        ("tiny", f32::MIN_POSITIVE),
        ("zero", 0.0),
    ];
    let width = contract.width();
    let golden = &contract.golden.rows[..width];
    let mut expected = Vec::with_capacity(1);
    model.score(golden, &mut expected).map_err(|error| error.to_string())?;
    for (name, value) in EDGES {
        let mut rows = golden.to_vec();
        rows.extend(std::iter::repeat_n(value, width));
        rows.extend_from_slice(golden);
        let mut raw = Vec::with_capacity(3);
        model.score(&rows, &mut raw).map_err(|error| format!("a row of {name} values fails the run: {error}"))?;
        for neighbour in [raw[0], raw[2]] {
            let difference = (f64::from(neighbour) - f64::from(expected[0])).abs();
            let is_equal = difference <= BATCH_TOLERANCE * f64::from(expected[0].abs().max(1.0));
            if !is_equal {
                return Err(format!("beside a row of {name} values a golden row gives {neighbour}, not {}", expected[0]));
            }
        }
    }
    Ok("missing, infinite, largest and smallest values leave their neighbours alone".to_owned())
}

/// The median of many runs; the first ones warm up.
///
/// # Errors
/// As of [`Model::score`].
pub fn time_per_reading(model: &mut Model, rows: &[f32]) -> Result<Duration, ModelError> {
    let mut times = Vec::with_capacity(TIMED_RUNS);
    let mut raw = Vec::new();
    for run in 0..TIMED_RUNS + 10 {
        raw.clear();
        let began = Instant::now();
        model.score(rows, &mut raw)?;
        if run >= 10 {
            times.push(began.elapsed());
        }
    }
    times.sort_unstable();
    Ok(times[TIMED_RUNS / 2] / u32::try_from(raw.len().max(1)).unwrap_or(u32::MAX))
}
