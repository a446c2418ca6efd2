//! What stands beside the process: archive and broker. And what all of it together promises about delivery.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::Patient;
use super::finding::{Cause, Finding};
use crate::clock;
use crate::ingest::broker_inspection::{BrokerLimits, InspectionError, inspect};
use crate::settings::{Settings, signal_table};
use crate::storage;

/// Mosquitto's `max_inflight_messages` and `max_queued_messages` where nobody set them (mosquitto.conf(5)).
const MOSQUITTO_INFLIGHT: u16 = 20;
const MOSQUITTO_QUEUE: u32 = 1_000;
/// Beyond it a vehicle's reading counts as future; so does ours.
const CLOCK_TOLERANCE: Duration = Duration::from_mins(2);
const MOST_NAMES: usize = 8;

pub fn archive(patient: &Patient) -> Vec<Finding> {
    let Settings { data, archive, .. } = &patient.settings;
    let file = match storage::file_of(&archive.url, data) {
        Ok(file) => file,
        Err(error) => {
            return vec![Finding::failed("archive", "archive.url", error.to_string()).caused_by(Cause::Settings)];
        }
    };
    let place = file.display().to_string();
    if !file.exists() {
        return vec![Finding::ok("archive", place, "is not there yet; odograph run makes it")];
    }
    let found = match patient.runtime.block_on(storage::inspect(&file)) {
        Ok(found) => found,
        Err(error) => {
            return vec![
                Finding::failed("archive", place, error.to_string())
                    .because("readings stay in the journal until they are stored; at `journal.max` acknowledging stops")
                    .next("look at the file and its disk, or name another one in `archive.url`")
                    .caused_by(Cause::DependencyDown),
            ];
        }
    };
    let what = |schema: &str| format!("SQLite {}, schema {schema}", found.sqlite_version);
    let mut findings = vec![match found.schema {
        None => Finding::warning("archive", place.clone(), what("none"))
            .because("it is no archive yet, or another program's file")
            .next("odograph run makes the schema; look at `archive.url` if that is not meant"),
        Some(schema) if schema > found.expected_schema => Finding::failed("archive", place.clone(), what(&schema.to_string()))
            .because(format!("this version knows schema {} and will not touch a newer one", found.expected_schema))
            .next("start the version that wrote it, or a newer one"),
        Some(schema) if schema < found.expected_schema => Finding::warning("archive", place.clone(), what(&schema.to_string()))
            .because(format!("this version has schema {}", found.expected_schema))
            .next("the next start brings it up to date; copy the file before, there is no way back"),
        Some(schema) => Finding::ok("archive", place.clone(), what(&schema.to_string())),
    }];
    let now = clock::now();
    if found.newest_received_at.is_some_and(|newest| newest > now.plus(CLOCK_TOLERANCE)) {
        findings.push(
            Finding::warning("clock", place.clone(), "the newest reading came in after what is now")
                .because("the clock of this machine went back; new readings will be flagged as ahead of time")
                .next("look at the time service (timedatectl)"),
        );
    }
    findings.extend(undeclared(patient, place, &found.extras));
    findings
}

fn undeclared(patient: &Patient, place: String, extras: &[(String, i64)]) -> Option<Finding> {
    let table = signal_table(&patient.settings.signals);
    let unknown: Vec<String> = extras
        .iter()
        .filter(|(name, _)| table.find(name).is_none())
        .map(|(name, readings)| format!("{name} ({readings})"))
        .take(MOST_NAMES)
        .collect();
    if unknown.is_empty() {
        return None;
    }
    let what = format!("the newest readings have signals that nobody declared (in so many): {}", unknown.join(", "));
    Some(
        Finding::warning("signals", place, what)
            .because("they are kept beside the reading, but no rule and no model sees them")
            .next("declare them in `signals`, or mend the sender if a name is misspelt"),
    )
}

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

/// What this deployment promises, in the words of the README.
pub fn delivery_class(settings: &Settings) -> String {
    let door = "at least once from a QoS 1 publisher to the archive, each reading stored once; \
                an acknowledgement means that it is on this machine's disk, on that one disk only";
    if settings.broker.url.is_empty() {
        return format!("{door}.");
    }
    format!(
        "{door}. Through the broker: at least once from the broker to the archive, as long as its queue for this service is not full; \
         what it acknowledged to vehicles and did not yet hand over is as durable as the broker makes it."
    )
}
