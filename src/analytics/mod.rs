//! Turns readings into assessments: windows, features, models, lanes. Does no I/O.
