//! What `/api/openapi.json` says, compared with what the API does.

use serde_json::json;

use super::*;
use crate::domain::{AlertId, Finding, PositionVerdict, RejectedSignal, Severity};
use crate::wire::alert::tests::a_full_alert_event;

/// A server that has something to say at every address, and its description.
async fn a_described_server() -> (Server, Value) {
    let server = a_server().await;
    let mut newest = a_full_reading();
    newest.timing = Timing::InOrder;
    server.keeps(&newest).await;
    server.live.update(0, &mut vec![newest]);
    server.keeps_refused().await;
    server.problem.lock().unwrap().take();
    let mut event = a_full_alert_event();
    event.alert.condition = Condition::Active;
    server.open_alerts.apply(&event);
    for number in 0..12 {
        let mut alert = event.alert.clone();
        alert.vehicle_id = VehicleId::new(&format!("van-{number}")).unwrap();
        alert.alert_id = AlertId::of(&alert.vehicle_id, &alert.key, alert.opened_at);
        server.open_alerts.take(&alert);
    }
    let described = server.get("/api/openapi.json").await.json;
    (server, described)
}

/// Every field is set.
fn a_full_reading() -> Assessment {
    let mut full = a_reading_at(crate::clock::now());
    full.quality =
        Quality { stuck: 1, position: Some(PositionVerdict::Jump), is_clock_frozen: true, has_sequence_conflict: true };
    full.findings = vec![Finding {
        key: crate::domain::AlertKey::rule("overheating"),
        severity: Severity::Critical,
        is_raised: true,
        value: Some(121.0),
        limit: None,
    }];
    let position = full.reading.position.as_mut().unwrap();
    (position.altitude_m, position.accuracy_m) = (Some(118.0), Some(4.0));
    (full.reading.boot_id, full.reading.sequence) = (Some(1), Some(2));
    full.reading.dtcs = vec!["P0301".into()];
    full.reading.rejected =
        vec![RejectedSignal { name: "gear".into(), value: f64::NAN, rejection: crate::domain::Rejection::NotFinite }];
    full
}

/// A reading with every field that is described, and with one element that is refused.
fn a_described_reading(described: &Value) -> String {
    let reading = json!({
        "recorded_at": crate::clock::now(), "vehicle_id": "van-1", "boot_id": 1, "sequence": 2,
        "position": {"latitude": 49.0, "longitude": 8.4, "altitude_m": 118.0, "heading_deg": 271.5, "accuracy_m": 4.0},
        "signals": {"gear": 4}, "ignition": "on", "dtcs": ["P0301"]
    });
    let schema = json!({"$ref": "#/components/schemas/TelemetryReading"});
    assert_eq!(differences(described, &schema, &reading, "reading"), Vec::<String>::new());
    let fields = described["components"]["schemas"]["TelemetryReading"]["properties"].as_object().unwrap();
    assert!(fields.keys().all(|field| reading.get(field).is_some()), "{fields:?}");
    json!([reading, {}]).to_string()
}

fn operations(described: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = described["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().iter().map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
        })
        .collect()
}

/// With an id that the server knows.
fn address(path: &str) -> String {
    let id = match path {
        path if path.contains("/alerts/") => a_full_alert_event().alert.alert_id.to_string(),
        path if path.contains("/quarantine/") => "1".to_owned(),
        _ => "truck-7".to_owned(),
    };
    path.replace("{id}", &id).replace("{vehicle_id}", "truck-7").replace("{action}", "acknowledge")
}

