//! The grammar of feature names: a signal, `signal.statistic_duration`, or the name of a derived feature.

use std::time::Duration;

use super::derived::{DERIVED, Derived, TRACKED};
use super::statistics::Statistic;
use crate::analytics::profile::Quantity;
use crate::domain::{SignalId, SignalTable};
use crate::settings::Interval;

/// No window is longer.
pub const MAX_DURATION: Duration = Duration::from_hours(24);

/// A feature, understood.
#[derive(Debug, Clone, Copy)]
pub(super) enum Feature {
    /// Of the reading, or, where the deployment says that the signal holds, its last value as long as it does.
    Signal {
        signal: SignalId,
        hold: Option<Duration>,
    },
    /// To the previous present value.
    Delta(SignalId),
    /// Driving time without a change of the value.
    Unchanged(SignalId),
    /// Against the vehicle's normal.
    ZScore {
        of: Of,
        quantity: Quantity,
        /// The normal's deviation counts as at least this.
        least_deviation: f64,
    },
    Over {
        signal: SignalId,
        statistic: Statistic,
        duration: Duration,
    },
    Derived(&'static Derived),
}

/// Whose value a z-score is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Of {
    Signal(SignalId),
    Derived(&'static Derived),
}

/// Words after the dot that take no duration.
const WITHOUT_DURATION: [&str; 3] = ["delta", "unchanged", "zscore"];

/// A quantity that never moved has no deviation; a z-score then measures in thousandths of the plausible range of its signal, about the
/// step in which sensors report it.
const LEAST_DEVIATION_SHARE: f64 = 1e-3;
/// The same for derived features, as a share of the normal itself.
pub(super) const LEAST_DERIVED_DEVIATION: f64 = 1e-3;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeatureNameError {
    #[error("there is no feature {name:?}{}", suggestion(nearest))]
    Unknown { name: String, nearest: Option<String> },
    #[error("feature {name:?}: there is no statistic {statistic:?}{}", suggestion(nearest))]
    Statistic { name: String, statistic: String, nearest: Option<String> },
    #[error("feature {name:?}: {statistic} needs a duration, such as {statistic}_5m")]
    NoDuration { name: String, statistic: &'static str },
    #[error("feature {name:?}: {duration:?} is no duration between 1s and 24h, such as 30s, 5m or 1h")]
    Duration { name: String, duration: String },
    #[error("feature {name:?}: {statistic} takes no duration")]
    NeedlessDuration { name: String, statistic: &'static str },
    #[error("feature {name:?}: only signals and the derived features {tracked} have a normal to compare with")]
    NoNormal { name: String, tracked: String },
}

#[expect(clippy::ref_option, reason = "called with a field of the error by the derive")]
fn suggestion(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |nearest| format!("; did you mean {nearest:?}?"))
}

/// # Errors
/// [`FeatureNameError`] where the grammar, the signal table or the derived features do not know `name`.
pub(super) fn parse(name: &str, table: &SignalTable) -> Result<Feature, FeatureNameError> {
    if let Some(derived) = DERIVED.iter().find(|derived| derived.name == name) {
        return Ok(Feature::Derived(derived));
    }
    if let Some(derived) = name.strip_suffix(".zscore").and_then(|of| DERIVED.iter().find(|derived| derived.name == of)) {
        return tracked_zscore(name, derived);
    }
    let (signal, statistic) = name.split_once('.').map_or((name, None), |(signal, statistic)| (signal, Some(statistic)));
    let Some(id) = table.find(signal) else {
        return Err(unknown(name, signal, statistic, table));
    };
    match statistic {
        None => Ok(Feature::Signal { signal: id, hold: table.get(id).hold }),
        Some("delta") => Ok(Feature::Delta(id)),
        Some("unchanged") => Ok(Feature::Unchanged(id)),
        Some("zscore") => {
            let (low, high) = table.get(id).plausible;
            let least_deviation = LEAST_DEVIATION_SHARE * (high - low);
            Ok(Feature::ZScore { of: Of::Signal(id), quantity: Quantity::signal(id), least_deviation })
        }
        Some(statistic) => parse_statistic(name, id, statistic),
    }
}

/// What to compare a feature's value with: a signal or a tracked feature, as it is or as a mean, smallest or largest value.
#[must_use]
pub fn quantity_of(name: &str, table: &SignalTable) -> Option<Quantity> {
    match parse(name, table).ok()? {
        Feature::Signal { signal, .. }
        | Feature::Over { signal, statistic: Statistic::Mean | Statistic::Min | Statistic::Max | Statistic::Ewma, .. } => {
            Some(Quantity::signal(signal))
        }
        Feature::Derived(derived) => TRACKED.iter().position(|tracked| tracked.name == derived.name).map(Quantity::tracked),
        Feature::Delta(_) | Feature::Unchanged(_) | Feature::ZScore { .. } | Feature::Over { .. } => None,
    }
}

fn tracked_zscore(name: &str, derived: &'static Derived) -> Result<Feature, FeatureNameError> {
    let Some(index) = TRACKED.iter().position(|tracked| tracked.name == derived.name) else {
        let tracked = TRACKED.map(|tracked| tracked.name).join(", ");
        return Err(FeatureNameError::NoNormal { name: name.to_owned(), tracked });
    };
    Ok(Feature::ZScore { of: Of::Derived(derived), quantity: Quantity::tracked(index), least_deviation: 0.0 })
}

fn parse_statistic(name: &str, signal: SignalId, text: &str) -> Result<Feature, FeatureNameError> {
    let (word, duration) = Statistic::ALL
        .iter()
        // The statistic with the longest word first: `missing_ratio_5m` is not `missing`.
        .find_map(|statistic| Some((*statistic, text.strip_prefix(statistic.word())?)))
        .filter(|(_, rest)| rest.is_empty() || rest.starts_with('_'))
        .ok_or_else(|| unknown_statistic(name, text))?;
    let Some(duration) = duration.strip_prefix('_') else {
        return Err(FeatureNameError::NoDuration { name: name.to_owned(), statistic: word.word() });
    };
    let wrong_duration = || FeatureNameError::Duration { name: name.to_owned(), duration: duration.to_owned() };
    let duration = duration.parse::<Interval>().map_err(|_| wrong_duration())?.duration();
    if !(Duration::from_secs(1)..=MAX_DURATION).contains(&duration) {
        return Err(wrong_duration());
    }
    Ok(Feature::Over { signal, statistic: word, duration })
}

fn unknown(name: &str, signal: &str, statistic: Option<&str>, table: &SignalTable) -> FeatureNameError {
    let derived = DERIVED.iter().map(|derived| derived.name).filter(|_| statistic.is_none());
    let candidates = table.iter().map(|(_, signal)| signal.name).chain(derived);
    let nearest = nearest(signal, candidates).map(|nearest| match statistic {
        Some(statistic) => format!("{nearest}.{statistic}"),
        None => nearest.to_owned(),
    });
    FeatureNameError::Unknown { name: name.to_owned(), nearest }
}

fn unknown_statistic(name: &str, text: &str) -> FeatureNameError {
    let (word, duration) = text.rsplit_once('_').unwrap_or((text, ""));
    if let Some(statistic) = WITHOUT_DURATION.into_iter().find(|known| *known == word) {
        return FeatureNameError::NeedlessDuration { name: name.to_owned(), statistic };
    }
    let words = Statistic::ALL.iter().map(|statistic| statistic.word()).chain(WITHOUT_DURATION);
    let nearest = nearest(word, words).map(|nearest| {
        if WITHOUT_DURATION.contains(&nearest) {
            return nearest.to_owned();
        }
        format!("{nearest}_{}", if duration.is_empty() { "5m" } else { duration })
    });
    FeatureNameError::Statistic { name: name.to_owned(), statistic: text.to_owned(), nearest }
}

/// The candidate that looks most like `word`, if any does.
pub(crate) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Below, a suggestion confuses more than it helps; found by trying misspellings of the signal table.
    const LEAST_SIMILARITY: f64 = 0.75;
    candidates
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(similarity, _)| *similarity >= LEAST_SIMILARITY)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}
