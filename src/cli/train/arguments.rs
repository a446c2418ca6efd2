//! What `odograph train` is told, and what it says in its own words.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use odograph_training::{Baseline, Kind, Requires};

use super::collector::LeftOut;
use crate::domain::{Label, Timestamp};
use crate::settings::Interval;

#[derive(Debug, Clone, Args)]
pub struct TrainArgs {
    /// CSV, gzipped CSV or Parquet files, in the order in which their readings arrive
    #[arg(value_name = "FILE", required_unless_present = "data", conflicts_with = "data")]
    pub files: Vec<PathBuf>,
    /// Learn from the archive in this data folder instead; periods of open and of confirmed alerts are left out
    #[arg(long, value_name = "DIR")]
    pub data: Option<String>,
    /// First moment of the archive to learn from, RFC 3339 [default: all it has]
    #[arg(long, value_name = "TIME", requires = "data")]
    pub from: Option<Timestamp>,
    /// Behind the last moment [default: now]
    #[arg(long, value_name = "TIME", requires = "data")]
    pub to: Option<Timestamp>,
    /// Settings file: declared signals, where the archive is
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What the columns of the files mean: `odograph`, `kit_obd2`, `carobd`, `envirocar`, or a TOML file
    #[arg(long, value_name = "MAP", default_value = "odograph")]
    pub columns: String,
    /// Of every interval of this length, only the last reading of each vehicle, such as `30s`
    #[arg(long, value_name = "INTERVAL", conflicts_with = "data")]
    pub every: Option<Interval>,
    /// What was wrong with whom and when, as `odograph simulate --labels` writes it: those readings, and two hours after, are left out. A
    /// column `fault` of the files is heeded without it
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Names with commas between, or `@FILE`: a JSON list, or an object that has one under `features` (`odograph features list` shows all)
    /// [default: those of the shipped isolation forest, for engine, cooling, battery, tyres and sensors]
    #[arg(long, value_name = "LIST|@FILE")]
    pub features: Option<String>,
    /// `pca`: how far features are from moving together as usual, with the share of each as explanation. `gaussian-mixture`: how unlikely
    /// they are among a few clouds of usual states
    #[arg(long, value_enum, default_value_t = KindArgument::Pca)]
    pub kind: KindArgument,
    /// Principal components or clouds [default: as many components as explain 90 % of the variance; 6 clouds]
    #[arg(long, value_name = "N")]
    pub components: Option<usize>,
    /// Classes of vehicles that the model is for, with commas between [default: all]. From an archive it learns only from these
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = label)]
    pub classes: Vec<String>,
    /// Powertrains that the model is for, with commas between [default: all]. From an archive it learns only from these
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = label)]
    pub powertrains: Vec<String>,
    /// Readings within ten minutes (or the longest window of the features) that a reading needs to be learnt from, and later to be scored
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub min_readings: usize,
    /// Features that may be missing [default: a quarter of them]
    #[arg(long, value_name = "N")]
    pub max_missing: Option<usize>,
    /// Longest time between two of these readings; raise it for vehicles that report seldom
    #[arg(long, value_name = "INTERVAL", default_value = "3m")]
    pub max_gap: Interval,
    /// False alerts per 1,000 vehicle-days that the model may raise
    #[arg(long, value_name = "N", default_value_t = 0.5, value_parser = budget)]
    pub alert_budget: f64,
    /// What the model is called [default: the name of the file without its ending]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Raise it with every training: alerts name the version that raised them
    #[arg(long, value_name = "VERSION", default_value = "1")]
    pub model_version: String,
    /// One sentence for whoever meets the model later [default: what it was fitted to]
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// The same history and seed give the same bytes
    #[arg(long, value_name = "K", default_value_t = 7)]
    pub seed: u64,
    /// The model file, such as `models/my_fleet/my_fleet.onnx`
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Print what came of it as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KindArgument {
    Pca,
    GaussianMixture,
}

impl TrainArgs {
    pub fn requires(&self, features: usize) -> Requires {
        let max_missing = self.max_missing.unwrap_or(features / 4);
        Requires { min_readings: self.min_readings, max_missing, max_gap: self.max_gap.to_string() }
    }

    /// Why no row is left, and what to do.
    pub fn nothing_left(&self, readings: u64, left_out: &LeftOut) -> String {
        let reasons: Vec<String> = left_out.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        format!(
            "of {readings} readings none is left to learn from: {}. --min-readings {}, --max-missing and --max-gap {} say what a reading needs",
            if reasons.is_empty() { "there were none".to_owned() } else { reasons.join(", ") },
            self.min_readings,
            self.max_gap
        )
    }

    /// One sentence for whoever meets the model later.
    pub fn described(&self, baseline: &Baseline, vehicles: usize) -> String {
        self.description.clone().unwrap_or_else(|| {
            let what = match self.kind {
                KindArgument::Pca => "principal components: how far features are from moving together as usual",
                KindArgument::GaussianMixture => "clouds of usual states: how unlikely a state is",
            };
            format!("{} {what}. Fitted to {vehicles} vehicles of this fleet.", baseline.components())
        })
    }
}

fn label(text: &str) -> Result<String, String> {
    Label::new(text).map(|label| label.as_str().to_owned()).map_err(|error| error.to_string())
}

fn budget(text: &str) -> Result<f64, String> {
    let given: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if given > 0.0 && given < 1_000.0 { Ok(given) } else { Err("must be above 0 and below 1000".to_owned()) }
}

impl KindArgument {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pca => "pca",
            Self::GaussianMixture => "gaussian-mixture",
        }
    }
}

impl From<KindArgument> for Kind {
    fn from(argument: KindArgument) -> Self {
        match argument {
            KindArgument::Pca => Self::Pca,
            KindArgument::GaussianMixture => Self::GaussianMixture,
        }
    }
}
