//! Fences in and out of their file form, and every mistake with its place.

use super::*;
use crate::domain::Severity;
use std::time::Duration;

fn document(features: &str) -> String {
    format!(r#"{{"type":"FeatureCollection","features":[{features}]}}"#)
}

fn feature(geometry: &str, properties: &str) -> String {
    format!(r#"{{"type":"Feature","id":"yard","geometry":{geometry},"properties":{properties}}}"#)
}

fn problem(geometry: &str, properties: &str) -> String {
    read(&document(&feature(geometry, properties))).unwrap_err().to_string()
}

const SQUARE: &str = r#"{"type":"Polygon","coordinates":[[[8,49],[9,49],[9,50],[8,50],[8,49]]]}"#;
const POINT: &str = r#"{"type":"Point","coordinates":[8.4,49.0,120]}"#;
const LINE: &str = r#"{"type":"LineString","coordinates":[[8.4,49.0],[8.5,49.0]]}"#;

#[test]
fn a_policy_is_read_in_full() {
    let properties = r#"{"name":"Yard","on":["enter","exit","dwell","speed"],"dwell":"10m","max_speed_km_per_h":30.1,
        "groups":["north","van"],"severity":"critical"}"#;
    let fences = read(&document(&feature(SQUARE, properties))).unwrap();
    let Fence { id, name, policy, kept, .. } = &fences[0];
    assert_eq!((id.as_str(), name.as_ref(), kept.as_ref()), ("yard", "Yard", ""));
    assert!(policy.on_enter && policy.on_exit);
    assert_eq!(policy.dwell, Some(Duration::from_mins(10)));
    assert_eq!(policy.max_speed_km_per_h, Some(30.1));
    assert_eq!(policy.groups.len(), 2);
    assert_eq!(policy.severity, Severity::Critical);
}

#[test]
fn what_was_read_is_written_again_with_everything_that_is_not_ours() {
    let rest = r#"{"on":["enter"],"color":"red","note":{"by":"Kim"}}"#;
    let circle = r#"{"on":["enter"],"radius_m":50.5}"#;
    let corridor = r#"{"on":["exit","speed","dwell"],"dwell":"90s","buffer_m":30,"max_speed_km_per_h":30.1,"groups":["van"]}"#;
    let features = [
        r#"{"type":"Feature","id":7,"geometry":"#.to_owned()
            + SQUARE
            + r#","properties":"#
            + rest
            + r#","when":"always","bbox":[8,49,9,50]}"#,
        feature(POINT, circle).replace("yard", "circle"),
        feature(LINE, corridor).replace("yard", "corridor"),
        feature(r#"{"type":"MultiLineString","coordinates":[[[8,49],[8.5,49]],[[8,48],[8.5,48]]]}"#, corridor),
        feature(
            r#"{"type":"MultiPolygon","coordinates":[[[[8,49],[9,49],[9,50],[8,49]]],[[[18,49],[19,49],[19,50],[18,49]]]]}"#,
            rest,
        )
        .replace("yard", "two"),
    ];
    let fences = read(&document(&features.join(","))).unwrap();
    let written = write(&fences);
    assert_eq!(read(&written).unwrap(), fences);
    let value: Value = serde_json::from_str(&written).unwrap();
    assert_eq!(value.pointer("/features/0/properties/note/by"), Some(&Value::from("Kim")));
    assert_eq!(value.pointer("/features/0/when"), Some(&Value::from("always")));
    assert_eq!(value.pointer("/features/0/id"), Some(&Value::from("7")));
    assert_eq!(value.pointer("/features/2/properties/max_speed_km_per_h"), Some(&Value::from(30.1)));
}

#[test]
fn every_mistake_is_named_with_its_feature_and_place() {
    let bow_tie = r#"{"type":"Polygon","coordinates":[[[8,49],[9,50],[9,49],[8,50],[8,49]]]}"#;
    let open = r#"{"type":"Polygon","coordinates":[[[0,0],[9,0],[9,9],[0,9],[0,0]],[[1,1],[2,1],[2,2],[1,2]]]}"#;
    let on = r#"{"on":["enter"]}"#;
    let features = [
        feature(SQUARE, on),
        feature(bow_tie, on).replace("yard", "bow"),
        feature(open, on).replace("yard", "open"),
        feature(SQUARE, on),
    ];
    let error = read(&document(&features.join(","))).unwrap_err();
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(
        lines[0].starts_with(r#"feature 1 ("bow"): polygon 0, ring 0, coordinate 0 [8, 49]: the ring intersects itself"#),
        "{text}"
    );
    assert!(
        lines[1].starts_with(r#"feature 2 ("open"): polygon 0, ring 1, coordinate 3 [1, 2]: the ring is not closed"#),
        "{text}"
    );
    assert_eq!(lines[2], r#"feature 3 ("yard"): feature 0 has the same id"#);
}

#[test]
fn a_misspelt_property_is_refused_and_a_foreign_one_is_not() {
    for (wrong, right) in [
        ("max_speed_kmh", "max_speed_km_per_h"),
        ("maxSpeedKmPerH", "max_speed_km_per_h"),
        ("max_speed", "max_speed_km_per_h"),
        ("max_speed_mph", "max_speed_km_per_h"),
        ("group", "groups"),
        ("grups", "groups"),
        ("dwel", "dwell"),
        ("severty", "severity"),
        ("radius", "radius_m"),
    ] {
        let problem = problem(SQUARE, &format!(r#"{{"on":["enter"],"{wrong}":1}}"#));
        assert!(problem.contains(&format!("`{right}`")), "{wrong}: {problem}");
    }
    for fine in ["color", "speed", "road", "manager", "height_m", "stroke", "fill-opacity", "group_of_yards"] {
        let text = document(&feature(SQUARE, &format!(r#"{{"on":["enter"],"{fine}":1}}"#)));
        assert!(read(&text).is_ok(), "{fine}: {}", read(&text).unwrap_err());
    }
}

#[test]
fn a_policy_that_does_not_hang_together_is_refused_with_the_reason() {
    for (geometry, properties, expected) in [
        (SQUARE, r#"{"on":["enter","dwell"]}"#, "`dwell` is needed"),
        (SQUARE, r#"{"on":["enter"],"dwell":"10m"}"#, "does not list \"dwell\""),
        (SQUARE, r#"{"on":["dwell"],"dwell":"10"}"#, "duration"),
        (SQUARE, r#"{"on":["speed"],"max_speed_km_per_h":0}"#, "speed limit of 0"),
        (SQUARE, r#"{"on":["leave"]}"#, "\"leave\""),
        (SQUARE, "{}", "watches for nothing"),
        (SQUARE, r#"{"on":["enter"],"severity":"fatal"}"#, "`severity`"),
        (SQUARE, r#"{"on":["enter"],"groups":["north east"]}"#, "`groups`"),
        (SQUARE, r#"{"on":["enter"],"radius_m":50}"#, "not for a Polygon"),
        (POINT, r#"{"on":["enter"]}"#, "needs `radius_m`"),
        (POINT, r#"{"on":["enter"],"radius_m":-50}"#, "-50 m"),
        (LINE, r#"{"on":["enter"],"buffer_m":"50"}"#, "number of metres"),
        ("null", r#"{"on":["enter"]}"#, "no geometry"),
        (r#"{"type":"MultiPoint","coordinates":[[8,49]]}"#, r#"{"on":["enter"]}"#, "MultiPoint is no fence"),
        (r#"{"type":"Polygon","coordinates":[[[8,49],[9],[9,50],[8,49]]]}"#, r#"{"on":["enter"]}"#, "feature 0"),
        (r#"{"type":"Polygon","coordinates":[[[8,49],[9,149],[9,50],[8,49]]]}"#, r#"{"on":["enter"]}"#, "coordinate 1 [9, 149]"),
    ] {
        let problem = problem(geometry, properties);
        assert!(problem.contains(expected), "{properties}: {problem}");
    }
}

#[test]
fn documents_that_are_no_fences_are_refused_as_a_whole() {
    let swiss = r#"{"type":"FeatureCollection","crs":{"type":"name","properties":{"name":"EPSG:2056"}},"features":[]}"#;
    for (text, expected) in [(swiss, "EPSG:2056"), (SQUARE, "\"Polygon\""), ("[", "no GeoJSON"), ("{}", "no GeoJSON")] {
        let error = read(text).unwrap_err();
        assert_eq!(error.mistakes[0].feature, None);
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert!(read(&feature(SQUARE, r#"{"on":["enter"]}"#)).is_ok(), "one Feature is a document too");
}
