//! The floors and the library fences of ARCHITECTURE.md, read from the source text.

use std::fs;
use std::path::{Path, PathBuf};

/// A module may name modules of lower floors, its own, and from floor 1 up the shared ones. Analytics, storage, live and alerts
/// never name each other.
const FLOORS: &[(&str, u8)] = &[
    ("domain", 0),
    ("wire", 1),
    ("journal", 1),
    ("analytics", 2),
    ("storage", 2),
    ("live", 2),
    ("alerts", 2),
    ("ingest", 3),
    ("evaluation", 3),
    ("fleet", 3),
    ("simulator", 3),
    ("dashboard", 4),
    ("rpc", 4),
    ("configuration", 5),
    ("backup", 5),
    ("bench", 5),
    ("assembly", 5),
    ("logging", 5),
    ("cli", 5),
    ("lib", 5),
    ("main", 5),
];
const SHARED: &[&str] = &["settings", "metrics", "slo", "tasks", "clock", "crash_point", "tls"];
/// Journal records are wire forms: floor 1 stands in this order.
const ALLOWED_ON_ONE_FLOOR: &[(&str, &str)] = &[
    ("journal", "wire"),
    ("cli", "assembly"),
    ("cli", "backup"),
    ("cli", "bench"),
    ("cli", "configuration"),
    ("assembly", "configuration"),
    ("cli", "logging"),
    ("main", "cli"),
];

/// Where each library may be named; a path prefix below `src/`.
const FENCES: &[(&str, &[&str])] = &[
    ("ort", &["analytics/model"]),
    ("sqlx", &["storage/", "alerts/outbox"]),
    ("redis", &["live/", "alerts/"]),
    ("mqtt5", &["ingest/"]),
    ("rumqttc", &["ingest/", "simulator/", "bench/"]),
    ("prost", &["wire/", "rpc/", "analytics/onnx"]),
    ("parquet", &["wire/history"]),
    ("tonic", &["rpc/", "tls/incoming"]),
    ("tokio_rustls", &["tls/"]),
    ("rustls_native_certs", &["tls/"]),
    ("x509_parser", &["tls/"]),
    ("rcgen", &["cli/pki/authority", "tls/tests", "tls/judged_tests"]),
    ("argon2", &["ingest/passwords"]),
    ("governor", &["ingest/quota"]),
    ("rstar", &["domain/fence", "analytics/fences"]),
    ("robust", &["domain/fence/plane"]),
    ("axum", &["dashboard/", "ingest/uplink", "assembly"]),
    ("odograph_training", &["cli/train"]),
    ("linfa", NOWHERE),
    ("linfa_clustering", NOWHERE),
    ("linfa_reduction", NOWHERE),
    (
        "utoipa",
        &[
            "dashboard/",
            "ingest/",
            "wire/alert_json",
            "wire/schemas",
            "journal/damage",
            "domain/quality",
            "domain/vehicle_record",
        ],
    ),
    ("utoipa_axum", &["dashboard/", "ingest/uplink"]),
];

/// In `training/linfa` only.
const NOWHERE: &[&str] = &[];

struct Source {
    /// Below `src/`, such as `wire/record.rs`.
    path: String,
    text: String,
}

impl Source {
    fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap();
        first.trim_end_matches(".rs")
    }
}

fn sources() -> Vec<Source> {
    sources_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

fn sources_below(root: &Path) -> Vec<Source> {
    let mut folders = vec![root.to_owned()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                sources.push(Source { path: path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), text });
            }
        }
    }
    assert!(sources.len() >= 10, "the source tree was found");
    sources
}

/// Code without comments and without the tests at the end of a file: tests may look further.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    lines.take_while(|(_, line)| !line.starts_with("#[cfg(test)]")).filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn floor(module: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

#[test]
fn a_module_imports_only_from_floors_below_it() {
    let mut broken = Vec::new();
    for source in sources() {
        let from = source.module();
        if SHARED.contains(&from) {
            continue;
        }
        let Some(own) = floor(from) else {
            broken.push(format!("src/{}: module {from} has no floor in tests/it/floors.rs", source.path));
            continue;
        };
        for (line, text) in code(&source.text) {
            for named in text.split("crate::").skip(1) {
                let to = named.split(|character: char| !character.is_alphanumeric() && character != '_').next().unwrap();
                let is_shared = SHARED.contains(&to) && own >= 1;
                let is_allowed = to == from || is_shared || ALLOWED_ON_ONE_FLOOR.contains(&(from, to));
                if !is_allowed && floor(to).is_some_and(|floor| floor >= own) {
                    broken.push(format!("src/{}:{line}: {from} (floor {own}) may not import {to}", source.path));
                }
                if own == 0 && SHARED.contains(&to) {
                    broken.push(format!("src/{}:{line}: the domain may not import {to}", source.path));
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn each_library_stays_behind_its_fence() {
    let mut broken = Vec::new();
    for source in sources() {
        for (line, text) in code(&source.text) {
            for (library, allowed) in FENCES {
                let names_it = text.split(&format!("{library}::")).count() > 1
                    && !text
                        .split(&format!("{library}::"))
                        .next()
                        .unwrap()
                        .ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == ':');
                if names_it && !allowed.iter().any(|prefix| source.path.starts_with(prefix)) {
                    broken.push(format!("src/{}:{line}: {library} belongs in {allowed:?}", source.path));
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn the_trainer_takes_slices_and_knows_nothing_of_this_program() {
    let trainer = Path::new(env!("CARGO_MANIFEST_DIR")).join("training/linfa");
    let manifest = fs::read_to_string(trainer.join("Cargo.toml")).unwrap();
    let libraries: Vec<&str> = manifest.lines().filter_map(|line| line.split_once(" = {")).map(|(name, _)| name).collect();
    assert!(libraries.contains(&"linfa") && !libraries.contains(&"odograph"), "{libraries:?}");
    for source in sources_below(&trainer.join("src")) {
        assert!(!source.text.contains("odograph::"), "training/linfa/src/{}", source.path);
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    let trainer = Path::new(env!("CARGO_MANIFEST_DIR")).join("training/linfa/src");
    let all = sources().into_iter().chain(sources_below(&trainer));
    let silent: Vec<String> = all.filter(|source| !source.text.starts_with("//!")).map(|source| source.path).collect();
    assert!(silent.is_empty(), "these files do not begin with `//!`: {silent:?}");
}
