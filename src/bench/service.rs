//! `odograph run` as a process of its own, on free ports and a given data folder. Used by the benchmark and by the integration tests.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

/// Longest time from the start of the process to its ready line; recovery of a full journal is the slow part.
const READY_WITHIN: Duration = Duration::from_mins(1);

#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error("could not start {executable}: {source}")]
    Start { executable: PathBuf, source: std::io::Error },
    #[error("the service ended with {status} before it was ready; its messages:\n{messages}")]
    EndedEarly { status: ExitStatus, messages: String },
    #[error("the service was not ready within {READY_WITHIN:?}; its messages:\n{messages}")]
    NotReady { messages: String },
    #[error("the first line of the service was no ready line: {line:?}")]
    ReadyLine { line: String },
    #[error("the service did not end within {waited:?} of the stop signal; its messages:\n{messages}")]
    DidNotStop { waited: Duration, messages: String },
    #[error("could not wait for the service: {0}")]
    Wait(std::io::Error),
}

/// The line that the service prints once it is ready.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Ready {
    http: SocketAddr,
    /// `None`: it takes no readings in.
    mqtt: Option<SocketAddr>,
    /// `None`: not over TLS.
    #[serde(default)]
    mqtts: Option<SocketAddr>,
    grpc: SocketAddr,
}

/// Killed when dropped.
#[derive(Debug)]
pub struct Service {
    child: Child,
    ready: Ready,
    messages: PathBuf,
}

impl Service {
    /// Returns once the service is ready. `messages` takes its stderr, appended. Addresses that the further arguments do not name are free ports.
    pub fn start(executable: &Path, data: &Path, messages: &Path, arguments: &[&str]) -> Result<Self, ServiceError> {
        let failed = |source| ServiceError::Start { executable: executable.to_owned(), source };
        let stderr = File::options().create(true).append(true).open(messages).map_err(failed)?;
        let free = ["--http", "--mqtt", "--grpc"].into_iter().filter(|flag| !arguments.contains(flag));
        let mut child = Command::new(executable)
            .arg("run")
            .arg("--data")
            .arg(data)
            .args(free.into_iter().flat_map(|flag| [flag, "127.0.0.1:0"]))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .map_err(failed)?;
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let unknown = ([0; 4], 0).into();
        let ready = Ready { http: unknown, mqtt: None, mqtts: None, grpc: unknown };
        let mut service = Self { child, ready, messages: messages.to_owned() };
        service.ready = service.wait_until_ready(stdout)?;
        Ok(service)
    }

    fn wait_until_ready(&mut self, mut stdout: BufReader<std::process::ChildStdout>) -> Result<Ready, ServiceError> {
        // One line; the thread that reads it ends with the process.
        let (sender, receiver) = sync_channel(1);
        thread::spawn(move || {
            let mut line = String::new();
            let read = stdout.read_line(&mut line).map(|_| line);
            let _nobody_waits = sender.send(read);
            // Whatever follows is taken and dropped, so that the service never blocks on a full pipe.
            let _ended = std::io::copy(&mut stdout, &mut std::io::sink());
        });
        let line = match receiver.recv_timeout(READY_WITHIN) {
            Ok(read) => read.map_err(ServiceError::Wait)?,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                return Err(ServiceError::NotReady { messages: self.messages() });
            }
        };
        if line.is_empty() {
            let status = self.child.wait().map_err(ServiceError::Wait)?;
            return Err(ServiceError::EndedEarly { status, messages: self.messages() });
        }
        serde_json::from_str(&line).map_err(|_| ServiceError::ReadyLine { line })
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.ready.http
    }

    /// # Panics
    /// Where the service has not the role ingest.
    #[must_use]
    pub fn mqtt(&self) -> SocketAddr {
        self.ready.mqtt.expect("it takes readings in")
    }

    /// # Panics
    /// Where vehicles cannot come over TLS.
    #[must_use]
    pub fn mqtts(&self) -> SocketAddr {
        self.ready.mqtts.expect("it listens for TLS")
    }

    #[must_use]
    pub fn grpc(&self) -> SocketAddr {
        self.ready.grpc
    }

    /// The last messages of the service, for whoever has to explain a failure.
    #[must_use]
    pub fn messages(&self) -> String {
        let text = std::fs::read_to_string(&self.messages).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// SIGKILL: what a crash is to the process.
    pub fn kill(mut self) {
        self.kill_and_wait();
    }

    /// SIGTERM; waits until everything is drained and the process has ended.
    pub fn stop(mut self, within: Duration) -> Result<ExitStatus, ServiceError> {
        self.request_stop();
        self.wait(within)
    }

    /// SIGTERM, without waiting.
    pub fn request_stop(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a child has a positive id");
        // A process that is gone already has stopped.
        let _gone = kill_process(pid, Signal::TERM);
    }

    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus, ServiceError> {
        let since = Instant::now();
        while since.elapsed() < within {
            if let Some(status) = self.child.try_wait().map_err(ServiceError::Wait)? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(ServiceError::DidNotStop { waited: within, messages: self.messages() })
    }

    fn kill_and_wait(&mut self) {
        // Both fail only where the process has ended already.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill_and_wait();
    }
}
