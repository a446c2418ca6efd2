//! The four roles in processes of their own: what they make of the same input, and what becomes of it when one of them dies or stands still.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use odograph::bench::service::Service;
use odograph::domain::SignalTable;
use odograph::settings::TlsFiles;
use odograph::wire::encode::encode_json_message;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::api::Api;
use crate::support::fleet::{Fleet, StopsWhenDropped};
use crate::support::pki::Pki;
use crate::support::{Chance, STOP_WITHIN, Site, executable, is_torture, seed, wait_for};
use crate::twin::a_day;

const ROLES: [&str; 4] = ["storage", "analytics", "dashboard", "ingest"];
/// From a kill to the next acknowledgement.
const RECOVERED_WITHIN: Duration = Duration::from_secs(10);
const DRAIN_WITHIN: Duration = Duration::from_secs(30);

/// Four processes that speak over loopback, each with a folder of its own.
pub(crate) struct Apart {
    folder: TempDir,
    services: [Option<Service>; 4],
    /// Of the gRPC servers: they come back where the others look for them.
    grpc: [SocketAddr; 4],
    mqtt: SocketAddr,
}

impl Apart {
    pub(crate) fn start() -> Self {
        Self::start_with("http", |_| String::new())
    }

    /// Each with a certificate of its own, which the others ask for.
    fn start_with_certificates(pki: &Pki) -> Self {
        Self::start_with("https", |role| {
            let TlsFiles { certificate, private_key, authority } = pki.service(role);
            let [certificate, private_key, root] =
                [certificate, private_key, authority].map(|path| path.to_str().unwrap().to_owned());
            let links = if role == "storage" {
                String::new()
            } else {
                format!("certificate = {certificate:?}\nprivate_key = {private_key:?}\nauthority = {root:?}\n")
            };
            format!("{links}[grpc]\ncertificate = {certificate:?}\nprivate_key = {private_key:?}\nclient_authority = {root:?}\n")
        })
    }

