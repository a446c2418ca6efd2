//! The HTTP interface as a user asks it; blocking.

use std::net::SocketAddr;
use std::time::Duration;

use odograph::domain::Timestamp;
use serde_json::Value;
use ureq::Agent;

use super::wait_for;

/// No answer may take longer, whatever was asked.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// After an outage.
const ARCHIVE_BACK_WITHIN: Duration = Duration::from_secs(30);
const PAGE: usize = 1_000;

pub struct Api {
    agent: Agent,
    base: String,
}

/// Status and JSON; `Null` where the body is no JSON.
pub struct Answer {
    pub status: u16,
    pub json: Value,
    pub text: String,
    pub retry_after: Option<String>,
}

/// A reading as it came back.
#[derive(Debug, Clone)]
pub struct Stored {
    pub recorded_at_micros: i64,
    pub json: Value,
}

impl Api {
    pub fn new(address: SocketAddr) -> Self {
        let agent = Agent::config_builder().http_status_as_error(false).timeout_global(Some(ANSWER_WITHIN)).build().new_agent();
        Self { agent, base: format!("http://{address}") }
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        let response = self.agent.get(format!("{}{path}", self.base)).call();
        answer(response.unwrap_or_else(|error| panic!("GET {path}: {error}")))
    }

    #[track_caller]
    pub fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Answer {
        let response = self.agent.post(format!("{}{path}", self.base)).header("Content-Type", content_type).send(body);
        answer(response.unwrap_or_else(|error| panic!("POST {path}: {error}")))
    }

    #[track_caller]
    pub fn put(&self, path: &str, content_type: &str, body: &[u8]) -> Answer {
        let response = self.agent.put(format!("{}{path}", self.base)).header("Content-Type", content_type).send(body);
        answer(response.unwrap_or_else(|error| panic!("PUT {path}: {error}")))
    }

    /// `None`: unknown.
    #[track_caller]
    pub fn vehicle(&self, vehicle_id: &str) -> Option<Value> {
        let answer = self.get(&format!("/api/v1/vehicles/{vehicle_id}"));
        match answer.status {
            200 => Some(answer.json),
            404 => None,
            status => panic!("{status} for {vehicle_id}: {}", answer.text),
        }
    }

    /// All of them, oldest first.
    #[track_caller]
    pub fn readings(&self, vehicle_id: &str) -> Vec<Stored> {
        let mut all = Vec::new();
        let mut after = String::new();
        loop {
            let page = format!("/api/v1/vehicles/{vehicle_id}/readings?limit={PAGE}{after}");
            // An archive that was just away is asked again, as a user would.
            let answer = wait_for("an archive that answers", ARCHIVE_BACK_WITHIN, || {
                Some(self.get(&page)).filter(|answer| answer.status != 503)
            });
            if answer.status == 404 {
                return all;
            }
            assert_eq!(answer.status, 200, "{}", answer.text);
            for reading in answer.json["readings"].as_array().expect("a list of readings") {
                let recorded_at: Timestamp = reading["recorded_at"].as_str().unwrap().parse().unwrap();
                all.push(Stored { recorded_at_micros: recorded_at.as_micros(), json: reading.clone() });
            }
            match answer.json["next_cursor"].as_str() {
                Some(cursor) => after = format!("&cursor={cursor}"),
                None => return all,
            }
        }
    }

    /// The value of a metric without labels. `None`: nothing was counted yet.
    #[track_caller]
    pub fn metric(&self, name: &str) -> Option<f64> {
        let metrics = self.get("/metrics").text;
        let mut values = metrics.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        values.next()
    }

    /// The sum of a metric over its labels.
    #[track_caller]
    pub fn labelled(&self, name: &str) -> f64 {
        let metrics = self.get("/metrics").text;
        let values = metrics.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')?.rsplit_once(' '));
        values.map(|(_, value)| value.parse::<f64>().unwrap()).sum()
    }

    /// How many messages, or elements of them, were refused for this reason.
    #[track_caller]
    pub fn quarantined(&self, reason: &str) -> u64 {
        self.get("/api/v1/quarantine").json["counts"][reason].as_u64().unwrap_or(0)
    }

    /// Of all reasons.
    #[track_caller]
    pub fn all_quarantined(&self) -> u64 {
        let counts = self.get("/api/v1/quarantine").json["counts"].clone();
        counts.as_object().expect("counts by reason").values().filter_map(Value::as_u64).sum()
    }
}

fn answer(mut response: ureq::http::Response<ureq::Body>) -> Answer {
    let status = response.status().as_u16();
    let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    let text = response.body_mut().read_to_string().unwrap_or_default();
    Answer { status, json: serde_json::from_str(&text).unwrap_or(Value::Null), text, retry_after }
}
