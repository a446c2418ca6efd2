//! R1: no acknowledged reading is lost over repeated SIGKILL at random moments, and none is stored twice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum as _;
use odograph::bench::service::ServiceError;
use odograph::crash_point::CrashPoint;

use crate::support::fleet::{Fleet, StopsWhenDropped};
use crate::support::{Chance, Site, is_torture, seed, wait_for};

const ROUNDS: usize = 30;
const ROUNDS_UNDER_TORTURE: usize = 300;
/// Enough that the group commits of 3,000 readings/s have something to group.
const VEHICLES: u64 = 40;
/// Most rounds run at the rate of the smallest fleet, every third at nine times that.
const RATES: [f64; 3] = [333.0, 333.0, 3_000.0];
/// The archive may still have the journal of the last rounds before it.
const DRAIN_WITHIN: Duration = Duration::from_secs(30);

/// One data folder through thirty lives of the service. Each life takes load and ends by SIGKILL at a moment that the seed decides; some end
/// while the service is still recovering. Vehicles repeat what was not acknowledged, so the service also meets what it already has.
#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_stored_twice_over_thirty_kills() {
    let seed = seed();
    let mut chance = Chance::new(seed);
    let mut site = Site::stopped();
    let fleet = Fleet::new("kill", VEHICLES, seed);
    let rounds = if is_torture() { ROUNDS_UNDER_TORTURE } else { ROUNDS };
    for round in 0..rounds {
        if round % 5 == 4 {
            site.start_and_kill_after(chance.millis(5, 400));
        }
        let starting = Instant::now();
        site.restart();
        let started = starting.elapsed();
        let before = fleet.acknowledged();
        let moment = chance.millis(300, 1_200);
        let never_stopping = AtomicBool::new(false);
        let mqtt = site.service().mqtt();
        thread::scope(|scope| {
            scope.spawn(|| fleet.publish(mqtt, RATES[round % RATES.len()], &never_stopping));
            thread::sleep(moment);
            site.kill();
            never_stopping.store(true, Ordering::Relaxed);
        });
        println!(
            "round {round}: ready after {started:?}, killed after {moment:?}, {} acknowledged in it",
            fleet.acknowledged() - before
        );
    }
    site.restart();
    fleet.publish_some(site.service().mqtt(), 333.0, Duration::from_millis(300));
    let audit = fleet.audit(&site.api(), DRAIN_WITHIN);
    println!("{} acknowledged, {} stored, {} scored", audit.acknowledged, audit.stored, audit.with_score);
    audit.assert_clean();
    // A test that hardly got an acknowledgement would prove nothing.
    assert!(audit.acknowledged > rounds * 50, "only {} readings were acknowledged", audit.acknowledged);
    assert_eq!(site.api().all_quarantined(), 0);
    assert!(site.stop().success());
}

/// Small segments and frequent checkpoints, so that every place is passed within seconds.
const BUSY_JOURNAL: &str = "[journal]\nsegment = \"1MiB\"\nmax = \"1GiB\"\n[analytics]\ncheckpoint_every = \"2s\"\n";
/// How often a place may be passed before the process dies there.
const PASSES: u64 = 12;
/// Of those that come by every few seconds.
const RARE_PASSES: u64 = 3;
const DIES_WITHIN: Duration = Duration::from_mins(1);

#[test]
fn nothing_is_lost_or_stored_twice_by_a_crash_between_any_two_steps() {
    let mut chance = Chance::new(seed());
    let mut site = Site::with_settings(BUSY_JOURNAL);
    let fleet = Fleet::new("crash", VEHICLES, chance.next());
    let rounds = if is_torture() { 20 } else { 2 };
    for point in (0..rounds).flat_map(|_| CrashPoint::value_variants()) {
        let name = point.to_possible_value().expect("none is hidden").get_name().to_owned();
        assert!(site.stop().success());
        let is_rare = matches!(point, CrashPoint::SegmentMade | CrashPoint::CheckpointSynced);
        let at = format!("{name}:{}", 1 + chance.next() % if is_rare { RARE_PASSES } else { PASSES });
        match site.try_restart_with(&["--crash-at", &at]) {
            Ok(()) => {}
            Err(ServiceError::EndedEarly { .. }) => {
                println!("{at}: before it was ready");
                site.restart();
                continue;
            }
            Err(error) => panic!("{error}"),
        }
        let (before, never_stopping, mqtt) = (fleet.acknowledged(), AtomicBool::new(false), site.service().mqtt());
        thread::scope(|scope| {
            let _when_it_fails = StopsWhenDropped(&never_stopping);
            scope.spawn(|| fleet.publish(mqtt, 3_000.0, &never_stopping));
            wait_for(&format!("a crash at {at}"), DIES_WITHIN, || site.has_died().then_some(()));
        });
        println!("{at}: {} acknowledged before it", fleet.acknowledged() - before);
        site.kill();
        site.restart();
    }
    fleet.publish_some(site.service().mqtt(), 333.0, Duration::from_millis(300));
    let audit = fleet.audit(&site.api(), DRAIN_WITHIN);
    println!("{} acknowledged, {} stored, {} scored", audit.acknowledged, audit.stored, audit.with_score);
    audit.assert_clean();
    assert!(audit.acknowledged > 1_000, "only {} readings were acknowledged", audit.acknowledged);
    assert_eq!(site.api().all_quarantined(), 0);
    assert!(site.stop().success());
}
