//! Debian's redis-server on a port and in a folder of its own.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::{Client, Connection};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::wait_for;

const REDIS: &str = "/usr/bin/redis-server";
const UP_WITHIN: Duration = Duration::from_secs(10);
const PASSWORD: &str = "s3cret-of-the-test";

/// Killed when dropped.
pub struct Redis {
    process: Child,
    port: u16,
    folder: TempDir,
    keeps: Keeps,
}

/// What is there again after a kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    Nothing,
    /// Every command that was answered.
    All,
}

impl Redis {
    pub fn start(keeps: Keeps) -> Self {
        assert!(Path::new(REDIS).exists(), "{REDIS} is missing: apt-get install redis-server (make test does it)");
        let folder = tempfile::tempdir().unwrap();
        // It cannot say which port it got, so the kernel is asked for a free one.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = run(folder.path(), port, keeps);
        let mut redis = Self { process, port, folder, keeps };
        redis.wait_until_up();
        redis
    }

    pub const fn password() -> &'static str {
        PASSWORD
    }

    /// A settings file for a service that uses it.
    pub fn settings_file(&self) -> PathBuf {
        let path = self.folder.path().join("odograph.toml");
        std::fs::write(&path, format!("[live]\nurl = \"{}\"\n", self.url())).unwrap();
        path
    }

    #[track_caller]
    pub fn connect(&self) -> Connection {
        Client::open(self.url()).unwrap().get_connection_with_timeout(UP_WITHIN).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// SIGKILL; returns once it is gone.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Again, on the same port and folder.
    pub fn restart(&mut self) {
        self.process = run(self.folder.path(), self.port, self.keeps);
        self.wait_until_up();
    }

    pub fn url(&self) -> String {
        format!("redis://:{PASSWORD}@{}", SocketAddr::from(([127, 0, 0, 1], self.port)))
    }

    fn wait_until_up(&mut self) {
        wait_for("redis-server", UP_WITHIN, || {
            assert_eq!(self.process.try_wait().unwrap(), None, "redis-server has ended");
            let mut connection = Client::open(self.url()).unwrap().get_connection().ok()?;
            redis::cmd("PING").query::<String>(&mut connection).ok()
        });
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _already_gone = self.process.kill();
        let _already_gone = self.process.wait();
    }
}

fn run(folder: &Path, port: u16, keeps: Keeps) -> Child {
    let mut command = Command::new(REDIS);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--requirepass", PASSWORD, "--save", ""]);
    if keeps == Keeps::All {
        command.args(["--appendonly", "yes", "--appendfsync", "always"]);
    }
    command.arg("--dir").arg(folder).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}
