//! A delivery on its way to lanes in another process, in protobuf: its readings and refused messages as the journal's records.

use std::sync::Arc;

use super::proto::link::v1 as link;
use super::record::{Assessed, Record, RecordEncoder, RecordError, decode_record, missing};
use crate::domain::{Delivery, NotScored, Quality, Receipt, SignalTable, Slot, Timing};

/// Encodes deliveries one after another, with buffers that are used again.
#[derive(Debug)]
pub struct DeliveryEncoder(RecordEncoder);

impl DeliveryEncoder {
    #[must_use]
    pub fn new(table: Arc<SignalTable>) -> Self {
        Self(RecordEncoder::new(table))
    }

    /// The form that travels, and the promise, which stays.
    pub fn delivery(&mut self, number: u64, from: Delivery) -> (link::Delivery, Receipt) {
        let Delivery { slot, readings, quarantined, receipt } = from;
        let mut records = Vec::with_capacity(readings.len() + quarantined.len());
        for reading in &readings {
            let mut record = Vec::new();
            let nothing_yet = Assessed {
                reading,
                timing: Timing::InOrder,
                scores: &[],
                not_scored: Some(NotScored::NoModel),
                quality: Quality::default(),
                lost_before_us: 0,
                findings: &[],
                revision: 0,
            };
            self.0.assessment(nothing_yet, &mut record);
            records.push(record.into());
        }
        for message in &quarantined {
            let mut record = Vec::new();
            RecordEncoder::quarantined(message, &mut record);
            records.push(record.into());
        }
        (link::Delivery { number, slot: slot.number().into(), records }, receipt)
    }
}

/// Reads a delivery; `receipt` is the promise to whoever sent it.
///
/// # Errors
/// Where it is none of this version, or its vehicles are not of its slot: they would meet a lane that is not theirs.
pub fn decode_delivery(from: &link::Delivery, receipt: Receipt, table: &SignalTable) -> Result<Delivery, RecordError> {
    let slot = u16::try_from(from.slot).ok().and_then(Slot::from_number).ok_or_else(|| missing("slot"))?;
    let mut delivery = Delivery { slot, readings: Vec::new(), quarantined: Vec::new(), receipt };
    for record in &from.records {
        match decode_record(record, 0, table)? {
            Record::Assessment(assessment) if assessment.reading.vehicle_id.slot() == slot => {
                delivery.readings.push(assessment.reading);
            }
            Record::Quarantined(message) => delivery.quarantined.push(*message),
            Record::Assessment(_) => return Err(missing("slot")),
            Record::AlertEvent(_) => return Err(missing("reading")),
        }
    }
    Ok(delivery)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::record::tests::a_full_assessment;

    #[test]
    fn a_delivery_read_back_is_the_delivery_sent() {
        let table = Arc::new(SignalTable::default());
        let reading = a_full_assessment().reading;
        let slot = reading.vehicle_id.slot();
        let (receipt, _outcome) = Receipt::new();
        let sent = Delivery { slot, readings: vec![reading.clone()], quarantined: Vec::new(), receipt };
        let (mut form, _receipt) = DeliveryEncoder::new(Arc::clone(&table)).delivery(7, sent);
        let (receipt, _outcome) = Receipt::new();
        let read = decode_delivery(&form, receipt, &table).unwrap();
        assert_eq!((form.number, read.slot, read.readings), (7, slot, vec![reading]));
        form.slot ^= 1;
        let (receipt, _outcome) = Receipt::new();
        assert!(decode_delivery(&form, receipt, &table).is_err(), "of another lane");
    }
}
