//! What can be seen of the outside broker, and what its limits mean for readings.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::Patient;
use super::finding::{Cause, Finding};
use crate::ingest::broker_inspection::{BrokerLimits, InspectionError, inspect};

/// Mosquitto's `max_inflight_messages` and `max_queued_messages` where nobody set them (mosquitto.conf(5)).
const MOSQUITTO_INFLIGHT: u16 = 20;
const MOSQUITTO_QUEUE: u32 = 1_000;

pub fn broker(patient: &Patient) -> Vec<Finding> {
    let settings = &patient.settings.broker;
    if settings.url.is_empty() {
        return Vec::new();
    }
    let place = settings.url.clone();
    let mut findings = Vec::new();
    let mode = std::fs::metadata(&settings.password_file).map(|metadata| metadata.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o007 != 0) {
        let file = settings.password_file.display().to_string();
        findings
            .push(Finding::warning("broker", file.clone(), "every user may read the password").next(format!("chmod 640 {file}")));
    }
    match patient.runtime.block_on(inspect(settings)) {
        Err(InspectionError::Settings(error)) => {
            findings.push(Finding::failed("broker", "[broker]", error.to_string()).caused_by(Cause::Settings));
        }
        Err(error) => {
            let cause = if error.is_down() { Cause::DependencyDown } else { Cause::Check };
            findings.push(
                Finding::failed("broker", place, error.to_string())
                    .because("what it has for this service stays there until its own limits are reached")
                    .next("look whether it runs, listens at this address, speaks MQTT 5 and knows the user")
                    .caused_by(cause),
            );
        }
        Ok(limits) => findings.extend(judge(patient, &place, &limits)),
    }
    findings
}

fn judge(patient: &Patient, place: &str, limits: &BrokerLimits) -> Vec<Finding> {
    let settings = &patient.settings.broker;
    let version = limits.version.as_deref().unwrap_or("a broker that does not say its name");
    let seen = format!("{version}: {} in flight, QoS {} at most", limits.receive_maximum, limits.maximum_qos);
    let mut findings = vec![if limits.receive_maximum <= MOSQUITTO_INFLIGHT {
        Finding::warning("broker", place, seen)
            .because(format!(
                "{MOSQUITTO_INFLIGHT} in flight is mosquitto's default, so probably it also keeps only {MOSQUITTO_QUEUE} messages \
                 for a service that is away, 3 s of 10,000 vehicles at 30 s, and then drops what it acknowledged"
            ))
            .next("set max_inflight_messages and max_queued_messages as in config/mosquitto.conf")
            .breaks("R5")
    } else {
        Finding::ok("broker", place, format!("{seen}; how much it queues cannot be seen from outside"))
    }];
    if let Some(dropped) = limits.messages_dropped.filter(|dropped| *dropped > 0) {
        findings.push(
            Finding::warning("broker", place, format!("it has dropped {dropped} messages since it started ($SYS)"))
                .because("a queue of one of its clients was full; if it was ours, readings are lost before us")
                .next("raise max_queued_messages as in config/mosquitto.conf"),
        );
    }
    if limits.session_expiry < limits.asked_session_expiry {
        let hours = |duration: Duration| duration.as_secs() / 3_600;
        let what = format!(
            "it keeps sessions {} h, {} h are asked for",
            hours(limits.session_expiry),
            hours(limits.asked_session_expiry)
        );
        findings.push(
            Finding::warning("broker", place, what)
                .because("a service that is away longer loses what came meanwhile")
                .next("raise the limit (persistent_client_expiration in mosquitto)"),
        );
    }
    let largest = patient.settings.ingest.max_payload.bytes();
    if let Some(bytes) = limits.max_packet_bytes.filter(|bytes| u64::from(*bytes) < largest) {
        findings.push(
            Finding::warning("broker", place, format!("it takes packets of {bytes} bytes at most"))
                .because(format!("`ingest.max_payload` admits {largest}: larger batches of vehicles fail at the broker"))
                .next("raise it there (message_size_limit in mosquitto), or have vehicles send less at once"),
        );
    }
    let broken = [
        (limits.maximum_qos == 0, "it has no QoS 1", "nothing it takes is ever sent twice, so a crash loses readings"),
        (!limits.wildcards, "it has no wildcard subscriptions", "the subscription has a + in it"),
        (
            !settings.share_group.is_empty() && !limits.shared_subscriptions,
            "it has no shared subscriptions",
            "`broker.share_group` is set",
        ),
    ];
    let broken = broken.into_iter().filter(|(is_so, ..)| *is_so);
    findings.extend(broken.map(|(_, what, why)| Finding::failed("broker", place, what).because(why).next("use another broker")));
    findings
}
