//! `odograph health`: whether a service is ready, for containers and supervisors, which have no other program to ask with.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio::time::timeout;

use super::{Exit, Failure};
use crate::bench::http::Client;
use crate::settings::{Settings, Sources};

/// Whoever asks waits no longer than a few seconds; a service that does not answer in this time is not well.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

const EXIT_CODES: &str = "Exit codes: 0 it is ready; 1 it is not, and says why; 3 the settings are wrong; 4 it does not answer.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct HealthArgs {
    /// Where the service answers HTTP [default: `http.address` of the settings, environment included]
    #[arg(value_name = "ADDR")]
    address: Option<SocketAddr>,
    /// Settings file of the service
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// # Errors
/// Where the settings are wrong, or nobody answers. A service that is not ready is no error but an exit code.
pub fn run(arguments: &HealthArgs) -> anyhow::Result<ExitCode> {
    let address = if let Some(address) = arguments.address {
        address
    } else {
        let sources = Sources { file: arguments.config.clone(), environment: Settings::environment(), flags: Vec::new() };
        Settings::load(&sources).map_err(Failure::from)?.http.address
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = runtime.block_on(async { timeout(ANSWER_WITHIN, Client::new(address).get("/health/ready")).await });
    let down = |problem: String| Failure { exit: Exit::DependencyDown, message: problem };
    let answer = asked
        .map_err(|_| down(format!("http://{address} does not answer within {} s", ANSWER_WITHIN.as_secs())))?
        .map_err(|error| down(error.to_string()))?;
    // The reasons, in JSON.
    println!("{}", String::from_utf8_lossy(&answer.body).trim_end());
    Ok(if answer.status == 200 { ExitCode::SUCCESS } else { ExitCode::from(Exit::CheckFailed as u8) })
}
