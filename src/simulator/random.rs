//! A small random generator whose numbers never change: what a seed gives must not depend on the version of a library.

/// `SplitMix64` (Steele, Lea, Flood 2014): eight bytes a stream, passes `BigCrush`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Random(u64);

/// What a stream is for. Streams of one vehicle are apart, so that a fault changes neither its routes nor the noise of its sensors.
#[derive(Debug, Clone, Copy)]
pub enum Purpose {
    Roads = 1,
    Weather = 2,
    Make = 3,
    Life = 4,
    Sensors = 5,
    Faults = 6,
    Traffic = 7,
    Network = 8,
}

impl Random {
    /// The stream of one `purpose` and one vehicle (or day, or edge): independent of how many others there are.
    #[must_use]
    pub const fn stream(seed: u64, purpose: Purpose, index: u64) -> Self {
        Self(mix(mix(seed ^ ((purpose as u64) << 56)) ^ index))
    }

    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// 0 ≤ x < 1.
    #[expect(clippy::cast_precision_loss, reason = "24 bits fit the mantissa")]
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 * (1.0 / 16_777_216.0)
    }

    pub fn between(&mut self, (low, high): (f32, f32)) -> f32 {
        low + (high - low) * self.unit()
    }

    pub fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// Nearly normal, mean 0, deviation 1, never beyond ±3.5: the sum of four uniform numbers (Irwin–Hall). Costs one draw.
    #[expect(clippy::cast_precision_loss, reason = "a sum of four 16-bit numbers fits the mantissa")]
    pub fn normal(&mut self) -> f32 {
        let bits = self.next();
        let sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
        // The sum of four has mean 2 and variance 4/12.
        (sum as f32 * (1.0 / 65_535.0) - 2.0) * 1.732_050_8
    }

    /// With the given mean; at least a thousandth and at most seventeen times of it.
    pub fn exponential(&mut self, mean: f32) -> f32 {
        -mean * (1.0 - self.unit()).max(6e-8).ln().min(-0.001)
    }

    /// 0 ≤ x < `count`.
    pub const fn below(&mut self, count: u32) -> u32 {
        (((self.next() >> 32) * count as u64) >> 32) as u32
    }
}

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_a_seed_never_change() {
        // The reference implementation's first outputs for seed 0 (prng.di.unimi.it/splitmix64.c).
        let mut random = Random(0);
        assert_eq!(random.next(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(random.next(), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn normal_numbers_have_mean_zero_and_deviation_one() {
        let mut random = Random::stream(1, Purpose::Sensors, 0);
        let values: Vec<f64> = (0..100_000).map(|_| f64::from(random.normal())).collect();
        let mean = values.iter().sum::<f64>() / 1e5;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }

    #[test]
    fn neighbouring_streams_are_different() {
        let first = |index| Random::stream(7, Purpose::Life, index).next();
        assert_ne!(first(0), first(1));
        assert_ne!(Random::stream(7, Purpose::Life, 0).next(), Random::stream(7, Purpose::Sensors, 0).next());
    }
}
