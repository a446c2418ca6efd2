//! Metres near one place: a plane with that place as its origin (equirectangular, mean Earth radius). Good to 0.1 % within 100 km below
//! 70° of latitude; fences ask it for less.

use crate::domain::fence::Place;

/// Mean Earth radius 6,371,008.8 m (IUGG) times one degree.
pub(super) const METRES_PER_DEGREE: f64 = 111_195.08;

/// Near a pole a degree of longitude has no length; boxes there go all around.
const LEAST_COSINE: f64 = 1e-6;

/// Metres east and north of an origin.
pub(super) type Offset = [f64; 2];

#[derive(Debug, Clone, Copy)]
pub(super) struct Plane {
    origin: Place,
    metres_per_longitude: f64,
}

impl Plane {
    pub(super) fn around(origin: Place) -> Self {
        let cosine = origin.latitude.to_radians().cos().max(LEAST_COSINE);
        Self { origin, metres_per_longitude: METRES_PER_DEGREE * cosine }
    }

    /// The short way around.
    pub(super) fn offset(&self, place: Place) -> Offset {
        let east = short_way(place.longitude - self.origin.longitude);
        [east * self.metres_per_longitude, (place.latitude - self.origin.latitude) * METRES_PER_DEGREE]
    }

    /// As the map draws it, never over the antimeridian.
    pub(super) fn straight_offset(&self, place: Place) -> Offset {
        let [east, north] = [place.longitude - self.origin.longitude, place.latitude - self.origin.latitude];
        [east * self.metres_per_longitude, north * METRES_PER_DEGREE]
    }

    /// Half the sides, in degrees of longitude and latitude, of a box that holds all places within `metres`.
    pub(super) fn half_box(&self, metres: f64) -> [f64; 2] {
        // Parallels are shorter towards the pole: its far edge decides. A thousandth more for the plane's error.
        let latitude = metres / METRES_PER_DEGREE * 1.001;
        let far = (self.origin.latitude.abs() + latitude).min(90.0);
        let cosine = far.to_radians().cos();
        let longitude = if cosine <= LEAST_COSINE { 360.0 } else { (latitude / cosine).min(360.0) };
        [longitude, latitude]
    }
}

/// Which part of the way from `from` to `to` is nearest to the origin, 0 to 1, and how far that is.
pub(super) fn nearest_to_origin(from: Offset, to: Offset) -> (f64, f64) {
    let way = [to[0] - from[0], to[1] - from[1]];
    let length = dot(way, way);
    let part = if length > 0.0 { (-dot(from, way) / length).clamp(0.0, 1.0) } else { 0.0 };
    let nearest = at(from, to, part);
    (part, dot(nearest, nearest).sqrt())
}

/// Which part of the way from `a` to `b` comes nearest to the one from `c` to `d`, and how near.
pub(super) fn closest_approach([a, b]: [Offset; 2], [c, d]: [Offset; 2]) -> (f64, f64) {
    if let Some(part) = crossing([a, b], [c, d]) {
        return (part, 0.0);
    }
    let seen_from = |origin: Offset, [from, to]: [Offset; 2]| {
        nearest_to_origin([from[0] - origin[0], from[1] - origin[1]], [to[0] - origin[0], to[1] - origin[1]])
    };
    let ends = [(0.0, seen_from(a, [c, d]).1), (1.0, seen_from(b, [c, d]).1), seen_from(c, [a, b]), seen_from(d, [a, b])];
    ends.into_iter().min_by(|one, other| one.1.total_cmp(&other.1)).expect("there are four")
}

/// Which part of the way from `a` to `b` is on the one from `c` to `d`; `None` where they are parallel or miss each other.
pub(super) fn crossing([a, b]: [Offset; 2], [c, d]: [Offset; 2]) -> Option<f64> {
    let (way, other, between) = ([b[0] - a[0], b[1] - a[1]], [d[0] - c[0], d[1] - c[1]], [c[0] - a[0], c[1] - a[1]]);
    let cross = |one: Offset, other: Offset| one[0] * other[1] - one[1] * other[0];
    let area = cross(way, other);
    if area == 0.0 {
        return None;
    }
    let (own_part, its_part) = (cross(between, other) / area, cross(between, way) / area);
    ((0.0..=1.0).contains(&own_part) && (0.0..=1.0).contains(&its_part)).then_some(own_part)
}

pub(super) fn at(from: Offset, to: Offset, part: f64) -> Offset {
    [(to[0] - from[0]).mul_add(part, from[0]), (to[1] - from[1]).mul_add(part, from[1])]
}

fn dot(one: Offset, other: Offset) -> f64 {
    one[0].mul_add(other[0], one[1] * other[1])
}

/// Degrees of longitude within -180 to 180.
pub(super) fn short_way(degrees: f64) -> f64 {
    if degrees > 180.0 {
        degrees - 360.0
    } else if degrees < -180.0 {
        degrees + 360.0
    } else {
        degrees
    }
}
