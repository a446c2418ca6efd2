//! The alert about damaged places of the journal, below `/api/v1/journal/damage`: shown, and acknowledged. Only the process that has the
//! journal knows of it.

use std::fmt;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Reason;
use super::alerts::NOBODY;
use super::parameters::Parameters;
use super::problem::Problem;
use crate::fleet::{MAX_NAME_CHARACTERS, MAX_NOTE_CHARACTERS, text_of_person};
use crate::journal::DamageAlert;

/// Who it was, and a note. `None`: there is nothing to acknowledge.
type Acknowledge = dyn Fn(&str, Option<&str>) -> Result<Option<DamageAlert>, String> + Send + Sync;

/// How the journal is asked. By default there is none in this process.
#[derive(Clone)]
pub struct Damage {
    pub alert: Arc<dyn Fn() -> Option<DamageAlert> + Send + Sync>,
    pub acknowledge: Arc<Acknowledge>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = JournalDamage)]
struct DamageForm {
    /// The last one, acknowledged or not; null where no damage was found.
    #[schema(required)]
    alert: Option<DamageAlert>,
    /// For people.
    #[schema(required)]
    summary: Option<String>,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = AcknowledgeDamage)]
struct AcknowledgeForm {
    /// Who.
    by: Option<String>,
    note: Option<String>,
}

impl Default for Damage {
    fn default() -> Self {
        Self { alert: Arc::new(|| None), acknowledge: Arc::new(|_, _| Ok(None)) }
    }
}

impl fmt::Debug for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Damage")
    }
}

impl Damage {
    /// Until a person has acknowledged it.
    #[must_use]
    pub fn problem(&self) -> Option<Reason> {
        let alert = (self.alert)().filter(DamageAlert::is_open)?;
        Some(Reason { part: "journal damage", problem: format!("{}; look at the disk, then acknowledge it", alert.summary()) })
    }
}

impl DamageForm {
    fn new(alert: Option<DamageAlert>) -> Self {
        Self { summary: alert.as_ref().map(DamageAlert::summary), alert }
    }
}

pub fn router(damage: Damage) -> OpenApiRouter {
    OpenApiRouter::default().routes(routes!(show)).routes(routes!(acknowledge)).with_state(damage)
}

/// Damaged places of the journal: what was found since somebody last acknowledged it.
#[utoipa::path(get, path = "/journal/damage", operation_id = "journal_damage", responses((status = OK, body = DamageForm)))]
async fn show(State(damage): State<Damage>, parameters: Parameters) -> Result<Response, Problem> {
    parameters.only(&[])?;
    Ok(Json(DamageForm::new((damage.alert)())).into_response())
}

/// A person has seen it: it is no problem of `/health/ready` any more. The next damage is a new one.
#[utoipa::path(post, path = "/journal/damage/acknowledge", operation_id = "acknowledge_journal_damage",
    request_body = Option<AcknowledgeForm>, responses((status = OK, body = DamageForm)))]
async fn acknowledge(State(damage): State<Damage>, parameters: Parameters, body: Bytes) -> Result<Response, Problem> {
    parameters.only(&[])?;
    let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, "bad_command", detail);
    let form: AcknowledgeForm = match &*body {
        [] => AcknowledgeForm::default(),
        body => serde_json::from_slice(body).map_err(|error| bad(error.to_string()))?,
    };
    let text = |value: Option<&String>, field: &str, most: usize| {
        let text = value.map(|value| {
            text_of_person(value, most).ok_or_else(|| bad(format!("`{field}` has 1 to {most} characters and no NUL")))
        });
        text.transpose()
    };
    let by = text(form.by.as_ref(), "by", MAX_NAME_CHARACTERS)?.unwrap_or_else(|| NOBODY.into());
    let note = text(form.note.as_ref(), "note", MAX_NOTE_CHARACTERS)?;
    let acknowledged = (damage.acknowledge)(&by, note.as_deref())
        .map_err(|error| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "disk", format!("nothing was acknowledged: {error}")))?;
    match acknowledged {
        Some(alert) => Ok(Json(DamageForm::new(Some(alert))).into_response()),
        None => Err(Problem::new(
            StatusCode::CONFLICT,
            "command_refused",
            "no damage of a journal waits for somebody here; where roles are apart, the process with storage knows of it",
        )),
    }
}
