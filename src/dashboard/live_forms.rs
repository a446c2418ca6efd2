//! Messages of `/api/v1/live`. Vehicles are rows of [`FIELDS`], about 90 bytes each: ten thousand of them are one picture.

use std::sync::Arc;

use serde::Serialize;

use super::alert_forms::AlertForm;
use super::forms::VehicleForm;
use crate::domain::{Alert, AlertEvent, Assessment, SignalTable, Timestamp, signal};
use crate::fleet::{Vehicle, VehicleState};
use crate::settings;

/// What stands where in a row. Times are milliseconds since 1970; null: not known.
///
/// `stale` and `offline` come with time, not with a message: after a snapshot a client tells them from `received_at` and the two limits.
const FIELDS: [&str; 9] =
    ["vehicle_id", "latitude", "longitude", "heading_deg", "speed_km_per_h", "score", "state", "recorded_at", "received_at"];

#[derive(Debug, Serialize)]
struct Row<'a>(&'a str, Option<f64>, Option<f64>, Option<u16>, Option<f32>, Option<f32>, &'static str, i64, i64);

/// `snapshot` until one is complete, then `changes`.
#[derive(Debug, Serialize)]
pub struct VehiclesPart<'a> {
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

/// Open alerts at the start, and again where changes were missed.
#[derive(Debug, Serialize)]
pub struct OpenAlertsPart<'a> {
    r#type: &'static str,
    /// Of the newest change that surely is in them: `after` of the next connection.
    sequence: u64,
    complete: bool,
    /// How many are open; more than these: the API has them.
    open: usize,
    alerts: Vec<AlertForm<'a>>,
}

#[derive(Debug, Serialize)]
pub struct AlertChange<'a> {
    r#type: &'static str,
    /// Rises by one with every change of an alert.
    sequence: u64,
    change: &'static str,
    at: Timestamp,
    alert: AlertForm<'a>,
}

/// The newest reading of the vehicle that is watched, with its open alerts.
#[derive(Debug, Serialize)]
pub struct VehicleChange<'a> {
    r#type: &'static str,
    vehicle: VehicleForm<'a>,
}

/// Nothing has happened, and the connection stands.
#[derive(Debug, Serialize)]
pub struct Beat {
    r#type: &'static str,
    now: i64,
}

impl Beat {
    pub const fn new(now: Timestamp) -> Self {
        Self { r#type: "beat", now: millis(now) }
    }
}

impl<'a> VehiclesPart<'a> {
    pub fn new(
        r#type: &'static str,
        sequence: u64,
        now: Timestamp,
        complete: bool,
        vehicles: &'a [(Arc<Assessment>, VehicleState)],
    ) -> Self {
        let vehicles = vehicles.iter().map(|(newest, state)| Row::new(newest, *state)).collect();
        Self { r#type, sequence, now: millis(now), complete, settings: None, vehicles }
    }

    pub fn with_settings(self, settings: &settings::Fleet) -> Self {
        let [stale, offline] = [settings.stale_after, settings.offline_after].map(|after| after.duration().as_millis());
        Self { settings: Some(Settings { fields: FIELDS, stale_after_ms: stale, offline_after_ms: offline }), ..self }
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

impl<'a> OpenAlertsPart<'a> {
    pub fn new(sequence: u64, complete: bool, open: usize, alerts: &'a [Arc<Alert>]) -> Self {
        let alerts = alerts.iter().map(|alert| AlertForm::new(alert)).collect();
        Self { r#type: "alerts", sequence, complete, open, alerts }
    }
}

impl<'a> AlertChange<'a> {
    pub fn new(sequence: u64, event: &'a AlertEvent) -> Self {
        Self { r#type: "alert", sequence, change: event.change.code(), at: event.at, alert: AlertForm::new(&event.alert) }
    }
}

impl<'a> VehicleChange<'a> {
    pub fn new(vehicle: &'a Vehicle, table: &'a SignalTable) -> Self {
        Self { r#type: "vehicle", vehicle: VehicleForm::new(vehicle, table) }
    }
}

const fn millis(at: Timestamp) -> i64 {
    at.as_micros() / 1_000
}
