//! R12 on the real program: a bit of the journal flips while nothing runs. The rest is recovered, and a person hears of it once: in the
//! stream of alerts, in the health report, from the doctor; until he acknowledges it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use odograph::bench::postgres::{Promise, Server};
use serde_json::Value;

use crate::doctor::{Diagnosis, doctor};
use crate::line::seconds_ago;
use crate::redis::{overheat, stream};
use crate::support::redis::{Keeps, Redis};
use crate::support::{Site, wait_for};

const VEHICLES: u32 = 20;
/// Not the last one: half a frame at the very end is what a crash leaves.
const VICTIM: &str = "van-07";
const WITHIN: Duration = Duration::from_secs(30);

fn van(number: u32) -> String {
    format!("van-{number:02}")
}

fn report(site: &Site, vehicle_id: &str) {
    let body = format!(r#"{{"recorded_at":"{}","signals":{{"speed_km_per_h":50}}}}"#, seconds_ago(60));
    let answer = site.api().post(&format!("/api/v1/telemetry/{vehicle_id}"), "application/json", body.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text);
}

/// Flips a bit in the name of the victim, which stands in the record of its reading; says in which file and where.
fn flip_a_bit(site: &Site) -> (String, u64) {
    let segments = fs::read_dir(site.data().join("journal")).unwrap().map(|entry| entry.unwrap().path());
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "journal");
    for path in segments.filter(is_segment) {
        let mut bytes = fs::read(&path).unwrap();
        let Some(at) = bytes.windows(VICTIM.len()).position(|window| window == VICTIM.as_bytes()) else { continue };
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        return (path.file_name().unwrap().to_str().unwrap().to_owned(), at as u64);
    }
    panic!("no segment has the reading of {VICTIM}");
}

/// Events about the system itself, oldest first.
fn told(redis: &Redis) -> Vec<Value> {
    let entries = stream(&mut redis.connect()).into_iter();
    let events = entries.map(|(_, fields)| serde_json::from_str::<Value>(&fields["event"]).unwrap());
    events.filter(|event| event["type"].as_str().unwrap().starts_with("odograph.system_alert.")).collect()
}

fn degraded(site: &Site) -> String {
    let ready = site.api().get("/health/ready");
    assert_eq!(ready.status, 200, "it works all the same: {}", ready.text);
    ready.json["degraded"].to_string()
}

/// What was told before is in the stream by then, since it is in order.
fn another_alert_is_through(site: &Site, redis: &Redis, vehicle_id: &str) {
    overheat(site, vehicle_id);
    wait_for("an alert behind it", WITHIN, || {
        let entries = stream(&mut redis.connect());
        entries.iter().any(|(_, fields)| fields["event"].contains(vehicle_id)).then_some(())
    });
}

fn examined(site: &Site) -> Diagnosis {
    let (data, http) = (site.data().display().to_string(), site.service().http().to_string());
    doctor(&["--config", site.settings().to_str().unwrap(), "--data", &data, "--http", &http])
}

#[test]
fn a_flipped_bit_costs_one_reading_and_a_person_hears_of_it_once_until_he_acknowledges_it() {
    let mut server = Server::start(Promise::Durable).unwrap_or_else(|error| panic!("{error}"));
    let redis = Redis::start(Keeps::All);
    let archive = server.url("postgres");
    let mut site = Site::with_settings(&format!("[archive]\nurl = \"{archive}\"\n[live]\nurl = \"{}\"\n", redis.url()));
    report(&site, "first");
    wait_for("the archive", WITHIN, || (site.api().readings("first").len() == 1).then_some(()));
    // From here on the journal alone has what is acknowledged.
    server.stop().unwrap();
    (0..VEHICLES).for_each(|number| report(&site, &van(number)));
    site.kill();
    let (file, flipped_at) = flip_a_bit(&site);
    server.start_again().unwrap();
    site.restart();

    for number in (0..VEHICLES).filter(|number| van(*number) != VICTIM) {
        wait_for("the rest", WITHIN, || (site.api().readings(&van(number)).len() == 1).then_some(()));
    }
    assert_eq!(site.api().readings(VICTIM).len(), 0, "its only reading is lost");
    let opened = wait_for("somebody to be told", WITHIN, || told(&redis).pop());
    let data = &opened["data"];
    assert_eq!((&opened["type"], &opened["subject"]), (&"odograph.system_alert.opened".into(), &"journal".into()), "{opened}");
    assert_eq!((&data["alert_key"], &data["severity"]), (&"system:journal_damage".into(), &"critical".into()), "{opened}");
    assert_eq!((&data["count"], &data["frames_at_least"], &data["revision"]), (&1.into(), &1.into(), &1.into()), "{opened}");
    let place = &data["places"][0];
    let (offset, bytes) = (place["offset"].as_u64().unwrap(), place["bytes"].as_u64().unwrap());
    assert!(place["file"] == file && (offset..offset + bytes).contains(&flipped_at), "{flipped_at} in {file}: {opened}");
    assert!(degraded(&site).contains("1 damaged place in the journal"), "{}", degraded(&site));
    assert_eq!(site.api().metric("odograph_journal_damaged_places"), Some(1.0));
    let sick = examined(&site);
    assert!(sick.says("journal", "failed", &file) && sick.says("journal", "failed", "acknowledge"), "{}", sick.text);
    assert_eq!(sick.exit, 1, "{}", sick.text);

    // The segment is still there, and its bit still wrong: told of once all the same.
    site.kill();
    assert!(doctor(&["--config", site.settings().to_str().unwrap(), "--data", &site.data().display().to_string()]).exit == 1);
    site.restart();
    another_alert_is_through(&site, &redis, "behind-1");
    assert_eq!(told(&redis), std::slice::from_ref(&opened));
    assert!(degraded(&site).contains("1 damaged place in the journal"), "{}", degraded(&site));

    let path = "/api/v1/journal/damage/acknowledge";
    let answer = site.api().post(path, "application/json", br#"{"by":"maria","note":"disk replaced"}"#);
    assert_eq!((answer.status, &answer.json["alert"]["acknowledged_by"]), (200, &"maria".into()), "{}", answer.text);
    assert_eq!(site.api().post(path, "application/json", b"{}").status, 409, "there is nothing left to acknowledge");
    assert_eq!((degraded(&site), site.api().metric("odograph_journal_damaged_places")), ("[]".to_owned(), Some(0.0)));
    let closed = wait_for("the end of it", WITHIN, || told(&redis).into_iter().nth(1));
    assert_eq!(closed["type"], "odograph.system_alert.acknowledged", "{closed}");
    assert_eq!(closed["data"]["alert_id"], data["alert_id"]);
    let well = examined(&site);
    assert!(!well.says("journal", "failed", "damaged"), "{}", well.text);

    site.kill();
    site.restart();
    another_alert_is_through(&site, &redis, "behind-2");
    assert_eq!(told(&redis), [opened, closed]);
    assert_eq!(degraded(&site), "[]");
    assert_eq!(site.api().get("/api/v1/journal/damage").json["alert"]["note"], "disk replaced");
    assert!(site.stop().success());
}
