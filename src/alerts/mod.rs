//! From the journal to whoever must hear of alerts. Decides nothing about them: `analytics::alerting`.

pub mod watcher;
