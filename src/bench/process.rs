//! What the kernel says about processes and the machine. Linux only: reads /proc.

use std::fs;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// `USER_HZ`: the unit of CPU times in /proc, part of Linux's interface for programs and 100 on every platform we build for.
const TICKS_PER_SECOND: u64 = 100;

#[derive(Debug, thiserror::Error)]
pub enum ProcError {
    #[error("could not read {path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("{path} has no {field}")]
    Field { path: String, field: &'static str },
}

/// CPU time and memory of a process up to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub user_us: u64,
    pub system_us: u64,
    /// Resident memory now, and its highest value so far.
    pub rss_bytes: u64,
    pub peak_rss_bytes: u64,
}

impl Usage {
    #[must_use]
    pub const fn cpu_us(&self) -> u64 {
        self.user_us + self.system_us
    }
}

impl std::iter::Sum for Usage {
    fn sum<I: Iterator<Item = Self>>(usages: I) -> Self {
        usages.fold(Self { user_us: 0, system_us: 0, rss_bytes: 0, peak_rss_bytes: 0 }, |sum, one| Self {
            user_us: sum.user_us + one.user_us,
            system_us: sum.system_us + one.system_us,
            rss_bytes: sum.rss_bytes + one.rss_bytes,
            peak_rss_bytes: sum.peak_rss_bytes + one.peak_rss_bytes,
        })
    }
}

/// Time of all cores since the start of the machine.
#[derive(Debug, Clone, Copy)]
pub struct MachineTime {
    pub all: Duration,
    pub idle: Duration,
    /// Network processing that no process is charged for.
    pub interrupts: Duration,
}

#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory_bytes: u64,
    pub kernel: String,
    /// `release` or `debug`: figures of a debug build mean nothing.
    pub build: &'static str,
    /// Set by whoever built it: `ODOGRAPH_COMMIT`.
    pub commit: Option<&'static str>,
}

pub fn usage(pid: u32) -> Result<Usage, ProcError> {
    let (stat_path, status_path) = (format!("/proc/{pid}/stat"), format!("/proc/{pid}/status"));
    let stat = read(&stat_path)?;
    // The name in parentheses may hold anything, spaces too; numbers follow the last one.
    let numbers = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut times = numbers.split_whitespace().skip(11).map(str::parse::<u64>);
    let (Some(Ok(user)), Some(Ok(system))) = (times.next(), times.next()) else {
        return Err(ProcError::Field { path: stat_path, field: "utime and stime" });
    };
    let status = read(&status_path)?;
    let kib = |field| number_after(&status, field).ok_or(ProcError::Field { path: status_path.clone(), field });
    Ok(Usage {
        user_us: user * 1_000_000 / TICKS_PER_SECOND,
        system_us: system * 1_000_000 / TICKS_PER_SECOND,
        rss_bytes: kib("VmRSS:")? * 1_024,
        peak_rss_bytes: kib("VmHWM:")? * 1_024,
    })
}

/// Of several processes together.
pub fn usage_of_all(pids: &[u32]) -> Result<Usage, ProcError> {
    pids.iter().map(|pid| usage(*pid)).sum()
}

/// CPU time of a process, of its children, and of those that have ended.
pub fn family_cpu_us(pid: u32) -> Result<u64, ProcError> {
    let path = format!("/proc/{pid}/stat");
    let stat = read(&path)?;
    let numbers = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    // utime, stime, and both of children that have ended.
    let ticks: Vec<u64> = numbers.split_whitespace().skip(11).take(4).filter_map(|number| number.parse().ok()).collect();
    let children = read(&format!("/proc/{pid}/task/{pid}/children"))?;
    let children = children.split_whitespace().filter_map(|child| usage(child.parse().ok()?).ok()).map(|usage| usage.cpu_us());
    Ok(ticks.iter().sum::<u64>() * 1_000_000 / TICKS_PER_SECOND + children.sum::<u64>())
}

pub fn machine_time() -> Result<MachineTime, ProcError> {
    let path = "/proc/stat";
    let stat = read(path)?;
    let line = stat.lines().next().unwrap_or_default();
    // user nice system idle iowait irq softirq steal; what follows is contained in user.
    let ticks: Vec<u64> = line.split_whitespace().skip(1).take(8).filter_map(|number| number.parse().ok()).collect();
    let [_, _, _, idle, waiting, hard, soft, _] = ticks[..] else {
        return Err(ProcError::Field { path: path.to_owned(), field: "eight CPU times" });
    };
    let time = |ticks: u64| Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND);
    Ok(MachineTime { all: time(ticks.iter().sum()), idle: time(idle + waiting), interrupts: time(hard + soft) })
}

pub fn machine() -> Result<Machine, ProcError> {
    let cpus = read("/proc/cpuinfo")?;
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown", |rest| rest.trim_matches([':', ' ', '\t']));
    let memory = read("/proc/meminfo")?;
    Ok(Machine {
        cpu: model.to_owned(),
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        memory_bytes: number_after(&memory, "MemTotal:").unwrap_or_default() * 1_024,
        kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        build: if cfg!(debug_assertions) { "debug" } else { "release" },
        commit: option_env!("ODOGRAPH_COMMIT"),
    })
}

/// Lets this process and its children open as many sockets as the system admits; returns that number.
pub fn raise_open_files_limit() -> Result<u64, rustix::io::Errno> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let most = limit.maximum.unwrap_or(u64::MAX);
    setrlimit(Resource::Nofile, limit)?;
    Ok(most)
}

fn read(path: &str) -> Result<String, ProcError> {
    fs::read_to_string(path).map_err(|source| ProcError::Read { path: path.to_owned(), source })
}

fn number_after(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_cpu_and_memory() {
        let before = usage(std::process::id()).unwrap();
        let mut sum = 0_u64;
        while usage(std::process::id()).unwrap().cpu_us() < before.cpu_us() + 20_000 {
            sum = (0..1_000_000_u64).fold(sum, |sum, number| sum.wrapping_mul(31).wrapping_add(number));
        }
        let after = usage(std::process::id()).unwrap();
        assert!(after.peak_rss_bytes >= after.rss_bytes && after.rss_bytes > 1 << 20, "{after:?} {sum}");
    }

    #[test]
    fn the_machine_is_described() {
        let machine = machine().unwrap();
        assert!(machine.cores > 0 && machine.memory_bytes > 1 << 28 && !machine.kernel.is_empty(), "{machine:?}");
        let time = machine_time().unwrap();
        assert!(time.all >= time.idle + time.interrupts, "{time:?}");
    }
}
