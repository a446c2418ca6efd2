//! What a lane counts, and the one line a minute about models that fail.

use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};
use tracing::warn;

use crate::analytics::scoring::Scoring;
use crate::domain::{Flaw, NotScored, Quality, Timestamp};
use crate::metrics as names;

const LOG_EVERY: Duration = Duration::from_mins(1);

/// Handles are made once: looking one up costs more than a reading should.
pub struct LaneCounters {
    pub windows_cut: u64,
    pub claims_without_room: u64,
    readings: u64,
    scored: u64,
    not_scored: Vec<u64>,
    flaws: Vec<u64>,
    skipped: u64,
    last_logged: Option<Timestamp>,
    handles: Handles,
}

struct Handles {
    batch_readings: Histogram,
    scored: Counter,
    not_scored: Vec<Counter>,
    flaws: Vec<Counter>,
    skipped: Counter,
    windows_cut: Counter,
    claims_without_room: Counter,
    model_failures: Counter,
    explanations_left_out: Counter,
    scores_left_out: Counter,
}

impl Default for LaneCounters {
    fn default() -> Self {
        let reason = |reason: &NotScored| counter!(names::READINGS_NOT_SCORED, "reason" => reason.code());
        let verdict = |flaw: &Flaw| counter!(names::QUALITY_VERDICTS, "verdict" => flaw.code());
        Self {
            windows_cut: 0,
            claims_without_room: 0,
            readings: 0,
            scored: 0,
            not_scored: vec![0; NotScored::ALL.len()],
            flaws: vec![0; Flaw::ALL.len()],
            skipped: 0,
            last_logged: None,
            handles: Handles {
                batch_readings: histogram!(names::LANE_BATCH_READINGS),
                scored: counter!(names::READINGS_SCORED),
                not_scored: NotScored::ALL.iter().map(reason).collect(),
                flaws: Flaw::ALL.iter().map(verdict).collect(),
                skipped: counter!(names::SEQUENCE_SKIPPED),
                windows_cut: counter!(names::WINDOWS_CUT),
                claims_without_room: counter!(names::CLAIMS_WITHOUT_ROOM),
                model_failures: counter!(names::MODEL_FAILURES),
                explanations_left_out: counter!(names::LEFT_OUT, "what" => "explanation"),
                scores_left_out: counter!(names::LEFT_OUT, "what" => "second_model"),
            },
        }
    }
}

impl LaneCounters {
    pub(super) fn count(&mut self, not_scored: Option<NotScored>) {
        self.readings += 1;
        match not_scored {
            None => self.scored += 1,
            Some(reason) => self.not_scored[reason as usize] += 1,
        }
    }

    pub(super) fn count_quality(&mut self, quality: &Quality, skipped: u64) {
        self.skipped += skipped;
        if !quality.is_good() {
            for (count, flaw) in self.flaws.iter_mut().zip(Flaw::ALL) {
                *count += u64::from(quality.has(*flaw));
            }
        }
    }

    /// At the end of a batch.
    pub(super) fn flush(&mut self) {
        #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
        self.handles.batch_readings.record(std::mem::take(&mut self.readings) as f64);
        self.handles.scored.increment(std::mem::take(&mut self.scored));
        self.handles.windows_cut.increment(std::mem::take(&mut self.windows_cut));
        self.handles.claims_without_room.increment(std::mem::take(&mut self.claims_without_room));
        self.handles.skipped.increment(std::mem::take(&mut self.skipped));
        let by_reason = self.not_scored.iter_mut().zip(&self.handles.not_scored);
        for (count, handle) in by_reason.chain(self.flaws.iter_mut().zip(&self.handles.flaws)) {
            if *count > 0 {
                handle.increment(std::mem::take(count));
            }
        }
    }

    pub(super) fn report(&mut self, scoring: &mut Scoring, now: Timestamp) {
        let left_out = scoring.take_left_out();
        self.handles.explanations_left_out.increment(left_out.explanations);
        self.handles.scores_left_out.increment(left_out.scores);
        let is_quiet = self.last_logged.is_some_and(|last| now.since(last) < LOG_EVERY);
        for (contract, failures) in scoring.take_failures() {
            self.handles.model_failures.increment(failures.rows);
            if is_quiet {
                continue;
            }
            self.last_logged = Some(now);
            let error = failures.error.map_or_else(|| "it gave no finite number".to_owned(), |error| error.to_string());
            warn!(model = %contract.name, version = %contract.version, rows = failures.rows, error, "model failed, readings are kept unscored");
        }
    }
}

impl std::fmt::Debug for LaneCounters {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LaneCounters").finish_non_exhaustive()
    }
}
