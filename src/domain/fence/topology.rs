//! How the rings of an area lie to each other. Coordinates were checked before: `area`.
//!
//! The `geo` crate's validity (0.33) does not say where, and takes 11 of the 122 invalid cases of JTS: insides that fall apart, a ring without area.

use std::collections::{BTreeMap, BTreeSet};

use rstar::{AABB, RTree, RTreeObject};

use super::area::{Flaw, InvalidShape, Polygon};
use super::plane::{Meeting, Place, Side, is_left_of_path, meeting, side_of};

/// One ring without repeated places.
struct Outline {
    polygon: usize,
    ring: usize,
    /// Not closed: the last is joined to the first.
    places: Vec<Place>,
    /// Which coordinate of the ring as it was given each of them is.
    given_as: Vec<usize>,
    low: Place,
    high: Place,
}

#[derive(Clone, Copy)]
struct Edge {
    outline: usize,
    index: usize,
    from: Place,
    to: Place,
}

impl RTreeObject for Edge {
    type Envelope = AABB<[f64; 2]>;

    fn envelope(&self) -> Self::Envelope {
        AABB::from_corners([self.from.longitude, self.from.latitude], [self.to.longitude, self.to.latitude])
    }
}

pub(super) fn check(polygons: &[Polygon]) -> Result<(), InvalidShape> {
    let outlines: Vec<Outline> = polygons
        .iter()
        .enumerate()
        .flat_map(|(polygon, rings)| rings.iter().enumerate().map(move |(ring, places)| Outline::new(polygon, ring, places)))
        .collect();
    let touches = meetings(&outlines)?;
    check_nesting(&outlines)?;
    check_connected(&outlines, &touches)
}

/// Where two rings touch: outline, edge of it, and the point.
type Touches = Vec<(usize, usize, Place)>;

/// Refuses edges that cross or overlap, and returns where rings touch without crossing.
fn meetings(outlines: &[Outline]) -> Result<Touches, InvalidShape> {
    let tree = RTree::bulk_load(outlines.iter().enumerate().flat_map(|(number, outline)| outline.edges(number)).collect());
    let mut touches = Touches::new();
    for (number, outline) in outlines.iter().enumerate() {
        for edge in outline.edges(number) {
            for other in tree.locate_in_envelope_intersecting(edge.envelope()) {
                let is_later = (other.outline, other.index) > (edge.outline, edge.index);
                if is_later {
                    judge(outlines, &edge, other, &mut touches)?;
                }
            }
        }
    }
    Ok(touches)
}

fn judge(outlines: &[Outline], edge: &Edge, other: &Edge, touches: &mut Touches) -> Result<(), InvalidShape> {
    let (own, its) = (&outlines[edge.outline], &outlines[other.outline]);
    let met = meeting(edge.from, edge.to, other.from, other.to);
    if edge.outline == other.outline {
        let is_neighbour = other.index == edge.index + 1 || (edge.index == 0 && other.index + 1 == own.places.len());
        return match met {
            Meeting::Cross | Meeting::Overlap => Err(own.flaw_at(edge.index, Flaw::SelfIntersection)),
            Meeting::Touch(_) if !is_neighbour => Err(own.flaw_at(edge.index, Flaw::SelfTouch)),
            Meeting::Touch(_) | Meeting::Apart => Ok(()),
        };
    }
    let crossing = Flaw::Crossing { polygon: its.polygon, ring: its.ring };
    match met {
        Meeting::Apart => Ok(()),
        Meeting::Cross => Err(own.flaw_at(edge.index, crossing)),
        Meeting::Overlap => Err(own.flaw_at(edge.index, Flaw::SharedEdge { polygon: its.polygon, ring: its.ring })),
        Meeting::Touch(point) => {
            let (before, after) = own.around(edge, point);
            let (from, to) = its.around(other, point);
            let changes_side = is_left_of_path(before, point, after, from) != is_left_of_path(before, point, after, to);
            if changes_side {
                return Err(own.flaw_at(edge.index, crossing));
            }
            if own.polygon == its.polygon {
                touches.push((edge.outline, edge.index, point));
                touches.push((other.outline, other.index, point));
            }
            Ok(())
        }
    }
}

