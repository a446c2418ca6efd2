//! Turns readings into assessments: windows, features, models, lanes. Does no I/O.

mod bytes;
pub mod features;
#[cfg(test)]
mod fixtures;
pub mod window;
