//! Messages of `/api/v1/live`, as JSON or as protobuf. In JSON vehicles are rows of [`FIELDS`], about 90 bytes each: ten thousand of them
//! are one picture.

use std::sync::Arc;

use axum::extract::ws::Message;
use serde::Serialize;

use super::alert_forms::AlertForm;
use super::forms::VehicleForm;
use super::problem::Problem;
use crate::domain::{Alert, AlertEvent, Assessment, SignalTable, Timestamp, VehicleState, signal};
use crate::fleet::Vehicle;
use crate::settings::{self, Interval};
use crate::wire::live;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    /// `proto/odograph/v1/live.proto`.
    Protobuf,
}

/// What is said to a client.
pub enum Said<'a> {
    Vehicles(&'a live::Vehicles<'a>),
    /// Open alerts at the start, and again where changes were missed.
    OpenAlerts {
        /// Of the newest change that surely is in them: `after` of the next connection.
        sequence: u64,
        is_complete: bool,
        /// How many are open; more than these: the API has them.
        open: usize,
        alerts: &'a [Arc<Alert>],
    },
    Alert {
        sequence: u64,
        event: &'a AlertEvent,
    },
    /// The newest reading of the vehicle that is watched, with its open alerts.
    Watched {
        vehicle: &'a Vehicle,
        newest: &'a Assessment,
        table: &'a SignalTable,
    },
    /// Nothing has happened, and the connection stands.
    Beat {
        now: Timestamp,
    },
    Problem(&'a Problem),
}

impl Said<'_> {
    pub fn message(&self, format: Format) -> Message {
        match format {
            Format::Json => Message::Text(self.json().into()),
            Format::Protobuf => Message::Binary(self.protobuf().into()),
        }
    }

    fn json(&self) -> String {
        let text = match *self {
            Self::Vehicles(part) => serde_json::to_string(&VehiclesPart::new(part)),
            Self::OpenAlerts { sequence, is_complete, open, alerts } => {
                let alerts = alerts.iter().map(|alert| AlertForm::new(alert)).collect();
                serde_json::to_string(&OpenAlertsPart { r#type: "alerts", sequence, complete: is_complete, open, alerts })
            }
            Self::Alert { sequence, event } => {
                let alert = AlertForm::new(&event.alert);
                let change = AlertChange { r#type: "alert", sequence, change: event.change.code(), at: event.at, alert };
                serde_json::to_string(&change)
            }
            Self::Watched { vehicle, table, .. } => {
                serde_json::to_string(&VehicleChange { r#type: "vehicle", vehicle: VehicleForm::new(vehicle, table) })
            }
            Self::Beat { now } => serde_json::to_string(&Beat { r#type: "beat", now: millis(now) }),
            Self::Problem(problem) => serde_json::to_string(&ProblemPart { r#type: "problem", problem }),
        };
        text.expect("texts and finite numbers are JSON")
    }

    fn protobuf(&self) -> Vec<u8> {
        match *self {
            Self::Vehicles(part) => live::vehicles(part),
            Self::OpenAlerts { sequence, is_complete, open, alerts } => live::open_alerts(sequence, is_complete, open, alerts),
            Self::Alert { sequence, event } => live::alert_change(sequence, event),
            Self::Watched { vehicle, newest, table } => live::watched_vehicle(newest, vehicle.state, &vehicle.open_alerts, table),
            Self::Beat { now } => live::beat(now),
            Self::Problem(problem) => live::problem(problem.code, &problem.detail),
        }
    }
}

/// Silence that makes a vehicle stale, then offline.
pub fn limits(settings: &settings::Fleet) -> [std::time::Duration; 2] {
    [settings.stale_after, settings.offline_after].map(Interval::duration)
}

/// What stands where in a row. Times are milliseconds since 1970; null: not known.
///
/// `stale` and `offline` come with time, not with a message: after a snapshot a client tells them from `received_at` and the two limits.
const FIELDS: [&str; 9] =
    ["vehicle_id", "latitude", "longitude", "heading_deg", "speed_km_per_h", "score", "state", "recorded_at", "received_at"];

#[derive(Debug, Serialize)]
struct Row<'a>(&'a str, Option<f64>, Option<f64>, Option<u16>, Option<f32>, Option<f32>, &'static str, i64, i64);

/// `snapshot` until one is complete, then `changes`.
#[derive(Debug, Serialize)]
struct VehiclesPart<'a> {
    r#type: &'static str,
    /// Rises by one with every message about vehicles.
    sequence: u64,
    /// Our clock.
    now: i64,
    /// False: more of the same follows at once.
    complete: bool,
    #[serde(flatten)]
    settings: Option<Settings>,
    vehicles: Vec<Row<'a>>,
}

#[derive(Debug, Serialize)]
struct Settings {
    fields: [&'static str; 9],
    stale_after_ms: u128,
    offline_after_ms: u128,
}

#[derive(Debug, Serialize)]
struct OpenAlertsPart<'a> {
    r#type: &'static str,
    sequence: u64,
    complete: bool,
    open: usize,
    alerts: Vec<AlertForm<'a>>,
}

#[derive(Debug, Serialize)]
struct AlertChange<'a> {
    r#type: &'static str,
    /// Rises by one with every change of an alert.
    sequence: u64,
    change: &'static str,
    at: Timestamp,
    alert: AlertForm<'a>,
}

#[derive(Debug, Serialize)]
struct VehicleChange<'a> {
    r#type: &'static str,
    vehicle: VehicleForm<'a>,
}

#[derive(Debug, Serialize)]
struct Beat {
    r#type: &'static str,
    now: i64,
}

#[derive(Debug, Serialize)]
struct ProblemPart<'a> {
    r#type: &'static str,
    problem: &'a Problem,
}

impl<'a> VehiclesPart<'a> {
    fn new(part: &live::Vehicles<'a>) -> Self {
        let settings = part.limits.map(|[stale, offline]| Settings {
            fields: FIELDS,
            stale_after_ms: stale.as_millis(),
            offline_after_ms: offline.as_millis(),
        });
        Self {
            r#type: if part.is_snapshot { "snapshot" } else { "changes" },
            sequence: part.sequence,
            now: millis(part.now),
            complete: part.is_complete,
            settings,
            vehicles: part.vehicles.iter().map(|(newest, state)| Row::new(newest, *state)).collect(),
        }
    }
}

impl<'a> Row<'a> {
    fn new(newest: &'a Assessment, state: VehicleState) -> Self {
        let reading = &newest.reading;
        // A metre is seen on a map, a millimetre is not.
        let place = |degrees: f64| (degrees * 1e5).round() / 1e5;
        let (latitude, longitude) = reading.position.map(|at| (place(at.latitude()), place(at.longitude()))).unzip();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 359")]
        let heading = reading.position.and_then(|at| at.heading_deg).map(|degrees| degrees.rem_euclid(360.0) as u16);
        let speed = reading.signals.get(signal::SPEED).map(|speed| (speed * 10.0).round() / 10.0);
        let score = newest.score().map(|score| (score * 1e3).round() / 1e3);
        let (recorded_at, received_at) = (millis(reading.recorded_at), millis(reading.received_at));
        Self(reading.vehicle_id.as_str(), latitude, longitude, heading, speed, score, state.code(), recorded_at, received_at)
    }
}

const fn millis(at: Timestamp) -> i64 {
    at.as_micros() / 1_000
}
