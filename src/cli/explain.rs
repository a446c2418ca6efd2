//! `odograph explain`: judges the reading that opened an alert again, with the rules, fences and models of that time, and says whether
//! the same comes out.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, ensure};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Exit, Failure};
use crate::analytics::library::find_library;
use crate::analytics::offline::OfflineLane;
use crate::configuration::Configuration;
use crate::domain::{Alert, AlertId, Assessment, Timestamp};
use crate::settings::{Interval, Settings, Sources};
use crate::storage::{ReadingsQuery, SharedArchive, VehicleRegister};

const SCHEMA_VERSION: u32 = 1;
const PAGE: u32 = 10_000;

#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// Id of an alert, 16 hexadecimal digits, as the page and the API show it
    alert: AlertId,
    /// Settings file of the installation
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data folder of the installation [default: odograph-data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// How far before the alert its vehicle's history is judged again: rules that remember more than this may differ
    #[arg(long, value_name = "DURATION", default_value = "7d")]
    history: Interval,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Explanation {
    schema_version: u32,
    alert_id: String,
    vehicle_id: String,
    alert_key: String,
    summary: String,
    configuration: u64,
    models: Vec<Value>,
    opened_by: Timestamp,
    /// Readings that were judged again, the opening one included.
    readings: usize,
    stored: Value,
    recomputed: Value,
    /// Bit for bit.
    identical: bool,
    /// Judged again, the same alert opened.
    opened_again: bool,
}

/// # Errors
/// Where the archive cannot be read, or what judged is not kept.
pub async fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let flags = args.data.clone().map(|data| ("data", "--data", data)).into_iter().collect();
    let sources = Sources { file: args.config.clone(), environment: Settings::environment(), flags };
    let settings = Settings::load(&sources).map_err(Failure::from)?;
    let table = Arc::new(crate::settings::signal_table(&settings.signals));
    let store = super::archive(&settings, table).await?;
    let archive: SharedArchive = store.clone();
    let alert = archive.alert(args.alert).await?.with_context(|| format!("the archive has no alert {}", args.alert))?;
    let explanation = explain(&alert, args, &settings, &archive).await?;
    store.close().await;
    if args.json {
        println!("{}", serde_json::to_string(&explanation)?);
    } else {
        print(&explanation, &alert);
    }
    Ok(if explanation.identical { ExitCode::SUCCESS } else { ExitCode::from(Exit::CheckFailed as u8) })
}

async fn explain(alert: &Alert, args: &ExplainArgs, settings: &Settings, archive: &SharedArchive) -> anyhow::Result<Explanation> {
    let revision = alert.opened_by.configuration;
    let configuration = Configuration::load(revision, archive).await?;
    let library = find_library(&settings.analytics.onnxruntime);
    let mut blueprint = configuration.blueprint(revision, archive, library).await?;
    let register = VehicleRegister::open(archive.clone()).await?;
    blueprint.records.of = Arc::new(move |id| register.get(id));
    let mut history = history(alert, args.history, archive).await?;
    let opening = history.pop().context("the reading that opened the alert is no longer in the archive")?;
    ensure!(
        opening.arrival == alert.opened_by.arrival && opening.reading.fingerprint == alert.opened_by.fingerprint,
        "the reading that opened the alert is no longer in the archive"
    );
    let mut lane = OfflineLane::new(blueprint.parts(1)?.pop().expect("one was asked for"));
    let readings = history.len() + 1;
    let mut opened_again = false;
    let mut note = |event: &crate::domain::AlertEvent| opened_again |= event.alert.alert_id == alert.alert_id;
    for assessment in history {
        lane.push(assessment.reading, &mut note);
    }
    lane.finish(&mut note);
    lane.push(opening.reading.clone(), &mut note);
    lane.finish(&mut note);
    let again = lane.newest().pop().context("the reading was not judged again: it is no longer in order")?;
    Ok(Explanation {
        schema_version: SCHEMA_VERSION,
        alert_id: alert.alert_id.to_string(),
        vehicle_id: alert.vehicle_id.to_string(),
        alert_key: alert.key.to_string(),
        summary: alert.summary.to_string(),
        configuration: revision,
        models: configuration.models.iter().map(|model| json!({"origin": model.origin, "sha256": model.sha256})).collect(),
        opened_by: opening.reading.recorded_at,
        readings,
        identical: is_same(&opening, &again),
        stored: judgement(&opening),
        recomputed: judgement(&again),
        opened_again,
    })
}

