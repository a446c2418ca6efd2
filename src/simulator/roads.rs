//! The road graph that a fleet drives on, made by seed from `geography`, and where on Earth a metre of road is.
//! A vehicle keeps no route: a table says for every pair of nodes which road leads on along the fastest way.

mod build;
mod routing;

use std::ops::Range;

use super::geography::{CENTRE, CITY, TOWNS};
use crate::domain::Position;

/// Made once, shared by all vehicles, never changed.
#[derive(Debug)]
pub struct Roads {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    segments: Vec<Segment>,
    /// By `from * nodes + to`: the edge to take. Where `from` is `to`: any edge that leaves it.
    next: Vec<u16>,
}

#[derive(Debug, Clone, Copy)]
pub struct Node {
    pub latitude: f64,
    pub longitude: f64,
    /// How likely an arriving vehicle has to wait.
    pub wait_chance: f32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoadClass {
    Street,
    Arterial,
    Country,
    Motorway,
}

/// One direction of a road.
#[derive(Debug, Clone, Copy)]
pub struct Edge {
    pub from: u16,
    pub to: u16,
    /// The other direction.
    pub reverse: u16,
    pub class: RoadClass,
    pub limit_m_per_s: f32,
    pub length_m: f32,
    first_segment: u32,
    segment_count: u32,
}

/// A straight piece of an edge.
#[derive(Debug, Clone, Copy)]
pub struct Segment {
    latitude: f64,
    longitude: f64,
    latitude_per_m: f64,
    longitude_per_m: f64,
    /// From the beginning of its edge.
    pub start_m: f32,
    pub length_m: f32,
    pub heading_deg: f32,
    /// Rises to the right.
    pub curvature_per_m: f32,
    /// Comfortable in this bend.
    pub advised_m_per_s: f32,
    /// Metres up per metre.
    pub grade: f32,
    altitude_m: f32,
}

/// A road as it is drawn on a map: latitude and longitude in degrees.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    pub class: RoadClass,
    pub limit_km_per_h: f32,
    pub points: Vec<(f64, f64)>,
}

/// Where people live: for the names on a map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    pub name: &'static str,
    pub latitude: f64,
    pub longitude: f64,
    pub is_city: bool,
}

impl Roads {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        build::build(seed)
    }

    #[must_use]
    pub fn node(&self, node: u16) -> &Node {
        &self.nodes[usize::from(node)]
    }

    #[must_use]
    pub fn edge(&self, edge: u16) -> &Edge {
        &self.edges[usize::from(edge)]
    }

    #[must_use]
    pub fn edge_count(&self) -> u16 {
        u16::try_from(self.edges.len()).expect("checked when built")
    }

    /// Piece `index` of `edge`.
    #[must_use]
    pub fn segment(&self, edge: &Edge, index: u16) -> &Segment {
        &self.segments[edge.first_segment as usize + usize::from(index)]
    }

    /// The piece at `along_m` metres of `edge`, searched from its beginning.
    #[must_use]
    pub fn segment_at(&self, edge: &Edge, along_m: f32) -> u16 {
        let pieces = &self.segments[edge.pieces()];
        let index = pieces.partition_point(|piece| piece.start_m <= along_m).saturating_sub(1);
        u16::try_from(index).expect("an edge has few pieces")
    }

    #[must_use]
    pub fn has_segment_after(edge: &Edge, index: u16) -> bool {
        u32::from(index) + 1 < edge.segment_count
    }

    /// The edge to take at node `from` to reach node `to`.
    #[must_use]
    pub fn next_edge(&self, from: u16, to: u16) -> u16 {
        self.next[usize::from(from) * self.nodes.len() + usize::from(to)]
    }

    /// The angle in degrees, right positive, between the end of one edge and the beginning of the next.
    #[must_use]
    pub fn turn_deg(&self, from: &Edge, to: &Edge) -> f32 {
        let last = &self.segments[from.pieces().end - 1];
        turn(last.heading_deg, self.segment(to, 0).heading_deg)
    }

    pub fn places() -> impl Iterator<Item = Place> {
        let (latitude, longitude) = CENTRE;
        let towns = TOWNS.iter().map(|town| Place {
            name: town.name,
            latitude: town.latitude,
            longitude: town.longitude,
            is_city: false,
        });
        std::iter::once(Place { name: CITY, latitude, longitude, is_city: true }).chain(towns)
    }

    /// Each road once, both directions together.
    pub fn lines(&self) -> impl Iterator<Item = Line> {
        self.edges.iter().enumerate().filter(|(index, edge)| *index < usize::from(edge.reverse)).map(|(_, edge)| {
            let pieces = &self.segments[edge.pieces()];
            let mut points: Vec<_> = pieces.iter().map(|piece| (piece.latitude, piece.longitude)).collect();
            let end = self.node(edge.to);
            points.push((end.latitude, end.longitude));
            Line { class: edge.class, limit_km_per_h: edge.limit_m_per_s * 3.6, points }
        })
    }
}