#[tokio::test]
async fn every_answer_is_what_its_description_says() {
    let (server, described) = a_described_server().await;
    let mut compared = 0;
    for (path, method, operation) in operations(&described) {
        let json = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        if method != "get" || json.is_null() {
            continue;
        }
        let answer = server.get(&address(path)).await;
        assert_eq!((answer.status, differences(&described, json, &answer.json, path)), (200, Vec::new()), "{path}");
        compared += 1;
    }
    assert!(compared >= 12, "{compared} addresses were compared");
    // What else an address says, depending on how it is asked.
    let (path, from) = ("/api/v1/vehicles/{id}/readings", crate::clock::now().minus(Duration::from_hours(1)));
    let schema = &described["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
    let answer = server.get(&format!("{}?every=15m&from={from}", address(path))).await;
    assert_eq!((answer.status, differences(&described, schema, &answer.json, path)), (200, Vec::new()), "{}", answer.json);
    assert_eq!(answer.json["buckets"].as_array().unwrap().len(), 1);
    let alert = a_full_alert_event().alert.alert_id;
    let telemetry = a_described_reading(&described);
    for (path, body) in [
        (format!("/api/v1/alerts/{alert}/acknowledge"), "{}"),
        ("/api/v1/quarantine/replay".to_owned(), r#"{"reason":"json_syntax"}"#),
        ("/api/v1/journal/damage/acknowledge".to_owned(), r#"{"by":"maria","note":"disk replaced"}"#),
        ("/api/v1/vehicles/import".to_owned(), "vehicle_id,class\nvan-1,truck\n"),
        ("/api/v1/telemetry/van-1".to_owned(), telemetry.as_str()),
    ] {
        let described_path = path.replace(&format!("{alert}/acknowledge"), "{id}/{action}");
        let described_path = described_path.replace("telemetry/van-1", "telemetry/{vehicle_id}");
        let schema = &described["paths"][described_path]["post"]["responses"]["200"]["content"]["application/json"]["schema"];
        let answer = server.post(&path, body).await;
        assert!(schema.is_object() && answer.status == 200, "{path}: {}", answer.status);
        assert_eq!(differences(&described, schema, &answer.json, &path), Vec::<String>::new());
    }
    let refused = server.get("/api/v1/vehicles?a=b").await;
    let problem = json!({"$ref": "#/components/schemas/Problem"});
    assert_eq!(differences(&described, &problem, &refused.json, "problem"), Vec::<String>::new());
}

#[tokio::test]
async fn an_address_takes_the_parameters_that_are_described_and_no_others() {
    let (server, described) = a_described_server().await;
    for (path, method, operation) in operations(&described) {
        let bounds_itself = path.contains("/telemetry/") || path.contains("/uplink/") || !path.starts_with("/api/v1");
        if bounds_itself {
            continue;
        }
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let names = |place: &str| -> Vec<String> {
            let there = parameters.iter().filter(|parameter| parameter["in"] == place);
            there.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect()
        };
        let in_path: Vec<_> = path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
        assert_eq!(names("path"), in_path, "{path}");
        let answer = server.ask(method, &format!("{}?no_such=1", address(path))).await;
        let detail = answer.json["detail"].as_str().unwrap_or_default();
        assert!(answer.status == 400 && detail.contains("`no_such` is no parameter"), "{method} {path}: {detail}");
        let taken = detail.split_once("It takes ").map_or(Vec::new(), |(_, names)| names.split(", ").collect());
        assert_eq!(names("query"), taken, "{method} {path}");
    }
}

#[tokio::test]
async fn every_form_and_every_operation_is_named_once() {
    let (_server, described) = a_described_server().await;
    let forms = described["components"]["schemas"].as_object().unwrap();
    for form in described.to_string().split("#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(forms.contains_key(form), "{form} is named and not described");
    }
    let mut ids: Vec<_> = operations(&described).iter().map(|(_, _, operation)| operation["operationId"].to_string()).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), &described["openapi"]), (all, &json!("3.1.0")));
    for (path, _, operation) in operations(&described) {
        assert!(operation["summary"].is_string() && operation["responses"]["default"].is_object(), "{path}");
    }
}

/// Where `value` is not what `schema` says. Stricter than JSON schema: a field that is not described is a difference.
fn differences(described: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    if let Some(name) = schema["$ref"].as_str().and_then(|name| name.strip_prefix("#/components/schemas/")) {
        return differences(described, &described["components"]["schemas"][name], value, place);
    }
    if let Some(either) = schema["oneOf"].as_array() {
        let each = either.iter().map(|schema| differences(described, schema, value, place));
        return each.min_by_key(Vec::len).unwrap_or_default();
    }
    let parts = all_of(described, schema);
    let mut found = Vec::new();
    let kinds: Vec<_> = parts.iter().flat_map(|part| kinds(&part["type"])).collect();
    if !kinds.is_empty() && !kinds.iter().any(|kind| is_a(value, kind)) {
        return vec![format!("{place} is {value}, not {kinds:?}")];
    }
    if schema["enum"].as_array().is_some_and(|codes| !value.is_null() && !codes.contains(value)) {
        found.push(format!("{place} is {value}, none of {}", schema["enum"]));
    }
    for (name, inner) in value.as_object().into_iter().flatten() {
        let property = parts.iter().map(|part| &part["properties"][name]).find(|property| property.is_object());
        let others = parts.iter().map(|part| &part["additionalProperties"]).find(|others| others.is_object());
        match property.or(others) {
            Some(schema) => found.extend(differences(described, schema, inner, &format!("{place}.{name}"))),
            None if schema["type"] == "object" && parts[0]["properties"].is_null() => {}
            None => found.push(format!("{place}.{name} is not described")),
        }
    }
    for name in parts.iter().flat_map(|part| part["required"].as_array().into_iter().flatten()) {
        if value.is_object() && value.get(name.as_str().unwrap()).is_none() {
            found.push(format!("{place} has no {name}"));
        }
    }
    for each in value.as_array().into_iter().flatten() {
        found.extend(differences(described, &schema["items"], each, place));
    }
    found
}

/// The parts of a form that flattens another.
fn all_of<'a>(described: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    let Some(parts) = schema["allOf"].as_array() else { return vec![schema] };
    let resolved = parts.iter().flat_map(|part| match part["$ref"].as_str() {
        Some(name) => all_of(described, &described["components"]["schemas"][name.rsplit('/').next().unwrap()]),
        None => all_of(described, part),
    });
    resolved.collect()
}

fn kinds(kind: &Value) -> Vec<&str> {
    match kind {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        kind => kind.as_str().into_iter().collect(),
    }
}

fn is_a(value: &Value, kind: &str) -> bool {
    match kind {
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        other => panic!("what is {other}?"),
    }
}
