//! A PostgreSQL server of its own, from the binaries that the system has, in a folder of its own on a free port: for measurements, and for
//! tests that want a real one. Not for production: everybody on this machine may connect.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::process;

/// Where Debian and Ubuntu put one folder a version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// PostgreSQL refuses to run as root; its package brings this user.
const USER: &str = "postgres";
const READY_WITHIN: Duration = Duration::from_secs(30);
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// Its socket's name must stay below 108 bytes.
const SCRATCH: &str = "/tmp";
/// Ends when its standard input does, which is when whoever started it is gone, however that came: then the server is stopped too, and
/// unless a file says that it will be started again, its folder removed.
const KEEPER: &str = r#"exec 3<&0
"$@" </dev/null 3<&- &
cat <&3 >/dev/null
kill -INT $! 2>/dev/null
wait $!
[ -e "$PGDATA/../keep" ] || rm -rf "$PGDATA/.."
"#;

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("PostgreSQL is not installed here: apt-get install postgresql")]
    NotInstalled,
    #[error("could not {action}: {source}")]
    Io { action: &'static str, source: std::io::Error },
    #[error("{program} failed:\n{messages}")]
    Failed { program: String, messages: String },
    #[error("the server did not {action} within {waited:?}; its log:\n{log}")]
    Slow { action: &'static str, waited: Duration, log: String },
}

/// What is worth more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// As in production.
    Durable,
    /// A power cut may lose anything: for tests that do not ask.
    Quick,
}

/// Stopped when dropped, and when this process ends.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    programs: PathBuf,
    /// User and group to run as, where this process is root.
    identity: Option<(u32, u32)>,
    promise: Promise,
    port: u16,
    keeper: Option<Child>,
}

impl Server {
    /// Makes an empty server and returns once it answers.
    ///
    /// # Errors
    /// Where it is not installed, or does not start.
    pub fn start(promise: Promise) -> Result<Self, ServerError> {
        let programs = programs().ok_or(ServerError::NotInstalled)?;
        let io = |action| move |source| ServerError::Io { action, source };
        let folder = tempfile::Builder::new().prefix("odograph-postgres-").tempdir_in(SCRATCH);
        let folder = folder.map_err(io("make a folder for the server"))?.keep();
        let identity = identity()?;
        if let Some((user, group)) = identity {
            chown(&folder, Some(user), Some(group)).map_err(io("give the server its folder"))?;
        }
        let mut server = Self { folder, programs, identity, promise, port: 0, keeper: None };
        let data = server.data();
        server.run(
            "initdb",
            &["--pgdata", path(&data), "--username", USER, "--auth", "trust", "--encoding", "UTF8", "--no-sync"],
        )?;
        server.start_again()?;
        Ok(server)
    }

