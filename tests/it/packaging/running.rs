//! The two forms of `compose.yaml` for real, as far as that goes without containers: the program with the very environment that they are
//! given, on a PostgreSQL, a Redis and a mosquitto with the configuration that they mount. Only addresses and folders are others.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use odograph::bench::postgres::{Promise, Server};
use odograph::bench::service::Service;
use tempfile::TempDir;

use super::compose::Compose;
use crate::brokers::publish;
use crate::support::api::Api;
use crate::support::authority::Authority;
use crate::support::broker::SecureMosquitto;
use crate::support::redis::{Keeps, Redis};
use crate::support::{STOP_WITHIN, executable, wait_for};

const WITHIN: Duration = Duration::from_secs(30);

/// Everything outside of the program.
struct World {
    folder: TempDir,
    /// As `odograph pki` would have made them.
    pki: PathBuf,
    postgres: Server,
    redis: Redis,
    broker: SecureMosquitto,
    /// Of each role that is asked over gRPC.
    grpc: BTreeMap<&'static str, SocketAddr>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (pki, authority) = (folder.path().join("pki"), Authority::new());
        fs::create_dir(&pki).unwrap();
        for role in ["storage", "analytics", "dashboard", "ingest"] {
            authority.write(&pki, role, &format!("urn:odograph:service:{role}"));
        }
        let broker = SecureMosquitto::start(&authority, &["odograph", "truck-7"]);
        for file in ["odograph.pem", "odograph.key", "authority.pem"] {
            fs::copy(broker.file(file.split('.').next().unwrap(), file.split('.').next_back().unwrap()), pki.join(file)).unwrap();
        }
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Self {
            folder,
            pki,
            postgres: Server::start(Promise::Durable).unwrap_or_else(|error| panic!("{error}")),
            redis: Redis::start(Keeps::All),
            broker,
            grpc: BTreeMap::from([("storage", free()), ("analytics", free())]),
        }
    }

    /// What a container is given, here.
    fn translated(&self, compose: &Compose, text: &str) -> String {
        if let Some(secret) = text.strip_prefix("/run/secrets/") {
            return self.pki.join(compose.secret_file(secret).file_name().unwrap()).display().to_string();
        }
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        match scheme {
            Some("postgres") => self.postgres.url("postgres"),
            Some("redis") => self.redis.url(),
            Some("mqtts") => self.broker.url(),
            Some("https") => {
                let role = text.trim_start_matches("https://").split(':').next().unwrap();
                format!("https://{}", self.grpc[role])
            }
            _ => text.to_owned(),
        }
    }

    fn start(&self, compose: &Compose, name: &str) -> Service {
        let environment = compose.environment(name);
        let given = environment.iter().filter(|(variable, _)| *variable != "PGPASSWORD");
        let exports: Vec<String> =
            given.map(|(variable, value)| format!("export {variable}='{}'\n", self.translated(compose, value))).collect();
        let exports = exports.concat();
        let script = self.folder.path().join(format!("{name}.sh"));
        fs::write(&script, format!("#!/bin/sh\n{exports}exec '{}' \"$@\"\n", executable().display())).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let grpc = self.grpc.get(name).map(ToString::to_string);
        let arguments: Vec<&str> = grpc.iter().flat_map(|address| ["--grpc", address]).collect();
        let path = |name: String| -> PathBuf { Path::new(self.folder.path()).join(name) };
        let service = Service::start(&script, &path(name.to_owned()), &path(format!("{name}.log")), &arguments);
        service.unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

/// A vehicle publishes at the broker, and whoever asks the page's process sees it.
fn comes_through(profile: &str, in_order: &[&str]) {
    let (world, compose) = (World::new(), Compose::read());
    let mut ours = compose.ours(profile);
    ours.sort_unstable_by_key(|name| in_order.iter().position(|known| known == name));
    assert_eq!(ours, in_order);
    let services: Vec<Service> = in_order.iter().map(|name| world.start(&compose, name)).collect();
    let with_broker = Api::new(services.last().unwrap().http());
    wait_for("a subscription", WITHIN, || (with_broker.metric("odograph_broker_connected") == Some(1.0)).then_some(()));
    let answer = publish(&world.broker, "truck-7", "vehicles/truck-7/telemetry");
    assert!(answer.contains("PUBACK"), "{answer}");
    let number = in_order.iter().position(|name| ["odograph", "dashboard"].contains(name)).unwrap();
    let page = Api::new(services[number].http());
    wait_for("the reading", WITHIN, || (page.readings("truck-7").len() == 1).then_some(()));
    let mirrored = || redis::cmd("EXISTS").arg("odograph:vehicle:{truck-7}").query::<bool>(&mut world.redis.connect()).unwrap();
    wait_for("Redis", WITHIN, || mirrored().then_some(()));
    for (name, service) in in_order.iter().zip(&services) {
        let health = crate::support::odograph(&["health", &service.http().to_string()]);
        assert!(health.status.success(), "{name}: {health:?}");
    }
    // From the ways in to storage.
    for (name, service) in in_order.iter().zip(services).rev() {
        assert!(service.stop(STOP_WITHIN).unwrap_or_else(|error| panic!("{name}: {error}")).success(), "{name}");
    }
}

#[test]
fn one_process_with_its_stores_as_compose_starts_it_takes_a_vehicle_from_the_broker_to_the_page() {
    comes_through("one", &["odograph"]);
}

#[test]
fn four_processes_as_compose_starts_them_take_a_vehicle_from_the_broker_to_the_page() {
    comes_through("apart", &["storage", "analytics", "dashboard", "ingest"]);
}
