//! Where a vehicle was: WGS 84 degrees, checked at the border.

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position {
    latitude: f64,
    longitude: f64,
    pub altitude_m: Option<f32>,
    pub heading_deg: Option<f32>,
    pub accuracy_m: Option<f32>,
}

#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum PositionError {
    #[error("latitude {0} is not within -90..90")]
    Latitude(f64),
    #[error("longitude {0} is not within -180..180")]
    Longitude(f64),
}

impl Position {
    /// # Errors
    /// Where a coordinate is not finite or not on Earth.
    pub fn new(latitude: f64, longitude: f64) -> Result<Self, PositionError> {
        if !(-90.0..=90.0).contains(&latitude) {
            return Err(PositionError::Latitude(latitude));
        }
        if !(-180.0..=180.0).contains(&longitude) {
            return Err(PositionError::Longitude(longitude));
        }
        Ok(Self { latitude, longitude, altitude_m: None, heading_deg: None, accuracy_m: None })
    }

    #[must_use]
    pub const fn latitude(&self) -> f64 {
        self.latitude
    }

    #[must_use]
    pub const fn longitude(&self) -> f64 {
        self.longitude
    }

    /// Great-circle distance in metres (haversine, mean Earth radius 6,371,008.8 m, IUGG).
    #[must_use]
    pub fn distance_m(&self, other: &Self) -> f64 {
        const MEAN_EARTH_RADIUS_M: f64 = 6_371_008.8;
        let (from, to) = (self.latitude.to_radians(), other.latitude.to_radians());
        let half_latitude = ((to - from) / 2.0).sin();
        let half_longitude = ((other.longitude - self.longitude).to_radians() / 2.0).sin();
        let chord = half_latitude.mul_add(half_latitude, from.cos() * to.cos() * half_longitude * half_longitude);
        2.0 * MEAN_EARTH_RADIUS_M * chord.sqrt().clamp(0.0, 1.0).asin()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_off_the_earth_are_refused() {
        assert!(matches!(Position::new(f64::NAN, 0.0), Err(PositionError::Latitude(_))));
        assert!(matches!(Position::new(0.0, 180.5), Err(PositionError::Longitude(_))));
    }

    #[test]
    fn one_degree_of_latitude_is_about_111_km() {
        let distance = Position::new(49.0, 8.0).unwrap().distance_m(&Position::new(50.0, 8.0).unwrap());
        assert!((distance - 111_195.0).abs() < 1.0, "{distance}");
    }
}
