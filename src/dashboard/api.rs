//! The read API below `/api/v1`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::buckets::{BucketsForm, History};
use super::forms::{QuarantineForm, QuarantinedForm, ReadingsForm, VehicleForm, VehiclesForm};
use super::parameters::Parameters;
use super::problem::Problem;
use super::{alerts, buckets, quarantine, vehicle_records};
use crate::clock;
use crate::domain::{Reason, Timestamp, VehicleId};
use crate::fleet::Fleet;
use crate::ingest::quarantine_replay::QuarantineReplay;
use crate::storage::{QuarantineCursor, QuarantineQuery, ReadingsQuery};

const MOST_VEHICLES: u32 = 10_000;
const MOST_READINGS: u32 = 1_000;
/// Payloads come along, 64 KiB each at most.
const MOST_QUARANTINED: u32 = 100;

pub(super) const A_TIME: &str = "an RFC 3339 time such as 2026-11-24T03:17:00Z";
pub(super) const A_CURSOR: &str = "a cursor that this address gave out as `next_cursor`";

pub fn router(fleet: Fleet, replay: QuarantineReplay) -> OpenApiRouter {
    OpenApiRouter::default()
        .routes(routes!(vehicles))
        .routes(routes!(vehicle_records::import))
        .routes(routes!(vehicle, vehicle_records::put))
        .routes(routes!(readings))
        .routes(routes!(alerts::list))
        .routes(routes!(alerts::groups))
        .routes(routes!(alerts::show))
        .routes(routes!(alerts::recording))
        .routes(routes!(alerts::command))
        .routes(routes!(refused))
        .routes(routes!(refused_payload))
        .fallback(async || {
            Problem::not_found("no such address; there are /vehicles, /vehicles/{id}, /vehicles/{id}/readings, /alerts, /alerts/{id}, /quarantine, /quarantine/replay")
        })
        .with_state(fleet)
        .merge(OpenApiRouter::default().routes(routes!(quarantine::replay)).with_state(replay))
}

/// All vehicles, in order of their ids.
#[utoipa::path(get, path = "/vehicles", params(
    ("limit" = Option<u32>, Query, description = "At most so many"),
    ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
), responses((status = OK, body = VehiclesForm)))]
async fn vehicles(State(fleet): State<Fleet>, parameters: Parameters) -> Result<Response, Problem> {
    let parameters = parameters.only(&["limit", "cursor"])?;
    let limit = parameters.limit(MOST_VEHICLES)?;
    let after: Option<String> = parameters.get("cursor", A_CURSOR)?;
    let after = after.as_deref().map(vehicle_id).transpose()?;
    let page = fleet.vehicles(after.as_ref(), limit, clock::now()).await?;
    let vehicles = page.vehicles.iter().map(|vehicle| VehicleForm::new(vehicle, fleet.table())).collect();
    Ok(Json(VehiclesForm { vehicles, next_cursor: page.next.map(|id| id.to_string()) }).into_response())
}

/// One vehicle as it is now.
#[utoipa::path(get, path = "/vehicles/{id}", params(("id" = VehicleId, Path)), responses((status = OK, body = VehicleForm)))]
async fn vehicle(State(fleet): State<Fleet>, Path(id): Path<String>, parameters: Parameters) -> Result<Response, Problem> {
    parameters.only(&[])?;
    let id = vehicle_id(&id)?;
    let vehicle = fleet.vehicle(&id, clock::now()).await?.ok_or_else(|| unknown(&id))?;
    Ok(Json(VehicleForm::new(&vehicle, fleet.table())).into_response())
}

/// Readings of a vehicle, or with `every` what they come to in buckets of that length; oldest first.
#[utoipa::path(get, path = "/vehicles/{id}/readings", params(
    ("id" = VehicleId, Path),
    ("from" = Option<Timestamp>, Query, description = "Not before"),
    ("to" = Option<Timestamp>, Query, description = "Before; with `every`, now where it is left out"),
    ("every" = Option<String>, Query, description = "Length of a bucket, such as 30s, 15m or 1d. With it `from` is needed, and at most 2,000 buckets may lie between `from` and `to`. Multiples of 15m are quick over long ranges"),
    ("limit" = Option<u32>, Query, description = "At most so many"),
    ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
), responses((status = OK, body = History)))]
async fn readings(State(fleet): State<Fleet>, Path(id): Path<String>, parameters: Parameters) -> Result<Response, Problem> {
    let parameters = parameters.only(&["from", "to", "every", "limit", "cursor"])?;
    let (vehicle_id, limit) = (vehicle_id(&id)?, parameters.limit(MOST_READINGS)?);
    let (from, to) = (parameters.get("from", A_TIME)?, parameters.get("to", A_TIME)?);
    if from.zip(to).is_some_and(|(from, to): (Timestamp, Timestamp)| from >= to) {
        return Err(Problem::bad_parameter("`from` is not before `to`"));
    }
    if let Some(query) = buckets::query(&parameters, &vehicle_id, (from, to), limit)? {
        let page = fleet.buckets(&query).await?.ok_or_else(|| unknown(&vehicle_id))?;
        return Ok(Json(BucketsForm::new(&page, fleet.table())).into_response());
    }
    let query = ReadingsQuery { vehicle_id, from, to, after: parameters.get("cursor", A_CURSOR)?, limit };
    let page = fleet.readings(&query).await?.ok_or_else(|| unknown(&query.vehicle_id))?;
    Ok(Json(ReadingsForm::new(&page, fleet.table())).into_response())
}

/// Messages that were acknowledged and not believed, newest first.
#[utoipa::path(get, path = "/quarantine", params(
    ("reason" = Option<Reason>, Query, description = "Only those"),
    ("limit" = Option<u32>, Query, description = "At most so many"),
    ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
), responses((status = OK, body = QuarantineForm)))]
async fn refused(State(fleet): State<Fleet>, parameters: Parameters) -> Result<Response, Problem> {
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
    let form = QuarantineForm {
        messages: page.messages.iter().map(QuarantinedForm::new).collect(),
        counts: fleet.quarantine_counts().await?.into_iter().collect(),
        next_cursor: page.next.map(|cursor| cursor.0.to_string()),
    };
    Ok(Json(form).into_response())
}

/// What came, as it came; with `odograph-whole: false` only the beginning was kept.
#[utoipa::path(get, path = "/quarantine/{id}/payload", params(("id" = i64, Path)), responses((status = OK, content_type = "application/octet-stream")))]
async fn refused_payload(
    State(fleet): State<Fleet>,
    Path(id): Path<String>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    parameters.only(&[])?;
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
