//! What the repository offers for running it elsewhere, held against what the program is: the image, the two forms of `compose.yaml`, the
//! unit of systemd, and the command by which all of them ask whether a service is well.

mod compose;
mod image;
mod running;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::{Site, executable, odograph, wait_for};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// What `odograph config check` says of this environment alone.
fn config_check(environment: &[(String, String)]) -> Result<(), String> {
    let mut command = Command::new(executable());
    command.args(["config", "check"]).env_clear().envs(environment.iter().cloned());
    let output = command.output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Of an image whose version is written down, such as `debian:12.11-slim`.
fn is_pinned(image: &str) -> bool {
    let tag = image.rsplit_once(':').map(|(_, tag)| tag).unwrap_or_default();
    let version = tag.split('-').next().unwrap_or_default();
    version.split('.').count() >= 2
        && version.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

#[test]
fn health_says_whether_a_service_is_ready_to_whoever_has_nothing_else_to_ask_with() {
    let health = |address: &str| odograph(&["health", address]).status.code();
    let mut site = Site::start();
    let address = site.service().http().to_string();
    wait_for("a service that is well", Duration::from_secs(10), || (health(&address) == Some(0)).then_some(()));
    // Where the address comes from in a container.
    let by_settings = Command::new(executable()).arg("health").env("ODOGRAPH__HTTP__ADDRESS", &address).output().unwrap();
    assert!(by_settings.status.success(), "{by_settings:?}");
    assert!(site.stop().success());
    assert_eq!(health(&address), Some(4), "nobody is there");

    // It runs, and cannot do what it is for.
    let mut alone = Site::with_settings(
        "roles = [\"dashboard\"]\n[links]\nstorage = \"http://127.0.0.1:1\"\nanalytics = \"http://127.0.0.1:1\"\n",
    );
    let address = alone.service().http().to_string();
    wait_for("a service that says what it lacks", Duration::from_secs(10), || (health(&address) == Some(1)).then_some(()));
    let answer = odograph(&["health", &address]);
    assert!(String::from_utf8_lossy(&answer.stdout).contains("storage"), "{answer:?}");
    assert!(alone.stop().success());
}

/// Exposure by `systemd-analyze security`, in tenths: 0 is a service that can do nothing, 100 one that can do everything.
const MOST_EXPOSED: u32 = 15;

fn systemd_analyze(arguments: &[&str], unit: &Path) -> String {
    let output = Command::new("systemd-analyze").args(arguments).arg(unit).output();
    let output = output.expect("systemd-analyze is missing: apt-get install systemd (make test does it)");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "systemd-analyze {arguments:?}: {said}");
    said
}

#[test]
fn the_unit_of_systemd_is_sound_exposes_little_and_starts_what_there_is() {
    let text = read("config/odograph.service");
    let folder = tempfile::tempdir().unwrap();
    let unit: PathBuf = folder.path().join("odograph.service");
    let ours = text.replace("/opt/odograph/odograph run", &format!("{} run", executable().display()));
    assert_ne!(ours, text);
    fs::write(&unit, ours).unwrap();
    let said = systemd_analyze(&["verify", "--man=no"], &unit);
    assert!(!said.contains("odograph.service:"), "{said}");
    let said = systemd_analyze(&["security", "--offline=true", &format!("--threshold={MOST_EXPOSED}")], &unit);
    println!("{}", said.lines().last().unwrap_or_default());

    let setting = |name: &str| text.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).unwrap_or_default();
    let command: Vec<&str> = setting("ExecStart").split(' ').collect();
    assert_eq!(command[..3], ["/opt/odograph/odograph", "run", "--config"]);
    assert!(
        text.contains(&format!("/{}", odograph::analytics::library::LIBRARY_FILE)),
        "the library of ONNX Runtime is beside it"
    );
    assert_eq!(setting("KillSignal"), "SIGTERM");
    let files: usize = setting("LimitNOFILE").parse().unwrap();
    assert!(files > odograph::settings::Settings::default().mqtt.max_connections, "a vehicle takes a file");
    let patience: u64 = setting("TimeoutStopSec").parse().unwrap();
    assert!(Duration::from_secs(patience) > crate::support::STOP_WITHIN);
    for line in text.lines().filter_map(|line| line.strip_prefix("Environment=")) {
        let (name, value) = line.split_once('=').unwrap();
        config_check(&[(name.to_owned(), value.to_owned())]).unwrap();
    }
}
