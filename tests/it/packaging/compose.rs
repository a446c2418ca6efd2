//! `compose.yaml`, read as Compose reads it: what each container is given, and whether the program takes that.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::{config_check, is_pinned, read};

/// In place of what an administrator puts into `.env`.
pub const PASSWORD: &str = "of-the-test";

pub struct Compose(Value);

impl Compose {
    pub fn read() -> Self {
        let file: Value = serde_saphyr::from_str(&read("compose.yaml")).unwrap_or_else(|error| panic!("compose.yaml: {error}"));
        Self(file)
    }

    pub fn service(&self, name: &str) -> &Value {
        let service = &self.0["services"][name];
        assert!(service.is_object(), "there is no service {name}");
        service
    }

    pub fn services(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0["services"].as_object().unwrap().iter().map(|(name, service)| (name.as_str(), service))
    }

    /// Those that run the program, of one form.
    pub fn ours(&self, profile: &str) -> Vec<&str> {
        let is_ours = |service: &Value| service["image"].as_str().unwrap_or_default().starts_with("odograph:");
        let ours =
            self.services().filter(|(_, service)| is_ours(service) && words(&service["profiles"]).contains(&profile.to_owned()));
        ours.map(|(name, _)| name).collect()
    }

    /// As the container has it, with what is asked for by name filled in.
    pub fn environment(&self, name: &str) -> BTreeMap<String, String> {
        let pairs = self.service(name)["environment"].as_object().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        pairs.iter().map(|(name, value)| (name.clone(), filled(&text(value)))).collect()
    }

    /// Where the file of a secret lies on the host.
    pub fn secret_file(&self, secret: &str) -> &Path {
        Path::new(self.0["secrets"][secret]["file"].as_str().unwrap_or_else(|| panic!("no secret {secret}")))
    }
}

/// Of a list.
fn words(list: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().or_else(|| value["source"].as_str()).unwrap().to_owned();
    list.as_array().into_iter().flatten().map(text).collect()
}

/// `${NAME:?what to do}` is what somebody has to give; any other form would have a default, or be empty.
fn filled(text: &str) -> String {
    let Some((before, rest)) = text.split_once("${") else { return text.to_owned() };
    let (name, behind) = rest.split_once('}').unwrap();
    let (name, message) =
        name.split_once(":?").unwrap_or_else(|| panic!("{text}: a default, or nothing, where a value has to be given"));
    assert!(name.starts_with("ODOGRAPH_") && message.len() > 10, "{text}");
    format!("{before}{PASSWORD}{}", filled(behind))
}

#[test]
fn every_container_is_given_what_the_program_accepts_and_no_password_has_a_default() {
    let compose = Compose::read();
    assert_eq!(compose.ours("one"), ["odograph"]);
    let mut apart = compose.ours("apart");
    apart.sort_unstable();
    assert_eq!(apart, ["analytics", "dashboard", "ingest", "storage"]);
    for name in apart.into_iter().chain(["odograph"]) {
        let environment: Vec<_> = compose.environment(name).into_iter().collect();
        config_check(&environment).unwrap_or_else(|error| panic!("{name}: {error}"));
        for (variable, value) in &environment {
            assert!(variable.starts_with("ODOGRAPH__") || variable == "PGPASSWORD", "{name}: who reads {variable}?");
            if let Some(secret) = value.strip_prefix("/run/secrets/") {
                assert!(words(&compose.service(name)["secrets"]).contains(&secret.to_owned()), "{name} is not given {secret}");
            }
        }
        let roles = compose.environment(name).get("ODOGRAPH__ROLES").cloned();
        assert_eq!(roles.as_deref(), (name != "odograph").then_some(name));
        // What is wrong would be seen.
        let mistaken = [environment, vec![("ODOGRAPH__NO__SUCH".to_owned(), "1".to_owned())]].concat();
        assert!(config_check(&mistaken).unwrap_err().contains("ODOGRAPH__NO__SUCH"));
    }
    let text = read("compose.yaml");
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#') && line.contains("PASSWORD")) {
        assert!(line.contains(":?"), "a password with a default: {line}");
    }
}

