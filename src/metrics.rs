//! The name, unit and meaning of every metric. Never a label with a vehicle in it.

/// One metric: the name a recorder sees, and the sentence that `/metrics` shows.
pub struct Metric {
    pub name: &'static str,
    pub meaning: &'static str,
}

macro_rules! metrics {
    ($($constant:ident $name:literal $meaning:literal;)*) => {
        $(pub const $constant: &str = $name;)*
        /// All of them, for `describe`.
        pub const ALL: &[Metric] = &[$(Metric { name: $name, meaning: $meaning }),*];
    };
}

metrics! {
    READINGS_ACCEPTED "odograph_readings_accepted_total" "Readings that are durable, by source.";
    READINGS_DUPLICATE "odograph_readings_duplicate_total" "Readings that were there already, by source.";
    MESSAGES_QUARANTINED "odograph_messages_quarantined_total" "Messages or elements of one that were refused, by reason.";
    SIGNALS_REJECTED "odograph_signals_rejected_total" "Signals that were not finite or out of range, by reason.";
    CONNECTIONS "odograph_connections" "Open connections of vehicles.";
    REFUSED "odograph_refused_total" "Connections, log-ins, messages and calls that were refused for who they came from, by kind.";
    FRONT_DOOR_REFUSED "odograph_front_door_refused_total" "Of them those at the MQTT endpoint for vehicles, by reason.";
    BROKER_CONNECTED "odograph_broker_connected" "1 while the subscription at the outside broker stands, else 0.";
    LANE_BATCH_READINGS "odograph_lane_batch_readings" "Readings that one lane step took together.";
    LANE_STEP_SECONDS "odograph_lane_step_seconds" "Time of one lane step.";
    LEFT_OUT "odograph_left_out_total" "What lanes left out while more came than they could judge in full, by what.";
    READINGS_SCORED "odograph_readings_scored_total" "Readings that at least one model scored.";
    READINGS_NOT_SCORED "odograph_readings_not_scored_total" "Readings without a score, by reason.";
    QUALITY_VERDICTS "odograph_quality_verdicts_total" "Readings of which something could not be believed, by verdict.";
    SEQUENCE_SKIPPED "odograph_sequence_skipped_total" "Numbers that vehicles had skipped when a later one came; some come late.";
    MODEL_FAILURES "odograph_model_failures_total" "Model runs that failed; their readings are kept.";
    WINDOWS_CUT "odograph_windows_cut_total" "Windows that outgrew their memory and lost their oldest steps.";
    CLAIMS_WITHOUT_ROOM "odograph_claims_without_room_total" "Raised claims of vehicles that have as many alerts as are followed at once.";
    JOURNAL_COMMIT_SECONDS "odograph_journal_commit_seconds" "Time from the first byte written to the end of fdatasync, per group.";
    JOURNAL_COMMIT_BYTES "odograph_journal_commit_bytes" "Bytes of one group commit.";
    JOURNAL_BYTES "odograph_journal_bytes" "Size of the journal on disk.";
    JOURNAL_BAD_FRAMES "odograph_journal_bad_frames_total" "Frames that failed their checksum and were skipped, each when it was first met.";
    JOURNAL_DAMAGED_PLACES "odograph_journal_damaged_places" "Damaged places of the journal that nobody has acknowledged yet.";
    ARCHIVE_LAG_BYTES "odograph_archive_lag_bytes" "Journal bytes that the archive has not stored yet.";
    ARCHIVE_STORE_SECONDS "odograph_archive_store_seconds" "Time of one archive transaction.";
    LIVE_MIRRORED "odograph_live_mirrored_total" "Vehicle states that were written to Redis.";
    LIVE_MIRROR_CONNECTED "odograph_live_mirror_connected" "1 while Redis has all of live state, else 0.";
    ALERTS_QUEUED "odograph_alerts_queued_total" "Changes of alerts that the alert queue has taken.";
    ALERTS_WAITING "odograph_alerts_waiting" "Changes of alerts that wait on disk for the alert queue.";
    ALERTS_DEAD "odograph_alerts_dead_total" "Changes of alerts that waited too long, or with too many others, and became dead letters.";
    READING_DURABLE_SECONDS "odograph_reading_durable_seconds" "From a reading's arrival until its sender can be told that it is kept.";
    READING_SCORED_SECONDS "odograph_reading_scored_seconds" "From a reading's arrival until rules, fences and models have judged it.";
    READING_ALERTED_SECONDS "odograph_reading_alerted_seconds" "From the arrival of the reading that opened an alert until the alert is shown.";
    SLO_EVENTS "odograph_slo_events_total" "Events that an objective is about, by objective.";
    SLO_GOOD_EVENTS "odograph_slo_good_events_total" "Those of them that were good, by objective.";
    SLO_OBJECTIVE "odograph_slo_objective" "Share of good events that is promised, by objective.";
    SLO_BURN_RATE "odograph_slo_burn_rate" "Share of bad events over the share that may be bad, by objective and window; 1 uses the budget up in 30 days.";
    SLO_BUDGET_LEFT "odograph_slo_budget_left" "Share of the error budget of 30 days, or since the start, that is left, by objective; below 0 it is overspent.";
    ARCHIVE_FAILURES "odograph_archive_failures_total" "Archive transactions that failed and are tried again.";
}

/// Tells the recorder what each metric means.
pub fn describe() {
    for metric in ALL {
        match metric.name {
            name if name.ends_with("_total") => metrics::describe_counter!(name, metric.meaning),
            name if name.ends_with("_seconds") || name.ends_with("_readings") || name.ends_with("commit_bytes") => {
                metrics::describe_histogram!(name, metric.meaning);
            }
            name => metrics::describe_gauge!(name, metric.meaning),
        }
    }
}
