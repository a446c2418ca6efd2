//! R4: with Redis killed, stopped or flushed everything else goes on, and what belongs in it is there again by itself. And the alert queue:
//! every change of every alert is in the stream, over deaths of both sides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use odograph::clock;
use odograph::domain::{Assessment, SignalTable, Timestamp};
use odograph::wire::mirror::{decode_changes, decode_state};
use redis::Connection;
use rustix::process::Signal;
use serde_json::Value;

use crate::line::seconds_ago;
use crate::support::fleet::Fleet;
use crate::support::redis::{Keeps, Redis};
use crate::support::{Chance, Site, seed, wait_for};

/// The promise.
const REBUILT_WITHIN: Duration = Duration::from_secs(30);
const DRAIN_WITHIN: Duration = Duration::from_secs(30);
/// A shared machine, and a Redis that is stopped is given up after 3 s.
const NOTICED_WITHIN: Duration = Duration::from_secs(15);
const QUEUED_WITHIN: Duration = Duration::from_secs(30);
const SHOWN_WITHIN: Duration = Duration::from_secs(10);
const VEHICLES: u64 = 20;
const ROUNDS: u32 = 4;

pub type Fields = BTreeMap<String, String>;
/// By their numbers in the stream.
pub type Entries = Vec<(String, Fields)>;

fn start_with(site: &mut Site, redis: &Redis) {
    site.restart_with(&["--config", redis.settings_file().to_str().unwrap()]);
}

fn mirrored(connection: &mut Connection, vehicle_id: &str) -> Option<Assessment> {
    let key = format!("odograph:vehicle:{{{vehicle_id}}}");
    let bytes: Option<Vec<u8>> = redis::cmd("GET").arg(key).query(connection).unwrap();
    bytes.map(|bytes| decode_state(&bytes, &SignalTable::default()).unwrap())
}

/// Waits until Redis has every vehicle as it was after `moment`.
#[track_caller]
fn wait_until_rebuilt(what: &str, redis: &Redis, fleet: &Fleet, moment: Timestamp) {
    let since = Instant::now();
    let mut connection = redis.connect();
    for id in fleet.ids() {
        wait_for(what, REBUILT_WITHIN.saturating_sub(since.elapsed()), || {
            mirrored(&mut connection, id).filter(|state| state.reading.received_at > moment)
        });
    }
    println!("{what}: all of live state after {:?}", since.elapsed());
}

fn degraded(site: &Site) -> Vec<String> {
    let answer = site.api().get("/health/ready");
    assert_eq!(answer.status, 200, "ready whatever Redis does: {}", answer.text);
    let parts = answer.json["degraded"].as_array().unwrap().iter().map(|reason| reason["part"].as_str().unwrap().to_owned());
    parts.collect()
}

/// Watches the acknowledgements go on.
#[track_caller]
fn goes_on(fleet: &Fleet) {
    let before = fleet.acknowledged();
    wait_for("acknowledgements", Duration::from_secs(5), || (fleet.acknowledged() >= before + 300).then_some(()));
}

#[test]
fn live_state_is_rebuilt_within_thirty_seconds_of_a_flush_a_stop_and_a_kill_and_ingestion_notices_nothing() {
    let mut redis = Redis::start(Keeps::Nothing);
    let mut site = Site::stopped();
    start_with(&mut site, &redis);
    let fleet = Fleet::new("redis", VEHICLES, seed());
    let mqtt = site.service().mqtt();
    let stopping = AtomicBool::new(false);
    thread::scope(|scope| {
        let publishing = scope.spawn(|| fleet.publish(mqtt, 333.0, &stopping));
        wait_until_rebuilt("at the start", &redis, &fleet, Timestamp::from_micros(0));
        assert!(degraded(&site).is_empty());

        () = redis::cmd("FLUSHALL").query(&mut redis.connect()).unwrap();
        wait_until_rebuilt("after a flush", &redis, &fleet, Timestamp::from_micros(0));

        redis.signal(Signal::STOP);
        wait_for("a degraded mirror", NOTICED_WITHIN, || degraded(&site).contains(&"live mirror".to_owned()).then_some(()));
        goes_on(&fleet);
        let back = clock::now();
        redis.signal(Signal::CONT);
        wait_until_rebuilt("after a stop", &redis, &fleet, back);

        redis.kill();
        wait_for("a degraded mirror", NOTICED_WITHIN, || degraded(&site).contains(&"live mirror".to_owned()).then_some(()));
        goes_on(&fleet);
        redis.restart();
        wait_until_rebuilt("after a kill", &redis, &fleet, clock::now());
        wait_for("a whole mirror", NOTICED_WITHIN, || degraded(&site).is_empty().then_some(()));
        stopping.store(true, Ordering::Relaxed);
        assert_eq!(publishing.join().unwrap(), Ok(()));
    });
    let audit = fleet.audit(&site.api(), DRAIN_WITHIN);
    println!("{} acknowledged, {} stored", audit.acknowledged, audit.stored);
    audit.assert_clean();
    let mut connection = redis.connect();
    for id in fleet.ids() {
        let shown: Timestamp = site.api().vehicle(id).unwrap()["recorded_at"].as_str().unwrap().parse().unwrap();
        wait_for("the newest reading", SHOWN_WITHIN, || {
            mirrored(&mut connection, id).filter(|state| state.reading.recorded_at == shown)
        });
    }
    let messages = site.service().messages();
    assert!(messages.contains("cannot be written to Redis") && !messages.contains(Redis::password()), "{messages}");
    assert!(site.stop().success());
}

