//! Agreement with GEOS, with naive distances, and with itself whatever the sampling.

use std::collections::{BTreeSet, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::analytics::claim::Level;
use crate::analytics::fixtures::at;
use crate::domain::Severity;
use crate::domain::fence::{Area, Policy, Polygon, Shape, Stroke};

mod agreement;
mod watching;

/// Metres of a degree of latitude.
const DEGREE_M: f64 = metric::METRES_PER_DEGREE;

fn policy() -> Policy {
    Policy {
        on_enter: true,
        on_exit: true,
        dwell: Some(Duration::from_mins(10)),
        max_speed_km_per_h: Some(30.0),
        groups: Vec::new(),
        severity: Severity::Warning,
    }
}

fn fence(id: &str, shape: Shape) -> Fence {
    Fence { id: FenceId::new(id).unwrap(), name: id.into(), shape, policy: policy(), kept: "".into() }
}

fn place(longitude: f64, latitude: f64) -> Place {
    Place { longitude, latitude }
}

fn position(longitude: f64, latitude: f64) -> Position {
    Position::new(latitude, longitude).unwrap()
}

fn circle(id: &str, longitude: f64, latitude: f64, radius_m: f64) -> Fence {
    fence(id, Shape::Stroke(Stroke::circle(place(longitude, latitude), radius_m).unwrap()))
}

fn area(id: &str, rings: &[&[[f64; 2]]]) -> Fence {
    let ring = |ring: &&[[f64; 2]]| ring.iter().map(|[longitude, latitude]| place(*longitude, *latitude)).collect();
    fence(id, Shape::Area(Area::new(vec![rings.iter().map(ring).collect()]).unwrap()))
}

fn around(set: &FenceSet, longitude: f64, latitude: f64) -> Vec<&str> {
    set.around(&position(longitude, latitude)).map(FenceId::as_str).collect()
}

/// One vehicle and what was said about it.
#[derive(Default)]
struct Drive {
    memory: Memberships,
    previous: Option<(Position, Timestamp)>,
    speed_km_per_h: Option<f32>,
    accuracy_m: Option<f32>,
    /// (seconds, key, level), of all readings.
    said: Vec<(i64, String, Level)>,
    claims: Vec<Claim>,
}

impl Drive {
    fn reading(&mut self, set: &FenceSet, seconds: i64, longitude: f64, latitude: f64) -> &[Claim] {
        let mut position = position(longitude, latitude);
        position.accuracy_m = self.accuracy_m;
        self.claims.clear();
        let class = Class::default();
        let sighting = Sighting {
            previous: self.previous,
            position,
            recorded_at: at(seconds),
            speed_km_per_h: self.speed_km_per_h,
            class: &class,
            groups: &[],
        };
        set.check(&sighting, &mut self.memory, &mut self.claims);
        self.previous = Some((position, at(seconds)));
        self.said.extend(self.claims.iter().map(|claim| (seconds, claim.key.as_str().to_owned(), claim.level)));
        &self.claims
    }

    /// How often a key went from not raised to raised.
    fn openings(&self, key: &str) -> usize {
        let levels: Vec<Level> = self.said.iter().filter(|(_, said, _)| said == key).map(|(_, _, level)| *level).collect();
        let is_first = levels.first() == Some(&Level::Raised);
        usize::from(is_first) + levels.windows(2).filter(|pair| pair[0] != Level::Raised && pair[1] == Level::Raised).count()
    }
}

fn shared(file: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/geofence").join(file);
    if path.exists() {
        return Some(path);
    }
    println!("NOT RUN: {} is not there", path.display());
    None
}
