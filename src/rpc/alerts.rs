//! `AlertService`: what is open, what changes, what people do.

use std::pin::Pin;

use futures_util::{Stream, stream};
use tonic::{Request, Response, Status};

use super::callers;
use crate::clock;
use crate::domain::{Action, Alert, AlertId, Command, VehicleId, Verdict};
use crate::fleet::{CommandFailed, Fleet, MAX_NAME_CHARACTERS, MAX_NOTE_CHARACTERS, text_of_person};
use crate::live::{Followed, Subscription};
use crate::tasks::{Stop, Tasks};
use crate::wire::live::{alert_change_to_proto, alert_to_proto};
use crate::wire::proto::v1;
use crate::wire::proto::v1::alert_service_server::AlertService;
use crate::wire::proto::v1::alert_stream_message::Kind;
use crate::wire::reading::timestamp_from_proto;

pub(super) struct Alerts {
    pub fleet: Fleet,
    pub tasks: Tasks,
}

#[tonic::async_trait]
impl AlertService for Alerts {
    async fn list_alerts(&self, request: Request<v1::ListAlertsRequest>) -> Result<Response<v1::ListAlertsResponse>, Status> {
        callers::only_services(request.extensions())?;
        let id = request.into_inner().vehicle_id;
        let of = if id.is_empty() { None } else { Some(vehicle(&id)?) };
        let open = self.fleet.open_alerts();
        let chosen = open.iter().filter(|alert| of.as_ref().is_none_or(|id| alert.vehicle_id == *id));
        Ok(Response::new(v1::ListAlertsResponse { alerts: chosen.map(|alert| alert_to_proto(alert)).collect() }))
    }

    type StreamAlertsStream = Pin<Box<dyn Stream<Item = Result<v1::AlertStreamMessage, Status>> + Send>>;

    async fn stream_alerts(
        &self,
        request: Request<v1::StreamAlertsRequest>,
    ) -> Result<Response<Self::StreamAlertsStream>, Status> {
        callers::only_services(request.extensions())?;
        let changes = self.fleet.alert_feed().subscribe(request.into_inner().after);
        let follower = (changes, self.tasks.stop());
        let messages = stream::unfold(follower, async |(mut changes, mut stop): (Subscription, Stop)| {
            let next = tokio::select! {
                next = changes.next() => next,
                () = stop.requested() => return None,
            };
            let kind = match next {
                Followed::Event { sequence, event } => Kind::Change(alert_change_to_proto(sequence, &event)),
                Followed::Missed { sequence } => Kind::MissedUpTo(sequence),
            };
            Some((Ok(v1::AlertStreamMessage { kind: Some(kind) }), (changes, stop)))
        });
        Ok(Response::new(Box::pin(messages)))
    }

    async fn acknowledge_alert(&self, request: Request<v1::AcknowledgeAlertRequest>) -> Result<Response<v1::Alert>, Status> {
        callers::only_services(request.extensions())?;
        let asked = request.into_inner();
        self.command(Asked { alert: &asked.alert_id, vehicle: &asked.vehicle_id, by: &asked.by, note: "" }, Action::Acknowledge)
            .await
    }

    async fn assign_alert(&self, request: Request<v1::AssignAlertRequest>) -> Result<Response<v1::Alert>, Status> {
        callers::only_services(request.extensions())?;
        let asked = request.into_inner();
        let to = text("to", &asked.to, MAX_NAME_CHARACTERS)?;
        self.command(Asked { alert: &asked.alert_id, vehicle: &asked.vehicle_id, by: &asked.by, note: "" }, Action::Assign { to })
            .await
    }

    async fn silence_alert(&self, request: Request<v1::SilenceAlertRequest>) -> Result<Response<v1::Alert>, Status> {
        callers::only_services(request.extensions())?;
        let asked = request.into_inner();
        let until = asked.until.as_ref().and_then(timestamp_from_proto);
        let until = until.filter(|until| *until > clock::now());
        let until = until.ok_or_else(|| Status::invalid_argument("until: a time ahead of now"))?;
        self.command(
            Asked { alert: &asked.alert_id, vehicle: &asked.vehicle_id, by: &asked.by, note: "" },
            Action::Silence { until },
        )
        .await
    }

    async fn resolve_alert(&self, request: Request<v1::ResolveAlertRequest>) -> Result<Response<v1::Alert>, Status> {
        callers::only_services(request.extensions())?;
        let asked = request.into_inner();
        let verdict = match asked.verdict.as_str() {
            "" => None,
            code => Some(
                Verdict::from_code(code)
                    .ok_or_else(|| Status::invalid_argument(format!("verdict: {code:?} is none of confirmed, false_alarm")))?,
            ),
        };
        let who = Asked { alert: &asked.alert_id, vehicle: &asked.vehicle_id, by: &asked.by, note: &asked.note };
        self.command(who, Action::Resolve { verdict }).await
    }
}

struct Asked<'a> {
    alert: &'a str,
    vehicle: &'a str,
    by: &'a str,
    note: &'a str,
}

impl Alerts {
    /// Answered once durable.
    async fn command(&self, asked: Asked<'_>, action: Action) -> Result<Response<v1::Alert>, Status> {
        let alert_id: AlertId =
            asked.alert.parse().map_err(|error| Status::invalid_argument(format!("alert_id {:?}: {error}", asked.alert)))?;
        let command = Command {
            vehicle_id: vehicle(asked.vehicle)?,
            alert_id,
            action,
            by: text("by", asked.by, MAX_NAME_CHARACTERS)?,
            note: if asked.note.is_empty() { None } else { Some(text("note", asked.note, MAX_NOTE_CHARACTERS)?) },
            at: clock::now(),
        };
        let obeyed = self.fleet.command(command).await.map_err(|error| match error {
            CommandFailed::Refused(refused) => Status::failed_precondition(refused.to_string()),
            CommandFailed::Stopping | CommandFailed::Away(_) => Status::unavailable(error.to_string()),
        })?;
        let alert: &Alert = &obeyed.alert;
        Ok(Response::new(alert_to_proto(alert)))
    }
}

fn vehicle(id: &str) -> Result<VehicleId, Status> {
    VehicleId::new(id).map_err(|error| Status::invalid_argument(format!("vehicle_id {id:?}: {error}")))
}

fn text(field: &str, value: &str, most: usize) -> Result<Box<str>, Status> {
    text_of_person(value, most).ok_or_else(|| Status::invalid_argument(format!("{field} has 1 to {most} characters and no NUL")))
}
