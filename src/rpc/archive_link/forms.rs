//! Questions, answers and errors of the archive, between the forms of `storage` and those of `archive_link.proto`. Records are in those of
//! `wire`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prost::bytes::Bytes;
use tonic::{Code, Status};

use super::MOST_RECORDS;
use crate::domain::{
    Alert, Assessment, Change, Class, Condition, Handling, Label, Quarantined, Reason, Severity, SignalTable, Timestamp,
    VehicleId, VehicleRecord,
};
use crate::storage::{
    AlertHistory, AlertsQuery, ArchiveError, Bucket, BucketLength, BucketsQuery, QuarantineCursor, QuarantineQuery,
    QuarantinedMessage, ReadingsQuery, RemoteFailure, SignalSummary, Summary,
};
use crate::wire::mirror::{StateEncoder, decode_state};
use crate::wire::proto::link::v1 as link;
use crate::wire::record::{Record, RecordEncoder, alert_record, decode_alert_event, decode_record};

/// A text of an error; headers of an answer are bounded.
const MOST_TEXT_BYTES: usize = 2_048;

/// What does not fit its field, and why: of a question a caller's mistake, of an answer another version's.
#[derive(Debug, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Unfit {
    pub field: &'static str,
    problem: String,
}

pub fn unfit<E: std::fmt::Display>(field: &'static str) -> impl FnOnce(E) -> Unfit {
    move |problem| Unfit { field, problem: problem.to_string() }
}

impl From<Unfit> for Status {
    fn from(unfit: Unfit) -> Self {
        Self::invalid_argument(unfit.to_string())
    }
}

impl From<Unfit> for ArchiveError {
    fn from(unfit: Unfit) -> Self {
        Self::Unreadable { column: unfit.field, value: unfit.problem }
    }
}

pub fn vehicle_id(text: &str) -> Result<VehicleId, Unfit> {
    VehicleId::new(text).map_err(unfit("vehicle_id"))
}

pub fn code<T>(field: &'static str, text: &str, from_code: fn(&str) -> Option<T>) -> Result<T, Unfit> {
    from_code(text).ok_or_else(|| Unfit { field, problem: format!("{text:?} is none") })
}

fn maybe_code<T>(field: &'static str, text: &str, from_code: fn(&str) -> Option<T>) -> Result<Option<T>, Unfit> {
    if text.is_empty() { Ok(None) } else { code(field, text, from_code).map(Some) }
}

/// Of a cursor, which is opaque here.
pub fn maybe_parsed<T>(field: &'static str, text: &str) -> Result<Option<T>, Unfit>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(unfit(field)) }
}

/// Empty: none.
pub fn text_of<T: ToString>(cursor: Option<&T>) -> String {
    cursor.map(T::to_string).unwrap_or_default()
}

pub fn readings_request(from: &ReadingsQuery) -> link::ReadingsRequest {
    link::ReadingsRequest {
        vehicle_id: from.vehicle_id.to_string(),
        from_us: from.from.map(Timestamp::as_micros),
        to_us: from.to.map(Timestamp::as_micros),
        after: text_of(from.after.as_ref()),
        limit: from.limit,
    }
}

pub fn readings_query(from: &link::ReadingsRequest) -> Result<ReadingsQuery, Unfit> {
    Ok(ReadingsQuery {
        vehicle_id: vehicle_id(&from.vehicle_id)?,
        from: from.from_us.map(Timestamp::from_micros),
        to: from.to_us.map(Timestamp::from_micros),
        after: maybe_parsed("after", &from.after)?,
        limit: from.limit.min(MOST_RECORDS),
    })
}

pub fn buckets_request(from: &BucketsQuery) -> link::BucketsRequest {
    link::BucketsRequest {
        vehicle_id: from.vehicle_id.to_string(),
        from_us: from.from.as_micros(),
        to_us: from.to.as_micros(),
        every_seconds: from.every.duration().as_secs(),
        next: text_of(from.next.as_ref()),
        limit: from.limit,
    }
}

pub fn buckets_query(from: &link::BucketsRequest) -> Result<BucketsQuery, Unfit> {
    let every = BucketLength::new(Duration::from_secs(from.every_seconds));
    Ok(BucketsQuery {
        vehicle_id: vehicle_id(&from.vehicle_id)?,
        from: Timestamp::from_micros(from.from_us),
        to: Timestamp::from_micros(from.to_us),
        every: every.ok_or_else(|| unfit("every_seconds")("no length of a bucket"))?,
        next: maybe_parsed("next", &from.next)?,
        limit: from.limit.min(MOST_RECORDS),
    })
}

