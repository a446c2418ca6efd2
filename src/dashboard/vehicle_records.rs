//! Records of vehicles: one by `PUT /api/v1/vehicles/{id}`, many as CSV.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::api::vehicle_id;
use super::forms::VehicleForm;
use super::parameters::Parameters;
use super::problem::Problem;
use crate::clock;
use crate::domain::{VehicleId, VehicleRecord};
use crate::fleet::Fleet;
use crate::storage::{RegisterError, read_vehicles_csv};

#[derive(Serialize, ToSchema)]
#[schema(as = Imported)]
struct ImportedForm {
    imported: usize,
    /// Those of them that nobody had registered.
    new: usize,
}

/// Registers a vehicle, or replaces its record as a whole: what the body does not name is not known.
#[utoipa::path(put, path = "/vehicles/{id}", operation_id = "put_vehicle", params(("id" = VehicleId, Path)), request_body = VehicleRecord, responses(
    (status = OK, description = "It was registered before", body = VehicleForm),
    (status = CREATED, body = VehicleForm),
))]
pub async fn put(
    State(fleet): State<Fleet>,
    Path(id): Path<String>,
    parameters: Parameters,
    body: Bytes,
) -> Result<Response, Problem> {
    parameters.only(&[])?;
    let id = vehicle_id(&id)?;
    let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, "bad_vehicle_record", detail);
    let record: VehicleRecord = serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))?;
    let record = record.checked().map_err(|error| bad(error.to_string()))?;
    let now = clock::now();
    let fresh = fleet.register(vec![(id.clone(), record)], now).await?;
    let status = if fresh == 0 { StatusCode::OK } else { StatusCode::CREATED };
    let vehicle = fleet.vehicle(&id, now).await?.ok_or_else(|| Problem::not_found(format!("no vehicle {id}")))?;
    Ok((status, Json(VehicleForm::new(&vehicle, fleet.table()))).into_response())
}

/// Registers many vehicles: all lines or, with an error, none.
#[utoipa::path(post, path = "/vehicles/import", operation_id = "import_vehicles", request_body(content = String, content_type = "text/csv"), responses((status = OK, body = ImportedForm)))]
pub async fn import(State(fleet): State<Fleet>, parameters: Parameters, body: Bytes) -> Result<Response, Problem> {
    parameters.only(&[])?;
    let bad = |error: crate::storage::CsvError| Problem::new(StatusCode::BAD_REQUEST, "bad_csv", error.to_string());
    let records = read_vehicles_csv(&body).map_err(bad)?;
    let imported = records.len();
    let fresh = fleet.register(records, clock::now()).await?;
    Ok(Json(ImportedForm { imported, new: fresh }).into_response())
}

impl From<RegisterError> for Problem {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Full(_) => Self::new(StatusCode::INSUFFICIENT_STORAGE, "register_full", error.to_string()),
            RegisterError::Archive(error) => error.into(),
        }
    }
}
