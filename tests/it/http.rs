//! The HTTP way in: what it answers, and that it is the same line as MQTT.

use std::time::Duration;

use crate::bad_input::{DRAIN_WITHIN, beside_busy_neighbours, parsing_suite};
use crate::line::{acknowledged, seconds_ago, topic};
use crate::support::device::{Device, Protocol};
use crate::support::{Site, wait_for};

const READABLE_WITHIN: Duration = Duration::from_secs(1);

#[test]
fn http_answers_what_became_of_a_message_and_knows_what_came_over_mqtt() {
    let mut site = Site::start();
    let recorded_at = seconds_ago(10);
    let one = format!(r#"{{"recorded_at":"{recorded_at}","signals":{{"gear":4}}}}"#);
    acknowledged(&Device::connect(site.service().mqtt(), "van-1", Protocol::V5).publish(&topic("van-1"), one.as_bytes()));
    let other = format!(r#"{{"recorded_at":"{}","signals":{{"gear":5}}}}"#, seconds_ago(5));
    let api = site.api();
    let answer = api.post("/api/v1/telemetry/van-1", "application/json", format!("[{one},{other},{{}}]").as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text);
    let (accepted, duplicates) = (&answer.json["accepted"], &answer.json["duplicates"]);
    assert_eq!((accepted.as_u64(), duplicates.as_u64()), (Some(1), Some(1)), "{}", answer.text);
    let refused = &answer.json["quarantined"][0];
    assert_eq!((&refused["index"], &refused["reason"]), (&2.into(), &"recorded_at_missing".into()));
    let gears =
        || -> Vec<f64> { api.readings("van-1").iter().filter_map(|reading| reading.json["signals"]["gear"].as_f64()).collect() };
    wait_for("both readings", READABLE_WITHIN, || (gears() == [4.0, 5.0]).then_some(()));
    assert!(site.stop().success());
}

#[test]
fn http_answers_every_document_of_the_json_parsing_suite_with_a_reason() {
    let Some(cases) = parsing_suite() else { return };
    beside_busy_neighbours(|site| {
        let api = site.api();
        for (name, input) in &cases {
            let answer = api.post("/api/v1/telemetry/suite", "application/json", input.as_bytes());
            let is_broken = name.starts_with("n_");
            let is_refused = answer.status == 400 || (answer.status == 422 && !is_broken);
            assert!(is_refused, "{name}: {} {}", answer.status, answer.text);
            assert!(answer.json["quarantined"][0]["reason"].is_string(), "{name}: {}", answer.text);
            assert_eq!(answer.json["accepted"], 0, "{name}");
        }
        let least = cases.len() as u64;
        wait_for("the suite in quarantine", DRAIN_WITHIN, || (api.all_quarantined() >= least).then_some(()));
        assert!(api.vehicle("suite").is_none());
    });
}
