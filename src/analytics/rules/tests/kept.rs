//! What is kept, what is late, what is switched off, and who is silent.

use proptest::prelude::*;

use super::*;
use crate::analytics::bytes::ByteReader;
use crate::analytics::rules::MAX_THRESHOLDS;
use crate::domain::{AlertKey, Timestamp};

fn saved_and_read(memory: &RuleMemory) -> RuleMemory {
    let mut bytes = Vec::new();
    memory.encode(&mut bytes);
    memory.encode_appended(&mut bytes);
    let decode = |bytes: &[u8]| {
        let mut from = ByteReader::new(bytes);
        let mut read = RuleMemory::decode(&mut from)?;
        read.decode_appended(&mut from)?;
        from.end().map(|()| read)
    };
    for length in 0..bytes.len() {
        assert!(decode(&bytes[..length]).is_err(), "{length} bytes");
    }
    decode(&bytes).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_restart_anywhere_changes_no_word_of_any_rule(
        readings in prop::collection::vec((1_i64..900, 0.0_f32..130.0, 0.0_f32..4_000.0, -45.0_f32..130.0, 0.0_f32..16.0, any::<bool>()), 2..60),
        restart in any::<prop::sample::Index>(),
    ) {
        let mut straight = a_vehicle();
        let mut restarted = a_vehicle();
        let restart = restart.index(readings.len());
        for (index, (after_s, speed, rpm, celsius, volts, is_on)) in readings.into_iter().enumerate() {
            if index == restart {
                restarted.memory = saved_and_read(&restarted.memory);
            }
            let values = [(s::SPEED, speed), (s::ENGINE_SPEED, rpm), (s::COOLANT_TEMPERATURE, celsius), (s::BATTERY_VOLTAGE, volts), (s::FUEL_LEVEL, celsius.abs().min(100.0)), (s::MASS_AIR_FLOW, volts * 3.0), (s::INTAKE_PRESSURE, 90.0), (s::INTAKE_TEMPERATURE, 20.0)];
            for drive in [&mut straight, &mut restarted] {
                drive.every_s = after_s;
                drive.ignition = Some(if is_on { Ignition::On } else { Ignition::Off });
                drive.codes = if celsius > 100.0 { vec!["P0217".into()] } else { Vec::new() };
                drive.send(&values);
            }
            prop_assert_eq!(&straight.claims, &restarted.claims);
            prop_assert_eq!(&straight.memory, &restarted.memory);
        }
    }
}

#[test]
fn a_late_reading_moves_no_memory_and_is_judged_by_itself_alone() {
    let mut drive = a_vehicle().sends(10, &driving_with(&[(s::COOLANT_TEMPERATURE, 90.0)]));
    let before = drive.memory.clone();
    drive.send_at(45, &driving_with(&[(s::COOLANT_TEMPERATURE, 121.0)]));
    assert_eq!(drive.memory, before);
    assert_eq!(drive.says("overheating"), Level::Raised);
    assert!(drive.claims.iter().all(|claim| claim.key != AlertKey::rule("alternator")));
}

#[test]
fn calm_rules_whose_key_nobody_follows_say_nothing() {
    let mut drive = a_vehicle().sends(10, &driving_with(&[(s::COOLANT_TEMPERATURE, 90.0)]));
    let reading = reading_at(1_000, &driving_with(&[(s::COOLANT_TEMPERATURE, 90.0)]));
    let placed = drive.vehicle.place(&reading, &drive.limits).unwrap();
    let context = Context {
        reading: &reading,
        timing: placed.timing,
        window: &drive.vehicle.window,
        step: placed.step.unwrap(),
        record: None,
    };
    drive.claims.clear();
    drive.rules.check(&context, &mut drive.memory, |_| false, &mut drive.claims);
    assert_eq!(drive.claims, []);
}

#[test]
fn rules_can_be_switched_off_and_their_thresholds_set() {
    let mut settings = settings::Rules { disabled: vec!["over_speed".to_owned()], ..settings::Rules::default() };
    settings.rules.get_mut("overheating").unwrap().thresholds.insert("limit".to_owned(), 95.0);
    let mut drive = a_vehicle();
    drive.rules = Rules::new(&settings).unwrap();
    let drive = drive.sends(1, &[(s::SPEED, 250.0), (s::COOLANT_TEMPERATURE, 96.0)]);
    assert_eq!(drive.says("overheating"), Level::Raised);
    assert!(drive.claims.iter().all(|claim| claim.key != AlertKey::rule("over_speed")));
    settings.disabled.push("overheatin".to_owned());
    assert!(Rules::new(&settings).unwrap_err().to_string().contains("did you mean `overheating`?"));
}

#[test]
fn a_vehicle_on_the_road_that_says_nothing_is_silent_and_a_parked_one_is_not() {
    let rules = Rules::new(&settings::Rules::default()).unwrap();
    let heard = Heard { received_at: at(0), listening_since: Timestamp::default(), is_parked: false, record: None };
    assert!(!rules.silence(&heard, at(1_199)).unwrap().is_silent);
    let silence = rules.silence(&heard, at(1_260)).unwrap();
    assert!(silence.is_silent);
    assert_eq!(&*silence.claim.unwrap().summary, "nothing heard for 21 min");
    assert!(!rules.silence(&Heard { is_parked: true, ..heard }, at(90_000)).unwrap().is_silent);
    assert!(!rules.silence(&Heard { listening_since: at(1_000), ..heard }, at(1_260)).unwrap().is_silent, "we were away");
    let drive = a_vehicle().with_ignition(Ignition::Off).sends(1, &[(s::SPEED, 0.0)]);
    assert!(drive.memory.is_parked() && !drive.with_ignition(Ignition::On).sends(1, &DRIVING).memory.is_parked());
}

#[test]
fn the_table_is_whole() {
    for (index, rule) in RULES.iter().enumerate() {
        assert!(RULES[..index].iter().all(|earlier| earlier.name != rule.name), "{} twice", rule.name);
        assert!(rule.thresholds.len() <= MAX_THRESHOLDS && !rule.meaning.is_empty() && !rule.source.is_empty(), "{}", rule.name);
        let persistence = rule.persistence;
        assert!((1..=persistence.of).contains(&persistence.raised) && persistence.of <= 64, "{}", rule.name);
        for (_, threshold, _) in rule.by_class {
            assert!(rule.thresholds.iter().any(|known| known.name == *threshold), "{} {threshold}", rule.name);
        }
    }
}
