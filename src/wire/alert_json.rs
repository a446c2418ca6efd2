//! Alerts as the JSON that others read (CONTRACTS §8): in answers of the API and in the events that leave.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{Alert, AlertEvent, Condition, Explained, Handling, Severity, Timestamp, VehicleId, Verdict};

/// Of this kind are all events of alerts; what happened follows, such as `.opened`.
const EVENT_TYPE: &str = "odograph.alert";
/// Those about the system are of another, since their data has no vehicle in it.
const SYSTEM_EVENT_TYPE: &str = "odograph.system_alert";
/// With the id it names an event for ever (CloudEvents 1.0, `source` and `id`).
const EVENT_SOURCE: &str = "/odograph/alerts";

/// An episode as of its last change.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Alert)]
pub struct AlertForm<'a> {
    /// 16 hexadecimal digits.
    alert_id: String,
    vehicle_id: &'a VehicleId,
    alert_key: &'a str,
    #[schema(value_type = Severity)]
    severity: &'static str,
    #[schema(value_type = Condition)]
    condition: &'static str,
    #[schema(value_type = Handling)]
    handling: &'static str,
    opened_at: Timestamp,
    last_seen_at: Timestamp,
    #[schema(required)]
    closed_at: Option<Timestamp>,
    count: u32,
    summary: &'a str,
    #[schema(required)]
    value: Option<f64>,
    #[schema(required)]
    limit: Option<f64>,
    #[schema(required)]
    score: Option<f32>,
    explanation: Vec<ExplainedForm<'a>>,
    #[schema(required)]
    acknowledged_by: Option<&'a str>,
    #[schema(required)]
    assigned_to: Option<&'a str>,
    #[schema(required)]
    silenced_until: Option<Timestamp>,
    #[schema(value_type = Option<Verdict>, required)]
    verdict: Option<&'static str>,
    #[schema(required)]
    note: Option<&'a str>,
    is_history: bool,
    /// Revision of the configuration that opened it.
    configuration: u64,
    revision: u32,
}

/// A part of the reason, largest contribution first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Explained)]
struct ExplainedForm<'a> {
    feature: &'a str,
    #[schema(required)]
    value: Option<f64>,
    #[schema(required)]
    normal: Option<f64>,
    #[schema(required)]
    cohort_normal: Option<f64>,
    contribution: f64,
}

#[derive(Debug, Serialize)]
struct CloudEvent<'a, Subject, Data> {
    specversion: &'static str,
    id: &'a str,
    source: &'static str,
    #[serde(rename = "type")]
    kind: String,
    subject: Subject,
    time: Timestamp,
    datacontenttype: &'static str,
    data: Data,
}

/// A change of an alert that is about this system and no vehicle.
#[derive(Debug)]
pub struct SystemEvent<'a, Data> {
    pub id: &'a str,
    /// Such as `opened`.
    pub change: &'static str,
    pub subject: &'static str,
    pub at: Timestamp,
    pub data: Data,
}

/// `{alert_id}-{revision}`: the same change has the same id wherever it is met.
#[must_use]
pub fn event_id(event: &AlertEvent) -> String {
    format!("{}-{}", event.alert.alert_id, event.alert.revision)
}

/// One change of an alert as a CloudEvents 1.0 event in JSON, with the whole alert in `data`. Depends on nothing but the change, so that
/// it is the same text however often it is sent.
#[must_use]
pub fn cloud_event(event: &AlertEvent) -> String {
    let form = CloudEvent {
        specversion: "1.0",
        id: &event_id(event),
        source: EVENT_SOURCE,
        kind: format!("{EVENT_TYPE}.{}", event.change.code()),
        subject: &event.alert.vehicle_id,
        time: event.at,
        datacontenttype: "application/json",
        data: AlertForm::new(&event.alert),
    };
    serde_json::to_string(&form).expect("texts and numbers are JSON")
}

/// The same for an alert about this system.
#[must_use]
pub fn system_cloud_event(event: &SystemEvent<'_, impl Serialize>) -> String {
    let form = CloudEvent {
        specversion: "1.0",
        id: event.id,
        source: EVENT_SOURCE,
        kind: format!("{SYSTEM_EVENT_TYPE}.{}", event.change),
        subject: event.subject,
        time: event.at,
        datacontenttype: "application/json",
        data: &event.data,
    };
    serde_json::to_string(&form).expect("texts and numbers are JSON")
}

impl<'a> AlertForm<'a> {
    pub fn new(alert: &'a Alert) -> Self {
        Self {
            alert_id: alert.alert_id.to_string(),
            vehicle_id: &alert.vehicle_id,
            alert_key: alert.key.as_str(),
            severity: alert.severity.code(),
            condition: alert.condition.code(),
            handling: alert.handling.code(),
            opened_at: alert.opened_at,
            last_seen_at: alert.last_seen_at,
            closed_at: alert.closed_at,
            count: alert.count,
            summary: &alert.summary,
            value: alert.value,
            limit: alert.limit,
            score: alert.score,
            explanation: alert.explanation.iter().map(ExplainedForm::new).collect(),
            acknowledged_by: alert.acknowledged_by.as_deref(),
            assigned_to: alert.assigned_to.as_deref(),
            silenced_until: alert.silenced_until,
            verdict: alert.verdict.map(Verdict::code),
            note: alert.note.as_deref(),
            is_history: alert.is_history,
            configuration: alert.opened_by.configuration,
            revision: alert.revision,
        }
    }
}

impl<'a> ExplainedForm<'a> {
    fn new(from: &'a Explained) -> Self {
        let Explained { feature, value, normal, cohort_normal, contribution } = from;
        Self { feature, value: *value, normal: *normal, cohort_normal: *cohort_normal, contribution: *contribution }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::alert::tests::a_full_alert_event;

    #[test]
    fn a_cloud_event_has_every_required_attribute_and_the_whole_alert() {
        let event = a_full_alert_event();
        let json: serde_json::Value = serde_json::from_str(&cloud_event(&event)).unwrap();
        assert_eq!((&json["specversion"], &json["source"]), (&"1.0".into(), &EVENT_SOURCE.into()));
        assert_eq!(json["id"], event_id(&event));
        assert_eq!(json["type"], format!("odograph.alert.{}", event.change.code()));
        assert_eq!(json["data"]["alert_id"], event.alert.alert_id.to_string());
        assert_eq!(json["data"]["revision"], event.alert.revision);
    }
}
