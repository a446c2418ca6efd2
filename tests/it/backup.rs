//! A backup of a service that runs, and a life after its restore: the ledger of what was acknowledged before the backup began says what has
//! to be readable, once.

use std::fs;
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use odograph::bench::postgres::{Promise, Server, run_sql};
use odograph::bench::service::ServiceError;
use serde_json::Value;

use crate::alerts::{alerts, overheats};
use crate::support::fleet::Fleet;
use crate::support::{Site, odograph, seed, wait_for};

const VEHICLES: u64 = 40;
const PER_SECOND: f64 = 2_000.0;
const WITHIN: Duration = Duration::from_mins(1);
/// The archive is always a second behind, and segments come and go during the test.
const BUSY: &str = "[journal]\nsegment = \"1MiB\"\nmax = \"64MiB\"\n[analytics]\ncheckpoint_every = \"500ms\"\nmodels = [\"none\"]\n[archive]\npause = \"1s\"\n";

fn backup(site: &Site, into: &Path) -> Output {
    odograph(&["backup", text(into), "--data", text(&site.data()), "--config", text(site.settings()), "--json"])
}

fn restore(from: &Path, site: &Site) -> Output {
    odograph(&["restore", text(from), "--data", text(&site.data()), "--config", text(site.settings()), "--json"])
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a folder of our own")
}

#[track_caller]
fn assert_refused(output: &Output, exit: i32, words: &str) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{message}");
    assert!(message.contains(words), "{message}");
}

