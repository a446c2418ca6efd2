//! Runs an ONNX model on rows of features. With its parts the only place that knows `ort`; what a model promises stands in `contract`,
//! whether its file is safe is found out by `onnx_file` before the runtime sees it.

pub mod check;
mod explain;
mod watchdog;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::{BuilderResult, GraphOptimizationLevel, SessionBuilder};
use ort::value::{TensorElementType, TensorRef, ValueType};
use tracing::debug;

use super::contract::{Contract, ContractError, Golden, Kind};
use super::onnx_file::{self, OnnxFileError};
use crate::domain::SignalTable;

pub use explain::Shares;
pub use watchdog::RUN_LIMIT;

use watchdog::Watched;

/// A model that was stopped for taking too long is left alone for so long: it would hold up its lane again and again.
pub const REST: Duration = Duration::from_mins(1);

/// ONNX Runtime, loaded. Cheap to clone; one library per process.
#[derive(Debug, Clone)]
pub struct Runtime(Environment);

#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    #[error("there is no ONNX Runtime at {}; `make fetch` puts it there, the setting analytics.onnxruntime names another place", path.display())]
    Missing { path: PathBuf },
    #[error("{} is no usable ONNX Runtime: {reason}", path.display())]
    Unusable { path: PathBuf, reason: String },
    #[error("ONNX Runtime is loaded already, from {}, not from {}", loaded.display(), asked.display())]
    OtherLibrary { loaded: PathBuf, asked: PathBuf },
}

#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error(transparent)]
    File(#[from] OnnxFileError),
    #[error(transparent)]
    Contract(#[from] ContractError),
    #[error("ONNX Runtime refuses the model: {0}")]
    Load(String),
    #[error("the model takes {inputs} inputs; exactly one is wanted")]
    Inputs { inputs: usize },
    #[error("input {name:?} is {found}; the contract makes it a tensor of f32, batch and {wanted:?}")]
    Input { name: String, found: String, wanted: Vec<i64> },
    #[error("input {name:?} has a fixed batch of {rows}; export it with a dynamic first dimension")]
    FixedBatch { name: String, rows: i64 },
    #[error("output {name:?} is {found}; a tensor of f32 is wanted{}", if *is_map { ": export without ZipMap" } else { "" })]
    OutputType { name: String, found: String, is_map: bool },
    #[error("there is no output {wanted:?}; the model has {found:?}")]
    NoOutput { wanted: String, found: Vec<String> },
    #[error("output {name:?} is {found:?} for {rows} rows; the contract makes it {wanted}")]
    Output { name: String, found: Vec<i64>, rows: usize, wanted: String },
    #[error("golden row {row} gives {found}, its contract says {expected} ± {tolerance}")]
    Golden { row: usize, found: f32, expected: f32, tolerance: f64 },
    #[error("rows of {given} values, the contract makes them a multiple of {width}")]
    Rows { given: usize, width: usize },
    #[error("the run failed: {0}")]
    Run(String),
    #[error("the run was stopped after {} ms; a run of any batch has to end within {} ms", RUN_LIMIT.as_millis(), RUN_LIMIT.as_millis())]
    TooSlow,
    #[error("it was stopped for taking too long and rests for {} s", REST.as_secs())]
    Resting,
}

/// One session. Needs no other thread and starts none.
pub struct Model {
    contract: Contract,
    session: Session,
    /// Where its output stands among those of the graph.
    output: usize,
    watched: Arc<Watched>,
    rests_until: Option<Instant>,
    /// The rows of one run with missing values filled; used again.
    filled: Vec<f32>,
}

impl Runtime {
    /// Loads the library, or hands out the one that is loaded.
    ///
    /// # Errors
    /// [`RuntimeError`] where there is none, where it is too old, or where another one is loaded.
    pub fn load(library: &Path) -> Result<Self, RuntimeError> {
        // ONNX Runtime has one environment per process, so it lives as long as the process does.
        static LOADED: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);
        let path = library.canonicalize().map_err(|_| RuntimeError::Missing { path: library.to_owned() })?;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        match &*loaded {
            Some((from, environment)) if *from == path => return Ok(Self(environment.clone())),
            Some((from, _)) => return Err(RuntimeError::OtherLibrary { loaded: from.clone(), asked: path }),
            None => {}
        }
        let unusable = |reason: String| RuntimeError::Unusable { path: path.clone(), reason };
        let builder = ort::init_from(&path).map_err(|error| unusable(error.to_string()))?;
        let builder = builder.with_name("odograph").with_telemetry(false).with_logger(Arc::new(log_for_debugging));
        let environment = builder.build().map_err(|error| unusable(error.to_string()))?;
        *loaded = Some((path, environment.clone()));
        Ok(Self(environment))
    }
}

