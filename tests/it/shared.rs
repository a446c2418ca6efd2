//! Several processes behind one broker and in front of one archive: they share the messages, and one may die.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use odograph::bench::postgres::{Promise, Server, run_sql};

use crate::support::broker::Mosquitto;
use crate::support::fleet::{Fleet, StopsWhenDropped};
use crate::support::{Chance, Site, seed, wait_for};

const VEHICLES: u64 = 40;
/// Enough that messages are on their way at every moment.
const PER_SECOND: f64 = 1_500.0;
const KILLS: usize = 4;
const DRAIN_WITHIN: Duration = Duration::from_mins(1);

#[test]
fn two_processes_share_what_a_broker_has_and_one_that_dies_costs_nothing() {
    let Some(broker) = Mosquitto::start() else { return };
    let mut chance = Chance::new(seed());
    let server = Server::start(Promise::Durable).unwrap_or_else(|error| panic!("{error}"));
    let settings = |name: &str| {
        format!(
            "[archive]\nurl = \"{}\"\n[broker]\nurl = \"mqtt://{}\"\nclient_id = \"{name}\"\nshare_group = \"odograph\"\n",
            server.url("postgres"),
            broker.address()
        )
    };
    let (first, mut second) = (Site::with_settings(&settings("first")), Site::with_settings(&settings("second")));
    first.wait_for_the_broker();
    second.wait_for_the_broker();
    let fleet = Fleet::new("shared", VEHICLES, chance.next());
    let taken = |site: &Site| {
        site.api().metric("odograph_readings_scored_total").unwrap_or(0.0)
            + site.api().labelled("odograph_readings_not_scored_total")
    };
    let stopping = AtomicBool::new(false);
    thread::scope(|scope| {
        let publishing = scope.spawn(|| fleet.publish(broker.address(), PER_SECOND, &stopping));
        let _when_it_fails = StopsWhenDropped(&stopping);
        wait_for("both to take some", DRAIN_WITHIN, || (taken(&first) > 200.0 && taken(&second) > 200.0).then_some(()));
        for _ in 0..KILLS {
            second.kill();
            thread::sleep(chance.millis(100, 800));
            second.restart();
            wait_for("both to take some again", DRAIN_WITHIN, || (taken(&second) > 200.0).then_some(()));
        }
        stopping.store(true, Ordering::Relaxed);
        assert_eq!(publishing.join().unwrap(), Ok(()));
    });
    let audit = fleet.audit(&first.api(), DRAIN_WITHIN);
    println!("{} acknowledged by the broker, {} stored", audit.acknowledged, audit.stored);
    audit.assert_clean();
    let question = "select count(*), count(distinct (vehicle, recorded_at, fingerprint)) from readings";
    let counted = run_sql(&server.url("postgres"), question).unwrap();
    let (rows, identities) = counted.split_once('|').unwrap();
    assert_eq!(rows, identities);
    assert_eq!(first.api().all_quarantined(), 0);
}

#[test]
fn at_a_broker_with_the_shipped_access_list_a_vehicle_writes_only_as_itself() {
    const PASSWORD: &str = "only-here";
    let Some(broker) = Mosquitto::start_with_logins(&["odograph", "truck-1"], PASSWORD) else { return };
    let mut site = Site::stopped();
    let password_file = site.path().join("password");
    fs::write(&password_file, PASSWORD).unwrap();
    site.configure(&format!(
        "[broker]\nurl = \"mqtt://{}\"\nusername = \"odograph\"\npassword_file = \"{}\"\n",
        broker.address(),
        password_file.display()
    ));
    site.restart();
    let publish = |login: &[&str], vehicle: &str| {
        let (host, port) = (broker.address().ip().to_string(), broker.address().port().to_string());
        let topic = format!("vehicles/{vehicle}/telemetry");
        let reading =
            format!(r#"{{"recorded_at":{},"signals":{{"speed_km_per_h":50}}}}"#, odograph::clock::now().as_micros() / 1_000);
        let mut publisher = Command::new("mosquitto_pub");
        publisher.args(["-V", "5", "-q", "1", "-h", &host, "-p", &port, "-t", &topic, "-m", &reading]).args(login);
        let output = publisher.output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let login = ["-u", "truck-1", "-P", PASSWORD];
    assert!(publish(&login, "truck-2").contains("Not authorized"));
    assert!(publish(&[], "truck-1").to_lowercase().contains("not authorized"));
    assert_eq!(publish(&login, "truck-1"), "");
    wait_for("the reading of the vehicle itself", DRAIN_WITHIN, || site.api().vehicle("truck-1"));
    assert_eq!(site.api().vehicle("truck-2"), None);
}
