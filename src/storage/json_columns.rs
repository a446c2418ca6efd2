//! Columns that hold JSON, written: lists and numbers that only make sense beside their reading. Read back by `row`.

use std::fmt::Write;

use crate::domain::signal::SIGNALS;
use crate::domain::{Assessment, ModelScore, SignalTable};

/// Array of trouble codes; `None` where there are none, as in all of these.
pub(super) fn dtcs(assessment: &Assessment) -> Option<String> {
    let dtcs = &assessment.reading.dtcs;
    (!dtcs.is_empty()).then(|| json(dtcs))
}

/// Object of undeclared signals, and of those that only the settings declare.
pub(super) fn extras(assessment: &Assessment, table: &SignalTable) -> Option<String> {
    let reading = &assessment.reading;
    let declared = reading.signals.iter().filter(|(id, _)| id.index() >= SIGNALS.len());
    let declared = declared.map(|(id, value)| (table.get(id).name.to_owned(), f64::from(value).into()));
    let undeclared = reading.extras.iter().map(|(name, value)| (name.to_string(), (*value).into()));
    let all: serde_json::Map<String, serde_json::Value> = undeclared.chain(declared).collect();
    (!all.is_empty()).then(|| json(&all))
}

/// Array of [name, value, reason].
pub(super) fn rejected(assessment: &Assessment) -> Option<String> {
    let rejected = assessment.reading.rejected.iter();
    let rejected: Vec<_> = rejected.map(|signal| (&signal.name, signal.value, signal.rejection.code())).collect();
    (!rejected.is_empty()).then(|| json(&rejected))
}

/// Array of [key, severity, raised, value, limit].
pub(super) fn findings(assessment: &Assessment) -> Option<String> {
    let findings = assessment.findings.iter();
    let findings =
        findings.map(|finding| (finding.key.as_str(), finding.severity.code(), finding.is_raised, finding.value, finding.limit));
    let findings: Vec<_> = findings.collect();
    (!findings.is_empty()).then(|| json(&findings))
}

pub(super) fn quality(assessment: &Assessment) -> Option<String> {
    (!assessment.quality.is_good()).then(|| json(&assessment.quality))
}

/// Array of [number of the model version, score, raw, tail probability]. Written by hand, since nearly every row has it.
pub(super) fn scores(assessment: &Assessment, model_version: impl Fn(&ModelScore) -> i64) -> Option<String> {
    let scores = &assessment.scores;
    let first = scores.first()?;
    let mut text = String::with_capacity(48 * scores.len());
    for score in scores {
        text.push(if std::ptr::eq(score, first) { '[' } else { ',' });
        let _never_fails = write!(text, "[{},", model_version(score));
        number(&mut text, f64::from(score.score), format_args!("{:?},", score.score));
        number(&mut text, f64::from(score.raw), format_args!("{:?},", score.raw));
        number(&mut text, score.tail_probability, format_args!("{:?}]", score.tail_probability));
    }
    text.push(']');
    Some(text)
}

/// JSON knows no infinity and no NaN: null stands for them. `written` ends with the separator that follows the number.
fn number(text: &mut String, value: f64, written: std::fmt::Arguments<'_>) {
    if value.is_finite() {
        let _never_fails = text.write_fmt(written);
    } else {
        text.push_str("null");
        text.extend(written.to_string().chars().next_back());
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("names and numbers are JSON")
}
