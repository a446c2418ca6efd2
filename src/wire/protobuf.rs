//! `TelemetryBatch` to readings. Splits the batch itself, so that one message is decoded again and again instead of thousands at once.

use bytes::Buf;
use prost::Message;
use prost::encoding::{DecodeContext as Depth, WireType, decode_key, decode_varint, skip_field};

use super::decode::{DecodeContext, MAX_READINGS_PER_MESSAGE};
use super::decode_draft::{Draft, Judged, PositionDraft, Refusal};
use super::proto::v1;
use super::reading::{for_each_signal_field, ignition_from_proto, timestamp_from_proto};
use crate::domain::{Reading, Reason, signal};

/// Field of `TelemetryBatch` that holds the readings.
const READINGS: u32 = 2;

/// # Errors
/// Where the message as a whole is no protobuf of this form, or too long.
pub(super) fn judge(payload: &[u8], context: &DecodeContext<'_>) -> Result<Judged, Refusal> {
    let mut judged = Judged::default();
    let mut message = v1::TelemetryReading::default();
    let mut rest = payload;
    while rest.has_remaining() {
        let offset = payload.len() - rest.len();
        let at =
            |error: prost::DecodeError| Refusal::new(Reason::ProtobufSyntax, format!("in the field at byte {offset}: {error}"));
        let (field, wire_type) = decode_key(&mut rest).map_err(at)?;
        if field != READINGS || wire_type != WireType::LengthDelimited {
            skip_field(wire_type, field, &mut rest, Depth::default()).map_err(at)?;
            continue;
        }
        if judged.len() == MAX_READINGS_PER_MESSAGE {
            let detail = format!("more than {MAX_READINGS_PER_MESSAGE} readings in one message");
            return Err(Refusal::new(Reason::PayloadTooLarge, detail));
        }
        let length = usize::try_from(decode_varint(&mut rest).map_err(at)?).unwrap_or(usize::MAX);
        let Some((element, after)) = rest.split_at_checked(length) else {
            let detail = format!("the reading at byte {offset} says {length} bytes, {} are left", rest.len());
            return Err(Refusal::new(Reason::ProtobufSyntax, detail));
        };
        rest = after;
        message.clear();
        message.merge(element).map_err(at)?;
        judged.push(read(&message, Draft::new(context, Some(judged.len()))));
    }
    Ok(judged)
}

fn read(message: &v1::TelemetryReading, mut draft: Draft<'_>) -> Result<Reading, Refusal> {
    if !message.vehicle_id.is_empty() {
        draft.vehicle_id(&message.vehicle_id);
    }
    if let Some(recorded_at) = &message.recorded_at {
        if let Some(recorded_at) = timestamp_from_proto(recorded_at) {
            draft.recorded_at(recorded_at);
        } else {
            let (seconds, nanos) = (recorded_at.seconds, recorded_at.nanos);
            draft.refuse(Reason::RecordedAtInvalid, "recorded_at", format_args!("{seconds} seconds and {nanos} nanos"));
        }
    }
    if let Some(boot_id) = message.boot_id {
        draft.boot_id(boot_id);
    }
    if let Some(sequence) = message.sequence {
        draft.sequence(sequence);
    }
    if let Some(position) = &message.position {
        draft.position(PositionDraft {
            latitude: Some(position.latitude),
            longitude: Some(position.longitude),
            altitude_m: position.altitude_m.map(f64::from),
            heading_deg: position.heading_deg.map(f64::from),
            accuracy_m: position.accuracy_m.map(f64::from),
        });
    }
    if let Some(signals) = &message.signals {
        macro_rules! take {
            ($($constant:ident $field:ident,)*) => {
                $(if let Some(value) = signals.$field {
                    draft.signal(signal::$constant, Some(f64::from(value)));
                })*
            };
        }
        for_each_signal_field!(take);
        if let Some(odometer_m) = signals.odometer_m {
            draft.signal(signal::ODOMETER, Some(odometer_m));
        }
    }
    for code in &message.dtcs {
        draft.dtc(code);
    }
    // A number that this version does not know is no ignition, by the rules of protobuf.
    if let Some(ignition) = ignition_from_proto(message.ignition()) {
        draft.ignition(ignition);
    }
    // Signals that a deployment declared have no field of their own and travel here too.
    for (name, value) in &message.extras {
        draft.named_signal(name, Some(*value));
    }
    draft.finish()
}
