//! Debian's mosquitto with the configuration that the repository ships, in a folder of its own.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rcgen::SanType;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::authority::Authority;
use super::wait_for;

const MOSQUITTO: &str = "/usr/sbin/mosquitto";
const UP_WITHIN: Duration = Duration::from_secs(10);

/// Killed when dropped.
pub struct Mosquitto {
    process: Child,
    port: u16,
    folder: TempDir,
}

impl Mosquitto {
    /// `None`, said aloud: it is not installed.
    pub fn start() -> Option<Self> {
        Self::start_with(&shipped(), |_| String::new())
    }

    /// As an administrator has it who sets nothing.
    pub fn start_with_its_defaults() -> Option<Self> {
        Self::start_with("listener 1883 127.0.0.1\nallow_anonymous true\n", |_| String::new())
    }

    /// For vehicles that log in as themselves, by the access list that the repository ships.
    pub fn start_with_logins(users: &[&str], password: &str) -> Option<Self> {
        let closed = shipped().replace("allow_anonymous true", "allow_anonymous false");
        assert_ne!(closed, shipped());
        Self::start_with(&closed, |folder| {
            let passwords = folder.join("passwords");
            let lines: Vec<_> = users.iter().map(|user| format!("{user}:{password}\n")).collect();
            fs::write(&passwords, lines.concat()).unwrap();
            assert!(Command::new("mosquitto_passwd").arg("-U").arg(&passwords).status().unwrap().success());
            let access = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/mosquitto-acl.conf");
            format!("password_file {}\nacl_file {}\n", passwords.display(), access.display())
        })
    }

    /// `more` may put files into the folder, and says what else the configuration has.
    fn start_with(configuration: &str, more: impl FnOnce(&Path) -> String) -> Option<Self> {
        if !Path::new(MOSQUITTO).exists() {
            println!("NOT RUN: {MOSQUITTO} is not installed");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        // It cannot say which port it got, so the kernel is asked for a free one.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let ours = configuration
            .replace("listener 1883", &format!("listener {port}"))
            .replace("/var/lib/mosquitto/", &format!("{}/", folder.path().display()));
        assert_ne!(ours, configuration);
        // Debian's mosquitto started by root would become a user that may not write here.
        let ours = format!("{ours}\n{}user root\n", more(folder.path()));
        fs::write(folder.path().join("mosquitto.conf"), ours).unwrap();
        let process = run(folder.path());
        let mut broker = Self { process, port, folder };
        broker.wait_until_up();
        Some(broker)
    }

    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// A settings file for a service that subscribes here.
    pub fn settings_file(&self) -> PathBuf {
        let path = self.folder.path().join("odograph.toml");
        fs::write(&path, format!("[broker]\nurl = \"mqtt://{}\"\n", self.address())).unwrap();
        path
    }

    /// Returns once it is gone. SIGTERM lets it write down what it has, SIGKILL does not.
    pub fn end(&mut self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
        self.process.wait().unwrap();
    }

    /// Again, on the same port and folder.
    pub fn restart(&mut self) {
        self.process = run(self.folder.path());
        self.wait_until_up();
    }

    fn wait_until_up(&mut self) {
        wait_for("mosquitto", UP_WITHIN, || {
            assert_eq!(self.process.try_wait().unwrap(), None, "mosquitto has ended");
            let stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
            // A connection to a port that nobody listens on can meet itself.
            (stream.local_addr().unwrap() != stream.peer_addr().unwrap()).then_some(())
        });
    }
}

/// With TLS, by `config/mosquitto-tls.conf`: nobody connects without a certificate.
pub struct SecureMosquitto {
    broker: Mosquitto,
    /// Of the authority, the broker, and whoever else there is.
    certificates: TempDir,
}

impl SecureMosquitto {
    /// `clients` get certificates of their own.
    pub fn start(authority: &Authority, clients: &[&str]) -> Self {
        Self::start_as(authority, clients, vec![SanType::IpAddress([127, 0, 0, 1].into())])
    }

    /// With a certificate for these names.
    pub fn start_as(authority: &Authority, clients: &[&str], names: Vec<SanType>) -> Self {
        let certificates = tempfile::tempdir().unwrap();
        authority.write_for(certificates.path(), "broker", names);
        for client in clients {
            authority.write_for(certificates.path(), client, Vec::new());
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        let secure = fs::read_to_string(folder.join("mosquitto-tls.conf")).unwrap();
        let secure = secure
            .replace("listener 8883", "listener 1883 127.0.0.1")
            .replace("/etc/mosquitto/certs/", &format!("{}/", certificates.path().display()))
            .replace("/etc/mosquitto/mosquitto-acl.conf", &folder.join("mosquitto-acl.conf").display().to_string());
        let broker = Mosquitto::start_with(&secure, |_| String::new());
        let broker = broker.expect("mosquitto is needed here: apt-get install mosquitto (make test does it)");
        Self { broker, certificates }
    }

    /// A folder with a certificate, its key, and the authority that signed it.
    pub fn certificate(authority: &Authority, name: &str) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        authority.write_for(folder.path(), name, Vec::new());
        folder
    }

    pub fn port(&self) -> u16 {
        self.broker.port
    }

    pub fn url(&self) -> String {
        format!("mqtts://{}", self.broker.address())
    }

    pub fn authority(&self) -> PathBuf {
        self.certificates.path().join("authority.pem")
    }

    pub fn file(&self, name: &str, extension: &str) -> PathBuf {
        self.certificates.path().join(format!("{name}.{extension}"))
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _already_gone = self.process.kill();
        let _already_gone = self.process.wait();
    }
}

fn run(folder: &Path) -> Child {
    let configuration = folder.join("mosquitto.conf");
    Command::new(MOSQUITTO).arg("-c").arg(configuration).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn shipped() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/mosquitto.conf")).unwrap()
}
