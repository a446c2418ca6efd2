//! Alerts that are not over, in memory: they can be seen and handled while the archive is down. The journal is where they come from.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, RwLock};

use crate::domain::{Alert, AlertEvent, AlertId, VehicleId};

/// More alerts at once than anybody can handle, about 1 kB each. Beyond it the ones that were opened last are only in the archive.
const MAX_OPEN: usize = 100_000;

#[derive(Debug, Default)]
pub struct OpenAlerts(RwLock<Open>);

#[derive(Debug, Default)]
struct Open {
    alerts: HashMap<AlertId, Arc<Alert>>,
    of_vehicle: HashMap<VehicleId, Vec<AlertId>>,
}

impl OpenAlerts {
    /// Takes over a change, unless a newer one is known: changes may come again.
    pub fn apply(&self, event: &AlertEvent) {
        self.take(&event.alert);
    }

    /// Takes over an alert as the last run left it, or as a change left it.
    pub fn take(&self, alert: &Alert) {
        let mut open = self.0.write().expect("no holder panics");
        match open.alerts.get(&alert.alert_id) {
            Some(known) if known.revision >= alert.revision => {}
            known => match (alert.is_open(), known.is_some()) {
                (true, false) if open.alerts.len() >= MAX_OPEN => {}
                (true, is_known) => {
                    if !is_known {
                        open.of_vehicle.entry(alert.vehicle_id.clone()).or_default().push(alert.alert_id);
                    }
                    open.alerts.insert(alert.alert_id, Arc::new(alert.clone()));
                }
                (false, true) => open.remove(alert),
                (false, false) => {}
            },
        }
    }

    /// These and no others are open now. Returns the vehicles whose alerts may look otherwise than before.
    pub fn replace<'a>(&self, alerts: impl Iterator<Item = &'a Alert>) -> HashSet<VehicleId> {
        let now = Self::default();
        for alert in alerts {
            now.take(alert);
        }
        let mut touched = now.vehicles();
        let mut open = self.0.write().expect("no holder panics");
        touched.extend(open.of_vehicle.keys().cloned());
        *open = now.0.into_inner().expect("no holder panics");
        touched
    }

    #[must_use]
    pub fn get(&self, id: AlertId) -> Option<Arc<Alert>> {
        self.0.read().expect("no holder panics").alerts.get(&id).cloned()
    }

    /// Oldest first.
    #[must_use]
    pub fn of_vehicle(&self, vehicle_id: &VehicleId) -> Vec<Arc<Alert>> {
        let open = self.0.read().expect("no holder panics");
        let ids = open.of_vehicle.get(vehicle_id).map_or(&[][..], Vec::as_slice);
        ids.iter().filter_map(|id| open.alerts.get(id).cloned()).collect()
    }

    #[must_use]
    pub fn has_any(&self, vehicle_id: &VehicleId) -> bool {
        self.0.read().expect("no holder panics").of_vehicle.contains_key(vehicle_id)
    }

    /// Those that have any.
    #[must_use]
    pub fn vehicles(&self) -> HashSet<VehicleId> {
        self.0.read().expect("no holder panics").of_vehicle.keys().cloned().collect()
    }

    /// In no order.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Alert>> {
        self.0.read().expect("no holder panics").alerts.values().cloned().collect()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.read().expect("no holder panics").alerts.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Open {
    fn remove(&mut self, alert: &Alert) {
        self.alerts.remove(&alert.alert_id);
        if let Some(ids) = self.of_vehicle.get_mut(&alert.vehicle_id) {
            ids.retain(|id| *id != alert.alert_id);
            if ids.is_empty() {
                self.of_vehicle.remove(&alert.vehicle_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Change, Condition};
    use crate::wire::alert::tests::a_full_alert_event;

    fn at_revision(revision: u32, condition: Condition) -> AlertEvent {
        let mut event = a_full_alert_event();
        (event.change, event.alert.revision, event.alert.condition) = (Change::Updated, revision, condition);
        event
    }

    #[test]
    fn an_alert_is_kept_until_it_is_over_and_old_changes_do_not_bring_it_back_in_its_time() {
        let open = OpenAlerts::default();
        open.apply(&at_revision(0, Condition::Active));
        open.apply(&at_revision(2, Condition::Unknown));
        open.apply(&at_revision(1, Condition::Active));
        let id = at_revision(0, Condition::Active).alert.alert_id;
        let vehicle_id = at_revision(0, Condition::Active).alert.vehicle_id;
        assert_eq!(open.get(id).unwrap().revision, 2);
        assert_eq!(open.of_vehicle(&vehicle_id).len(), 1);
        open.apply(&at_revision(3, Condition::Cleared));
        assert!(open.is_empty() && open.vehicles().is_empty() && open.of_vehicle(&vehicle_id).is_empty());
    }
}
