//! What is said about a vehicle that drives, stands and crosses.

use std::f64::consts::TAU;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// 1 km wide, around (8.4, 49.0).
fn yard() -> Fence {
    let (east, north) = (500.0 / DEGREE_M / 49.0_f64.to_radians().cos(), 500.0 / DEGREE_M);
    let corners = [[-east, -north], [east, -north], [east, north], [-east, north], [-east, -north]];
    area("yard", &[&corners.map(|[x, y]| [8.4 + x, 49.0 + y])])
}

/// Longitude so many metres east of the middle of the yard.
fn east(metres: f64) -> f64 {
    8.4 + metres / DEGREE_M / 49.0_f64.to_radians().cos()
}

fn raised(claims: &[Claim]) -> Vec<&str> {
    claims.iter().filter(|claim| claim.level == Level::Raised).map(|claim| claim.key.as_str()).collect()
}

fn calm(claims: &[Claim]) -> Vec<&str> {
    claims.iter().filter(|claim| claim.level == Level::Calm).map(|claim| claim.key.as_str()).collect()
}

#[test]
fn a_visit_is_entered_stayed_and_left() {
    let set = FenceSet::compile(vec![yard()]);
    let mut drive = Drive { accuracy_m: Some(4.0), speed_km_per_h: Some(20.0), ..Drive::default() };
    assert_eq!(raised(drive.reading(&set, 0, east(-800.0), 49.0)), [""; 0]);
    assert!(drive.memory.is_empty());
    let claims = drive.reading(&set, 30, east(-400.0), 49.0);
    assert_eq!(raised(claims), ["fence:yard:enter"]);
    assert!(
        claims[0].summary.starts_with("inside yard since 2025-11-24T16:00:22.5"),
        "300 of 400 m on the way: {}",
        claims[0].summary
    );
    drive.speed_km_per_h = Some(31.0);
    let claims = drive.reading(&set, 60, east(0.0), 49.0);
    assert_eq!(raised(claims), ["fence:yard:enter", "fence:yard:speed"]);
    assert_eq!((claims[1].value, claims[1].limit), (Some(31.0), Some(30.0)));
    drive.speed_km_per_h = Some(28.0);
    assert_eq!(drive.reading(&set, 90, east(1.0), 49.0)[1].level, Level::Holding);
    drive.speed_km_per_h = Some(0.0);
    assert_eq!(calm(drive.reading(&set, 120, east(1.0), 49.0)), ["fence:yard:speed"]);
    assert_eq!(raised(drive.reading(&set, 622, east(1.0), 49.0)), ["fence:yard:enter"], "just under ten minutes");
    let claims = drive.reading(&set, 652, east(1.0), 49.0);
    assert_eq!(raised(claims), ["fence:yard:enter", "fence:yard:dwell"]);
    assert!(claims[1].value.unwrap() > 600.0 && claims[1].limit == Some(600.0));
    let claims = drive.reading(&set, 682, east(600.0), 49.0);
    assert_eq!(raised(claims), ["fence:yard:exit"]);
    assert_eq!(calm(claims), ["fence:yard:enter", "fence:yard:dwell"]);
    assert_eq!(raised(drive.reading(&set, 712, east(9_000.0), 49.0)), ["fence:yard:exit"], "wherever it goes");
    let claims = drive.reading(&set, 742, east(400.0), 49.0);
    assert_eq!((raised(claims), calm(claims)), (vec!["fence:yard:enter"], vec!["fence:yard:exit"]));
}

#[test]
fn a_vehicle_that_was_never_inside_is_not_outside() {
    let set = FenceSet::compile(vec![yard()]);
    let mut drive = Drive::default();
    for step in 0..10 {
        assert!(drive.reading(&set, i64::from(step) * 30, east(700.0 + 100.0 * f64::from(step)), 49.0).is_empty());
    }
    assert!(drive.memory.is_empty());
}

#[test]
fn what_it_went_through_between_two_readings_is_said_once() {
    for small in [circle("yard", 8.4, 49.0, 50.0), yard()] {
        let mut small = small;
        small.policy.on_exit = false;
        let set = FenceSet::compile(vec![small]);
        let mut drive = Drive { accuracy_m: Some(4.0), ..Drive::default() };
        drive.reading(&set, 0, east(-700.0), 49.0);
        let claims = drive.reading(&set, 30, east(700.0), 49.0);
        assert_eq!(raised(claims), ["fence:yard:enter"]);
        assert_eq!(&*claims[0].summary, "went through yard at about 2025-11-24T16:00:15Z");
        assert_eq!(calm(drive.reading(&set, 60, east(1_400.0), 49.0)), ["fence:yard:enter"]);
        assert!(drive.memory.is_empty());
        assert!(drive.reading(&set, 90, east(2_100.0), 49.0).is_empty());
    }
}

#[test]
fn a_way_over_more_than_five_minutes_is_not_guessed() {
    let set = FenceSet::compile(vec![yard()]);
    let mut drive = Drive::default();
    drive.reading(&set, 0, east(-700.0), 49.0);
    assert!(drive.reading(&set, 301, east(700.0), 49.0).is_empty());
    assert_eq!(raised(drive.reading(&set, 700, east(0.0), 49.0)), ["fence:yard:enter"]);
    assert_eq!(drive.memory.get(&FenceId::new("yard").unwrap()).unwrap().since, at(700), "no older than what is known");
}

