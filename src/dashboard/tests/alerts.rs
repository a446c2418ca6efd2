//! Alerts: listed, shown and handled.

use serde_json::Value;

use super::*;
use crate::domain::Change;

#[tokio::test]
async fn an_open_alert_is_listed_shown_with_its_vehicle_and_handled_before_the_archive_knows_it() {
    let server = a_server().await;
    let mut event = crate::wire::alert::tests::a_full_alert_event();
    (event.change, event.alert.condition, event.alert.revision) = (Change::Opened, Condition::Active, 0);
    event.alert.handling = Handling::New;
    server.open_alerts.apply(&event);
    let id = event.alert.alert_id.to_string();
    let mut newest = vec![a_reading_at(crate::clock::now())];
    newest[0].timing = Timing::InOrder;
    server.live.update(0, &mut newest);
    let vehicle = server.get("/api/v1/vehicles/truck-7").await.json;
    assert_eq!((&vehicle["state"], &vehicle["open_alerts"][0]["alert_id"]), (&"alert".into(), &id.as_str().into()));
    let listed = server.get("/api/v1/alerts?condition=active&vehicle_id=truck-7").await.json;
    assert_eq!(listed["alerts"][0]["explanation"][0]["contribution"], 0.875);
    assert_eq!(server.get("/api/v1/alerts?condition=cleared").await.json["alerts"].as_array().unwrap().len(), 0);
    let answer = server.post(&format!("/api/v1/alerts/{id}/acknowledge"), r#"{"by":"ada"}"#).await;
    assert_eq!((answer.status, &answer.json["alert"]["acknowledged_by"]), (200, &"ada".into()));
    let shown = server.get(&format!("/api/v1/alerts/{id}")).await.json;
    assert_eq!((&shown["handling"], &shown["history"]), (&"acknowledged".into(), &Value::Array(Vec::new())));
}

#[tokio::test]
async fn a_command_that_makes_no_sense_says_what_would() {
    let server = a_server().await;
    let mut event = crate::wire::alert::tests::a_full_alert_event();
    event.alert.condition = Condition::Active;
    server.open_alerts.apply(&event);
    let id = event.alert.alert_id.to_string();
    for (action, body, status, expected) in [
        ("acknowledge", r#"{"who":"ada"}"#, 400, "unknown field `who`"),
        ("assign", "", 400, "assign needs `to`"),
        ("silence", "{}", 400, "silence needs `duration`"),
        ("silence", r#"{"duration":"60d"}"#, 400, "at most 30 days"),
        ("acknowledge", r#"{"verdict":"confirmed"}"#, 400, "`verdict` belongs to resolve"),
        ("resolve", r#"{"verdict":"maybe"}"#, 400, "confirmed, false_alarm"),
        ("close", "", 404, "acknowledge, assign, silence, resolve"),
    ] {
        let answer = server.post(&format!("/api/v1/alerts/{id}/{action}"), body).await;
        let detail = answer.json["detail"].as_str().unwrap_or_default();
        assert!(answer.status == status && detail.contains(expected), "{action} {body}: {} {detail}", answer.status);
    }
    assert_eq!(server.post("/api/v1/alerts/0000000000000001/acknowledge", "").await.status, 404);
    assert_eq!(server.post("/api/v1/alerts/xyz/acknowledge", "").await.status, 400);
}
