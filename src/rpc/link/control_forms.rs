//! What people want of the lanes, between its domain form and protobuf.

use crate::analytics::alerting::CommandRefused;
use crate::analytics::lane::Obeyed;
use crate::domain::{Action, AlertId, Command, Timestamp, VehicleId, Verdict};
use crate::fleet::FencesRefused;
use crate::wire::proto::link::v1 as link;
use crate::wire::proto::link::v1::{command_request, command_response, put_fences_response};
use crate::wire::record::{alert_event_record, alert_record, decode_alert_event};

pub(super) fn command_from_proto(from: link::CommandRequest) -> Result<Command, String> {
    let action = match from.action.ok_or("a command without an action")? {
        command_request::Action::Acknowledge(_) => Action::Acknowledge,
        command_request::Action::Assign(assign) => Action::Assign { to: assign.to.into() },
        command_request::Action::Silence(silence) => Action::Silence { until: Timestamp::from_micros(silence.until_micros) },
        command_request::Action::Resolve(resolve) if resolve.verdict.is_empty() => Action::Resolve { verdict: None },
        command_request::Action::Resolve(resolve) => {
            Action::Resolve { verdict: Some(Verdict::from_code(&resolve.verdict).ok_or("an unknown verdict")?) }
        }
    };
    Ok(Command {
        vehicle_id: VehicleId::new(&from.vehicle_id).map_err(|error| error.to_string())?,
        alert_id: AlertId::from_number(from.alert_id),
        action,
        by: from.by.into(),
        note: from.note.map(Into::into),
        at: Timestamp::from_micros(from.at_micros),
    })
}

pub(super) fn command_from_domain(from: &Command) -> link::CommandRequest {
    let action = match &from.action {
        Action::Acknowledge => command_request::Action::Acknowledge(link::Acknowledge {}),
        Action::Assign { to } => command_request::Action::Assign(link::Assign { to: to.to_string() }),
        Action::Silence { until } => command_request::Action::Silence(link::Silence { until_micros: until.as_micros() }),
        Action::Resolve { verdict } => {
            command_request::Action::Resolve(link::Resolve { verdict: verdict.map_or("", Verdict::code).to_owned() })
        }
    };
    link::CommandRequest {
        vehicle_id: from.vehicle_id.to_string(),
        alert_id: from.alert_id.number(),
        action: Some(action),
        by: from.by.to_string(),
        note: from.note.as_ref().map(ToString::to_string),
        at_micros: from.at.as_micros(),
    }
}

pub(super) fn command_to_proto(answer: Result<Obeyed, CommandRefused>) -> link::CommandResponse {
    let answer = match answer {
        Ok(Obeyed { event: Some(event), .. }) => command_response::Answer::Event(alert_event_record(&event)),
        Ok(Obeyed { event: None, alert }) => command_response::Answer::Unchanged(alert_record(alert)),
        Err(refused) => {
            let (reason, moment) = match refused {
                CommandRefused::NoSuchAlert { .. } => (NO_SUCH_ALERT, None),
                CommandRefused::Resolved { .. } => (RESOLVED, None),
                CommandRefused::Over { closed_at, .. } => (OVER, Some(closed_at)),
                CommandRefused::SilenceInThePast { until, .. } => (SILENCE_IN_THE_PAST, Some(until)),
            };
            let moment_micros = moment.map_or(0, Timestamp::as_micros);
            command_response::Answer::Refused(link::Refused { reason: reason.to_owned(), moment_micros })
        }
    };
    link::CommandResponse { answer: Some(answer) }
}

const NO_SUCH_ALERT: &str = "no_such_alert";
const RESOLVED: &str = "resolved";
const OVER: &str = "over";
const SILENCE_IN_THE_PAST: &str = "silence_in_the_past";

