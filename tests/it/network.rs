//! A network that resets, delays, slices and swallows, between the service and each of its neighbours: nothing acknowledged is lost, nothing is
//! stored twice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use odograph::bench::postgres::{Promise, Server, run_sql};

use crate::support::broker::Mosquitto;
use crate::support::fleet::{Fleet, StopsWhenDropped};
use crate::support::proxy::{Fault, Proxy};
use crate::support::{Chance, Site, scale, seed, wait_for};

const VEHICLES: u64 = 40;
const PER_SECOND: f64 = 333.0;
const DRAIN_WITHIN: Duration = Duration::from_mins(1);
/// Commits whose answer is lost.
const LOST_ANSWERS: usize = 10;

/// In an order that chance decides.
fn faults(chance: &mut Chance) -> Vec<Fault> {
    let delay = Fault::Delay(chance.millis(5, 80));
    let mut faults = vec![Fault::Reset, delay, Fault::Slices, Fault::BlackHole, Fault::Reset, Fault::BlackHole, Fault::Slices];
    for index in (1..faults.len()).rev() {
        faults.swap(index, usize::try_from(chance.next()).unwrap_or_default() % (index + 1));
    }
    faults
}

fn archived_through(proxy: &Proxy) -> String {
    format!("[archive]\nurl = \"postgres://postgres@{}/postgres\"\n", proxy.address())
}

fn assert_no_row_twice(server: &Server) {
    let question = "select count(*), count(distinct (vehicle, recorded_at, fingerprint)) from readings";
    let counted = run_sql(&server.url("postgres"), question).unwrap();
    let (rows, identities) = counted.split_once('|').unwrap();
    assert_eq!(rows, identities);
}

/// Publishes while `meanwhile` runs.
fn publishing(fleet: &Fleet, site: &Site, meanwhile: impl FnOnce()) {
    let (mqtt, stopping) = (site.service().mqtt(), AtomicBool::new(false));
    thread::scope(|scope| {
        let publishing = scope.spawn(|| fleet.publish(mqtt, PER_SECOND, &stopping));
        let _when_it_fails = StopsWhenDropped(&stopping);
        meanwhile();
        stopping.store(true, Ordering::Relaxed);
        assert_eq!(publishing.join().unwrap(), Ok(()));
    });
}

#[test]
fn a_commit_whose_answer_is_lost_is_neither_lost_nor_stored_twice() {
    let server = Server::start(Promise::Durable).unwrap_or_else(|error| panic!("{error}"));
    let proxy = Proxy::to(([127, 0, 0, 1], server.port()).into());
    let site = Site::with_settings(&archived_through(&proxy));
    let fleet = Fleet::new("commit", VEHICLES, seed());
    publishing(&fleet, &site, || {
        wait_for("readings in the archive", DRAIN_WITHIN, || (!site.api().readings("commit-000").is_empty()).then_some(()));
        for number in 1..=LOST_ANSWERS {
            let before = proxy.cuts();
            proxy.set(Fault::CutAfter(b"commit"));
            wait_for("a commit to cut", DRAIN_WITHIN, || (proxy.cuts() > before).then_some(()));
            proxy.set(Fault::None);
            let before = fleet.acknowledged();
            wait_for("more readings", DRAIN_WITHIN, || (fleet.acknowledged() > before + 50 * number).then_some(()));
        }
    });
    let audit = fleet.audit(&site.api(), DRAIN_WITHIN);
    println!("{} acknowledged, {} stored, {} answers lost", audit.acknowledged, audit.stored, proxy.cuts());
    audit.assert_clean();
    assert_eq!(site.api().all_quarantined(), 0);
    assert_no_row_twice(&server);
}

