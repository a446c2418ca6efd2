//! What models claim about a reading, and why. A model is asked for the why only where it raises.

use std::sync::Arc;

use super::Scoring;
use super::scorer::Scorer;
use crate::analytics::claim::{Claim, Level};
use crate::analytics::features::{Group, quantity_of};
use crate::analytics::model::Shares;
use crate::analytics::overload::Shed;
use crate::analytics::profile::{Normal, Profile, Quantity};
use crate::domain::{AlertKey, Explained, Finding, ModelScore, SignalTable};

/// An explanation names so many columns: more is no explanation.
const MOST_EXPLAINED: usize = 5;
/// Columns that matter less are left out.
const LEAST_CONTRIBUTION: f64 = 0.02;
/// An alert that is under way keeps its key as long as its group has this share of the largest one's part.
const KEEPS_KEY_SHARE: f64 = 0.5;

/// What values are compared with in an explanation.
#[derive(Debug, Clone, Copy)]
pub struct Normals<'a> {
    pub profile: &'a Profile,
    pub cohort: Option<&'a Profile>,
}

/// What a record of the journal says that models said about its reading.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    pub scores: &'a [ModelScore],
    pub findings: &'a [Finding],
    /// Of [`Scoring::add`], since the last [`Scoring::clear`] and not run; `None`: nobody needs the why.
    pub number: Option<usize>,
}

/// What a model's columns are about.
#[derive(Debug)]
pub(super) struct Columns {
    names: Vec<Arc<str>>,
    /// Number of the group of each column.
    group_of: Vec<usize>,
    /// One per group: `model:{name}:{group}`.
    keys: Vec<AlertKey>,
    /// Where nothing explains a score.
    key_of_nothing: AlertKey,
    /// How all of them begin.
    key_prefix: String,
    /// What each column has a normal of.
    quantities: Vec<Option<Quantity>>,
}

impl Scoring {
    /// After [`Scoring::run`]: appends what the models claim about the reading with that number. One that raises does so under one
    /// key, that of the group of features that explains most; its alerts under other keys are held. `followed`: keys with a run or an
    /// alert; for them alone a model also says that it is calm or not assessed.
    #[expect(clippy::needless_pass_by_value, reason = "an iterator over a handful of keys, cloned for every model")]
    pub fn claims<'k>(
        &mut self,
        number: usize,
        normals: Normals<'_>,
        followed: impl Iterator<Item = &'k AlertKey> + Clone,
        into: &mut Vec<Claim>,
    ) {
        for (index, scorer) in self.scorers.iter_mut().enumerate() {
            let ticket = self.tickets[number + index];
            let scored = ticket.and_then(|row| Ok((row, scorer.score(row)?))).ok();
            let level = scored.as_ref().map_or(Level::NotAssessed, |(_, score)| scorer.level_of(score));
            let Some((row, score)) = scored.filter(|_| level == Level::Raised) else {
                let own = followed.clone().filter(|key| scorer.is_own(key));
                into.extend(own.map(|key| scorer.claim(key.clone(), level, None)));
                continue;
            };
            let kept = scorer.raised.iter().position(|(number, _)| *number == row);
            let values: Box<[f32]> = kept.map(|index| scorer.raised.swap_remove(index).1).unwrap_or_default();
            let shares = (self.shed < Shed::Explanations).then(|| scorer.shares(&values));
            self.left_out.explanations += u64::from(shares.is_none());
            let own = followed.clone().filter(|key| scorer.is_own(key));
            let key = match &shares {
                Some(shares) => scorer.columns.key(shares, own.clone()),
                None => scorer.columns.key_without_shares(own.clone()),
            };
            let shares = shares.unwrap_or_default();
            into.extend(
                own.filter(|other| **other != key).map(|other| scorer.claim(other.clone(), Level::Holding, Some(&score))),
            );
            into.push(scorer.raised_claim(key, &score, scorer.explanation(&values, &shares, normals)));
        }
    }

    /// Whether one of the models raised, by what a record of the journal says.
    #[must_use]
    pub fn has_raised(&self, findings: &[Finding]) -> bool {
        let mut raised = findings.iter().filter(|finding| finding.is_raised);
        raised.any(|finding| self.scorers.iter().any(|scorer| scorer.is_own(&finding.key)))
    }

    /// What the models claimed about a reading of the journal, from what stands in its record. They are not asked for scores again, only
    /// for the why of one that raised: an alert may open on it later.
    #[expect(clippy::needless_pass_by_value, reason = "an iterator over a handful of keys, cloned for every model")]
    pub fn claims_again<'k>(
        &mut self,
        said: &Said<'_>,
        normals: Normals<'_>,
        followed: impl Iterator<Item = &'k AlertKey> + Clone,
        into: &mut Vec<Claim>,
    ) {
        for (index, scorer) in self.scorers.iter_mut().enumerate() {
            let score = said.scores.iter().find(|score| score.model == scorer.model.contract().name);
            let found: Vec<&Finding> = said.findings.iter().filter(|finding| scorer.is_own(&finding.key)).collect();
            let waits = said.number.and_then(|number| self.tickets[number + index].ok());
            for finding in &found {
                let key = finding.key.clone();
                if finding.is_raised
                    && let Some(score) = score
                {
                    let explanation = waits.map(|row| scorer.explanation_again(row, score, normals)).unwrap_or_default();
                    into.push(scorer.raised_claim(key, score, explanation));
                } else {
                    let level = if finding.is_raised { Level::Raised } else { Level::Holding };
                    into.push(scorer.claim(key, level, score.filter(|_| finding.value.is_some())));
                }
            }
            // A finding is of a key that was followed or raised; of the others nothing above calm was said.
            let silent = followed.clone().filter(|key| scorer.is_own(key) && found.iter().all(|finding| finding.key != **key));
            let level = if score.is_some() { Level::Calm } else { Level::NotAssessed };
            into.extend(silent.map(|key| scorer.claim(key.clone(), level, None)));
        }
    }
}