impl Edge {
    const fn pieces(&self) -> Range<usize> {
        self.first_segment as usize..(self.first_segment + self.segment_count) as usize
    }
}

impl Segment {
    /// Where `along_m` metres of its edge are; altitude and heading included.
    #[must_use]
    pub fn position(&self, along_m: f32) -> Position {
        let metres = f64::from(along_m - self.start_m);
        let latitude = metres.mul_add(self.latitude_per_m, self.latitude);
        let longitude = metres.mul_add(self.longitude_per_m, self.longitude);
        let mut position = Position::new(latitude, longitude).expect("roads are built far from the poles");
        position.altitude_m = Some(self.altitude_m + (along_m - self.start_m) * self.grade);
        position.heading_deg = Some(self.heading_deg);
        position
    }
}

/// From one heading to another, -180..180 degrees.
fn turn(from_deg: f32, to_deg: f32) -> f32 {
    let difference = to_deg - from_deg;
    if difference > 180.0 {
        difference - 360.0
    } else if difference < -180.0 {
        difference + 360.0
    } else {
        difference
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_is_reached_from_every_other() {
        let roads = Roads::new(1);
        let count = u16::try_from(roads.nodes.len()).unwrap();
        for from in 0..count {
            for to in (0..count).step_by(7) {
                let mut at = from;
                for _hop in 0..count {
                    if at == to {
                        break;
                    }
                    at = roads.edge(roads.next_edge(at, to)).to;
                }
                assert_eq!(at, to, "from {from}");
            }
        }
    }

    #[test]
    fn the_length_of_a_road_is_the_distance_between_its_points() {
        let roads = Roads::new(1);
        for (index, edge) in roads.edges.iter().enumerate() {
            let along = |share: f32| {
                let at = edge.length_m * share;
                roads.segment(edge, roads.segment_at(edge, at)).position(at)
            };
            let travelled: f64 =
                (0_u8..200).map(|step| along(f32::from(step) / 200.0).distance_m(&along(f32::from(step + 1) / 200.0))).sum();
            let off = (travelled / f64::from(edge.length_m) - 1.0).abs();
            assert!(off < 0.01, "edge {index}: {travelled} of {}", edge.length_m);
        }
    }

    #[test]
    fn both_directions_of_a_road_agree() {
        let roads = Roads::new(3);
        for (index, edge) in roads.edges.iter().enumerate() {
            let back = roads.edge(edge.reverse);
            assert_eq!((back.from, back.to, usize::from(back.reverse)), (edge.to, edge.from, index));
            assert!((back.length_m - edge.length_m).abs() < 1.0);
        }
    }

    #[test]
    fn roads_are_drawn_once_and_lie_around_karlsruhe() {
        let roads = Roads::new(1);
        let lines: Vec<_> = roads.lines().collect();
        assert_eq!(lines.len() * 2, roads.edges.len());
        for (latitude, longitude) in lines.iter().flat_map(|line| &line.points) {
            assert!((48.6..49.4).contains(latitude) && (7.9..8.9).contains(longitude), "{latitude} {longitude}");
        }
    }
}
