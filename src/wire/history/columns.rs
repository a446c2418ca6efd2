//! Which column of a foreign file is what: a small TOML file per source. Does not read rows: `rows`, `reader`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use serde::Deserialize;

use crate::domain::{SignalId, SignalTable, Timestamp};

/// The maps inside the binary, by name.
pub const SHIPPED: &[(&str, &str)] = &[
    ("carobd", include_str!("../maps/carobd.toml")),
    ("envirocar", include_str!("../maps/envirocar.toml")),
    ("kit_obd2", include_str!("../maps/kit_obd2.toml")),
    ("odograph", include_str!("../maps/odograph.toml")),
];

/// Zones that maps may name; any other is written as its POSIX rule. Built in, so that a map means the same on every machine.
/// Berlin has kept this rule since 1996.
const ZONES: &[(&str, &str)] = &[("UTC", "UTC0"), ("Europe/Berlin", "CET-1CEST,M3.5.0,M10.5.0/3")];

/// A checked column map: all its signals exist, its zone and start are understood.
#[derive(Debug, Clone)]
pub struct ColumnMap {
    pub name: String,
    pub(super) time_column: String,
    pub(super) time_form: TimeForm,
    pub(super) vehicle: VehicleFrom,
    /// Holds VSS `LowVoltageSystemState`; files without it are read all the same.
    pub(super) ignition: Option<String>,
    pub(super) position: Option<PositionColumns>,
    pub(super) signals: Vec<SignalColumn>,
    /// Columns named like a signal are that signal.
    pub(super) signals_by_name: bool,
}

