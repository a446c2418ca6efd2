//! `odograph doctor` against what it is for: a service that runs, settings that are broken, folders that are missing or full, a real
//! broker, a real Redis, and a model that is none.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use odograph::bench::postgres::{Promise, Server, run_sql};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::broker::Mosquitto;
use crate::support::pki::Pki;
use crate::support::redis::{Keeps, Redis};
use crate::support::{Site, executable, wait_for};

pub struct Diagnosis {
    pub exit: i32,
    pub text: String,
    json: Value,
}

impl Diagnosis {
    /// The findings of one check.
    pub fn of(&self, check: &str) -> Vec<&Value> {
        self.json["findings"].as_array().unwrap().iter().filter(|finding| finding["check"] == check).collect()
    }

    fn class(&self) -> &str {
        self.json["delivery_class"]["sentence"].as_str().unwrap()
    }

    /// Whether one of them has this verdict and these words in what it says.
    pub fn says(&self, check: &str, verdict: &str, words: &str) -> bool {
        self.of(check).iter().any(|finding| finding["verdict"] == verdict && finding.to_string().contains(words))
    }
}

/// Models are tried where a test names them: it takes seconds.
pub fn doctor(arguments: &[&str]) -> Diagnosis {
    examine(arguments, Some("none"))
}

fn examine(arguments: &[&str], models: Option<&str>) -> Diagnosis {
    let mut command = Command::new(executable());
    command.arg("doctor").arg("--json").args(arguments);
    diagnosis_of(command, models)
}

fn diagnosis_of(mut command: Command, models: Option<&str>) -> Diagnosis {
    if let Some(models) = models {
        command.env("ODOGRAPH__ANALYTICS__MODELS", models);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let json =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text} {}", String::from_utf8_lossy(&output.stderr)));
    Diagnosis { exit: output.status.code().unwrap(), text, json }
}

fn data(site: &Site) -> String {
    site.data().display().to_string()
}

