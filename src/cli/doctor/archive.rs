//! What the archive says about itself, a file or a server.

use std::time::Duration;

use super::Patient;
use super::finding::{Cause, Finding};
use crate::clock;
use crate::settings::signal_table;
use crate::storage::{self, ArchiveAddress, ArchiveInspection, ServerInspection};

/// Beyond it a vehicle's reading counts as future; so does ours.
const CLOCK_TOLERANCE: Duration = Duration::from_mins(2);
/// So far apart two machines with a time service never are.
const SERVER_CLOCK_TOLERANCE_MICROS: u64 = 1_000_000;
const MOST_NAMES: usize = 8;

pub fn archive(patient: &Patient) -> Vec<Finding> {
    let settings = &patient.settings;
    let address = match ArchiveAddress::read(&settings.archive.url, &settings.data) {
        Ok(address) => address,
        Err(error) => {
            return vec![
                Finding::failed("archive", "archive.url", error.to_string())
                    .because("the service refuses to start with it")
                    .next("mend it; odograph.toml shows the forms")
                    .caused_by(Cause::Settings),
            ];
        }
    };
    let place = match &address {
        ArchiveAddress::Sqlite(file) => file.display().to_string(),
        ArchiveAddress::Postgres(connector, _) => connector.to_string(),
    };
    let found = match patient.runtime.block_on(storage::inspect(&address)) {
        Ok(Some(found)) => found,
        Ok(None) => return vec![Finding::ok("archive", place, "is not there yet; odograph run makes it")],
        Err(error) => {
            let next = match &address {
                ArchiveAddress::Sqlite(_) => "look at the file and its disk, or name another one in `archive.url`",
                ArchiveAddress::Postgres(..) => {
                    "look whether the server runs, listens there, knows user and database, and has a connection left"
                }
            };
            return vec![
                Finding::failed("archive", place, error.to_string())
                    .because("readings stay in the journal until they are stored; at `journal.max` acknowledging stops")
                    .next(next)
                    .caused_by(Cause::DependencyDown),
            ];
        }
    };
    let mut findings = vec![schema(&place, &found)];
    if found.newest_received_at.is_some_and(|newest| newest > clock::now().plus(CLOCK_TOLERANCE)) {
        findings.push(
            Finding::warning("clock", place.clone(), "the newest reading came in after what is now")
                .because("the clock of this machine went back; new readings will be flagged as ahead of time")
                .next("look at the time service (timedatectl)"),
        );
    }
    findings.extend(found.server.as_ref().into_iter().flat_map(|server| judge(patient.is_running, &place, server)));
    findings.extend(undeclared(patient, place, &found.extras));
    findings
}

fn schema(place: &str, found: &ArchiveInspection) -> Finding {
    let ArchiveInspection { engine, expected_schema, .. } = found;
    let what = |schema: &str| format!("{engine}, schema {schema}");
    match found.schema {
        None if found.server.is_some() => Finding::ok("archive", place, what("none yet; odograph run makes it")),
        None => Finding::warning("archive", place, what("none"))
            .because("it is no archive yet, or another program's file")
            .next("odograph run makes the schema; look at `archive.url` if that is not meant"),
        Some(schema) if schema > *expected_schema => Finding::failed("archive", place, what(&schema.to_string()))
            .because(format!("this version knows schema {expected_schema} and will not touch a newer one"))
            .next("start the version that wrote it, or a newer one"),
        Some(schema) if schema < *expected_schema => Finding::warning("archive", place, what(&schema.to_string()))
            .because(format!("this version has schema {expected_schema}"))
            .next("the next start brings it up to date; make a backup before, there is no way back"),
        Some(schema) => Finding::ok("archive", place, what(&schema.to_string())),
    }
}

fn judge(is_running: bool, place: &str, server: &ServerInspection) -> Vec<Finding> {
    let mut findings = Vec::new();
    if server.is_read_only {
        findings.push(
            Finding::failed("archive", place, "the server takes no changes")
                .because("it is a standby, or read-only by default: nothing is stored, and at `journal.max` acknowledging stops")
                .next("name the primary in `archive.url`, or look at default_transaction_read_only")
                .caused_by(Cause::DependencyDown),
        );
    }
    if !server.is_durable {
        findings.push(
            Finding::warning("archive", place, "the server runs with fsync or synchronous_commit off")
                .because("the journal forgets what the archive says it has: a power cut there loses acknowledged readings")
                .next("set both to on in postgresql.conf")
                .breaks("R2"),
        );
    }
    let ServerInspection { connections_admitted, connections_open, connections_wanted, .. } = *server;
    let what = format!("{connections_open} of {connections_admitted} connections are open (max_connections)");
    // A service that runs has its own already, and one of those is the doctor's.
    let is_short = !is_running && connections_open - 1 + connections_wanted > connections_admitted;
    findings.push(if is_short {
        Finding::warning("archive", place, what)
            .because(format!("the service opens up to {connections_wanted}; without one of its own nothing is stored"))
            .next("raise max_connections, or end who does not need theirs (pg_stat_activity)")
    } else {
        Finding::ok("archive", place, what)
    });
    #[expect(clippy::cast_precision_loss, reason = "shown in seconds")]
    let seconds = server.clock_ahead_micros as f64 / 1e6;
    let what = format!("the server's clock is {:.3} s {} ours", seconds.abs(), if seconds < 0.0 { "behind" } else { "ahead of" });
    findings.push(if server.clock_ahead_micros.unsigned_abs() > SERVER_CLOCK_TOLERANCE_MICROS {
        Finding::warning("clock", place, what)
            .because("one of them is wrong; if it is ours, readings are flagged as delayed or ahead of time")
            .next("look at the time service of both machines (timedatectl)")
    } else {
        Finding::ok("clock", place, what)
    });
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Verdict;

    fn worst(findings: &[Finding]) -> Verdict {
        findings.iter().map(|finding| finding.verdict).max().unwrap()
    }

    #[test]
    fn a_server_is_judged_by_its_clock_its_connections_and_what_it_keeps() {
        let good = ServerInspection {
            clock_ahead_micros: -900_000,
            connections_admitted: 97,
            connections_open: 92,
            connections_wanted: 6,
            is_read_only: false,
            is_durable: true,
        };
        let judged = |server: ServerInspection| judge(false, "here", &server);
        assert_eq!(worst(&judged(good.clone())), Verdict::Ok);
        assert_eq!(worst(&judged(ServerInspection { clock_ahead_micros: -1_100_000, ..good.clone() })), Verdict::Warning);
        let short = ServerInspection { connections_open: 93, ..good.clone() };
        assert_eq!(worst(&judged(short.clone())), Verdict::Warning);
        // It has them already.
        assert_eq!(worst(&judge(true, "here", &short)), Verdict::Ok);
        let careless = judged(ServerInspection { is_durable: false, ..good.clone() });
        assert_eq!((worst(&careless), careless[0].breaks), (Verdict::Warning, Some("R2")));
        assert_eq!(worst(&judged(ServerInspection { is_read_only: true, ..good })), Verdict::Failed);
    }

    #[test]
    fn a_schema_may_be_older_than_the_program_and_not_newer() {
        let judged = |found: Option<i64>| {
            let inspection = ArchiveInspection {
                engine: "SQLite 3".to_owned(),
                schema: found,
                expected_schema: 7,
                newest_received_at: None,
                extras: Vec::new(),
                server: None,
            };
            schema("here", &inspection).verdict
        };
        assert_eq!(
            [Some(8), Some(7), Some(6), None].map(judged),
            [Verdict::Failed, Verdict::Ok, Verdict::Warning, Verdict::Warning]
        );
    }
}