    /// After [`Server::stop`]: with what it had, on the same port.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn start_again(&mut self) -> Result<(), ServerError> {
        let io = |action| move |source| ServerError::Io { action, source };
        if self.port == 0 {
            // It cannot say which port it got, so the kernel is asked for a free one.
            let listener = TcpListener::bind("127.0.0.1:0").map_err(io("find a free port"))?;
            self.port = listener.local_addr().map_err(io("find a free port"))?.port();
        }
        let _not_there = std::fs::remove_file(self.folder.join("keep"));
        let log =
            std::fs::File::options().create(true).append(true).open(self.folder.join("log")).map_err(io("write its log"))?;
        let mut keeper = self.command(Path::new("sh"));
        keeper.args(["-c", KEEPER, "keeper"]).arg(self.programs.join("postgres")).args(["-p", &self.port.to_string()]);
        keeper.args(["-k", path(&self.folder), "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=100"]);
        if self.promise == Promise::Quick {
            keeper.args(["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]);
        }
        keeper.env("PGDATA", self.data()).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        // Ctrl-C is for whoever started it.
        keeper.process_group(0);
        self.keeper = Some(keeper.spawn().map_err(io("start the server"))?);
        let since = Instant::now();
        while self.run("pg_isready", &["--quiet", "-h", "127.0.0.1", "-p", &self.port.to_string()]).is_err() {
            if since.elapsed() > READY_WITHIN {
                return Err(ServerError::Slow { action: "start", waited: READY_WITHIN, log: self.log() });
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// "Fast": connections are cut, what was committed is written. Its folder stays.
    ///
    /// # Errors
    /// Where it does not end.
    pub fn stop(&mut self) -> Result<(), ServerError> {
        let io = |source| ServerError::Io { action: "stop the server", source };
        let Some(mut keeper) = self.keeper.take() else { return Ok(()) };
        std::fs::write(self.folder.join("keep"), "").map_err(io)?;
        drop(keeper.stdin.take());
        let since = Instant::now();
        while keeper.try_wait().map_err(io)?.is_none() {
            if since.elapsed() > STOP_WITHIN {
                return Err(ServerError::Slow { action: "stop", waited: STOP_WITHIN, log: self.log() });
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Sends a signal to the server and to every process that serves a connection: `STOP` and `CONT` are a server that hangs.
    ///
    /// # Errors
    /// Where it is not running.
    pub fn signal(&self, signal: Signal) -> Result<(), ServerError> {
        let io = |source| ServerError::Io { action: "signal the server", source };
        let server = self.pid().map_err(io)?;
        kill_process(server, signal).map_err(|error| io(error.into()))?;
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", server.as_raw_nonzero())).map_err(io)?;
        for child in children.split_whitespace().filter_map(|pid| pid.parse().ok()).filter_map(Pid::from_raw) {
            let _may_have_ended = kill_process(child, signal);
        }
        Ok(())
    }

    /// CPU time of all its processes so far; `None`: it is not running.
    #[must_use]
    pub fn cpu_us(&self) -> Option<u64> {
        let server = self.pid().ok()?;
        process::family_cpu_us(server.as_raw_nonzero().get().unsigned_abs()).ok()
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Over TCP.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    /// Over its Unix socket.
    #[must_use]
    pub fn socket_url(&self, database: &str) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://{USER}@{folder}:{}/{database}", self.port)
    }

    /// The last messages of the server, for whoever has to explain a failure.
    #[must_use]
    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    fn pid(&self) -> std::io::Result<Pid> {
        let text = std::fs::read_to_string(self.data().join("postmaster.pid"))?;
        let server = text.lines().next().and_then(|line| line.parse().ok()).and_then(Pid::from_raw);
        server.ok_or(ErrorKind::InvalidData.into())
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder);
        if let Some((user, group)) = self.identity {
            command.uid(user).gid(group);
        }
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<Output, ServerError> {
        run(self.command(&self.programs.join(program)).args(arguments))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A server that was stopped by a signal would not hear that it is to end.
        let _not_running = self.signal(Signal::CONT);
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            let _ended = keeper.wait();
        }
        let _removed_already = std::fs::remove_dir_all(&self.folder);
    }
}

/// The address of another database on the same server.
#[must_use]
pub fn on_server(url: &str, database: &str) -> String {
    let (address, parameters) = url.split_once('?').map_or((url, String::new()), |(address, rest)| (address, format!("?{rest}")));
    let scheme = address.find("://").map_or(0, |place| place + 3);
    let server = address[scheme..].split('/').next().unwrap_or_default();
    format!("{}{server}/{database}{parameters}", &address[..scheme])
}

/// Runs SQL by `psql` on any server.
///
/// # Errors
/// Where it is not installed, or the server refuses.
pub fn run_sql(url: &str, statements: &str) -> Result<String, ServerError> {
    let programs = programs().ok_or(ServerError::NotInstalled)?;
    let mut psql = Command::new(programs.join("psql"));
    psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1", "--dbname", url]);
    let output = run(psql.args(["--command", statements]))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn run(command: &mut Command) -> Result<Output, ServerError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|source| ServerError::Io { action: "run a program of PostgreSQL", source })?;
    if output.status.success() {
        return Ok(output);
    }
    let mut messages = String::from_utf8_lossy(&output.stdout).into_owned();
    let _never_fails = write!(messages, "{}", String::from_utf8_lossy(&output.stderr));
    Err(ServerError::Failed { program, messages })
}

/// The newest version's.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir(DEBIAN).ok()?.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    let number = |path: &PathBuf| path.parent().and_then(|version| version.file_name()?.to_str()?.parse::<u32>().ok());
    versions.filter(|path| path.join("initdb").exists()).max_by_key(number)
}

fn identity() -> Result<Option<(u32, u32)>, ServerError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let id = |kind: &str| {
        let output = run(Command::new("id").args([kind, USER]))?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        text.parse().map_err(|_| ServerError::Failed { program: "id".to_owned(), messages: text })
    };
    Ok(Some((id("-u")?, id("-g")?)))
}

fn path(path: &Path) -> &str {
    path.to_str().expect("the folder of temporary files and names of our own are Unicode")
}
