//! A window as bytes, for checkpoints. Its version stands in the vehicle's state around it.

use std::hash::Hasher;

use xxhash_rust::xxh3::Xxh3;

use super::{MAX_STEPS, MAX_UNITED, Window};
use crate::analytics::bytes::{ByteReader, Damaged};
use crate::domain::SignalTable;
use crate::domain::signal::{MAX_SIGNALS, SIGNALS};

/// Which signals the bits of a saved window mean. Built-in signals keep their index for ever; declared ones follow them in the order
/// of the settings, so after an edit there their columns are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalLayout {
    built_in: u8,
    declared_hash: u64,
}

impl SignalLayout {
    #[must_use]
    pub fn of(table: &SignalTable) -> Self {
        let mut hasher = Xxh3::new();
        for (_, signal) in table.iter().skip(SIGNALS.len()) {
            hasher.write(signal.name.as_bytes());
            hasher.write_u8(0);
        }
        Self { built_in: u8::try_from(SIGNALS.len()).expect("at most 64 signals"), declared_hash: hasher.finish() }
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.built_in);
        out.extend(self.declared_hash.to_le_bytes());
    }

    pub fn decode(from: &mut ByteReader<'_>) -> Result<Self, Damaged> {
        Ok(Self { built_in: from.take_u8("signal layout")?, declared_hash: from.take_u64("signal layout")? })
    }

    /// The signals of a saved window that mean the same today.
    pub(in crate::analytics) fn still_valid(&self, saved: &Self) -> u64 {
        if self == saved {
            return u64::MAX;
        }
        let built_in = usize::from(saved.built_in).min(MAX_SIGNALS);
        if built_in == MAX_SIGNALS { u64::MAX } else { (1 << built_in) - 1 }
    }
}

impl Window {
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.signals.to_le_bytes());
        out.push(u8::from(self.has_position) | u8::from(self.has_heading) << 1);
        out.extend(self.lost_through.to_le_bytes());
        out.extend(u32::try_from(self.len).expect("at most 4,096 steps").to_le_bytes());
        for column in 0..self.wide_columns() {
            for value in self.run(&self.wide, column, 0, self.len).iter() {
                out.extend(value.to_le_bytes());
            }
        }
        for column in 0..self.narrow_columns() {
            for value in self.run(&self.narrow, column, 0, self.len).iter() {
                out.extend(value.to_le_bytes());
            }
        }
        out.extend(u16::try_from(self.united.len()).expect("at most 64").to_le_bytes());
        for (micros, fingerprint) in &self.united {
            out.extend(micros.to_le_bytes());
            out.extend(fingerprint.to_le_bytes());
        }
    }

    /// `saved` and `today`: what the bits of signals meant when the window was written, and what they mean now.
    ///
    /// # Errors
    /// `Damaged` where the bytes are no window.
    pub fn decode(from: &mut ByteReader<'_>, saved: &SignalLayout, today: &SignalLayout) -> Result<Self, Damaged> {
        let signals = from.take_u64("signals")?;
        let flags = from.take_u8("flags")?;
        let mut window = Self { signals, has_position: flags & 1 != 0, has_heading: flags & 2 != 0, ..Self::default() };
        window.lost_through = from.take_i64("lost_through")?;
        let len = from.take_u32("steps")? as usize;
        if len > MAX_STEPS {
            return Err(Damaged { what: "steps" });
        }
        window.allocate(len);
        window.len = len;
        for value in &mut window.wide {
            *value = from.take_u64("wide columns")?;
        }
        for value in &mut window.narrow {
            *value = from.take_f32("narrow columns")?;
        }
        let united = usize::from(from.take_u16("united readings")?);
        if united > MAX_UNITED {
            return Err(Damaged { what: "united readings" });
        }
        for _ in 0..united {
            window.united.push((from.take_i64("united readings")?, from.take_u64("united readings")?));
        }
        let mut times = window.micros_between(0, len);
        let is_ordered = times.try_fold(i64::MIN, |before, time| (time > before).then_some(time)).is_some();
        drop(times);
        if !is_ordered {
            return Err(Damaged { what: "times" });
        }
        window.keep_only(today.still_valid(saved));
        Ok(window)
    }

    fn keep_only(&mut self, signals: u64) {
        let kept = self.signals & signals;
        if kept == self.signals {
            return;
        }
        let mut narrower =
            Self { signals: kept, has_position: self.has_position, has_heading: self.has_heading, ..Self::default() };
        narrower.allocate(self.capacity);
        self.move_into(narrower);
    }
}
