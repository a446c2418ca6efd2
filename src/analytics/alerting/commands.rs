//! What a person does to an alert. Who may do it: `dashboard`.

use super::{Episodes, emit, handling_of};
use crate::domain::{Action, Alert, AlertEvent, AlertId, Change, Command, Condition, Handling, Timestamp};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandRefused {
    #[error(
        "this vehicle has no alert {alert_id} that can still be changed; it keeps the open ones and the last few that are over"
    )]
    NoSuchAlert { alert_id: AlertId },
    #[error("alert {alert_id} is resolved already")]
    Resolved { alert_id: AlertId },
    #[error("alert {alert_id} ended at {closed_at}; there is nothing left to silence")]
    Over { alert_id: AlertId, closed_at: Timestamp },
    #[error("silence would end at {until}, which is not after {at}")]
    SilenceInThePast { until: Timestamp, at: Timestamp },
}

impl Episodes {
    /// Repeating what is so already succeeds and changes nothing.
    ///
    /// # Errors
    /// [`CommandRefused`], with everything as before.
    pub fn command(&mut self, command: &Command, events: &mut Vec<AlertEvent>) -> Result<(), CommandRefused> {
        let alert_id = command.alert_id;
        let alert = self.alert_mut(alert_id).ok_or(CommandRefused::NoSuchAlert { alert_id })?;
        let Some(change) = change(alert, command)? else { return Ok(()) };
        if let Some(note) = &command.note {
            alert.note = Some(note.clone());
        }
        alert.handling = if change == Change::Resolved { Handling::Resolved } else { handling_of(alert) };
        emit(alert, change, command.at, events);
        self.closed.retain(|alert| alert.handling != Handling::Resolved);
        Ok(())
    }
}

/// `None`: it is so already.
fn change(alert: &mut Alert, command: &Command) -> Result<Option<Change>, CommandRefused> {
    let alert_id = alert.alert_id;
    let says_more = command.note.is_some() && command.note != alert.note;
    if let Action::Resolve { verdict } = &command.action {
        let is_news = alert.handling != Handling::Resolved || (verdict.is_some() && *verdict != alert.verdict) || says_more;
        alert.verdict = verdict.or(alert.verdict);
        alert.silenced_until = None;
        return Ok(is_news.then_some(Change::Resolved));
    }
    if alert.handling == Handling::Resolved {
        return Err(CommandRefused::Resolved { alert_id });
    }
    match &command.action {
        Action::Acknowledge => {
            let is_news = alert.acknowledged_by.is_none() || says_more;
            alert.acknowledged_by.get_or_insert_with(|| command.by.clone());
            Ok(is_news.then_some(Change::Acknowledged))
        }
        Action::Assign { to } => {
            let is_news = alert.assigned_to.as_ref() != Some(to) || says_more;
            alert.assigned_to = Some(to.clone());
            Ok(is_news.then_some(Change::Assigned))
        }
        Action::Silence { until } => {
            if let (Condition::Cleared, Some(closed_at)) = (alert.condition, alert.closed_at) {
                return Err(CommandRefused::Over { alert_id, closed_at });
            }
            if *until <= command.at {
                return Err(CommandRefused::SilenceInThePast { until: *until, at: command.at });
            }
            let is_news = alert.silenced_until != Some(*until) || says_more;
            alert.silenced_until = Some(*until);
            Ok(is_news.then_some(Change::Silenced))
        }
        Action::Resolve { .. } => unreachable!("answered above"),
    }
}
