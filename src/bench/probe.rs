//! Publish to live: how long until the API shows a reading as its vehicle's newest state.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::http::{Client, HttpError};
use crate::domain::Timestamp;

/// One message that is being sent.
#[derive(Debug)]
pub struct Watched {
    pub vehicle_id: String,
    pub recorded_at_micros: i64,
    pub due: Instant,
}

/// The first question waits this long for the next; later ones wait longer, so that asking stays cheap beside what is measured.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
/// Pauses grow with the time waited: the error stays below one part in this many.
const PAUSE_PART: u32 = 16;
const GIVE_UP_AFTER: Duration = Duration::from_secs(15);

#[derive(Debug, Deserialize)]
struct Vehicle {
    recorded_at: String,
}

pub struct Probe {
    client: Client,
}

impl Probe {
    #[must_use]
    pub fn new(http: SocketAddr) -> Self {
        Self { client: Client::new(http) }
    }

    /// From the moment at which the message was due to the first answer that shows it (or a newer one): at most one pause too long, never too
    /// short. Where it never shows, the time that was waited.
    pub async fn watch(&mut self, watched: &Watched) -> Result<Duration, HttpError> {
        let path = format!("/api/v1/vehicles/{}", watched.vehicle_id);
        loop {
            let answer = self.client.get(&path).await?;
            let waited = watched.due.elapsed();
            if (answer.status == 200 && shows(&answer.body, watched.recorded_at_micros)) || waited > GIVE_UP_AFTER {
                return Ok(waited);
            }
            tokio::time::sleep((waited / PAUSE_PART).max(SHORTEST_PAUSE)).await;
        }
    }
}

fn shows(body: &[u8], recorded_at_micros: i64) -> bool {
    serde_json::from_slice::<Vehicle>(body)
        .ok()
        .and_then(|vehicle| vehicle.recorded_at.parse::<Timestamp>().ok())
        .is_some_and(|recorded_at| recorded_at.as_micros() >= recorded_at_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_state_does_not_show_the_reading() {
        let body = br#"{"vehicle_id":"truck-7","recorded_at":"1970-01-01T00:00:01.5Z","score":null}"#;
        assert!(shows(body, 1_500_000));
        assert!(!shows(body, 1_500_001));
        assert!(!shows(b"{}", 0));
    }
}
