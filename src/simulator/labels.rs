//! What was wrong with whom, from when to when: the truth that detectors are judged by. One JSON object a line, or CSV.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::Serialize;

use super::illness::Episode;
use super::kinds::Kind;
use super::vehicle::Vehicle;
use crate::domain::{SignalTable, Timestamp, VehicleId};

#[derive(Debug, Clone, PartialEq)]
pub struct Labelled {
    pub vehicle_id: VehicleId,
    pub kind: Kind,
    pub episode: Episode,
}

#[derive(Serialize)]
struct Line<'a> {
    vehicle_id: &'a VehicleId,
    kind: &'static str,
    fault: &'static str,
    severity: f32,
    severity_means: &'static str,
    /// The first moment from which readings are affected.
    onset: Timestamp,
    /// Null: still ill at the end of the simulation.
    end: Option<Timestamp>,
    /// Names of the table; `position` where it is the position.
    signals: Vec<&'static str>,
}

pub fn of(vehicle: &Vehicle) -> impl Iterator<Item = Labelled> {
    vehicle.episodes().map(|episode| Labelled { vehicle_id: vehicle.id().clone(), kind: vehicle.kind(), episode })
}

/// CSV where the name ends so, else JSON lines; in the order of vehicles and onsets.
///
/// # Errors
/// Where the file cannot be written.
pub fn write(path: &Path, mut labels: Vec<Labelled>, table: &SignalTable) -> io::Result<()> {
    labels.sort_by(|a, b| (&a.vehicle_id, a.episode.onset).cmp(&(&b.vehicle_id, b.episode.onset)));
    let mut file = BufWriter::new(File::create(path)?);
    let as_csv = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
    if as_csv {
        writeln!(file, "vehicle_id,kind,fault,severity,onset,end,signals")?;
    }
    for label in &labels {
        let line = line(label, table);
        if as_csv {
            let end = line.end.map(|end| end.to_string()).unwrap_or_default();
            let Line { vehicle_id, kind, fault, severity, onset, .. } = &line;
            writeln!(file, "{vehicle_id},{kind},{fault},{severity},{onset},{end},{}", line.signals.join(" "))?;
        } else {
            serde_json::to_writer(&mut file, &line)?;
            writeln!(file)?;
        }
    }
    file.flush()
}

fn line<'a>(label: &'a Labelled, table: &SignalTable) -> Line<'a> {
    let episode = &label.episode;
    let mut signals: Vec<&'static str> = episode.signals.iter().map(|id| table.get(*id).name).collect();
    if signals.is_empty() {
        signals.push("position");
    }
    Line {
        vehicle_id: &label.vehicle_id,
        kind: label.kind.spec().name,
        fault: episode.fault.name(),
        severity: episode.severity,
        severity_means: episode.fault.spec().severity_means,
        onset: episode.onset,
        end: episode.end,
        signals,
    }
}
