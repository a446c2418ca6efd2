//! The four roles on hosts of their own, and the cable of one after another is pulled: no process dies, no connection is closed, nobody is
//! told. Each side has to notice by itself, and to go on where it was once the cable is back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use odograph::bench::service::Service;
use rcgen::SanType;
use tempfile::TempDir;

use crate::support::api::Api;
use crate::support::authority::Authority;
use crate::support::fleet::{Fleet, StopsWhenDropped};
use crate::support::namespaces::Network;
use crate::support::{Chance, STOP_WITHIN, executable, is_torture, seed, wait_for};

/// In the order of starting; they end the other way round.
const ROLES: [&str; 4] = ["storage", "analytics", "dashboard", "ingest"];
/// From the moment at which the cable is back to the next acknowledgement.
const RECOVERED_WITHIN: Duration = Duration::from_secs(10);
/// From the moment at which it is out until whoever asks over it says so: TCP alone would hope for a quarter of an hour.
const NOTICED_WITHIN: Duration = Duration::from_secs(8);
const DRAIN_WITHIN: Duration = Duration::from_secs(30);
/// What waits while a peer is away is bounded; beside it a process fills its windows.
const MOST_MORE_BYTES: u64 = 96 << 20;

struct Apart {
    network: Network,
    folder: TempDir,
    services: Vec<Service>,
}

impl Apart {
    fn start() -> Self {
        let network = Network::of(&ROLES);
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let mut apart = Self { network, folder, services: Vec::new() };
        for role in ROLES {
            let uri = format!("urn:odograph:service:{role}");
            let names = vec![SanType::IpAddress(apart.network.address(role)), SanType::URI(uri.as_str().try_into().unwrap())];
            let [certificate, private_key, root] =
                authority.write_for(apart.folder.path(), role, names).map(|path| path.display().to_string());
            let link = |name: &str| format!("{name} = \"https://{}:50051\"\n", apart.network.address(name));
            let asked = match role {
                "storage" => String::new(),
                "analytics" => link("storage"),
                "dashboard" => link("storage") + &link("analytics"),
                _ => link("analytics"),
            };
            let shown = format!("certificate = \"{certificate}\"\nprivate_key = \"{private_key}\"\n");
            let links = if asked.is_empty() { asked } else { format!("[links]\n{asked}{shown}authority = \"{root}\"\n") };
            let text = format!("roles = [\"{role}\"]\n{links}[grpc]\n{shown}client_authority = \"{root}\"\n");
            std::fs::write(apart.path(&format!("{role}.toml")), text).unwrap();
            let service = apart.network.on(role, || apart.run(role));
            apart.services.push(service);
        }
        apart
    }

    fn run(&self, role: &str) -> Service {
        let (settings, address) = (self.path(&format!("{role}.toml")), format!("{}:50051", self.network.address(role)));
        let arguments = ["--config", settings.to_str().unwrap(), "--grpc", &address];
        let service = Service::start(executable(), &self.path(role), &self.path(&format!("{role}.log")), &arguments);
        service.unwrap_or_else(|error| panic!("{role}: {error}"))
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(self.folder.path()).join(name)
    }

    fn service(&self, role: &str) -> &Service {
        &self.services[ROLES.iter().position(|known| *known == role).unwrap()]
    }

    fn rss_bytes(&self, role: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.service(role).pid())).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        1_024 * resident.unwrap().parse::<u64>().unwrap()
    }

    /// Asked on the host of that role.
    fn ask<T: Send>(&self, role: &str, question: impl FnOnce(&Api) -> T + Send) -> T {
        let http = self.service(role).http();
        self.network.on(role, || question(&Api::new(http)))
    }

    fn is_ready(&self, role: &str) -> bool {
        self.ask(role, |api| api.get("/health/ready").status == 200)
    }

    fn stop(mut self) {
        while let Some(service) = self.services.pop() {
            let role = ROLES[self.services.len()];
            assert!(service.stop(STOP_WITHIN).unwrap_or_else(|error| panic!("{role}: {error}")).success(), "{role}");
        }
    }
}

/// Who asks over the cable of this role, and so has to notice that nobody answers.
const fn asks_over_the_cable_of(role: &str) -> &'static str {
    match role.as_bytes() {
        b"storage" => "analytics",
        b"analytics" | b"ingest" => "ingest",
        _ => "dashboard",
    }
}

