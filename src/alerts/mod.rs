//! From the journal to whoever must hear of alerts. Decides nothing about them: `analytics::alerting`.
//!
//! ```text
//! journal ─▶ watcher ─▶ open alerts and feed of this process
//!         └▶ dispatcher ─▶ outbox (SQLite) ─▶ redis_stream ─▶ odograph:alerts
//! ```

pub mod dispatcher;
pub mod outbox;
pub mod redis_stream;
pub mod watcher;
