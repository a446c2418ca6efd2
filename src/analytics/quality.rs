//! Bad data is not a bad vehicle: which signals of a reading cannot be believed, judged from its vehicle's window.
//!
//! A verdict gates what is scored (a signal under a verdict counts as missing) and is shown as such. It never alters what is kept.
//! Out-of-range values never get this far: the decoder moves them to `rejected`.

use std::time::Duration;

use super::bytes::{ByteReader, Damaged};
use super::window::Window;
use crate::domain::{PositionVerdict, Quality, Reading, SignalId, Timestamp, signal};

/// Signals that cannot keep one value to the last digit while a vehicle drives: its drivers, hills and idle control move them.
/// Regulated ones (coolant, voltages) and those that rest for hours (fuel level, tyre pressure, gear) are not among them.
const RESTLESS: [SignalId; 6] = [
    signal::SPEED,
    signal::ENGINE_SPEED,
    signal::ENGINE_LOAD,
    signal::INTAKE_PRESSURE,
    signal::MASS_AIR_FLOW,
    signal::TRACTION_BATTERY_CURRENT,
];

/// The same value this often and this long: beyond any cruise control in the 43 h of real drives under `shared/data` that the thresholds
/// were checked against, at a reading a second and at one every 30 s (`tests/it/quality.rs`): no verdict on 161,871 readings.
const STUCK_READINGS: usize = 10;
const STUCK_FOR: Duration = Duration::from_mins(5);
/// The run of equal values ends at a gap: the engine may have been off in it.
const LONGEST_GAP: Duration = Duration::from_mins(2);
/// "It drives": another restless signal moved by this share of its plausible range within the run.
const MOVED_SHARE: f32 = 0.02;

/// A position may move this fast between two readings, and this far at once (GPS noise, a tunnel's end).
const FASTEST_KM_PER_H: f64 = 350.0;
const JUMP_TOLERANCE_M: f64 = 500.0;
/// A fix that stays the same to the last digit this often and this long while the speed says otherwise is a frozen receiver: noise moves
/// real ones. Receivers give a fix a second, loggers write more rows than that: hence the time.
const FROZEN_POSITIONS: usize = 4;
const FROZEN_FOR: Duration = Duration::from_secs(20);
const FROZEN_ABOVE_KM_PER_H: f32 = 10.0;

/// So many readings of one moment, which took this long to come: no clock is that coarse. A buffer that is sent at once takes no time.
const CLOCK_STANDS_READINGS: u32 = 4;
const CLOCK_STANDS_FOR: Duration = Duration::from_secs(90);

/// Judges the reading that stands in `step` of `window`. Looks only backwards, so that the verdict is the one of its arrival.
#[must_use]
pub fn judge(window: &Window, step: usize, reading: &Reading) -> Quality {
    Quality {
        stuck: stuck_signals(window, step, reading),
        position: if position_jumped(window, step, reading) {
            Some(PositionVerdict::Jump)
        } else {
            position_froze(window, step, reading).then_some(PositionVerdict::Frozen)
        },
        ..Quality::default()
    }
}

/// Whether a vehicle's clock goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockWatch {
    /// The newest moment that it spoke of.
    moment: Timestamp,
    first_received_at: Timestamp,
    readings: u32,
}

impl Default for ClockWatch {
    fn default() -> Self {
        Self { moment: Timestamp::from_micros(i64::MIN), first_received_at: Timestamp::from_micros(0), readings: 0 }
    }
}

impl ClockWatch {
    /// Takes one reading that is no duplicate; returns whether the clock stands.
    pub fn observe(&mut self, reading: &Reading) -> bool {
        if reading.recorded_at > self.moment {
            *self = Self { moment: reading.recorded_at, first_received_at: reading.received_at, readings: 1 };
        } else if reading.recorded_at == self.moment {
            self.readings = self.readings.saturating_add(1);
            let took = reading.received_at.since(self.first_received_at);
            return self.readings >= CLOCK_STANDS_READINGS && took >= CLOCK_STANDS_FOR;
        }
        false
    }

    /// Appends the saved form. Its version stands in the vehicle's state around it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.moment.as_micros().to_le_bytes());
        out.extend(self.first_received_at.as_micros().to_le_bytes());
        out.extend(self.readings.to_le_bytes());
    }

    /// # Errors
    /// `Damaged` where the bytes end too early.
    pub fn decode(from: &mut ByteReader<'_>) -> Result<Self, Damaged> {
        let moment = Timestamp::from_micros(from.take_i64("clock")?);
        let first_received_at = Timestamp::from_micros(from.take_i64("clock")?);
        Ok(Self { moment, first_received_at, readings: from.take_u32("clock")? })
    }
}