impl Model {
    /// Checks the file, its contract, the graph against the contract, and the golden rows.
    ///
    /// # Errors
    /// [`ModelError`] with the first thing that is wrong.
    pub fn load(runtime: &Runtime, file: &[u8], table: &SignalTable) -> Result<Self, ModelError> {
        let contract = Contract::read(&onnx_file::metadata_of(file)?, table)?;
        let session = build_session(runtime, file).map_err(|error| ModelError::Load(error.to_string()))?;
        check_input(&session, &contract)?;
        let output = find_output(&session, &contract)?;
        let watched = watchdog::watch().map_err(ModelError::Load)?;
        let mut model = Self { contract, session, output, watched, rests_until: None, filled: Vec::new() };
        model.check_batches()?;
        let golden = model.contract.golden.clone();
        model.check_golden(&golden)?;
        Ok(model)
    }

    #[must_use]
    pub const fn contract(&self) -> &Contract {
        &self.contract
    }

    /// Scores rows of raw features, NaN where missing, in contract order, one row after another. Appends one raw score a row to `raw`:
    /// NaN where the model has none for it.
    ///
    /// # Errors
    /// [`ModelError::Run`] and [`ModelError::Output`]: nothing was appended, the session stays usable.
    pub fn score(&mut self, features: &[f32], raw: &mut Vec<f32>) -> Result<(), ModelError> {
        let width = self.contract.width();
        if !features.len().is_multiple_of(width) {
            return Err(ModelError::Rows { given: features.len(), width });
        }
        let rows = features.len() / width;
        if rows == 0 {
            return Ok(());
        }
        if self.rests_until.is_some_and(|until| Instant::now() < until) {
            return Err(ModelError::Resting);
        }
        self.rests_until = None;
        self.filled.clear();
        let fill = &self.contract.fill;
        for cells in features.chunks_exact(fill.len()) {
            self.filled.extend(cells.iter().zip(fill).map(|(value, fill)| if value.is_nan() { *fill } else { *value }));
        }
        let first = raw.len();
        // The runtime multiplies a single row by another kernel, which rounds otherwise: a score would depend on who else was waiting.
        let run = rows.max(2);
        if rows == 1 {
            self.filled.extend_from_within(..);
        }
        self.run(run, |contract, filled, shape, values| {
            raw_scores(&Output { contract, features, filled, shape, values, rows: run }, raw)
        })?;
        raw.truncate(first + rows);
        // Infinite is no score either.
        raw[first..].iter_mut().filter(|value| !value.is_finite()).for_each(|value| *value = f32::NAN);
        Ok(())
    }

    /// Runs the graph on `self.filled` and shows what came out: contract, filled rows, shape and values of the output.
    fn run<T>(
        &mut self,
        rows: usize,
        read: impl FnOnce(&Contract, &[f32], &[i64], &[f32]) -> Result<T, ModelError>,
    ) -> Result<T, ModelError> {
        let failed = |error: ort::Error| ModelError::Run(error.to_string());
        let columns = self.contract.features.len();
        let values = self.filled.as_slice();
        let input = match self.contract.window {
            None => TensorRef::from_array_view(([rows, columns], values)),
            Some(grid) => TensorRef::from_array_view(([rows, grid.steps, columns], values)),
        };
        let input = input.map_err(failed)?;
        self.watched.begin();
        let outputs = self.session.run_with_options(ort::inputs![input], self.watched.options());
        if self.watched.end() {
            self.rests_until = Some(Instant::now() + REST);
            return Err(ModelError::TooSlow);
        }
        let outputs = outputs.map_err(failed)?;
        let (shape, values) = outputs[self.output].try_extract_tensor::<f32>().map_err(failed)?;
        read(&self.contract, &self.filled, shape, values)
    }

