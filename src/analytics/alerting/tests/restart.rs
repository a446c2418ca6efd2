//! A restart anywhere changes nothing: saved state and the tail of the journal lead to where it was.

use proptest::prelude::*;

use super::*;
use crate::analytics::bytes::ByteReader;

/// What happens to a vehicle.
#[derive(Debug, Clone)]
enum Step {
    Reading { after_s: i64, delay_s: i64, is_late: bool, levels: [Option<Level>; 3], value: f64 },
    Tick { after_s: i64, is_silent: bool },
    Command { which: usize, action: Action },
}

/// What the journal has of it.
enum Record {
    Reading { seconds: i64, delay_s: i64, timing: Timing, claims: Vec<Claim> },
    Event(Box<AlertEvent>),
}

struct Past {
    story: Story,
    journal: Vec<Record>,
    /// After each step: records written so far, and the state.
    moments: Vec<(usize, Episodes)>,
}

fn step() -> impl Strategy<Value = Step> {
    let level = prop_oneof![
        4 => Just(Some(Level::Raised)), 1 => Just(Some(Level::Holding)), 4 => Just(Some(Level::Calm)),
        1 => Just(Some(Level::NotAssessed)), 1 => Just(None),
    ];
    let reading = (
        1_i64..400,
        prop_oneof![4 => Just(0_i64), 1 => Just(3_600_i64)],
        prop::bool::weighted(0.1),
        [level.clone(), level.clone(), level],
        113.0..125.0,
    )
        .prop_map(|(after_s, delay_s, is_late, levels, value)| Step::Reading { after_s, delay_s, is_late, levels, value });
    let tick = (0_i64..30, any::<bool>()).prop_map(|(after_s, is_silent)| Step::Tick { after_s, is_silent });
    let action = prop_oneof![
        Just(Action::Acknowledge),
        Just(Action::Assign { to: "workshop".into() }),
        (0_i64..9_000).prop_map(|seconds| Action::Silence { until: at(seconds) }),
        Just(Action::Resolve { verdict: None }),
        Just(Action::Resolve { verdict: Some(Verdict::FalseAlarm) }),
    ];
    let command = (0_usize..8, action).prop_map(|(which, action)| Step::Command { which, action });
    prop_oneof![6 => reading, 2 => tick, 1 => command]
}

fn keys() -> [AlertKey; 3] {
    [overheating(), AlertKey::fence("depot", "exit"), AlertKey::rule(SILENT_VEHICLE)]
}

fn live(steps: &[Step]) -> Past {
    let mut past = Past { story: a_vehicle(), journal: Vec::new(), moments: vec![(0, Episodes::default())] };
    let mut ticked_s = 0;
    for step in steps {
        let told = past.story.events.len();
        match step {
            Step::Reading { after_s, delay_s, is_late, levels, value } => {
                let said = |key: &AlertKey, level: Level| {
                    let speaks = *key == AlertKey::rule(SILENT_VEHICLE);
                    if speaks { level.min(Level::Calm) } else { level }
                };
                let claims = keys().into_iter().zip(levels).filter_map(|(key, level)| {
                    let level = said(&key, (*level)?);
                    Some(claim(key, level, *value))
                });
                let claims: Vec<_> = claims.collect();
                let seconds = if *is_late { past.story.seconds - after_s } else { past.story.seconds + after_s };
                past.story.seconds = past.story.seconds.max(seconds);
                past.story = past.story.delayed_by(*delay_s);
                if *is_late {
                    past.story.timing = Timing::Late;
                }
                past.story.observe(seconds, &claims);
                past.journal.push(Record::Reading { seconds, delay_s: *delay_s, timing: past.story.timing, claims });
            }
            Step::Tick { after_s, is_silent } => {
                // No two ticks at the same moment.
                ticked_s = (ticked_s + 1).max(past.story.seconds + past.story.delay_s + after_s);
                past.story = past.story.tick_at(ticked_s, *is_silent);
            }
            Step::Command { which, action } => {
                let open: Vec<AlertId> = past.story.events.iter().map(|event| event.alert.alert_id).collect();
                if let Some(alert_id) = open.get(open.len().wrapping_sub(1 + which)).copied() {
                    let command = Command {
                        vehicle_id: past.story.vehicle_id.clone(),
                        alert_id,
                        action: action.clone(),
                        by: "ada".into(),
                        note: (*which == 3).then(|| "seen".into()),
                        at: at(past.story.seconds),
                    };
                    // A refusal is no event.
                    let _refused = past.story.episodes.command(&command, &mut past.story.events);
                }
            }
        }
        past.journal.extend(past.story.events[told..].iter().cloned().map(Box::new).map(Record::Event));
        past.moments.push((past.journal.len(), past.story.episodes.clone()));
    }
    past
}