/// `Err`: the answer is none of this version.
pub(super) fn command_answer(from: link::CommandResponse, command: &Command) -> Result<Result<Obeyed, CommandRefused>, String> {
    let strange = || "the answer is none of this version".to_owned();
    let event = |record: &[u8]| decode_alert_event(record).map_err(|_| strange());
    let alert_id = command.alert_id;
    Ok(match from.answer.ok_or_else(strange)? {
        command_response::Answer::Event(record) => {
            let event = event(&record)?;
            Ok(Obeyed { alert: event.alert.clone(), event: Some(event) })
        }
        command_response::Answer::Unchanged(record) => Ok(Obeyed { alert: event(&record)?.alert, event: None }),
        command_response::Answer::Refused(link::Refused { reason, moment_micros }) => {
            let moment = Timestamp::from_micros(moment_micros);
            Err(match reason.as_str() {
                NO_SUCH_ALERT => CommandRefused::NoSuchAlert { alert_id },
                RESOLVED => CommandRefused::Resolved { alert_id },
                OVER => CommandRefused::Over { alert_id, closed_at: moment },
                SILENCE_IN_THE_PAST => CommandRefused::SilenceInThePast { until: moment, at: command.at },
                _ => return Err(strange()),
            })
        }
    })
}

pub(super) fn fences_to_proto(answer: Result<u64, FencesRefused>) -> link::PutFencesResponse {
    let answer = match answer {
        Ok(revision) => put_fences_response::Answer::Revision(revision),
        Err(FencesRefused::Files) => put_fences_response::Answer::AreFiles(true),
        Err(FencesRefused::Mistakes(text)) => put_fences_response::Answer::Mistakes(text),
        Err(FencesRefused::NotKept(text) | FencesRefused::Away(text)) => put_fences_response::Answer::NotKept(text),
    };
    link::PutFencesResponse { answer: Some(answer) }
}

pub(super) fn fences_answer(from: link::PutFencesResponse) -> Result<u64, FencesRefused> {
    match from.answer {
        Some(put_fences_response::Answer::Revision(revision)) => Ok(revision),
        Some(put_fences_response::Answer::AreFiles(_)) => Err(FencesRefused::Files),
        Some(put_fences_response::Answer::Mistakes(text)) => Err(FencesRefused::Mistakes(text)),
        Some(put_fences_response::Answer::NotKept(text)) => Err(FencesRefused::NotKept(text)),
        None => Err(FencesRefused::Away("the answer is none of this version".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::alert::tests::a_full_alert_event;

    #[test]
    fn commands_and_their_answers_come_through_as_they_are() {
        let event = a_full_alert_event();
        let (alert_id, at) = (event.alert.alert_id, Timestamp::from_micros(1_764_000_000_000_001));
        let until = Timestamp::from_micros(1_764_000_000_000_000);
        let actions = [
            Action::Acknowledge,
            Action::Assign { to: "night shift".into() },
            Action::Silence { until },
            Action::Resolve { verdict: None },
            Action::Resolve { verdict: Some(Verdict::FalseAlarm) },
        ];
        for action in actions {
            for note in [None, Some("seen".into())] {
                let vehicle_id = event.alert.vehicle_id.clone();
                let command = Command { vehicle_id, alert_id, action: action.clone(), by: "ada".into(), note, at };
                assert_eq!(command_from_proto(command_from_domain(&command)), Ok(command.clone()));
                let answers = [
                    Ok(Obeyed { alert: event.alert.clone(), event: Some(event.clone()) }),
                    Ok(Obeyed { alert: event.alert.clone(), event: None }),
                    Err(CommandRefused::NoSuchAlert { alert_id }),
                    Err(CommandRefused::Resolved { alert_id }),
                    Err(CommandRefused::Over { alert_id, closed_at: until }),
                    Err(CommandRefused::SilenceInThePast { until, at }),
                ];
                for answer in answers {
                    assert_eq!(command_answer(command_to_proto(answer.clone()), &command), Ok(answer));
                }
            }
        }
    }
}
