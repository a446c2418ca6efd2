//! From the journal to whoever must hear of alerts. Decides nothing about them: `analytics::alerting`.
//!
//! ```text
//! journal ─▶ watcher ─▶ open alerts and feed of this process
//!         ├▶ dispatcher ─▶ outbox (SQLite) ─▶ redis_stream ─▶ odograph:alerts
//!         └▶ journal_damage ─┘ what is wrong with the journal itself
//! ```

pub mod dispatcher;
pub mod journal_damage;
pub mod outbox;
pub mod redis_stream;
pub mod watcher;
