//! Turns readings into assessments: windows, features, models, lanes. Does no I/O.

mod bytes;
pub mod calibration;
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
pub mod onnx_file;
pub mod scoring;
pub mod vehicle;
pub mod window;