#[test]
fn whoever_is_asked_is_there_listens_and_shares_a_network() {
    let compose = Compose::read();
    let networks = |name: &str| words(&compose.service(name)["networks"]);
    let mut asked = 0;
    for (name, _) in compose.services() {
        let environment = compose.environment(name);
        for value in environment.values().filter(|value| value.contains("://")) {
            let authority = value.split_once("://").unwrap().1.split('/').next().unwrap();
            let (host, port) = authority.rsplit_once('@').map_or(authority, |(_, place)| place).split_once(':').unwrap();
            assert!(networks(name).iter().any(|network| networks(host).contains(network)), "{name} cannot reach {host}");
            let listens = match host {
                "postgres" => "5432".to_owned(),
                "redis" => "6379".to_owned(),
                "mosquitto" => {
                    let configuration = read("config/mosquitto-tls.conf");
                    configuration.lines().find_map(|line| line.strip_prefix("listener ")).unwrap().to_owned()
                }
                role => {
                    let address = compose.environment(role)["ODOGRAPH__GRPC__ADDRESS"].clone();
                    assert!(address.starts_with("0.0.0.0:"), "{role} listens on {address}");
                    address.rsplit_once(':').unwrap().1.to_owned()
                }
            };
            assert_eq!(port, listens, "{name} asks {value}");
            asked += 1;
        }
    }
    assert_eq!(asked, 10, "addresses");
}

#[test]
fn every_container_has_a_version_a_health_check_a_bound_and_what_it_depends_on() {
    let compose = Compose::read();
    let known = |section: &str| -> BTreeSet<String> { compose.0[section].as_object().unwrap().keys().cloned().collect() };
    let (volumes, networks, secrets) = (known("volumes"), known("networks"), known("secrets"));
    for (name, service) in compose.services() {
        assert!(is_pinned(service["image"].as_str().unwrap()), "{name}");
        let profiles = words(&service["profiles"]);
        assert!(!profiles.is_empty() && profiles.iter().all(|profile| ["one", "apart"].contains(&profile.as_str())), "{name}");
        let limit = service["mem_limit"].as_str().unwrap_or_else(|| panic!("{name} may take all memory"));
        assert!(limit.ends_with(['m', 'g']), "{name}: {limit}");
        let check = words(&service["healthcheck"]["test"]);
        assert_eq!(check[0], "CMD", "{name}: {check:?}");
        for (other, how) in service["depends_on"].as_object().into_iter().flatten() {
            assert_eq!(how["condition"], "service_healthy", "{name} on {other}");
            let there = words(&compose.service(other)["profiles"]);
            assert!(profiles.iter().all(|profile| there.contains(profile)), "{name} waits for {other}, which does not start");
        }
        for volume in service["volumes"].as_array().into_iter().flatten().map(|volume| volume.as_str().unwrap()) {
            let (source, target) = volume.split_once(':').unwrap();
            match source.strip_prefix("./") {
                Some(file) => assert!(!read(file).is_empty(), "{volume}"),
                None => assert!(volumes.contains(source) && target.starts_with('/'), "{name}: {volume}"),
            }
        }
        assert!(words(&service["networks"]).iter().all(|network| networks.contains(network)), "{name}");
        assert!(words(&service["secrets"]).iter().all(|secret| secrets.contains(secret)), "{name}");
        let is_ours = service["image"].as_str().unwrap().starts_with("odograph");
        if is_ours {
            assert_eq!((&service["read_only"], &service["cap_drop"][0]), (&true.into(), &"ALL".into()), "{name}");
        }
        if service["image"].as_str().unwrap().starts_with("odograph:") {
            assert_eq!(check[1..], ["odograph", "health"], "{name}");
            let data = service["volumes"][0].as_str().unwrap().split_once(':').unwrap().1;
            assert!(read("Dockerfile").contains(&format!("ODOGRAPH__DATA={data}")), "{name} keeps its data in {data}");
            let patience: u64 = service["stop_grace_period"].as_str().unwrap().trim_end_matches('s').parse().unwrap();
            assert!(
                patience > crate::support::STOP_WITHIN.as_secs(),
                "{name} is killed before it has stored what it acknowledged"
            );
        }
    }
}

#[test]
fn the_page_is_reached_from_this_machine_alone_and_by_no_way_around_the_guard() {
    let compose = Compose::read();
    let published = |name: &str| words(&compose.service(name)["ports"]);
    for (name, door) in [("odograph", "page-one"), ("dashboard", "page-apart")] {
        assert_eq!(published(name), ["127.0.0.1:8080:8081"]);
        assert_eq!(compose.service(door)["network_mode"], format!("service:{name}"));
        // Whoever comes through asks for 127.0.0.1:8080, which the service takes for itself; it stays on loopback.
        assert!(!compose.environment(name).contains_key("ODOGRAPH__HTTP__ADDRESS"), "{name}");
    }
    let all: Vec<String> = compose.services().flat_map(|(name, _)| published(name)).collect();
    assert_eq!(
        all.iter().filter(|port| !port.starts_with("127.0.0.1:")).collect::<Vec<_>>(),
        ["8883:8883"],
        "vehicles alone come from elsewhere"
    );
    let dockerfile = read("Dockerfile");
    assert!(dockerfile.contains("TCP4-LISTEN:8081") && dockerfile.contains("TCP4:127.0.0.1:8080"));
    assert_eq!(odograph::settings::Settings::default().http.address.port(), 8080);
}
