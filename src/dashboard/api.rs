//! The read API below `/api/v1`.

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;

use super::alerts;
use super::forms::{QuarantinedForm, ReadingForm, VehicleForm};
use super::parameters::Parameters;
use super::problem::Problem;
use super::vehicle_records;
use crate::clock;
use crate::domain::{Reason, VehicleId};
use crate::fleet::Fleet;
use crate::ingest::quarantine_replay::QuarantineReplay;
use crate::storage::{QuarantineCursor, QuarantineQuery, ReadingsQuery};

const MOST_VEHICLES: u32 = 10_000;
const MOST_READINGS: u32 = 1_000;
/// Payloads come along, 64 KiB each at most.
const MOST_QUARANTINED: u32 = 100;

pub(super) const A_TIME: &str = "an RFC 3339 time such as 2026-11-24T03:17:00Z";
pub(super) const A_CURSOR: &str = "a cursor that this address gave out as `next_cursor`";

pub fn router(fleet: Fleet, replay: QuarantineReplay) -> Router {
    Router::new()
        .route("/vehicles", get(vehicles))
        .route("/vehicles/import", post(vehicle_records::import))
        .route("/vehicles/{id}", get(vehicle).put(vehicle_records::put))
        .route("/vehicles/{id}/readings", get(readings))
        .route("/alerts", get(alerts::list))
        .route("/alerts/groups", get(alerts::groups))
        .route("/alerts/{id}", get(alerts::show))
        .route("/alerts/{id}/recording", get(alerts::recording))
        .route("/alerts/{id}/{action}", post(alerts::command))
        .route("/quarantine", get(quarantine))
        .route("/quarantine/{id}/payload", get(quarantined_payload))
        .fallback(async || {
            Problem::not_found("no such address; there are /vehicles, /vehicles/{id}, /vehicles/{id}/readings, /alerts, /alerts/{id}, /quarantine, /quarantine/replay")
        })
        .with_state(fleet)
        .route("/quarantine/replay", post(super::quarantine::replay).with_state(replay))
}

async fn vehicles(State(fleet): State<Fleet>, parameters: Parameters) -> Result<Response, Problem> {
    let parameters = parameters.only(&["limit", "cursor"])?;
    let limit = parameters.limit(MOST_VEHICLES)?;
    let after: Option<String> = parameters.get("cursor", A_CURSOR)?;
    let after = after.as_deref().map(vehicle_id).transpose()?;
    let page = fleet.vehicles(after.as_ref(), limit, clock::now()).await?;
    let forms: Vec<_> = page.vehicles.iter().map(|vehicle| VehicleForm::new(vehicle, fleet.table())).collect();
    Ok(Json(Page { name: "vehicles", forms: &forms, next_cursor: &page.next }).into_response())
}

async fn vehicle(State(fleet): State<Fleet>, Path(id): Path<String>, parameters: Parameters) -> Result<Response, Problem> {
    parameters.only(&[])?;
    let id = vehicle_id(&id)?;
    let vehicle = fleet.vehicle(&id, clock::now()).await?.ok_or_else(|| unknown(&id))?;
    Ok(Json(VehicleForm::new(&vehicle, fleet.table())).into_response())
}

async fn readings(State(fleet): State<Fleet>, Path(id): Path<String>, parameters: Parameters) -> Result<Response, Problem> {
    let parameters = parameters.only(&["from", "to", "limit", "cursor"])?;
    let query = ReadingsQuery {
        vehicle_id: vehicle_id(&id)?,
        from: parameters.get("from", A_TIME)?,
        to: parameters.get("to", A_TIME)?,
        after: parameters.get("cursor", A_CURSOR)?,
        limit: parameters.limit(MOST_READINGS)?,
    };
    if query.from.zip(query.to).is_some_and(|(from, to)| from >= to) {
        return Err(Problem::bad_parameter("`from` is not before `to`"));
    }
    let page = fleet.readings(&query).await?.ok_or_else(|| unknown(&query.vehicle_id))?;
    let forms: Vec<_> = page.readings.iter().map(|assessment| ReadingForm::new(assessment, fleet.table())).collect();
    let next_cursor = page.next.map(|cursor| cursor.to_string());
    Ok(Json(Page { name: "readings", forms: &forms, next_cursor: &next_cursor }).into_response())
}

async fn quarantine(State(fleet): State<Fleet>, parameters: Parameters) -> Result<Response, Problem> {
    let parameters = parameters.only(&["reason", "limit", "cursor"])?;
    let reason: Option<String> = parameters.get("reason", "a reason")?;
    let reason = reason.map(|code| {
        let known = || Reason::ALL.iter().map(|reason| reason.code()).collect::<Vec<_>>().join(", ");
        Reason::from_code(&code).ok_or_else(|| Problem::bad_parameter(format!("`reason` = {code:?} is none of {}", known())))
    });
    let query = QuarantineQuery {
        reason: reason.transpose()?,
        after: parameters.get("cursor", A_CURSOR)?.map(QuarantineCursor),
        limit: parameters.limit(MOST_QUARANTINED)?,
    };
    let page = fleet.quarantine(&query).await?;
    let counts: serde_json::Map<_, _> = fleet.quarantine_counts().await?.into_iter().map(|(code, n)| (code, n.into())).collect();
    let messages: Vec<_> = page.messages.iter().map(QuarantinedForm::new).collect();
    let next_cursor = page.next.map(|cursor| cursor.0.to_string());
    Ok(Json(json!({"messages": messages, "counts": counts, "next_cursor": next_cursor})).into_response())
}

async fn quarantined_payload(State(fleet): State<Fleet>, Path(id): Path<String>) -> Result<Response, Problem> {
    let number = id.parse().map_err(|_| Problem::bad_parameter(format!("{id:?} is no number of a quarantined message")))?;
    let payload = fleet.quarantined_payload(number).await?;
    let payload = payload.ok_or_else(|| Problem::not_found(format!("no quarantined message {number} is kept")))?;
    let is_whole = if payload.is_whole { "true" } else { "false" };
    let headers = [(header::CONTENT_TYPE.as_str(), "application/octet-stream"), ("odograph-whole", is_whole)];
    Ok((headers, payload.payload).into_response())
}

pub(super) fn vehicle_id(text: &str) -> Result<VehicleId, Problem> {
    VehicleId::new(text).map_err(|error| Problem::bad_parameter(format!("{text:?}: {error}")))
}

fn unknown(id: &VehicleId) -> Problem {
    Problem::not_found(format!("no vehicle {id} has sent a reading"))
}

/// A page of a list, written without a detour over trees of values, which would give f32 the digits of f64.
pub(super) struct Page<'a, Form, Cursor> {
    pub name: &'static str,
    pub forms: &'a [Form],
    pub next_cursor: &'a Cursor,
}

impl<Form: serde::Serialize, Cursor: serde::Serialize> serde::Serialize for Page<'_, Form, Cursor> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry(self.name, self.forms)?;
        map.serialize_entry("next_cursor", self.next_cursor)?;
        map.end()
    }
}
