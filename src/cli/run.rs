//! `odograph run`: settings, runtime, logging, and hand over to the assembly.

use std::path::PathBuf;

use super::Failure;
use crate::settings::{Settings, Sources};
use crate::{assembly, logging};

#[derive(Debug, clap::Args)]
pub struct RunArguments {
    /// Settings file (see odograph.toml for all settings)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of journal, checkpoints and the embedded archive [default: odograph-data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Address of page, API, health and metrics; port 0 picks a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// Address of the endpoint for vehicles; port 0 picks a free one [default: 127.0.0.1:1883]
    #[arg(long, value_name = "ADDR")]
    mqtt: Option<String>,
}

impl RunArguments {
    fn settings(&self) -> Result<Settings, Failure> {
        let flag = |key, name, value: &Option<String>| value.clone().map(|value| (key, name, value));
        let flags = [
            flag("data", "--data", &self.data),
            flag("http.address", "--http", &self.http),
            flag("mqtt.address", "--mqtt", &self.mqtt),
        ];
        let flags = flags.into_iter().flatten().collect();
        Ok(Settings::load(&Sources { file: self.config.clone(), environment: Settings::environment(), flags })?)
    }
}

/// Runs until the process is told to stop.
pub fn run(arguments: &RunArguments) -> anyhow::Result<()> {
    let settings = arguments.settings()?;
    logging::start(&settings.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(assembly::run(settings, |_addresses, _tasks| ()))
}
