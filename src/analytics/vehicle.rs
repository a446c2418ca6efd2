//! What a lane knows about one vehicle: its window, its newest assessment, and how all of it is saved. Scores nothing: `lane`.

use std::time::Duration;

use super::alerting::Episodes;
use super::bytes::{ByteReader, Damaged};
use super::checks::CheckMemory;
use super::profile::Profile;
use super::quality::{self, ClockWatch};
use super::sequence::SequenceWatch;
use super::window::{Insertion, SignalLayout, Window, WindowLimits};
use crate::domain::{OpenedBy, Quality, Reading, Timestamp, Timing, VehicleId};

/// ARCHITECTURE, event time.
const DELAYED_AFTER: Duration = Duration::from_mins(5);
const FUTURE_BEYOND: Duration = Duration::from_mins(2);

/// Version of the saved form. Version 1 ended with the window, version 2 before the sequence, version 3 before the profile, version 4
/// before what the rule about the air path remembers; all are read.
pub const STATE_VERSION: u8 = 5;

/// Readings that are stored but in no window (ahead of time, or too late) and are remembered as identities, oldest forgotten first.
/// A vehicle whose clock is wrong sends nothing else, and what it sends twice follows soon after.
const MAX_OUTSIDE: usize = 64;

/// One vehicle's share of a lane's memory.
#[derive(Debug, Clone, Default)]
pub struct Vehicle {
    pub window: Window,
    pub profile: Profile,
    pub memory: CheckMemory,
    pub episodes: Episodes,
    /// `None` before the first reading that moved the window.
    pub heard: Option<Heard>,
    pub sequence: SequenceWatch,
    clock: ClockWatch,
    outside: Vec<(Timestamp, u64)>,
    /// The newest assessment as the journal has it; empty before the first.
    newest_record: Vec<u8>,
    newest_arrival: u64,
    /// Behind the last frame of this vehicle.
    next_arrival: u64,
}

/// The newest reading that moved the window: silence is measured from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heard {
    /// Its configuration is not kept here.
    pub reading: OpenedBy,
    pub received_at: Timestamp,
}

/// Where a reading that is no duplicate belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    pub timing: Timing,
    /// In the window; `None` for readings ahead of time, and for late ones that it does not reach back to.
    pub step: Option<usize>,
    /// The window lost its oldest step for want of memory.
    pub cut: bool,
    pub quality: Quality,
    /// Numbers before its own that had not come yet.
    pub skipped: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("it was written by version {given} of the form, this program reads versions 1 to {STATE_VERSION}")]
    Version { given: u8 },
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

impl Vehicle {
    /// Takes a reading into the window, as far as its time allows; `None` where this very reading came before.
    pub fn place(&mut self, reading: &Reading, limits: &WindowLimits) -> Option<Placed> {
        let identity = (reading.recorded_at, reading.fingerprint);
        if self.window.contains(identity.0, identity.1) || self.outside.contains(&identity) {
            return None;
        }
        let timing = timing_of(reading, self.window.newest());
        let insertion = match timing {
            Timing::Future => Insertion::TooOld,
            Timing::InOrder | Timing::Late | Timing::Delayed => self.window.insert(reading, limits),
        };
        let (step, cut) = match insertion {
            Insertion::Step { step, cut } => (Some(step), cut),
            Insertion::TooOld => (None, false),
        };
        if step.is_none() {
            if self.outside.len() == MAX_OUTSIDE {
                self.outside.remove(0);
            }
            self.outside.push(identity);
        }
        let moves = matches!(timing, Timing::InOrder | Timing::Delayed);
        let numbered = self.sequence.observe(reading, moves);
        let mut quality = Quality::default();
        // Outside of the window nobody knows whether it is a duplicate, and there is nothing to compare it with.
        if let Some(step) = step {
            quality = quality::judge(&self.window, step, reading);
            quality.has_sequence_conflict = numbered.is_conflict;
            quality.is_clock_frozen = self.clock.observe(reading);
        }
        Some(Placed { timing, step, cut, quality, skipped: numbered.skipped })
    }

    /// The reading moved the window forward.
    pub fn hear(&mut self, reading: &Reading, arrival: u64) {
        self.heard = Some(Heard {
            reading: OpenedBy { recorded_at: reading.recorded_at, fingerprint: reading.fingerprint, arrival, configuration: 0 },
            received_at: reading.received_at,
        });
    }

    /// A frame of this vehicle was written.
    pub fn note_arrival(&mut self, arrival: u64) {
        self.next_arrival = arrival + 1;
    }

    /// Whether this state stands for the frame already.
    #[must_use]
    pub const fn has_seen(&self, arrival: u64) -> bool {
        arrival < self.next_arrival
    }

