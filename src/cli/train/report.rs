//! What came of a training, for people and as JSON.

use std::path::Path;

use odograph_training::{AlertLimits, FEWEST_DAYS, Training};
use serde::Serialize;

use super::collector::LeftOut;

#[derive(Debug, Serialize)]
pub struct Report<'a> {
    pub schema_version: u32,
    pub file: &'a Path,
    pub name: &'a str,
    pub version: &'a str,
    pub kind: &'static str,
    pub bytes: usize,
    pub sha256: String,
    pub features: usize,
    /// Default ones that the history does not have.
    pub features_left_out: &'a [String],
    pub readings: u64,
    /// With readings that were learnt from or measured on.
    pub vehicles: usize,
    pub left_out: &'a LeftOut,
    /// Rows beyond what is held in memory.
    pub left_out_by_lot: u64,
    /// As it stands in the contract.
    pub training: &'a Training,
    pub alert: Option<&'a AlertLimits>,
    /// Held-out vehicle-days with enough scores.
    pub vehicle_days: usize,
    /// Between the graph in ONNX Runtime and the fit, over held-out rows; relative to the larger of 1 and the score.
    pub largest_difference: f32,
    pub seconds: f64,
    pub next: String,
}

impl Report<'_> {
    /// Data to stdout; what was left out and why there are no alert limits to stderr.
    pub fn print(&self, as_json: bool) -> anyhow::Result<()> {
        if !self.features_left_out.is_empty() {
            eprintln!("left out: features that the history does not have, {}", self.features_left_out.join(", "));
        }
        for (reason, count) in self.left_out {
            eprintln!("left out: {count} readings, {reason}");
        }
        if self.left_out_by_lot > 0 {
            eprintln!(
                "left out: {} readings of whole vehicle-days, by lot, since more do not fit into memory",
                self.left_out_by_lot
            );
        }
        if self.alert.is_none() {
            eprintln!(
                "no alert limits: {} held-out vehicle-days are too few, {FEWEST_DAYS} are needed at least; `[analytics.alert]` of the settings \
                 says when it alerts",
                self.vehicle_days
            );
        }
        if as_json {
            println!("{}", serde_json::to_string(self)?);
        } else {
            self.print_text();
        }
        Ok(())
    }

    fn print_text(&self) {
        let Training { rows, vehicles, rows_calibration, vehicles_calibration, components, period, split_by, .. } = self.training;
        println!("{} {} ({}): {} bytes in {}", self.name, self.version, self.kind, self.bytes, self.file.display());
        println!("fitted to     {rows} readings of {vehicles} vehicles, {} to {}", period[0], period[1]);
        println!(
            "measured on   {rows_calibration} readings of {vehicles_calibration} vehicles that it was not fitted to, split by {split_by}"
        );
        let explained = self.training.explained_variance;
        let explained = explained.map_or_else(String::new, |share| format!(", {:.1} % of the variance", share * 100.0));
        println!("model         {} features, {components} components{explained}", self.features);
        if let (Some(alert), Some(found)) = (self.alert, &self.training.alert) {
            let beyond = if found.is_extrapolated { ", beyond what so many days can show" } else { "" };
            println!(
                "alerts        when {} of {} readings reach {}; {} vehicle-days, {} false alerts per 1,000{beyond}",
                alert.raised,
                alert.of,
                alert.open,
                found.vehicle_days,
                found.budget_per_vehicle_day * 1_000.0
            );
        }
        println!("took          {:.1} s; next: {}", self.seconds, self.next);
    }
}
