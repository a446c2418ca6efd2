//! Tells the alert queue of damaged places of the journal, as an alert of the system itself: it has a key and no vehicle. Finds none, and
//! knows no more of them than the journal does.

use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::sleep;

use super::outbox::{Outbox, OutboxError};
use crate::clock;
use crate::domain::{Handling, Severity, Timestamp};
use crate::journal::{DamageAlert, JournalError, JournalMonitor};
use crate::tasks::Stop;
use crate::wire::alert_json::{SystemEvent, system_cloud_event};

/// As rules and fences have theirs.
pub const KEY: &str = "system:journal_damage";

/// Of the event, in place of a vehicle.
const SUBJECT: &str = "journal";
const RETRY_EVERY: Duration = Duration::from_secs(2);

/// Everything that telling needs; [`Teller::run`] works until the process is to stop.
pub struct Teller {
    pub journal: JournalMonitor,
    /// `None`: nobody is told; what was found is written down all the same, and waits for whoever may be told one day.
    pub outbox: Option<(Outbox, watch::Sender<()>)>,
    pub stop: Stop,
}

#[derive(Debug, thiserror::Error)]
enum TellError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}

/// As `AlertForm` is for a vehicle's.
#[derive(Serialize)]
struct DamageForm<'a> {
    alert_id: &'a str,
    alert_key: &'static str,
    severity: &'static str,
    handling: &'static str,
    summary: String,
    #[serde(flatten)]
    alert: &'a DamageAlert,
}

impl Teller {
    pub async fn run(mut self) {
        let mut changes = self.journal.damage_changes();
        let mut has_failed = false;
        loop {
            changes.mark_unchanged();
            let told = self.tell().await;
            if let Err(error) = &told
                && !has_failed
            {
                tracing::warn!(%error, "damage of the journal is not told of yet; will retry");
            }
            has_failed = told.is_err();
            let wait = async {
                if has_failed {
                    sleep(RETRY_EVERY).await;
                } else {
                    let _journal_is_gone = changes.changed().await;
                }
            };
            tokio::select! {
                () = wait => {}
                () = self.stop.requested() => return,
            }
        }
    }

    async fn tell(&self) -> Result<(), TellError> {
        // It writes and syncs a small file.
        let Some(alert) = tokio::task::block_in_place(|| self.journal.untold_damage())? else { return Ok(()) };
        let Some((outbox, arrived)) = &self.outbox else { return Ok(()) };
        let (id, event) = event(&alert);
        outbox.put_text(&[(id, event)], clock::now()).await?;
        arrived.send_replace(());
        tokio::task::block_in_place(|| self.journal.told_of_damage(alert.revision))?;
        Ok(())
    }
}

/// Id and text; the same for the same revision.
fn event(alert: &DamageAlert) -> (String, String) {
    let alert_id = alert_id(alert.opened_at);
    let (handling, change) = match (alert.is_open(), alert.revision) {
        (false, _) => (Handling::Acknowledged, "acknowledged"),
        (true, 0..=1) => (Handling::New, "opened"),
        (true, _) => (Handling::New, "updated"),
    };
    let id = format!("{alert_id}-{}", alert.revision);
    let data = DamageForm {
        alert_id: &alert_id,
        alert_key: KEY,
        severity: Severity::Critical.code(),
        handling: handling.code(),
        summary: alert.summary(),
        alert,
    };
    let at = alert.acknowledged_at.unwrap_or(alert.last_seen_at);
    let text = system_cloud_event(&SystemEvent { id: &id, change, subject: SUBJECT, at, data });
    (id, text)
}

/// Two journals hardly find their first damage in the same microsecond.
fn alert_id(opened_at: Timestamp) -> String {
    format!("{KEY}:{:016x}", opened_at.as_micros())
}
