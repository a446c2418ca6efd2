//! The recorder of metrics, and what counts for the objectives.

use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::journal::JournalMonitor;
use crate::metrics as names;
use crate::settings;
use crate::slo::{self, Slo};
use crate::tasks::Tasks;

/// The recorder folds what histograms have collected this often; without it they grow.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);
/// Readings of one lane step.
const BATCH_BUCKETS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0];
/// Seconds. The target of each objective is one more.
const TIME_BUCKETS: &[f64] = &[0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// As buckets they are exact over any span; a summary would forget, and hold what happened before.
pub(super) fn install_recorder(slo: &settings::Slo) -> Result<PrometheusHandle, BuildError> {
    let mut builder =
        PrometheusBuilder::new().set_buckets_for_metric(Matcher::Full(names::LANE_BATCH_READINGS.to_owned()), BATCH_BUCKETS)?;
    for (name, objective) in [
        (names::READING_DURABLE_SECONDS, slo.durable),
        (names::READING_SCORED_SECONDS, slo.scored),
        (names::READING_ALERTED_SECONDS, slo.alerted),
    ] {
        let mut buckets = TIME_BUCKETS.to_vec();
        buckets.push(objective.within.duration().as_secs_f64());
        buckets.sort_by(f64::total_cmp);
        buckets.dedup();
        builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), &buckets)?;
    }
    builder.install_recorder()
}

/// Counts from now on.
pub(super) fn start_slo(settings: &settings::Slo, journal: Option<JournalMonitor>, tasks: &Tasks) -> Arc<Slo> {
    let slo = Arc::new(Slo::new(settings, move || journal.as_ref().map_or(0, JournalMonitor::damage)));
    let (counting, mut stop) = (Arc::clone(&slo), tasks.stop());
    tasks.spawn("objectives", async move {
        let mut minute = interval_at(Instant::now() + slo::MINUTE, slo::MINUTE);
        minute.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                _ = minute.tick() => counting.minute(),
                () = stop.requested() => return Ok(()),
            }
        }
    });
    slo
}

/// What `/metrics` answers.
pub(super) fn renderer(recorder: &PrometheusHandle, slo: &Arc<Slo>) -> Box<dyn Fn() -> String + Send + Sync> {
    let (recorder, slo) = (recorder.clone(), Arc::clone(slo));
    Box::new(move || {
        slo.publish();
        recorder.render()
    })
}

pub(super) fn upkeep(recorder: PrometheusHandle, tasks: &Tasks) {
    let mut stop = tasks.stop();
    tasks.spawn("metrics upkeep", async move {
        let mut interval = tokio::time::interval(METRICS_UPKEEP);
        loop {
            tokio::select! {
                _ = interval.tick() => recorder.run_upkeep(),
                () = stop.requested() => return Ok(()),
            }
        }
    });
}
