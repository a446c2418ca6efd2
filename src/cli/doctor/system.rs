//! What the machine admits and has: open files, the library of ONNX Runtime, and the models.

use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};

use super::Patient;
use super::finding::Finding;
use crate::analytics::library::find_library;
use crate::analytics::model::Runtime;
use crate::assembly;
use crate::cli::model::check;
use crate::cli::run::files_wanted;

pub fn open_files(patient: &Patient) -> Vec<Finding> {
    let wanted = files_wanted(patient.settings.mqtt.max_connections);
    // The service raises the soft limit itself.
    let admitted = getrlimit(Resource::Nofile).maximum;
    let what = match admitted {
        None => "no limit of open files".to_owned(),
        Some(files) => format!("the hard limit is {files} open files, {wanted} are wanted"),
    };
    vec![match admitted {
        Some(files) if files < wanted => Finding::warning("open files", "ulimit -Hn", what)
            .because(format!(
                "each vehicle takes one, `mqtt.max_connections` is {}: later ones would not get in",
                patient.settings.mqtt.max_connections
            ))
            .next("raise it (LimitNOFILE= of systemd, ulimits of the container), or lower `mqtt.max_connections`"),
        _ => Finding::ok("open files", "ulimit -Hn", what),
    }]
}

pub fn models(patient: &Patient) -> Vec<Finding> {
    let analytics = &patient.settings.analytics;
    let none = analytics.models.iter().all(|path| path.as_path() == Path::new(assembly::NO_MODEL));
    if none && !analytics.models.is_empty() {
        return vec![Finding::ok("models", "analytics.models", "none are wanted: nothing is scored")];
    }
    let library = find_library(&analytics.onnxruntime);
    if let Err(error) = Runtime::load(&library) {
        return vec![
            Finding::failed("models", library.display().to_string(), format!("ONNX Runtime cannot be used: {error}"))
                .because("models run in it")
                .next("`make fetch` gets the right one; `analytics.onnxruntime` names another place"),
        ];
    }
    let mut findings = vec![Finding::ok("models", library.display().to_string(), "ONNX Runtime can be loaded")];
    if !analytics.models.is_empty() {
        let named = analytics.models.iter().filter(|path| path.as_path() != Path::new(assembly::NO_MODEL));
        findings.extend(named.map(|path| judge(path, path.display().to_string(), patient.config.as_ref())));
        return findings;
    }
    for model in assembly::shipped_models() {
        let name = format!("{} (part of the program)", model.origin.display());
        findings.push(match in_a_file(&model.file) {
            Ok(file) => judge(file.path(), name, patient.config.as_ref()),
            Err(error) => Finding::warning("models", name, format!("was not tried, no scratch file can be made: {error}")),
        });
    }
    findings
}

fn in_a_file(bytes: &[u8]) -> std::io::Result<tempfile::NamedTempFile> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), bytes)?;
    Ok(file)
}

fn judge(file: &Path, name: String, config: Option<&PathBuf>) -> Finding {
    let next = format!("odograph model check {}", file.display());
    let judgement = match check::judge(file, config) {
        Ok(judgement) => judgement,
        Err(error) => {
            return Finding::failed("models", name, format!("cannot be tried: {error:#}"))
                .because("the service would not start with it")
                .next("look at `analytics.models`");
        }
    };
    let said: Vec<String> = judgement.failed.iter().map(|(point, detail)| format!("{point}: {detail}")).collect();
    // How fast it is says as much about what else this machine does now.
    if judgement.failed.iter().any(|(point, _)| point != "speed") {
        return Finding::failed("models", name, said.join("; ")).because("it may not score live traffic").next(next);
    }
    if !said.is_empty() {
        return Finding::warning("models", name, said.join("; ")).because("it costs every reading").next(next);
    }
    if !judgement.notes.is_empty() {
        return Finding::warning("models", name, judgement.notes.join("; ")).next(next);
    }
    Finding::ok("models", name, "passes every point of `odograph model check`")
}
