//! A fence's shape made ready for questions: is a place inside, is it near the edge, does a way lead through. Knows no policy and no vehicle.

use rstar::{AABB, RTree, RTreeObject};
use smallvec::SmallVec;

use super::metric::{self, Plane, closest_approach, nearest_to_origin};
use crate::domain::Position;
use crate::domain::fence::plane::{Side, side_of};
use crate::domain::fence::{Area, Place, Shape, Stroke};

/// A straight piece of a way, shorter than half around the Earth, that does not jump over the antimeridian.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Leg {
    pub from: Place,
    pub to: Place,
    /// Which part of the whole way begins and ends it, 0 to 1.
    pub begins: f64,
    pub ends: f64,
}

#[derive(Debug)]
pub(super) struct Ground {
    edges: RTree<Edge>,
    /// `None`: the edges are the boundary. Else all within so many metres of them is inside.
    reach_m: Option<f64>,
    /// No place inside is much farther from the boundary than twice this.
    half_depth_m: f64,
}

#[derive(Debug, Clone, Copy)]
struct Edge {
    from: Place,
    to: Place,
}

impl RTreeObject for Edge {
    type Envelope = AABB<[f64; 2]>;

    fn envelope(&self) -> Self::Envelope {
        AABB::from_corners([self.from.longitude, self.from.latitude], [self.to.longitude, self.to.latitude])
    }
}

impl Ground {
    pub(super) fn new(shape: &Shape) -> Self {
        match shape {
            Shape::Area(area) => Self::of_area(area),
            Shape::Stroke(stroke) => Self::of_stroke(stroke),
        }
    }

    fn of_area(area: &Area) -> Self {
        let rings = || area.polygons().iter().flatten();
        let edges = rings().flat_map(|ring| ring.windows(2)).map(|pair| Edge { from: pair[0], to: pair[1] }).collect();
        let (mut area_m2, mut length_m) = (0.0, 0.0);
        for polygon in area.polygons() {
            for (index, ring) in polygon.iter().enumerate() {
                let (of_ring_m2, around_m) = measures(ring);
                area_m2 += if index == 0 { of_ring_m2 } else { -of_ring_m2 };
                length_m += around_m;
            }
        }
        // The largest circle inside has at least the radius area / boundary.
        Self { edges: RTree::bulk_load(edges), reach_m: None, half_depth_m: (area_m2 / length_m).max(0.0) / 2.0 }
    }

    fn of_stroke(stroke: &Stroke) -> Self {
        let point = |line: &Vec<Place>| (line.len() == 1).then(|| Edge { from: line[0], to: line[0] });
        let lines = stroke.lines().iter();
        let edges = lines.flat_map(|line| {
            let pairs = line.windows(2).map(|pair| Edge { from: pair[0], to: pair[1] });
            point(line).into_iter().chain(pairs)
        });
        let reach_m = stroke.reach_m();
        Self { edges: RTree::bulk_load(edges.collect()), reach_m: Some(reach_m), half_depth_m: reach_m / 2.0 }
    }

    /// How deep inside a place must be, at the most, to count as inside without doubt: half of what there is.
    pub(super) const fn half_depth_m(&self) -> f64 {
        self.half_depth_m
    }

    /// Boxes in degrees, `[west, south], [east, north]`, that together hold the fence. Two where it reaches over the antimeridian.
    pub(super) fn boxes(&self) -> SmallVec<[AABB<[f64; 2]>; 2]> {
        let whole = self.edges.root().envelope();
        let Some(reach_m) = self.reach_m else { return SmallVec::from_slice(&[whole]) };
        let (low, high) = (whole.lower(), whole.upper());
        let corners = [low, high].map(|[longitude, latitude]| Plane::around(Place { longitude, latitude }).half_box(reach_m));
        let [east_west, north_south] = [corners[0][0].max(corners[1][0]), corners[0][1].max(corners[1][1])];
        around_the_earth([low[0] - east_west, low[1] - north_south], [high[0] + east_west, high[1] + north_south])
    }

