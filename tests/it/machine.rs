//! A machine that fails the service: a disk that is full, a clock that jumps, more vehicles than it can serve in time.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use odograph::clock;

use crate::support::fleet::{Fleet, StopsWhenDropped};
use crate::support::{Chance, Site, is_torture, scale, seed, wait_for};

const VEHICLES: u64 = 40;
const PER_SECOND: f64 = 333.0;
const DRAIN_WITHIN: Duration = Duration::from_mins(1);
/// Where Debian puts it.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// A real file system with an end. Unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, said aloud: this process may not mount.
    fn mount(at: &Path, mebibytes: u32) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let size = format!("size={mebibytes}m");
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output().unwrap();
        if !output.status.success() {
            println!("NOT RUN: a small disk cannot be mounted here: {}", String::from_utf8_lossy(&output.stderr).trim());
            return None;
        }
        Some(Self(at.to_owned()))
    }

    /// Until nothing more fits.
    fn fill(&self) {
        let mut size = 8 << 20;
        let mut number = 0;
        while size >= 4_096 {
            number += 1;
            if fs::write(self.0.join(format!("somebody-elses-{number}")), vec![1; size]).is_err() {
                size /= 2;
            }
        }
    }

    fn make_room(&self) {
        let files = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        for file in files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("somebody-elses")) {
            fs::remove_file(file).unwrap();
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _said_by_the_next_test = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_stops_acknowledgements_says_so_and_work_resumes_by_itself() {
    let mut chance = Chance::new(seed());
    let mut site = Site::stopped();
    let Some(disk) = SmallDisk::mount(&site.data(), 96) else { return };
    site.configure("[journal]\nsegment = \"1MiB\"\nmax = \"32MiB\"\n");
    site.restart();
    let fleet = Fleet::new("disk", VEHICLES, chance.next());
    for round in 0..3 {
        let (stopping, mqtt) = (AtomicBool::new(false), site.service().mqtt());
        thread::scope(|scope| {
            // Its connections may end while nothing is acknowledged: devices reconnect in the next round.
            let publishing = scope.spawn(|| fleet.publish(mqtt, 2_000.0, &stopping));
            let _when_it_fails = StopsWhenDropped(&stopping);
            let before = fleet.acknowledged();
            wait_for("acknowledgements", DRAIN_WITHIN, || (fleet.acknowledged() > before + 200).then_some(()));
            disk.fill();
            wait_for("a full disk in the health report", DRAIN_WITHIN, || {
                let health = site.api().get("/health/ready");
                (health.status == 503 && health.text.contains("journal")).then_some(())
            });
            // What was made ahead of time is used up first.
            let before = fleet.acknowledged();
            wait_for("acknowledgements to stop", DRAIN_WITHIN, || {
                let so_far = fleet.acknowledged();
                thread::sleep(Duration::from_millis(300));
                (fleet.acknowledged() == so_far).then_some(())
            });
            println!("round {round}: {} acknowledged into what was left, then none", fleet.acknowledged() - before);
            thread::sleep(scale(chance.millis(100, 500), 5));
            disk.make_room();
            wait_for("a service that is ready again", DRAIN_WITHIN, || {
                (site.api().get("/health/ready").status == 200).then_some(())
            });
            stopping.store(true, Ordering::Relaxed);
            let _connections_may_have_ended = publishing.join().unwrap();
        });
    }
    // Killed on a full disk, and started on it again.
    disk.fill();
    site.kill();
    disk.make_room();
    site.restart();
    fleet.publish_some(site.service().mqtt(), PER_SECOND, Duration::from_millis(300));
    let audit = fleet.audit(&site.api(), DRAIN_WITHIN);
    println!("{} acknowledged, {} stored", audit.acknowledged, audit.stored);
    audit.assert_clean();
    assert_eq!(site.api().all_quarantined(), 0);
    assert!(site.stop().success());
}

/// Of one that stands still in the middle of its snapshot.
const BROWSER_BYTES: u64 = 1 << 20;

#[test]
fn browsers_that_never_read_cost_ingestion_nothing_and_little_memory() {
    const BROWSERS: usize = 20;
    const SHOWN: usize = 3_000;
    let site = Site::start();
    let api = site.api();
    for number in 0..SHOWN {
        let body = format!(r#"{{"recorded_at":{},"signals":{{"speed_km_per_h":50}}}}"#, clock::now().as_micros() / 1_000);
        let answer = api.post(&format!("/api/v1/telemetry/shown-{number}"), "application/json", body.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    let fleet = Fleet::new("watched", VEHICLES, seed());
    let rate = || {
        let before = fleet.acknowledged();
        fleet.publish_some(site.service().mqtt(), 2_000.0, scale(Duration::from_secs(4), 5));
        fleet.acknowledged() - before
    };
    let without = rate();
    let rss_before = site.rss_bytes();
    let browsers: Vec<TcpStream> = (0..BROWSERS).map(|_| a_browser_that_never_reads(&site)).collect();
    let with = rate();
    let more = site.rss_bytes().saturating_sub(rss_before);
    println!("{without} acknowledged without browsers, {with} with {BROWSERS}; {} KiB more memory", more >> 10);
    // Other tests on the same cores may take a good part; a line that waited for a browser would stand still.
    assert!(with * 10 > without * if is_torture() { 8 } else { 4 }, "{with} of {without}");
    assert!(more < BROWSER_BYTES * BROWSERS as u64, "{more} bytes for {BROWSERS} browsers");
    fleet.audit(&api, DRAIN_WITHIN).assert_clean();
    drop(browsers);
}

fn a_browser_that_never_reads(site: &Site) -> TcpStream {
    let mut browser = TcpStream::connect(site.service().http()).unwrap();
    let host = site.service().http();
    let upgrade = format!(
        "GET /api/v1/live HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    browser.write_all(upgrade.as_bytes()).unwrap();
    let mut answer = [0; 12];
    browser.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    browser
}

/// Hours and minutes, forth and back, under load.
#[test]
fn a_clock_that_jumps_loses_nothing_and_is_not_believed() {
    if !Path::new(FAKETIME).exists() {
        println!("NOT RUN: {FAKETIME} is not installed");
        return;
    }
    let mut chance = Chance::new(seed());
    let mut site = Site::stopped();
    let offset = site.path().join("offset");
    let jump = |seconds: i64| {
        // Renamed into place: it is never read half written.
        let next = offset.with_extension("next");
        fs::write(&next, format!("{seconds:+}s\n")).unwrap();
        fs::rename(&next, &offset).unwrap();
    };
    jump(0);
    site.set_environment(&[
        ("LD_PRELOAD", FAKETIME),
        ("FAKETIME_TIMESTAMP_FILE", offset.to_str().unwrap()),
        // Read once a second: libfaketime reads it for every thread without a lock.
        ("FAKETIME_CACHE_DURATION", "1"),
        // What the product measures durations with does not jump on a real machine.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ]);
    site.restart();
    let fleet = Fleet::new("clock", VEHICLES, chance.next());
    let (stopping, mqtt) = (AtomicBool::new(false), site.service().mqtt());
    let mut jumps = vec![-3_600, 90, 7_200, -90, 40_000, -40_000];
    let turn = usize::try_from(chance.next()).unwrap_or_default() % jumps.len();
    jumps.rotate_left(turn);
    thread::scope(|scope| {
        let publishing = scope.spawn(|| fleet.publish(mqtt, PER_SECOND, &stopping));
        let _when_it_fails = StopsWhenDropped(&stopping);
        for seconds in jumps {
            let before = fleet.acknowledged();
            wait_for("acknowledgements", DRAIN_WITHIN, || (fleet.acknowledged() > before + 200).then_some(()));
            jump(seconds);
            let before = fleet.acknowledged();
            thread::sleep(scale(chance.millis(2_000, 3_000), 10));
            let acknowledged = fleet.acknowledged() - before;
            println!("{seconds:+} s: {acknowledged} acknowledged");
            assert!(acknowledged > 100, "vehicles waited for a clock: {acknowledged} at {seconds} s");
            jump(0);
        }
        stopping.store(true, Ordering::Relaxed);
        assert_eq!(publishing.join().unwrap(), Ok(()));
    });
    let audit = fleet.audit(&site.api(), DRAIN_WITHIN);
    println!("{} acknowledged, {} stored", audit.acknowledged, audit.stored);
    assert_eq!(site.api().all_quarantined(), 0, "{}", site.api().get("/api/v1/quarantine").text);
    audit.assert_clean();
    assert_eq!(site.api().all_quarantined(), 0);
    // While our clock was an hour behind, readings were ahead of it: kept, flagged, and never the newest state.
    let stored = site.api().readings("clock-000");
    let future = stored.iter().filter(|reading| reading.json["not_scored"] == "future").count();
    assert!(future > 0, "no reading was found to be ahead of its time");
    let newest = site.api().vehicle("clock-000").unwrap();
    let recorded_at: odograph::domain::Timestamp = newest["recorded_at"].as_str().unwrap().parse().unwrap();
    assert!(clock::now().since(recorded_at) < Duration::from_mins(2), "{newest}");
    assert!(site.stop().success());
}
