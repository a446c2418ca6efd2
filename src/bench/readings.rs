//! Cheap, repeatable readings of one vehicle: values that vary and hang together. Not a physical simulation: `simulator`.

use std::io::Write;

/// The next value is drawn around the last one, so that windows hold something to learn from.
#[derive(Debug, Clone)]
pub struct Drive {
    random: u64,
    speed_km_per_h: f32,
    wanted_km_per_h: f32,
    coolant_celsius: f32,
    heading_deg: f32,
    latitude: f64,
    longitude: f64,
}

/// Ratio of engine to road speed in the gears 1 to 6, rpm per km/h; a common manual gearbox.
const RPM_PER_KM_PER_H: [f32; 6] = [128.0, 72.0, 48.0, 36.0, 29.0, 24.0];
/// A driver shifts up here.
const SHIFT_AT_RPM: f32 = 2_600.0;
const IDLE_RPM: f32 = 820.0;
const METRES_PER_DEGREE: f64 = 111_320.0;

impl Drive {
    /// The same seed gives the same drive.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut drive = Self {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            speed_km_per_h: 0.0,
            wanted_km_per_h: 50.0,
            coolant_celsius: 0.0,
            heading_deg: 0.0,
            latitude: 0.0,
            longitude: 0.0,
        };
        drive.speed_km_per_h = drive.between(0.0, 110.0);
        drive.coolant_celsius = drive.between(84.0, 94.0);
        drive.heading_deg = drive.between(0.0, 360.0);
        drive.latitude = 48.9 + f64::from(drive.between(0.0, 0.4));
        drive.longitude = 8.2 + f64::from(drive.between(0.0, 0.6));
        drive
    }

    /// Uniform in `low..high` (xorshift64*, Vigna 2016).
    #[expect(clippy::cast_precision_loss, reason = "24 bits fit an f32")]
    fn between(&mut self, low: f32, high: f32) -> f32 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let bits = self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40;
        low + (high - low) * (bits as f32 / 16_777_216.0)
    }

    /// Drives on for `seconds`.
    pub fn step(&mut self, seconds: f32) {
        if self.between(0.0, 1.0) < 0.1 {
            self.wanted_km_per_h = self.between(0.0, 125.0);
        }
        let pull = (seconds / 12.0).min(1.0);
        self.speed_km_per_h += (self.wanted_km_per_h - self.speed_km_per_h) * pull + self.between(-0.8, 0.8);
        self.speed_km_per_h = self.speed_km_per_h.clamp(0.0, 130.0);
        self.coolant_celsius += (90.0 - self.coolant_celsius) * 0.05 + self.between(-0.3, 0.3);
        self.heading_deg = (self.heading_deg + self.between(-6.0, 6.0)).rem_euclid(360.0);
        let metres = f64::from(self.speed_km_per_h / 3.6 * seconds);
        let (east, north) = f64::from(self.heading_deg).to_radians().sin_cos();
        self.latitude += metres * north / METRES_PER_DEGREE;
        self.longitude += metres * east / (METRES_PER_DEGREE * 0.656);
    }

    /// Appends a JSON document as in CONTRACTS §2, with the signals of a common engine. `second`: the time to the second, such as `2026-11-24T03:17:00`.
    pub fn write_json(&mut self, second: &str, micros: u32, sequence: u64, into: &mut Vec<u8>) {
        let speed = self.speed_km_per_h;
        let per_km_per_h = RPM_PER_KM_PER_H.iter().find(|ratio| speed * **ratio < SHIFT_AT_RPM).unwrap_or(&RPM_PER_KM_PER_H[5]);
        let rpm = (speed * per_km_per_h).max(IDLE_RPM) + self.between(-15.0, 15.0);
        let push = ((self.wanted_km_per_h - speed) / 40.0).clamp(0.0, 1.0);
        let throttle = 8.0 + push * 55.0 + speed * 0.12 + self.between(-1.0, 1.0);
        let intake_kpa = 30.0 + throttle * 0.9 + self.between(-1.5, 1.5);
        // Ideal gas: displacement 1.6 l, 0.85 volumetric efficiency, 298 K.
        let air_flow = rpm / 120.0 * 1.6 * 0.85 * intake_kpa / (0.287 * 298.0) + self.between(-0.1, 0.1);
        let intake_celsius = 24.0 + (90.0 - speed) * 0.08 + self.between(-0.5, 0.5);
        let volts = 14.1 + self.between(-0.15, 0.15);

        into.extend_from_slice(b"{\"recorded_at\":\"");
        into.extend_from_slice(second.as_bytes());
        write!(into, ".{micros:06}Z\",\"sequence\":{sequence}").expect("a vector takes every byte");
        decimal(into, ",\"position\":{\"latitude\":", self.latitude, 6);
        decimal(into, ",\"longitude\":", self.longitude, 6);
        decimal(into, ",\"altitude_m\":", 118.0 + f64::from(self.heading_deg) * 0.05, 1);
        decimal(into, ",\"heading_deg\":", self.heading_deg.into(), 1);
        into.extend_from_slice(b",\"accuracy_m\":4.0}");
        decimal(into, ",\"signals\":{\"speed_km_per_h\":", speed.into(), 1);
        decimal(into, ",\"engine_speed_rpm\":", rpm.into(), 0);
        decimal(into, ",\"coolant_temperature_celsius\":", self.coolant_celsius.into(), 1);
        decimal(into, ",\"intake_pressure_kpa\":", intake_kpa.into(), 1);
        decimal(into, ",\"mass_air_flow_g_per_s\":", air_flow.into(), 2);
        decimal(into, ",\"intake_temperature_celsius\":", intake_celsius.into(), 1);
        decimal(into, ",\"accelerator_pedal_percent\":", (push * 80.0 + speed * 0.1).into(), 1);
        decimal(into, ",\"throttle_percent\":", throttle.clamp(0.0, 100.0).into(), 1);
        decimal(into, ",\"battery_voltage_v\":", volts.into(), 2);
        into.extend_from_slice(b"},\"ignition\":\"on\"}");
    }
}

