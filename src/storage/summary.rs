//! What many readings of a vehicle come to: how many, the highest score, and of each signal mean, least and greatest value. And the bytes in
//! which the archive keeps a quarter of an hour.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::Xxh3;

use crate::domain::signal::ODOMETER;
use crate::domain::{SignalId, SignalTable};

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Summary {
    pub readings: u64,
    /// `None`: none had a score.
    pub highest_score: Option<f32>,
    /// Those that some reading had.
    pub signals: BTreeMap<SignalId, SignalSummary>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SignalSummary {
    /// That had the signal.
    pub readings: u64,
    pub mean: f64,
    pub min: f64,
    pub max: f64,
}

/// The first bytes of what is kept: other ones were written in another form, or for other signals, and are not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edition(u32);

/// Rises with every change of the form.
const FORM: u8 = 1;

impl Edition {
    /// Signals are kept by number, so an edition holds for one list of names.
    pub fn of(table: &SignalTable) -> Self {
        let mut hash = Xxh3::new();
        hash.update(&[FORM]);
        for (_, signal) in table.iter() {
            hash.update(signal.name.as_bytes());
            hash.update(b"\n");
        }
        let digest = hash.digest();
        #[expect(clippy::cast_possible_truncation, reason = "32 bits tell the few tables of a deployment apart")]
        Self(digest as u32)
    }
}

impl Summary {
    /// Of the readings of both.
    pub fn add(&mut self, other: &Self) {
        self.readings += other.readings;
        self.highest_score = self.highest_score.into_iter().chain(other.highest_score).reduce(f32::max);
        for (id, other) in &other.signals {
            self.signals.entry(*id).and_modify(|own| own.add(other)).or_insert(*other);
        }
    }

    /// Edition, readings, highest score, one bit for each signal that is there, one for each that not every reading had; then per signal,
    /// by number: its readings where they are fewer, mean, min, max. Little-endian; values are f32 as signals are, those of the
    /// odometer f64. 17 signals are 232 bytes.
    pub(super) fn encode(&self, edition: Edition) -> Vec<u8> {
        let bits = |is_wanted: &dyn Fn(&SignalSummary) -> bool| {
            let wanted = self.signals.iter().filter(|(_, signal)| is_wanted(signal));
            wanted.fold(0_u64, |bits, (id, _)| bits | 1 << id.index())
        };
        let mut bytes = Vec::with_capacity(28 + self.signals.len() * 12);
        bytes.extend(edition.0.to_le_bytes());
        bytes.extend(saturated(self.readings).to_le_bytes());
        bytes.extend(self.highest_score.unwrap_or(f32::NAN).to_le_bytes());
        bytes.extend(bits(&|_| true).to_le_bytes());
        bytes.extend(bits(&|signal| signal.readings != self.readings).to_le_bytes());
        for (id, signal) in &self.signals {
            if signal.readings != self.readings {
                bytes.extend(saturated(signal.readings).to_le_bytes());
            }
            for value in [signal.mean, signal.min, signal.max] {
                if *id == ODOMETER {
                    bytes.extend(value.to_le_bytes());
                } else {
                    #[expect(clippy::cast_possible_truncation, reason = "signals are f32")]
                    bytes.extend((value as f32).to_le_bytes());
                }
            }
        }
        bytes
    }

    /// `None`: of another edition, or damaged.
    pub(super) fn decode(mut bytes: &[u8], edition: Edition) -> Option<Self> {
        if u32::from_le_bytes(take(&mut bytes)?) != edition.0 {
            return None;
        }
        let readings = u64::from(u32::from_le_bytes(take(&mut bytes)?));
        let highest_score = Some(f32::from_le_bytes(take(&mut bytes)?)).filter(|score| !score.is_nan());
        let (present, fewer) = (u64::from_le_bytes(take(&mut bytes)?), u64::from_le_bytes(take(&mut bytes)?));
        let mut signals = BTreeMap::new();
        for id in (0..u64::BITS as usize).filter(|index| present & (1 << index) != 0).filter_map(SignalId::from_index) {
            let has_fewer = fewer & (1 << id.index()) != 0;
            let readings = if has_fewer { u64::from(u32::from_le_bytes(take(&mut bytes)?)) } else { readings };
            let mut value = || {
                Some(if id == ODOMETER {
                    f64::from_le_bytes(take(&mut bytes)?)
                } else {
                    f64::from(f32::from_le_bytes(take(&mut bytes)?))
                })
            };
            signals.insert(id, SignalSummary { readings, mean: value()?, min: value()?, max: value()? });
        }
        bytes.is_empty().then_some(Self { readings, highest_score, signals })
    }
}

impl SignalSummary {
    #[expect(clippy::cast_precision_loss, reason = "numbers of readings are far below 2^53")]
    fn add(&mut self, other: &Self) {
        let readings = self.readings + other.readings;
        self.mean += (other.mean - self.mean) * (other.readings as f64 / readings as f64);
        self.readings = readings;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

fn saturated(readings: u64) -> u32 {
    u32::try_from(readings).unwrap_or(u32::MAX)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::signal::{SIGNALS, SPEED};

    fn a_summary() -> Summary {
        let of = |readings, value| SignalSummary { readings, mean: value, min: value - 0.5, max: value + 1.0 };
        let signals = [(SPEED, of(30, 63.25)), (ODOMETER, of(12, 123_456_789.125))];
        Summary { readings: 30, highest_score: Some(0.75), signals: signals.into() }
    }

    #[test]
    fn bytes_say_the_same_and_half_of_them_say_nothing() {
        let (edition, summary) = (Edition::of(&SignalTable::default()), a_summary());
        let bytes = summary.encode(edition);
        assert_eq!(Summary::decode(&bytes, edition), Some(summary));
        assert_eq!(Summary::decode(&bytes[..bytes.len() - 1], edition), None);
    }

    #[test]
    fn what_was_kept_for_other_signals_is_not_read() {
        let mut renamed = SIGNALS.to_vec();
        renamed[3].name = "another";
        let bytes = a_summary().encode(Edition::of(&SignalTable::new(renamed)));
        assert_eq!(Summary::decode(&bytes, Edition::of(&SignalTable::default())), None);
    }

    #[test]
    fn together_they_weigh_by_their_readings() {
        let mut both = a_summary();
        let other = SignalSummary { readings: 10, mean: 23.25, min: 1.0, max: 63.0 };
        both.add(&Summary { readings: 12, highest_score: None, signals: [(SPEED, other)].into() });
        assert_eq!((both.readings, both.highest_score), (42, Some(0.75)));
        assert_eq!(both.signals[&SPEED], SignalSummary { readings: 40, mean: 53.25, min: 1.0, max: 64.25 });
    }
}
