//! Points and straight edges in longitude and latitude, judged exactly (Shewchuk 1997, adaptive predicates). Measures nothing in metres.

use robust::{Coord, orient2d};

/// Degrees, unchecked: a coordinate of a shape.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Place {
    pub longitude: f64,
    pub latitude: f64,
}

/// How two edges lie to each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Meeting {
    Apart,
    /// They share this one point, an end of at least one of them.
    Touch(Place),
    /// They cross inside both.
    Cross,
    /// They share a piece.
    Overlap,
}

/// Where a point lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Inside,
    Boundary,
    Outside,
}

/// Positive where `c` is left of the line from `a` to `b`, zero on it.
#[must_use]
pub fn turn(a: Place, b: Place, c: Place) -> f64 {
    orient2d(coord(a), coord(b), coord(c))
}

/// Whether `place`, which is on the line through `a` and `b`, is between them.
#[must_use]
pub fn is_between(a: Place, b: Place, place: Place) -> bool {
    let within = |from: f64, to: f64, value: f64| from.min(to) <= value && value <= from.max(to);
    within(a.longitude, b.longitude, place.longitude) && within(a.latitude, b.latitude, place.latitude)
}

#[must_use]
pub fn meeting(a: Place, b: Place, c: Place, d: Place) -> Meeting {
    let (to_c, to_d) = (turn(a, b, c), turn(a, b, d));
    let (to_a, to_b) = (turn(c, d, a), turn(c, d, b));
    if to_c == 0.0 && to_d == 0.0 {
        return on_one_line(a, b, c, d);
    }
    if opposite(to_c, to_d) && opposite(to_a, to_b) {
        return Meeting::Cross;
    }
    let ends = [(to_c, a, b, c), (to_d, a, b, d), (to_a, c, d, a), (to_b, c, d, b)];
    let touch = ends.iter().find(|(turn, from, to, end)| *turn == 0.0 && is_between(*from, *to, *end));
    touch.map_or(Meeting::Apart, |(_, _, _, end)| Meeting::Touch(*end))
}

/// Whether walking the path `before`, `at`, `after` and seeing `direction` from `at`, it lies to the left.
#[must_use]
pub fn is_left_of_path(before: Place, at: Place, after: Place, direction: Place) -> bool {
    // Left of the path is the sector that turns anticlockwise from `after` to `before`.
    let bend = turn(at, after, before);
    let from_after = turn(at, after, direction) > 0.0;
    if bend > 0.0 {
        from_after && turn(at, direction, before) > 0.0
    } else if bend < 0.0 {
        !(turn(at, before, direction) > 0.0 && turn(at, direction, after) > 0.0)
    } else {
        from_after
    }
}

/// What the edges of closed rings say about a point: each is `(from, to)`. Those that do not meet the ray to the east may be left out.
pub fn side_of(edges: impl Iterator<Item = (Place, Place)>, place: Place) -> Side {
    let mut is_inside = false;
    for (from, to) in edges {
        let (low, high) = if from.latitude <= to.latitude { (from, to) } else { (to, from) };
        if place.latitude < low.latitude || place.latitude > high.latitude {
            continue;
        }
        let turn = turn(low, high, place);
        if turn == 0.0 && is_between(low, high, place) {
            return Side::Boundary;
        }
        // An edge owns its lower end and not its upper one, so that a ray through a corner counts it once.
        let crosses_ray = low.latitude <= place.latitude && place.latitude < high.latitude && turn > 0.0;
        is_inside ^= crosses_ray;
    }
    if is_inside { Side::Inside } else { Side::Outside }
}

fn on_one_line(a: Place, b: Place, c: Place, d: Place) -> Meeting {
    // Along the longer axis, so that neither edge is a point there.
    let is_flat = (b.longitude - a.longitude).abs() >= (b.latitude - a.latitude).abs();
    let along = |place: &Place| if is_flat { place.longitude } else { place.latitude };
    let order = |one: Place, other: Place| if along(&one) <= along(&other) { (one, other) } else { (other, one) };
    let ((a, b), (c, d)) = (order(a, b), order(c, d));
    let start = if along(&a) >= along(&c) { a } else { c };
    let end = if along(&b) <= along(&d) { b } else { d };
    if along(&start) < along(&end) {
        Meeting::Overlap
    } else if along(&start) > along(&end) {
        Meeting::Apart
    } else {
        Meeting::Touch(start)
    }
}

fn opposite(one: f64, other: f64) -> bool {
    (one > 0.0 && other < 0.0) || (one < 0.0 && other > 0.0)
}

const fn coord(place: Place) -> Coord<f64> {
    Coord { x: place.longitude, y: place.latitude }
}
