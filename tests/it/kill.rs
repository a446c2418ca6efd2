//! R1: no acknowledged reading is lost over repeated SIGKILL at random moments, and none is stored twice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::fleet::Fleet;
use crate::support::{Chance, Site, seed};

const ROUNDS: usize = 30;
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
    for round in 0..ROUNDS {
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
    assert!(audit.acknowledged > ROUNDS * 50, "only {} readings were acknowledged", audit.acknowledged);
    assert_eq!(site.api().all_quarantined(), 0);
    assert!(site.stop().success());
}
