//! Measures the whole line from outside: a service process, a load generator process, real sockets; and scoring beside the bare runtime
//! (`scoring`). Says nothing about other single parts: `benches/`.
//!
//! How the line is measured, so that the figures can be judged:
//! - **Open loop.** Every message has a due time on a fixed schedule, and its latency counts from that time, not from when the generator came
//!   round to sending it. A service that stalls for a second is charged for every message that was due in it (without this, "coordinated
//!   omission" hides exactly the worst moments). Messages that are never answered count with the time that was waited for them.
//! - **`--rate max`** is a closed loop: a fixed number of messages is on the way, each PUBACK releases the next. Its latency is queueing by
//!   construction (messages on the way ÷ throughput), so read the throughput there and the latency at a fixed rate.
//! - CPU is what the kernel charged the service process (user and system) over the measured span. Work that is only postponed (the archive
//!   lagging behind) shows in the second figure, which counts until everything is stored.
//! - One connection per vehicle, MQTT 3.1.1, `QoS` 1, `TCP_NODELAY`. Each vehicle first sends the last five minutes as an array (`history`), so that
//!   windows are filled and models score; that and the warm-up are left out of all figures. Both processes share the machine.

pub mod exposition;
mod flight;
mod form;
pub mod generator;
#[cfg(test)]
mod generator_tests;
mod history;
pub mod http;
mod latency;
mod ledger;
pub mod line;
pub mod postgres;
mod probe;
mod process;
mod read_back;
pub mod readings;
mod report;
mod schedule;
pub mod scoring;
pub mod service;
mod vehicle;