#[track_caller]
fn assert_done(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Publishes, takes a backup in the middle of it, kills the service, restores into `other` and goes on there.
fn survives_a_restore(mut site: Site, mut other: Site) {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("backup");
    let fleet = Fleet::new("kept", VEHICLES, seed());
    assert_eq!(site.api().post("/api/v1/telemetry/truck-7", "application/json", overheats(9).as_bytes()).status, 200);
    let is_open =
        |site: &Site| alerts(site, "?vehicle_id=truck-7&condition=active").first().map(|alert| alert["alert_id"].clone());
    let alert = wait_for("the alert", WITHIN, || is_open(&site));
    let (mqtt, stopping) = (site.service().mqtt(), AtomicBool::new(false));
    let ledger = thread::scope(|scope| {
        let publishing = scope.spawn(|| fleet.publish(mqtt, PER_SECOND, &stopping));
        // The alert's reading was in it: from here on only the saved states know of it.
        let first = site.data().join("journal/00000000000000000000.journal");
        wait_for("the first segment is gone", WITHIN, || (!first.exists()).then_some(()));
        let ledger = fleet.ledger();
        let report = assert_done(&backup(&site, &into));
        assert_eq!(report["schema_version"], 1);
        let after = fleet.acknowledged();
        wait_for("readings after the backup", WITHIN, || (fleet.acknowledged() > after + 500).then_some(()));
        site.kill();
        stopping.store(true, Ordering::Relaxed);
        // It was killed in the middle.
        let _gone = publishing.join().unwrap();
        ledger
    });
    assert_done(&restore(&into, &other));
    other.restart();
    let audit = fleet.audit_of(&other.api(), &ledger, WITHIN);
    let before = ledger.values().map(std::collections::BTreeSet::len).sum::<usize>();
    println!("{before} acknowledged before, {} after, {} stored by the backup", audit.acknowledged - before, audit.stored);
    audit.assert_has(&ledger);
    assert_eq!(is_open(&other), Some(alert));
    // And it goes on: vehicles that the new service never saw, and those that it did.
    let newcomers = Fleet::new("new", VEHICLES, seed());
    newcomers.publish_some(other.service().mqtt(), PER_SECOND, Duration::from_secs(1));
    newcomers.audit(&other.api(), WITHIN).assert_clean();
    assert!(other.stop().success());
    other.restart();
    fleet.publish_some(other.service().mqtt(), PER_SECOND, Duration::from_secs(1));
    fleet.audit_of(&other.api(), &ledger, WITHIN).assert_has(&ledger);
    assert_eq!(other.api().all_quarantined(), 0);
    assert!(other.stop().success());
}

#[test]
fn what_was_acknowledged_before_a_backup_of_a_running_service_is_there_once_after_its_restore() {
    survives_a_restore(Site::with_settings(BUSY), Site::stopped_with(BUSY));
}

#[test]
fn with_postgresql_its_own_tools_copy_the_archive_and_the_journal_has_what_it_lacks() {
    let server = Server::start(Promise::Durable).unwrap_or_else(|error| panic!("{error}"));
    let settings = |database| format!("{BUSY}url = \"{}\"\n", server.url(database));
    run_sql(&server.url("postgres"), "create database other").unwrap();
    survives_a_restore(Site::with_settings(&settings("postgres")), Site::stopped_with(&settings("other")));
    // The identity of readings, and the numbers that lanes gave: those would be given twice if the archive knew more than the journal.
    let counted = "select (count(*) - count(distinct (vehicle, recorded_at, fingerprint))) || ' ' || (count(*) - count(distinct (slot, arrival)))
        from readings join vehicles on number = vehicle";
    assert_eq!(run_sql(&server.url("other"), counted).unwrap(), "0 0");

    // A database that is in use is left alone, and so is the folder.
    let (site, again) = (Site::stopped_with(&settings("other")), Site::with_settings(&settings("postgres")));
    let into = again.path().join("backup");
    assert_done(&backup(&again, &into));
    assert_refused(&restore(&into, &site), 5, "is not empty");
    assert!(!site.data().join("journal").exists());
}

#[test]
fn a_restore_refuses_what_would_destroy_or_cannot_be_right_and_leaves_the_folder_as_it_was() {
    let mut site = Site::with_settings(BUSY);
    let fleet = Fleet::new("kept", 2, seed());
    fleet.publish_some(site.service().mqtt(), 50.0, Duration::from_secs(1));
    let into = site.path().join("backup");
    assert_done(&backup(&site, &into));
    assert_refused(&backup(&site, &into), 5, "is not empty");
    assert_refused(&restore(&into, &site), 5, "in use by another odograph process");
    site.kill();
    assert_refused(&restore(&into, &site), 5, "is not empty");
    // What a killed service has left can be copied too.
    let into = site.path().join("cold");
    assert_done(&backup(&site, &into));

    let mut empty = Site::stopped_with(BUSY);
    assert_refused(&backup(&empty, &empty.path().join("nothing")), 5, "there is no data");
    let manifest = into.join("manifest.json");
    let whole = fs::read_to_string(&manifest).unwrap();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut json: Value = serde_json::from_str(&whole).unwrap();
        change(&mut json);
        fs::write(&manifest, json.to_string()).unwrap();
        restore(&into, &empty)
    };
    assert_refused(&with(&|json| json["formats"]["states"] = 99.into()), 5, "states of format 99");
    assert_refused(&with(&|json| json["schema_version"] = 2.into()), 5, "a manifest of format 2");
    assert_refused(&with(&|json| json["archive"] = "archive.pgdump".into()), 5, "the backup holds archive.pgdump");
    assert_refused(&with(&|json| json["files"][0]["path"] = "../outside".into()), 1, "outside of it");
    fs::remove_file(&manifest).unwrap();
    assert_refused(&restore(&into, &empty), 1, "manifest.json is missing");
    fs::write(&manifest, &whole).unwrap();

    let archive = into.join("archive.sqlite");
    let intact = fs::read(&archive).unwrap();
    let mut damaged = intact.clone();
    damaged[5_000] ^= 1;
    fs::write(&archive, &damaged).unwrap();
    assert_refused(&restore(&into, &empty), 1, "is damaged: it has");
    fs::remove_file(&archive).unwrap();
    assert_refused(&restore(&into, &empty), 1, "it is missing");
    assert!(!empty.data().exists());
    fs::write(&archive, &intact).unwrap();
    assert_done(&restore(&into, &empty));
    empty.restart();
    fleet.audit(&empty.api(), WITHIN).assert_clean();
}

#[test]
fn a_service_does_not_start_on_half_a_restore() {
    let site = Site::stopped();
    fs::create_dir_all(site.data().join("journal")).unwrap();
    fs::write(site.data().join("journal/restore-unfinished"), "").unwrap();
    match site.try_start(&[]) {
        Err(ServiceError::EndedEarly { status, messages }) => {
            assert_eq!(status.code(), Some(5), "{messages}");
            assert!(messages.contains("empty the data folder and restore again"), "{messages}");
        }
        other => panic!("{other:?}"),
    }
}
