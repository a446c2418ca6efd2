//! `odograph model annotate`: a contract from a JSON file into an ONNX file, without Python.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;

use super::{read, table_of, write_whole};
use crate::analytics::contract::{Contract, PREFIX};
use crate::analytics::onnx_file::{metadata_of, with_metadata};

#[derive(Debug, Clone, Args)]
pub struct AnnotateArgs {
    /// An ONNX file; a contract that is in it already is replaced
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// JSON: an object with the keys of a contract (see `odograph model describe --json` for an example)
    #[arg(long, value_name = "FILE")]
    contract: PathBuf,
    /// Where to write (default: over FILE)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Settings whose signals the features may name (default: the built-in signals)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub fn run(args: &AnnotateArgs) -> anyhow::Result<ExitCode> {
    let file = read(&args.file)?;
    // What is not safe to load is not worth a contract.
    metadata_of(&file)?;
    let entries = entries_of(&args.contract)?;
    let contract = Contract::read(&entries, &table_of(args.config.as_ref())?)
        .with_context(|| format!("{} is no whole contract", args.contract.display()))?;
    let out = args.out.as_ref().unwrap_or(&args.file);
    write_whole(out, &with_metadata(&file, PREFIX, &entries)?)?;
    eprintln!("{} {} stands in {}; next: odograph model check {}", contract.name, contract.version, out.display(), out.display());
    Ok(ExitCode::SUCCESS)
}

/// Keys with their prefix, values as they stand in a model file. What `describe --json` prints is taken too.
fn entries_of(path: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let json: Value = serde_json::from_slice(&read(path)?).with_context(|| format!("{} is no JSON", path.display()))?;
    let object = match json {
        Value::Object(mut object) => match object.remove("contract") {
            Some(Value::Object(inner)) => inner,
            Some(version) => {
                object.insert("contract".to_owned(), version);
                object
            }
            None => object,
        },
        _ => bail!("{} is no JSON object", path.display()),
    };
    let entry = |(key, value): (String, Value)| {
        let text = match value {
            Value::String(text) => text,
            value => value.to_string(),
        };
        (format!("{PREFIX}{}", key.trim_start_matches(PREFIX)), text)
    };
    Ok(object.into_iter().map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contract_that_was_described_can_be_written_into_the_bare_graph_again() {
        let folder = tempfile::tempdir().unwrap();
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models");
        let whole = read(&models.join("autoencoder.onnx")).unwrap();
        let before = metadata_of(&whole).unwrap();
        let values = before.iter().map(|(key, text)| {
            let value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str()));
            let is_text = ["contract", "version"].iter().any(|plain| key.ends_with(plain));
            (key.trim_start_matches(PREFIX).to_owned(), if is_text { Value::from(text.as_str()) } else { value })
        });
        let contract = folder.path().join("contract.json");
        std::fs::write(&contract, Value::Object(values.collect()).to_string()).unwrap();
        let out = folder.path().join("out.onnx");
        let args = AnnotateArgs {
            file: models.join("no_contract.onnx"),
            contract: contract.clone(),
            out: Some(out.clone()),
            config: None,
        };
        run(&args).unwrap();
        let table = crate::domain::SignalTable::default();
        let read_contract = |metadata: &BTreeMap<String, String>| Contract::read(metadata, &table).unwrap();
        let after = metadata_of(&read(&out).unwrap()).unwrap();
        // Missing fills are NaN, which equals nothing: compare the words.
        assert_eq!(format!("{:?}", read_contract(&after)), format!("{:?}", read_contract(&before)));

        std::fs::write(&contract, r#"{"name": "half"}"#).unwrap();
        let error = run(&args).unwrap_err();
        assert!(format!("{error:#}").contains("odograph.contract is missing"), "{error:#}");
        assert_eq!(metadata_of(&read(&out).unwrap()).unwrap(), after, "the file stays as it was");
    }
}
