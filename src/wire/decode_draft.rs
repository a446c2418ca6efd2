//! One reading while it is read from a payload, and every check on it. Knows neither JSON nor protobuf.

use std::fmt::Display;
use std::time::Duration;

use super::decode::{DecodeContext, head};
use crate::domain::{Ignition, Position, Reading, Reason, RejectedSignal, Rejection, SignalId, Timestamp, signal};

const MAX_EXTRAS: usize = 64;
const MAX_NAME_CHARS: usize = 64;
const MAX_DTCS: usize = 64;
const MAX_DTC_CHARS: usize = 16;
/// Of more only the first, by name, are kept with the reading.
const MAX_REJECTED: usize = 128;

const MAX_AHEAD: Duration = Duration::from_hours(24);
/// 2015-01-01T00:00:00Z. Clocks that lost their battery start in 1970, 1980 (GPS) or 2000.
const EARLIEST: Timestamp = Timestamp::from_micros(1_420_070_400_000_000);
/// Milliseconds below are taken for seconds: as milliseconds they would lie before March 1973.
const LEAST_MILLISECONDS: u64 = 100_000_000_000;

/// Why something is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    /// What exactly, and where in the message.
    pub detail: String,
}

impl Refusal {
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// The elements of one message, each believed or not.
#[derive(Debug, Default)]
pub(super) struct Judged {
    pub readings: Vec<Reading>,
    /// With the index of the element.
    pub refused: Vec<(u32, Refusal)>,
}

impl Judged {
    pub fn len(&self) -> usize {
        self.readings.len() + self.refused.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn push(&mut self, judgement: Result<Reading, Refusal>) {
        match judgement {
            Ok(reading) => self.readings.push(reading),
            Err(refusal) => self.refused.push((u32::try_from(self.len()).unwrap_or(u32::MAX), refusal)),
        }
    }
}

/// What a payload says about a position, before any check.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PositionDraft {
    pub latitude: Option<f64>,
    pub longitude: Option<f64>,
    pub altitude_m: Option<f64>,
    pub heading_deg: Option<f64>,
    pub accuracy_m: Option<f64>,
}

/// Collects fields in any order; [`Draft::finish`] judges them.
pub(super) struct Draft<'a> {
    context: &'a DecodeContext<'a>,
    recorded_at: Option<Timestamp>,
    /// One bit per signal that was named, also where its value is missing.
    named: u64,
    extras: Vec<(Box<str>, Option<f64>)>,
    refusal: Option<Refusal>,
    /// Where it stands in an array.
    index: Option<usize>,
    reading: Reading,
}

impl<'a> Draft<'a> {
    pub fn new(context: &'a DecodeContext<'a>, index: Option<usize>) -> Self {
        let reading =
            Reading { received_at: context.received_at, ..Reading::bare(context.vehicle_id.clone(), Timestamp::default()) };
        Self { context, recorded_at: None, named: 0, extras: Vec::new(), refusal: None, index, reading }
    }

    /// The first refusal counts: what follows is often its consequence.
    /// `path` is empty for the reading as a whole.
    pub fn refuse(&mut self, reason: Reason, path: impl Display, what: impl Display) {
        if self.refusal.is_some() {
            return;
        }
        let path = path.to_string();
        let detail = match (self.index, path.is_empty()) {
            (Some(index), true) => format!("[{index}]: {what}"),
            (Some(index), false) => format!("[{index}].{path}: {what}"),
            (None, true) => what.to_string(),
            (None, false) => format!("{path}: {what}"),
        };
        self.refusal = Some(Refusal { reason, detail });
    }

    pub fn vehicle_id(&mut self, given: &str) {
        if given != self.context.vehicle_id.as_str() {
            let (given, addressed) = (head(given, MAX_NAME_CHARS), self.context.vehicle_id);
            self.refuse(Reason::VehicleIdMismatch, "vehicle_id", format_args!("{given:?}, where the address says {addressed:?}"));
        }
    }

