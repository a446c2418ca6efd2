//! `odograph doctor`: looks at everything that a deployment stands on, and says of each what is wrong, where, why, and what to do next.
//! Changes nothing. Each check is one function in [`CHECKS`].

mod archive;
mod broker;
mod damage;
mod delivery;
mod disk;
mod finding;
mod identities;
mod live_redis;
mod service;
mod system;

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use self::delivery::DeliveryClass;
use self::finding::{Cause, Finding, Verdict, without_secrets};
use super::Exit;
use crate::settings::{Settings, Sources};

const SCHEMA_VERSION: u32 = 1;

/// Exit codes are for scripts: nobody should have to read the source for them.
const EXIT_CODES: &str = "Exit codes: 0 all is well, or there are only warnings; 1 a check failed; 3 the settings are wrong; 4 something\n\
    that the service needs (archive, broker, Redis, the service itself) does not answer.";

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct DoctorArgs {
    /// Settings file (see odograph.toml for all settings)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of journal, checkpoints and the embedded archive [default: odograph-data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Where a running service answers, if it was started with another address than the settings have
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// As JSON, for CI
    #[arg(long)]
    json: bool,
}

/// What checks may look at.
struct Patient {
    settings: Settings,
    config: Option<PathBuf>,
    /// A process holds the data folder.
    is_running: bool,
    runtime: tokio::runtime::Runtime,
}

type Check = fn(&Patient) -> Vec<Finding>;

const CHECKS: &[Check] = &[
    disk::folder,
    disk::journal_space,
    disk::journal_sync,
    damage::journal_damage,
    service::service,
    archive::archive,
    broker::broker,
    live_redis::live,
    identities::certificates,
    identities::passwords,
    system::open_files,
    system::models,
];

/// # Errors
/// Where no runtime can be started. What is wrong with the deployment is no error but findings and an exit code.
pub fn run(arguments: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let flag = |key, name, value: &Option<String>| value.clone().map(|value| (key, name, value));
    let flags = [flag("data", "--data", &arguments.data), flag("http.address", "--http", &arguments.http)];
    let sources = Sources {
        file: arguments.config.clone(),
        environment: Settings::environment(),
        flags: flags.into_iter().flatten().collect(),
    };
    let mut delivery_class = None;
    let findings: Vec<Finding> = match Settings::load(&sources) {
        Err(error) => error.mistakes.into_iter().map(|mistake| mistaken(mistake.place, mistake.problem)).collect(),
        Ok(settings) => {
            let place =
                arguments.config.as_ref().map_or("defaults and environment".to_owned(), |path| path.display().to_string());
            let is_running = disk::is_running(&settings);
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let patient = Patient { settings, config: arguments.config.clone(), is_running, runtime };
            let first = Finding::ok("settings", place, "every setting is known and they go together");
            let findings: Vec<_> = std::iter::once(first).chain(CHECKS.iter().flat_map(|check| check(&patient))).collect();
            delivery_class = Some(DeliveryClass::of(&patient.settings, &findings));
            findings
        }
    };
    let verdict = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok);
    let text = if arguments.json {
        let report = json!({
            "schema_version": SCHEMA_VERSION,
            "verdict": verdict,
            "delivery_class": delivery_class,
            "findings": findings,
        });
        format!("{report}\n")
    } else {
        as_text(&findings, delivery_class.as_ref())
    };
    print!("{}", without_secrets(&text));
    Ok(exit_code(&findings))
}

fn mistaken(place: String, problem: String) -> Finding {
    Finding::failed("settings", place, problem)
        .because("the service refuses to start with it, and nothing else can be judged without settings")
        .next("mend it; odograph.toml has every setting with its default")
        .caused_by(Cause::Settings)
}

/// Settings first: nothing else is known then. A dependency that is down hides what else may be wrong with it.
fn exit_code(findings: &[Finding]) -> ExitCode {
    let failed = |cause| findings.iter().any(|finding| finding.verdict == Verdict::Failed && finding.cause == cause);
    if failed(Cause::Settings) {
        ExitCode::from(Exit::Settings as u8)
    } else if failed(Cause::DependencyDown) {
        ExitCode::from(Exit::DependencyDown as u8)
    } else if failed(Cause::Check) {
        ExitCode::from(Exit::CheckFailed as u8)
    } else {
        ExitCode::SUCCESS
    }
}

fn as_text(findings: &[Finding], delivery_class: Option<&DeliveryClass>) -> String {
    let mut text: String = findings.iter().map(Finding::as_text).collect();
    if let Some(class) = delivery_class {
        text.push_str("\nDelivery class: ");
        text.push_str(&class.sentence);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_outrank_a_dependency_and_that_outranks_a_check() {
        let failed = |cause| Finding::failed("check", "here", "broken").caused_by(cause);
        let all = [failed(Cause::Check), failed(Cause::DependencyDown), failed(Cause::Settings)];
        let code = |findings: &[Finding]| format!("{:?}", exit_code(findings));
        assert_eq!(code(&all), format!("{:?}", ExitCode::from(3)));
        assert_eq!(code(&all[..2]), format!("{:?}", ExitCode::from(4)));
        assert_eq!(code(&all[..1]), format!("{:?}", ExitCode::from(1)));
        assert_eq!(code(&[Finding::warning("check", "here", "odd")]), format!("{:?}", ExitCode::SUCCESS));
    }
}
