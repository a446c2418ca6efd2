//! Which areas are sound: by hand, one of each flaw, and all of JTS where `../shared/data` is there.

use std::path::Path;

use super::{Area, Flaw, InvalidShape, Place, Policy, Polygon, Ring, Stroke};
use crate::domain::{Class, Label, Severity};

fn ring(places: &[[f64; 2]]) -> Ring {
    places.iter().map(|[longitude, latitude]| Place { longitude: *longitude, latitude: *latitude }).collect()
}

fn square(west: f64, south: f64, side: f64) -> Ring {
    let (east, north) = (west + side, south + side);
    ring(&[[west, south], [east, south], [east, north], [west, north], [west, south]])
}

fn refused(polygons: Vec<Polygon>) -> InvalidShape {
    Area::new(polygons).unwrap_err()
}

/// Polygon, ring, coordinate.
type Found = (usize, usize, Option<usize>);

#[test]
fn each_flaw_is_named_with_its_place() {
    let shell = || square(0.0, 0.0, 10.0);
    let cases: [(Vec<Polygon>, Found, Flaw); 17] = [
        (vec![], (0, 0, None), Flaw::Empty),
        (vec![vec![shell()], vec![]], (1, 0, None), Flaw::Empty),
        (vec![vec![shell(), vec![]]], (0, 1, None), Flaw::Empty),
        (vec![vec![ring(&[[0., 0.], [1., 0.], [1., 0.], [0., 0.]])]], (0, 0, None), Flaw::TooFewPoints { given: 2, needed: 3 }),
        (vec![vec![ring(&[[0., 0.], [1., 0.], [1., 1.]])]], (0, 0, Some(2)), Flaw::Unclosed),
        (vec![vec![ring(&[[0., 0.], [1., f64::NAN], [1., 1.], [0., 0.]])]], (0, 0, Some(1)), Flaw::NotFinite),
        (vec![vec![ring(&[[0., 0.], [180.5, 0.], [1., 1.], [0., 0.]])]], (0, 0, Some(1)), Flaw::OutOfRange),
        (vec![vec![ring(&[[179., 0.], [-179., 0.], [-179., 1.], [179., 0.]])]], (0, 0, Some(0)), Flaw::AcrossAntimeridian),
        (vec![vec![ring(&[[0., 0.], [1., 1.], [1., 0.], [0., 1.], [0., 0.]])]], (0, 0, Some(0)), Flaw::SelfIntersection),
        (vec![vec![ring(&[[0., 0.], [4., 0.], [4., 4.], [2., 0.], [0., 4.], [0., 0.]])]], (0, 0, Some(0)), Flaw::SelfTouch),
        (vec![vec![shell(), square(8., 8., 4.)]], (0, 0, Some(1)), Flaw::Crossing { polygon: 0, ring: 1 }),
        (vec![vec![shell()], vec![square(10., 2., 4.)]], (0, 0, Some(1)), Flaw::SharedEdge { polygon: 1, ring: 0 }),
        (vec![vec![shell(), square(20., 2., 4.)]], (0, 1, None), Flaw::HoleOutside),
        (vec![vec![shell(), square(2., 2., 6.), square(3., 3., 2.)]], (0, 2, None), Flaw::NestedHoles { ring: 1 }),
        (vec![vec![square(3., 3., 2.)], vec![shell()]], (0, 0, None), Flaw::NestedPolygons { polygon: 1 }),
        (vec![vec![square(0., 0., 2.)], vec![shell()]], (0, 0, Some(0)), Flaw::SharedEdge { polygon: 1, ring: 0 }),
        (vec![vec![shell(), ring(&[[0., 5.], [5., 2.], [10., 5.], [5., 8.], [0., 5.]])]], (0, 1, Some(3)), Flaw::Disconnected),
    ];
    for (polygons, (polygon, ring, coordinate), flaw) in cases {
        let found = refused(polygons.clone());
        assert_eq!(found.flaw, flaw, "{polygons:?}");
        assert_eq!((found.polygon, found.ring), (polygon, ring), "{found}");
        assert_eq!(found.coordinate.map(|(index, _)| index), coordinate, "{found}");
    }
}

#[test]
fn what_only_touches_is_sound() {
    let shell = || square(0.0, 0.0, 10.0);
    let touching_once = ring(&[[0., 5.], [5., 2.], [5., 8.], [0., 5.]]);
    for polygons in [
        vec![vec![shell(), touching_once]],
        vec![vec![shell()], vec![square(10., 10., 4.)]],
        vec![vec![shell(), square(2., 2., 6.)], vec![square(3., 3., 2.)]],
        vec![vec![ring(&[[0., 0.], [1., 0.], [1., 0.], [1., 1.], [0., 0.]])]],
        // Around a pole, and up to the antimeridian from both sides.
        vec![vec![ring(&[[-180., -90.], [180., -90.], [180., -70.], [0., -60.], [-180., -70.], [-180., -90.]])]],
        vec![vec![square(175., 0., 5.)], vec![square(-180., 0., 5.)]],
    ] {
        assert_eq!(Area::new(polygons.clone()).err(), None, "{polygons:?}");
    }
}

