//! The properties of a Feature that say what a fence wants. Their meaning: `domain::fence::Policy`.

use geojson::JsonObject;
use serde_json::Value;

use crate::domain::Label;
use crate::domain::Severity;
use crate::domain::fence::Policy;
use crate::settings::Interval;

/// Ours; `id`, `name` and `on` are too short for a guess.
const GUESSABLE: [&str; 6] = ["dwell", "max_speed_km_per_h", "groups", "severity", "radius_m", "buffer_m"];

/// Takes the policy out of the properties.
pub(super) fn take(properties: &mut JsonObject) -> Result<Policy, String> {
    let on = texts("on", properties.shift_remove("on"))?;
    let unknown = on.iter().find(|kind| !matches!(kind.as_str(), "enter" | "exit" | "dwell" | "speed"));
    if let Some(unknown) = unknown {
        return Err(format!("`on` lists {unknown:?}; it may list \"enter\", \"exit\", \"dwell\" and \"speed\""));
    }
    let has = |kind: &str| on.iter().any(|listed| listed == kind);
    let dwell = match needed("dwell", has("dwell"), "dwell", properties)? {
        Some(Value::String(text)) => Some(text.parse::<Interval>().map_err(|error| format!("`dwell`: {error}"))?.duration()),
        Some(other) => return Err(format!("`dwell` is {other}; it must be a duration such as \"10m\"")),
        None => None,
    };
    let max_speed_km_per_h = match needed("max_speed_km_per_h", has("speed"), "speed", properties)? {
        Some(Value::Number(limit)) => Some(narrow(limit.as_f64().unwrap_or(f64::NAN))),
        Some(other) => return Err(format!("`max_speed_km_per_h` is {other}; it must be a number")),
        None => None,
    };
    let groups = texts("groups", properties.shift_remove("groups"))?;
    let groups = groups.iter().map(|group| Label::new(group)).collect::<Result<_, _>>();
    let severity = match properties.shift_remove("severity") {
        None | Some(Value::Null) => Some(Severity::Warning),
        Some(Value::String(code)) => Severity::from_code(&code),
        Some(_) => None,
    };
    let policy = Policy {
        on_enter: has("enter"),
        on_exit: has("exit"),
        dwell,
        max_speed_km_per_h,
        groups: groups.map_err(|error| format!("`groups`: {error}"))?,
        severity: severity.ok_or("`severity` must be \"info\", \"warning\" or \"critical\"")?,
    };
    policy.checked().map_err(|error| error.to_string())
}

/// # Errors
/// Where a property that is left looks as if it were meant to be one of ours.
pub(super) fn refuse_near_misses(properties: &JsonObject) -> Result<(), String> {
    for given in properties.keys() {
        let plain = plain(given);
        let is_near = |known: &&&str| {
            let known = self::plain(known);
            let begins_it = plain.len() >= 5 && known.starts_with(&plain);
            let begins_alike = known.len() > 8 && plain.starts_with(&known[..8]);
            begins_it || begins_alike || (plain.len() >= 4 && strsim::damerau_levenshtein(&plain, &known) <= known.len() / 5)
        };
        if let Some(known) = GUESSABLE.iter().find(is_near) {
            return Err(format!("`{given}` is not known; write `{known}`, or another name if something else is meant"));
        }
    }
    Ok(())
}

/// A property that one kind of `on` needs and no other may have.
fn needed(name: &str, is_wanted: bool, kind: &str, properties: &mut JsonObject) -> Result<Option<Value>, String> {
    match (properties.shift_remove(name).filter(|value| !value.is_null()), is_wanted) {
        (None, true) => Err(format!("`on` lists \"{kind}\", so `{name}` is needed")),
        (Some(_), false) => Err(format!("`{name}` is given, but `on` does not list \"{kind}\"")),
        (value, _) => Ok(value),
    }
}

fn texts(name: &str, value: Option<Value>) -> Result<Vec<String>, String> {
    let wrong = |value: &Value| format!("`{name}` is {value}; it must be a list of texts");
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(elements)) => {
            elements.into_iter().map(|element| element.as_str().map(str::to_owned).ok_or_else(|| wrong(&element))).collect()
        }
        Some(other) => Err(wrong(&other)),
    }
}

/// Without what people write differently.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|character| character.to_ascii_lowercase()).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "speeds are f32 everywhere; what does not fit is infinite and refused")]
const fn narrow(value: f64) -> f32 {
    value as f32
}
