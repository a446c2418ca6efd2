//! Alerts below `/api/v1/alerts`: listed, shown with their history, and handled.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use super::alert_forms::{
    AlertForm, AlertGroupForm, AlertGroupsForm, AlertHistoryForm, AlertWithHistoryForm, AlertsForm, CommandedForm,
};
use super::api::{A_CURSOR, A_TIME, vehicle_id};
use super::forms::ReadingsForm;
use super::parameters::Parameters;
use super::problem::Problem;
use crate::analytics::alerting::common_cause::{FLOOD, common_causes};
use crate::clock;
use crate::domain::{Action, Alert, AlertId, Command, Condition, Handling, Timestamp, VehicleId, Verdict};
use crate::fleet::{CommandFailed, Fleet, MAX_NAME_CHARACTERS, MAX_NOTE_CHARACTERS, text_of_person};
use crate::settings::Interval;
use crate::storage::{AlertsQuery, ReadingsPage, ReadingsQuery};

const MOST_ALERTS: u32 = 1_000;
/// Of a recording; the rest is found with /vehicles/{id}/readings and its cursor.
const MOST_RECORDED: u32 = 1_000;
const RECORDED_BEFORE: Duration = Duration::from_mins(15);
const RECORDED_AFTER: Duration = Duration::from_mins(5);
/// Without an account nobody has a name.
pub(super) const NOBODY: &str = "operator";
const LONGEST_SILENCE: Duration = Duration::from_hours(30 * 24);

/// What may stand in the body of a command; which of it depends on the command.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = Command)]
struct CommandForm {
    /// Who.
    by: Option<String>,
    note: Option<String>,
    /// Assign: to whom.
    to: Option<String>,
    /// Silence: for how long, such as `2h`, at most 30 days.
    #[schema(value_type = Option<String>)]
    duration: Option<Interval>,
    /// Resolve.
    #[schema(value_type = Option<Verdict>)]
    verdict: Option<String>,
}

/// Alerts, newest first.
#[utoipa::path(get, path = "/alerts", operation_id = "alerts", params(
    ("condition" = Option<Condition>, Query, description = "What the vehicle does"),
    ("handling" = Option<Handling>, Query, description = "What people did"),
    ("vehicle_id" = Option<VehicleId>, Query, description = "Of this vehicle"),
    ("from" = Option<Timestamp>, Query, description = "Not before"),
    ("to" = Option<Timestamp>, Query, description = "Before"),
    ("limit" = Option<u32>, Query, description = "At most so many"),
    ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
), responses((status = OK, body = AlertsForm)))]
pub async fn list(State(fleet): State<Fleet>, parameters: Parameters) -> Result<Response, Problem> {
    let parameters = parameters.only(&["condition", "handling", "vehicle_id", "from", "to", "limit", "cursor"])?;
    let vehicle: Option<String> = parameters.get("vehicle_id", "a vehicle id")?;
    let query = AlertsQuery {
        vehicle_id: vehicle.as_deref().map(vehicle_id).transpose()?,
        condition: code(&parameters, "condition", Condition::from_code, Condition::ALL.iter().map(|known| known.code()))?,
        handling: code(&parameters, "handling", Handling::from_code, Handling::ALL.iter().map(|known| known.code()))?,
        from: parameters.get("from", A_TIME)?,
        to: parameters.get("to", A_TIME)?,
        after: parameters.get("cursor", A_CURSOR)?,
        limit: parameters.limit(MOST_ALERTS)?,
    };
    let page = fleet.alerts(&query).await?;
    let alerts = page.alerts.iter().map(AlertForm::new).collect();
    Ok(Json(AlertsForm { alerts, next_cursor: page.next.map(|cursor| cursor.to_string()) }).into_response())
}

/// One alert with its history.
#[utoipa::path(get, path = "/alerts/{id}", operation_id = "alert", params(("id" = String, Path)), responses((status = OK, body = AlertWithHistoryForm)))]
pub async fn show(State(fleet): State<Fleet>, Path(id): Path<String>, parameters: Parameters) -> Result<Response, Problem> {
    parameters.only(&[])?;
    let alert = find(&fleet, &id).await?;
    // Without the archive the alert is still shown, its past is not.
    let history = fleet.alert_history(alert.alert_id).await.unwrap_or_default();
    let history = history.iter().map(AlertHistoryForm::new).collect();
    Ok(Json(AlertWithHistoryForm { alert: AlertForm::new(&alert), history }).into_response())
}

/// Open alerts of many vehicles that probably have one cause.
#[utoipa::path(get, path = "/alerts/groups", operation_id = "alert_groups", responses((status = OK, body = AlertGroupsForm)))]
pub async fn groups(State(fleet): State<Fleet>, parameters: Parameters) -> Result<Response, Problem> {
    parameters.only(&[])?;
    let open = fleet.open_alerts();
    let groups = common_causes(open.iter().map(|alert| &**alert), &FLOOD);
    Ok(Json(AlertGroupsForm { groups: groups.iter().map(AlertGroupForm::new).collect() }).into_response())
}

