//! What rules remember of one vehicle from reading to reading, and how it is saved. Each part belongs to one file beside this one.

use crate::analytics::bytes::{ByteReader, Damaged};
use crate::domain::Timestamp;
use crate::domain::signal::MAX_SIGNALS;

/// Numbers and collections of numbers that are saved as they stand.
pub(super) trait Saved: Sized {
    fn write(&self, out: &mut Vec<u8>);
    fn read(from: &mut ByteReader<'_>) -> Result<Self, Damaged>;
}

const WHAT: &str = "memory of rules";

macro_rules! saved_numbers {
    ($($type:ident $take:ident;)*) => {
        $(impl Saved for $type {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend(self.to_le_bytes());
            }

            fn read(from: &mut ByteReader<'_>) -> Result<Self, Damaged> {
                from.$take(WHAT)
            }
        })*
    };
}

saved_numbers! { u8 take_u8; u16 take_u16; u32 take_u32; u64 take_u64; f32 take_f32; f64 take_f64; }

macro_rules! saved {
    ($(#[$about:meta])* $visible:vis struct $name:ident { $($(#[$doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Default)]
        $visible struct $name { $($(#[$doc])* pub(super) $field: $type,)* }

        impl Saved for $name {
            fn write(&self, out: &mut Vec<u8>) {
                $(self.$field.write(out);)*
            }

            fn read(from: &mut ByteReader<'_>) -> Result<Self, Damaged> {
                Ok(Self { $($field: Saved::read(from)?,)* })
            }
        }
    };
}

saved! {
    /// Of one vehicle, in its saved state: about 600 bytes, without heap memory unless it came with trouble codes.
    pub struct RuleMemory {
        drive: DriveMemory,
        harsh: HarshMemory,
        voltage: VoltageMemory,
        pack: PackMemory,
        tires: TireMemory,
        fuel: FuelMemory,
        place: PlaceMemory,
        stuck: [StuckMemory; STUCK_SIGNALS],
        open: [OpenMemory; OPEN_SIGNALS],
        presence: PresenceMemory,
        /// Hashes of the trouble codes that the vehicle came with; `None` before its first reading.
        known_codes: Option<Vec<u64>>,
        air: Appended<AirMemory>,
    }
}

pub(super) const STUCK_SIGNALS: usize = 5;
pub(super) const OPEN_SIGNALS: usize = 8;

saved! {
    /// What every rule wants to know: `moment`.
    pub(super) struct DriveMemory {
        seen_at: Option<Timestamp>,
        speed_km_per_h: Option<f32>,
        odometer_m: Option<f64>,
        /// Seconds that the engine (or drive) has run since it last rested.
        running_s: f32,
        /// Of those, seconds in motion.
        driving_s: f32,
        rested_s: f32,
        /// Seconds since the engine last began to turn, however short it rested.
        started_s: f32,
        is_parked: bool,
    }
}

saved! {
    pub(super) struct HarshMemory {
        /// The hardest braking and acceleration that are usual for the vehicle.
        usual: [f32; 2],
        learnt_s: f32,
        readings: u16,
    }
}

saved! {
    pub(super) struct VoltageMemory {
        /// 24 V once it was seen above 18 V.
        is_24_v: bool,
        /// Over some minutes, while running.
        recent_v: Option<f32>,
        /// Its own normal while running, and how long that took.
        normal_v: Option<f32>,
        learnt_s: f32,
    }
}

saved! {
    pub(super) struct AirMemory {
        /// Litres of air a cycle, over some minutes of driving.
        recent_l: Option<f32>,
        /// Its own normal, and how long that took.
        normal_l: Option<f32>,
        learnt_s: f32,
    }
}

/// Came after the saved form was fixed: stands behind everything else of a vehicle.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Appended<T>(pub T);

impl<T: Default> Saved for Appended<T> {
    fn write(&self, _: &mut Vec<u8>) {}

    fn read(_: &mut ByteReader<'_>) -> Result<Self, Damaged> {
        Ok(Self::default())
    }
}

saved! {
    pub(super) struct PackMemory {
        normal_health_percent: Option<f32>,
    }
}

saved! {
    pub(super) struct TireMemory {
        /// Absolute pressure, learnt together, so that temperature is the same for all.
        normal_kpa: [f32; 4],
        learnt_s: f32,
        readings: u8,
        /// How each stands against the others, at two moments some minutes apart.
        before: TireSnapshot,
        between: TireSnapshot,
    }
}

saved! {
    #[derive(Copy)]
    pub(super) struct TireSnapshot {
        at: Option<Timestamp>,
        share: [f32; 4],
    }
}

saved! {
    pub(super) struct FuelMemory {
        level_before: Option<f32>,
        /// Highest believed level since the vehicle was parked.
        parked_level: Option<f32>,
        /// Over some minutes, while driving.
        recent_level: Option<f32>,
        /// Where the present stretch of driving began.
        stretch: FuelStretch,
        stretch_before: FuelStretch,
    }
}

saved! {
    #[derive(Copy)]
    pub(super) struct FuelStretch {
        level: Option<f32>,
        driven_m: f64,
        lasted_s: f32,
    }
}

saved! {
    pub(super) struct PlaceMemory {
        latitude: f64,
        longitude: f64,
        at: Option<Timestamp>,
        /// By odometer or speed, since that place.
        driven_m: f64,
        /// The same since the position last changed.
        unmoved_m: f64,
        unmoved_readings: u8,
    }
}

saved! {
    #[derive(Copy)]
    pub(super) struct StuckMemory {
        value: Option<f32>,
        readings: u8,
        lasted_s: f32,
        /// Changes of speed meanwhile, added up.
        changed_km_per_h: f32,
    }
}

saved! {
    #[derive(Copy)]
    pub(super) struct OpenMemory {
        value: Option<f32>,
        at: Option<Timestamp>,
        /// It stands at the end of its range and got there by a jump.
        jumped: bool,
        lasted_s: f32,
    }
}

saved! {
    pub(super) struct PresenceMemory {
        /// Present in so many readings in a row, at most 255.
        streak: PerSignal,
        /// Share of late readings without it, of 255.
        missing: PerSignal,
        /// Signals that came regularly, one bit each.
        regular: u64,
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct PerSignal(pub [u8; MAX_SIGNALS]);

impl Default for PerSignal {
    fn default() -> Self {
        Self([0; MAX_SIGNALS])
    }
}

impl RuleMemory {
    /// Appends the saved form. Its version stands in the vehicle's state around it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.write(out);
    }

    /// # Errors
    /// `Damaged` where the bytes are no memory of rules.
    pub fn decode(from: &mut ByteReader<'_>) -> Result<Self, Damaged> {
        Self::read(from)
    }

    /// Appends what came later.
    pub fn encode_appended(&self, out: &mut Vec<u8>) {
        self.air.0.write(out);
    }

    /// # Errors
    /// `Damaged` where the bytes are no memory of rules.
    pub fn decode_appended(&mut self, from: &mut ByteReader<'_>) -> Result<(), Damaged> {
        self.air.0 = Saved::read(from)?;
        Ok(())
    }

    /// As of its newest reading in order: ignition off, or, where it says nothing of that, standing with the engine off.
    #[must_use]
    pub const fn is_parked(&self) -> bool {
        self.drive.is_parked
    }
}

impl Saved for PerSignal {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.0);
    }

    fn read(from: &mut ByteReader<'_>) -> Result<Self, Damaged> {
        let bytes = from.take(MAX_SIGNALS, WHAT)?;
        Ok(Self(bytes.try_into().expect("as many as asked for")))
    }
}

impl Saved for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn read(from: &mut ByteReader<'_>) -> Result<Self, Damaged> {
        match from.take_u8(WHAT)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Damaged { what: WHAT }),
        }
    }
}