fn settings_file(site: &Site, text: &str) -> String {
    let path = site.path().join("odograph.toml");
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn a_service_that_runs_is_said_and_asked_and_its_undeclared_signals_are_listed() {
    let mut site = Site::start();
    let reading = br#"{"recorded_at":RECORDED,"signals":{"speed_km_per_h":50.0,"door_state":1.0}}"#;
    let recorded_at = odograph::clock::now().as_micros() / 1_000;
    let reading = String::from_utf8(reading.to_vec()).unwrap().replace("RECORDED", &recorded_at.to_string());
    assert_eq!(site.api().post("/api/v1/telemetry/truck-7", "application/json", reading.as_bytes()).status, 200);
    let http = site.service().http().to_string();
    let data = data(&site);
    let running = wait_for("the archive has the reading", Duration::from_secs(20), || {
        let diagnosis = doctor(&["--data", &data, "--http", &http]);
        diagnosis.says("signals", "warning", "door_state (1)").then_some(diagnosis)
    });
    assert_eq!(running.exit, 0, "{}", running.text);
    assert_eq!(running.json["schema_version"], 1);
    assert!(running.says("data", "ok", "a running service holds it"), "{}", running.text);
    assert!(running.says("service", "ok", "is ready"), "{}", running.text);
    assert!(running.says("archive", "ok", "schema"), "{}", running.text);
    let synced = "64 writes of 4 KiB were synced";
    assert!(running.says("journal", "ok", synced) || running.says("journal", "warning", synced), "{}", running.text);
    assert!(running.class().contains("at least once") && running.class().contains("R2 (power cut)"), "{}", running.text);

    // Nobody listens where the settings say: it holds the folder and does not answer.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let deaf = doctor(&["--data", &data, "--http", &nobody]);
    assert_eq!(deaf.exit, 4, "{}", deaf.text);
    assert!(deaf.says("service", "failed", "does not answer"), "{}", deaf.text);

    assert!(site.stop().success());
    let stopped = doctor(&["--data", &data]);
    assert!(stopped.says("data", "ok", "no service holds it"), "{}", stopped.text);
    assert_eq!((stopped.exit, stopped.of("service").len()), (0, 0), "{}", stopped.text);
}

#[test]
fn every_mistake_in_the_settings_is_a_finding_and_no_password_is_shown() {
    let site = Site::stopped();
    let text = "[mqtt]\nmax_conections = 3\n[journal]\nmax = \"plenty\"\n[broker]\nurl = \"mqtt://me:topsecret@broker\"\n";
    let config = settings_file(&site, text);
    let broken = doctor(&["--config", &config, "--data", &data(&site)]);
    assert_eq!((broken.exit, broken.of("settings").len()), (3, 2), "{}", broken.text);
    assert!(broken.says("settings", "failed", "max_connections"), "{}", broken.text);
    assert!(broken.says("settings", "failed", "plenty"), "{}", broken.text);

    let config = settings_file(&site, "[broker]\nurl = \"mqtt://me:topsecret@broker\"\n");
    let refused = doctor(&["--config", &config, "--data", &data(&site)]);
    assert_eq!(refused.exit, 3, "{}", refused.text);
    assert!(refused.says("broker", "failed", "mqtt://…@broker"), "{}", refused.text);
    assert!(!refused.text.contains("topsecret"), "{}", refused.text);
}

#[test]
fn a_folder_that_is_missing_is_said_and_not_made() {
    let site = Site::stopped();
    let missing = doctor(&["--data", &data(&site)]);
    assert!(missing.says("data", "warning", "is not there"), "{}", missing.text);
    assert_eq!((missing.exit, site.data().exists()), (0, false), "{}", missing.text);
}

#[test]
fn a_journal_that_may_grow_beyond_its_disk_is_a_warning() {
    let site = Site::stopped();
    let config = settings_file(&site, "[journal]\nmax = \"100000000GiB\"\n");
    let small = doctor(&["--config", &config, "--data", &data(&site)]);
    assert!(small.says("journal", "warning", "may grow to"), "{}", small.text);
    assert_eq!(small.exit, 0, "{}", small.text);
}

#[test]
fn a_limit_of_open_files_that_admits_fewer_vehicles_than_settings_do_is_a_warning() {
    let site = Site::stopped();
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 1500 && exec \"$@\"", "sh"]).arg(executable()).args([
        "doctor",
        "--json",
        "--data",
        &data(&site),
    ]);
    let few = diagnosis_of(limited, Some("none"));
    assert!(few.says("open files", "warning", "the hard limit is 1500 open files, 51000 are wanted"), "{}", few.text);
}