#[test]
fn a_silent_fleet_is_rebuilt_after_a_flush_and_in_an_empty_redis_and_a_follower_hears_every_vehicle() {
    let mut redis = Redis::start(Keeps::Nothing);
    let mut site = Site::stopped();
    start_with(&mut site, &redis);
    let fleet = Fleet::new("silent", VEHICLES, seed());
    let (mut following, mut connection) = (redis.connect(), redis.connect());
    let mut channel = following.as_pubsub();
    channel.subscribe("odograph:changes").unwrap();
    channel.set_read_timeout(Some(REBUILT_WITHIN)).unwrap();
    let mut hear_all = || {
        let mut heard = BTreeSet::new();
        while heard.len() < fleet.ids().count() {
            let message: Vec<u8> = channel.get_message().unwrap().get_payload().unwrap();
            let changes = decode_changes(&message, &SignalTable::default()).unwrap();
            heard.extend(changes.into_iter().map(|state| state.reading.vehicle_id.to_string()));
        }
    };
    fleet.publish_some(site.service().mqtt(), 333.0, Duration::from_secs(1));
    hear_all();
    () = redis::cmd("FLUSHALL").query(&mut connection).unwrap();
    hear_all();
    let is_there = |connection: &mut Connection| fleet.ids().all(|id| mirrored(connection, id).is_some());
    wait_for("all vehicles", REBUILT_WITHIN, || is_there(&mut connection).then_some(()));
    redis.kill();
    redis.restart();
    let mut connection = redis.connect();
    wait_for("all vehicles in an empty Redis", REBUILT_WITHIN, || is_there(&mut connection).then_some(()));
    assert!(site.stop().success());
}

/// Each raises an alert.
pub fn overheat(site: &Site, vehicle_id: &str) {
    let reading = |number: i64| {
        let recorded_at = seconds_ago(30 * (9 - number));
        let speed = 60 + number;
        format!(
            r#"{{"recorded_at":"{recorded_at}","ignition":"on","signals":{{"speed_km_per_h":{speed},"engine_speed_rpm":2100,"coolant_temperature_celsius":125}}}}"#
        )
    };
    let body = format!("[{}]", (1..=9).map(reading).collect::<Vec<_>>().join(","));
    let sent = site.api().post(&format!("/api/v1/telemetry/{vehicle_id}"), "application/json", body.as_bytes());
    assert_eq!(sent.status, 200, "{}", sent.text);
}

fn overheating(site: &Site) -> Vec<Value> {
    let alerts = site.api().get("/api/v1/alerts?limit=200").json["alerts"].as_array().unwrap().clone();
    alerts.into_iter().filter(|alert| alert["alert_key"] == "rule:overheating").collect()
}

/// Every change that the archive has, as `{alert_id}-{revision}`.
fn changes(site: &Site) -> BTreeSet<String> {
    let alerts = site.api().get("/api/v1/alerts?limit=200").json["alerts"].as_array().unwrap().clone();
    let of_alert = |alert: Value| {
        let id = alert["alert_id"].as_str().unwrap().to_owned();
        let shown = site.api().get(&format!("/api/v1/alerts/{id}")).json;
        let history = shown["history"].as_array().unwrap().clone();
        history.into_iter().map(move |entry| format!("{id}-{}", entry["revision"]))
    };
    alerts.into_iter().flat_map(of_alert).collect()
}

pub fn stream(connection: &mut Connection) -> Entries {
    redis::cmd("XRANGE").arg("odograph:alerts").arg("-").arg("+").query(connection).unwrap()
}