impl Saved for Timestamp {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.as_micros().to_le_bytes());
    }

    fn read(from: &mut ByteReader<'_>) -> Result<Self, Damaged> {
        from.take_i64(WHAT).map(Self::from_micros)
    }
}

impl<T: Saved> Saved for Option<T> {
    fn write(&self, out: &mut Vec<u8>) {
        self.is_some().write(out);
        if let Some(value) = self {
            value.write(out);
        }
    }

    fn read(from: &mut ByteReader<'_>) -> Result<Self, Damaged> {
        bool::read(from)?.then(|| T::read(from)).transpose()
    }
}

impl<T: Saved> Saved for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        u8::try_from(self.len()).expect("lists of a memory are short").write(out);
        for value in self {
            value.write(out);
        }
    }

    fn read(from: &mut ByteReader<'_>) -> Result<Self, Damaged> {
        let length = u8::read(from)?;
        (0..length).map(|_| T::read(from)).collect()
    }
}

impl<T: Saved + Copy + Default, const N: usize> Saved for [T; N] {
    fn write(&self, out: &mut Vec<u8>) {
        for value in self {
            value.write(out);
        }
    }

    fn read(from: &mut ByteReader<'_>) -> Result<Self, Damaged> {
        let mut values = [T::default(); N];
        for value in &mut values {
            *value = T::read(from)?;
        }
        Ok(values)
    }
}