/// A disk of its own, in memory; unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, said aloud: this user may not mount.
    fn mount(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(at).output();
        let is_mounted = mounted.is_ok_and(|output| output.status.success());
        if !is_mounted {
            println!("NOT RUN: this user may not mount a small disk");
        }
        is_mounted.then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _still_mounted = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_fails_and_one_in_memory_is_named() {
    let site = Site::stopped();
    let Some(_disk) = SmallDisk::mount(&site.data()) else { return };
    fs::write(site.data().join("filler"), vec![0_u8; 60 << 10]).unwrap();
    let full = doctor(&["--data", &data(&site)]);
    assert_eq!(full.exit, 1, "{}", full.text);
    assert!(full.says("journal", "failed", "no room for two segments"), "{}", full.text);
    assert!(full.says("journal", "failed", "cannot be written and synced"), "{}", full.text);
    assert!(full.says("journal", "warning", "tmpfs"), "{}", full.text);
    assert!(full.class().ends_with("but not R2 (power cut)."), "{}", full.text);
}

#[test]
fn a_broker_with_its_defaults_is_warned_of_and_one_with_the_shipped_configuration_is_not() {
    let Some(mut defaults) = Mosquitto::start_with_its_defaults() else { return };
    let Some(shipped) = Mosquitto::start() else { return };
    let site = Site::stopped();
    let ask = |broker: &Mosquitto| doctor(&["--config", &broker.settings_file().display().to_string(), "--data", &data(&site)]);
    let warned = ask(&defaults);
    assert!(warned.says("broker", "warning", "keeps only 1000 messages"), "{}", warned.text);
    assert!(warned.says("broker", "warning", "mosquitto version"), "{}", warned.text);
    assert!(warned.class().ends_with("but not R5 (broker restarts)."), "{}", warned.text);
    assert_eq!(warned.exit, 0, "{}", warned.text);
    let good = ask(&shipped);
    assert!(good.says("broker", "ok", "1000 in flight"), "{}", good.text);
    assert!(good.class().contains("through the broker") && good.class().ends_with("hold."), "{}", good.text);

    defaults.end(Signal::TERM);
    let down = ask(&defaults);
    assert_eq!(down.exit, 4, "{}", down.text);
    assert!(down.says("broker", "failed", &defaults.address().to_string()), "{}", down.text);
}

#[test]
fn a_postgresql_server_is_asked_for_version_schema_clock_and_connections_and_what_is_wrong_with_it_is_said() {
    let mut server = Server::start(Promise::Durable).unwrap_or_else(|error| panic!("{error}"));
    let url = server.url("postgres");
    let sql = |statements: &str| run_sql(&url, statements).unwrap();
    let mut site = Site::with_settings(&format!("[archive]\nurl = \"{url}\"\n"));
    let (config, data) = (site.path().join("odograph.toml").display().to_string(), data(&site));
    let http = site.service().http().to_string();
    let ask = || doctor(&["--config", &config, "--data", &data, "--http", &http]);
    let recorded_at = odograph::clock::now().as_micros() / 1_000;
    let reading = format!("{{\"recorded_at\":{recorded_at},\"signals\":{{\"speed_km_per_h\":50.0,\"door_state\":1.0}}}}");
    assert_eq!(site.api().post("/api/v1/telemetry/truck-7", "application/json", reading.as_bytes()).status, 200);
    let well = wait_for("the archive has the reading", Duration::from_secs(20), || {
        let diagnosis = ask();
        diagnosis.says("signals", "warning", "door_state (1)").then_some(diagnosis)
    });
    assert_eq!(well.exit, 0, "{}", well.text);
    let version = format!("PostgreSQL {}", sql("show server_version"));
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/postgres");
    let schema = fs::read_dir(migrations).unwrap().count();
    assert!(well.says("archive", "ok", &format!("{version}, schema {schema}")), "{}", well.text);
    assert!(well.says("archive", "ok", "of 97 connections are open"), "{}", well.text);
    assert!(well.says("clock", "ok", "the server's clock is 0."), "{}", well.text);
    assert!(well.class().contains("R3 (archive away)"), "{}", well.text);

    sql("alter system set default_transaction_read_only = on");
    sql("alter system set synchronous_commit = off");
    sql("select pg_reload_conf()");
    let careless = wait_for("the server has read its settings", Duration::from_secs(20), || {
        let diagnosis = ask();
        diagnosis.says("archive", "failed", "takes no changes").then_some(diagnosis)
    });
    assert_eq!(careless.exit, 4, "{}", careless.text);
    assert!(careless.says("archive", "warning", "synchronous_commit off"), "{}", careless.text);
    assert!(careless.class().ends_with("but not R2 (power cut)."), "{}", careless.text);
    sql("alter system reset all");
    sql("select pg_reload_conf()");
    wait_for("the server has read its settings", Duration::from_secs(20), || (ask().exit == 0).then_some(()));

    assert!(site.stop().success());
    sql(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (99, 'later', true, '', 0)",
    );
    let newer = ask();
    assert!(newer.says("archive", "failed", "will not touch a newer one"), "{}", newer.text);
    assert_eq!(newer.exit, 1, "{}", newer.text);

    server.stop().unwrap();
    let down = ask();
    assert!(down.says("archive", "failed", "Connection refused"), "{}", down.text);
    assert_eq!(down.exit, 4, "{}", down.text);
}

#[test]
fn a_broken_model_fails_with_the_point_that_it_breaks() {
    let site = Site::stopped();
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models");
    let broken = models.join("wrong_golden.onnx").display().to_string();
    let wrong = examine(&["--data", &data(&site)], Some(&broken));
    assert_eq!(wrong.exit, 1, "{}", wrong.text);
    assert!(wrong.says("models", "failed", "golden rows"), "{}", wrong.text);

    let missing = examine(&["--data", &data(&site)], Some("/no/such/model.onnx"));
    assert_eq!(missing.exit, 1, "{}", missing.text);
    assert!(missing.says("models", "failed", "could not read /no/such/model.onnx"), "{}", missing.text);

    let shipped = examine(&["--data", &data(&site)], None);
    assert_eq!((shipped.exit, shipped.of("models").len()), (0, 3), "{}", shipped.text);
}

#[test]
fn a_redis_says_what_it_forgets_and_one_that_is_away_is_a_dependency_that_is_down() {
    let site = Site::stopped();
    let mut redis = Redis::start(Keeps::Nothing);
    let config = redis.settings_file().display().to_string();
    let ask = || doctor(&["--config", &config, "--data", &data(&site)]);
    let mut set = redis::cmd("CONFIG");
    set.arg("SET").arg("maxmemory").arg("100mb").arg("maxmemory-policy").arg("allkeys-lru");
    () = set.query(&mut redis.connect()).unwrap();
    let forgetful = ask();
    assert!(forgetful.says("redis", "ok", "Redis 7."), "{}", forgetful.text);
    assert!(forgetful.says("redis", "warning", "appendonly yes"), "{}", forgetful.text);
    assert!(forgetful.says("redis", "warning", "allkeys-lru"), "{}", forgetful.text);
    assert!(forgetful.class().contains("R4 (Redis away)") && forgetful.exit == 0, "{}", forgetful.text);
    redis.kill();
    let away = ask();
    assert!(away.says("redis", "failed", "wait on disk") && away.exit == 4, "{}", away.text);
    assert!(!format!("{}{}", forgetful.text, away.text).contains(Redis::password()));
    let keeping = Redis::start(Keeps::All);
    let config = keeping.settings_file().display().to_string();
    let keeping = doctor(&["--config", &config, "--data", &data(&site)]);
    assert_eq!(keeping.of("redis").len(), 1, "{}", keeping.text);
}

#[test]
fn certificates_that_end_soon_and_secrets_that_everybody_can_read_are_found() {
    let pki = Pki::new();
    pki.run(&["server"], &["soon", "--address", "localhost", "--valid-for", "29d"]);
    pki.run(&["service"], &["over", "--valid-for", "0s"]);
    let passwords = pki.file("passwords");
    let site = Site::stopped();
    let file = |name: &str| pki.file(name).to_str().unwrap().to_owned();
    let text = format!(
        "[mqtt]\ntls_address = \"127.0.0.1:0\"\ncertificate = {:?}\nprivate_key = {:?}\nclient_authority = {:?}\npasswords = {:?}\n\
         [links]\ncertificate = {:?}\nprivate_key = {:?}\n",
        file("soon.pem"),
        file("soon.key"),
        file("authority.pem"),
        file("passwords"),
        file("over.pem"),
        file("over.key"),
    );
    let config = settings_file(&site, &text);
    let examined = || doctor(&["--data", &data(&site), "--config", &config]);
    let missing = examined();
    assert!(missing.says("identities", "failed", "odograph password"), "{}", missing.text);

    let given = Command::new(executable()).args(["password", passwords.to_str().unwrap(), "truck-7"]).output().unwrap();
    let password = String::from_utf8(given.stdout).unwrap().trim().to_owned();
    let found = examined();
    assert_eq!(found.exit, 1, "{}", found.text);
    assert!(found.says("identities", "warning", "in 28 days"), "{}", found.text);
    assert!(found.says("identities", "failed", "has ended"), "{}", found.text);
    assert!(found.says("identities", "ok", "is valid until"), "{}", found.text);
    assert!(found.says("identities", "ok", "by the service and nobody else"), "{}", found.text);
    assert!(!found.text.contains(&password), "{}", found.text);

    fs::set_permissions(&passwords, fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(pki.file("soon.key"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&config, fs::read_to_string(&config).unwrap().replacen("[mqtt]", "[mqtt]\naddress = \"0.0.0.0:0\"", 1)).unwrap();
    let open = examined();
    assert!(open.says("identities", "warning", "everybody on this machine can read it"), "{}", open.text);
    assert!(open.says("identities", "warning", "in the clear"), "{}", open.text);
    assert!(open.says("identities", "warning", "mqtt.private_key"), "{}", open.text);
}