#[test]
fn every_change_of_an_alert_is_in_the_stream_over_deaths_of_redis_and_of_the_service_and_each_id_says_one_thing() {
    let mut chance = Chance::new(seed());
    let mut redis = Redis::start(Keeps::All);
    let mut site = Site::stopped();
    start_with(&mut site, &redis);
    for round in 0..ROUNDS {
        overheat(&site, &format!("up-{round}"));
        thread::sleep(chance.millis(0, 300));
        redis.kill();
        overheat(&site, &format!("down-{round}"));
        thread::sleep(chance.millis(0, 300));
        site.kill();
        if round % 2 == 0 {
            redis.restart();
            start_with(&mut site, &redis);
        } else {
            start_with(&mut site, &redis);
            overheat(&site, &format!("before-{round}"));
            redis.restart();
        }
    }
    // And once without a death of the service, which would read the journal again.
    wait_for("a queue", NOTICED_WITHIN, || degraded(&site).is_empty().then_some(()));
    redis.kill();
    overheat(&site, "down-last");
    wait_for("a degraded queue", NOTICED_WITHIN, || degraded(&site).contains(&"alert queue".to_owned()).then_some(()));
    redis.restart();
    let vehicles = (ROUNDS * 2 + ROUNDS / 2 + 1) as usize;
    wait_for("all alerts", SHOWN_WITHIN, || (overheating(&site).len() == vehicles).then_some(()));
    let mut connection = redis.connect();
    let ids = |connection: &mut Connection| stream(connection).into_iter().map(|(_, fields)| fields["id"].clone());
    let since = Instant::now();
    loop {
        let (wanted, sent) = (changes(&site), ids(&mut connection).collect::<BTreeSet<_>>());
        let missing: Vec<_> = wanted.difference(&sent).collect();
        if wanted.len() >= vehicles && missing.is_empty() {
            break;
        }
        assert!(since.elapsed() < QUEUED_WITHIN, "not in the stream: {missing:?}");
        thread::sleep(Duration::from_millis(50));
    }
    let entries = stream(&mut connection);
    let mut contents: BTreeMap<&str, &str> = BTreeMap::new();
    for (_, fields) in &entries {
        let event: Value = serde_json::from_str(&fields["event"]).unwrap();
        assert_eq!((&event["specversion"], event["id"].as_str()), (&"1.0".into(), Some(fields["id"].as_str())));
        let known = contents.entry(&fields["id"]).or_insert(&fields["event"]);
        assert_eq!(*known, fields["event"], "one id, two contents");
    }
    println!("{} changes, {} entries", contents.len(), entries.len());
    assert!(site.stop().success());
}

#[test]
fn a_consumer_group_takes_over_what_a_dead_reader_held_and_every_change_is_handled() {
    let redis = Redis::start(Keeps::Nothing);
    let mut site = Site::stopped();
    start_with(&mut site, &redis);
    let mut connection = redis.connect();
    let mut group = redis::cmd("XGROUP");
    () = group.arg("CREATE").arg("odograph:alerts").arg("pagers").arg("0").arg("MKSTREAM").query(&mut connection).unwrap();
    for number in 0..4 {
        overheat(&site, &format!("truck-{number}"));
    }
    let all = wait_for("four alerts in the stream", QUEUED_WITHIN, || {
        let entries = stream(&mut connection);
        let vehicles: BTreeSet<_> = entries.iter().map(|(_, fields)| vehicle_of(&fields["event"])).collect();
        (vehicles.len() == 4).then_some(entries)
    });
    let read = |connection: &mut Connection, consumer: &str, count: u32| -> Entries {
        let mut read = redis::cmd("XREADGROUP");
        read.arg("GROUP").arg("pagers").arg(consumer).arg("COUNT").arg(count).arg("STREAMS").arg("odograph:alerts").arg(">");
        let streams: Option<Vec<(String, Entries)>> = read.query(connection).unwrap();
        streams.into_iter().flatten().flat_map(|(_, entries)| entries).collect()
    };
    let held = read(&mut redis.connect(), "dead", 2);
    assert_eq!(held.len(), 2, "and it is never heard of again");

    let mut handled = BTreeSet::new();
    let mut claim = redis::cmd("XAUTOCLAIM");
    claim.arg("odograph:alerts").arg("pagers").arg("alive").arg(0).arg("0");
    let (_next, claimed, _deleted): (String, Entries, Vec<String>) = claim.query(&mut connection).unwrap();
    assert_eq!(claimed, held);
    for (entry, fields) in claimed.into_iter().chain(read(&mut connection, "alive", 1_000)) {
        handled.insert(fields["id"].clone());
        let acknowledged: u32 =
            redis::cmd("XACK").arg("odograph:alerts").arg("pagers").arg(entry).query(&mut connection).unwrap();
        assert_eq!(acknowledged, 1);
    }
    let pending: Vec<redis::Value> = redis::cmd("XPENDING").arg("odograph:alerts").arg("pagers").query(&mut connection).unwrap();
    assert_eq!(pending[0], redis::Value::Int(0), "nothing is left over");
    assert!(all.iter().all(|(_, fields)| handled.contains(&fields["id"])));
    assert!(site.stop().success());
}

fn vehicle_of(event: &str) -> String {
    serde_json::from_str::<Value>(event).unwrap()["subject"].as_str().unwrap().to_owned()
}
