//! Turns readings into assessments: windows, features, models, lanes. Does no I/O.

mod admission;
pub mod alerting;
pub mod blueprint;
mod bytes;
pub mod calibration;
pub mod checks;
pub mod claim;
pub mod contract;
pub mod features;
pub mod fences;
#[cfg(test)]
mod fixtures;
pub mod lane;
pub mod lanes;
pub mod library;
pub mod model;
pub mod offline;
pub mod onnx_file;
mod overload;
pub mod profile;
pub mod quality;
pub mod rows;
pub mod rules;
pub mod scoring;
pub mod sequence;
pub mod vehicle;
pub mod window;
