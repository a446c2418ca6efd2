//! Odograph: fleet telemetry with in-process anomaly scoring.
//!
//! ```text
//!  vehicles ─ MQTT ─▶ ingest::front_door ─▶ wire (decode, check) ─▶ analytics::lane ─▶ journal ─▶ storage::archive_writer ─▶ SQLite
//!                           ▲                     Delivery             │    Batch        │
//!                           └──────────── PUBACK ◀── Receipt ◀─────────┼─────────────────┘
//!                                                                      └─▶ live ─▶ fleet ─▶ dashboard
//! ```
//! Modules in reading order; a module imports only from floors below its own (`tests/it/floors.rs` checks it).

pub mod domain; // floor 0

pub mod clock; // from floor 1 up
pub mod crash_point;
pub mod metrics;
pub mod settings;
pub mod slo;
pub mod tasks;
pub mod tls;

pub mod journal; // floor 1
pub mod wire;

pub mod alerts; // floor 2
pub mod analytics;
pub mod live;
pub mod storage;

pub mod evaluation; // floor 3
pub mod fleet;
pub mod ingest;
pub mod simulator;

pub mod dashboard; // floor 4
pub mod rpc;

mod assembly; // floor 5
pub mod backup;
pub mod bench;
pub mod cli;
pub mod configuration;
mod logging;
