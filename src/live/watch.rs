//! Who waits for one vehicle: told that it has changed, not what; however often it changes before he looks, it costs nothing.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::LiveState;
use crate::domain::VehicleId;

/// By vehicle, as long as somebody waits for it.
#[derive(Debug, Default)]
pub(super) struct Watched(HashMap<VehicleId, watch::Sender<()>>);

/// One who waits. It is forgotten when dropped.
#[derive(Debug)]
pub struct Watch {
    live: Arc<LiveState>,
    vehicle_id: VehicleId,
    /// `None` only while it is dropped.
    changes: Option<watch::Receiver<()>>,
}

impl Watched {
    pub fn watch(&mut self, vehicle_id: &VehicleId) -> watch::Receiver<()> {
        self.0.entry(vehicle_id.clone()).or_default().subscribe()
    }

    pub fn tell(&self, vehicle_id: &VehicleId) {
        // Nearly always nobody waits for anything.
        if !self.0.is_empty()
            && let Some(waiting) = self.0.get(vehicle_id)
        {
            waiting.send_replace(());
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Where nobody waits for it any more.
    pub fn forget(&mut self, vehicle_id: &VehicleId) {
        if self.0.get(vehicle_id).is_some_and(|waiting| waiting.receiver_count() == 0) {
            self.0.remove(vehicle_id);
        }
    }
}

impl Watch {
    pub(super) const fn new(live: Arc<LiveState>, vehicle_id: VehicleId, changes: watch::Receiver<()>) -> Self {
        Self { live, vehicle_id, changes: Some(changes) }
    }

    /// Returns once the vehicle has changed since this was asked last.
    pub async fn changed(&mut self) {
        let changes = self.changes.as_mut().expect("it is not being dropped");
        // An error would mean that the sender is gone, which stays as long as we wait.
        let _cannot_end = changes.changed().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.changes.take());
        self.live.watch_ended(&self.vehicle_id);
    }
}
