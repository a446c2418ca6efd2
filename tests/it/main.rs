//! The integration tests, one binary: they run the real `odograph` and talk to it as the outside does.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod alerts;
mod backup;
mod bad_input;
mod brokers;
mod clients;
mod cut;
mod damage;
mod doctor;
mod floors;
mod formats;
mod grpc;
mod http;
mod identity;
mod kill;
mod line;
mod machine;
mod network;
mod order;
mod packaging;
mod postgres;
mod quality;
mod reading_back;
mod redis;
mod reordering;
mod roles;
mod shared;
mod slo;
mod streams;
mod support;
mod train;
mod twin;
mod ways;
