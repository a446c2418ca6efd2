//! The delivery class of a deployment: what its form promises, less what a finding says does not hold here.

use serde::Serialize;

use super::finding::Finding;
use crate::settings::Settings;

/// What a form of deployment needs for a promise to mean anything.
#[derive(Clone, Copy, PartialEq, Eq)]
enum With {
    Anything,
    Postgres,
    Broker,
    Redis,
}

/// Those that have a test (README, *Promises*), in few words.
const PROMISES: &[(&str, &str, With)] = &[
    ("R1", "kill -9", With::Anything),
    ("R2", "power cut", With::Anything),
    ("R3", "archive away", With::Postgres),
    ("R4", "Redis away", With::Redis),
    ("R5", "broker restarts", With::Broker),
    ("R6", "bad input", With::Anything),
    ("R7", "duplicates and reordering", With::Anything),
    ("R8", "wrong clocks", With::Anything),
    ("R11", "full disk", With::Anything),
    ("R12", "flipped bit", With::Anything),
    ("R13", "stop under load", With::Anything),
];

#[derive(Debug, Serialize)]
pub struct DeliveryClass {
    pub sentence: String,
    holds: Vec<&'static str>,
    /// Findings say why.
    broken: Vec<&'static str>,
}

impl DeliveryClass {
    pub fn of(settings: &Settings, findings: &[Finding]) -> Self {
        let has_postgres = settings.archive.url.starts_with("postgres");
        let has_broker = !settings.broker.url.is_empty();
        let applies = |with| match with {
            With::Anything => true,
            With::Postgres => has_postgres,
            With::Broker => has_broker,
            With::Redis => settings.live.url.redis().is_some(),
        };
        let is_broken = |id: &str| findings.iter().any(|finding| finding.breaks == Some(id));
        let promises = PROMISES.iter().filter(|(.., with)| applies(*with));
        let (broken, holds): (Vec<_>, Vec<_>) = promises.partition(|(id, ..)| is_broken(id));
        let words = |promises: &[&(&str, &str, With)]| {
            promises.iter().map(|(id, words, _)| format!("{id} ({words})")).collect::<Vec<_>>().join(", ")
        };
        let archive = if has_postgres { " until the server has it" } else { "" };
        let from_where = if has_broker {
            "; through the broker from there on, and as long as its queue for this service is not full"
        } else {
            ""
        };
        let holding = words(&holds);
        let not = if broken.is_empty() { String::new() } else { format!(", but not {}", words(&broken)) };
        let sentence = format!(
            "at least once from a QoS 1 publisher to the archive, each reading stored once, acknowledged when it is on this machine's \
             disk, and on no other{archive}{from_where}; {holding} hold{not}."
        );
        let ids = |promises: Vec<&(&'static str, &str, With)>| promises.iter().map(|(id, ..)| *id).collect();
        Self { sentence, holds: ids(holds), broken: ids(broken) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_promises_are_named_that_the_readme_has_a_test_for() {
        let readme = include_str!("../../../README.md");
        for (id, ..) in PROMISES {
            let line = readme.lines().find(|line| line.starts_with(&format!("| {id}:")) || line.starts_with(&format!("| {id},")));
            assert!(line.is_some_and(|line| line.contains(".rs") || line.contains("src/")), "{id}");
        }
    }

    #[test]
    fn a_finding_takes_a_promise_away_and_a_form_adds_its_own() {
        let mut settings = Settings::default();
        let plain = DeliveryClass::of(&settings, &[]);
        assert!(
            plain.sentence.contains("R2 (power cut)") && !plain.sentence.contains("R3") && !plain.sentence.contains("R4"),
            "{}",
            plain.sentence
        );
        settings.archive.url = "postgres://h/d".to_owned();
        settings.broker.url = "mqtt://h".to_owned();
        settings.live.url = "redis://h".to_owned().try_into().unwrap();
        let finding = Finding::warning("archive", "here", "fsync is off").breaks("R2");
        let more = DeliveryClass::of(&settings, &[finding]);
        assert!(more.sentence.ends_with("hold, but not R2 (power cut)."), "{}", more.sentence);
        assert!(
            more.holds.contains(&"R3") && more.holds.contains(&"R4") && more.holds.contains(&"R5") && more.broken == ["R2"],
            "{more:?}"
        );
    }
}
