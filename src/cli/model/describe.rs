//! `odograph model describe`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::{read, table_of};
use crate::analytics::contract::{Contract, KEYS, Kind, PREFIX};
use crate::analytics::features::{Group, describe};
use crate::analytics::onnx_file::metadata_of;
use crate::domain::SignalTable;

const SCHEMA_VERSION: u32 = 1;

#[derive(Debug, Clone, Args)]
pub struct DescribeArgs {
    /// An ONNX file with its contract inside
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Settings whose signals the features may name (default: the built-in signals)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The whole contract as JSON, as `odograph model annotate` takes it
    #[arg(long)]
    json: bool,
}

pub fn run(args: &DescribeArgs) -> anyhow::Result<ExitCode> {
    let table = table_of(args.config.as_ref())?;
    let metadata = metadata_of(&read(&args.file)?)?;
    let contract = Contract::read(&metadata, &table)?;
    if args.json {
        let parsed = |key: &&str| {
            let text = metadata.get(&format!("{PREFIX}{key}"))?;
            // Names and versions may look like JSON and are not.
            let is_text = matches!(*key, "contract" | "name" | "version" | "description" | "author" | "license");
            let value = if is_text { Value::from(text.as_str()) } else { serde_json::from_str(text).ok()? };
            Some(((*key).to_owned(), value))
        };
        let all: serde_json::Map<String, Value> = KEYS.iter().filter_map(parsed).collect();
        println!("{}", serde_json::to_string_pretty(&json!({"schema_version": SCHEMA_VERSION, "contract": all}))?);
    } else {
        let training = metadata.get(&format!("{PREFIX}training")).map(String::as_str);
        print!("{}", as_text(&contract, &table, training));
    }
    Ok(ExitCode::SUCCESS)
}

fn as_text(contract: &Contract, table: &SignalTable, training: Option<&str>) -> String {
    let mut text = format!("{} {}\n", contract.name, contract.version);
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            let _never_fails = writeln!(text, "{name:<12} {value}");
        }
    };
    line("", contract.description.clone());
    line("author", contract.author.clone());
    line("license", contract.license.clone());
    let all = |list: &[String]| if list.is_empty() { "all".to_owned() } else { list.join(", ") };
    line(
        "applies to",
        format!("classes: {}; powertrains: {}", all(&contract.applies_to.classes), all(&contract.applies_to.powertrains)),
    );
    let requires = contract.requires;
    let gap = requires.max_gap.map_or_else(String::new, |gap| format!(", no gap over {} s", gap.as_secs()));
    line("requires", format!("{} readings, at most {} values missing{gap}", requires.min_readings, requires.max_missing));
    line("score", score(contract));
    line("calibration", calibration(contract));
    line("alerts", alerts(contract));
    line("training", training.unwrap_or_default().to_owned());
    let input = contract.window.map_or_else(
        || format!("{} features", contract.features.len()),
        |grid| {
            format!(
                "{} signals over {} steps of {} s, none older than {} s",
                contract.features.len(),
                grid.steps,
                grid.step.as_secs(),
                grid.max_age.as_secs()
            )
        },
    );
    line("input", input);
    let known = describe(table);
    for (index, name) in contract.features.iter().enumerate() {
        let fill =
            if contract.fill[index].is_nan() { "stays missing".to_owned() } else { format!("else {}", contract.fill[index]) };
        let meaning = known.iter().find(|known| known.name == *name).map_or("", |known| known.meaning.as_str());
        let _never_fails = writeln!(text, "  {:<10} {name} ({fill}) {meaning}", Group::of_feature(name, table).word());
    }
    text
}

fn score(contract: &Contract) -> String {
    let kind = match &contract.kind {
        Kind::Score => "a score",
        Kind::Reconstruction { .. } => "a reconstruction: mean of ((x - x̂) / spread)² over present values",
        Kind::Probability { .. } => "a probability",
    };
    let sense = if contract.higher_is_anomalous { "higher" } else { "lower" };
    format!("output {:?} is {kind}; {sense} is more anomalous", contract.output)
}

fn calibration(contract: &Contract) -> String {
    contract.calibration.as_ref().map_or_else(
        || "none: the probability is the score".to_owned(),
        |calibration| format!("tells tail probabilities down to {:.1e}", calibration.resolution()),
    )
}

fn alerts(contract: &Contract) -> String {
    contract.alert.as_ref().map_or_else(
        || "as analytics.alert of the settings says".to_owned(),
        |limits| {
            let persistence = limits.persistence;
            format!(
                "raw score {} opens when {} of {} readings reach it, {} holds; closes after {} s of calm",
                limits.open,
                persistence.raised,
                persistence.of,
                limits.close,
                persistence.calm_for.as_secs()
            )
        },
    )
}
