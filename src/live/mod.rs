//! The newest state of every vehicle.