pub fn bucket_to_proto(from: &Bucket) -> link::Bucket {
    let signals = from.summary.signals.iter().map(|(id, signal)| link::BucketSignal {
        signal: u32::try_from(id.index()).expect("a table has some dozen signals"),
        readings: signal.readings,
        mean: signal.mean,
        min: signal.min,
        max: signal.max,
    });
    link::Bucket {
        start_us: from.start.as_micros(),
        readings: from.summary.readings,
        highest_score: from.summary.highest_score,
        signals: signals.collect(),
    }
}

/// `names`: of the signals of the archive. Those that only its process knows are left out.
pub fn bucket_from_proto(from: &link::Bucket, names: &[String], table: &SignalTable) -> Result<Bucket, Unfit> {
    let mut signals = BTreeMap::new();
    for signal in &from.signals {
        let name = usize::try_from(signal.signal).ok().and_then(|place| names.get(place));
        let name = name.ok_or_else(|| unfit("signal")(signal.signal))?;
        let link::BucketSignal { readings, mean, min, max, .. } = *signal;
        if let Some(id) = table.find(name) {
            signals.insert(id, SignalSummary { readings, mean, min, max });
        }
    }
    let summary = Summary { readings: from.readings, highest_score: from.highest_score, signals };
    Ok(Bucket { start: Timestamp::from_micros(from.start_us), summary })
}

pub fn reading_encoder(table: &Arc<SignalTable>) -> impl FnMut(Assessment, &mut link::ReadingsResponse) -> usize + use<> {
    let mut encoder = StateEncoder::new(Arc::clone(table));
    move |reading, part| {
        let mut state = Vec::new();
        encoder.state(&reading, &mut state);
        let bytes = state.len();
        part.readings.push(state.into());
        bytes
    }
}

pub fn reading(state: &[u8], table: &SignalTable) -> Result<Assessment, Unfit> {
    decode_state(state, table).map_err(unfit("readings"))
}

pub fn alerts_request(from: &AlertsQuery) -> link::ListArchivedAlertsRequest {
    link::ListArchivedAlertsRequest {
        vehicle_id: text_of(from.vehicle_id.as_ref()),
        condition: from.condition.map_or("", Condition::code).to_owned(),
        handling: from.handling.map_or("", Handling::code).to_owned(),
        from_us: from.from.map(Timestamp::as_micros),
        to_us: from.to.map(Timestamp::as_micros),
        after: text_of(from.after.as_ref()),
        limit: from.limit,
    }
}

pub fn alerts_query(from: &link::ListArchivedAlertsRequest) -> Result<AlertsQuery, Unfit> {
    let vehicle_id = if from.vehicle_id.is_empty() { None } else { Some(vehicle_id(&from.vehicle_id)?) };
    Ok(AlertsQuery {
        vehicle_id,
        condition: maybe_code("condition", &from.condition, Condition::from_code)?,
        handling: maybe_code("handling", &from.handling, Handling::from_code)?,
        from: from.from_us.map(Timestamp::from_micros),
        to: from.to_us.map(Timestamp::from_micros),
        after: maybe_parsed("after", &from.after)?,
        limit: from.limit.min(MOST_RECORDS),
    })
}

pub fn alert_to_proto(alert: Alert, part: &mut link::ArchivedAlertsResponse) -> usize {
    let record = alert_record(alert);
    let bytes = record.len();
    part.alerts.push(record);
    bytes
}

pub fn alert(record: &[u8]) -> Result<Alert, Unfit> {
    Ok(decode_alert_event(record).map_err(unfit("alerts"))?.alert)
}

pub fn change_to_proto(from: AlertHistory) -> link::ArchivedAlertChange {
    link::ArchivedAlertChange {
        revision: from.revision,
        change: from.change.code().to_owned(),
        at_us: from.at.as_micros(),
        severity: from.severity.code().to_owned(),
        condition: from.condition.code().to_owned(),
        handling: from.handling.code().to_owned(),
        summary: from.summary,
        acknowledged_by: from.acknowledged_by,
        assigned_to: from.assigned_to,
        note: from.note,
    }
}

pub fn change(from: link::ArchivedAlertChange) -> Result<AlertHistory, Unfit> {
    Ok(AlertHistory {
        revision: from.revision,
        change: code("change", &from.change, Change::from_code)?,
        at: Timestamp::from_micros(from.at_us),
        severity: code("severity", &from.severity, Severity::from_code)?,
        condition: code("condition", &from.condition, Condition::from_code)?,
        handling: code("handling", &from.handling, Handling::from_code)?,
        summary: from.summary,
        acknowledged_by: from.acknowledged_by,
        assigned_to: from.assigned_to,
        note: from.note,
    })
}