#[derive(Debug, Clone)]
pub(super) enum TimeForm {
    Rfc3339,
    /// `HH:MM:SS` with a fraction; the date stands in the file name.
    TimeOfDay(TimeZone),
    SecondsSince(Timestamp),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum VehicleFrom {
    /// The file name up to its first dot.
    FileName,
    Column {
        column: String,
    },
    Constant {
        id: String,
    },
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PositionColumns {
    pub latitude: String,
    pub longitude: String,
    pub altitude_m: Option<String>,
    pub heading_deg: Option<String>,
    pub accuracy_m: Option<String>,
    /// Files without these columns are read all the same.
    #[serde(default)]
    pub optional: bool,
}

/// `value * factor + offset` is the signal in its unit.
#[derive(Debug, Clone)]
pub(super) struct SignalColumn {
    pub signal: SignalId,
    pub column: String,
    pub factor: f64,
    pub offset: f64,
}

#[derive(Debug, thiserror::Error)]
pub enum MapError {
    #[error("{name:?} is neither a shipped column map ({}) nor a file", shipped_names())]
    Unknown { name: String },
    #[error("could not read the column map {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("column map {name}: {source}")]
    Syntax { name: String, source: toml::de::Error },
    #[error("column map {name}: there is no signal {signal:?}{}", suggestion.as_ref().map_or(String::new(), |known| format!("; did you mean {known:?}?")))]
    UnknownSignal { name: String, signal: String, suggestion: Option<&'static str> },
    #[error(
        "column map {name}: time_zone {zone:?} is neither {} nor a POSIX rule such as \"EST5EDT,M3.2.0,M11.1.0\"",
        zone_names()
    )]
    Zone { name: String, zone: String },
    #[error("column map {name}: start = {start:?} is no RFC 3339 time such as 2026-11-24T03:17:00Z")]
    Start { name: String, start: String },
    #[error("column map {name} maps no signal and no position")]
    Empty { name: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMap {
    time: RawTime,
    vehicle: VehicleFrom,
    ignition: Option<String>,
    position: Option<PositionColumns>,
    #[serde(default)]
    signals: toml::Table,
}

#[derive(Deserialize)]
#[serde(tag = "form", rename_all = "snake_case", deny_unknown_fields)]
enum RawTime {
    #[serde(rename = "rfc_3339")]
    Rfc3339 {
        column: String,
    },
    TimeOfDay {
        column: String,
        time_zone: String,
    },
    SecondsSinceStart {
        column: String,
        start: String,
    },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawSignal {
    Column(String),
    Scaled(Scaled),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scaled {
    column: String,
    #[serde(default = "one")]
    factor: f64,
    #[serde(default)]
    offset: f64,
}

fn one() -> f64 {
    1.0
}

fn shipped_names() -> String {
    SHIPPED.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

fn zone_names() -> String {
    ZONES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

impl ColumnMap {
    /// A shipped map by its name, or a file.
    ///
    /// # Errors
    /// Where there is no such map, or it names what does not exist.
    pub fn load(name_or_path: &str, table: &SignalTable) -> Result<Self, MapError> {
        if let Some((name, text)) = SHIPPED.iter().find(|(name, _)| *name == name_or_path) {
            return Self::parse(name, text, table);
        }
        let path = Path::new(name_or_path);
        if !path.exists() {
            return Err(MapError::Unknown { name: name_or_path.to_owned() });
        }
        let text = fs::read_to_string(path).map_err(|source| MapError::Read { path: path.to_owned(), source })?;
        Self::parse(name_or_path, &text, table)
    }

    /// # Errors
    /// Where `text` is no map, or names what does not exist.
    pub fn parse(name: &str, text: &str, table: &SignalTable) -> Result<Self, MapError> {
        let syntax = |source| MapError::Syntax { name: name.to_owned(), source };
        let mut raw: RawMap = toml::from_str(text).map_err(syntax)?;
        let signals_by_name = match raw.signals.remove("by_name") {
            Some(value) => value.try_into().map_err(syntax)?,
            None => false,
        };
        let mut signals = Vec::with_capacity(raw.signals.len());
        for (signal, value) in raw.signals {
            let scaled = match value.try_into().map_err(syntax)? {
                RawSignal::Column(column) => Scaled { column, factor: 1.0, offset: 0.0 },
                RawSignal::Scaled(scaled) => scaled,
            };
            let id = table.find(&signal).ok_or_else(|| unknown_signal(name, &signal, table))?;
            signals.push(SignalColumn { signal: id, column: scaled.column, factor: scaled.factor, offset: scaled.offset });
        }
        if signals.is_empty() && !signals_by_name && raw.position.is_none() {
            return Err(MapError::Empty { name: name.to_owned() });
        }
        let (time_column, time_form) = match raw.time {
            RawTime::Rfc3339 { column } => (column, TimeForm::Rfc3339),
            RawTime::TimeOfDay { column, time_zone } => {
                let rule = ZONES.iter().find(|(known, _)| *known == time_zone).map_or(time_zone.as_str(), |(_, rule)| rule);
                let zone = TimeZone::posix(rule).map_err(|_| MapError::Zone { name: name.to_owned(), zone: time_zone })?;
                (column, TimeForm::TimeOfDay(zone))
            }
            RawTime::SecondsSinceStart { column, start } => match start.parse() {
                Ok(start) => (column, TimeForm::SecondsSince(start)),
                Err(_) => return Err(MapError::Start { name: name.to_owned(), start }),
            },
        };
        Ok(Self {
            name: name.to_owned(),
            time_column,
            time_form,
            vehicle: raw.vehicle,
            ignition: raw.ignition,
            position: raw.position,
            signals,
            signals_by_name,
        })
    }
}

fn unknown_signal(name: &str, signal: &str, table: &SignalTable) -> MapError {
    let closest = table.iter().map(|(_, known)| (strsim::jaro_winkler(signal, known.name), known.name));
    let closest = closest.max_by(|left, right| left.0.total_cmp(&right.0)).filter(|(likeness, _)| *likeness > 0.8);
    MapError::UnknownSignal { name: name.to_owned(), signal: signal.to_owned(), suggestion: closest.map(|(_, known)| known) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ColumnMap, MapError> {
        ColumnMap::parse("test", text, &SignalTable::default())
    }

    #[test]
    fn every_shipped_map_is_valid() {
        for (name, _) in SHIPPED {
            let map = ColumnMap::load(name, &SignalTable::default()).unwrap();
            assert!(map.signals_by_name || map.signals.len() >= 7, "{name}");
        }
    }

    #[test]
    fn a_misspelt_signal_is_refused_with_the_one_that_was_meant() {
        let error = parse(
            "time = { column = \"t\", form = \"rfc_3339\" }\nvehicle = { from = \"file_name\" }\nsignals = { speed_kmh = \"v\" }",
        )
        .unwrap_err();
        assert_eq!(error.to_string(), "column map test: there is no signal \"speed_kmh\"; did you mean \"speed_km_per_h\"?");
    }

    #[test]
    fn a_misspelt_key_is_refused() {
        let text = "time = { column = \"t\", form = \"rfc_3339\", zone = \"UTC\" }\nvehicle = { from = \"file_name\" }\nsignals = { gear = \"g\" }";
        assert!(parse(text).unwrap_err().to_string().contains("unknown field `zone`"));
    }

    #[test]
    fn an_unknown_zone_and_an_unknown_map_are_refused_with_what_there_is() {
        let text = "time = { column = \"t\", form = \"time_of_day\", time_zone = \"Berlin\" }\nvehicle = { from = \"file_name\" }\nsignals = { gear = \"g\" }";
        assert!(parse(text).unwrap_err().to_string().contains("Europe/Berlin"));
        let error = ColumnMap::load("kit", &SignalTable::default()).unwrap_err();
        assert!(error.to_string().contains("kit_obd2"), "{error}");
    }
}
