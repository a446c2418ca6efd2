//! A real mosquitto with TLS, in the configuration that the repository ships: vehicles are who their certificates say, and what they send is
//! durable here. And what a person is told where certificates do not fit.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rcgen::SanType;
use serde_json::Value;

use crate::doctor::doctor;
use crate::line::seconds_ago;
use crate::support::authority::Authority;
use crate::support::broker::{Mosquitto, SecureMosquitto};
use crate::support::{Site, odograph, wait_for};

const WITHIN: Duration = Duration::from_secs(20);

/// Publishes with the certificate of `vehicle_id`; what the broker answers.
pub fn publish(broker: &SecureMosquitto, vehicle_id: &str, topic: &str) -> String {
    let payload = format!(r#"{{"recorded_at":"{}","signals":{{"speed_km_per_h":50}}}}"#, seconds_ago(10));
    let mut command = Command::new("mosquitto_pub");
    command.args(["-h", "127.0.0.1", "-p", &broker.port().to_string(), "-V", "mqttv5", "-q", "1", "-d", "-i", vehicle_id]);
    for (option, file) in
        [("--cafile", broker.authority()), ("--cert", broker.file(vehicle_id, "pem")), ("--key", broker.file(vehicle_id, "key"))]
    {
        command.arg(option).arg(file);
    }
    let output = command.args(["-t", topic, "-m", &payload]).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn settings(url: &str, broker: &SecureMosquitto, who: &str) -> String {
    let [authority, certificate, key] =
        [broker.authority(), broker.file(who, "pem"), broker.file(who, "key")].map(|path| path.display().to_string());
    format!("[broker]\nurl = \"{url}\"\nauthority = {authority:?}\ncertificate = {certificate:?}\nprivate_key = {key:?}\n")
}

#[test]
fn behind_a_broker_with_certificates_a_vehicle_writes_as_itself_alone_and_what_it_sends_is_durable_here() {
    let broker = SecureMosquitto::start(&Authority::new(), &["odograph", "van-1", "van-2"]);
    let mut site = Site::with_settings(&settings(&broker.url(), &broker, "odograph"));
    site.wait_for_the_broker();
    let mine = publish(&broker, "van-1", "vehicles/van-1/telemetry");
    assert!(mine.contains("PUBACK") && !mine.contains("Not authorized"), "{mine}");
    wait_for("the reading", WITHIN, || (site.api().readings("van-1").len() == 1).then_some(()));

    let stolen = publish(&broker, "van-1", "vehicles/van-2/telemetry");
    assert!(stolen.contains("Not authorized"), "{stolen}");
    let behind = publish(&broker, "van-2", "vehicles/van-2/telemetry");
    assert!(!behind.contains("Not authorized"), "{behind}");
    wait_for("the reading behind it", WITHIN, || (!site.api().readings("van-2").is_empty()).then_some(()));
    assert_eq!(site.api().readings("van-2").len(), 1, "what the broker refused is not here");

    // It is not the network that lets them in.
    let stranger = SecureMosquitto::certificate(&Authority::new(), "van-1");
    fs::copy(stranger.path().join("van-1.pem"), broker.file("van-1", "pem")).unwrap();
    fs::copy(stranger.path().join("van-1.key"), broker.file("van-1", "key")).unwrap();
    let strange = publish(&broker, "van-1", "vehicles/van-1/telemetry");
    assert!(!strange.contains("PUBACK"), "{strange}");
    assert_eq!(site.api().all_quarantined(), 0);
    assert!(site.stop().success());
}

#[test]
fn a_simulated_fleet_and_a_replay_bring_their_certificates() {
    // The same seed gives the same vehicles.
    let fleet = ["simulate", "--vehicles", "3", "--seed", "5", "--faults", "none"];
    let folder = tempfile::tempdir().unwrap();
    let listed = folder.path().join("fleet.csv");
    assert!(odograph(&[&fleet[..], &["--seconds", "86400", "--out", listed.to_str().unwrap()]].concat()).status.success());
    let listed = fs::read_to_string(listed).unwrap();
    let ids: BTreeSet<&str> = listed.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(ids.len(), 3, "{ids:?}");
    let names: Vec<&str> = ids.iter().copied().chain(["odograph"]).collect();
    let broker = SecureMosquitto::start(&Authority::new(), &names);
    let mut site = Site::with_settings(&settings(&broker.url(), &broker, "odograph"));
    site.wait_for_the_broker();
    let [authority, certificate, key] =
        [broker.authority(), broker.file("{id}", "pem"), broker.file("{id}", "key")].map(|path| path.display().to_string());
    let url = broker.url();
    let with = ["--mqtt", &url, "--authority", &authority, "--certificate", &certificate, "--private-key", &key];
    let output = odograph(&[&fleet[..], &["--every", "1s", "--seconds", "4"], &with].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let sent: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(sent["sent"] == sent["acknowledged"] && sent["readings"].as_u64() >= Some(6), "{sent}");
    wait_for("every reading", WITHIN, || {
        let stored: usize = ids.iter().map(|id| site.api().readings(id).len()).sum();
        (Some(stored as u64) == sent["readings"].as_u64()).then_some(())
    });
    // And where they do not fit, it says so.
    let strangers = SecureMosquitto::certificate(&Authority::new(), "nobody");
    let wrong = strangers.path().join("authority.pem").display().to_string();
    let output = odograph(&[&fleet[..], &["--every", "1s", "--seconds", "1", "--mqtt", &url, "--authority", &wrong]].concat());
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&output.stderr).contains("not signed by the `authority`"), "{output:?}");
    assert!(site.stop().success());
}

/// What the doctor says of the broker.
fn diagnosed(settings: &str) -> String {
    let site = Site::stopped_with(settings);
    let diagnosis = doctor(&["--config", site.settings().to_str().unwrap(), "--data", &site.data().display().to_string()]);
    let of_broker = diagnosis.of("broker");
    assert!(of_broker.iter().any(|finding| finding["verdict"] == "failed") && diagnosis.exit == 1, "{}", diagnosis.text);
    serde_json::to_string(&of_broker).unwrap()
}

#[test]
fn where_certificates_do_not_fit_a_person_is_told_what_to_do() {
    let authority = Authority::new();
    let broker = SecureMosquitto::start(&authority, &["odograph"]);
    let elsewhere = SecureMosquitto::start_as(&authority, &["odograph"], vec![SanType::DnsName("elsewhere".try_into().unwrap())]);
    let Some(plain) = Mosquitto::start() else { panic!("mosquitto is there, as the others show") };
    let fits = settings(&broker.url(), &broker, "odograph");

    let other_host = diagnosed(&settings(&elsewhere.url(), &elsewhere, "odograph"));
    assert!(other_host.contains("its certificate is not for this host"), "{other_host}");
    let own = SecureMosquitto::certificate(&Authority::new(), "other");
    let stranger = fits.replace(broker.authority().to_str().unwrap(), own.path().join("authority.pem").to_str().unwrap());
    let stranger = diagnosed(&stranger);
    assert!(stranger.contains("not signed by the `authority`"), "{stranger}");
    let nothing_shown = format!("[broker]\nurl = \"{}\"\nauthority = \"{}\"\n", broker.url(), broker.authority().display());
    let nothing_shown = diagnosed(&nothing_shown);
    // The end of the connection may overtake the reason for it.
    let hung_up = "it hung up as soon as the handshake was over";
    assert!(nothing_shown.contains("it asks for a certificate") || nothing_shown.contains(hung_up), "{nothing_shown}");
    let strange = fits.replace(broker.file("odograph", "pem").to_str().unwrap(), own.path().join("other.pem").to_str().unwrap());
    let strange =
        strange.replace(broker.file("odograph", "key").to_str().unwrap(), own.path().join("other.key").to_str().unwrap());
    let strange = diagnosed(&strange);
    assert!(strange.contains("it refuses the certificate") || strange.contains(hung_up), "{strange}");
    let no_tls = diagnosed(&fits.replace(&broker.url(), &format!("mqtts://{}", plain.address())));
    assert!(no_tls.contains("does not speak TLS"), "{no_tls}");
}

#[test]
fn the_two_examples_of_a_broker_keep_as_much_for_us() {
    let read = |file: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(file)).unwrap();
    let (plain, secure) = (read("mosquitto.conf"), read("mosquitto-tls.conf"));
    let lines = |text: &str| -> Vec<String> {
        let from = text.find("persistence true").unwrap();
        text[from..].lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(str::to_owned).collect()
    };
    assert_eq!(lines(&plain), lines(&secure));
    assert!(lines(&plain).len() >= 8);
}
