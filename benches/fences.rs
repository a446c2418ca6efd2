//! What fences cost one reading: 10,000 of them, one vehicle. Steps of 30 s and up to 800 m that vary, so that no answer is remembered.
//!
//! - `depots`: 10,000 circles and polygons of 8 to 64 corners, 100 m to 3 km wide, over Europe.
//! - `dense`: the same over 100 km × 100 km, so that a vehicle is inside several at once.
//! - `countries`: the 238 sound ones of Natural Earth 1:50m (99,539 corners; `../shared/data`), the rest depots; the drive is in Europe.
//!
//! `cargo bench --bench fences`; figures per element are per reading.

#![expect(clippy::unwrap_used, clippy::cast_precision_loss, reason = "a benchmark of small numbers")]

use std::f64::consts::TAU;
use std::hint::black_box;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use odograph::analytics::claim::Claim;
use odograph::analytics::fences::{FenceSet, Memberships, Sighting};
use odograph::domain::fence::{Area, Place, Policy, Polygon, Shape, Stroke};
use odograph::domain::{Class, Fence, FenceId, Position, Severity, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const FENCES: usize = 10_000;
const READINGS: usize = 20_000;
const DEGREE_M: f64 = 111_195.0;

/// West, south, east, north.
type Bounds = [f64; 4];
const EUROPE: Bounds = [-5.0, 40.0, 25.0, 55.0];
const TOWN: Bounds = [8.0, 48.5, 9.37, 49.4];

fn fences(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fences");
    group.throughput(Throughput::Elements(1));
    let mut sets = vec![("depots", depots(FENCES, EUROPE), EUROPE), ("dense", depots(FENCES, TOWN), TOWN)];
    match countries() {
        Some(mut countries) => {
            let depots = depots(FENCES - countries.len(), EUROPE);
            countries.extend(depots);
            sets.push(("countries", countries, EUROPE));
        }
        None => println!("NOT RUN: countries: ../shared/data/geofence/countries-50m.geojson.gz is not there"),
    }
    for (name, fences, bounds) in sets {
        let set = FenceSet::compile(fences);
        assert_eq!(set.len(), FENCES);
        let drive = drive(bounds);
        report(name, &set, &drive);
        let class = Class::default();
        let (mut memory, mut claims, mut step) = (Memberships::default(), Vec::<Claim>::new(), 1);
        group.bench_function(format!("{name}, {FENCES} fences, one reading"), |bencher| {
            bencher.iter(|| {
                if step == drive.len() {
                    (step, memory) = (1, Memberships::default());
                }
                claims.clear();
                let without_room = set.check(&sighting(&drive, step, &class), &mut memory, &mut claims);
                step += 1;
                black_box(without_room);
            });
        });
    }
    group.finish();
}

fn sighting<'a>(drive: &[(Position, Timestamp)], step: usize, class: &'a Class) -> Sighting<'a> {
    let (position, recorded_at) = drive[step];
    Sighting { previous: Some(drive[step - 1]), position, recorded_at, speed_km_per_h: Some(60.0), class, groups: &[] }
}

/// How much there was to say, so that the figure can be judged.
fn report(name: &str, set: &FenceSet, drive: &[(Position, Timestamp)]) {
    let (mut memory, mut claims, mut inside, class) = (Memberships::default(), Vec::new(), 0, Class::default());
    for step in 1..drive.len() {
        set.check(&sighting(drive, step, &class), &mut memory, &mut claims);
        inside += memory.len();
    }
    let per_reading = |count: usize| count as f64 / (drive.len() - 1) as f64;
    println!("{name}: {:.2} memberships and {:.2} claims a reading", per_reading(inside), per_reading(claims.len()));
}