/// In the order of arrival, up to the reading that opened the alert.
async fn history(alert: &Alert, length: Interval, archive: &SharedArchive) -> anyhow::Result<Vec<Assessment>> {
    let opened_by = alert.opened_by;
    let mut query = ReadingsQuery {
        vehicle_id: alert.vehicle_id.clone(),
        from: Some(opened_by.recorded_at.minus(length.duration())),
        to: None,
        after: None,
        limit: PAGE,
    };
    let mut all = Vec::new();
    loop {
        let page = archive.readings(&query).await?.context("the archive has no reading of this vehicle")?;
        all.extend(page.readings.into_iter().filter(|assessment| assessment.arrival <= opened_by.arrival));
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    all.sort_by_key(|assessment| assessment.arrival);
    Ok(all)
}

fn is_same(stored: &Assessment, again: &Assessment) -> bool {
    let bits = |assessment: &Assessment| -> Vec<_> {
        let scores = assessment.scores.iter();
        scores.map(|score| (score.model.clone(), score.version.clone(), score.raw.to_bits(), score.score.to_bits())).collect()
    };
    bits(stored) == bits(again) && stored.findings == again.findings && stored.not_scored == again.not_scored
}

fn judgement(assessment: &Assessment) -> Value {
    let scores = assessment.scores.iter().map(|score| {
        json!({"model": &*score.model, "version": &*score.version, "score": score.score, "raw": score.raw, "raw_bits": format!("{:08x}", score.raw.to_bits())})
    });
    let findings = assessment.findings.iter().map(|finding| {
        json!({"key": finding.key.as_str(), "severity": finding.severity.code(), "raised": finding.is_raised, "value": finding.value, "limit": finding.limit})
    });
    json!({
        "scores": scores.collect::<Vec<_>>(),
        "not_scored": assessment.not_scored.map(crate::domain::NotScored::code),
        "findings": findings.collect::<Vec<_>>(),
    })
}

fn print(explanation: &Explanation, alert: &Alert) {
    let Explanation { alert_id, vehicle_id, alert_key, summary, configuration, opened_by, readings, .. } = explanation;
    println!("{alert_id}  {vehicle_id}  {alert_key}: {summary}");
    println!("opened by the reading of {opened_by}, judged by configuration {configuration}; {readings} readings judged again");
    for model in &explanation.models {
        println!(
            "  model {} sha256 {}",
            model["origin"].as_str().unwrap_or_default(),
            model["sha256"].as_str().unwrap_or_default()
        );
    }
    for part in &alert.explanation {
        let number = |value: Option<f64>| value.map_or_else(|| "missing".to_owned(), |value| format!("{value:.4}"));
        println!(
            "  {:5.1} %  {} = {}, normally {}",
            part.contribution * 100.0,
            part.feature,
            number(part.value),
            number(part.normal)
        );
    }
    for (name, judged) in [("stored", &explanation.stored), ("recomputed", &explanation.recomputed)] {
        println!("  {name:<10} {judged}");
    }
    println!("{}", if explanation.identical { "the same, bit for bit" } else { "NOT the same" });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::record::tests::a_full_assessment;

    #[test]
    fn the_smallest_difference_of_a_judgement_is_one() {
        let stored = a_full_assessment();
        assert!(!stored.scores.is_empty() && !stored.findings.is_empty());
        assert!(is_same(&stored, &stored.clone()));
        let differs = |change: fn(&mut Assessment)| {
            let mut again = stored.clone();
            change(&mut again);
            !is_same(&stored, &again)
        };
        assert!(differs(|again| again.scores[0].raw = again.scores[0].raw.next_up()));
        assert!(differs(|again| again.scores[0].score = again.scores[0].score.next_down()));
        assert!(differs(|again| drop(again.scores.pop())));
        assert!(differs(|again| again.findings[0].is_raised = !again.findings[0].is_raised));
        assert!(differs(|again| again.not_scored = Some(crate::domain::NotScored::ClockFrozen)));
        assert!(!differs(|again| again.reading.received_at = Timestamp::default()), "when it came is no judgement");
    }
}
