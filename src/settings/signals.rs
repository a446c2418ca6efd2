//! Signals beyond the table, and how long a value may stand for the next: settings that make a [`SignalTable`].

use serde::{Deserialize, Serialize};

use super::Interval;
use crate::domain::signal::{MAX_SIGNALS, SIGNALS};
use crate::domain::{Signal, SignalTable};

/// One entry of `[[signals]]`: a new signal, or the `hold` of a built-in one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignalSetting {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Lowest and highest plausible value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<[f64; 2]>,
    /// A vehicle that sends only what changed: the last value stands this long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Interval>,
}

/// What is wrong with the entries, in words for the person who wrote them.
pub(super) fn contradictions(entries: &[SignalSetting]) -> Vec<String> {
    let mut problems: Vec<String> =
        entries.iter().enumerate().filter_map(|(index, entry)| problem(entries, index, entry)).collect();
    let declared = entries.iter().filter(|entry| !is_built_in(&entry.name)).count();
    let room = MAX_SIGNALS - SIGNALS.len();
    if declared > room {
        problems.push(format!("`signals` declares {declared} new signals; there is room for {room}"));
    }
    problems
}

fn problem(entries: &[SignalSetting], index: usize, entry: &SignalSetting) -> Option<String> {
    let name = &entry.name;
    let is_name = !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if !is_name {
        return Some(format!("signal name {name:?}: write a-z, 0-9 and _, at most 64 characters, with the unit at the end"));
    }
    if entries[..index].iter().any(|earlier| earlier.name == *name) {
        return Some(format!("signal `{name}` is listed twice"));
    }
    if is_built_in(name) {
        let sets_more = entry.unit.is_some() || entry.range.is_some();
        return sets_more.then(|| format!("signal `{name}` is built in: only its `hold` can be set"));
    }
    match (&entry.unit, entry.range) {
        (Some(_), Some([low, high])) if low.is_finite() && high.is_finite() && low < high => None,
        (Some(_), Some(range)) => Some(format!("signal `{name}`: `range` = {range:?} is not [lowest, highest]")),
        _ => Some(format!("signal `{name}` is not in the table: a new signal needs `unit` and `range` ({})", nearest(name))),
    }
}

fn is_built_in(name: &str) -> bool {
    SIGNALS.iter().any(|signal| signal.name == name)
}

fn nearest(name: &str) -> String {
    let nearest =
        SIGNALS.iter().min_by_key(|signal| strsim::damerau_levenshtein(signal.name, name)).expect("the table is not empty");
    format!("the nearest that exists is `{}`", nearest.name)
}

/// The table of a deployment. The entries were checked by `contradictions`.
#[must_use]
pub fn signal_table(entries: &[SignalSetting]) -> SignalTable {
    let mut signals = SIGNALS.to_vec();
    for entry in entries {
        let hold = entry.hold.map(Interval::duration);
        if let Some(signal) = signals.iter_mut().find(|signal| signal.name == entry.name) {
            signal.hold = hold;
            continue;
        }
        let range = entry.range.unwrap_or([f64::MIN, f64::MAX]);
        signals.push(Signal {
            // Lives as long as the process, like the built-in names; settings are read once.
            name: entry.name.clone().leak(),
            unit: entry.unit.clone().unwrap_or_default().leak(),
            vss_path: "",
            plausible: (range[0], range[1]),
            hold,
        });
    }
    SignalTable::new(signals)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn entries(text: &str) -> Vec<SignalSetting> {
        #[derive(Deserialize)]
        struct File {
            signals: Vec<SignalSetting>,
        }
        toml::from_str::<File>(text).unwrap().signals
    }

    #[test]
    fn a_declared_signal_is_an_ordinary_row_of_the_table() {
        let entries = entries(
            "[[signals]]\nname = \"cargo_temperature_celsius\"\nunit = \"celsius\"\nrange = [-40, 60]\nhold = \"5m\"\n\
             [[signals]]\nname = \"fuel_level_percent\"\nhold = \"10m\"\n",
        );
        assert_eq!(contradictions(&entries), Vec::<String>::new());
        let table = signal_table(&entries);
        let id = table.find("cargo_temperature_celsius").unwrap();
        assert_eq!(table.get(id).plausible, (-40.0, 60.0));
        assert_eq!(table.get(id).hold, Some(Duration::from_mins(5)));
        assert_eq!(table.get(table.find("fuel_level_percent").unwrap()).hold, Some(Duration::from_mins(10)));
    }

    #[test]
    fn what_is_wrong_with_a_declared_signal_is_said() {
        let entries = entries(
            "[[signals]]\nname = \"Cargo Temp\"\nunit = \"x\"\nrange = [0, 1]\n\
             [[signals]]\nname = \"speed_km_per_h\"\nrange = [0, 900]\n\
             [[signals]]\nname = \"coolant_temp_celsius\"\n\
             [[signals]]\nname = \"a\"\nunit = \"x\"\nrange = [1, 0]\n",
        );
        let problems = contradictions(&entries);
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert!(problems[2].contains("`coolant_temperature_celsius`"), "{problems:?}");
    }
}