/// Half of the time it stands.
fn drive([west, south, east, north]: Bounds) -> Vec<(Position, Timestamp)> {
    let mut random = StdRng::seed_from_u64(7);
    let (mut longitude, mut latitude, mut heading) = (f64::midpoint(west, east), f64::midpoint(south, north), 0.0_f64);
    let mut reading = |step: usize| {
        heading += random.random_range(-0.5..0.5);
        let way_m: f64 = if (step / 20).is_multiple_of(2) { random.random_range(100.0..800.0) } else { 0.0 };
        let noise_m: f64 = random.random_range(-3.0..3.0);
        latitude += (way_m * heading.cos() + noise_m) / DEGREE_M;
        longitude += way_m * heading.sin() / DEGREE_M / latitude.to_radians().cos();
        if longitude < west || longitude > east || latitude < south || latitude > north {
            heading += TAU / 2.0;
            (longitude, latitude) = (longitude.clamp(west, east), latitude.clamp(south, north));
        }
        let mut position = Position::new(latitude, longitude).unwrap();
        position.accuracy_m = Some(4.0);
        (position, Timestamp::from_micros(1_764_000_000_000_000 + 30_000_000 * i64::try_from(step).unwrap()))
    };
    (0..READINGS).map(&mut reading).collect()
}

fn depots(count: usize, [west, south, east, north]: Bounds) -> Vec<Fence> {
    let mut random = StdRng::seed_from_u64(42);
    let depot = |number: usize| {
        let centre = Place { longitude: random.random_range(west..east), latitude: random.random_range(south..north) };
        let radius_m = 50.0 * 30.0_f64.powf(random.random_range(0.0..1.0));
        let corners = random.random_range(8..64);
        let shape = if number.is_multiple_of(2) {
            Shape::Stroke(Stroke::circle(centre, radius_m).unwrap())
        } else {
            // Star-shaped around the centre, so that no edge crosses another.
            let mut ring: Vec<Place> = (0..corners)
                .map(|corner| {
                    let (angle, reach) = (TAU * f64::from(corner) / f64::from(corners), radius_m * random.random_range(0.7..1.0));
                    let (x, y) = (reach * angle.cos() / DEGREE_M, reach * angle.sin() / DEGREE_M);
                    let longitude = centre.longitude + x / centre.latitude.to_radians().cos();
                    Place { longitude, latitude: centre.latitude + y }
                })
                .collect();
            ring.push(ring[0]);
            Shape::Area(Area::new(vec![vec![ring]]).unwrap())
        };
        fence(&format!("depot-{number}"), shape)
    };
    (0..count).map(depot).collect()
}

fn fence(id: &str, shape: Shape) -> Fence {
    let policy = Policy {
        on_enter: false,
        on_exit: false,
        dwell: Some(Duration::from_mins(30)),
        max_speed_km_per_h: Some(50.0),
        groups: Vec::new(),
        severity: Severity::Warning,
    };
    Fence { id: FenceId::new(id).unwrap(), name: id.into(), shape, policy, kept: "".into() }
}

fn countries() -> Option<Vec<Fence>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/geofence/countries-50m.geojson.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).ok()?).read_to_string(&mut text).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let polygon = |rings: &serde_json::Value| -> Polygon {
        let place =
            |pair: &serde_json::Value| Place { longitude: pair[0].as_f64().unwrap(), latitude: pair[1].as_f64().unwrap() };
        rings.as_array().unwrap().iter().map(|ring| ring.as_array().unwrap().iter().map(place).collect()).collect()
    };
    let country = |(number, feature): (usize, &serde_json::Value)| {
        let (kind, coordinates) = (&feature["geometry"]["type"], &feature["geometry"]["coordinates"]);
        let polygons = if kind == "Polygon" {
            vec![polygon(coordinates)]
        } else {
            coordinates.as_array().unwrap().iter().map(polygon).collect()
        };
        Some(fence(&format!("country-{number}"), Shape::Area(Area::new(polygons).ok()?)))
    };
    Some(document["features"].as_array().unwrap().iter().enumerate().filter_map(country).collect())
}

criterion_group!(benches, fences);
criterion_main!(benches);
