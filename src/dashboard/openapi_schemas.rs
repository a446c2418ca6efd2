//! The forms of the API as JSON schemas. A test compares them with what the API really says.

use serde_json::{Map, Value, json};

/// Name, what it is, and its fields: `name: type`, `name?: type` where it may be missing, `[type]` for a list, `type|null`; types with a
/// capital are forms.
const FORMS: &[(&str, &str)] = &[
    ("Problem", "title: string, status: integer, code: string, detail: string"),
    ("Vehicles", "vehicles: [Vehicle], next_cursor: string|null"),
    (
        "Vehicle",
        "vehicle_id: string, recorded_at: time|null, received_at: time|null, position: Position|null, signals: numbers, extras?: numbers, \
         ignition?: string, dtcs?: [string], boot_id?: integer, sequence?: integer, rejected?: [Rejected], score: number|null, \
         scores: [Score], not_scored?: string, quality?: Quality, findings?: [Finding], lost_before_us: integer, state: string, \
         open_alerts: [Alert], record: VehicleRecord|null",
    ),
    ("Readings", "readings: [ArchivedReading], next_cursor: string|null"),
    (
        "ArchivedReading",
        "recorded_at: time, received_at: time, position: Position|null, signals: numbers, extras?: numbers, ignition?: string, \
         dtcs?: [string], boot_id?: integer, sequence?: integer, rejected?: [Rejected], score: number|null, scores: [Score], \
         not_scored?: string, quality?: Quality, findings?: [Finding], late: boolean, timing: string, arrival: integer",
    ),
    ("Position", "latitude: number, longitude: number, altitude_m?: number, heading_deg?: number, accuracy_m?: number"),
    ("Rejected", "name: string, value: number|null, reason: string"),
    ("Score", "model: string, version: string, score: number, raw: number, tail_probability: number"),
    ("Quality", "stuck?: [string], position?: string, clock?: string, sequence?: string"),
    ("Finding", "key: string, severity: string, raised: boolean, value: number|null, limit: number|null"),
    (
        "VehicleRecord",
        "class?: string, powertrain?: string|null, groups?: [string], tank_l?: number|null, battery_kwh?: number|null, make?: string|null",
    ),
    ("Imported", "imported: integer, new: integer"),
    ("Alerts", "alerts: [Alert], next_cursor: string|null"),
    (
        "Alert",
        "alert_id: string, vehicle_id: string, alert_key: string, severity: string, condition: string, handling: string, \
         opened_at: time, last_seen_at: time, closed_at: time|null, count: integer, summary: string, value: number|null, \
         limit: number|null, score: number|null, explanation: [Explained], acknowledged_by: string|null, assigned_to: string|null, \
         silenced_until: time|null, verdict: string|null, note: string|null, is_history: boolean, configuration: integer, \
         revision: integer, history?: [AlertChange]",
    ),
    ("Explained", "feature: string, value: number|null, normal: number|null, cohort_normal: number|null, contribution: number"),
    (
        "AlertChange",
        "revision: integer, change: string, at: time, severity: string, condition: string, handling: string, summary: string, \
         acknowledged_by: string|null, assigned_to: string|null, note: string|null",
    ),
    ("AlertGroups", "groups: [AlertGroup]"),
    (
        "AlertGroup",
        "alert_key: string, severity: string, first_opened_at: time, last_opened_at: time, vehicles: any, alert_ids: [string]",
    ),
    ("Command", "by?: string, note?: string, to?: string, duration?: string, verdict?: string"),
    ("Commanded", "changed: boolean, alert: Alert"),
    ("Quarantine", "messages: [Quarantined], counts: numbers, next_cursor: string|null"),
    (
        "Quarantined",
        "id: integer, received_at: time, source: string, vehicle_id: string, reason: string, detail: string, index: integer, \
         payload_bytes: integer, payload_base64: string, replayed_at?: time",
    ),
    ("Replay", "reason?: string, ids?: [integer], cursor?: string"),
    ("Replayed", "taken: integer, accepted: integer, duplicates: integer, still_refused: numbers, not_whole: integer"),
    ("FencesPut", "configuration: integer"),
    ("Models", "models: [Model]"),
    (
        "Model",
        "name: string, version: string, status: string, kind: string, description: string, author: string, license: string, \
         features: [string], applies_to: AppliesTo, alert: ModelAlert, file_bytes: integer",
    ),
    ("AppliesTo", "classes: [string], powertrains: [string]"),
    ("ModelAlert", "measure: string, open: number, close: number, raised: integer, of: integer"),
    ("Map", "style: string|null, roads: boolean"),
    (
        "Reading",
        "recorded_at: any, sequence?: integer, boot_id?: integer, position?: Position, signals?: numbers, dtcs?: [string], \
         ignition?: string",
    ),
    ("Taken", "accepted: integer, duplicates: integer, quarantined: [TakenNot]"),
    ("TakenNot", "index: integer, reason: string"),
    ("Live", "live: boolean"),
    ("Ready", "ready: boolean, reasons: [NotReady], degraded: [NotReady]"),
    ("NotReady", "part: string, problem: string"),
];

