//! The readings of one track as MQTT messages, each with the moment at which it is due. Sends nothing: `sender`.

use std::iter::Peekable;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Speed;
use super::plan::{Plan, Track};
use crate::domain::{Reading, SignalTable, Timestamp};
use crate::wire::encode::encode_json_message;
use crate::wire::history::{ColumnMap, HistoryError, HistoryReader};

/// Readings that are due together travel as one array, so that a replay is not bound to one reading per round trip.
/// About 12 KiB, far below the receiver's limit of 256 KiB.
const MAX_READINGS_PER_MESSAGE: usize = 32;

pub(super) struct Message {
    pub topic: String,
    pub payload: Bytes,
    /// Index into [`Plan::files`].
    pub file: usize,
    pub readings: u64,
}

pub(super) struct Messages {
    plan: Arc<Plan>,
    track: usize,
    map: Arc<ColumnMap>,
    table: Arc<SignalTable>,
    /// Position in the track's list of files; that one is open.
    position: usize,
    open: Option<Peekable<HistoryReader>>,
    /// The moment, as recorded, of the first reading that this run sends.
    first: Option<Timestamp>,
}

impl Messages {
    pub(super) const fn new(plan: Arc<Plan>, track: usize, map: Arc<ColumnMap>, table: Arc<SignalTable>) -> Self {
        Self { plan, track, map, table, position: 0, open: None, first: None }
    }

    pub(super) fn client_id(&self) -> &str {
        &self.track().client_id
    }

    fn track(&self) -> &Track {
        &self.plan.tracks[self.track]
    }

    /// How long after the start the next message is due; `None` at the end.
    ///
    /// Reads a row or two: microseconds, so that it may stand in an async task.
    pub(super) fn next_due(&mut self) -> Result<Option<Duration>, HistoryError> {
        let Some(moment) = self.next_moment()? else { return Ok(None) };
        let first = *self.first.get_or_insert(moment);
        Ok(Some(due(self.plan.options.speed, first, moment)))
    }

    /// The next message: the next reading, with those after it of the same vehicle that are due after `elapsed` too.
    pub(super) fn next(&mut self, elapsed: Duration) -> Result<Option<Message>, HistoryError> {
        let Some(moment) = self.next_moment()? else { return Ok(None) };
        let first = *self.first.get_or_insert(moment);
        let speed = self.plan.options.speed;
        let shift_micros = self.track().shift_micros;
        let file = self.track().files[self.position];
        let rows = self.open.as_mut().expect("there is a next moment, so a file is open");
        let mut readings: Vec<Reading> = Vec::new();
        while readings.len() < MAX_READINGS_PER_MESSAGE {
            let together = rows.next_if(|row| match (row, readings.first()) {
                (Err(_), _) => false,
                (Ok(_), None) => true,
                (Ok(row), Some(begun)) => {
                    row.reading.vehicle_id == begun.vehicle_id && due(speed, first, row.reading.recorded_at) <= elapsed
                }
            });
            let Some(Ok(row)) = together else { break };
            readings.push(row.reading);
        }
        for reading in &mut readings {
            reading.recorded_at = Timestamp::from_micros(reading.recorded_at.as_micros().saturating_add(shift_micros));
        }
        let topic = format!("vehicles/{}/telemetry", readings[0].vehicle_id);
        let mut payload = Vec::with_capacity(512 * readings.len());
        encode_json_message(&readings, &self.table, &mut payload);
        Ok(Some(Message { topic, payload: payload.into(), file, readings: readings.len() as u64 }))
    }

    /// Of the next reading, as recorded; opens the next file where one has ended.
    fn next_moment(&mut self) -> Result<Option<Timestamp>, HistoryError> {
        loop {
            if let Some(rows) = &mut self.open {
                match rows.peek() {
                    Some(Ok(row)) => return Ok(Some(row.reading.recorded_at)),
                    Some(Err(_)) => {
                        let Some(Err(error)) = rows.next() else { unreachable!("it was peeked at") };
                        return Err(error);
                    }
                    None => {
                        self.open = None;
                        self.position += 1;
                    }
                }
            }
            let Some(&file) = self.track().files.get(self.position) else { return Ok(None) };
            let plan = &self.plan.files[file];
            let reader = HistoryReader::open(&plan.path, &self.map, Arc::clone(&self.table), &self.plan.options.read)?;
            let mut rows = reader.peekable();
            for _ in 0..plan.already_acknowledged {
                rows.next().transpose()?;
            }
            self.open = Some(rows);
        }
    }
}

fn due(speed: Speed, first: Timestamp, moment: Timestamp) -> Duration {
    match speed {
        Speed::Max => Duration::ZERO,
        Speed::Times(factor) => moment.since(first).div_f64(factor),
    }
}