/// Rings that neither cross nor overlap are inside each other as a whole or not at all.
fn check_nesting(outlines: &[Outline]) -> Result<(), InvalidShape> {
    let mut polygons: Vec<&[Outline]> = outlines.chunk_by(|one, other| one.polygon == other.polygon).collect();
    for (shell, holes) in polygons.iter().filter_map(|rings| rings.split_first()) {
        for hole in holes {
            if !hole.is_inside(shell) {
                return Err(hole.flaw(Flaw::HoleOutside));
            }
            if let Some(around) = holes.iter().find(|other| other.ring != hole.ring && hole.is_inside(other)) {
                return Err(hole.flaw(Flaw::NestedHoles { ring: around.ring }));
            }
        }
    }
    // From west to east, so that a polygon is compared only with those that begin before it ends.
    polygons.sort_by(|one, other| one[0].low.longitude.total_cmp(&other[0].low.longitude));
    for (index, around) in polygons.iter().enumerate() {
        let reached = polygons.iter().skip(index).take_while(|other| other[0].low.longitude <= around[0].high.longitude);
        // One with the same western edge may have been sorted before the one around it.
        let level = polygons[..index].iter().rev().take_while(|other| other[0].low.longitude >= around[0].low.longitude);
        for inner in reached.chain(level).filter(|other| other[0].polygon != around[0].polygon) {
            let is_covered = inner[0].is_inside(&around[0]) && !around[1..].iter().any(|hole| inner[0].is_inside(hole));
            if is_covered {
                return Err(inner[0].flaw(Flaw::NestedPolygons { polygon: around[0].polygon }));
            }
        }
    }
    Ok(())
}

/// Rings and the points where they touch, as a graph: a circle in it cuts a piece off the inside.
fn check_connected(outlines: &[Outline], touches: &Touches) -> Result<(), InvalidShape> {
    let mut seen = BTreeSet::new();
    let mut points = BTreeMap::new();
    let mut groups: Vec<usize> = (0..outlines.len()).collect();
    for (outline, edge, point) in touches {
        // Adding zero makes -0 the same as 0.
        let bits = ((point.longitude + 0.0).to_bits(), (point.latitude + 0.0).to_bits());
        if !seen.insert((*outline, bits)) {
            continue;
        }
        let node = *points.entry((outlines[*outline].polygon, bits)).or_insert_with(|| {
            groups.push(groups.len());
            groups.len() - 1
        });
        let (one, other) = (root(&mut groups, *outline), root(&mut groups, node));
        if one == other {
            return Err(outlines[*outline].flaw_at(*edge, Flaw::Disconnected));
        }
        groups[one] = other;
    }
    Ok(())
}

fn root(groups: &mut [usize], mut node: usize) -> usize {
    while groups[node] != node {
        groups[node] = groups[groups[node]];
        node = groups[node];
    }
    node
}

impl Outline {
    fn new(polygon: usize, ring: usize, given: &[Place]) -> Self {
        let steps = given.windows(2).enumerate().filter(|(_, pair)| pair[0] != pair[1]);
        let (given_as, places): (Vec<usize>, Vec<Place>) = steps.map(|(index, pair)| (index, pair[0])).unzip();
        let (mut low, mut high) = (given[0], given[0]);
        for place in given {
            low.longitude = low.longitude.min(place.longitude);
            low.latitude = low.latitude.min(place.latitude);
            high.longitude = high.longitude.max(place.longitude);
            high.latitude = high.latitude.max(place.latitude);
        }
        Self { polygon, ring, places, given_as, low, high }
    }

    fn edges(&self, outline: usize) -> impl Iterator<Item = Edge> {
        let to = self.places.iter().cycle().skip(1);
        self.places.iter().zip(to).enumerate().map(move |(index, (from, to))| Edge { outline, index, from: *from, to: *to })
    }

    /// The way to and from a point of an edge: the ends of the edge, or beyond the corner if the point is one.
    fn around(&self, edge: &Edge, point: Place) -> (Place, Place) {
        let count = self.places.len();
        if point == edge.from {
            (self.places[(edge.index + count - 1) % count], edge.to)
        } else if point == edge.to {
            (edge.from, self.places[(edge.index + 2) % count])
        } else {
            (edge.from, edge.to)
        }
    }

    fn is_inside(&self, around: &Self) -> bool {
        let is_within_box = self.low.longitude >= around.low.longitude
            && self.low.latitude >= around.low.latitude
            && self.high.longitude <= around.high.longitude
            && self.high.latitude <= around.high.latitude;
        if !is_within_box {
            return false;
        }
        // Corners decide where one is off the boundary; edges touch it with their ends at most, so else their middles do.
        let middles = self.edges(0).map(|edge| Place {
            longitude: f64::midpoint(edge.from.longitude, edge.to.longitude),
            latitude: f64::midpoint(edge.from.latitude, edge.to.latitude),
        });
        let around_edges = || around.edges(0).map(|edge| (edge.from, edge.to));
        let mut sides = self.places.iter().copied().chain(middles).map(|place| side_of(around_edges(), place));
        sides.find(|side| *side != Side::Boundary) == Some(Side::Inside)
    }

    fn flaw(&self, flaw: Flaw) -> InvalidShape {
        flaw.of_ring(self.polygon, self.ring)
    }

    fn flaw_at(&self, edge: usize, flaw: Flaw) -> InvalidShape {
        InvalidShape { coordinate: Some((self.given_as[edge], self.places[edge])), ..self.flaw(flaw) }
    }
}
