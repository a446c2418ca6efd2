//! Hands emptied batches back to the lanes, so that a steady load allocates nothing.

use std::sync::Mutex;

use super::batch::Batch;

/// As many as can be under way at once; when full, further ones are freed.
const KEPT_BATCHES: usize = 2 * super::QUEUE_WORK;

#[derive(Debug, Default)]
pub struct Recycling(Mutex<Vec<Batch>>);

impl Recycling {
    pub fn give(&self, batch: Batch) {
        if let Some(batch) = batch.recycled() {
            let mut kept = self.0.lock().expect("no holder panics");
            if kept.len() < KEPT_BATCHES {
                kept.push(batch);
            }
        }
    }

    pub fn take(&self) -> Batch {
        self.0.lock().expect("no holder panics").pop().unwrap_or_default()
    }
}