/// One bit per stuck signal.
fn stuck_signals(window: &Window, step: usize, reading: &Reading) -> u64 {
    let mut stuck = 0;
    for id in RESTLESS {
        let Some(value) = reading.signals.get(id) else { continue };
        // Zero is where a sensor of a standing vehicle rests, and where a broken wire reads: other checks see that.
        let Some(first) = (value != 0.0).then(|| first_of_equal_run(window, step, id, value)).flatten() else { continue };
        if RESTLESS.into_iter().any(|other| other != id && moved(window, first, step, other)) {
            stuck |= 1 << id.index();
        }
    }
    stuck
}

/// The first step of the run of equal values that ends in `step`, if the run is long enough to say something.
fn first_of_equal_run(window: &Window, step: usize, id: SignalId, value: f32) -> Option<usize> {
    let (mut first, mut readings) = (step, 1);
    for earlier in (0..step).rev() {
        let Some(other) = window.signal_at(id, earlier) else { continue };
        #[expect(clippy::float_cmp, reason = "stuck means equal to the last digit")]
        let differs = other != value;
        if differs {
            break;
        }
        if window.recorded_at(first).since(window.recorded_at(earlier)) > LONGEST_GAP {
            break;
        }
        (first, readings) = (earlier, readings + 1);
        let is_long = readings >= STUCK_READINGS && window.recorded_at(step).since(window.recorded_at(first)) >= STUCK_FOR;
        if is_long {
            return Some(first);
        }
    }
    None
}

fn moved(window: &Window, from: usize, to: usize, id: SignalId) -> bool {
    let Some(run) = window.signal(id, from, to + 1) else { return false };
    let (low, high) = run
        .iter()
        .filter(|value| !value.is_nan())
        .fold((f32::MAX, f32::MIN), |(low, high), value| (low.min(value), high.max(value)));
    let plausible = signal::SIGNALS[id.index()].plausible;
    #[expect(clippy::cast_possible_truncation, reason = "a share of a range needs no more digits")]
    let range = (plausible.1 - plausible.0) as f32;
    high - low > MOVED_SHARE * range
}

fn position_jumped(window: &Window, step: usize, reading: &Reading) -> bool {
    let Some(position) = &reading.position else { return false };
    let Some(previous) = (0..step).rev().take(FROZEN_POSITIONS).find(|earlier| window.position_at(*earlier).is_some()) else {
        return false;
    };
    let Some(before) = window.position_at(previous) else { return false };
    let seconds = window.recorded_at(step).seconds_since(window.recorded_at(previous));
    position.distance_m(&before) > JUMP_TOLERANCE_M + FASTEST_KM_PER_H / 3.6 * seconds
}

