//! Lays out city, towns, motorways and country roads by seed.

#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "metres and degrees of a country 80 km wide")]

use std::collections::HashMap;

use super::super::geography::{CENTRE, COUNTRY_ROADS, JUNCTIONS, MOTORWAYS, RADIALS, RINGS, TOWNS};
use super::super::random::{Purpose, Random};
use super::{Edge, Node, RoadClass, Roads, Segment, routing, turn};
use crate::domain::Position;

/// A degree of latitude in metres, on the sphere that `Position::distance_m` measures on.
const METRES_PER_DEGREE: f64 = 111_195.08;
/// Sideways acceleration that people find comfortable in bends.
const COMFORTABLE_LATERAL_M_PER_S2: f32 = 2.0;
/// Streets of a town along one side of its grid.
const GRID: usize = 4;
/// A town has a link to a junction at most this far away.
const LINK_M: f64 = 6_500.0;

type Point = (f64, f64);

struct Builder {
    random: Random,
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    segments: Vec<Segment>,
}

pub fn build(seed: u64) -> Roads {
    let random = Random::stream(seed, Purpose::Roads, 0);
    let mut builder = Builder { random, nodes: Vec::new(), edges: Vec::new(), segments: Vec::new() };
    let gates = builder.city();
    let towns: HashMap<&str, Vec<u16>> =
        TOWNS.iter().map(|town| (town.name, builder.town((town.latitude, town.longitude), town.radius_m))).collect();
    let junctions: HashMap<&str, u16> = JUNCTIONS
        .iter()
        .map(|junction| (junction.name, builder.add_node((junction.latitude, junction.longitude), 0.1)))
        .collect();
    for (from, to, limit) in MOTORWAYS {
        builder.road(junctions[from], junctions[to], RoadClass::Motorway, *limit);
    }
    for (from, to) in COUNTRY_ROADS {
        let (from, to) = builder.nearest_pair(&towns[from], &towns[to]);
        builder.road(from, to, RoadClass::Country, 100.0);
    }
    // In the order of the table: a map's order changes from run to run.
    for junction in JUNCTIONS.iter().map(|junction| junctions[junction.name]) {
        for nodes in TOWNS.iter().map(|town| &towns[town.name]).chain([&gates]) {
            let (from, to) = builder.nearest_pair(&[junction], nodes);
            if builder.distance_m(from, to) < LINK_M {
                builder.road(from, to, RoadClass::Arterial, 70.0);
            }
        }
    }
    for town in ["Durlach", "Stutensee", "Ettlingen", "Wörth"] {
        let (from, to) = builder.nearest_pair(&gates, &towns[town]);
        builder.road(from, to, RoadClass::Country, 80.0);
    }
    assert!(builder.edges.len() < usize::from(u16::MAX), "edges are numbered with 16 bits");
    let next = routing::next_edges(builder.nodes.len(), &builder.edges);
    Roads { nodes: builder.nodes, edges: builder.edges, segments: builder.segments, next }
}

impl Builder {
    /// The fan: rings crossed by radials. Returns the nodes of the outermost ring.
    fn city(&mut self) -> Vec<u16> {
        let centre = self.add_node(CENTRE, 0.3);
        let mut inner = vec![centre; RADIALS];
        for (radius_m, limit) in RINGS {
            let mut ring = Vec::with_capacity(RADIALS);
            for radial in 0..RADIALS {
                #[expect(clippy::cast_precision_loss, reason = "a dozen")]
                let angle = (radial as f64 + 0.25 * f64::from(self.random.unit())) / RADIALS as f64 * std::f64::consts::TAU;
                ring.push(self.add_node(offset(CENTRE, radius_m * angle.sin(), radius_m * angle.cos()), 0.5));
            }
            let class = if limit > 50.0 { RoadClass::Arterial } else { RoadClass::Street };
            for radial in 0..RADIALS {
                self.road(ring[radial], ring[(radial + 1) % RADIALS], class, limit);
                self.road(inner[radial], ring[radial], RoadClass::Street, 50.0);
            }
            inner = ring;
        }
        inner
    }

    /// A turned, slightly uneven grid of streets. Returns its nodes.
    fn town(&mut self, middle: Point, radius_m: f64) -> Vec<u16> {
        let (sin, cos) = f64::from(self.random.between((0.0, 1.5))).sin_cos();
        #[expect(clippy::cast_precision_loss, reason = "a handful")]
        let spacing_m = 2.0 * radius_m / (GRID - 1) as f64;
        let mut nodes = Vec::with_capacity(GRID * GRID);
        for index in 0..GRID * GRID {
            #[expect(clippy::cast_precision_loss, reason = "a handful")]
            let (column, row) = ((index % GRID) as f64, (index / GRID) as f64);
            let mut uneven = || f64::from(self.random.between((-0.15, 0.15)));
            let (x, y) = ((column + uneven()) * spacing_m - radius_m, (row + uneven()) * spacing_m - radius_m);
            nodes.push(self.add_node(offset(middle, x * cos - y * sin, x * sin + y * cos), 0.35));
        }
        for index in 0..GRID * GRID {
            let main_street = index / GRID == 1;
            let limit = if main_street || self.random.chance(0.3) { 50.0 } else { 30.0 };
            if index % GRID + 1 < GRID {
                self.road(nodes[index], nodes[index + 1], RoadClass::Street, limit);
            }
            if index + GRID < GRID * GRID {
                self.road(nodes[index], nodes[index + GRID], RoadClass::Street, limit);
            }
        }
        nodes
    }

