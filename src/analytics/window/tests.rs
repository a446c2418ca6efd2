//! Tests of `window`.

use proptest::prelude::*;

use super::*;
use crate::analytics::bytes::ByteReader;
use crate::analytics::fixtures::{at, reading_at};
use crate::domain::{Signal, SignalTable, SignalValues, signal};

const NO_LIMIT: usize = 1 << 20;

fn limits(minutes: u64, max_bytes: usize) -> WindowLimits {
    WindowLimits::new(Duration::from_mins(minutes), max_bytes)
}

fn speeds(window: &Window) -> Vec<f32> {
    window.signal(signal::SPEED, 0, window.len()).unwrap().iter().collect()
}

fn encoded(window: &Window) -> Vec<u8> {
    let mut bytes = Vec::new();
    window.encode(&mut bytes);
    bytes
}

#[test]
fn steps_older_than_what_is_kept_leave_the_window() {
    let mut window = Window::default();
    for minute in 0..=30 {
        window.insert(&reading_at(minute * 60, &[(signal::SPEED, minute as f32)]), &limits(10, NO_LIMIT));
    }
    assert_eq!(speeds(&window), (20..=30).map(|minute| minute as f32).collect::<Vec<_>>());
    assert!(window.reaches_back_to(at(19 * 60)));
    assert!(!window.reaches_back_to(at(19 * 60 - 1)));
}

#[test]
fn a_late_reading_takes_its_place() {
    let mut window = Window::default();
    for seconds in [0, 60, 120] {
        window.insert(&reading_at(seconds, &[(signal::SPEED, seconds as f32)]), &limits(10, NO_LIMIT));
    }
    let late = window.insert(&reading_at(90, &[(signal::COOLANT_TEMPERATURE, 90.0)]), &limits(10, NO_LIMIT));
    assert_eq!(late, Insertion::Step { step: 2, cut: false });
    assert_eq!(window.signal_at(signal::SPEED, 2), None);
    assert_eq!(window.signal_at(signal::COOLANT_TEMPERATURE, 2), Some(90.0));
    assert_eq!(window.signal_at(signal::SPEED, 3), Some(120.0));
}

#[test]
fn a_reading_older_than_the_window_is_remembered_as_lost() {
    let mut window = Window::default();
    window.insert(&reading_at(3_600, &[(signal::SPEED, 1.0)]), &limits(10, NO_LIMIT));
    assert!(window.reaches_back_to(at(0)));
    assert_eq!(window.insert(&reading_at(600, &[(signal::SPEED, 2.0)]), &limits(10, NO_LIMIT)), Insertion::TooOld);
    assert!(!window.reaches_back_to(at(0)));
    assert!(window.reaches_back_to(at(600)));
}

#[test]
fn readings_of_one_moment_are_one_step_and_the_later_arrival_wins() {
    let mut window = Window::default();
    let first = reading_at(0, &[(signal::SPEED, 50.0), (signal::GEAR, 3.0)]);
    let second = reading_at(0, &[(signal::SPEED, 51.0), (signal::FUEL_LEVEL, 40.0)]);
    for reading in [&first, &second] {
        assert_eq!(window.insert(reading, &limits(10, NO_LIMIT)), Insertion::Step { step: 0, cut: false });
    }
    let values = [signal::SPEED, signal::GEAR, signal::FUEL_LEVEL].map(|id| window.signal_at(id, 0));
    assert_eq!((window.len(), values), (1, [Some(51.0), Some(3.0), Some(40.0)]));
    assert!(window.contains(first.recorded_at, first.fingerprint));
    assert!(window.contains(second.recorded_at, second.fingerprint));
    assert!(!window.contains(second.recorded_at, 17));
    assert!(!window.contains(at(1), first.fingerprint));
}

