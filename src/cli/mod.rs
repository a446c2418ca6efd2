//! What a person types: the arguments of each command, and what it prints.

pub mod features;
pub mod replay;
pub mod simulate;
