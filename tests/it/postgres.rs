//! The archive on a real PostgreSQL server that stops, hangs and comes back under the running program: nothing acknowledged is lost, nothing is
//! stored twice, and vehicles never wait for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use odograph::bench::postgres::{Promise, Server, run_sql};
use rustix::process::Signal;

use crate::support::fleet::Fleet;
use crate::support::{Site, seed, wait_for};

const VEHICLES: u64 = 40;
const PER_SECOND: f64 = 333.0;
/// What came during the longest outage, and the reconnecting.
const DRAIN_WITHIN: Duration = Duration::from_mins(1);
/// What the archive does not answer within.
const OUTAGE: Duration = Duration::from_secs(3);

fn a_server() -> Server {
    // With fsync: these tests speak of what is durable.
    Server::start(Promise::Durable).unwrap_or_else(|error| panic!("{error}"))
}

fn settings(server: &Server) -> String {
    format!("[archive]\nurl = \"{}\"\n", server.url("postgres"))
}

fn is_ready(site: &Site) -> bool {
    site.api().get("/health/ready").status == 200
}

/// Acknowledgements that came while it lasted.
fn during_an_outage(fleet: &Fleet) -> usize {
    // What was on the way when it began may still have been answered as before.
    thread::sleep(OUTAGE / 3);
    let before = fleet.acknowledged();
    thread::sleep(OUTAGE);
    fleet.acknowledged() - before
}

#[test]
fn nothing_is_lost_while_the_server_stops_hangs_and_comes_back_and_no_vehicle_waits() {
    let mut server = a_server();
    let site = Site::with_settings(&settings(&server));
    let fleet = Fleet::new("postgres", VEHICLES, seed());
    let (mqtt, stopping) = (site.service().mqtt(), AtomicBool::new(false));
    thread::scope(|scope| {
        let publishing = scope.spawn(|| fleet.publish(mqtt, PER_SECOND, &stopping));
        wait_for("readings in the archive", DRAIN_WITHIN, || (!site.api().readings("postgres-000").is_empty()).then_some(()));
        server.stop().unwrap();
        let while_down = during_an_outage(&fleet);
        server.start_again().unwrap();
        let back = fleet.acknowledged();
        wait_for("a server that is used again", DRAIN_WITHIN, || {
            (fleet.acknowledged() > back + 100 && is_ready(&site)).then_some(())
        });
        server.signal(Signal::STOP).unwrap();
        let while_hanging = during_an_outage(&fleet);
        server.signal(Signal::CONT).unwrap();
        stopping.store(true, Ordering::Relaxed);
        assert_eq!(publishing.join().unwrap(), Ok(()));
        println!("acknowledged while the server was down: {while_down}, while it hung: {while_hanging}");
        // A third of the rate would be a vehicle that waits for the archive.
        let expected = PER_SECOND * OUTAGE.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "some thousand readings")]
        for acknowledged in [while_down, while_hanging] {
            assert!(acknowledged as f64 > expected * 0.6, "only {acknowledged} of {expected} were acknowledged");
        }
    });
    let audit = fleet.audit(&site.api(), DRAIN_WITHIN);
    println!("{} acknowledged, {} stored, {} scored", audit.acknowledged, audit.stored, audit.with_score);
    audit.assert_clean();
    assert_eq!(site.api().all_quarantined(), 0);
    let counted =
        run_sql(&server.url("postgres"), "select count(*), count(distinct (vehicle, recorded_at, fingerprint)) from readings")
            .unwrap();
    let (rows, identities) = counted.split_once('|').unwrap();
    assert_eq!(rows, identities);
}

#[test]
fn a_start_with_the_server_down_takes_readings_and_archives_them_once_it_is_up() {
    let mut server = a_server();
    server.stop().unwrap();
    let mut site = Site::with_settings(&settings(&server));
    let fleet = Fleet::new("early", VEHICLES, seed());
    fleet.publish_some(site.service().mqtt(), PER_SECOND, Duration::from_secs(1));
    wait_for("a reason not to be ready", DRAIN_WITHIN, || {
        let reasons = site.api().get("/health/ready");
        (reasons.status == 503 && reasons.text.contains("archive")).then_some(())
    });
    server.start_again().unwrap();
    let audit = fleet.audit(&site.api(), DRAIN_WITHIN);
    audit.assert_clean();
    // What judges is kept by then, or soon after, and readings refer to it.
    let newest = "select coalesce(max(revision), 0) from configurations";
    wait_for("a kept configuration", DRAIN_WITHIN, || (run_sql(&server.url("postgres"), newest).unwrap() == "1").then_some(()));
    fleet.publish_some(site.service().mqtt(), PER_SECOND, Duration::from_secs(1));
    fleet.audit(&site.api(), DRAIN_WITHIN).assert_clean();
    let judged = run_sql(&server.url("postgres"), "select string_agg(distinct revision::text, ' ') from readings").unwrap();
    assert_eq!(judged, "0 1");
    // The next start knows it without asking.
    server.stop().unwrap();
    assert!(site.stop().success());
    site.restart();
    fleet.publish_some(site.service().mqtt(), PER_SECOND, Duration::from_secs(1));
    server.start_again().unwrap();
    fleet.audit(&site.api(), DRAIN_WITHIN).assert_clean();
    let unknown = "select count(*) from readings where revision = 0 and received_at > (select max(created_at) from configurations) + interval '1 second'";
    assert_eq!(run_sql(&server.url("postgres"), unknown).unwrap(), "0");
    assert!(site.stop().success());
}