#[test]
fn a_window_without_memory_loses_its_oldest_steps_and_says_so() {
    let mut window = Window::default();
    // 16 bytes of identity and 4 of speed a step.
    let tight = limits(10, 20 * 8);
    let outcomes: Vec<_> = (0..10).map(|s| window.insert(&reading_at(s, &[(signal::SPEED, s as f32)]), &tight)).collect();
    assert_eq!(outcomes[7], Insertion::Step { step: 7, cut: false });
    assert_eq!(outcomes[8], Insertion::Step { step: 7, cut: true });
    assert_eq!(speeds(&window), [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
    assert!(!window.reaches_back_to(at(0)));
    assert_eq!(window.insert(&reading_at(0, &[(signal::SPEED, 0.0)]), &tight), Insertion::TooOld);
}

#[test]
fn a_steady_window_does_not_grow() {
    let mut window = Window::default();
    let speed_at = |step: i64| reading_at(step * 30, &[(signal::SPEED, 1.0)]);
    (0..30).for_each(|step| _ = window.insert(&speed_at(step), &limits(10, NO_LIMIT)));
    let (before, capacity) = (window.heap_bytes(), window.capacity);
    (30..300).for_each(|step| _ = window.insert(&speed_at(step), &limits(10, NO_LIMIT)));
    assert_eq!((window.heap_bytes(), window.capacity), (before, capacity));
}

#[test]
fn ten_signals_at_30_s_over_10_minutes_stay_under_2_kib() {
    let mut window = Window::default();
    for step in 0..100 {
        let values: Vec<_> = (0..10).map(|index| (SignalId::from_index(index).unwrap(), 1.0)).collect();
        let mut reading = reading_at(step * 30, &values);
        let mut position = Position::new(49.0, 8.0).unwrap();
        position.heading_deg = Some(90.0);
        reading.position = Some(position);
        window.insert(&reading, &limits(10, NO_LIMIT));
    }
    let bytes = size_of::<Window>() + window.heap_bytes();
    println!("{bytes} bytes: {} of the struct, {} steps of {}", size_of::<Window>(), window.len(), window.capacity);
    assert!(bytes < 2_048, "{bytes}");
}

#[test]
fn declared_signals_are_dropped_when_the_declarations_change() {
    let table_with = |names: &[&'static str]| {
        let declared = |name: &&'static str| Signal { name, unit: "", vss_path: "", plausible: (0.0, 1.0), hold: None };
        SignalTable::new(signal::SIGNALS.iter().cloned().chain(names.iter().map(declared)).collect())
    };
    let (before, after) = (SignalLayout::of(&table_with(&["wiper", "horn"])), SignalLayout::of(&table_with(&["horn"])));
    let horn_before = SignalId::from_index(signal::SIGNALS.len() + 1).unwrap();
    let mut window = Window::default();
    window.insert(&reading_at(0, &[(signal::SPEED, 5.0), (horn_before, 1.0)]), &limits(10, NO_LIMIT));
    let bytes = encoded(&window);
    let same = Window::decode(&mut ByteReader::new(&bytes), &before, &before).unwrap();
    assert_eq!(same.signal_at(horn_before, 0), Some(1.0));
    let changed = Window::decode(&mut ByteReader::new(&bytes), &before, &after).unwrap();
    assert_eq!((changed.signal_at(signal::SPEED, 0), changed.signal_at(horn_before, 0)), (Some(5.0), None));
}

/// Readings of three signals within a few minutes, in any order, some of one moment.
fn readings() -> impl Strategy<Value = Vec<Reading>> {
    let values = proptest::collection::vec((0..3_usize, -50.0_f32..50.0), 1..4);
    proptest::collection::vec((0..1_500_i64, values), 1..60).prop_map(|readings| {
        let with_ids = |values: Vec<(usize, f32)>| -> Vec<_> {
            values.into_iter().map(|(index, value)| (SignalId::from_index(index).unwrap(), value)).collect()
        };
        readings.into_iter().map(|(seconds, values)| reading_at(seconds, &with_ids(values))).collect()
    })
}

proptest! {
    #[test]
    fn a_window_holds_what_a_sorted_list_would(readings in readings(), minutes in 10..30_u64) {
        let mut window = Window::default();
        let mut expected: Vec<(Timestamp, SignalValues)> = Vec::new();
        let mut lost: Option<Timestamp> = None;
        let keep = Duration::from_mins(minutes);
        for reading in &readings {
            window.insert(reading, &limits(minutes, NO_LIMIT));
            match expected.iter_mut().find(|(time, _)| *time == reading.recorded_at) {
                Some((_, values)) => reading.signals.iter().for_each(|(id, value)| values.set(id, value)),
                None => expected.push((reading.recorded_at, reading.signals)),
            }
            expected.sort_by_key(|(time, _)| *time);
            let newest = expected.last().unwrap().0;
            let gone = expected.iter().filter(|(time, _)| *time < newest.minus(keep)).map(|(time, _)| *time).max();
            lost = lost.max(gone);
            expected.retain(|(time, _)| *time >= newest.minus(keep));
        }
        let found: Vec<_> = (0..window.len())
            .map(|step| {
                let mut values = SignalValues::default();
                for id in (0..3).filter_map(SignalId::from_index) {
                    if let Some(value) = window.signal_at(id, step) { values.set(id, value); }
                }
                (window.recorded_at(step), values)
            })
            .collect();
        prop_assert_eq!(found, expected);
        for seconds in 0..1_500 {
            prop_assert_eq!(window.reaches_back_to(at(seconds)), lost.is_none_or(|lost| lost <= at(seconds)));
        }
    }

    #[test]
    fn a_window_read_back_is_the_window_written(readings in readings(), max_bytes in 100..2_000_usize) {
        let mut window = Window::default();
        for reading in &readings {
            window.insert(reading, &limits(20, max_bytes));
        }
        let layout = SignalLayout::of(&SignalTable::default());
        let bytes = encoded(&window);
        let mut from = ByteReader::new(&bytes);
        let read = Window::decode(&mut from, &layout, &layout).unwrap();
        from.end().unwrap();
        prop_assert_eq!(encoded(&read), bytes);
    }
}