/// Whose readings wait while the cable of this role is out.
const fn is_on_the_way_of_readings(role: &str) -> bool {
    !matches!(role.as_bytes(), b"dashboard")
}

#[test]
fn a_cable_that_is_pulled_costs_nothing_but_time_whichever_role_it_is() {
    let mut chance = Chance::new(seed());
    let apart = Apart::start();
    let fleet = Fleet::new("cut", 40, chance.next());
    let mqtt = apart.service("ingest").mqtt();
    // Vehicles are beside ingest: their connections are not what is cut.
    apart.network.on("ingest", || fleet.publish_some(mqtt, 333.0, Duration::from_secs(2)));
    let before: BTreeMap<&str, u64> = ROLES.iter().map(|role| (*role, apart.rss_bytes(role))).collect();
    for round in 0..if is_torture() { 20 } else { 1 } {
        for role in ROLES {
            // A moment that TCP gets over by itself, and one after which both sides have given up the connection.
            pull(&apart, &fleet, role, chance.millis(500, 2_000), round);
            pull(&apart, &fleet, role, NOTICED_WITHIN + chance.millis(1_000, 4_000), round);
        }
    }
    apart.network.on("ingest", || fleet.publish_some(mqtt, 333.0, Duration::from_millis(300)));
    for role in ROLES {
        let more = apart.rss_bytes(role).saturating_sub(before[role]);
        println!("{role}: {} MiB more memory than before", more >> 20);
        assert!(more < MOST_MORE_BYTES, "{role} took {more} bytes more");
    }
    let audit = apart.ask("dashboard", |api| fleet.audit(api, DRAIN_WITHIN));
    println!("{} acknowledged, {} stored", audit.acknowledged, audit.stored);
    audit.assert_clean();
    apart.ask("dashboard", |api| {
        assert_eq!(api.all_quarantined(), 0);
        for id in fleet.ids() {
            let mut stored = api.readings(id);
            stored.sort_unstable_by_key(|reading| reading.recorded_at_micros);
            let arrivals: Vec<u64> = stored.iter().map(|reading| reading.json["arrival"].as_u64().unwrap()).collect();
            assert!(arrivals.is_sorted_by(|left, right| left < right), "{id}: a reading overtook another one");
        }
    });
    apart.stop();
}

fn pull(apart: &Apart, fleet: &Fleet, role: &'static str, out_for: Duration, round: u32) {
    let mqtt = apart.service("ingest").mqtt();
    let stopping = AtomicBool::new(false);
    let before = fleet.acknowledged();
    let (during, recovered) = thread::scope(|scope| {
        let stops = StopsWhenDropped(&stopping);
        scope.spawn(|| {
            apart.network.on("ingest", || {
                // Whoever waited longer than `ack_timeout` is hung up on, and comes again.
                while !stopping.load(Ordering::Relaxed) {
                    let _ended = fleet.publish(mqtt, 333.0, &stopping);
                    thread::sleep(Duration::from_millis(100));
                }
            });
        });
        wait_for("acknowledgements", DRAIN_WITHIN, || (fleet.acknowledged() > before + 100).then_some(()));
        apart.network.cut(role);
        let cut = Instant::now();
        // What was on its way back is heard.
        thread::sleep(Duration::from_millis(200).min(out_for));
        let there = fleet.acknowledged();
        if out_for > NOTICED_WITHIN {
            let asking = asks_over_the_cable_of(role);
            wait_for("somebody to notice", NOTICED_WITHIN, || (!apart.is_ready(asking)).then_some(()));
            println!("round {round}: {asking} noticed after {:?}", cut.elapsed());
        }
        thread::sleep(out_for.saturating_sub(cut.elapsed()));
        let during = fleet.acknowledged() - there;
        apart.network.mend(role);
        let since = Instant::now();
        let there = fleet.acknowledged();
        wait_for("acknowledgements", RECOVERED_WITHIN, || (fleet.acknowledged() > there).then_some(()));
        let recovered = since.elapsed();
        let is_well = || (ROLES.iter().all(|role| apart.is_ready(role))).then_some(());
        wait_for("four roles that are ready", RECOVERED_WITHIN, is_well);
        drop(stops);
        (during, recovered)
    });
    println!("round {round}: {role} without a cable for {out_for:?}: {during} acknowledged, again after {recovered:?}");
    if is_on_the_way_of_readings(role) {
        assert_eq!(during, 0, "acknowledged by a line that is cut");
    } else {
        assert!(during > 0, "readings waited for whoever shows them");
    }
}
