//! What a running service says about itself.

use super::Patient;
use super::finding::{Cause, Finding};
use crate::bench::exposition::{by_label, total};
use crate::bench::http::{Answer, Client};
use crate::metrics;

pub fn service(patient: &Patient) -> Vec<Finding> {
    if !patient.is_running {
        return Vec::new();
    }
    let address = patient.settings.http.address;
    let place = format!("http://{address}");
    let asked = patient.runtime.block_on(async {
        let mut client = Client::new(address);
        let ready = client.get("/health/ready").await?;
        let page = client.get_ok("/metrics").await?;
        Ok::<_, crate::bench::http::HttpError>((ready, String::from_utf8_lossy(&page).into_owned()))
    });
    let (ready, page) = match asked {
        Ok(answers) => answers,
        Err(error) => {
            return vec![
                Finding::failed("service", place, format!("the service that holds the data folder does not answer: {error}"))
                    .because("it hangs, is only starting, or listens elsewhere than the settings say")
                    .next("give --http ADDR if it was started with another address; else look at its log")
                    .caused_by(Cause::DependencyDown),
            ];
        }
    };
    let mut findings = vec![readiness(&place, &ready)];
    findings.extend(turned_away(&place, &page));
    if !patient.settings.broker.url.is_empty() && total(&page, metrics::BROKER_CONNECTED) == Some(0.0) {
        findings.push(
            Finding::warning("service", place, "it has no subscription at the broker now")
                .because("the broker is down, or refuses it")
                .next("see the finding `broker`, and the log of the service"),
        );
    }
    findings
}

fn readiness(place: &str, ready: &Answer) -> Finding {
    if ready.status == 200 {
        return Finding::ok("service", place, "it runs and is ready");
    }
    let reasons: serde_json::Value = serde_json::from_slice(&ready.body).unwrap_or_default();
    let list = reasons["reasons"].as_array().into_iter().flatten();
    let words = |reason: &serde_json::Value| {
        format!("{}: {}", reason["part"].as_str().unwrap_or("?"), reason["problem"].as_str().unwrap_or("?"))
    };
    let words: Vec<String> = list.map(words).collect();
    Finding::failed("service", place, format!("it runs and is not ready: {}", words.join("; ")))
        .next("mend what it names; it goes on by itself")
}

/// No warning: that strangers knock is no fault of the service. What it is about is for whoever reads it.
fn turned_away(place: &str, page: &str) -> Option<Finding> {
    let reasons = by_label(page, metrics::FRONT_DOOR_REFUSED, "reason");
    let reasons: Vec<_> =
        reasons.iter().filter(|(_, times)| *times > 0.0).map(|(reason, times)| format!("{reason} {times}")).collect();
    let what = format!("turned away at the MQTT endpoint since the service started: {}", reasons.join(", "));
    (!reasons.is_empty()).then(|| Finding::ok("service", place, what))
}
