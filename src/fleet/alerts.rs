//! Alerts as the dashboard asks for them: what is open from memory, the rest from the archive; and commands on their way to the lanes.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::Fleet;
use crate::analytics::alerting::CommandRefused;
use crate::analytics::lane::Obeyed;
use crate::domain::{Alert, AlertId, Command, Condition};
use crate::storage::{AlertCursor, AlertHistory, AlertsPage, AlertsQuery, ArchiveError};

type Answer = Pin<Box<dyn Future<Output = Result<Obeyed, CommandFailed>> + Send>>;

/// Takes commands to the lanes. The answer comes once the change is durable.
#[derive(Clone)]
pub struct Commands(Arc<dyn Fn(Command) -> Answer + Send + Sync>);

#[derive(Debug, thiserror::Error)]
pub enum CommandFailed {
    #[error(transparent)]
    Refused(#[from] CommandRefused),
    #[error("the process is stopping; nothing was changed that you were told of")]
    Stopping,
    #[error("the process that keeps alerts cannot be asked: {0}")]
    Away(String),
}

/// Of a person's or team's name.
pub const MAX_NAME_CHARACTERS: usize = 128;
pub const MAX_NOTE_CHARACTERS: usize = 2_000;

/// What somebody wrote, of 1 to `most` characters. PostgreSQL refuses the character 0 for ever.
#[must_use]
pub fn text_of_person(text: &str, most: usize) -> Option<Box<str>> {
    ((1..=most).contains(&text.chars().count()) && !text.contains('\0')).then(|| text.into())
}

impl Commands {
    pub fn new<F>(send: impl Fn(Command) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Obeyed, CommandFailed>> + Send + 'static,
    {
        Self(Arc::new(move |command| Box::pin(send(command))))
    }
}

impl fmt::Debug for Commands {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Commands")
    }
}

impl Fleet {
    /// Newest first. Alerts that are open are as the journal has them, whatever the archive knows.
    ///
    /// # Errors
    /// Where the archive does not answer and the question is not only for open alerts.
    pub async fn alerts(&self, query: &AlertsQuery) -> Result<AlertsPage, ArchiveError> {
        let page = match self.archive.alerts(query).await {
            Ok(page) => page,
            Err(_) if matches!(query.condition, Some(Condition::Active | Condition::Unknown)) => {
                AlertsPage { alerts: Vec::new(), next: None }
            }
            Err(error) => return Err(error),
        };
        Ok(overlay(page, self.open_alerts.all(), query))
    }

    /// # Errors
    /// Where the archive is asked, since the alert is not open, and does not answer.
    pub async fn alert(&self, id: AlertId) -> Result<Option<Alert>, ArchiveError> {
        match self.open_alerts.get(id) {
            Some(alert) => Ok(Some((*alert).clone())),
            None => self.archive.alert(id).await,
        }
    }

    /// Every change of an alert, oldest first.
    ///
    /// # Errors
    /// Where the archive does not answer.
    pub async fn alert_history(&self, id: AlertId) -> Result<Vec<AlertHistory>, ArchiveError> {
        self.archive.alert_history(id).await
    }

    /// All that are not over, in no order.
    #[must_use]
    pub fn open_alerts(&self) -> Vec<Arc<Alert>> {
        self.open_alerts.all()
    }

    /// # Errors
    /// Where the alert cannot be handled so, or the process is stopping.
    pub async fn command(&self, command: Command) -> Result<Obeyed, CommandFailed> {
        (self.commands.0)(command).await
    }
}

/// Puts open alerts into a page of the archive: newer ones in place of older ones, and those that it has not got yet.
fn overlay(page: AlertsPage, open: Vec<Arc<Alert>>, query: &AlertsQuery) -> AlertsPage {
    let AlertsPage { mut alerts, next } = page;
    for newer in open {
        let place = alerts.iter().position(|alert| alert.alert_id == newer.alert_id);
        match place {
            Some(place) if alerts[place].revision < newer.revision => alerts[place] = (*newer).clone(),
            Some(_) => {}
            // Behind the end of this page: a later one has it.
            None if next.is_some_and(|next| next.is_before(&newer)) => {}
            None => alerts.push((*newer).clone()),
        }
    }
    alerts.retain(|alert| query.takes(alert));
    alerts.sort_unstable_by_key(|alert| std::cmp::Reverse(AlertCursor::behind(alert)));
    let has_more = next.is_some() || alerts.len() > query.limit as usize;
    alerts.truncate(query.limit as usize);
    let next = if has_more { alerts.last().map(AlertCursor::behind).or(next) } else { None };
    AlertsPage { alerts, next }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;
    use crate::wire::alert::tests::a_full_alert_event;

    fn opened_at(second: i64, revision: u32) -> Alert {
        let mut alert = a_full_alert_event().alert;
        alert.opened_at = Timestamp::from_micros(second * 1_000_000);
        alert.alert_id = AlertId::of(&alert.vehicle_id, &alert.key, alert.opened_at);
        (alert.condition, alert.revision) = (Condition::Active, revision);
        alert
    }

    fn seconds(page: &AlertsPage) -> Vec<(i64, u32)> {
        page.alerts.iter().map(|alert| (alert.opened_at.as_micros() / 1_000_000, alert.revision)).collect()
    }

    #[test]
    fn what_the_archive_does_not_know_yet_stands_where_it_belongs() {
        let query = AlertsQuery { limit: 3, ..AlertsQuery::default() };
        let page = AlertsPage { alerts: vec![opened_at(50, 0), opened_at(40, 0), opened_at(30, 0)], next: None };
        let open = [opened_at(60, 0), opened_at(40, 2), opened_at(30, 0)].map(Arc::new).to_vec();
        let shown = overlay(page, open.clone(), &query);
        assert_eq!(seconds(&shown), [(60, 0), (50, 0), (40, 2)]);
        // The next page begins behind what this one shows.
        let query = AlertsQuery { after: shown.next, ..query };
        let page = AlertsPage { alerts: vec![opened_at(30, 0)], next: None };
        assert_eq!(seconds(&overlay(page, open, &query)), [(30, 0)]);
    }

    #[test]
    fn an_open_alert_of_a_later_page_waits_for_it() {
        let query = AlertsQuery { limit: 2, ..AlertsQuery::default() };
        let (first, second) = (opened_at(50, 0), opened_at(40, 0));
        let page = AlertsPage { next: Some(AlertCursor::behind(&second)), alerts: vec![first, second] };
        let shown = overlay(page, vec![Arc::new(opened_at(30, 0))], &query);
        assert_eq!((seconds(&shown), shown.next.is_some()), (vec![(50, 0), (40, 0)], true));
    }
}
