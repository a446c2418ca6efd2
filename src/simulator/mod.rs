//! A fleet that drives, and history replayed as one.

pub mod replay;