    /// On the boundary is inside.
    pub(super) fn contains(&self, place: Place) -> bool {
        if let Some(reach_m) = self.reach_m {
            return self.is_edge_within(place, reach_m);
        }
        let east = self.edges.root().envelope().upper()[0];
        if place.longitude > east {
            return false;
        }
        let ray = AABB::from_corners([place.longitude, place.latitude], [east, place.latitude]);
        let edges = self.edges.locate_in_envelope_intersecting(ray).map(|edge| (edge.from, edge.to));
        side_of(edges, place) != Side::Outside
    }

    /// Inside, and not within `margin_m` of the boundary.
    pub(super) fn contains_by(&self, place: Place, margin_m: f64) -> bool {
        match self.reach_m {
            Some(reach_m) => self.is_edge_within(place, reach_m - margin_m),
            None => self.contains(place) && !self.is_edge_within(place, margin_m),
        }
    }

    /// Outside, and not within `margin_m` of the boundary.
    pub(super) fn excludes_by(&self, place: Place, margin_m: f64) -> bool {
        match self.reach_m {
            Some(reach_m) => !self.is_edge_within(place, reach_m + margin_m),
            None => !self.contains(place) && !self.is_edge_within(place, margin_m),
        }
    }

    /// Whether a way leads through, by more than `margin_m` from the boundary: which part of the way is there, 0 to 1.
    /// `is_end_inside` is what `contains` says of its end.
    pub(super) fn way_through(&self, legs: &[Leg], is_end_inside: bool, margin_m: f64) -> Option<f64> {
        legs.iter().find_map(|leg| {
            let part = match self.reach_m {
                Some(reach_m) => self.leg_near(leg, reach_m - margin_m),
                None => self.leg_through(leg, is_end_inside, margin_m),
            }?;
            Some((leg.ends - leg.begins).mul_add(part, leg.begins))
        })
    }

    fn is_edge_within(&self, place: Place, metres: f64) -> bool {
        if metres < 0.0 {
            return false;
        }
        let flat = Plane::around(place);
        let [east_west, north_south] = flat.half_box(metres);
        let low = [place.longitude - east_west, place.latitude - north_south];
        let high = [place.longitude + east_west, place.latitude + north_south];
        let mut near =
            around_the_earth(low, high).into_iter().flat_map(|envelope| self.edges.locate_in_envelope_intersecting(envelope));
        near.any(|edge| {
            let is_boundary = self.reach_m.is_some() || !edge.is_seam();
            is_boundary && edge.distance_m(&flat, place) <= metres
        })
    }

    /// Of an area: the pieces of a leg that are inside are judged by their middles.
    fn leg_through(&self, leg: &Leg, is_end_inside: bool, margin_m: f64) -> Option<f64> {
        let degrees = |place: Place| [place.longitude, place.latitude];
        let way = [degrees(leg.from), degrees(leg.to)];
        let envelope = AABB::from_corners(way[0], way[1]);
        let mut cuts: SmallVec<[f64; 16]> = SmallVec::from_slice(&[0.0]);
        for edge in self.edges.locate_in_envelope_intersecting(envelope) {
            cuts.extend(metric::crossing(way, [degrees(edge.from), degrees(edge.to)]));
        }
        let is_outside_as_a_whole = cuts.len() == 1 && leg.ends >= 1.0 && !is_end_inside;
        if is_outside_as_a_whole {
            return None;
        }
        cuts.push(1.0);
        cuts.sort_unstable_by(f64::total_cmp);
        let mut middles = cuts.windows(2).filter(|pair| pair[0] < pair[1]).map(|pair| f64::midpoint(pair[0], pair[1]));
        middles.find(|part| self.contains_by(leg.place_at(*part), margin_m))
    }

