//! Payload, protobuf and file forms of readings. The only place besides `rpc` that knows the generated types.

pub mod encode;
pub mod history;
pub mod proto;
pub mod reading;
pub mod record;
