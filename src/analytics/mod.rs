//! Turns readings into assessments: windows, features, models, lanes. Does no I/O.

mod bytes;
pub mod features;
pub mod window;