#[test]
fn who_drives_along_the_fence_or_cuts_its_corner_is_not_inside() {
    let set = FenceSet::compile(vec![yard()]);
    let mut drive = Drive { accuracy_m: Some(4.0), ..Drive::default() };
    for step in 0..40 {
        let claims = drive.reading(&set, i64::from(step) * 30, east(-3_000.0 + 150.0 * f64::from(step)), 49.0 + 505.0 / DEGREE_M);
        assert!(claims.is_empty(), "5 m beside it: {claims:?}");
    }
    let mut drive = Drive { accuracy_m: Some(4.0), ..Drive::default() };
    drive.reading(&set, 0, east(480.0), 49.0 + 515.0 / DEGREE_M);
    assert!(drive.reading(&set, 30, east(515.0), 49.0 + 480.0 / DEGREE_M).is_empty(), "7 m deep at most");
}

#[test]
fn a_crossing_over_the_antimeridian_is_found() {
    let set = FenceSet::compile(vec![circle("yard", -179.999, 10.0, 50.0)]);
    let mut drive = Drive { accuracy_m: Some(4.0), ..Drive::default() };
    drive.reading(&set, 0, 179.996, 10.0);
    let claims = drive.reading(&set, 30, -179.994, 10.0);
    assert_eq!(raised(claims), ["fence:yard:enter", "fence:yard:exit"]);
    assert!(claims[0].summary.contains("16:00:15"), "{}", claims[0].summary);
}

#[test]
fn a_fence_that_is_gone_or_not_for_this_vehicle_any_more_is_called_off() {
    let mut drive = Drive::default();
    drive.reading(&FenceSet::compile(vec![yard()]), 0, east(0.0), 49.0);
    let mut of_others = yard();
    of_others.policy.groups = vec![Label::new("north").unwrap()];
    for set in [FenceSet::default(), FenceSet::compile(vec![of_others])] {
        let mut drive = Drive { memory: drive.memory.clone(), ..Drive::default() };
        assert_eq!(calm(drive.reading(&set, 30, east(0.0), 49.0)), ["fence:yard:enter"]);
        assert!(drive.memory.is_empty());
        assert!(drive.reading(&set, 60, east(0.0), 49.0).is_empty());
    }
}

#[test]
fn more_fences_than_a_vehicle_can_be_in_are_counted_and_claim_nothing() {
    let fences = (0..70).map(|number| circle(&format!("f{number}"), 8.4, 49.0, 500.0)).collect();
    let set = FenceSet::compile(fences);
    let (mut memory, mut claims) = (Memberships::default(), Vec::new());
    let class = Class::default();
    let sighting = Sighting {
        previous: None,
        position: position(8.4, 49.0),
        recorded_at: at(0),
        speed_km_per_h: None,
        class: &class,
        groups: &[],
    };
    assert_eq!(set.check(&sighting, &mut memory, &mut claims), 70 - MAX_MEMBERSHIPS);
    assert_eq!((memory.len(), claims.len()), (MAX_MEMBERSHIPS, MAX_MEMBERSHIPS));
}

/// Standard normal (Box and Muller 1958).
fn noise(random: &mut StdRng) -> f64 {
    let (length, angle): (f64, f64) = (1.0 - random.random::<f64>(), random.random());
    (-2.0 * length.ln()).sqrt() * (TAU * angle).cos()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_vehicle_that_stands_near_the_edge_does_not_flap(seed: u64, from_edge_m in -15.0..15.0, accuracy_m in 3.0_f32..20.0, round: bool) {
        let shape = if round { circle("yard", 8.4, 49.0, 500.0) } else { yard() };
        let set = FenceSet::compile(vec![shape]);
        let mut drive = Drive { accuracy_m: Some(accuracy_m), ..Drive::default() };
        let mut random = StdRng::seed_from_u64(seed);
        // 68 % within `accuracy_m` on a plane: 1.51 standard deviations of one axis.
        let deviation_m = f64::from(accuracy_m) / 1.51;
        for step in 0..2_880 {
            let (x, y) = (noise(&mut random) * deviation_m, noise(&mut random) * deviation_m);
            drive.reading(&set, step * 30, east(500.0 + from_edge_m + x), 49.0 + y / DEGREE_M);
        }
        let changes = drive.openings("fence:yard:enter") + drive.openings("fence:yard:exit");
        prop_assert!(changes <= 1, "{} changes in a day at {} m", changes, from_edge_m);
    }

    #[test]
    fn a_drive_through_is_found_once_whatever_the_moments_of_its_readings(
        offset_m in 0.0..800.0, half_width_m in 30.0..600.0, aside in -0.5..0.5, kind in 0..3,
    ) {
        let north = half_width_m / DEGREE_M;
        let wide = north / 49.0_f64.to_radians().cos();
        let shape = match kind {
            0 => circle("yard", 8.4, 49.0, half_width_m),
            1 => area("yard", &[&[[-wide, -north], [wide, -north], [wide, north], [-wide, north], [-wide, -north]].map(|[x, y]| [8.4 + x, 49.0 + y])]),
            _ => {
                let line = vec![place(8.4, 48.98), place(8.4, 49.02)];
                fence("yard", Shape::Stroke(Stroke::corridor(vec![line], half_width_m).unwrap()))
            }
        };
        let set = FenceSet::compile(vec![shape]);
        let mut drive = Drive { accuracy_m: Some(4.0), ..Drive::default() };
        for step in 0..10 {
            let metres = 800.0f64.mul_add(f64::from(step), offset_m - 4_000.0);
            drive.reading(&set, i64::from(step) * 30, east(metres), 49.0 + aside * north);
        }
        prop_assert_eq!(drive.openings("fence:yard:enter"), 1, "{:?}", drive.said);
    }
}
