//! Payload, protobuf and file forms of readings. The only place besides `rpc` that knows the generated types.

pub(crate) mod alert;
pub mod alert_json;
pub mod decode;
mod decode_draft;
#[cfg(test)]
mod decode_tests;
mod decode_time;
pub mod delivery;
pub mod encode;
pub mod geojson;
pub mod history;
mod json;
mod json_value;
pub mod live;
pub mod mirror;
pub mod proto;
mod protobuf;
pub mod reading;
pub mod record;
pub mod schemas;

pub use decode_draft::Refusal;