fn position_froze(window: &Window, step: usize, reading: &Reading) -> bool {
    let Some(position) = &reading.position else { return false };
    let drives = |step: usize| window.signal_at(signal::SPEED, step).is_some_and(|speed| speed > FROZEN_ABOVE_KM_PER_H);
    #[expect(clippy::float_cmp, reason = "frozen means equal to the last digit")]
    let is_same = |step: usize| {
        window
            .position_at(step)
            .is_some_and(|other| other.latitude() == position.latitude() && other.longitude() == position.longitude())
    };
    if !drives(step) {
        return false;
    }
    let mut same = 1;
    for earlier in (0..step).rev() {
        if !is_same(earlier) || !drives(earlier) {
            break;
        }
        same += 1;
        let lasted = window.recorded_at(step).since(window.recorded_at(earlier));
        if same >= FROZEN_POSITIONS && lasted >= FROZEN_FOR {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analytics::fixtures::{at, reading_at};
    use crate::analytics::window::WindowLimits;
    use crate::domain::Position;

    fn verdicts(readings: &[Reading]) -> Vec<Quality> {
        let limits = WindowLimits::new(Duration::ZERO, 1 << 16);
        let mut window = Window::default();
        let judged = readings.iter().map(|reading| {
            let crate::analytics::window::Insertion::Step { step, .. } = window.insert(reading, &limits) else {
                panic!("too old")
            };
            judge(&window, step, reading)
        });
        judged.collect()
    }

    /// A reading each 30 s with engine load `load`, while the speed is what `speed` says.
    fn drive(steps: i64, load: impl Fn(i64) -> f32, speed: impl Fn(i64) -> f32) -> Vec<Reading> {
        let reading = |step: i64| reading_at(step * 30, &[(signal::ENGINE_LOAD, load(step)), (signal::SPEED, speed(step))]);
        (0..steps).map(reading).collect()
    }

    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn rising(step: i64) -> f32 {
        40.0 + step as f32
    }

    #[test]
    fn a_signal_that_stands_while_the_vehicle_drives_is_stuck_after_five_minutes() {
        let stuck: Vec<u64> = verdicts(&drive(13, |_| 41.5, rising)).iter().map(|quality| quality.stuck).collect();
        let bit = 1 << signal::ENGINE_LOAD.index();
        assert_eq!(stuck, [[0; 10].as_slice(), &[bit; 3]].concat());
    }

    #[test]
    fn a_signal_that_stands_with_the_vehicle_or_rests_at_zero_is_not_stuck() {
        assert!(verdicts(&drive(40, |_| 41.5, |_| 50.0)).iter().all(Quality::is_good));
        assert!(verdicts(&drive(40, |_| 0.0, rising)).iter().all(Quality::is_good));
        let once_more = |step| if step == 8 { 41.6 } else { 41.5 };
        assert!(verdicts(&drive(15, once_more, rising)).iter().all(Quality::is_good));
    }

    #[test]
    fn a_run_of_equal_values_ends_at_a_gap() {
        let mut readings = drive(20, |_| 41.5, rising);
        for reading in &mut readings[7..] {
            reading.recorded_at = reading.recorded_at.plus(Duration::from_secs(100));
        }
        let first = verdicts(&readings).iter().position(|quality| quality.stuck != 0);
        assert_eq!(first, Some(17), "5 min after the gap");
    }

    fn placed(seconds: i64, metres_north: f64, speed: f32) -> Reading {
        let mut reading = reading_at(seconds, &[(signal::SPEED, speed)]);
        reading.position = Some(Position::new(49.0 + metres_north / 111_195.0, 8.0).unwrap());
        reading
    }

    #[test]
    fn a_position_that_nothing_could_drive_to_is_a_jump_there_and_back() {
        let readings = [
            placed(0, 0.0, 90.0),
            placed(30, 700.0, 90.0),
            placed(60, 9_000.0, 90.0),
            placed(90, 2_000.0, 90.0),
            placed(120, 2_700.0, 90.0),
        ];
        let positions: Vec<_> = verdicts(&readings).iter().map(|quality| quality.position).collect();
        let jump = Some(PositionVerdict::Jump);
        assert_eq!(positions, [None, None, jump, jump, None]);
    }

    #[test]
    fn a_position_that_stands_while_the_speed_does_not_is_frozen() {
        let drives: Vec<_> = (0..6).map(|step| placed(step * 30, 100.0, 50.0)).collect();
        let positions: Vec<_> = verdicts(&drives).iter().map(|quality| quality.position).collect();
        let frozen = Some(PositionVerdict::Frozen);
        assert_eq!(positions, [None, None, None, frozen, frozen, frozen]);
        let stands: Vec<_> = (0..9).map(|step| placed(step * 30, 100.0, 2.0)).collect();
        assert!(verdicts(&stands).iter().all(Quality::is_good));
        let rows_of_one_fix: Vec<_> = (0..9).map(|step| placed(step, 100.0, 50.0)).collect();
        assert!(verdicts(&rows_of_one_fix).iter().all(Quality::is_good));
    }

    #[test]
    fn a_clock_stands_when_it_says_the_same_time_for_long_and_not_when_a_buffer_comes_at_once() {
        let said = |recorded: i64, received: i64| Reading {
            received_at: at(received),
            recorded_at: at(recorded),
            ..reading_at(recorded, &[])
        };
        let mut watch = ClockWatch::default();
        let mut stands = |recorded, received| watch.observe(&said(recorded, received));
        assert!((0..9).all(|_| !stands(100, 200)), "all at once");
        assert!(!stands(130, 230) && !stands(130, 260) && !stands(130, 290));
        assert!(stands(130, 320) && stands(130, 350));
        assert!(!stands(100, 380), "a late one says nothing of the clock");
        assert!(!stands(160, 410));
    }
}