    pub fn set_newest(&mut self, record: &[u8], arrival: u64) {
        self.newest_record.clear();
        self.newest_record.extend_from_slice(record);
        self.newest_arrival = arrival;
    }

    /// The newest assessment, as the journal has it, with its arrival.
    #[must_use]
    pub fn newest(&self) -> Option<(&[u8], u64)> {
        (!self.newest_record.is_empty()).then_some((&*self.newest_record, self.newest_arrival))
    }

    /// Appends the saved form.
    pub fn encode(&self, layout: &SignalLayout, out: &mut Vec<u8>) {
        out.push(STATE_VERSION);
        layout.encode(out);
        out.extend(self.next_arrival.to_le_bytes());
        out.extend(self.newest_arrival.to_le_bytes());
        out.extend(u32::try_from(self.newest_record.len()).expect("a record is far below 4 GiB").to_le_bytes());
        out.extend(&self.newest_record);
        out.extend(u16::try_from(self.outside.len()).expect("at most 64").to_le_bytes());
        for (recorded_at, fingerprint) in &self.outside {
            out.extend(recorded_at.as_micros().to_le_bytes());
            out.extend(fingerprint.to_le_bytes());
        }
        self.window.encode(out);
        self.episodes.encode(out);
        self.memory.encode(out);
        out.push(u8::from(self.heard.is_some()));
        if let Some(heard) = self.heard {
            out.extend(heard.reading.recorded_at.as_micros().to_le_bytes());
            out.extend(heard.reading.fingerprint.to_le_bytes());
            out.extend(heard.reading.arrival.to_le_bytes());
            out.extend(heard.received_at.as_micros().to_le_bytes());
        }
        self.sequence.encode(out);
        self.clock.encode(out);
        self.profile.encode(out);
        self.memory.rules.encode_appended(out);
    }

    /// # Errors
    /// [`StateError`] where `bytes` are not what this version writes.
    pub fn decode(bytes: &[u8], vehicle_id: &VehicleId, today: &SignalLayout) -> Result<Self, StateError> {
        let mut from = ByteReader::new(bytes);
        let given = from.take_u8("version")?;
        if !(1..=STATE_VERSION).contains(&given) {
            return Err(StateError::Version { given });
        }
        let saved = SignalLayout::decode(&mut from)?;
        let mut vehicle = Self {
            next_arrival: from.take_u64("next arrival")?,
            newest_arrival: from.take_u64("newest arrival")?,
            ..Self::default()
        };
        let length = from.take_u32("newest assessment")? as usize;
        vehicle.newest_record = from.take(length, "newest assessment")?.to_vec();
        for _ in 0..from.take_u16("readings outside")?.min(u16::try_from(MAX_OUTSIDE).expect("small")) {
            let recorded_at = Timestamp::from_micros(from.take_i64("readings outside")?);
            vehicle.outside.push((recorded_at, from.take_u64("readings outside")?));
        }
        vehicle.window = Window::decode(&mut from, &saved, today)?;
        if given >= 2 {
            vehicle.episodes = Episodes::decode(&mut from, vehicle_id)?;
            vehicle.memory = CheckMemory::decode(&mut from)?;
            vehicle.heard = (from.take_u8("heard")? != 0).then(|| decode_heard(&mut from)).transpose()?;
        }
        if given >= 3 {
            vehicle.sequence = SequenceWatch::decode(&mut from)?;
            vehicle.clock = ClockWatch::decode(&mut from)?;
        }
        if given >= 4 {
            vehicle.profile = Profile::decode(&mut from, &saved, today)?;
        }
        if given >= 5 {
            vehicle.memory.rules.decode_appended(&mut from)?;
        }
        from.end()?;
        Ok(vehicle)
    }
}

fn decode_heard(from: &mut ByteReader<'_>) -> Result<Heard, Damaged> {
    let recorded_at = Timestamp::from_micros(from.take_i64("heard")?);
    let (fingerprint, arrival) = (from.take_u64("heard")?, from.take_u64("heard")?);
    let reading = OpenedBy { recorded_at, fingerprint, arrival, configuration: 0 };
    let received_at = Timestamp::from_micros(from.take_i64("heard")?);
    Ok(Heard { reading, received_at })
}

