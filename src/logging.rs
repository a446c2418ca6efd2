//! Starts logging: fields, not prose, to stderr. Stdout belongs to data.

use tracing_subscriber::EnvFilter;

use crate::settings::{Log, LogFormat};

/// # Errors
/// Where `log.filter` is no filter.
pub fn start(settings: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&settings.filter)
        .map_err(|error| anyhow::anyhow!("`log.filter` = {:?} is no log filter: {error}", settings.filter))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match settings.format {
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
