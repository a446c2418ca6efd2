//! The faults that sit in sensors, wires and receivers: what they make of a reading that a healthy vehicle gave, simulated or real.

use super::faults::{self, Fault};
use super::illness::Illness;
use super::random::Random;
use super::sensors::{moved, step};
use crate::domain::{Position, Reading, Timestamp, signal as s};

/// Share of readings that jump while the receiver is faulty.
const GPS_JUMP_SHARE: f32 = 0.35;

/// What one illness needs to remember between readings.
#[derive(Debug, Clone, Default)]
pub struct Distortion {
    /// What a stuck sensor shows.
    held: Option<f32>,
    held_position: Option<Position>,
}

impl Distortion {
    /// Changes nothing before the illness began. The fingerprint is the receiver's to compute.
    pub fn apply(&mut self, illness: &Illness, now: Timestamp, random: &mut Random, into: &mut Reading) {
        if !illness.is_active() {
            return;
        }
        let (target, other) = (illness.target, illness.other);
        let signals = &mut into.signals;
        let range = |value: f32| {
            let (low, high) = s::SIGNALS[target.index()].plausible;
            #[expect(clippy::cast_possible_truncation, reason = "ranges are small numbers")]
            value.clamp(low as f32, high as f32)
        };
        match illness.fault {
            Fault::SensorStuck => {
                if let Some(value) = signals.get(target) {
                    signals.set(target, *self.held.get_or_insert(value));
                }
            }
            Fault::SensorDrift | Fault::SensorOffset => {
                if let Some(value) = signals.get(target) {
                    signals.set(target, range(step(value + illness.shift(now), 0.1)));
                }
            }
            Fault::SensorOpenCircuit => {
                let rail = faults::sensor_of(target).and_then(|sensor| sensor.open_circuit);
                if let (Some(_), Some(rail)) = (signals.get(target), rail) {
                    signals.set(target, rail);
                }
            }
            Fault::SensorSwapped => {
                if let (Some(first), Some(second)) = (signals.get(target), signals.get(other)) {
                    signals.set(target, second);
                    signals.set(other, first);
                }
            }
            Fault::SensorDropout if random.chance(illness.severity) => signals.remove(target),
            Fault::AirFlowLow => {
                if let Some(value) = signals.get(s::MASS_AIR_FLOW) {
                    signals.set(s::MASS_AIR_FLOW, step(value * (1.0 - illness.felt(now)), 0.01));
                }
            }
            Fault::GpsJumps => {
                let metres = illness.severity;
                let jumps = random.chance(GPS_JUMP_SHARE);
                let (sin, cos) = random.between((0.0, std::f32::consts::TAU)).sin_cos();
                if let Some(position) = into.position.as_mut().filter(|_| jumps) {
                    *position = moved(position, metres * sin, metres * cos);
                }
            }
            Fault::GpsFreeze => {
                if let Some(position) = into.position {
                    into.position = Some(*self.held_position.get_or_insert(position));
                }
            }
            _ => {}
        }
    }
}
