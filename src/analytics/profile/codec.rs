//! Profiles and cohorts as bytes, for checkpoints. The version of a profile stands in the vehicle's state around it.

use super::cohort::Cohort;
use super::{Cohorts, Drive, Frozen, Moments, Profile};
use crate::analytics::bytes::{ByteReader, Damaged};
use crate::analytics::window::SignalLayout;
use crate::domain::Timestamp;
use crate::domain::signal::MAX_SIGNALS;

/// Of the saved form of cohorts.
pub const COHORTS_VERSION: u8 = 1;
/// A fleet has a handful; more would be damage.
const MAX_COHORTS: u16 = 1_024;
const MAX_LABEL_BYTES: u8 = 64;

impl Profile {
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode_moments(self, out);
        let Drive { seen_at, running_s, rested_s, coolant_max_celsius, fuel_at_stop_percent, is_moving } = self.drive;
        out.extend(seen_at.map_or(i64::MIN, Timestamp::as_micros).to_le_bytes());
        out.extend(running_s.to_le_bytes());
        out.extend(rested_s.to_le_bytes());
        out.extend(coolant_max_celsius.unwrap_or(f32::NAN).to_le_bytes());
        out.extend(fuel_at_stop_percent.unwrap_or(f32::NAN).to_le_bytes());
        out.push(u8::from(is_moving));
        let Frozen { checks_until, models_from, models_until } = self.frozen;
        for moment in [checks_until, models_from, models_until] {
            out.extend(moment.as_micros().to_le_bytes());
        }
    }

    /// `saved` and `today`: what the bits of signals meant when it was written, and what they mean now.
    ///
    /// # Errors
    /// Where the bytes are no profile.
    pub fn decode(from: &mut ByteReader<'_>, saved: &SignalLayout, today: &SignalLayout) -> Result<Self, Damaged> {
        let mut profile = decode_moments(from, u128::from(today.still_valid(saved)) | tracked_bits())?;
        let seen_at = from.take_i64("drive")?;
        profile.drive = Drive {
            seen_at: (seen_at != i64::MIN).then_some(Timestamp::from_micros(seen_at)),
            running_s: from.take_f64("drive")?,
            rested_s: from.take_f64("drive")?,
            coolant_max_celsius: Some(from.take_f32("drive")?).filter(|value| !value.is_nan()),
            fuel_at_stop_percent: Some(from.take_f32("drive")?).filter(|value| !value.is_nan()),
            is_moving: from.take_u8("drive")? != 0,
        };
        let mut moment = || from.take_i64("frozen").map(Timestamp::from_micros);
        profile.frozen = Frozen { checks_until: moment()?, models_from: moment()?, models_until: moment()? };
        Ok(profile)
    }
}

impl Cohorts {
    pub fn encode(&self, layout: &SignalLayout, out: &mut Vec<u8>) {
        out.push(COHORTS_VERSION);
        layout.encode(out);
        out.extend(self.hour.to_le_bytes());
        // More than any fleet has; the rest is formed anew within the hour.
        let kept = &self.cohorts[..self.cohorts.len().min(usize::from(MAX_COHORTS))];
        out.extend(u16::try_from(kept.len()).expect("at most 1,024").to_le_bytes());
        for Cohort { class, powertrain, profile } in kept {
            for label in [class, powertrain] {
                out.push(u8::try_from(label.len()).expect("a label has at most 64 characters"));
                out.extend(label.as_bytes());
            }
            encode_moments(profile, out);
        }
    }

    /// # Errors
    /// Where the bytes are none, or of another version.
    pub fn decode(bytes: &[u8], today: &SignalLayout) -> Result<Self, Damaged> {
        let mut from = ByteReader::new(bytes);
        if from.take_u8("version of cohorts")? != COHORTS_VERSION {
            return Err(Damaged { what: "version of cohorts" });
        }
        let saved = SignalLayout::decode(&mut from)?;
        let hour = from.take_i64("hour of cohorts")?;
        let count = from.take_u16("cohorts")?;
        if count > MAX_COHORTS {
            return Err(Damaged { what: "cohorts" });
        }
        let kept = u128::from(today.still_valid(&saved)) | tracked_bits();
        let mut cohorts = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let (class, powertrain) = (decode_label(&mut from)?, decode_label(&mut from)?);
            cohorts.push(Cohort { class, powertrain, profile: decode_moments(&mut from, kept)? });
        }
        from.end()?;
        Ok(Self { hour, cohorts })
    }
}

/// Features that are tracked keep their place for ever, as built-in signals do.
const fn tracked_bits() -> u128 {
    !0 << MAX_SIGNALS
}

fn decode_label(from: &mut ByteReader<'_>) -> Result<Box<str>, Damaged> {
    let damaged = Damaged { what: "label of a cohort" };
    let length = from.take_u8(damaged.what)?;
    let bytes = from.take(usize::from(length.min(MAX_LABEL_BYTES)), damaged.what)?;
    std::str::from_utf8(bytes).map(Box::from).map_err(|_| damaged)
}

fn encode_moments(profile: &Profile, out: &mut Vec<u8>) {
    out.extend(profile.seen.to_le_bytes());
    for Moments { weight, mean, squares, count } in &profile.moments {
        out.extend(weight.to_le_bytes());
        out.extend(mean.to_le_bytes());
        out.extend(squares.to_le_bytes());
        out.extend(count.to_le_bytes());
    }
}

/// Those of the quantities in `kept`.
fn decode_moments(from: &mut ByteReader<'_>, kept: u128) -> Result<Profile, Damaged> {
    let (low, high) = (from.take_u64("quantities")?, from.take_u64("quantities")?);
    let mut bits = u128::from(low) | u128::from(high) << 64;
    let mut profile = Profile { seen: bits & kept, ..Profile::default() };
    while bits != 0 {
        let moments = Moments {
            weight: from.take_f64("moments")?,
            mean: from.take_f64("moments")?,
            squares: from.take_f64("moments")?,
            count: from.take_u32("moments")?,
        };
        if kept & bits & bits.wrapping_neg() != 0 {
            profile.moments.push(moments);
        }
        bits &= bits - 1;
    }
    Ok(profile)
}
