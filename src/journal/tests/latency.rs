//! How long a commit takes. By hand: `cargo test --lib journal::tests::latency -- --ignored --nocapture`.

use std::path::Path;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::oneshot;

use super::support::{Running, settings};
use crate::domain::Outcome;

/// Submits at `rate_per_s` for `seconds`, each message on its own, and prints the time until its receipt is kept.
fn measure(directory: &Path, rate_per_s: u32, seconds: u32) {
    let (running, _) = Running::open_real(directory, &settings(64 * 1_024, 1 << 20)).unwrap();
    let pause = Duration::from_secs(1) / rate_per_s;
    // Receipts are kept in order, so one thread that waits for one after the other sees each in time.
    let (sender, receiver) = std::sync::mpsc::sync_channel::<(Instant, oneshot::Receiver<Outcome>)>(10_000);
    let watcher = std::thread::spawn(move || {
        let mut latency_us = Histogram::<u64>::new(3).unwrap();
        for (sent_at, outcome) in receiver {
            outcome.blocking_recv().unwrap();
            latency_us.record(u64::try_from(sent_at.elapsed().as_micros()).unwrap()).unwrap();
        }
        latency_us
    });
    let started_at = Instant::now();
    for number in 0..rate_per_s * seconds {
        let due_at = started_at + pause * number;
        std::thread::sleep(due_at.saturating_duration_since(Instant::now()));
        let sent_at = Instant::now();
        sender.send((sent_at, running.submit(1, u64::from(number), &[7; 300]))).unwrap();
    }
    drop(sender);
    let latency_us = watcher.join().unwrap();
    let percentile = |q| latency_us.value_at_quantile(q);
    println!("{rate_per_s}/s: p50 {} µs, p99 {} µs, max {} µs", percentile(0.5), percentile(0.99), latency_us.max());
    running.close().unwrap();
}

#[test]
#[ignore = "a measurement: its result depends on the machine"]
fn a_trickle_is_durable_within_milliseconds() {
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    measure(folder.path(), 333, 10);
    measure(folder.path(), 3_000, 5);
}