    /// The runtime alone, on rows without missing values: what [`Model::score`] costs beyond it, benchmarks find out with this. Returns the
    /// first value of the output.
    ///
    /// # Errors
    /// [`ModelError::Run`].
    pub fn run_bare(&mut self, rows: &[f32]) -> Result<f32, ModelError> {
        let run = |error: ort::Error| ModelError::Run(error.to_string());
        let width = self.contract.width();
        let columns = self.contract.features.len();
        let count = rows.len() / width;
        let input = match self.contract.window {
            None => TensorRef::from_array_view(([count, columns], rows)),
            Some(grid) => TensorRef::from_array_view(([count, grid.steps, columns], rows)),
        };
        let input = input.map_err(run)?;
        let outputs = self.session.run(ort::inputs![input]).map_err(run)?;
        let (_, values) = outputs[0].try_extract_tensor::<f32>().map_err(run)?;
        Ok(values.first().copied().unwrap_or(f32::NAN))
    }

    /// A batch is as large as the moment makes it, so the graph has to take any: three rows and one, and give a score for each.
    fn check_batches(&mut self) -> Result<(), ModelError> {
        for rows in [3, 1] {
            let row = self.contract.fill.iter().map(|fill| if fill.is_nan() { 0.0 } else { *fill });
            let probe: Vec<f32> = row.cycle().take(rows * self.contract.width()).collect();
            self.score(&probe, &mut Vec::new())?;
        }
        Ok(())
    }

