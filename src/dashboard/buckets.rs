//! The history of a vehicle summed up: what is asked with `every`, and the answer.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::api::A_CURSOR;
use super::forms::ReadingsForm;
use super::parameters::Parameters;
use super::problem::Problem;
use crate::clock;
use crate::domain::signal::ODOMETER;
use crate::domain::{SignalTable, Timestamp, VehicleId};
use crate::settings::Interval;
use crate::storage::{Bucket, BucketLength, BucketsPage, BucketsQuery, Summary};
use crate::wire::schemas;

/// As many as a chart has pixels.
const MOST_BUCKETS: u64 = 2_000;
const A_LENGTH: &str = "a whole number of seconds or more, such as 30s, 15m, 1h or 1d";

/// What `every` asks for; `None` without it.
pub fn query(
    parameters: &Parameters,
    vehicle_id: &VehicleId,
    range: (Option<Timestamp>, Option<Timestamp>),
    limit: u32,
) -> Result<Option<BucketsQuery>, Problem> {
    let Some(interval) = parameters.get::<Interval>("every", A_LENGTH)? else { return Ok(None) };
    let bad = |what: String| Problem::bad_parameter(format!("`every` = {interval} {what}"));
    let every = BucketLength::new(interval.duration()).ok_or_else(|| bad(format!("is not {A_LENGTH}")))?;
    let (from, to) = range;
    let from = from.ok_or_else(|| bad("needs `from`, so that there is an end to the buckets".to_owned()))?;
    let to = to.unwrap_or_else(clock::now);
    let buckets = every.count(from, to);
    if buckets > MOST_BUCKETS {
        return Err(bad(format!(
            "is too short for this range: {buckets} buckets, at most {MOST_BUCKETS} are given; ask for longer ones or for less"
        )));
    }
    let next = parameters.get("cursor", A_CURSOR)?;
    Ok(Some(BucketsQuery { vehicle_id: vehicle_id.clone(), from, to, every, next, limit }))
}

/// Readings, or with `every` buckets.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "for the description: each is written by itself")]
pub enum History<'a> {
    Readings(ReadingsForm<'a>),
    Buckets(BucketsForm<'a>),
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Buckets)]
pub struct BucketsForm<'a> {
    /// Oldest first, without those that have no readings.
    buckets: Vec<BucketForm<'a>>,
    /// `null`: there are no more.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// The readings that a vehicle recorded within one bucket of time, summed up.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Bucket)]
struct BucketForm<'a> {
    /// A multiple of `every` since 1970. The bucket ends where the next begins; `from` and `to` may cut the first and the last.
    start: Timestamp,
    readings: u64,
    /// The highest; `null`: none was scored.
    #[schema(required)]
    score: Option<f32>,
    /// By name, those that some reading had.
    #[schema(value_type = schemas::SignalSummaries)]
    signals: Signals<'a>,
}

#[derive(Debug)]
struct Signals<'a>(&'a Summary, &'a SignalTable);

/// f32 as signals are, in its shortest form; f64 as the odometer is.
#[derive(Debug, Serialize)]
struct SignalForm<T> {
    mean: T,
    min: T,
    max: T,
}

impl<'a> BucketsForm<'a> {
    pub fn new(page: &'a BucketsPage, table: &'a SignalTable) -> Self {
        let form = |bucket: &'a Bucket| BucketForm {
            start: bucket.start,
            readings: bucket.summary.readings,
            score: bucket.summary.highest_score,
            signals: Signals(&bucket.summary, table),
        };
        Self { buckets: page.buckets.iter().map(form).collect(), next_cursor: page.next.map(|cursor| cursor.to_string()) }
    }
}

impl Serialize for Signals<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(summary, table) = self;
        let mut map = serializer.serialize_map(Some(summary.signals.len()))?;
        for (id, signal) in &summary.signals {
            let name = table.get(*id).name;
            let (mean, min, max) = (signal.mean, signal.min, signal.max);
            if *id == ODOMETER {
                map.serialize_entry(name, &SignalForm { mean, min, max })?;
            } else {
                #[expect(clippy::cast_possible_truncation, reason = "signals are f32")]
                let [mean, min, max] = [mean, min, max].map(|value| value as f32);
                map.serialize_entry(name, &SignalForm { mean, min, max })?;
            }
        }
        map.end()
    }
}
