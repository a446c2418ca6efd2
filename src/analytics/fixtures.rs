//! Readings for the tests of this module.

use std::path::{Path, PathBuf};

use super::model::{Model, Runtime};
use crate::domain::{Reading, SignalId, SignalTable, SignalValues, Timestamp, VehicleId};

/// Seconds after a moment in November 2025.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_764_000_000_000_000 + seconds * 1_000_000)
}

pub fn reading_at(seconds: i64, values: &[(SignalId, f32)]) -> Reading {
    reading_of("truck-7", seconds, values)
}

pub fn reading_of(vehicle_id: &str, seconds: i64, values: &[(SignalId, f32)]) -> Reading {
    let mut signals = SignalValues::default();
    for (id, value) in values {
        signals.set(*id, *value);
    }
    let mut reading = Reading { signals, ..Reading::bare(VehicleId::new(vehicle_id).unwrap(), at(seconds)) };
    reading.fingerprint = reading.compute_fingerprint();
    reading
}

/// The library that `make fetch` puts into the tree.
pub fn library() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/onnxruntime/libonnxruntime.so.1.32.0")
}

pub fn runtime() -> Runtime {
    Runtime::load(&library()).expect("run `make fetch`")
}

/// A file of `tests/models`, without its ending.
pub fn model_file(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models").join(format!("{name}.onnx"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub fn model(name: &str) -> Model {
    Model::load(&runtime(), &model_file(name), &SignalTable::default()).unwrap()
}