    fn check_golden(&mut self, golden: &Golden) -> Result<(), ModelError> {
        let mut together = Vec::new();
        self.score(&golden.rows, &mut together)?;
        let mut alone = Vec::new();
        for row in golden.rows.chunks_exact(self.contract.width()) {
            self.score(row, &mut alone)?;
        }
        // In one batch and alone: the neighbours of a row are no business of its score.
        for (row, expected) in golden.raw.iter().enumerate() {
            let tolerance = golden.tolerance * f64::from(expected.abs().max(1.0));
            for found in [together[row], alone[row]] {
                let difference = (f64::from(found) - f64::from(*expected)).abs();
                let is_equal = difference <= tolerance;
                if !is_equal {
                    return Err(ModelError::Golden { row, found, expected: *expected, tolerance });
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Model").field("contract", &self.contract).finish_non_exhaustive()
    }
}

/// What a run gave, with what it was given.
struct Output<'a> {
    contract: &'a Contract,
    /// NaN where missing; a single row stands here once and in the others twice.
    features: &'a [f32],
    filled: &'a [f32],
    shape: &'a [i64],
    values: &'a [f32],
    rows: usize,
}

/// One raw score a row.
fn raw_scores(output: &Output<'_>, raw: &mut Vec<f32>) -> Result<(), ModelError> {
    let Output { contract, features, filled, shape, values, rows } = *output;
    let wrong_shape = |wanted: &str| ModelError::Output {
        name: contract.output.clone(),
        found: shape.to_vec(),
        rows,
        wanted: wanted.to_owned(),
    };
    let width = contract.width();
    match (&contract.kind, shape) {
        (Kind::Score, [_] | [_, 1]) if values.len() == rows => raw.extend(values),
        (Kind::Score, _) => return Err(wrong_shape("[rows] or [rows, 1]")),
        (Kind::Reconstruction { spread }, [first, ..]) if *first == dimension(rows) && values.len() == rows * width => {
            let errors = features.chunks_exact(width).zip(filled.chunks_exact(width)).zip(values.chunks_exact(width));
            raw.extend(errors.map(|((features, filled), again)| explain::mean_error(features, filled, again, spread)));
        }
        (Kind::Reconstruction { .. }, _) => return Err(wrong_shape("as large as the input")),
        (Kind::Probability { column }, [_, classes]) => {
            let classes = usize::try_from(*classes).unwrap_or_default();
            if *column >= classes || values.len() != rows * classes {
                return Err(wrong_shape("[rows, classes] with the contract's column"));
            }
            raw.extend(values.chunks_exact(classes).map(|row| row[*column]));
        }
        (Kind::Probability { .. }, _) => return Err(wrong_shape("[rows, classes]")),
    }
    Ok(())
}

fn dimension(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// What fails comes back as an error and is logged where it is handled, and its warnings are about graphs that run all the same.
fn log_for_debugging(level: LogLevel, category: &str, _id: &str, location: &str, message: &str) {
    if matches!(level, LogLevel::Warning | LogLevel::Error | LogLevel::Fatal) {
        debug!(?level, category, location, message, "ONNX Runtime");
    }
}

fn build_session(runtime: &Runtime, file: &[u8]) -> Result<Session, ort::Error> {
    // One thread that is the lane's, and no spinning: ONNX Runtime's spinning threads starve the rest of a process.
    #[expect(clippy::result_large_err, reason = "once per session")]
    fn configure(builder: SessionBuilder) -> BuilderResult {
        builder
            .with_intra_threads(1)?
            .with_inter_threads(1)?
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            // A plan of memory for every batch size that ever occurs would only grow.
            .with_memory_pattern(false)?
            // Never the runtime's own format, whatever the bytes look like: it could not be checked.
            .with_config_entry("session.load_model_format", "ONNX")
    }
    let mut builder = configure(Session::builder(&runtime.0)?).map_err(|error| ort::Error::new(error.to_string()))?;
    builder.commit_from_memory(file)
}

fn check_input(session: &Session, contract: &Contract) -> Result<(), ModelError> {
    let [input] = session.inputs() else { return Err(ModelError::Inputs { inputs: session.inputs().len() }) };
    let columns = dimension(contract.features.len());
    let wanted: Vec<i64> = contract.window.map(|grid| dimension(grid.steps)).into_iter().chain([columns]).collect();
    let name = input.name().to_owned();
    let wrong = |found: String| ModelError::Input { name: name.clone(), found, wanted: wanted.clone() };
    let ValueType::Tensor { ty, shape, .. } = input.dtype() else { return Err(wrong("no tensor".to_owned())) };
    let found = format!("a tensor of {ty}, {:?}", &**shape);
    // -1 stands for a dynamic dimension.
    let [rows, others @ ..] = &**shape else { return Err(wrong(found)) };
    let fits = others.len() == wanted.len() && others.iter().zip(&wanted).all(|(has, wants)| *has == -1 || has == wants);
    if *ty != TensorElementType::Float32 || !fits {
        return Err(wrong(found));
    }
    if *rows == -1 { Ok(()) } else { Err(ModelError::FixedBatch { name, rows: *rows }) }
}

/// Where the output of the contract stands.
fn find_output(session: &Session, contract: &Contract) -> Result<usize, ModelError> {
    let Some(place) = session.outputs().iter().position(|output| output.name() == contract.output) else {
        let found = session.outputs().iter().map(|output| output.name().to_owned()).collect();
        return Err(ModelError::NoOutput { wanted: contract.output.clone(), found });
    };
    let wrong = |found: String, is_map| ModelError::OutputType { name: contract.output.clone(), found, is_map };
    match session.outputs()[place].dtype() {
        ValueType::Tensor { ty: TensorElementType::Float32, .. } => Ok(place),
        ValueType::Tensor { ty, .. } => Err(wrong(format!("a tensor of {ty}"), false)),
        ValueType::Sequence(_) | ValueType::Map { .. } => Err(wrong("a list of maps".to_owned(), true)),
        ValueType::Optional(_) => Err(wrong("optional".to_owned(), false)),
    }
}

#[cfg(test)]
mod tests;
