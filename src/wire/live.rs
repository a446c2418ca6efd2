//! What the live channel says, as protobuf (`proto/odograph/v1/live.proto`). Its JSON is the dashboard's.

use std::sync::Arc;
use std::time::Duration;

use prost::Message;

use super::proto::v1;
use super::proto::v1::live_message::Kind;
use super::proto::v1::vehicle_state::State;
use super::reading::{reading_to_proto, timestamp_to_proto};
use crate::domain::{Alert, AlertEvent, Assessment, Position, SignalTable, Timestamp, VehicleState, Verdict, signal};

/// Part of a snapshot, or of what changed.
#[derive(Debug)]
pub struct Vehicles<'a> {
    pub is_snapshot: bool,
    pub sequence: u64,
    pub now: Timestamp,
    pub is_complete: bool,
    /// Stale and offline after so much silence.
    pub limits: Option<[Duration; 2]>,
    pub vehicles: &'a [(Arc<Assessment>, VehicleState)],
}

#[must_use]
pub fn vehicles(part: &Vehicles) -> Vec<u8> {
    let states = vehicle_states(part);
    encode(if part.is_snapshot { Kind::Snapshot(states) } else { Kind::Changes(states) })
}

#[must_use]
pub fn vehicle_states(part: &Vehicles) -> v1::VehicleStates {
    let duration = |after: Duration| prost_types::Duration {
        seconds: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(after.subsec_nanos()).expect("below one second"),
    };
    v1::VehicleStates {
        sequence: part.sequence,
        now: Some(timestamp_to_proto(part.now)),
        complete: part.is_complete,
        stale_after: part.limits.map(|[stale, _]| duration(stale)),
        offline_after: part.limits.map(|[_, offline]| duration(offline)),
        vehicles: part.vehicles.iter().map(|(newest, state)| vehicle_state(newest, *state, false)).collect(),
    }
}

/// As they are when everything up to `sequence` has happened; `open` of them there are in all.
#[must_use]
pub fn open_alerts(sequence: u64, is_complete: bool, open: usize, alerts: &[Arc<Alert>]) -> Vec<u8> {
    let alerts = alerts.iter().map(|alert| alert_to_proto(alert)).collect();
    encode(Kind::Alerts(v1::OpenAlerts { sequence, complete: is_complete, open: open as u64, alerts }))
}

#[must_use]
pub fn alert_change(sequence: u64, event: &AlertEvent) -> Vec<u8> {
    encode(Kind::Alert(alert_change_to_proto(sequence, event)))
}

#[must_use]
pub fn alert_change_to_proto(sequence: u64, event: &AlertEvent) -> v1::AlertChange {
    v1::AlertChange {
        sequence,
        change: event.change.code().to_owned(),
        at: Some(timestamp_to_proto(event.at)),
        alert: Some(alert_to_proto(&event.alert)),
    }
}

#[must_use]
pub fn watched_vehicle(newest: &Assessment, state: VehicleState, alerts: &[Arc<Alert>], table: &SignalTable) -> Vec<u8> {
    encode(Kind::Vehicle(v1::WatchedVehicle {
        state: Some(vehicle_state(newest, state, true)),
        reading: Some(reading_of(newest, table)),
        open_alerts: alerts.iter().map(|alert| alert_to_proto(alert)).collect(),
    }))
}

/// With its whole reading and its alerts.
#[must_use]
pub fn whole_vehicle_state(
    newest: &Assessment,
    state: VehicleState,
    alerts: &[Arc<Alert>],
    table: &SignalTable,
) -> v1::VehicleState {
    v1::VehicleState {
        reading: Some(reading_of(newest, table)),
        open_alerts: alerts.iter().map(|alert| alert_to_proto(alert)).collect(),
        ..vehicle_state(newest, state, true)
    }
}

fn reading_of(newest: &Assessment, table: &SignalTable) -> v1::TelemetryReading {
    let mut reading = v1::TelemetryReading::default();
    reading_to_proto(&newest.reading, |id| table.get(id).name, &mut reading);
    reading
}

#[must_use]
pub fn beat(now: Timestamp) -> Vec<u8> {
    encode(Kind::Beat(v1::Beat { now: Some(timestamp_to_proto(now)) }))
}

#[must_use]
pub fn problem(code: &str, detail: &str) -> Vec<u8> {
    encode(Kind::Problem(v1::Problem { code: code.to_owned(), detail: detail.to_owned() }))
}

fn encode(kind: Kind) -> Vec<u8> {
    v1::LiveMessage { kind: Some(kind) }.encode_to_vec()
}

fn vehicle_state(newest: &Assessment, state: VehicleState, is_whole: bool) -> v1::VehicleState {
    let reading = &newest.reading;
    let place = |at: &Position| v1::Position {
        latitude: at.latitude(),
        longitude: at.longitude(),
        altitude_m: at.altitude_m.filter(|_| is_whole),
        heading_deg: at.heading_deg,
        accuracy_m: at.accuracy_m.filter(|_| is_whole),
    };
    v1::VehicleState {
        vehicle_id: reading.vehicle_id.to_string(),
        state: state_to_proto(state).into(),
        recorded_at: Some(timestamp_to_proto(reading.recorded_at)),
        received_at: Some(timestamp_to_proto(reading.received_at)),
        position: reading.position.as_ref().map(place),
        speed_km_per_h: reading.signals.get(signal::SPEED),
        score: newest.score(),
        reading: None,
        open_alerts: Vec::new(),
    }
}

const fn state_to_proto(state: VehicleState) -> State {
    match state {
        VehicleState::Ok => State::Ok,
        VehicleState::Alert => State::Alert,
        VehicleState::Parked => State::Parked,
        VehicleState::Stale => State::Stale,
        VehicleState::Offline => State::Offline,
    }
}

#[must_use]
pub fn alert_to_proto(alert: &Alert) -> v1::Alert {
    let text = |text: &Option<Box<str>>| text.as_deref().unwrap_or_default().to_owned();
    let explanation = alert.explanation.iter().map(|part| v1::Explained {
        feature: part.feature.to_string(),
        value: part.value,
        normal: part.normal,
        cohort_normal: part.cohort_normal,
        contribution: part.contribution,
    });
    v1::Alert {
        alert_id: alert.alert_id.to_string(),
        vehicle_id: alert.vehicle_id.to_string(),
        alert_key: alert.key.to_string(),
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
        acknowledged_by: text(&alert.acknowledged_by),
        assigned_to: text(&alert.assigned_to),
        silenced_until: alert.silenced_until.map(timestamp_to_proto),
        verdict: alert.verdict.map_or("", Verdict::code).to_owned(),
        note: text(&alert.note),
        is_history: alert.is_history,
        configuration: alert.opened_by.configuration,
        revision: alert.revision,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// As a client reads it.
    pub(crate) fn decode(message: &[u8]) -> Kind {
        v1::LiveMessage::decode(message).unwrap().kind.unwrap()
    }

    #[test]
    fn every_state_has_the_name_of_its_code() {
        for state in VehicleState::ALL {
            let name = format!("STATE_{}", state.code().to_uppercase());
            assert_eq!(State::from_str_name(&name), Some(state_to_proto(*state)));
        }
    }
}
