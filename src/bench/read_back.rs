//! Compares what was acknowledged with what the service has stored, through the API that users read.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::exposition::{self, Pages};
use super::http::{Client, HttpError};
use super::ledger::{Ledger, vehicle_id};
use crate::domain::Timestamp;
use crate::metrics;

/// Readings a page.
const PAGE: usize = 1_000;
/// The archive has this long to store what the journal holds.
const DRAIN_WITHIN: Duration = Duration::from_mins(3);
/// The lag is measured by the archive writer itself, between its transactions: only a zero that lasts is one.
const NO_LAG_FOR: Duration = Duration::from_millis(700);
/// A vehicle whose readings are not all there is asked again for so long.
const LAST_CHANCE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum ReadBackError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("readings of {vehicle_id} came in a form that was not expected: {source}")]
    Form { vehicle_id: String, source: serde_json::Error },
    #[error("the archive still lagged {lag_bytes} bytes behind after {DRAIN_WITHIN:?}")]
    Lag { lag_bytes: f64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    pub stored: u64,
    /// Acknowledged and not there.
    pub missing: u64,
    pub stored_twice: u64,
}

#[derive(Debug, Deserialize)]
struct Page {
    readings: Vec<Stored>,
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Stored {
    recorded_at: String,
}

#[derive(Debug, Deserialize)]
struct Quarantine {
    counts: HashMap<String, u64>,
}

/// Waits until the archive has stored everything that is in the journal; returns how long that took.
pub async fn wait_until_stored(pages: &mut Pages) -> Result<Duration, ReadBackError> {
    let since = Instant::now();
    let mut no_lag_since: Option<Instant> = None;
    loop {
        let lag_bytes = exposition::total(&pages.read().await?, metrics::ARCHIVE_LAG_BYTES).unwrap_or(0.0);
        if lag_bytes >= 1.0 {
            no_lag_since = None;
        } else {
            let no_lag_since = *no_lag_since.get_or_insert_with(Instant::now);
            if no_lag_since.elapsed() >= NO_LAG_FOR {
                return Ok(no_lag_since.saturating_duration_since(since));
            }
        }
        if since.elapsed() > DRAIN_WITHIN {
            return Err(ReadBackError::Lag { lag_bytes });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub async fn compare(client: &mut Client, ledger: &Ledger) -> Result<Comparison, ReadBackError> {
    let mut by_vehicle: HashMap<u32, Vec<i64>> = HashMap::new();
    for entry in &ledger.entries {
        by_vehicle.entry(entry.vehicle).or_default().push(entry.recorded_at_micros);
    }
    let mut all = Comparison { stored: 0, missing: 0, stored_twice: 0 };
    let since = Instant::now();
    for (vehicle, acknowledged) in by_vehicle {
        let stored = loop {
            let stored = stored_of(client, &vehicle_id(vehicle)).await?;
            let is_complete = differences(&acknowledged, stored.clone()).0 == 0;
            if is_complete || since.elapsed() > LAST_CHANCE {
                break stored;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        all.stored += stored.len() as u64;
        let (missing, stored_twice) = differences(&acknowledged, stored);
        all.missing += missing;
        all.stored_twice += stored_twice;
    }
    Ok(all)
}

pub async fn quarantined(client: &mut Client) -> Result<u64, ReadBackError> {
    let body = client.get_ok("/api/v1/quarantine").await?;
    let quarantine: Quarantine = serde_json::from_slice(&body)
        .map_err(|source| ReadBackError::Form { vehicle_id: "the quarantine".to_owned(), source })?;
    Ok(quarantine.counts.values().sum())
}

/// What is acknowledged and not stored, and what is stored more than once.
fn differences(acknowledged: &[i64], mut stored: Vec<i64>) -> (u64, u64) {
    stored.sort_unstable();
    let missing = acknowledged.iter().filter(|recorded_at| stored.binary_search(recorded_at).is_err()).count();
    let twice = stored.windows(2).filter(|pair| pair[0] == pair[1]).count();
    (missing as u64, twice as u64)
}

async fn stored_of(client: &mut Client, vehicle_id: &str) -> Result<Vec<i64>, ReadBackError> {
    let mut stored = Vec::new();
    let mut after = String::new();
    loop {
        let body = client.get_ok(&format!("/api/v1/vehicles/{vehicle_id}/readings?limit={PAGE}{after}")).await?;
        let page: Page =
            serde_json::from_slice(&body).map_err(|source| ReadBackError::Form { vehicle_id: vehicle_id.to_owned(), source })?;
        stored
            .extend(page.readings.iter().filter_map(|reading| Some(reading.recorded_at.parse::<Timestamp>().ok()?.as_micros())));
        match page.next_cursor {
            Some(cursor) => after = format!("&cursor={cursor}"),
            None => return Ok(stored),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_missing_and_one_doubled_reading_are_seen() {
        assert_eq!(differences(&[1, 2, 3], vec![3, 1, 3, 9]), (1, 1));
        assert_eq!(differences(&[1, 2, 3], vec![3, 2, 1]), (0, 0));
    }
}
