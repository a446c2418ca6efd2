//! Damaged places of the journal that nobody has acknowledged yet.

use super::Patient;
use super::finding::Finding;
use crate::journal;

pub fn journal_damage(patient: &Patient) -> Vec<Finding> {
    let folder = patient.settings.data.join("journal");
    let place = folder.display().to_string();
    let alert = match journal::damage_in(&folder) {
        Ok(alert) => alert,
        Err(error) => return vec![Finding::failed("journal", place, error.to_string())],
    };
    let Some(alert) = alert.filter(journal::DamageAlert::is_open) else { return Vec::new() };
    let address = patient.settings.http.address;
    vec![
        Finding::failed("journal", place, format!("{}, first found at {}", alert.summary(), alert.opened_at))
            .because("a disk, its cable or memory changes bytes: the next place may be worse")
            .next(format!(
                "look at the disk (smartctl, dmesg) and take a backup; then acknowledge it while the service runs: \
                 curl -X POST http://{address}/api/v1/journal/damage/acknowledge"
            )),
    ]
}