    /// Of a circle or corridor: where the leg comes nearest to its line.
    fn leg_near(&self, leg: &Leg, within_m: f64) -> Option<f64> {
        let flat = Plane::around(leg.place_at(0.5));
        let way = [flat.offset(leg.from), flat.offset(leg.to)];
        let [east_west, north_south] = [leg.from, leg.to]
            .map(|end| Plane::around(end).half_box(within_m))
            .into_iter()
            .reduce(|one, other| [one[0].max(other[0]), one[1].max(other[1])])?;
        let low = [leg.from.longitude.min(leg.to.longitude) - east_west, leg.from.latitude.min(leg.to.latitude) - north_south];
        let high = [leg.from.longitude.max(leg.to.longitude) + east_west, leg.from.latitude.max(leg.to.latitude) + north_south];
        let near =
            around_the_earth(low, high).into_iter().flat_map(|envelope| self.edges.locate_in_envelope_intersecting(envelope));
        let approaches = near.map(|edge| closest_approach(way, [flat.offset(edge.from), flat.offset(edge.to)]));
        let (part, distance_m) = approaches.min_by(|one, other| one.1.total_cmp(&other.1))?;
        (distance_m <= within_m).then_some(part)
    }
}

impl Edge {
    /// Cuts along the antimeridian or a pole are the map's, not the fence's: the area goes on at the other side.
    fn is_seam(&self) -> bool {
        let is_both = |one: f64, other: f64, limit: f64| one.abs() >= limit && (one - other).abs() == 0.0;
        is_both(self.from.longitude, self.to.longitude, 180.0) || is_both(self.from.latitude, self.to.latitude, 90.0)
    }

    /// The flat finds the nearest place, the sphere measures the way there.
    fn distance_m(&self, flat: &Plane, place: Place) -> f64 {
        let (from, to) = (flat.offset(self.from), flat.offset(self.to));
        let (part, distance_m) = nearest_to_origin(from, to);
        if distance_m < 1_000.0 {
            return distance_m;
        }
        let nearest = between(self.from, self.to, part);
        match (position(place), position(nearest)) {
            (Some(place), Some(nearest)) => place.distance_m(&nearest),
            _ => distance_m,
        }
    }
}

impl Leg {
    pub(super) fn place_at(&self, part: f64) -> Place {
        between(self.from, self.to, part)
    }
}

pub(super) fn between(from: Place, to: Place, part: f64) -> Place {
    let [longitude, latitude] = metric::at([from.longitude, from.latitude], [to.longitude, to.latitude], part);
    Place { longitude, latitude }
}

fn position(place: Place) -> Option<Position> {
    Position::new(place.latitude, place.longitude).ok()
}

/// A box in degrees, cut at the antimeridian where it goes over it.
fn around_the_earth(low: [f64; 2], high: [f64; 2]) -> SmallVec<[AABB<[f64; 2]>; 2]> {
    let mut boxes = SmallVec::new();
    if high[0] - low[0] >= 360.0 {
        boxes.push(AABB::from_corners([-180.0, low[1]], [180.0, high[1]]));
        return boxes;
    }
    boxes.push(AABB::from_corners(low, high));
    if low[0] < -180.0 {
        boxes.push(AABB::from_corners([low[0] + 360.0, low[1]], [180.0, high[1]]));
    }
    if high[0] > 180.0 {
        boxes.push(AABB::from_corners([-180.0, low[1]], [high[0] - 360.0, high[1]]));
    }
    boxes
}

/// Area and length of a ring, each edge measured at its own latitude.
fn measures(ring: &[Place]) -> (f64, f64) {
    let Some(first) = ring.first() else { return (0.0, 0.0) };
    let flat = Plane::around(*first);
    let (mut twice_m2, mut length_m) = (0.0, 0.0);
    for pair in ring.windows(2) {
        let (from, to) = (flat.straight_offset(pair[0]), flat.straight_offset(pair[1]));
        twice_m2 += from[0] * to[1] - from[1] * to[0];
        let step = Plane::around(pair[0]).offset(pair[1]);
        length_m += step[0].hypot(step[1]);
    }
    (twice_m2.abs() / 2.0, length_m)
}
