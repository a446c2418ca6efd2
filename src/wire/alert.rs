//! Changes of alerts, between their domain form and the journal's protobuf.

use super::proto::journal::v1 as journal;
use super::reading::{timestamp_from_proto, timestamp_to_proto};
use super::record::{RecordError, missing};
use crate::domain::{
    Alert, AlertEvent, AlertId, AlertKey, Change, Condition, Explained, Handling, OpenedBy, Severity, Timestamp, VehicleId,
    Verdict,
};

pub(super) fn alert_event_to_proto(from: &AlertEvent) -> journal::AlertEvent {
    let alert = &from.alert;
    let text = |text: &Option<Box<str>>| text.as_deref().unwrap_or_default().to_owned();
    let explanation = alert.explanation.iter().map(|part| journal::Explained {
        feature: part.feature.to_string(),
        value: part.value,
        normal: part.normal,
        cohort_normal: part.cohort_normal,
        contribution: part.contribution,
    });
    journal::AlertEvent {
        change: from.change.code().to_owned(),
        at: Some(timestamp_to_proto(from.at)),
        alert: Some(journal::Alert {
            alert_id: alert.alert_id.number(),
            vehicle_id: alert.vehicle_id.to_string(),
            key: alert.key.to_string(),
            severity: alert.severity.code().to_owned(),
            condition: alert.condition.code().to_owned(),
            handling: alert.handling.code().to_owned(),
            opened_at: Some(timestamp_to_proto(alert.opened_at)),
            last_seen_at: Some(timestamp_to_proto(alert.last_seen_at)),
            closed_at: alert.closed_at.map(timestamp_to_proto),
            count: alert.count,
            summary: alert.summary.to_string(),
            value: alert.value,
            limit: alert.limit,
            score: alert.score,
            explanation: explanation.collect(),
            opening_recorded_at: Some(timestamp_to_proto(alert.opened_by.recorded_at)),
            opening_fingerprint: alert.opened_by.fingerprint,
            opening_arrival: alert.opened_by.arrival,
            opening_configuration: alert.opened_by.configuration,
            acknowledged_by: text(&alert.acknowledged_by),
            assigned_to: text(&alert.assigned_to),
            silenced_until: alert.silenced_until.map(timestamp_to_proto),
            verdict: alert.verdict.map_or("", Verdict::code).to_owned(),
            note: text(&alert.note),
            is_history: alert.is_history,
            revision: alert.revision,
        }),
    }
}

pub(super) fn alert_event_from_proto(from: journal::AlertEvent) -> Result<AlertEvent, RecordError> {
    let alert = from.alert.ok_or_else(|| missing("alert"))?;
    let time =
        |time: &Option<prost_types::Timestamp>, field| time.as_ref().and_then(timestamp_from_proto).ok_or_else(|| missing(field));
    let maybe_time =
        |time: &Option<prost_types::Timestamp>| -> Option<Timestamp> { time.as_ref().and_then(timestamp_from_proto) };
    let text = |text: String| (!text.is_empty()).then(|| text.into_boxed_str());
    let verdict = match alert.verdict.as_str() {
        "" => None,
        code => Some(Verdict::from_code(code).ok_or_else(|| missing("verdict"))?),
    };
    let explanation = alert.explanation.into_iter().map(|part| Explained {
        feature: part.feature.into(),
        value: part.value,
        normal: part.normal,
        cohort_normal: part.cohort_normal,
        contribution: part.contribution,
    });
    Ok(AlertEvent {
        change: Change::from_code(&from.change).ok_or_else(|| missing("change"))?,
        at: time(&from.at, "at")?,
        alert: Alert {
            alert_id: AlertId::from_number(alert.alert_id),
            vehicle_id: VehicleId::new(&alert.vehicle_id).map_err(|_| missing("vehicle_id"))?,
            key: AlertKey::from_stored(&alert.key),
            severity: Severity::from_code(&alert.severity).ok_or_else(|| missing("severity"))?,
            condition: Condition::from_code(&alert.condition).ok_or_else(|| missing("condition"))?,
            handling: Handling::from_code(&alert.handling).ok_or_else(|| missing("handling"))?,
            opened_at: time(&alert.opened_at, "opened_at")?,
            last_seen_at: time(&alert.last_seen_at, "last_seen_at")?,
            closed_at: maybe_time(&alert.closed_at),
            count: alert.count,
            summary: alert.summary.into_boxed_str(),
            value: alert.value,
            limit: alert.limit,
            score: alert.score,
            explanation: explanation.collect(),
            opened_by: OpenedBy {
                recorded_at: time(&alert.opening_recorded_at, "opening_recorded_at")?,
                fingerprint: alert.opening_fingerprint,
                arrival: alert.opening_arrival,
                configuration: alert.opening_configuration,
            },
            acknowledged_by: text(alert.acknowledged_by),
            assigned_to: text(alert.assigned_to),
            silenced_until: maybe_time(&alert.silenced_until),
            verdict,
            note: text(alert.note),
            is_history: alert.is_history,
            revision: alert.revision,
        },
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use crate::domain::{
        Alert, AlertEvent, AlertId, AlertKey, Change, Condition, Explained, Handling, OpenedBy, Severity, SignalTable, Timestamp,
        VehicleId, Verdict,
    };
    use crate::wire::record::{Record, RecordEncoder, decode_record, is_alert_event};

    /// Every field is set.
    pub(crate) fn a_full_alert_event() -> AlertEvent {
        let (vehicle_id, key) = (VehicleId::new("truck-7").unwrap(), AlertKey::rule("overheating"));
        let at = |seconds: i64| Timestamp::from_micros(1_764_000_000_000_000 + seconds * 1_000_000);
        AlertEvent {
            change: Change::Resolved,
            at: at(700),
            alert: Alert {
                alert_id: AlertId::of(&vehicle_id, &key, at(0)),
                vehicle_id,
                key,
                severity: Severity::Critical,
                condition: Condition::Cleared,
                handling: Handling::Resolved,
                opened_at: at(0),
                last_seen_at: at(300),
                closed_at: Some(at(360)),
                count: 11,
                summary: "coolant 121 °C, limit 115 °C".into(),
                value: Some(121.0),
                limit: Some(115.0),
                score: Some(0.75),
                explanation: vec![Explained {
                    feature: "coolant_temperature_celsius".into(),
                    value: Some(121.0),
                    normal: Some(91.5),
                    cohort_normal: None,
                    contribution: 0.875,
                }],
                opened_by: OpenedBy { recorded_at: at(30), fingerprint: u64::MAX, arrival: 4711, configuration: 3 },
                acknowledged_by: Some("ada".into()),
                assigned_to: Some("workshop".into()),
                silenced_until: Some(at(7_200)),
                verdict: Some(Verdict::Confirmed),
                note: Some("hose replaced".into()),
                is_history: true,
                revision: 5,
            },
        }
    }

    #[test]
    fn an_alert_read_back_is_the_alert_written() {
        let event = a_full_alert_event();
        let mut bytes = Vec::new();
        RecordEncoder::alert_event(&event, &mut bytes);
        assert!(is_alert_event(&bytes));
        assert_eq!(decode_record(&bytes, 0, &SignalTable::default()).unwrap(), Record::AlertEvent(Box::new(event)));
    }
}
