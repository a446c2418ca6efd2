//! Objectives over HTTP, and that the rules and the dashboard beside the settings name only what the program counts.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use odograph::metrics;
use serde_json::Value;

use crate::line::seconds_ago;
use crate::support::{Site, wait_for};

const READINGS: u64 = 400;
const COUNTED_WITHIN: Duration = Duration::from_secs(10);

fn objective(answer: &Value, name: &str) -> Value {
    let objectives = answer["objectives"].as_array().unwrap();
    objectives.iter().find(|objective| objective["name"] == name).unwrap().clone()
}

fn burn_rate(objective: &Value, window: &str) -> f64 {
    let rates = objective["burn_rates"].as_array().unwrap();
    rates.iter().find(|rate| rate["window"] == window).unwrap()["burn_rate"].as_f64().unwrap()
}

/// One message of so many readings that no machine has all of them durable within a millisecond.
fn send_many(site: &Site) {
    let reading = |number| format!(r#"{{"recorded_at":"{}","signals":{{"gear":4}}}}"#, seconds_ago(600 - number));
    let body = format!("[{}]", (0..i64::try_from(READINGS).unwrap()).map(reading).collect::<Vec<_>>().join(","));
    let sent = site.api().post("/api/v1/telemetry/truck-7", "application/json", body.as_bytes());
    assert_eq!(sent.json["accepted"], READINGS, "{}", sent.text);
}

#[test]
fn a_target_that_cannot_be_met_burns_the_budget_and_a_generous_one_does_not() {
    let mut site = Site::with_settings(
        "[slo.durable]\nobjective = 0.99\nwithin = \"1ms\"\n[slo.scored]\nobjective = 0.9\nwithin = \"7m\"\n[slo.available]\nobjective = 0.5\n",
    );
    send_many(&site);
    let slo = site.api().get("/api/v1/slo").json;
    let (durable, scored) = (objective(&slo, "durable"), objective(&slo, "scored"));
    assert_eq!((&durable["events"], &durable["good"]), (&READINGS.into(), &0.into()), "{durable}");
    assert_eq!((&scored["events"], &scored["good"]), (&READINGS.into(), &READINGS.into()), "{scored}");
    for window in ["5m", "30m", "1h", "6h"] {
        assert!((burn_rate(&durable, window) - 100.0).abs() < 1e-6, "all is bad where 1 % may be: {durable}");
        assert!(burn_rate(&scored, window).abs() < f64::EPSILON, "{scored}");
    }
    assert_eq!((&durable["alarm"], &scored["alarm"]), (&"fast".into(), &Value::Null));
    assert_eq!((durable["budget_left"].as_f64().map(f64::round), scored["budget_left"].as_f64()), (Some(-99.0), Some(1.0)));
    assert_eq!(objective(&slo, "available")["good"], 1, "one message");
    assert_eq!(objective(&slo, "kept")["good"], READINGS);

    let shown = site.api().get("/metrics").text;
    for line in [
        "odograph_slo_events_total{slo=\"durable\"} 400",
        "odograph_slo_good_events_total{slo=\"durable\"} 0",
        "odograph_slo_good_events_total{slo=\"scored\"} 400",
        "odograph_reading_durable_seconds_bucket{le=\"0.001\"} 0",
        "odograph_reading_scored_seconds_bucket{le=\"420\"} 400",
        "odograph_slo_objective{slo=\"available\"} 0.5",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "no {line} in\n{shown}");
    }
    assert!(site.stop().success());
}

#[test]
fn an_alert_counts_once_when_it_opens() {
    let mut site = Site::start();
    let reading = |number: i64| {
        let recorded_at = seconds_ago(30 * (9 - number));
        format!(
            r#"{{"recorded_at":"{recorded_at}","ignition":"on","signals":{{"speed_km_per_h":{},"engine_speed_rpm":2100,"coolant_temperature_celsius":125}}}}"#,
            60 + number
        )
    };
    let body = format!("[{}]", (1..=9).map(reading).collect::<Vec<_>>().join(","));
    site.api().post("/api/v1/telemetry/truck-7", "application/json", body.as_bytes());
    wait_for("every alert to be counted", COUNTED_WITHIN, || {
        let alerts = site.api().get("/api/v1/alerts?limit=200").json["alerts"].as_array().unwrap().len();
        (alerts > 0 && objective(&site.api().get("/api/v1/slo").json, "alerted")["events"] == alerts).then_some(())
    });
    assert!(site.stop().success());
}

/// `odograph_…` in `text`, without what Prometheus adds to the name of a histogram.
fn names_in(text: &str) -> BTreeSet<&str> {
    let starts = text.match_indices("odograph_").map(|(start, _)| start);
    let name = |start: usize| {
        let rest = &text[start..];
        let end = rest.find(|character: char| !character.is_ascii_alphanumeric() && character != '_').unwrap_or(rest.len());
        let name = &rest[..end];
        ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
    };
    starts.map(name).collect()
}

#[test]
fn rules_and_dashboard_name_only_metrics_that_the_program_exposes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
    let (rules, dashboard) = (read("prometheus/odograph.rules.yml"), read("grafana/odograph.json"));
    let exposed: BTreeSet<_> = metrics::ALL.iter().map(|metric| metric.name).collect();
    for text in [&rules, &dashboard] {
        let named = names_in(text);
        let unknown: Vec<_> = named.difference(&exposed).collect();
        assert!(unknown.is_empty() && named.len() >= 8, "not exposed: {unknown:?} of {named:?}");
    }
    // What rules record is named with colons.
    let recorded: BTreeSet<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- record: ")).collect();
    let used = [&rules, &dashboard]
        .into_iter()
        .flat_map(|text| text.split(|character: char| !character.is_ascii_alphanumeric() && !"_:".contains(character)));
    let used: BTreeSet<_> = used.filter(|word| word.starts_with("odograph:")).collect();
    assert_eq!(used, recorded);
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() >= 10);
}
