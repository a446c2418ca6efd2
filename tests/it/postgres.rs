//! The archive on a real PostgreSQL server that stops, hangs and comes back under the running program: nothing acknowledged is lost, nothing is
//! stored twice, and vehicles never wait for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use odograph::bench::postgres::{Promise, Server, run_sql};
use odograph::clock;
use odograph::domain::Timestamp;
use rustix::process::Signal;

use crate::support::fleet::{Fleet, StopsWhenDropped};
use crate::support::{Site, scale, seed, wait_for};

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

/// Acknowledgements that came while it lasted, or while there was none.
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
        let without = during_an_outage(&fleet);
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
        println!("acknowledged in {OUTAGE:?}: {without}, while the server was down {while_down}, while it hung {while_hanging}");
        // A third of it would be a vehicle that waits for the archive.
        for acknowledged in [while_down, while_hanging] {
            assert!(acknowledged * 10 > without * 6, "only {acknowledged} in place of {without} were acknowledged");
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

/// The service may not use more memory during an outage than this beyond what it had (design, "Nothing lost").
const MOST_MORE_BYTES: u64 = 64 << 20;
/// The backlog is drained at least so many times as fast as it came.
const DRAINS_FASTER: f64 = 5.0;

/// R3. In an ordinary run the ten minutes are twenty seconds.
#[test]
fn an_outage_costs_neither_readings_nor_memory_nor_scores_and_is_caught_up_with() {
    let mut server = a_server();
    let site = Site::with_settings(&settings(&server));
    let fleet = Fleet::new("outage", VEHICLES, seed());
    let lasts = scale(Duration::from_secs(20), 30);
    let stopping = AtomicBool::new(false);
    thread::scope(|scope| {
        let publishing = scope.spawn(|| fleet.publish(site.service().mqtt(), PER_SECOND, &stopping));
        let _when_it_fails = StopsWhenDropped(&stopping);
        wait_for("readings in the archive", DRAIN_WITHIN, || (!site.api().readings("outage-000").is_empty()).then_some(()));
        // Windows of 40 vehicles are full soon; what grows after that grows with the outage.
        thread::sleep(scale(Duration::from_secs(5), 12));
        let (rss_before, before) = (site.rss_bytes(), fleet.acknowledged());
        server.stop().unwrap();
        let down = Instant::now();
        let mut most_rss = 0;
        while down.elapsed() < lasts {
            thread::sleep(Duration::from_millis(500));
            most_rss = most_rss.max(site.rss_bytes());
            // Judged without the archive: the newest state of a vehicle is of now.
            let newest = site.api().get("/api/v1/vehicles/outage-001");
            assert_eq!(newest.status, 200, "{}", newest.text);
            let received_at: Timestamp = newest.json["received_at"].as_str().unwrap().parse().unwrap();
            let age = clock::now().as_micros() - received_at.as_micros();
            assert!(age < 5_000_000, "nothing was judged for {age} µs");
        }
        let kept = fleet.acknowledged() - before;
        let behind = "odograph_archive_lag_bytes";
        let lag = site.api().metric(behind).unwrap();
        assert!(lag > 100_000.0, "{lag} bytes behind after {kept} readings");
        server.start_again().unwrap();
        // The writer asks again within five seconds.
        wait_for("a server that is used again", DRAIN_WITHIN, || is_ready(&site).then_some(()));
        let back = Instant::now();
        wait_for("a backlog that is drained", lasts.max(DRAIN_WITHIN), || {
            (site.api().metric(behind).is_some_and(|bytes| bytes < 100_000.0)).then_some(())
        });
        let drained_in = back.elapsed();
        stopping.store(true, Ordering::Relaxed);
        assert_eq!(publishing.join().unwrap(), Ok(()));
        let more = most_rss.saturating_sub(rss_before);
        #[expect(clippy::cast_precision_loss, reason = "some thousand readings")]
        let (rate, drain) = (kept as f64 / lasts.as_secs_f64(), kept as f64 / drained_in.as_secs_f64());
        println!(
            "down for {lasts:?}: {rate:.0}/s kept, {} KiB more memory (before {} KiB), drained in {drained_in:?}: {:.1} times the rate",
            more >> 10,
            rss_before >> 10,
            drain / rate
        );
        assert!(more < MOST_MORE_BYTES);
        assert!(drain > DRAINS_FASTER * rate, "drained at {drain:.0}/s");
    });
    let audit = fleet.audit(&site.api(), DRAIN_WITHIN);
    audit.assert_clean();
    assert_eq!(site.api().all_quarantined(), 0);
}

#[test]
fn a_server_that_is_read_only_or_has_no_connection_to_give_is_waited_for() {
    let server = a_server();
    let sql = |statement: &str| run_sql(&server.url("postgres"), statement).unwrap();
    // Limits bind only who is no superuser.
    sql("create role fleet login");
    sql("create database fleet owner fleet");
    let url = server.url("fleet").replace("postgres@", "fleet@");
    let site = Site::with_settings(&format!("[archive]\nurl = \"{url}\"\n"));
    let fleet = Fleet::new("refused", VEHICLES, seed());
    let stopping = AtomicBool::new(false);
    thread::scope(|scope| {
        let publishing = scope.spawn(|| fleet.publish(site.service().mqtt(), PER_SECOND, &stopping));
        let _when_it_fails = StopsWhenDropped(&stopping);
        let is_told = |problem: &str| {
            wait_for(problem, DRAIN_WITHIN, || {
                let reasons = site.api().get("/health/ready");
                (reasons.status == 503 && reasons.text.contains("archive")).then_some(())
            });
        };
        let is_used_again = || wait_for("a server that is used again", DRAIN_WITHIN, || is_ready(&site).then_some(()));
        wait_for("readings in the archive", DRAIN_WITHIN, || (!site.api().readings("refused-000").is_empty()).then_some(()));

        sql("alter system set default_transaction_read_only = on");
        sql("select pg_reload_conf()");
        is_told("a server that is read-only");
        let while_read_only = during_an_outage(&fleet);
        sql("alter system reset default_transaction_read_only");
        sql("select pg_reload_conf()");
        is_used_again();

        // Everybody else is thrown out and nobody let in again, as when others hold all connections.
        sql("alter database fleet connection limit 0");
        sql("select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = 'fleet'");
        is_told("a server that has no connection to give");
        let while_full = during_an_outage(&fleet);
        sql("alter database fleet connection limit -1");
        is_used_again();
        stopping.store(true, Ordering::Relaxed);
        assert_eq!(publishing.join().unwrap(), Ok(()));
        println!("acknowledged while it was read-only: {while_read_only}, while it had no connection to give: {while_full}");
        let expected = PER_SECOND * OUTAGE.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "some thousand readings")]
        for acknowledged in [while_read_only, while_full] {
            assert!(acknowledged as f64 > expected * 0.6, "only {acknowledged} of {expected} were acknowledged");
        }
    });
    fleet.audit(&site.api(), DRAIN_WITHIN).assert_clean();
    assert_eq!(site.api().all_quarantined(), 0);
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