/// Appends `before`, and `value` with so many digits after the point. Formatting floats in general would cost as much as all the rest.
#[expect(clippy::cast_possible_truncation, reason = "coordinates and signals are far below 2^63 in millionths")]
fn decimal(into: &mut Vec<u8>, before: &str, value: f64, digits: i32) {
    into.extend_from_slice(before.as_bytes());
    let scaled = (value * 10_f64.powi(digits)).round() as i64;
    let mut rest = scaled.unsigned_abs();
    let mut text = [0; 24];
    let mut start = text.len();
    let mut written = 0;
    while rest > 0 || written <= digits {
        if written == digits && digits > 0 {
            start -= 1;
            text[start] = b'.';
        }
        start -= 1;
        text[start] = b"0123456789"[(rest % 10) as usize];
        rest /= 10;
        written += 1;
    }
    if scaled < 0 {
        into.push(b'-');
    }
    into.extend_from_slice(&text[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: f64, digits: i32) -> String {
        let mut into = Vec::new();
        decimal(&mut into, "", value, digits);
        String::from_utf8(into).unwrap()
    }

    #[test]
    fn decimals_are_written_as_json_wants_them() {
        let cases =
            [(63.24, 1, "63.2"), (-0.05, 2, "-0.05"), (0.0, 1, "0.0"), (2110.4, 0, "2110"), (49.012_345_6, 6, "49.012346")];
        for (value, digits, text) in cases {
            assert_eq!(written(value, digits), text);
        }
    }

    #[test]
    fn every_reading_is_json_and_the_drive_varies() {
        let mut drive = Drive::new(7);
        let mut speeds = Vec::new();
        for sequence in 0..200 {
            drive.step(30.0);
            let mut json = Vec::new();
            drive.write_json("2026-11-24T03:17:00", 250, sequence, &mut json);
            let parsed: serde_json::Value = serde_json::from_slice(&json).unwrap();
            assert_eq!(parsed["sequence"], sequence);
            assert_eq!(parsed["recorded_at"], "2026-11-24T03:17:00.000250Z");
            speeds.push(parsed["signals"]["speed_km_per_h"].as_f64().unwrap());
        }
        speeds.sort_by(f64::total_cmp);
        assert!(speeds[190] - speeds[10] > 40.0, "{speeds:?}");
    }
}
