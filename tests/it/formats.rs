//! Data folders that earlier versions left behind are opened by this one: each lies in `tests/fixtures/data-folder-N` with what is in it.
//!
//! Whoever raises the version of a format makes a new folder, and leaves the old ones:
//! `formats::a_data_folder_of_todays_formats_can_be_made_to_keep` writes `target/data-folder`, to be moved to the next number.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use odograph::backup::Formats;
use odograph::bench::service::ServiceError;
use serde::{Deserialize, Serialize};

use crate::alerts::{alerts, overheats};
use crate::support::{Site, wait_for};

const WITHIN: Duration = Duration::from_secs(30);
const SMALL: &str = "[journal]\nsegment = \"1MiB\"\nmax = \"8MiB\"\n[analytics]\ncheckpoint_every = \"500ms\"\n[ingest]\nretention = \"36500d\"\n";
/// The first version of each format that a folder was kept of; from it on there is one of every version.
const FIRST_KEPT: Formats = Formats { journal: 1, cursors: 1, states: 5, cohorts: 1, sqlite: 7, postgres: 1 };

/// `about.json` beside the folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct About {
    program: String,
    formats: Formats,
    /// Readings by vehicle.
    readings: BTreeMap<String, usize>,
    /// Keys of alerts by vehicle.
    alerts: BTreeMap<String, Vec<String>>,
    fences: Vec<String>,
    quarantined: u64,
}

fn fixtures() -> Vec<(PathBuf, About)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_ours = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("data-folder-"));
    let about = |path: PathBuf| {
        let text = fs::read_to_string(path.join("about.json")).unwrap();
        let about = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path, about)
    };
    entries.filter(is_ours).map(about).collect()
}