impl Scorer {
    fn is_own(&self, key: &AlertKey) -> bool {
        key.as_str().starts_with(&self.columns.key_prefix)
    }

    fn level_of(&self, score: &ModelScore) -> Level {
        self.policy.level(score.raw, score.tail_probability)
    }

    fn claim(&self, key: AlertKey, level: Level, score: Option<&ModelScore>) -> Claim {
        let compared = score.map(|score| self.policy.compared(score.raw, score.tail_probability));
        Claim {
            key,
            level,
            severity: self.policy.severity,
            persistence: self.policy.persistence,
            value: compared.map(|(value, _)| value),
            limit: compared.and_then(|(_, limit)| limit),
            summary: Box::default(),
            score: score.map(|score| score.score),
            explanation: Vec::new(),
        }
    }

    fn raised_claim(&self, key: AlertKey, score: &ModelScore, explanation: Vec<Explained>) -> Claim {
        let summary = summary(&self.model.contract().name, score, &explanation);
        Claim { summary, explanation, ..self.claim(key, Level::Raised, Some(score)) }
    }

    /// What made the score of a row.
    fn shares(&mut self, values: &[f32]) -> Shares {
        // A model that fails here has given its score: the alert is raised without a reason.
        self.model.explain(values, &self.columns.group_of).unwrap_or_default()
    }

    /// Of a row that waits and is not to be run. Nothing where another version of the model gave the score.
    fn explanation_again(&mut self, row: usize, score: &ModelScore, normals: Normals<'_>) -> Vec<Explained> {
        let contract = self.model.contract();
        if score.version != contract.version {
            return Vec::new();
        }
        let width = contract.width();
        let values: Box<[f32]> = self.rows[row * width..][..width].into();
        let shares = self.shares(&values);
        self.explanation(&values, &shares, normals)
    }

    fn explanation(&self, values: &[f32], shares: &Shares, normals: Normals<'_>) -> Vec<Explained> {
        let contract = self.model.contract();
        let mut by_part: Vec<usize> =
            (0..shares.columns.len()).filter(|column| shares.columns[*column] >= LEAST_CONTRIBUTION).collect();
        by_part.sort_by(|one, other| shares.columns[*other].total_cmp(&shares.columns[*one]));
        by_part.truncate(MOST_EXPLAINED);
        // Of a window model the newest values.
        let newest = &values[values.len().saturating_sub(contract.features.len())..];
        let explained = by_part.into_iter().map(|column| {
            let mean = |profile: &Profile| {
                self.columns.quantities[column].and_then(|quantity| profile.normal(quantity)).map(|Normal { mean, .. }| mean)
            };
            Explained {
                feature: Arc::clone(&self.columns.names[column]),
                value: newest.get(column).copied().filter(|value| value.is_finite()).map(f64::from),
                normal: mean(normals.profile),
                cohort_normal: normals.cohort.and_then(mean),
                contribution: shares.columns[column],
            }
        });
        explained.collect()
    }
}

impl Columns {
    pub fn new(model: &str, features: &[String], table: &SignalTable) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        let group_of = features.iter().map(|name| {
            let group = Group::of_feature(name, table);
            groups.iter().position(|known| *known == group).unwrap_or_else(|| {
                groups.push(group);
                groups.len() - 1
            })
        });
        Self {
            names: features.iter().map(|name| name.as_str().into()).collect(),
            group_of: group_of.collect(),
            keys: groups.iter().map(|group| AlertKey::model(model, group.word())).collect(),
            key_of_nothing: AlertKey::model(model, Group::Other.word()),
            key_prefix: AlertKey::model(model, "").as_str().to_owned(),
            quantities: features.iter().map(|name| quantity_of(name, table)).collect(),
        }
    }

    /// Of what is under way, so that an episode goes on under its key while nobody asks why.
    fn key_without_shares<'k>(&self, mut followed: impl Iterator<Item = &'k AlertKey>) -> AlertKey {
        followed.next().unwrap_or(&self.key_of_nothing).clone()
    }

    /// Of the group with the largest part, or of one under way that is nearly as large.
    fn key<'k>(&self, shares: &Shares, followed: impl Iterator<Item = &'k AlertKey>) -> AlertKey {
        let part = |key: &AlertKey| {
            let group = self.keys.iter().position(|known| known == key);
            group.and_then(|group| shares.groups.get(group)).copied().unwrap_or(0.0)
        };
        let by_part = |one: &&AlertKey, other: &&AlertKey| part(one).total_cmp(&part(other));
        let largest = self.keys.iter().filter(|key| part(key) > 0.0).max_by(by_part);
        let Some(largest) = largest else { return self.key_of_nothing.clone() };
        let under_way = followed.filter(|key| part(key) >= KEEPS_KEY_SHARE * part(largest)).max_by(by_part);
        under_way.unwrap_or(largest).clone()
    }
}

/// `"engine: score 0.9997; coolant_temperature_celsius 121.5, usually 89.2"`.
fn summary(model: &str, score: &ModelScore, explanation: &[Explained]) -> Box<str> {
    let because = explanation.first().map_or_else(String::new, |first| {
        let value = first.value.map_or_else(|| "missing".to_owned(), |value| format!("{value:.4}"));
        let usually = first.normal.or(first.cohort_normal).map_or_else(String::new, |normal| format!(", usually {normal:.4}"));
        format!("; {} {value}{usually}", first.feature)
    });
    format!("{model}: score {:.4}{because}", score.score).into()
}