/// `POLYGON ((x y, …), …)`, `MULTIPOLYGON (…)`; `None` for other kinds. Scaled to degrees by a power of two, which changes no topology.
fn polygons_of(wkt: &str) -> Option<Vec<Polygon>> {
    let rest = wkt.strip_prefix("MULTIPOLYGON").or_else(|| wkt.strip_prefix("POLYGON"))?;
    let (mut polygons, mut depth, mut text) = (Vec::new(), 0, String::new());
    let of_rings = if wkt.starts_with("MULTI") { 3 } else { 2 };
    if of_rings == 2 {
        polygons.push(Polygon::new());
    }
    for character in rest.chars() {
        match character {
            '(' => {
                depth += 1;
                if depth == 2 && of_rings == 3 {
                    polygons.push(Polygon::new());
                }
                text.clear();
            }
            ')' => {
                if depth == of_rings {
                    let numbers =
                        |pair: &str| pair.split_whitespace().map(|number| number.parse().unwrap()).collect::<Vec<f64>>();
                    let places: Vec<[f64; 2]> = text.split(',').map(numbers).map(|pair| [pair[0], pair[1]]).collect();
                    polygons.last_mut().unwrap().push(ring(&places));
                }
                depth -= 1;
            }
            other => text.push(other),
        }
    }
    let places = || polygons.iter().flatten().flatten();
    let most = places().map(|place| place.longitude.abs().max(place.latitude.abs())).fold(1.0, f64::max);
    let scale = (90.0 / most).log2().floor().exp2();
    let scaled = |place: &Place| Place { longitude: place.longitude * scale, latitude: place.latitude * scale };
    let scaled_ring = |ring: &Ring| ring.iter().map(scaled).collect();
    Some(polygons.iter().map(|rings| rings.iter().map(scaled_ring).collect()).collect())
}

#[test]
fn areas_are_judged_as_jts_judges_them() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/geofence/jts_polygon_validity.jsonl");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("NOT RUN: {} is not there", path.display());
        return;
    };
    let (mut sound, mut refused, mut empty, mut wrong) = (0, 0, 0, Vec::new());
    for line in text.lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let wkt = case["wkt"].as_str().unwrap();
        let Some(polygons) = polygons_of(wkt) else { continue };
        let is_valid = case["valid"].as_bool().unwrap();
        match (Area::new(polygons), is_valid) {
            (Ok(_), true) => sound += 1,
            (Err(_), false) => refused += 1,
            // Valid as a geometry, useless as a fence.
            (Err(InvalidShape { flaw: Flaw::Empty, .. }), true) if wkt.contains("EMPTY") => empty += 1,
            (Ok(_), false) => wrong.push(format!("taken: {} {wkt}", case["desc"])),
            (Err(flaw), true) => wrong.push(format!("refused: {flaw}: {} {wkt}", case["desc"])),
        }
    }
    println!("JTS: {sound} sound, {refused} refused, {empty} empty ones refused as fences");
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
    assert!(sound > 250 && refused > 120, "the cases were found: {sound}, {refused}");
}

#[test]
fn a_fence_is_for_groups_and_classes_alike() {
    let label = |text: &str| Label::new(text).unwrap();
    let policy = Policy {
        on_enter: true,
        on_exit: false,
        dwell: None,
        max_speed_km_per_h: None,
        groups: vec![label("heavy_truck"), label("north")],
        severity: Severity::Warning,
    };
    assert!(policy.is_for(&Class::new(label("heavy_truck")), &[]));
    assert!(policy.is_for(&Class::default(), &[label("south"), label("north")]));
    assert!(!policy.is_for(&Class::default(), &[label("south")]));
}

#[test]
fn circles_and_corridors_that_cannot_be_are_refused() {
    let place = |longitude, latitude| Place { longitude, latitude };
    assert!(Stroke::circle(place(8.4, 49.0), f64::NAN).is_err());
    assert!(Stroke::circle(place(8.4, 49.0), 0.0).unwrap_err().to_string().contains("0 m"));
    assert!(Stroke::circle(place(8.4, 91.0), 50.0).is_err());
    assert!(Stroke::corridor(vec![vec![place(8.4, 49.0); 3]], 50.0).is_err(), "a line without length");
    let over = Stroke::corridor(vec![vec![place(179.0, 1.0), place(-179.0, 1.0)]], 50.0).unwrap_err();
    assert!(over.to_string().contains("antimeridian"), "{over}");
    assert!(Stroke::corridor(vec![vec![place(8.4, 49.0), place(8.5, 49.0)]], 50.0).is_ok());
}
