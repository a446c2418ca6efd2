//! When which vehicle was not healthy: from labels as `odograph simulate --labels` writes them, from alerts, and as a labelled file is read.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::domain::{Alert, Condition, Timestamp, VehicleId, Verdict};
use crate::evaluation::AFTER_EFFECTS;

/// A vehicle is taken for healthy again some time after each fault: an engine is hot for a while.
#[derive(Debug, Default)]
pub struct Illnesses {
    periods: HashMap<VehicleId, Vec<(Timestamp, Timestamp)>>,
    /// By rows that said so themselves.
    ill_until: HashMap<VehicleId, Timestamp>,
}

#[derive(Debug, Deserialize)]
struct Label {
    vehicle_id: String,
    onset: String,
    /// Missing: it never ended.
    end: Option<String>,
}

impl Illnesses {
    /// CSV where the name ends so, else JSON lines.
    ///
    /// # Errors
    /// With file and line of the first label that cannot be read.
    pub fn read_labels(&mut self, path: &Path) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(path).with_context(|| format!("could not read the labels {}", path.display()))?;
        let is_csv = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
        let labels: Vec<(usize, anyhow::Result<Label>)> = if is_csv {
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            // The header is line 1.
            reader.deserialize().enumerate().map(|(place, label)| (place + 2, label.map_err(Into::into))).collect()
        } else {
            let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
            lines.map(|(place, line)| (place + 1, serde_json::from_str(line).map_err(Into::into))).collect()
        };
        for (line, label) in labels {
            let add = label.and_then(|label| self.add_label(&label));
            add.with_context(|| {
                format!(
                    "{}, line {line}, is no label; wanted are vehicle_id, onset and end, as `odograph simulate --labels` writes them",
                    path.display()
                )
            })?;
        }
        Ok(())
    }

    fn add_label(&mut self, label: &Label) -> anyhow::Result<()> {
        let onset: Timestamp = label.onset.parse()?;
        let end: Option<Timestamp> = label.end.as_deref().filter(|end| !end.is_empty()).map(str::parse).transpose()?;
        if end.is_some_and(|end| end < onset) {
            bail!("it ends before its onset");
        }
        self.add(VehicleId::new(&label.vehicle_id)?, onset, end);
        Ok(())
    }

    /// What is active or was confirmed, unless a person found it to be a false alarm. What went away by itself says nothing.
    pub fn add_alert(&mut self, alert: &Alert) {
        let is_open = alert.condition != Condition::Cleared && alert.closed_at.is_none();
        let is_ill = match alert.verdict {
            Some(Verdict::Confirmed) => true,
            Some(Verdict::FalseAlarm) => false,
            None => is_open,
        };
        if is_ill {
            self.add(alert.vehicle_id.clone(), alert.opened_at, alert.closed_at);
        }
    }

    fn add(&mut self, vehicle_id: VehicleId, from: Timestamp, to: Option<Timestamp>) {
        let to = to.map_or(Timestamp::from_micros(i64::MAX), |to| to.plus(AFTER_EFFECTS));
        self.periods.entry(vehicle_id).or_default().push((from, to));
    }

    /// Whether a reading is from such a period. `fault`: its own row says so.
    pub fn holds(&mut self, vehicle_id: &VehicleId, at: Timestamp, fault: bool) -> bool {
        if fault {
            self.ill_until.insert(vehicle_id.clone(), at.plus(AFTER_EFFECTS));
            return true;
        }
        let within = |(from, to): &(Timestamp, Timestamp)| (*from..=*to).contains(&at);
        self.ill_until.get(vehicle_id).is_some_and(|until| at <= *until)
            || self.periods.get(vehicle_id).is_some_and(|periods| periods.iter().any(within))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn read(name: &str, text: &str) -> anyhow::Result<Illnesses> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let mut illnesses = Illnesses::default();
        illnesses.read_labels(&path).map(|()| illnesses)
    }

    #[test]
    fn labels_of_the_simulator_are_read_in_both_forms() {
        let json = r#"{"vehicle_id":"a","kind":"car","fault":"overheating","severity":0.5,"onset":"2026-11-02T04:00:00Z","end":"2026-11-02T05:00:00Z","signals":[]}
{"vehicle_id":"b","fault":"gps_jumps","onset":"2026-11-02T04:00:00Z","end":null}
"#;
        let csv = "vehicle_id,kind,fault,severity,onset,end,signals\n\
            a,car,overheating,0.5,2026-11-02T04:00:00Z,2026-11-02T05:00:00Z,x y\n\
            b,car,gps_jumps,0.5,2026-11-02T04:00:00Z,,position\n";
        for (name, text) in [("labels.jsonl", json), ("labels.csv", csv)] {
            let mut illnesses = read(name, text).unwrap();
            let mut holds = |id: &str, time: &str| illnesses.holds(&VehicleId::new(id).unwrap(), at(time), false);
            assert!(!holds("a", "2026-11-02T03:59:59Z") && holds("a", "2026-11-02T04:00:00Z"), "{name}");
            assert!(
                holds("a", "2026-11-02T06:59:00Z") && !holds("a", "2026-11-02T07:00:01Z"),
                "{name}: two hours of after-effects"
            );
            assert!(holds("b", "2027-01-01T00:00:00Z") && !holds("c", "2026-11-02T04:30:00Z"), "{name}");
        }
    }

    #[test]
    fn what_is_no_label_is_refused_with_its_line() {
        let text = "{\"vehicle_id\":\"a\",\"onset\":\"2026-11-02T04:00:00Z\",\"end\":null}\n\n{\"vehicle_id\":\"a\"}\n";
        let error = format!("{:#}", read("labels.jsonl", text).unwrap_err());
        assert!(error.contains("line 3") && error.contains("onset"), "{error}");
        let error = format!("{:#}", read("labels.csv", "vehicle_id,onset,end\na,today,\n").unwrap_err());
        assert!(error.contains("line 2") && error.contains("today"), "{error}");
    }

    #[test]
    fn a_row_that_names_a_fault_makes_the_hours_after_it_suspect() {
        let mut illnesses = Illnesses::default();
        let id = VehicleId::new("a").unwrap();
        assert!(illnesses.holds(&id, at("2026-11-02T04:00:00Z"), true));
        assert!(illnesses.holds(&id, at("2026-11-02T05:00:00Z"), false));
        assert!(!illnesses.holds(&id, at("2026-11-02T06:00:01Z"), false));
    }
}