#[test]
fn an_archive_behind_a_bad_network_gets_everything_once_and_no_vehicle_waits() {
    let mut chance = Chance::new(seed());
    let server = Server::start(Promise::Durable).unwrap_or_else(|error| panic!("{error}"));
    let proxy = Proxy::to(([127, 0, 0, 1], server.port()).into());
    let site = Site::with_settings(&archived_through(&proxy));
    let fleet = Fleet::new("archive", VEHICLES, chance.next());
    publishing(&fleet, &site, || {
        for fault in faults(&mut chance) {
            let before = fleet.acknowledged();
            proxy.set(fault);
            let lasts = scale(chance.millis(1_000, 2_500), 10);
            thread::sleep(lasts);
            proxy.set(Fault::None);
            let acknowledged = fleet.acknowledged() - before;
            println!("{fault:?} for {lasts:?}: {acknowledged} acknowledged");
            #[expect(clippy::cast_precision_loss, reason = "some thousand readings")]
            let share = acknowledged as f64 / (PER_SECOND * lasts.as_secs_f64());
            // It would be next to nothing; other tests on the same cores may take a good part.
            assert!(share > 0.25, "vehicles waited for the archive: {share:.2} of the rate during {fault:?}");
            thread::sleep(chance.millis(100, 600));
        }
    });
    let audit = fleet.audit(&site.api(), DRAIN_WITHIN);
    println!("{} acknowledged, {} stored", audit.acknowledged, audit.stored);
    audit.assert_clean();
    assert_eq!(site.api().all_quarantined(), 0);
    assert_no_row_twice(&server);
}

#[test]
fn vehicles_behind_a_bad_network_are_told_the_truth() {
    let mut chance = Chance::new(seed());
    let site = Site::start();
    let fleet = Fleet::new("mobile", VEHICLES, chance.next());
    let proxy = Proxy::to(site.service().mqtt());
    for fault in faults(&mut chance) {
        let (before, stopping) = (fleet.acknowledged(), AtomicBool::new(false));
        thread::scope(|scope| {
            let publishing = scope.spawn(|| fleet.publish(proxy.address(), PER_SECOND, &stopping));
            let _when_it_fails = StopsWhenDropped(&stopping);
            wait_for("acknowledgements", DRAIN_WITHIN, || (fleet.acknowledged() > before + 20).then_some(()));
            proxy.set(fault);
            thread::sleep(scale(chance.millis(300, 1_500), 10));
            // What was swallowed never comes: only a new connection helps.
            if fault == Fault::BlackHole {
                proxy.set(Fault::Reset);
            }
            stopping.store(true, Ordering::Relaxed);
            let ended = publishing.join().unwrap();
            let breaks = matches!(fault, Fault::Reset | Fault::BlackHole);
            assert_eq!(ended.is_err(), breaks, "{fault:?}: {ended:?}");
        });
        proxy.set(Fault::None);
        println!("{fault:?}: {} acknowledged", fleet.acknowledged() - before);
    }
    fleet.publish_some(site.service().mqtt(), PER_SECOND, Duration::from_millis(300));
    let audit = fleet.audit(&site.api(), DRAIN_WITHIN);
    println!("{} acknowledged, {} stored", audit.acknowledged, audit.stored);
    audit.assert_clean();
    assert_eq!(site.api().all_quarantined(), 0);
}

#[test]
fn a_broker_behind_a_bad_network_keeps_what_the_service_did_not_acknowledge() {
    let Some(broker) = Mosquitto::start() else { return };
    let mut chance = Chance::new(seed());
    let proxy = Proxy::to(broker.address());
    let site = Site::with_settings(&format!("[broker]\nurl = \"mqtt://{}\"\n", proxy.address()));
    site.wait_for_the_broker();
    let fleet = Fleet::new("broker", VEHICLES, chance.next());
    let stopping = AtomicBool::new(false);
    thread::scope(|scope| {
        let publishing = scope.spawn(|| fleet.publish(broker.address(), PER_SECOND, &stopping));
        let _when_it_fails = StopsWhenDropped(&stopping);
        wait_for("readings through the broker", DRAIN_WITHIN, || (!site.api().readings("broker-000").is_empty()).then_some(()));
        for fault in faults(&mut chance) {
            proxy.set(fault);
            thread::sleep(scale(chance.millis(300, 1_500), 10));
            if fault == Fault::BlackHole {
                proxy.set(Fault::Reset);
                thread::sleep(Duration::from_millis(100));
            }
            proxy.set(Fault::None);
            thread::sleep(chance.millis(300, 1_000));
        }
        stopping.store(true, Ordering::Relaxed);
        assert_eq!(publishing.join().unwrap(), Ok(()));
    });
    let audit = fleet.audit(&site.api(), DRAIN_WITHIN);
    println!("{} acknowledged by the broker, {} stored, {} connections reset", audit.acknowledged, audit.stored, proxy.cuts());
    audit.assert_clean();
    assert!(proxy.cuts() > 0);
    assert_eq!(site.api().all_quarantined(), 0);
}
