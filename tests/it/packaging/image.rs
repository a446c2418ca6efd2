//! The Dockerfile, read as its builder reads it. There is no engine here: what is built is not looked at, what it is built of is.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use odograph::analytics::library::LIBRARY_FILE;
use odograph::settings::Settings;

use super::{config_check, is_pinned, read, root};
use crate::support::odograph;

/// One stage: its image, its name, and what follows.
struct Stage {
    image: String,
    name: String,
    instructions: Vec<(String, String)>,
}

impl Stage {
    fn all(&self, instruction: &str) -> Vec<&str> {
        self.instructions.iter().filter(|(known, _)| known == instruction).map(|(_, rest)| rest.as_str()).collect()
    }

    #[track_caller]
    fn the(&self, instruction: &str) -> &str {
        let all = self.all(instruction);
        assert_eq!(all.len(), 1, "{instruction} of {}", self.name);
        all[0]
    }

    fn variables(&self) -> Vec<(String, String)> {
        let all = self.all("ENV");
        let pairs = all.iter().flat_map(|line| line.split_whitespace()).filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

fn stages() -> Vec<Stage> {
    let text = read("Dockerfile");
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n");
    let joined = lines.replace("\\\n", " ");
    let mut stages: Vec<Stage> = Vec::new();
    for line in joined.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (instruction, rest) = line.split_once(' ').unwrap_or_else(|| panic!("no instruction: {line}"));
        if instruction == "FROM" {
            let [image, "AS", name] = rest.split(' ').collect::<Vec<_>>()[..] else { panic!("a stage has a name: {line}") };
            stages.push(Stage { image: image.to_owned(), name: name.to_owned(), instructions: Vec::new() });
            continue;
        }
        assert_eq!(instruction, instruction.to_uppercase(), "{line}");
        let rest = rest.split_whitespace().collect::<Vec<_>>().join(" ");
        stages.last_mut().expect("FROM comes first").instructions.push((instruction.to_owned(), rest));
    }
    stages
}

/// What the files of the repository are.
fn files() -> BTreeSet<String> {
    // What is not committed yet but would be belongs to it.
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Whether the builder is given this file: the rules of `.dockerignore`, of which the last that fits decides. Here they are `*`, and paths
/// with everything below them.
fn is_given(path: &str) -> bool {
    let rules = read(".dockerignore");
    let mut given = true;
    for rule in rules.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (is_in, pattern) = rule.strip_prefix('!').map_or((false, rule), |pattern| (true, pattern));
        let fits = match pattern.strip_prefix("**/") {
            Some(name) => path.split('/').any(|part| part == name),
            None => pattern == "*" || path == pattern || path.starts_with(&format!("{pattern}/")),
        };
        if fits {
            given = is_in;
        }
    }
    given
}

#[test]
fn the_image_is_built_of_pinned_bases_and_of_files_that_are_there() {
    let (stages, files) = (stages(), files());
    let names: Vec<&str> = stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(names, ["page", "onnxruntime", "build", "page-door", "run"], "the last one is what is built");
    let mut copied = BTreeSet::new();
    for (number, stage) in stages.iter().enumerate() {
        assert!(is_pinned(&stage.image), "{} is another image tomorrow", stage.image);
        assert!(stage.all("ADD").is_empty() && stage.all("ARG").is_empty(), "{}", stage.name);
        for copy in stage.all("COPY") {
            let parts: Vec<&str> = copy.split(' ').collect();
            if let Some(from) = parts[0].strip_prefix("--from=") {
                assert!(names[..number].contains(&from), "{copy}: no stage before it has this name");
                continue;
            }
            for source in &parts[..parts.len() - 1] {
                let below = format!("{source}/");
                let found: Vec<_> = files.iter().filter(|file| *file == source || file.starts_with(&below)).collect();
                assert!(!found.is_empty(), "{copy}: git has no {source}");
                assert!(found.iter().any(|file| is_given(file)), "{copy}: .dockerignore hides {source}");
                copied.extend(found.into_iter().filter(|file| is_given(file)).cloned());
            }
        }
        for instruction in ["ENV", "RUN", "LABEL"] {
            let said = stage.all(instruction).join(" ").to_lowercase();
            assert!(
                !["password", "secret", "token"].iter().any(|word| said.contains(word)),
                "a secret in {}: {said}",
                stage.name
            );
        }
    }
    // Cargo refuses a manifest whose targets are missing, and the compiler a source that includes what is not there.
    for file in files
        .iter()
        .filter(|file| file.starts_with("src/") && Path::new(file).extension().is_some_and(|extension| extension == "rs"))
    {
        assert!(copied.contains(file), "{file} is not in the build");
    }
    for file in
        ["Cargo.toml", "Cargo.lock", "build.rs", "Makefile", "proto/services.binpb", "training/linfa/build.rs", "benches/lane.rs"]
    {
        assert!(copied.contains(file), "{file} is not in the build");
    }
    // Nothing that a developer has lying about.
    for strange in
        [".env", "pki/authority.key", "odograph-data/journal/lock", "target/release/odograph", "src/dashboard/web/node_modules/x"]
    {
        assert!(!is_given(strange), "{strange} would be sent to the builder");
    }
    let rust = read("Cargo.toml")
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = ").map(|text| text.trim_matches('"').to_owned()));
    assert!(stages[2].image.starts_with(&format!("rust:{}.", rust.unwrap())), "{}", stages[2].image);
}

#[test]
fn the_image_runs_the_program_as_nobody_on_a_volume_and_asks_it_for_its_health() {
    let stages = stages();
    let run = stages.last().unwrap();
    let makefile = read("Makefile");
    let version = makefile.lines().find_map(|line| line.strip_prefix("ORT_VERSION := ")).unwrap();
    assert_eq!(format!("libonnxruntime.so.{version}"), LIBRARY_FILE);
    let copies = run.all("COPY");
    assert!(
        copies.contains(&format!("--from=onnxruntime /source/.cache/onnxruntime/{LIBRARY_FILE} /opt/odograph/").as_str()),
        "{copies:?}"
    );
    assert!(copies.contains(&"--from=build /odograph /opt/odograph/odograph"), "{copies:?}");
    assert!(copies.contains(&"models /opt/odograph/models"), "{copies:?}");
    let variables = run.variables();
    assert!(variables.contains(&("PATH".to_owned(), "/opt/odograph:$PATH".to_owned())), "{variables:?}");
    config_check(&variables).unwrap();
    let data = &variables.iter().find(|(name, _)| name == "ODOGRAPH__DATA").unwrap().1;
    assert_eq!(run.the("VOLUME"), format!("[\"{data}\"]"));
    assert!(run.all("RUN")[0].contains(&format!("--owner 10001 --group 10001 --mode 0700 {data}")), "its owner may write there");
    for stage in stages.iter().filter(|stage| ["run", "page-door"].contains(&stage.name.as_str())) {
        let user: u32 =
            stage.the("USER").split(':').next().unwrap().parse().expect("a number, which a kubelet can tell from root");
        assert!(user >= 1_000, "{user}");
    }
    assert_eq!(run.the("STOPSIGNAL"), "SIGTERM");
    let defaults = Settings::default();
    assert_eq!(run.the("EXPOSE"), format!("{} {}", defaults.mqtt.address.port(), defaults.grpc.address.port()));
    assert_eq!((run.the("ENTRYPOINT"), run.the("CMD")), ("[\"odograph\"]", "[\"run\"]"));
    let health = run.the("HEALTHCHECK").split_once("CMD ").unwrap().1;
    let health: Vec<String> = serde_json::from_str(health).unwrap();
    assert_eq!(health, ["odograph", "health"]);
    assert!(odograph(&["health", "--help"]).status.success() && odograph(&["run", "--help"]).status.success());
}
