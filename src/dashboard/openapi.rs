//! `/api/openapi.json`: every address of the API with its parameters and forms, for tools and people. A test compares it with the routes.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::openapi_schemas::schemas;

/// One thing that can be asked or told.
struct Operation {
    method: &'static str,
    /// Below the root, with `{names}`.
    path: &'static str,
    summary: &'static str,
    /// In the query.
    parameters: &'static [(&'static str, Kind, &'static str)],
    /// The body that it takes.
    takes: Option<Body>,
    gives: Body,
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Time,
    Number,
}

/// What a body is.
#[derive(Clone, Copy)]
enum Body {
    /// JSON, by the name of its form.
    Form(&'static str),
    Of(&'static str),
    /// Nothing but 101.
    Socket,
}

const LIMIT: (&str, Kind, &str) = ("limit", Kind::Number, "at most so many");
const CURSOR: (&str, Kind, &str) = ("cursor", Kind::Text, "`next_cursor` of the page before");
const FROM: (&str, Kind, &str) = ("from", Kind::Time, "not before");
const TO: (&str, Kind, &str) = ("to", Kind::Time, "before");

const fn get(
    path: &'static str,
    summary: &'static str,
    parameters: &'static [(&'static str, Kind, &'static str)],
    gives: Body,
) -> Operation {
    Operation { method: "get", path, summary, parameters, takes: None, gives }
}

const fn tell(method: &'static str, path: &'static str, summary: &'static str, takes: Body, gives: Body) -> Operation {
    Operation { method, path, summary, parameters: &[], takes: Some(takes), gives }
}

const OPERATIONS: &[Operation] = &[
    get("/api/v1/vehicles", "All vehicles, in order of their ids", &[LIMIT, CURSOR], Body::Form("Vehicles")),
    tell("post", "/api/v1/vehicles/import", "Registers many: all lines or none", Body::Of("text/csv"), Body::Form("Imported")),
    get("/api/v1/vehicles/{id}", "One vehicle as it is now", &[], Body::Form("Vehicle")),
    tell(
        "put",
        "/api/v1/vehicles/{id}",
        "Registers a vehicle, or replaces its record",
        Body::Form("VehicleRecord"),
        Body::Form("Vehicle"),
    ),
    get("/api/v1/vehicles/{id}/readings", "Its readings, oldest first", &[FROM, TO, LIMIT, CURSOR], Body::Form("Readings")),
    get(
        "/api/v1/alerts",
        "Alerts, newest first",
        &[
            ("condition", Kind::Text, "active, cleared or unknown"),
            ("handling", Kind::Text, "new, acknowledged, assigned, silenced or resolved"),
            ("vehicle_id", Kind::Text, "of this vehicle"),
            FROM,
            TO,
            LIMIT,
            CURSOR,
        ],
        Body::Form("Alerts"),
    ),
    get("/api/v1/alerts/groups", "Open alerts that probably have one cause", &[], Body::Form("AlertGroups")),
    get("/api/v1/alerts/{id}", "One alert with its history", &[], Body::Form("Alert")),
    get("/api/v1/alerts/{id}/recording", "What its vehicle said around it", &[], Body::Form("Readings")),
    tell(
        "post",
        "/api/v1/alerts/{id}/{action}",
        "acknowledge, assign, silence or resolve; answered once durable",
        Body::Form("Command"),
        Body::Form("Commanded"),
    ),
    get(
        "/api/v1/quarantine",
        "Messages that were acknowledged and not believed, newest first",
        &[("reason", Kind::Text, "a code of `counts`"), LIMIT, CURSOR],
        Body::Form("Quarantine"),
    ),
    get("/api/v1/quarantine/{id}/payload", "What came, as it came", &[], Body::Of("application/octet-stream")),
    tell(
        "post",
        "/api/v1/quarantine/replay",
        "Takes refused messages in after all, once what refused them is mended",
        Body::Form("Replay"),
        Body::Form("Replayed"),
    ),
    get("/api/v1/fences", "All fences", &[], Body::Of("application/geo+json")),
    tell("put", "/api/v1/fences", "Replaces all fences", Body::Of("application/geo+json"), Body::Form("FencesPut")),
    get("/api/v1/models", "The models that score here", &[], Body::Form("Models")),
    get("/api/v1/map", "What the page draws below the vehicles", &[], Body::Form("Map")),
    get("/api/v1/map/roads", "The roads of the simulated fleet", &[], Body::Of("application/geo+json")),
    get(
        "/api/v1/live",
        "WebSocket: snapshot of all vehicles, then changes, newest wins; alerts each once",
        &[
            ("after", Kind::Number, "go on behind this `sequence` of an alert"),
            ("channel", Kind::Text, "vehicles or alerts; both without it"),
        ],
        Body::Socket,
    ),
    tell(
        "post",
        "/api/v1/telemetry/{vehicle_id}",
        "Readings of one vehicle; answered once durable",
        Body::Form("Reading"),
        Body::Form("Taken"),
    ),
    get(
        "/api/v1/uplink/{vehicle_id}",
        "WebSocket: readings of one vehicle, each message answered once durable",
        &[],
        Body::Socket,
    ),
    get("/health/live", "Whether the process lives", &[], Body::Form("Live")),
    get("/health/ready", "Whether it is ready; if not (503), why", &[], Body::Form("Ready")),
    get("/metrics", "Metrics for Prometheus", &[], Body::Of("text/plain")),
];

pub async fn show() -> Response {
    Json(document()).into_response()
}

fn document() -> Value {
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = describe(operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Odograph", "version": env!("CARGO_PKG_VERSION"), "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "paths": paths,
        "components": {"schemas": schemas()},
    })
}

fn describe(operation: &Operation) -> Value {
    let in_path = operation.path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let in_path = in_path.map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
    let in_query = operation.parameters.iter().map(|(name, kind, meaning)| {
        let schema = match kind {
            Kind::Text => json!({"type": "string"}),
            Kind::Time => json!({"type": "string", "format": "date-time"}),
            Kind::Number => json!({"type": "integer", "minimum": 0}),
        };
        json!({"name": name, "in": "query", "description": meaning, "schema": schema})
    });
    let problem = json!({"description": "Why not", "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}});
    let mut answers = Map::new();
    match operation.gives {
        Body::Socket => answers.insert("101".to_owned(), json!({"description": "The socket is open"})),
        body => answers.insert("200".to_owned(), json!({"description": operation.summary, "content": content(body)})),
    };
    answers.insert("default".to_owned(), problem);
    let mut described =
        json!({"summary": operation.summary, "parameters": in_path.chain(in_query).collect::<Vec<_>>(), "responses": answers});
    if let Some(body) = operation.takes {
        described["requestBody"] = json!({"content": content(body)});
    }
    described
}

fn content(body: Body) -> Value {
    match body {
        Body::Form(name) => json!({"application/json": {"schema": {"$ref": format!("#/components/schemas/{name}")}}}),
        Body::Of(content_type) => json!({content_type: {}}),
        Body::Socket => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::openapi_schemas::tests::differences;
    use crate::dashboard::tests::{a_reading_at, a_server};
    use crate::domain::Timing;
    use crate::wire::alert::tests::a_full_alert_event;

    /// As the source of the routers has them.
    fn routes() -> Vec<String> {
        let api = [
            include_str!("api.rs"),
            include_str!("fences.rs"),
            include_str!("map.rs"),
            include_str!("models.rs"),
            include_str!("live_channel.rs"),
        ];
        let below_api = api.iter().flat_map(|source| in_source(source)).map(|path| format!("/api/v1{path}"));
        let whole = [include_str!("mod.rs"), include_str!("../ingest/uplink.rs")];
        let is_page =
            |path: &String| path == "/" || path == "/icon.svg" || path.starts_with("/assets") || path == "/api/openapi.json";
        below_api.chain(whole.iter().flat_map(|source| in_source(source)).filter(|path| !is_page(path))).collect()
    }

    fn in_source(source: &str) -> impl Iterator<Item = String> {
        source.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned)
    }

    #[test]
    fn every_route_is_described_and_every_description_has_a_route() {
        let (mut routes, mut described) = (routes(), OPERATIONS.iter().map(|each| each.path.to_owned()).collect::<Vec<_>>());
        for paths in [&mut routes, &mut described] {
            paths.sort_unstable();
            paths.dedup();
        }
        assert_eq!(routes, described);
    }

    #[test]
    fn every_form_that_is_named_is_described() {
        let document = document();
        for (name, text) in document["components"]["schemas"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, each)| (name, each.to_string()))
            .chain([(&"paths".to_owned(), document["paths"].to_string())])
        {
            for form in text.split("#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(document["components"]["schemas"][form].is_object(), "{name} names {form}");
            }
        }
    }

    #[tokio::test]
    async fn what_the_api_says_is_what_its_description_says() {
        let server = a_server().await;
        let mut newest = a_reading_at(crate::clock::now());
        newest.timing = Timing::InOrder;
        server.keeps(&newest).await;
        server.live.update(0, &mut vec![newest]);
        server.open_alerts.apply(&a_full_alert_event());
        for operation in OPERATIONS.iter().filter(|each| each.method == "get" && each.path != "/metrics") {
            let Body::Form(form) = operation.gives else { continue };
            let id = if operation.path.contains("alerts") {
                a_full_alert_event().alert.alert_id.to_string()
            } else {
                "truck-7".to_owned()
            };
            let answer = server.get(&operation.path.replace("{id}", &id)).await;
            assert_eq!((answer.status, differences(form, &answer.json)), (200, Vec::new()), "{}", operation.path);
        }
        assert_eq!(differences("Problem", &server.get("/api/v1/vehicles?a=b").await.json), Vec::<String>::new());
        assert_eq!(server.get("/api/openapi.json").await.json["openapi"], "3.1.0");
    }
}
