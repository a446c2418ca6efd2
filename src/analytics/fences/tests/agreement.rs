//! Where is inside: the answers of GEOS, and distances worked out the slow way.

use super::*;

fn countries() -> Option<serde_json::Value> {
    let mut text = String::new();
    let file = std::fs::File::open(shared("countries-50m.geojson.gz")?).unwrap();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}

fn polygons(geometry: &serde_json::Value) -> Vec<Polygon> {
    let polygon = |rings: &serde_json::Value| -> Polygon {
        let place = |pair: &serde_json::Value| place(pair[0].as_f64().unwrap(), pair[1].as_f64().unwrap());
        rings.as_array().unwrap().iter().map(|ring| ring.as_array().unwrap().iter().map(place).collect()).collect()
    };
    let coordinates = &geometry["coordinates"];
    if geometry["type"] == "Polygon" {
        return vec![polygon(coordinates)];
    }
    coordinates.as_array().unwrap().iter().map(polygon).collect()
}

#[test]
fn points_are_inside_the_countries_that_geos_says() {
    let Some(countries) = countries() else { return };
    let (mut fences, mut refused) = (Vec::new(), BTreeSet::new());
    for feature in countries["features"].as_array().unwrap() {
        let fid = feature["properties"]["fid"].to_string();
        let is_valid = feature["properties"]["valid"].as_bool().unwrap();
        match Area::new(polygons(&feature["geometry"])) {
            Ok(area) => fences.push(fence(&fid, Shape::Area(area))),
            Err(flaw) => {
                println!("refused: {} {}: {flaw}", fid, feature["properties"]["name"]);
                refused.insert(fid.clone());
            }
        }
        assert_eq!(refused.contains(&fid), !is_valid, "validity of {}", feature["properties"]["name"]);
    }
    let set = FenceSet::compile(fences);
    let mut text = String::new();
    let answers = std::fs::File::open(shared("pip_countries_50m.csv.gz").unwrap()).unwrap();
    flate2::read::GzDecoder::new(answers).read_to_string(&mut text).unwrap();
    let (mut points, mut on_edge, mut wrong) = (0, 0, Vec::new());
    for row in csv::Reader::from_reader(text.as_bytes()).records() {
        let row = row.unwrap();
        let (longitude, latitude): (f64, f64) = (row[0].parse().unwrap(), row[1].parse().unwrap());
        let listed = |column: usize| row[column].split([';', ' ', '|']).filter(|fid| !fid.is_empty() && !refused.contains(*fid));
        let expected: BTreeSet<&str> = listed(3).collect();
        let touching: BTreeSet<&str> = listed(4).collect();
        let found: BTreeSet<&str> = around(&set, longitude, latitude).into_iter().collect();
        points += 1;
        on_edge += usize::from(!touching.is_empty());
        let differ: Vec<_> = found.symmetric_difference(&expected).filter(|fid| !touching.contains(*fid)).collect();
        if !differ.is_empty() {
            wrong.push(format!("{row:?}: {differ:?}"));
        }
    }
    println!("GEOS: {points} points, {on_edge} of them on an edge, {} differ", wrong.len());
    assert!(points > 19_000 && wrong.is_empty(), "{points} points, {}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_hole_is_outside_and_the_boundary_is_inside() {
    let outer = [[8.0, 49.0], [9.0, 49.0], [9.0, 50.0], [8.0, 50.0], [8.0, 49.0]];
    let hole = [[8.4, 49.4], [8.6, 49.4], [8.6, 49.6], [8.4, 49.6], [8.4, 49.4]];
    let set = FenceSet::compile(vec![area("yard", &[&outer, &hole])]);
    for (longitude, latitude, is_inside) in [
        (8.1, 49.1, true),
        (8.5, 49.5, false),
        (8.4, 49.5, true),
        (8.0, 49.0, true),
        (9.0, 50.0, true),
        (8.5, 50.0, true),
        (8.5, 49.0, true),
        (8.1, 49.4, true),
        (7.9, 49.4, false),
        (9.1, 49.0, false),
    ] {
        assert_eq!(around(&set, longitude, latitude).len(), usize::from(is_inside), "{longitude} {latitude}");
    }
}

#[test]
fn fences_go_on_beyond_the_antimeridian_and_around_a_pole() {
    let ring = |west: f64, east: f64| {
        [[west, 10.0], [east, 10.0], [east, 11.0], [west, 11.0], [west, 10.0]].map(|[x, y]| place(x, y)).to_vec()
    };
    let cut = Area::new(vec![vec![ring(179.0, 180.0)], vec![ring(-180.0, -179.0)]]).unwrap();
    let line = Stroke::corridor(vec![vec![place(179.0, 20.0), place(180.0, 20.0)]], 5_000.0).unwrap();
    let set = FenceSet::compile(vec![
        fence("cut", Shape::Area(cut)),
        circle("circle", 179.99, 0.0, 5_000.0),
        circle("pole", 30.0, 89.99, 5_000.0),
        fence("line", Shape::Stroke(line)),
    ]);
    assert_eq!(around(&set, 179.5, 10.5), ["cut"]);
    assert_eq!(around(&set, -179.5, 10.5), ["cut"]);
    assert_eq!(around(&set, 180.0, 10.5), ["cut"]);
    assert_eq!(around(&set, -179.98, 0.0), ["circle"]);
    assert_eq!(around(&set, -179.96, 0.0), [""; 0]);
    assert_eq!(around(&set, -179.97, 20.0), ["line"]);
    assert_eq!(around(&set, -150.0, 89.99), ["pole"], "2.2 km away over the pole");
    assert_eq!(around(&set, -150.0, 89.9), [""; 0]);
}

fn places() -> impl Strategy<Value = (f64, f64)> {
    (-179.9..179.9, -80.0..80.0)
}

proptest! {
    #[test]
    fn a_circle_holds_what_is_within_its_radius((longitude, latitude) in places(), radius_m in 20.0..50_000.0, bearing in 0.0..std::f64::consts::TAU, part in 0.0..2.0) {
        let set = FenceSet::compile(vec![circle("circle", longitude, latitude, radius_m)]);
        let north: f64 = part * radius_m * f64::cos(bearing) / DEGREE_M;
        let east = part * radius_m * f64::sin(bearing) / DEGREE_M / (latitude + north).to_radians().cos();
        let there = position(metric::short_way(longitude + east), latitude + north);
        let distance_m = there.distance_m(&position(longitude, latitude));
        prop_assume!((distance_m - radius_m).abs() > radius_m * 0.002 + 0.01);
        prop_assert_eq!(set.around(&there).count() == 1, distance_m < radius_m, "{} m of {} m", distance_m, radius_m);
    }

    #[test]
    fn a_corridor_holds_what_is_within_its_buffer(
        (longitude, latitude) in places(),
        steps in prop::collection::vec((-0.05..0.05, -0.05..0.05), 1..6),
        buffer_m in 20.0_f64..2_000.0,
        (along, aside) in (0.0..1.0, (-0.04..0.04, -0.04..0.04)),
    ) {
        let longitude = longitude.clamp(-179.0, 179.0);
        let mut line = vec![place(longitude, latitude)];
        for (east, north) in steps {
            let last = line[line.len() - 1];
            line.push(place(last.longitude + east, last.latitude + north));
        }
        // Naive: a walk in steps of about 2 m or less along every piece.
        let piece = &line[0..2];
        let there = position(
            piece[0].longitude + along * (piece[1].longitude - piece[0].longitude) + aside.0,
            piece[0].latitude + along * (piece[1].latitude - piece[0].latitude) + aside.1,
        );
        let nearest_m: f64 = line.windows(2).flat_map(|pair| (0..=4_000).map(|step| ground::between(pair[0], pair[1], f64::from(step) / 4_000.0)))
            .map(|walked| there.distance_m(&position(walked.longitude, walked.latitude)))
            .fold(f64::INFINITY, f64::min);
        prop_assume!((nearest_m - buffer_m).abs() > buffer_m * 0.002 + 2.0);
        let set = FenceSet::compile(vec![fence("line", Shape::Stroke(Stroke::corridor(vec![line], buffer_m).unwrap()))]);
        prop_assert_eq!(set.around(&there).count() == 1, nearest_m < buffer_m, "{} m of {} m", nearest_m, buffer_m);
    }

    #[test]
    fn the_index_finds_what_asking_every_fence_finds(
        fences in prop::collection::vec((0.0..1.0, 0.0..1.0, 100.0..20_000.0), 1..60),
        asked in prop::collection::vec((0.0..1.0, 0.0..1.0), 20),
    ) {
        let fences: Vec<Fence> = fences.iter().enumerate()
            .map(|(number, (east, north, radius_m))| circle(&number.to_string(), *east, *north, *radius_m)).collect();
        let alone: Vec<FenceSet> = fences.iter().map(|fence| FenceSet::compile(vec![fence.clone()])).collect();
        let set = FenceSet::compile(fences);
        for (longitude, latitude) in asked {
            let found: HashSet<&str> = around(&set, longitude, latitude).into_iter().collect();
            let expected: HashSet<&str> = alone.iter().flat_map(|set| around(set, longitude, latitude)).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
