//! What the tests share: the program in a folder of its own, its API, devices that publish, and a ledger of what was promised.

pub mod api;
pub mod authority;
pub mod broker;
pub mod device;
pub mod fleet;
pub mod namespaces;
pub mod pki;
pub mod proxy;
pub mod redis;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use odograph::bench::service::{Service, ServiceError};
use tempfile::TempDir;

use api::Api;

/// Everything that the service was given has to be drained in this time.
pub const STOP_WITHIN: Duration = Duration::from_secs(30);

/// A data folder with, at times, a service on it.
pub struct Site {
    folder: TempDir,
    service: Option<Service>,
    /// A settings file, where it has any.
    settings: Option<PathBuf>,
    executable: PathBuf,
}

impl Site {
    /// With the service running.
    pub fn start() -> Self {
        let mut site = Self::stopped();
        site.restart();
        site
    }

    pub fn stopped() -> Self {
        let folder = tempfile::tempdir().expect("the system has room for temporary files");
        Self { folder, service: None, settings: None, executable: executable().to_owned() }
    }

    /// With the service running on these.
    pub fn with_settings(text: &str) -> Self {
        let mut site = Self::stopped_with(text);
        site.restart();
        site
    }

    /// With these settings.
    pub fn stopped_with(text: &str) -> Self {
        let mut site = Self::stopped();
        site.configure(text);
        site
    }

    pub fn settings(&self) -> &Path {
        self.settings.as_ref().expect("it has a settings file")
    }

    /// From the next start on.
    pub fn configure(&mut self, text: &str) {
        let file = self.path().join("odograph.toml");
        std::fs::write(&file, text).unwrap();
        self.settings = Some(file);
    }

    /// From the next start on: by a script that becomes the program.
    pub fn set_environment(&mut self, environment: &[(&str, &str)]) {
        let exports: Vec<_> = environment.iter().map(|(name, value)| format!("export {name}='{value}'\n")).collect();
        let exports = exports.concat();
        let script = self.path().join("odograph-with-environment");
        std::fs::write(&script, format!("#!/bin/sh\n{exports}exec '{}' \"$@\"\n", executable().display())).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        self.executable = script;
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the service on what is in the folder.
    pub fn restart(&mut self) {
        self.restart_with(&[]);
    }

    pub fn restart_with(&mut self, arguments: &[&str]) {
        if let Err(error) = self.try_restart_with(arguments) {
            panic!("{error}");
        }
    }

    pub fn try_restart_with(&mut self, arguments: &[&str]) -> Result<(), ServiceError> {
        assert!(self.service.is_none(), "it runs already");
        let settings = self.settings.as_ref().map(|file| ["--config", file.to_str().expect("a folder of our own")]);
        let arguments = [settings.as_ref().map_or(&[][..], |settings| settings), arguments].concat();
        self.service = Some(self.try_start(&arguments)?);
        Ok(())
    }

    pub fn try_start(&self, arguments: &[&str]) -> Result<Service, ServiceError> {
        Service::start(&self.executable, &self.data(), &self.folder.path().join("messages"), arguments)
    }

    pub fn service(&self) -> &Service {
        self.service.as_ref().expect("the service was started")
    }

    /// Resident memory of the service.
    pub fn rss_bytes(&self) -> u64 {
        resident_bytes(self.service().pid())
    }

    /// What is published at a broker before somebody subscribed is nobody's.
    #[track_caller]
    pub fn wait_for_the_broker(&self) {
        let is_subscribed = || (self.api().metric("odograph_broker_connected") == Some(1.0)).then_some(());
        wait_for("a subscription at the broker", Duration::from_secs(10), is_subscribed);
    }

    pub fn api(&self) -> Api {
        Api::new(self.service().http())
    }

    /// By itself.
    pub fn has_died(&mut self) -> bool {
        self.service.as_mut().expect("the service was started").wait(Duration::from_millis(1)).is_ok()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.service.take().expect("the service was started").kill();
    }

    /// SIGTERM, and the end of everything that was accepted.
    pub fn stop(&mut self) -> ExitStatus {
        self.service.take().expect("the service was started").stop(STOP_WITHIN).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts the service and kills it so soon that it may still be recovering.
    pub fn start_and_kill_after(&self, moment: Duration) {
        let messages = std::fs::File::options().create(true).append(true).open(self.folder.path().join("messages")).unwrap();
        let mut child = Command::new(executable())
            .arg("run")
            .arg("--data")
            .arg(self.data())
            .args(["--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0", "--grpc", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(messages)
            .spawn()
            .unwrap();
        thread::sleep(moment);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// Resident memory of a process.
pub fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    1_024 * resident.unwrap().parse::<u64>().unwrap()
}

pub fn executable() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_odograph"))
}

/// Runs a command of the program to its end.
pub fn odograph(arguments: &[&str]) -> Output {
    Command::new(executable()).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Asks again until there is an answer; fails with `what` where none comes in time.
#[track_caller]
pub fn wait_for<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(since.elapsed() < within, "not within {within:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The seed of a test with chance in it: a new one each time, or the one in `ODOGRAPH_TEST_SEED`, so that a failure can be replayed.
pub fn seed() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "tests have no settings")]
    let given = std::env::var("ODOGRAPH_TEST_SEED").ok().map(|text| text.parse().expect("ODOGRAPH_TEST_SEED is a number"));
    let seed = given.unwrap_or_else(|| odograph::clock::now().as_micros().unsigned_abs());
    println!("To replay: ODOGRAPH_TEST_SEED={seed}");
    seed
}

/// `make torture` asks for long runs.
pub fn is_torture() -> bool {
    std::env::var_os("ODOGRAPH_TEST_TORTURE").is_some()
}

/// So many times as long under torture.
pub fn scale(usual: Duration, under_torture: u32) -> Duration {
    if is_torture() { usual * under_torture } else { usual }
}

/// A small generator that gives the same numbers in every version of every library (`SplitMix64`, Steele et al. 2014).
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// In `low..=high`.
    pub fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(low + self.next() % (high - low + 1))
    }
}

/// Real data that does not belong to the product. `None`, and a word about it, where it is missing.
pub fn shared_data(folder: &str) -> Option<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = manifest.ancestors().skip(1).map(|above| above.join("shared/data").join(folder)).find(|path| path.is_dir());
    if found.is_none() {
        println!("NOT RUN: ../shared/data/{folder} is missing, so the cases in it were not tried.");
    }
    found
}