fn saved_and_read(episodes: &Episodes) -> Episodes {
    let mut bytes = Vec::new();
    episodes.encode(&mut bytes);
    let mut from = ByteReader::new(&bytes);
    let read = Episodes::decode(&mut from, &VehicleId::new("truck-7").unwrap()).unwrap();
    from.end().unwrap();
    read
}

/// From the state after step `from`, over the records up to `until`.
fn replayed(past: &Past, from: usize, until: usize) -> (Episodes, Vec<AlertEvent>) {
    let (first, episodes) = &past.moments[from];
    let mut story = a_vehicle();
    story.episodes = saved_and_read(episodes);
    let mut tail = Tail::default();
    for record in &past.journal[*first..until] {
        match record {
            Record::Event(event) => tail.event(&mut story.episodes, event),
            Record::Reading { seconds, delay_s, timing, claims } => {
                let mut reading = reading_at(*seconds, &[(COOLANT_TEMPERATURE, 100.0)]);
                reading.received_at = at(seconds + delay_s);
                let seen = Seen {
                    vehicle_id: &story.vehicle_id,
                    reading: &reading,
                    timing: *timing,
                    arrival: seconds.unsigned_abs(),
                    configuration: 3,
                };
                tail.reading(&mut story.episodes, &seen, claims);
            }
        }
    }
    (story.episodes, tail.missing())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_restart_anywhere_changes_nothing(steps in prop::collection::vec(step(), 1..60), from in any::<prop::sample::Index>(), until in any::<prop::sample::Index>()) {
        let past = live(&steps);
        let until = until.index(past.moments.len());
        let from = from.index(until + 1);
        let (episodes, missing) = replayed(&past, from, past.moments[until].0);
        prop_assert_eq!(&episodes, &past.moments[until].1);
        prop_assert_eq!(missing, []);
    }

    #[test]
    fn events_that_the_power_cut_took_are_told_after_it(steps in prop::collection::vec(step(), 1..60), cut in any::<prop::sample::Index>()) {
        let past = live(&steps);
        // The journal ends right after a reading, before the events that came of it.
        let readings: Vec<usize> =
            past.journal.iter().enumerate().filter(|(_, record)| matches!(record, Record::Reading { .. })).map(|(index, _)| index).collect();
        prop_assume!(!readings.is_empty());
        let reading = readings[cut.index(readings.len())];
        let rest = past.journal[reading + 1..].iter();
        let moment = past.moments.iter().find(|(written, _)| *written > reading).unwrap();
        let lost: Vec<AlertEvent> = rest.take(moment.0 - reading - 1).map(|record| match record {
            Record::Event(event) => (**event).clone(),
            Record::Reading { .. } => unreachable!("one reading a step"),
        }).collect();
        let (episodes, missing) = replayed(&past, 0, reading + 1);
        prop_assert_eq!(missing, lost);
        prop_assert_eq!(&episodes, &moment.1);
    }

    #[test]
    fn events_of_an_alert_are_numbered_without_gaps_and_its_id_never_comes_back(steps in prop::collection::vec(step(), 1..80)) {
        let past = live(&steps);
        let mut newest: std::collections::HashMap<AlertId, Alert> = std::collections::HashMap::new();
        for event in &past.story.events {
            let alert = &event.alert;
            let before = newest.insert(alert.alert_id, alert.clone());
            prop_assert_eq!(alert.revision, before.as_ref().map_or(0, |before| before.revision) + 1);
            let was_over = before.is_some_and(|before| before.condition == Condition::Cleared);
            prop_assert!(!was_over || alert.condition == Condition::Cleared, "{} opens again", alert.alert_id);
            prop_assert!(alert.severity >= Severity::Warning && alert.opened_at <= alert.last_seen_at);
        }
    }

    #[test]
    fn damaged_bytes_are_refused_or_read_but_never_a_panic(steps in prop::collection::vec(step(), 1..30), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let past = live(&steps);
        let mut bytes = Vec::new();
        past.story.episodes.encode(&mut bytes);
        for length in 0..bytes.len() {
            prop_assert!(Episodes::decode(&mut ByteReader::new(&bytes[..length]), &past.story.vehicle_id).is_err());
        }
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _whatever = Episodes::decode(&mut ByteReader::new(&bytes), &past.story.vehicle_id);
    }
}

#[test]
fn a_vehicle_with_nothing_to_tell_saves_two_bytes() {
    let mut bytes = Vec::new();
    Episodes::default().encode(&mut bytes);
    assert_eq!(bytes.len(), 2);
}