    pub fn recorded_at(&mut self, recorded_at: Timestamp) {
        self.recorded_at = Some(recorded_at);
    }

    pub fn recorded_at_milliseconds(&mut self, milliseconds: u64) {
        if milliseconds < LEAST_MILLISECONDS {
            let what = format_args!("milliseconds since 1970 are expected, {milliseconds} looks like seconds");
            return self.refuse(Reason::RecordedAtInSeconds, "recorded_at", what);
        }
        let micros = i64::try_from(milliseconds).unwrap_or(i64::MAX).saturating_mul(1_000);
        self.recorded_at(Timestamp::from_micros(micros));
    }

    pub fn boot_id(&mut self, boot_id: u64) {
        self.reading.boot_id = Some(boot_id);
    }

    pub fn sequence(&mut self, sequence: u64) {
        self.reading.sequence = Some(sequence);
    }

    pub fn ignition(&mut self, ignition: Ignition) {
        self.reading.ignition = Some(ignition);
    }

    pub fn dtc(&mut self, code: &str) {
        let index = self.reading.dtcs.len();
        if index == MAX_DTCS {
            return self.refuse(Reason::TooManyDtcs, "dtcs", format_args!("more than {MAX_DTCS} entries"));
        }
        let length = code.chars().take(MAX_DTC_CHARS + 1).count();
        if length == 0 || length > MAX_DTC_CHARS {
            let what = format_args!("a trouble code of 1 to {MAX_DTC_CHARS} characters is expected");
            return self.refuse(Reason::WrongType, format_args!("dtcs[{index}]"), what);
        }
        self.reading.dtcs.push(code.into());
    }

    /// A signal by its name; `None`: named, but missing.
    pub fn named_signal(&mut self, name: &str, value: Option<f64>) {
        match self.context.table.find(name) {
            Some(id) => self.signal(id, value),
            None => self.extras.push((name.into(), value)),
        }
    }

    pub fn signal(&mut self, id: SignalId, value: Option<f64>) {
        let signal = self.context.table.get(id);
        let bit = 1 << id.index();
        if self.named & bit != 0 {
            return self.refuse(Reason::DuplicateKey, format_args!("signals.{}", signal.name), "stands there twice");
        }
        self.named |= bit;
        let Some(value) = value else { return };
        let value = without_negative_zero(value);
        let (low, high) = signal.plausible;
        // Judged as it is kept, so that a value at the edge is judged alike whether it came as f32 or as a decimal.
        let rounded = to_f32(value);
        let judged = if id == signal::ODOMETER { value } else { f64::from(rounded) };
        if !judged.is_finite() || !rounded.is_finite() {
            return self.reject(signal.name, value, Rejection::NotFinite);
        }
        if !(low..=high).contains(&judged) {
            return self.reject(signal.name, value, Rejection::OutOfRange);
        }
        if id == signal::ODOMETER {
            self.reading.odometer_m = Some(value);
        }
        self.reading.signals.set(id, rounded);
    }

    pub fn position(&mut self, draft: PositionDraft) {
        let (latitude, longitude) = match (draft.latitude, draft.longitude) {
            (Some(latitude), Some(longitude)) => (without_negative_zero(latitude), without_negative_zero(longitude)),
            // A receiver without a fix sends nulls.
            (None, None) => return,
            (None, _) => return self.refuse(Reason::PositionInvalid, "position.latitude", "missing"),
            (_, None) => return self.refuse(Reason::PositionInvalid, "position.longitude", "missing"),
        };
        let mut position = match Position::new(latitude, longitude) {
            Ok(position) => position,
            Err(error) => return self.refuse(Reason::PositionInvalid, "position", error),
        };
        position.altitude_m = self.detail("position.altitude_m", draft.altitude_m, f32::MIN..=f32::MAX);
        position.heading_deg = self.detail("position.heading_deg", draft.heading_deg, 0.0..=360.0);
        position.accuracy_m = self.detail("position.accuracy_m", draft.accuracy_m, 0.0..=f32::MAX);
        self.reading.position = Some(position);
    }

