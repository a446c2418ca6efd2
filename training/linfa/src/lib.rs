//! A fleet's own baseline in one call: fits scaling and PCA reconstruction or a Gaussian mixture with linfa to rows of features, and
//! writes an ONNX file that carries its whole contract. Takes slices and knows nothing of Odograph's code; the program's command
//! `train` brings the rows and says what is in them.
//!
//! ```text
//!  rows by vehicle ─▶ history (two parts, bounded) ─▶ baseline (scaling ▸ pca | mixture) ─▶ onnx_file (graph + contract) ─▶ bytes
//! ```

mod alert;
mod baseline;
mod contract;
mod graph;
mod history;
mod mixture;
mod onnx;
mod pca;
mod rows;
mod scaling;

pub use alert::{AlertLimits, FEWEST_DAYS, Found, Persistence};
pub use baseline::{Baseline, Kind, Options};
pub use contract::{Applies, Contract, Requires, Training, onnx_file};
pub use history::{Day, History, Part, SplitBy};
pub use rows::Rows;

/// Of linfa, as it stands in the files.
pub const LINFA_VERSION: &str = "0.8.1";

/// Fewer do not make a model.
pub const FEWEST_ROWS: usize = 100;

#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error("{part} has {rows} rows, at least {FEWEST_ROWS} are needed")]
    TooFewRows { part: &'static str, rows: usize },
    #[error("feature {name} is missing in every row")]
    AlwaysMissing { name: String },
    #[error("{given} components were asked for; {features} features take 1 to {most}")]
    Components { given: usize, features: usize, most: usize },
    #[error("linfa's PCA failed: {0}")]
    Pca(#[from] linfa_reduction::ReductionError),
    #[error("linfa's Gaussian mixture with {components} components failed: {error}; ask for fewer components")]
    Mixture { components: usize, error: linfa_clustering::GmmError },
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_of_linfa_in_the_files_is_the_one_that_is_built_in() {
        let manifest = include_str!("../Cargo.toml");
        for library in ["linfa", "linfa-clustering", "linfa-reduction"] {
            let line = format!("{library} = {{ version = \"={}\"", super::LINFA_VERSION);
            assert!(manifest.contains(&line), "{library} is not pinned to {}", super::LINFA_VERSION);
        }
    }
}