pub fn schemas() -> Value {
    FORMS.iter().map(|(name, fields)| ((*name).to_owned(), form(fields))).collect::<Map<_, _>>().into()
}

fn form(fields: &str) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for field in fields.split(", ") {
        let (name, kind) = field.trim().split_once(": ").expect("fields are `name: type`");
        let optional = name.strip_suffix('?');
        if optional.is_none() {
            required.push(name);
        }
        properties.insert(optional.unwrap_or(name).to_owned(), schema(kind));
    }
    json!({"type": "object", "properties": properties, "required": required})
}

fn schema(kind: &str) -> Value {
    if let Some(kind) = kind.strip_suffix("|null") {
        return json!({"anyOf": [schema(kind), {"type": "null"}]});
    }
    if let Some(items) = kind.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return json!({"type": "array", "items": schema(items)});
    }
    match kind {
        "any" => json!({}),
        "time" => json!({"type": "string", "format": "date-time"}),
        "numbers" => json!({"type": "object", "additionalProperties": {"type": "number"}}),
        name if name.starts_with(char::is_uppercase) => json!({"$ref": format!("#/components/schemas/{name}")}),
        plain => json!({"type": plain}),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Where `value` is not what the schema of `name` says.
    pub fn differences(name: &str, value: &Value) -> Vec<String> {
        differ(&schemas(), &json!({"$ref": format!("#/components/schemas/{name}")}), value, name)
    }

    fn differ(all: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
        if let Some(name) = schema["$ref"].as_str() {
            return differ(all, &all[name.rsplit('/').next().unwrap()], value, place);
        }
        if let Some(either) = schema["anyOf"].as_array() {
            return if value.is_null() { Vec::new() } else { differ(all, &either[0], value, place) };
        }
        let is_right = match schema["type"].as_str() {
            Some("string") => value.is_string(),
            Some("number") => value.is_number(),
            Some("integer") => value.is_i64() || value.is_u64(),
            Some("boolean") => value.is_boolean(),
            Some("array") => value.is_array(),
            Some("object") => value.is_object(),
            _ => true,
        };
        if !is_right {
            return vec![format!("{place} is {value}, not {schema}")];
        }
        let mut found = Vec::new();
        if let (Some(object), Some(properties)) = (value.as_object(), schema["properties"].as_object()) {
            let missing =
                schema["required"].as_array().unwrap().iter().filter(|name| !object.contains_key(name.as_str().unwrap()));
            found.extend(missing.map(|name| format!("{place} has no {name}")));
            for (name, value) in object {
                match properties.get(name) {
                    Some(schema) => found.extend(differ(all, schema, value, &format!("{place}.{name}"))),
                    None => found.push(format!("{place}.{name} is not described")),
                }
            }
        }
        for each in value.as_array().into_iter().flatten() {
            found.extend(differ(all, &schema["items"], each, place));
        }
        found
    }
}
