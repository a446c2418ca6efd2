//! A fleet that drives, and that falls ill on demand, with labels; and history replayed as one.
//!
//! ```text
//!  roads, weather ─▶ motion ─▶ powertrain ─▶ sensors ─▶ Reading ─▶ sender (MQTT) or out (Parquet, CSV)
//!                      ▲           ▲            ▲
//!        duty ─ vehicle┴─ illness ─┴────────────┘ ─▶ labels
//! ```
//! Everything before `sender` and `out` is pure: time is an argument, a seed gives the same fleet for ever, and no vehicle depends
//! on how many others there are.

pub mod distortion;
mod duty;
pub mod faults;
pub mod fleet;
mod geography;
pub mod illness;
pub mod kinds;
pub mod labels;
mod motion;
pub mod mqtt_vehicle;
pub mod out;
mod powertrain;
pub mod random;
pub mod replay;
pub mod roads;
pub mod sender;
mod sensors;
pub mod vehicle;
mod weather;

#[cfg(test)]
mod tests;
