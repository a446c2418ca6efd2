//! What every feature name means, for people.

use serde::Serialize;

use super::derived::{DERIVED, TRACKED};
use super::statistics::Statistic;
use crate::domain::SignalTable;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FeatureDescription {
    /// A name to use as it is, or one with `{duration}` to fill in, such as `5m`.
    pub name: String,
    pub unit: String,
    pub meaning: String,
    pub formula: String,
}

/// Every signal, every statistic of every signal, every derived feature.
#[must_use]
pub fn describe(table: &SignalTable) -> Vec<FeatureDescription> {
    let mut all = Vec::new();
    for (_, signal) in table.iter() {
        let (name, unit) = (signal.name, signal.unit);
        all.push(FeatureDescription {
            name: name.to_owned(),
            unit: unit.to_owned(),
            meaning: format!("the signal itself (VSS {})", signal.vss_path),
            formula: match signal.hold {
                Some(hold) => format!("value of the reading; where it has none, the last one, at most {} s old", hold.as_secs()),
                None => "value of the reading".to_owned(),
            },
        });
        all.push(FeatureDescription {
            name: format!("{name}.delta"),
            unit: unit.to_owned(),
            meaning: format!("change of {name} since its previous value"),
            formula: "value - previous present value, at most 10 min old".to_owned(),
        });
        all.push(FeatureDescription {
            name: format!("{name}.unchanged"),
            unit: "s".to_owned(),
            meaning: format!("driving time for which {name} has been the same to the last digit"),
            formula: "time over 3 km/h back to the last other value, at most 10 min".to_owned(),
        });
        all.push(zscore(name));
        all.extend(Statistic::ALL.iter().map(|statistic| FeatureDescription {
            name: format!("{name}.{}_{{duration}}", statistic.word()),
            unit: unit_of(*statistic, unit),
            meaning: format!("{} of {name}", meaning(*statistic)),
            formula: formula(*statistic).to_owned(),
        }));
    }
    all.extend(DERIVED.iter().map(|derived| FeatureDescription {
        name: derived.name.to_owned(),
        unit: derived.unit.to_owned(),
        meaning: derived.meaning.to_owned(),
        formula: derived.formula.to_owned(),
    }));
    all.extend(TRACKED.iter().map(|derived| zscore(derived.name)));
    all
}

fn zscore(name: &str) -> FeatureDescription {
    FeatureDescription {
        name: format!("{name}.zscore"),
        unit: String::new(),
        meaning: format!("distance of {name} from the vehicle's own normal, in its deviations"),
        formula: "(value - m) / max(s, 0.001 of the plausible range, 0.001 |m|); m, s: mean and deviation of all values before this \
                  reading with weights that halve every 30 days, without those of alerts and 30 min after; before 200 values mixed \
                  with those of the vehicles of the same class and powertrain"
            .to_owned(),
    }
}

fn unit_of(statistic: Statistic, unit: &str) -> String {
    match statistic {
        Statistic::Slope if unit.is_empty() => "1/min".to_owned(),
        Statistic::Slope => format!("{unit}/min"),
        Statistic::Count | Statistic::MissingRatio => String::new(),
        _ => unit.to_owned(),
    }
}

const fn meaning(statistic: Statistic) -> &'static str {
    match statistic {
        Statistic::Mean => "mean",
        Statistic::Std => "spread",
        Statistic::Min => "smallest value",
        Statistic::Max => "largest value",
        Statistic::Range => "distance between largest and smallest value",
        Statistic::Slope => "trend",
        Statistic::Count => "number of values",
        Statistic::Ewma => "mean that forgets, with this half-life,",
        Statistic::MissingRatio => "share of readings without a value",
    }
}

/// Over the steps with `recorded_at` in (t - duration, t] and their present values `x_i`, if not said otherwise.
const fn formula(statistic: Statistic) -> &'static str {
    match statistic {
        Statistic::Mean => "sum(x_i) / n over (t - duration, t]",
        Statistic::Std => "sqrt(sum((x_i - mean)^2) / n) over (t - duration, t]; missing under 2 values",
        Statistic::Min => "min(x_i) over (t - duration, t]",
        Statistic::Max => "max(x_i) over (t - duration, t]",
        Statistic::Range => "max(x_i) - min(x_i) over (t - duration, t]",
        Statistic::Slope => {
            "sum((t_i - mean t)(x_i - mean x)) / sum((t_i - mean t)^2), t in minutes, over (t - duration, t]; missing under 3 values"
        }
        Statistic::Count => "n over (t - duration, t]",
        Statistic::Ewma => "sum(w_i x_i) / sum(w_i), w_i = 2^(-(t - t_i) / duration), over (t - 5 duration, t]",
        Statistic::MissingRatio => "steps without the signal / steps over (t - duration, t]",
    }
}
