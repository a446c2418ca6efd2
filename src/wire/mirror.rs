//! The newest state of a vehicle as other processes read it, in protobuf. Where it is put: `live::mirror`.

use std::sync::Arc;

use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, uint64};

use super::proto::mirror::v1 as mirror;
use super::record::{Assessed, RecordEncoder, RecordError, assessment_from_proto, missing};
use crate::domain::{Assessment, SignalTable};

/// Field numbers of `mirror.proto`; `VehicleState.assessment` has the number that it has in the journal's `Record`.
const ARRIVAL: u32 = 2;
const VEHICLES: u32 = 1;

/// Encodes states one after another, with buffers that are used again.
#[derive(Debug)]
pub struct StateEncoder(RecordEncoder);

impl StateEncoder {
    #[must_use]
    pub fn new(table: Arc<SignalTable>) -> Self {
        Self(RecordEncoder::new(table))
    }

    /// Appends one `VehicleState` to `out`.
    pub fn state(&mut self, from: &Assessment, out: &mut Vec<u8>) {
        let assessed = Assessed {
            reading: &from.reading,
            timing: from.timing,
            scores: &from.scores,
            not_scored: from.not_scored,
            quality: from.quality,
            lost_before_us: from.lost_before_us,
            findings: &from.findings,
            revision: from.revision,
        };
        // A `Record` with an assessment is a `VehicleState` that lacks its arrival; the test below reads it back.
        self.0.assessment(assessed, out);
        uint64::encode(ARRIVAL, &from.arrival, out);
    }
}

/// Appends an encoded `VehicleState` to the `Changes` in `out`.
pub fn push_change(state: &[u8], out: &mut Vec<u8>) {
    encode_key(VEHICLES, WireType::LengthDelimited, out);
    encode_varint(state.len() as u64, out);
    out.extend_from_slice(state);
}

/// Reads a `VehicleState`.
///
/// # Errors
/// Where the bytes are none of this version.
pub fn decode_state(bytes: &[u8], table: &SignalTable) -> Result<Assessment, RecordError> {
    from_proto(mirror::VehicleState::decode(bytes)?, table)
}

/// Reads a `Changes`.
///
/// # Errors
/// Where the bytes are none of this version.
pub fn decode_changes(bytes: &[u8], table: &SignalTable) -> Result<Vec<Assessment>, RecordError> {
    mirror::Changes::decode(bytes)?.vehicles.into_iter().map(|state| from_proto(state, table)).collect()
}

fn from_proto(from: mirror::VehicleState, table: &SignalTable) -> Result<Assessment, RecordError> {
    assessment_from_proto(from.assessment.ok_or_else(|| missing("assessment"))?, from.arrival, table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::record::tests::a_full_assessment;

    #[test]
    fn a_state_read_back_is_the_state_written_alone_and_among_changes() {
        let table = Arc::new(SignalTable::default());
        let mut encoder = StateEncoder::new(Arc::clone(&table));
        let (first, mut second) = (a_full_assessment(), a_full_assessment());
        second.arrival = 1 << 40;
        let mut changes = Vec::new();
        for each in [&first, &second] {
            let mut state = Vec::new();
            encoder.state(each, &mut state);
            assert_eq!(&decode_state(&state, &table).unwrap(), each);
            push_change(&state, &mut changes);
        }
        assert_eq!(decode_changes(&changes, &table).unwrap(), [first, second]);
    }
}
