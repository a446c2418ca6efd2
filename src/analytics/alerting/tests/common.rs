//! One cause for many.

use super::super::common_cause::{FLOOD, common_causes};
use super::*;

fn alert_of(vehicle: u32, key: &AlertKey, opened_s: i64) -> Alert {
    let mut story = a_vehicle();
    story.vehicle_id = VehicleId::new(&format!("van-{vehicle}")).unwrap();
    story.seconds = opened_s - STEP_S;
    let story = story.saying(&[claim(key.clone(), Level::Raised, 115.0)], 2);
    story.last().alert.clone()
}

#[test]
fn ten_vehicles_in_ten_minutes_have_one_cause() {
    let fleet = |count: u32, every_s: i64| -> Vec<Alert> {
        (0..count).map(|vehicle| alert_of(vehicle, &overheating(), i64::from(vehicle) * every_s)).collect()
    };
    let alerts = fleet(10, 60);
    let groups = common_causes(alerts.iter().rev(), &FLOOD);
    assert_eq!(groups.len(), 1);
    assert_eq!((groups[0].vehicles, groups[0].members.len()), (10, 10));
    assert_eq!((groups[0].first_opened_at, groups[0].last_opened_at), (at(0), at(540)));
    assert_eq!(groups[0].members[0], alerts[0].alert_id, "in their order");
    assert_eq!(common_causes(&fleet(9, 60), &FLOOD), [], "nine are not enough");
    assert_eq!(common_causes(&fleet(60, 70), &FLOOD), [], "never ten within ten minutes");
}

#[test]
fn a_wave_stays_one_group_and_a_second_one_is_another() {
    let wave = (0..120).map(|vehicle| alert_of(vehicle, &overheating(), i64::from(vehicle) * 30));
    let second = (0..10).map(|vehicle| alert_of(vehicle, &overheating(), 10_000 + i64::from(vehicle)));
    let alerts: Vec<_> = wave.chain(second).collect();
    let sizes: Vec<_> = common_causes(&alerts, &FLOOD).iter().map(|group| group.members.len()).collect();
    assert_eq!(sizes, [120, 10]);
}

#[test]
fn one_vehicle_that_opens_again_and_again_or_different_keys_are_no_common_cause() {
    let one: Vec<_> = (0..30).map(|number| alert_of(1, &overheating(), number)).collect();
    assert_eq!(common_causes(&one, &FLOOD), []);
    let keys: Vec<_> = (0..30).map(|number| alert_of(number, &AlertKey::rule(&format!("r{number}")), 0)).collect();
    assert_eq!(common_causes(&keys, &FLOOD), []);
}