    /// A reading with its fingerprint, or why it is not one.
    pub fn finish(mut self) -> Result<Reading, Refusal> {
        self.settle_time();
        self.settle_extras();
        let reading = &mut self.reading;
        reading.rejected.sort_by(|a, b| a.name.cmp(&b.name).then(a.value.total_cmp(&b.value)));
        reading.rejected.truncate(MAX_REJECTED);
        let anything = reading.position.is_some()
            || !reading.signals.is_empty()
            || !reading.extras.is_empty()
            || !reading.rejected.is_empty();
        if !anything {
            self.refuse(Reason::NothingMeasured, "", "neither a position nor a signal is in it");
        }
        if let Some(refusal) = self.refusal {
            return Err(refusal);
        }
        self.reading.fingerprint = self.reading.compute_fingerprint();
        Ok(self.reading)
    }

    fn settle_time(&mut self) {
        let Some(recorded_at) = self.recorded_at else {
            return self.refuse(Reason::RecordedAtMissing, "recorded_at", "missing");
        };
        self.reading.recorded_at = recorded_at;
        let received_at = self.context.received_at;
        if recorded_at > received_at.plus(MAX_AHEAD) {
            self.refuse(
                Reason::TooFarInFuture,
                "recorded_at",
                format_args!("{recorded_at} is more than 24 h ahead of {received_at}"),
            );
        } else if recorded_at < EARLIEST {
            self.refuse(Reason::TooOld, "recorded_at", format_args!("{recorded_at} is before 2015"));
        } else if recorded_at < received_at.minus(self.context.retention) {
            self.refuse(Reason::TooOld, "recorded_at", format_args!("{recorded_at} is older than what is kept"));
        }
    }

    /// Orders the undeclared signals by name and rejects what is too much.
    fn settle_extras(&mut self) {
        let mut extras = std::mem::take(&mut self.extras);
        extras.sort_by(|a, b| a.0.cmp(&b.0));
        if let Some(twice) = extras.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let name = head(&twice[0].0, MAX_NAME_CHARS);
            self.refuse(Reason::DuplicateKey, format_args!("signals.{name}"), "stands there twice");
        }
        for (name, value) in extras {
            let Some(value) = value.map(without_negative_zero) else { continue };
            let too_long = name.chars().nth(MAX_NAME_CHARS).is_some();
            if !value.is_finite() {
                self.reject(&name, value, Rejection::NotFinite);
            } else if too_long || name.is_empty() || self.reading.extras.len() == MAX_EXTRAS {
                self.reject(&name, value, Rejection::TooManyExtras);
            } else {
                self.reading.extras.push((name, value));
            }
        }
    }

    /// A part of the position that may be missing or unbelievable without harm to the rest.
    fn detail(&mut self, name: &str, value: Option<f64>, plausible: std::ops::RangeInclusive<f32>) -> Option<f32> {
        let value = without_negative_zero(value?);
        let rounded = to_f32(value);
        if !rounded.is_finite() {
            self.reject(name, value, Rejection::NotFinite);
            return None;
        }
        if !plausible.contains(&rounded) {
            self.reject(name, value, Rejection::OutOfRange);
            return None;
        }
        Some(rounded)
    }

    fn reject(&mut self, name: &str, value: f64, rejection: Rejection) {
        let end = name.char_indices().nth(MAX_NAME_CHARS).map_or(name.len(), |(end, _)| end);
        self.reading.rejected.push(RejectedSignal { name: name[..end].into(), value, rejection });
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the one place where a signal is rounded to f32")]
fn to_f32(value: f64) -> f32 {
    value as f32
}

/// 0 and -0 are one value, and protobuf does not carry the second where a field is not optional.
fn without_negative_zero(value: f64) -> f64 {
    value + 0.0
}