    /// `with`: what stands behind the links in the settings of a role.
    fn start_with(scheme: &str, with: impl Fn(&str) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut apart = Self { folder, services: [None, None, None, None], grpc: std::array::from_fn(|_| free()), mqtt: free() };
        let [storage, analytics, ..] = apart.grpc;
        for (role, text) in ROLES.iter().zip([
            String::new(),
            format!("[links]\nstorage = \"http://{storage}\"\n"),
            format!("[links]\nstorage = \"http://{storage}\"\nanalytics = \"http://{analytics}\"\n"),
            format!("[links]\nanalytics = \"http://{analytics}\"\n"),
        ]) {
            let text = text.replace("http", scheme);
            let behind = with(role);
            std::fs::write(apart.path(&format!("{role}.toml")), format!("roles = [\"{role}\"]\n{text}{behind}")).unwrap();
        }
        for number in 0..ROLES.len() {
            apart.restart(number);
        }
        apart
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn restart(&mut self, number: usize) {
        let role = ROLES[number];
        let (settings, grpc, mqtt) = (self.path(&format!("{role}.toml")), self.grpc[number].to_string(), self.mqtt.to_string());
        let arguments = ["--config", settings.to_str().unwrap(), "--grpc", &grpc, "--mqtt", &mqtt];
        let service = Service::start(executable(), &self.path(role), &self.path(&format!("{role}.log")), &arguments);
        self.services[number] = Some(service.unwrap_or_else(|error| panic!("{role}: {error}")));
    }

    fn kill(&mut self, number: usize) {
        self.services[number].take().unwrap().kill();
    }

    fn signal(&self, number: usize, name: &str) {
        let pid = self.services[number].as_ref().unwrap().pid().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    pub(crate) fn service(&self, role: &str) -> &Service {
        let number = ROLES.iter().position(|known| *known == role).unwrap();
        self.services[number].as_ref().unwrap()
    }

    fn api(&self) -> Api {
        Api::new(self.service("dashboard").http())
    }

    /// From the ways in to storage, so that everything drains.
    pub(crate) fn stop(mut self) {
        for number in [3, 2, 1, 0] {
            let status = self.services[number].take().unwrap().stop(STOP_WITHIN);
            assert!(status.unwrap_or_else(|error| panic!("{}: {error}", ROLES[number])).success(), "{}", ROLES[number]);
        }
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// What it says when it is asked, less what depends on when the test ran.
fn said(api: &Api, path: &str, key: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let answer = api.get(&format!("{path}limit=500{cursor}"));
        assert_eq!(answer.status, 200, "{path}: {}", answer.json);
        let page = &answer.json;
        all.extend(page[key].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    for one in &mut all {
        let one = one.as_object_mut().unwrap();
        // By our clock, which went on.
        for moment in ["received_at", "revision"] {
            one.remove(moment);
        }
    }
    all
}

#[test]
fn four_processes_make_of_a_recorded_day_what_one_does() {
    let seed = seed();
    let table = std::sync::Arc::new(SignalTable::default());
    let folder = tempfile::tempdir().unwrap();
    let mut day = a_day(folder.path(), seed, &table);
    // All of it was long on its way, whichever of the two hears it first.
    for reading in day.iter_mut().flat_map(|(_, readings)| readings) {
        reading.recorded_at = reading.recorded_at.minus(Duration::from_mins(10));
    }
    let mut whole = Site::start();
    let apart = Apart::start();
    let last: Vec<&str> = day.iter().map(|(id, _)| id.as_str()).collect();
    let ids: std::collections::BTreeSet<&str> = last.into_iter().collect();
    let readings: usize = day.iter().map(|(_, readings)| readings.len()).sum();
    for http in [whole.service().http(), apart.service("ingest").http()] {
        let api = Api::new(http);
        for (id, readings) in &day {
            let mut body = Vec::new();
            encode_json_message(readings, &table, &mut body);
            let answer = api.post(&format!("/api/v1/telemetry/{id}"), "application/json", &body);
            assert_eq!(answer.status, 200, "{}", answer.json);
        }
    }
    let (one, four) = (whole.api(), apart.api());
    let mut compared = 0;
    for id in ids {
        let path = format!("/api/v1/vehicles/{id}/readings?");
        let count = day.iter().filter(|(of, _)| of == id).map(|(_, readings)| readings.len()).sum::<usize>();
        let stored = |api: &Api| {
            wait_for("the archive", DRAIN_WITHIN, || Some(said(api, &path, "readings")).filter(|all| all.len() == count))
        };
        let (by_one, by_four) = (stored(&one), stored(&four));
        for (left, right) in by_one.iter().zip(&by_four) {
            let differ: Vec<_> = left
                .as_object()
                .unwrap()
                .iter()
                .filter(|(key, value)| right[*key] != **value)
                .map(|(key, value)| format!("{key}: {value} and {}", right[key]))
                .collect();
            assert!(differ.is_empty(), "{id} at {}: {}", left["recorded_at"], differ.join("; "));
        }
        compared += by_four.len();
        let newest = |api: &Api| {
            let mut vehicle = api.vehicle(id).unwrap();
            vehicle.as_object_mut().unwrap().remove("received_at");
            vehicle
        };
        assert_eq!(newest(&one)["scores"], newest(&four)["scores"], "{id}");
    }
    assert_eq!(compared, readings);
    let alerts = |api: &Api| {
        let mut alerts = said(api, "/api/v1/alerts?", "alerts");
        alerts.sort_by_key(|alert| alert["alert_id"].as_str().unwrap().to_owned());
        // Of the end of a batch, which the two cut differently.
        for alert in &mut alerts {
            alert.as_object_mut().unwrap().remove("explanation");
        }
        alerts
    };
    // Changes of alerts stand behind the readings in the journal, and a copy of open ones follows.
    let since = Instant::now();
    let (by_one, by_four) = loop {
        let both = (alerts(&one), alerts(&four));
        if both.0 == both.1 || since.elapsed() > DRAIN_WITHIN {
            break both;
        }
        thread::sleep(Duration::from_millis(200));
    };
    assert!(!by_one.is_empty(), "a day with faults has alerts");
    assert_eq!(by_one, by_four);
    println!("{readings} readings and {} alerts are equal", by_one.len());
    assert!(whole.stop().success());
    apart.stop();
}

/// Each takes a thread and three open files here. `ODOGRAPH_TEST_VEHICLES=6000` is a fleet in which each reports every 18 s.
fn vehicles() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "tests have no settings")]
    let named = std::env::var("ODOGRAPH_TEST_VEHICLES").ok();
    named.map_or(40, |text| text.parse().unwrap())
}

#[test]
fn nothing_is_lost_while_one_role_after_another_is_killed_or_stands_still() {
    let mut chance = Chance::new(seed());
    let pki = Pki::new();
    let mut apart = Apart::start_with_certificates(&pki);
    let fleet = Fleet::new("roles", vehicles(), chance.next());
    for round in 0..if is_torture() { 40 } else { 2 } {
        for (number, role) in ROLES.iter().enumerate() {
            for is_killed in [true, false] {
                let stopping = AtomicBool::new(false);
                let mqtt = apart.mqtt;
                let before = fleet.acknowledged();
                let recovered = thread::scope(|scope| {
                    let stops = StopsWhenDropped(&stopping);
                    scope.spawn(|| {
                        // Vehicles whose connection ends come again, and repeat what was not acknowledged.
                        while !stopping.load(Ordering::Relaxed) {
                            let _ended = fleet.publish(mqtt, 333.0, &stopping);
                            thread::sleep(Duration::from_millis(100));
                        }
                    });
                    wait_for("acknowledgements", DRAIN_WITHIN, || (fleet.acknowledged() > before).then_some(()));
                    thread::sleep(chance.millis(200, 1_200));
                    if is_killed {
                        apart.kill(number);
                    } else {
                        apart.signal(number, "-STOP");
                        thread::sleep(chance.millis(500, 3_000));
                        apart.signal(number, "-CONT");
                    }
                    let since = Instant::now();
                    if is_killed {
                        apart.restart(number);
                    }
                    let there = fleet.acknowledged();
                    wait_for("acknowledgements", RECOVERED_WITHIN, || (fleet.acknowledged() > there).then_some(()));
                    let recovered = since.elapsed();
                    thread::sleep(Duration::from_millis(300));
                    drop(stops);
                    recovered
                });
                let how = if is_killed { "killed" } else { "stood still" };
                println!("round {round}: {role} {how}, acknowledged again after {recovered:?}");
            }
        }
    }
    fleet.publish_some(apart.mqtt, 333.0, Duration::from_millis(300));
    let audit = fleet.audit(&apart.api(), DRAIN_WITHIN);
    println!("{} acknowledged, {} stored", audit.acknowledged, audit.stored);
    audit.assert_clean();
    assert_eq!(apart.api().all_quarantined(), 0);
    apart.stop();
}

#[test]
fn a_second_analytics_process_waits_until_the_first_is_gone() {
    let mut apart = Apart::start();
    let fleet = Fleet::new("standby", 4, seed());
    fleet.publish_some(apart.mqtt, 50.0, Duration::from_millis(300));
    let settings = apart.path("analytics.toml");
    let (grpc, data, log) = (apart.grpc[1].to_string(), apart.path("standby"), apart.path("standby.log"));
    let waiting = thread::spawn(move || {
        let started = Service::start(executable(), &data, &log, &["--config", settings.to_str().unwrap(), "--grpc", &grpc]);
        (started.unwrap(), Instant::now())
    });
    thread::sleep(Duration::from_secs(2));
    assert!(!waiting.is_finished(), "the first has the lanes");
    let killed = Instant::now();
    apart.kill(1);
    let (standby, ready) = waiting.join().unwrap();
    println!("the second took over after {:?}", ready - killed);
    assert!(ready - killed <= RECOVERED_WITHIN);
    apart.services[1] = Some(standby);
    fleet.publish_some(apart.mqtt, 50.0, Duration::from_millis(300));
    fleet.audit(&apart.api(), DRAIN_WITHIN).assert_clean();
    apart.stop();
}

#[test]
fn a_role_without_a_service_certificate_is_not_served() {
    let (pki, foreign) = (Pki::new(), Pki::new());
    let mut apart = Apart::start_with_certificates(&pki);
    let fleet = Fleet::new("strange", 4, seed());
    fleet.publish_some(apart.mqtt, 50.0, Duration::from_millis(300));
    let text = std::fs::read_to_string(apart.path("dashboard.toml")).unwrap();
    let links = text.split("[grpc]").next().unwrap();
    let own = pki.files("dashboard");
    for (who, stranger) in [("another authority's", foreign.service("dashboard")), ("a vehicle", pki.vehicle("van-1"))] {
        let links = links
            .replace(own.certificate.to_str().unwrap(), stranger.certificate.to_str().unwrap())
            .replace(own.private_key.to_str().unwrap(), stranger.private_key.to_str().unwrap());
        std::fs::write(apart.path("dashboard.toml"), links).unwrap();
        apart.kill(2);
        apart.restart(2);
        wait_for("a refusal", RECOVERED_WITHIN, || {
            let ready = apart.api().get("/health/ready");
            (ready.status == 503 && ready.json["reasons"].to_string().contains("storage")).then_some(())
        });
        let vehicles = apart.api().get("/api/v1/vehicles");
        assert_eq!(vehicles.status, 503, "{who} is shown nothing: {}", vehicles.json);
    }
}
