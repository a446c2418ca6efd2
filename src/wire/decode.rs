//! Payloads from outside to checked readings: which form, what is refused and why, what is kept of it. Does not store or count:
//! `ingest`.
//!
//! Both forms are read into a `Draft`, which does every check, so that they cannot disagree.

use std::time::Duration;

use bytes::Bytes;

use super::decode_draft::{Judged, Refusal};
use super::{json, protobuf};
use crate::domain::{MAX_KEPT_PAYLOAD_BYTES, Quarantined, Reading, Reason, SignalTable, Source, Timestamp, VehicleId};

/// A message with more elements is refused as a whole: it bounds what one payload can make us allocate and journal.
pub const MAX_READINGS_PER_MESSAGE: usize = 4_096;

/// The first byte of every protobuf payload: field 2, length-delimited. No JSON document begins with it.
const PROTOBUF_FIRST_BYTE: u8 = 0x12;

const MAX_DETAIL_BYTES: usize = 256;
const MAX_KEPT_VEHICLE_ID_BYTES: usize = 256;

/// What the address and the moment say about a payload.
#[derive(Debug, Clone, Copy)]
pub struct DecodeContext<'a> {
    pub vehicle_id: &'a VehicleId,
    pub received_at: Timestamp,
    pub source: Source,
    /// Readings that are older are refused.
    pub retention: Duration,
    pub table: &'a SignalTable,
    /// From a content type; `None`: told by the first byte.
    pub format: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Protobuf,
}

impl Format {
    /// `None`: the content type says nothing about it.
    #[must_use]
    pub fn of_content_type(content_type: &str) -> Option<Self> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/json" => Some(Self::Json),
            "application/x-protobuf" | "application/protobuf" => Some(Self::Protobuf),
            _ => None,
        }
    }
}

/// Everything that was in a message, each element either believed or not.
#[derive(Debug, Default)]
pub struct Decoded {
    /// In the order of the message.
    pub readings: Vec<Reading>,
    pub quarantined: Vec<Quarantined>,
}

/// Never fails: what cannot be read comes back as quarantined.
#[must_use]
pub fn decode(payload: &Bytes, context: &DecodeContext<'_>) -> Decoded {
    match judge(payload, context) {
        Ok(Judged { readings, refused }) => {
            let quarantined = refused.into_iter().enumerate().map(|(position, (index, refusal))| {
                let whole_message = Refused { index, ..Refused::from_context(payload, context) };
                let mut quarantined = quarantine(whole_message, &refusal);
                // Once is enough: quarantine keeps at most 64 KiB of one message.
                if position > 0 {
                    quarantined.payload = Bytes::new();
                }
                quarantined
            });
            Decoded { readings, quarantined: quarantined.collect() }
        }
        Err(refusal) => {
            let quarantined = quarantine(Refused::from_context(payload, context), &refusal);
            Decoded { readings: Vec::new(), quarantined: vec![quarantined] }
        }
    }
}

fn judge(payload: &Bytes, context: &DecodeContext<'_>) -> Result<Judged, Refusal> {
    let Some(first) = payload.first() else {
        return Err(Refusal::new(Reason::EmptyPayload, "the payload is empty"));
    };
    let format = context.format.unwrap_or(if *first == PROTOBUF_FIRST_BYTE { Format::Protobuf } else { Format::Json });
    let judged = match format {
        Format::Json => json::judge(payload, context)?,
        Format::Protobuf => protobuf::judge(payload, context)?,
    };
    if judged.is_empty() {
        return Err(Refusal::new(Reason::EmptyBatch, "no reading in it"));
    }
    Ok(judged)
}

/// A message, or element `index` of it, that is not believed.
#[derive(Debug, Clone, Copy)]
pub struct Refused<'a> {
    pub payload: &'a Bytes,
    /// As the sender gave it.
    pub vehicle_id: &'a str,
    pub received_at: Timestamp,
    pub source: Source,
    pub index: u32,
}

impl<'a> Refused<'a> {
    fn from_context(payload: &'a Bytes, context: &DecodeContext<'a>) -> Self {
        let DecodeContext { vehicle_id, received_at, source, .. } = *context;
        Self { payload, vehicle_id: vehicle_id.as_str(), received_at, source, index: 0 }
    }
}

/// What is kept of a refused message: bounded, without a copy of the payload.
#[must_use]
pub fn quarantine(refused: Refused<'_>, refusal: &Refusal) -> Quarantined {
    let Refused { payload, vehicle_id, received_at, source, index } = refused;
    Quarantined {
        received_at,
        source,
        vehicle_id: head(vehicle_id, MAX_KEPT_VEHICLE_ID_BYTES).into(),
        reason: refusal.reason,
        detail: head(&refusal.detail, MAX_DETAIL_BYTES).into(),
        payload: payload.slice(..payload.len().min(MAX_KEPT_PAYLOAD_BYTES)),
        payload_bytes: payload.len() as u64,
        index,
    }
}

/// The longest beginning of `text` that has at most `max_bytes`.
pub(super) fn head(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}