    fn add_node(&mut self, (latitude, longitude): Point, wait_chance: f32) -> u16 {
        self.nodes.push(Node { latitude, longitude, wait_chance });
        u16::try_from(self.nodes.len() - 1).expect("some hundred nodes")
    }

    fn point(&self, node: u16) -> Point {
        let node = &self.nodes[usize::from(node)];
        (node.latitude, node.longitude)
    }

    fn distance_m(&self, from: u16, to: u16) -> f64 {
        distance_m(self.point(from), self.point(to))
    }

    fn nearest_pair(&self, from: &[u16], to: &[u16]) -> (u16, u16) {
        let pairs = from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to)));
        pairs.min_by(|a, b| self.distance_m(a.0, a.1).total_cmp(&self.distance_m(b.0, b.1))).expect("places have nodes")
    }

    /// Both directions of a road that winds as its class does.
    fn road(&mut self, from: u16, to: u16, class: RoadClass, limit_km_per_h: f32) {
        let mut points = self.winding(self.point(from), self.point(to), class);
        let edge = u16::try_from(self.edges.len()).expect("checked at the end");
        let ends = [(from, to, edge + 1), (to, from, edge)];
        for (from, to, reverse) in ends {
            let first_segment = self.segments.len();
            let length_m = self.lay(&points);
            self.edges.push(Edge {
                from,
                to,
                reverse,
                class,
                limit_m_per_s: limit_km_per_h / 3.6,
                length_m,
                first_segment: u32::try_from(first_segment).expect("some thousand pieces"),
                segment_count: u32::try_from(points.len() - 1).expect("some dozen pieces"),
            });
            points.reverse();
        }
    }

    /// Points from `from` to `to`: two sine waves across the straight line, nothing at its ends.
    fn winding(&mut self, from: Point, to: Point, class: RoadClass) -> Vec<Point> {
        let (piece_m, sway) = match class {
            RoadClass::Street => (300.0, 0.01),
            RoadClass::Arterial => (250.0, 0.03),
            RoadClass::Country => (300.0, 0.05),
            RoadClass::Motorway => (600.0, 0.025),
        };
        let length_m = distance_m(from, to);
        let pieces = ((length_m / piece_m).ceil() as u32).max(2);
        let (first, second) = (f64::from(self.random.between((-1.0, 1.0))), f64::from(self.random.between((-1.0, 1.0))));
        let across = (from.1 - to.1, to.0 - from.0);
        (0..=pieces)
            .map(|piece| {
                let share = f64::from(piece) / f64::from(pieces);
                let wave = |times: f64| (times * std::f64::consts::PI * share).sin();
                let shift = sway * (first * wave(1.0) + 0.5 * second * wave(4.0));
                // Across in degrees needs the shrinking of longitude undone; a few per cent do not matter to a bend.
                let latitude = from.0 + (to.0 - from.0) * share + shift * across.0 * 0.656;
                let longitude = from.1 + (to.1 - from.1) * share + shift * across.1 / 0.656;
                (latitude, longitude)
            })
            .collect()
    }

    /// Appends the pieces between `points`. Returns their length.
    fn lay(&mut self, points: &[Point]) -> f32 {
        let mut start_m = 0.0;
        let first = self.segments.len();
        for pair in points.windows(2) {
            let [from, to] = [pair[0], pair[1]];
            let length_m = distance_m(from, to);
            let east = (to.1 - from.1) * f64::midpoint(from.0, to.0).to_radians().cos();
            let (here_m, there_m) = (altitude_m(from), altitude_m(to));
            let heading_deg = east.atan2(to.0 - from.0).to_degrees().rem_euclid(360.0) as f32;
            self.segments.push(Segment {
                latitude: from.0,
                longitude: from.1,
                latitude_per_m: (to.0 - from.0) / length_m,
                longitude_per_m: (to.1 - from.1) / length_m,
                start_m,
                length_m: length_m as f32,
                heading_deg,
                curvature_per_m: 0.0,
                advised_m_per_s: f32::MAX,
                grade: ((there_m - here_m) / length_m).clamp(-0.06, 0.06) as f32,
                altitude_m: here_m as f32,
            });
            start_m += length_m as f32;
        }
        for index in first + 1..self.segments.len() {
            let before = self.segments[index - 1];
            let piece = &mut self.segments[index];
            let bend_deg = turn(before.heading_deg, piece.heading_deg);
            piece.curvature_per_m = bend_deg.to_radians() / piece.length_m.min(before.length_m);
            piece.advised_m_per_s = (COMFORTABLE_LATERAL_M_PER_S2 / piece.curvature_per_m.abs().max(1e-6)).sqrt().max(6.0);
        }
        start_m
    }
}

fn offset((latitude, longitude): Point, east_m: f64, north_m: f64) -> Point {
    let latitude = latitude + north_m / METRES_PER_DEGREE;
    (latitude, longitude + east_m / (METRES_PER_DEGREE * latitude.to_radians().cos()))
}

fn distance_m(from: Point, to: Point) -> f64 {
    let position = |(latitude, longitude)| Position::new(latitude, longitude).expect("built around Karlsruhe");
    position(from).distance_m(&position(to))
}

/// The Rhine plain at 110 m, rising eastward and southward into Kraichgau and Black Forest.
fn altitude_m((latitude, longitude): Point) -> f64 {
    let rise = ((longitude - 8.42 - (latitude - 49.0) * 0.5) / 0.25).clamp(0.0, 1.0);
    let hills = 0.7 + 0.3 * (longitude * 55.0).sin() * (latitude * 70.0).cos();
    110.0 + 190.0 * rise * rise * hills
}
