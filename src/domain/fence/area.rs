//! Polygons with holes that are sound, checked at the border: what is refused, and how that is said. How edges meet: `topology`.

use std::fmt;

use super::plane::Place;
use super::topology;

/// Closed: the last place is the first. The first ring of a polygon is its shell, the others are holes.
pub type Ring = Vec<Place>;
pub type Polygon = Vec<Ring>;

/// One polygon or several that do not overlap, valid as OGC 06-103r4 §6.1.11 and JTS have it.
#[derive(Debug, Clone, PartialEq)]
pub struct Area(Vec<Polygon>);

/// What is wrong with a shape, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct InvalidShape {
    pub polygon: usize,
    /// 0 is the shell; of a corridor, the line.
    pub ring: usize,
    /// Which coordinate of the ring, and what stands there.
    pub coordinate: Option<(usize, Place)>,
    pub flaw: Flaw,
}

#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum Flaw {
    #[error("there is nothing in it")]
    Empty,
    #[error("{given} different points in a row are too few; at least {needed} are needed")]
    TooFewPoints { given: usize, needed: usize },
    #[error("the ring is not closed: its last coordinate must be its first")]
    Unclosed,
    #[error("the coordinate is not finite")]
    NotFinite,
    #[error("the coordinate is not [longitude within -180..180, latitude within -90..90]")]
    OutOfRange,
    #[error(
        "the edge to the next coordinate jumps over the antimeridian; cut the shape in two at longitude 180 (RFC 7946, 3.1.9)"
    )]
    AcrossAntimeridian,
    #[error("the ring intersects itself in the edge that begins here")]
    SelfIntersection,
    #[error("the ring touches itself in the edge that begins here")]
    SelfTouch,
    #[error("the edge that begins here crosses ring {ring} of polygon {polygon}")]
    Crossing { polygon: usize, ring: usize },
    #[error("the edge that begins here shares a piece with ring {ring} of polygon {polygon}")]
    SharedEdge { polygon: usize, ring: usize },
    #[error("the hole is not inside its shell")]
    HoleOutside,
    #[error("the hole is inside hole {ring}")]
    NestedHoles { ring: usize },
    #[error("the polygon is inside polygon {polygon}")]
    NestedPolygons { polygon: usize },
    #[error("the edge that begins here touches another ring so that the inside falls apart")]
    Disconnected,
    #[error("{given_m} m is not above 0 and at most {most_m} m")]
    Reach { given_m: f64, most_m: f64 },
}

impl Area {
    /// # Errors
    /// With the first flaw, in the order of coordinates, rings, polygons.
    pub fn new(polygons: Vec<Polygon>) -> Result<Self, InvalidShape> {
        if polygons.is_empty() {
            return Err(Flaw::Empty.of_ring(0, 0));
        }
        for (polygon, rings) in polygons.iter().enumerate() {
            if rings.is_empty() {
                return Err(Flaw::Empty.of_ring(polygon, 0));
            }
            for (ring, places) in rings.iter().enumerate() {
                check_ring(places).map_err(|found| found.in_ring(polygon, ring))?;
            }
        }
        topology::check(&polygons)?;
        Ok(Self(polygons))
    }

    #[must_use]
    pub fn polygons(&self) -> &[Polygon] {
        &self.0
    }
}

/// A flaw, and at which coordinate of a ring that is known elsewhere.
pub(super) struct FlawAt(Option<(usize, Place)>, Flaw);

impl FlawAt {
    pub(super) const fn in_ring(self, polygon: usize, ring: usize) -> InvalidShape {
        InvalidShape { polygon, ring, coordinate: self.0, flaw: self.1 }
    }
}

impl Flaw {
    pub(super) const fn of_ring(self, polygon: usize, ring: usize) -> InvalidShape {
        InvalidShape { polygon, ring, coordinate: None, flaw: self }
    }
}

fn check_ring(places: &[Place]) -> Result<(), FlawAt> {
    check_places(places)?;
    let (Some(first), Some(last)) = (places.first(), places.last()) else { return Err(FlawAt(None, Flaw::Empty)) };
    if first != last {
        return Err(FlawAt(Some((places.len() - 1, *last)), Flaw::Unclosed));
    }
    let steps = places.windows(2).filter(|pair| pair[0] != pair[1]).count();
    if steps < 3 {
        return Err(FlawAt(None, Flaw::TooFewPoints { given: steps, needed: 3 }));
    }
    Ok(())
}

/// Whether all places are on Earth, and no edge between them goes the long way around.
pub(super) fn check_places(places: &[Place]) -> Result<(), FlawAt> {
    for (index, place) in places.iter().enumerate() {
        let found = |flaw| Err(FlawAt(Some((index, *place)), flaw));
        if !place.longitude.is_finite() || !place.latitude.is_finite() {
            return found(Flaw::NotFinite);
        }
        if place.longitude.abs() > 180.0 || place.latitude.abs() > 90.0 {
            return found(Flaw::OutOfRange);
        }
    }
    for (index, pair) in places.windows(2).enumerate() {
        let (place, next) = (pair[0], pair[1]);
        // Along a pole every longitude is the same place: that is how areas around a pole are closed.
        let is_along_pole = (place.latitude + next.latitude).abs() >= 180.0;
        if (next.longitude - place.longitude).abs() > 180.0 && !is_along_pole {
            return Err(FlawAt(Some((index, place)), Flaw::AcrossAntimeridian));
        }
    }
    Ok(())
}

impl fmt::Display for InvalidShape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "polygon {}, ring {}", self.polygon, self.ring)?;
        if let Some((index, place)) = self.coordinate {
            write!(formatter, ", coordinate {index} [{}, {}]", place.longitude, place.latitude)?;
        }
        write!(formatter, ": {}", self.flaw)
    }
}

impl std::error::Error for InvalidShape {}