fn timing_of(reading: &Reading, newest: Option<Timestamp>) -> Timing {
    if reading.recorded_at > reading.received_at.plus(FUTURE_BEYOND) {
        Timing::Future
    } else if newest.is_some_and(|newest| reading.recorded_at < newest) {
        Timing::Late
    } else if reading.received_at.since(reading.recorded_at) > DELAYED_AFTER {
        Timing::Delayed
    } else {
        Timing::InOrder
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analytics::fixtures::{at, reading_at};
    use crate::domain::{SignalTable, signal};

    fn limits() -> WindowLimits {
        WindowLimits::new(Duration::ZERO, 1 << 16)
    }

    fn received(recorded: i64, received: i64) -> Reading {
        let mut reading = reading_at(recorded, &[(signal::SPEED, 50.0)]);
        reading.received_at = at(received);
        reading
    }

    fn place(vehicle: &mut Vehicle, reading: &Reading) -> Option<(Timing, Option<usize>)> {
        vehicle.place(reading, &limits()).map(|placed| (placed.timing, placed.step))
    }

    #[test]
    fn clocks_decide_where_a_reading_belongs() {
        let mut vehicle = Vehicle::default();
        assert_eq!(place(&mut vehicle, &received(1_000, 1_001)), Some((Timing::InOrder, Some(0))));
        assert_eq!(
            place(&mut vehicle, &received(1_030, 1_330)),
            Some((Timing::InOrder, Some(1))),
            "five minutes are not delayed"
        );
        assert_eq!(place(&mut vehicle, &received(1_060, 1_361)), Some((Timing::Delayed, Some(2))));
        assert_eq!(place(&mut vehicle, &received(1_045, 1_362)), Some((Timing::Late, Some(2))));
        assert_eq!(place(&mut vehicle, &received(400, 1_363)), Some((Timing::Late, None)), "before the window");
        assert_eq!(place(&mut vehicle, &received(1_500, 1_380)), Some((Timing::InOrder, Some(4))), "two minutes ahead are borne");
        assert_eq!(place(&mut vehicle, &received(1_501, 1_380)), Some((Timing::Future, None)));
        assert_eq!(vehicle.window.newest(), Some(at(1_500)), "a future reading moves nothing");
    }

    #[test]
    fn a_reading_that_came_before_is_a_duplicate_whatever_its_time() {
        let mut vehicle = Vehicle::default();
        let readings = [
            received(1_000, 1_001),
            received(1_030, 1_031),
            received(100, 1_032),
            received(9_000, 1_033),
            received(1_015, 1_034),
        ];
        for reading in &readings {
            assert!(vehicle.place(reading, &limits()).is_some());
        }
        for reading in &readings {
            assert_eq!(vehicle.place(reading, &limits()), None);
        }
    }

    #[test]
    fn a_state_of_another_version_or_cut_short_is_refused() {
        let layout = SignalLayout::of(&SignalTable::default());
        let mut vehicle = Vehicle::default();
        vehicle.place(&received(1_000, 1_001), &limits());
        vehicle.place(&received(9_000, 1_001), &limits());
        vehicle.set_newest(b"record", 7);
        vehicle.note_arrival(7);
        vehicle.hear(&received(1_000, 1_001), 7);
        let mut bytes = Vec::new();
        vehicle.encode(&layout, &mut bytes);
        let id = VehicleId::new("truck-7").unwrap();
        let read = Vehicle::decode(&bytes, &id, &layout).unwrap();
        assert_eq!(read.heard, vehicle.heard);
        assert_eq!(read.newest(), Some((&b"record"[..], 7)));
        assert!(read.has_seen(7) && !read.has_seen(8));
        for length in 0..bytes.len() {
            assert!(Vehicle::decode(&bytes[..length], &id, &layout).is_err(), "{length} bytes");
        }
        bytes[0] = STATE_VERSION + 1;
        assert!(Vehicle::decode(&bytes, &id, &layout).unwrap_err().to_string().contains("version 6"));
        let (mut numbers, mut clock, mut profile) = (Vec::new(), Vec::new(), Vec::new());
        vehicle.profile.encode(&mut profile);
        let mut appended = Vec::new();
        vehicle.memory.rules.encode_appended(&mut appended);
        bytes.truncate(bytes.len() - appended.len());
        bytes[0] = 4;
        assert_eq!(Vehicle::decode(&bytes, &id, &layout).unwrap().profile, vehicle.profile, "without a memory of the air path");
        bytes.truncate(bytes.len() - profile.len());
        bytes[0] = 3;
        assert_eq!(Vehicle::decode(&bytes, &id, &layout).unwrap().heard, vehicle.heard, "without a profile");
        vehicle.sequence.encode(&mut numbers);
        vehicle.clock.encode(&mut clock);
        bytes.truncate(bytes.len() - numbers.len() - clock.len());
        bytes[0] = 2;
        let former = Vehicle::decode(&bytes, &id, &layout).unwrap();
        assert_eq!((former.heard, former.sequence), (vehicle.heard, SequenceWatch::default()), "the former version is read");
    }
}