/// The flight recorder: what the vehicle said from a while before the alert opened until a while after it was last seen.
#[utoipa::path(get, path = "/alerts/{id}/recording", params(("id" = String, Path)), responses((status = OK, body = ReadingsForm)))]
pub async fn recording(State(fleet): State<Fleet>, Path(id): Path<String>, parameters: Parameters) -> Result<Response, Problem> {
    parameters.only(&[])?;
    let alert = find(&fleet, &id).await?;
    let query = ReadingsQuery {
        vehicle_id: alert.vehicle_id.clone(),
        from: Some(alert.opened_at.minus(RECORDED_BEFORE)),
        to: Some(alert.last_seen_at.plus(RECORDED_AFTER)),
        after: None,
        limit: MOST_RECORDED,
    };
    let page = fleet.readings(&query).await?.unwrap_or(ReadingsPage { readings: Vec::new(), next: None });
    Ok(Json(ReadingsForm::new(&page, fleet.table())).into_response())
}

/// Acknowledges, assigns, silences or resolves an alert; answered once durable.
#[utoipa::path(post, path = "/alerts/{id}/{action}", params(
    ("id" = String, Path),
    ("action" = String, Path, description = "acknowledge, assign, silence or resolve"),
), request_body = Option<CommandForm>, responses((status = OK, body = CommandedForm)))]
pub async fn command(
    State(fleet): State<Fleet>,
    Path((id, action)): Path<(String, String)>,
    parameters: Parameters,
    body: Bytes,
) -> Result<Response, Problem> {
    parameters.only(&[])?;
    let form: CommandForm = match &*body {
        [] => CommandForm::default(),
        body => serde_json::from_slice(body).map_err(|error| bad_command(error.to_string()))?,
    };
    let now = clock::now();
    let action = form.action(&action, now)?;
    let by = CommandForm::text(form.by.as_ref(), "by", MAX_NAME_CHARACTERS)?.unwrap_or_else(|| NOBODY.into());
    let note = CommandForm::text(form.note.as_ref(), "note", MAX_NOTE_CHARACTERS)?;
    let alert = find(&fleet, &id).await?;
    let command = Command { vehicle_id: alert.vehicle_id, alert_id: alert.alert_id, action, by, note, at: now };
    let obeyed = fleet.command(command).await?;
    Ok(Json(CommandedForm { changed: obeyed.event.is_some(), alert: AlertForm::new(&obeyed.alert) }).into_response())
}

impl CommandForm {
    fn action(&self, name: &str, now: Timestamp) -> Result<Action, Problem> {
        let given = [
            ("to", self.to.is_some(), "assign"),
            ("duration", self.duration.is_some(), "silence"),
            ("verdict", self.verdict.is_some(), "resolve"),
        ];
        if let Some((field, _, only)) = given.iter().find(|(_, is_given, only)| *is_given && *only != name) {
            return Err(bad_command(format!("`{field}` belongs to {only}, not to {name}")));
        }
        match name {
            "acknowledge" => Ok(Action::Acknowledge),
            "assign" => {
                let to = Self::text(self.to.as_ref(), "to", MAX_NAME_CHARACTERS)?;
                Ok(Action::Assign { to: to.ok_or_else(|| bad_command("assign needs `to`, the name of a person or team"))? })
            }
            "silence" => {
                let duration = self.duration.ok_or_else(|| bad_command("silence needs `duration`, such as \"2h\""))?.duration();
                if duration > LONGEST_SILENCE {
                    return Err(bad_command("a silence lasts at most 30 days"));
                }
                Ok(Action::Silence { until: now.plus(duration) })
            }
            "resolve" => {
                let verdict = self.verdict.as_deref().map(|code| {
                    Verdict::from_code(code)
                        .ok_or_else(|| bad_command(format!("`verdict` = {code:?} is none of confirmed, false_alarm")))
                });
                Ok(Action::Resolve { verdict: verdict.transpose()? })
            }
            other => {
                Err(Problem::not_found(format!("no command {other:?}; an alert takes acknowledge, assign, silence, resolve")))
            }
        }
    }

    fn text(value: Option<&String>, field: &str, most: usize) -> Result<Option<Box<str>>, Problem> {
        let Some(value) = value else { return Ok(None) };
        let text = text_of_person(value, most);
        text.map(Some).ok_or_else(|| bad_command(format!("`{field}` has 1 to {most} characters and no NUL")))
    }
}

async fn find(fleet: &Fleet, id: &str) -> Result<Alert, Problem> {
    let id: AlertId = id.parse().map_err(|error: crate::domain::AlertIdError| Problem::bad_parameter(error.to_string()))?;
    fleet.alert(id).await?.ok_or_else(|| Problem::not_found(format!("no alert {id}")))
}

fn code<T>(
    parameters: &Parameters,
    name: &str,
    from_code: fn(&str) -> Option<T>,
    known: impl Iterator<Item = &'static str>,
) -> Result<Option<T>, Problem> {
    let Some(text) = parameters.get::<String>(name, "a code")? else { return Ok(None) };
    let unknown = || Problem::bad_parameter(format!("`{name}` = {text:?} is none of {}", known.collect::<Vec<_>>().join(", ")));
    from_code(&text).map(Some).ok_or_else(unknown)
}

fn bad_command(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad_command", detail)
}

impl From<CommandFailed> for Problem {
    fn from(error: CommandFailed) -> Self {
        match error {
            CommandFailed::Refused(refused) => Self::new(StatusCode::CONFLICT, "command_refused", refused.to_string()),
            CommandFailed::Stopping => Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", error.to_string()),
            CommandFailed::Away(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "analytics_unavailable", error.to_string()),
        }
    }
}