pub fn quarantine_request(from: &QuarantineQuery) -> link::QuarantineRequest {
    link::QuarantineRequest {
        reason: from.reason.map_or("", Reason::code).to_owned(),
        after: from.after.map(|cursor| cursor.0),
        limit: from.limit,
    }
}

pub fn quarantine_query(from: &link::QuarantineRequest) -> Result<QuarantineQuery, Unfit> {
    Ok(QuarantineQuery {
        reason: maybe_code("reason", &from.reason, Reason::from_code)?,
        after: from.after.map(QuarantineCursor),
        limit: from.limit.min(MOST_RECORDS),
    })
}

pub fn message_to_proto(from: &QuarantinedMessage) -> link::ArchivedMessage {
    let mut record = Vec::new();
    RecordEncoder::quarantined(&from.message, &mut record);
    link::ArchivedMessage { id: from.id, replayed_at_us: from.replayed_at.map(Timestamp::as_micros), record: Bytes::from(record) }
}

pub fn message(from: &link::ArchivedMessage) -> Result<QuarantinedMessage, Unfit> {
    let message: Quarantined = match decode_record(&from.record, 0, &SignalTable::default()).map_err(unfit("messages"))? {
        Record::Quarantined(message) => *message,
        Record::Assessment(_) | Record::AlertEvent(_) => return Err(unfit("messages")("no refused message")),
    };
    Ok(QuarantinedMessage { id: from.id, replayed_at: from.replayed_at_us.map(Timestamp::from_micros), message })
}

pub fn vehicle_to_proto((id, record): (VehicleId, VehicleRecord)) -> link::RegisteredVehicle {
    link::RegisteredVehicle {
        vehicle_id: id.to_string(),
        class: record.class.as_str().to_owned(),
        powertrain: record.powertrain.as_ref().map(Label::to_string),
        groups: record.groups.iter().map(Label::to_string).collect(),
        tank_l: record.tank_l,
        battery_kwh: record.battery_kwh,
        make: record.make,
    }
}

pub fn vehicle(from: link::RegisteredVehicle) -> Result<(VehicleId, VehicleRecord), Unfit> {
    let label = |field, text: &str| Label::new(text).map_err(unfit(field));
    let groups = from.groups.iter().map(|group| label("groups", group));
    let record = VehicleRecord {
        class: Class::new(label("class", &from.class)?),
        powertrain: from.powertrain.map(|powertrain| label("powertrain", &powertrain)).transpose()?,
        groups: groups.collect::<Result<_, _>>()?,
        tank_l: from.tank_l,
        battery_kwh: from.battery_kwh,
        make: from.make,
    };
    Ok((vehicle_id(&from.vehicle_id)?, record.checked().map_err(unfit("vehicles"))?))
}

/// What the caller is told of an error of the archive of this process.
pub fn status(error: &ArchiveError) -> Status {
    let mut text = error.to_string();
    text.truncate(text.floor_char_boundary(MOST_TEXT_BYTES));
    let code = match error {
        error if !error.is_transient() => Code::InvalidArgument,
        error if error.is_of_another_version() => Code::FailedPrecondition,
        error if error.is_away() => Code::Unavailable,
        _ => Code::DataLoss,
    };
    Status::new(code, text)
}

/// What an error of the other process, or of the way there, is to whoever asked.
pub fn error(status: &Status) -> ArchiveError {
    let failure = match status.code() {
        Code::InvalidArgument => RemoteFailure::Data,
        Code::FailedPrecondition => RemoteFailure::Version,
        // Too large for a message, or a method that the other version has not: asking again tomorrow is no better.
        Code::DataLoss | Code::OutOfRange | Code::ResourceExhausted | Code::Unimplemented => RemoteFailure::Other,
        _ => RemoteFailure::Away,
    };
    let was_told = matches!(status.code(), Code::InvalidArgument | Code::FailedPrecondition | Code::DataLoss | Code::Unavailable);
    let text = if was_told && !is_of_the_way(status) {
        status.message().to_owned()
    } else {
        let mut text = format!("the storage service did not answer: {}", status.message());
        let mut source = std::error::Error::source(status);
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        text
    };
    ArchiveError::Remote { failure, text }
}

/// Whether it was met on the way, and not told by the other process.
pub fn is_of_the_way(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}