fn unpack(fixture: &Path) -> Site {
    let site = Site::stopped_with(SMALL);
    fs::create_dir_all(site.data()).unwrap();
    run(Command::new("tar").args(["-xzf"]).arg(fixture.join("data.tar.gz")).arg("-C").arg(site.data()));
    site
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// As the API shows it.
fn about(site: &Site) -> About {
    let listed = site.api().get("/api/v1/vehicles").json["vehicles"].clone();
    let ids =
        listed.as_array().expect("a list of vehicles").iter().map(|vehicle| vehicle["vehicle_id"].as_str().unwrap().to_owned());
    let ids: Vec<String> = ids.collect();
    let readings = ids.iter().map(|id| (id.clone(), site.api().readings(id).len())).collect();
    let keys = |id: &String| {
        let mut keys: Vec<String> = alerts(site, &format!("?vehicle_id={id}"))
            .iter()
            .map(|alert| alert["alert_key"].as_str().unwrap().to_owned())
            .collect();
        keys.sort_unstable();
        (id.clone(), keys)
    };
    let fences = site.api().get("/api/v1/fences").json["features"].clone();
    About {
        program: env!("CARGO_PKG_VERSION").to_owned(),
        formats: Formats::current(),
        readings,
        alerts: ids.iter().map(keys).collect(),
        fences: fences.as_array().expect("fences").iter().map(|fence| fence["id"].as_str().unwrap().to_owned()).collect(),
        quarantined: site.api().all_quarantined(),
    }
}

#[test]
fn there_is_a_data_folder_of_every_format_since_the_first_that_was_kept() {
    let kept = fixtures();
    for ((name, current), (_, first)) in Formats::current().by_name().into_iter().zip(FIRST_KEPT.by_name()) {
        // PostgreSQL's data lies elsewhere: the contract of archives brings every earlier schema up to date.
        if name == "postgres" {
            continue;
        }
        for version in first..=current {
            let has_it = kept.iter().any(|(_, about)| about.formats.by_name().contains(&(name, version)));
            assert!(
                has_it,
                "the format of {name} is {version}, and tests/fixtures has no data folder with it; keep those that are there, make one \
                 of today as tests/it/formats.rs says, and see to it that the older ones are still opened"
            );
        }
    }
}

#[test]
fn data_folders_of_every_earlier_format_are_opened_with_all_that_is_in_them() {
    let kept = fixtures();
    assert!(!kept.is_empty());
    for (path, expected) in kept {
        let mut site = unpack(&path);
        site.restart();
        let expected = About { formats: Formats::current(), program: env!("CARGO_PKG_VERSION").to_owned(), ..expected };
        // The archive takes in the rest of the journal.
        let found = wait_for(&path.display().to_string(), WITHIN, || {
            let mut found = about(&site);
            // Who was silent for years may have an alert for that too.
            found
                .alerts
                .iter_mut()
                .for_each(|(id, keys)| keys.retain(|key| expected.alerts.get(id).is_some_and(|of| of.contains(key))));
            if found != expected {
                println!("{found:?} is not {expected:?}");
                return None;
            }
            Some(found)
        });
        // And goes on: an old vehicle moves, an old alert is handled.
        let vehicle = found.alerts.iter().find(|(_, keys)| !keys.is_empty()).expect("one has an alert").0.clone();
        let answer = site.api().post(&format!("/api/v1/telemetry/{vehicle}"), "application/json", overheats(1).as_bytes());
        assert_eq!((answer.status, &answer.json["accepted"]), (200, &1.into()), "{}", answer.text);
        wait_for("the new reading", WITHIN, || {
            (site.api().readings(&vehicle).len() == found.readings[&vehicle] + 1).then_some(())
        });
        let open = alerts(&site, &format!("?vehicle_id={vehicle}"));
        let kept = |alert: &&serde_json::Value| alert["alert_key"] == found.alerts[&vehicle][0].as_str();
        let id = open.iter().find(kept).expect("it was there")["alert_id"].as_str().unwrap();
        let done = site.api().post(&format!("/api/v1/alerts/{id}/acknowledge"), "application/json", br#"{"by":"ada"}"#);
        assert_eq!(done.status, 200, "{}", done.text);
        assert!(site.stop().success());
    }
}

#[test]
fn a_data_folder_of_a_newer_format_is_refused_and_left_as_it_is() {
    let (path, _) = fixtures().pop().expect("one is kept");
    let site = unpack(&path);
    let journal = site.data().join("journal");
    let segment = fs::read_dir(&journal).unwrap().map(|entry| entry.unwrap().path());
    let segment = segment.filter(|path| path.extension().is_some_and(|extension| extension == "journal")).max().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    // `journal::file_header`: magic, version, start, number, checksum; twice.
    for copy in [0, 2_048] {
        bytes[copy + 8] += 1;
        let checksum = crc32c::crc32c(&bytes[copy..copy + 25]).to_le_bytes();
        bytes[copy + 25..copy + 29].copy_from_slice(&checksum);
    }
    fs::write(&segment, &bytes).unwrap();
    match site.try_start(&[]) {
        Err(ServiceError::EndedEarly { messages, .. }) => {
            assert!(messages.contains("was written by a newer odograph"), "{messages}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(fs::read(&segment).unwrap(), bytes);
}

#[test]
fn a_data_folder_of_todays_formats_can_be_made_to_keep() {
    let mut site = Site::with_settings(SMALL);
    let post =
        |vehicle: &str, body: &str| site.api().post(&format!("/api/v1/telemetry/{vehicle}"), "application/json", body.as_bytes());
    let square = r#"{"type":"FeatureCollection","features":[{"type":"Feature","id":"yard","properties":{"on":["enter"]},
        "geometry":{"type":"Polygon","coordinates":[[[8.4,49.0],[8.42,49.0],[8.42,49.02],[8.4,49.02],[8.4,49.0]]]}}]}"#;
    assert_eq!(site.api().put("/api/v1/fences", "application/geo+json", square.as_bytes()).status, 200);
    assert_eq!(post("truck-7", &overheats(9)).status, 200);
    // Over more than an hour: cohorts are formed once an hour.
    assert_eq!(post("truck-8", &overheats(150).replace("125", "85")).status, 200);
    let sends_nonsense = post("truck-9", r#"[{"recorded_at":"2001-01-01T00:00:00Z","signals":{}},{"signals":"none"}]"#);
    assert_eq!(sends_nonsense.json["quarantined"].as_array().unwrap().len(), 2, "{}", sends_nonsense.text);
    let record = br#"{"class":"truck","groups":["north"],"tank_l":400}"#;
    assert_eq!(site.api().put("/api/v1/vehicles/truck-8", "application/json", record).status, 201);
    let whole = wait_for("all of it in the archive", WITHIN, || {
        let about = about(&site);
        (about.readings.get("truck-8") == Some(&150) && about.readings.get("truck-7") == Some(&9) && about.quarantined == 2)
            .then_some(about)
    });
    // A checkpoint, and behind it what only the journal has: it is killed before the archive and the next checkpoint have it.
    let has_states = || {
        let journal = fs::read_dir(site.data().join("journal")).unwrap();
        journal.flatten().any(|entry| {
            entry.file_name().to_string_lossy().ends_with(".states")
                && entry.metadata().is_ok_and(|metadata| metadata.len() > 13_000)
        })
    };
    wait_for("a checkpoint", WITHIN, || has_states().then_some(()));
    assert_eq!(post("truck-9", &overheats(1).replace("125", "85")).status, 200);
    site.kill();
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/data-folder");
    fs::create_dir_all(&target).unwrap();
    let mut about = whole;
    about.readings.insert("truck-9".to_owned(), 1);
    about.alerts.entry("truck-9".to_owned()).or_default();
    fs::write(target.join("about.json"), serde_json::to_string_pretty(&about).unwrap() + "\n").unwrap();
    run(Command::new("tar")
        .args(["--sort=name", "--owner=0", "--group=0", "--sparse", "-czf"])
        .arg(target.join("data.tar.gz"))
        .arg("-C")
        .arg(site.data())
        .arg("."));
    println!("{} is {} bytes", target.display(), fs::metadata(target.join("data.tar.gz")).unwrap().len());
}
