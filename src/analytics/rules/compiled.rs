//! The table with the thresholds of one deployment, and the walk over it. Knows no rule by name.

use super::table::RULES;
use super::{Context, MAX_THRESHOLDS, Moment, Rule, RuleMemory, Values, Verdict};
use crate::analytics::claim::{Claim, Level};
use crate::domain::{AlertKey, Severity, Timing};
use crate::settings::{RuleSetting, Rules as RuleSettings};

/// All rules that are switched on.
#[derive(Debug, Clone)]
pub struct Rules {
    by_reading: Vec<Compiled>,
    /// Classes that any rule treats in its own way; the first is every other class.
    classes: Vec<Box<str>>,
    pub(super) silence: Option<Compiled>,
}

#[derive(Debug, Clone)]
pub(super) struct Compiled {
    pub rule: &'static Rule,
    pub key: AlertKey,
    pub severity: Severity,
    /// One row per class.
    pub values: Vec<Values>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", problems.join("; "))]
pub struct RulesError {
    pub problems: Vec<String>,
}

impl Rules {
    /// # Errors
    /// Where settings name what no rule has; [`crate::settings::Settings::load`] has checked that already.
    pub fn new(settings: &RuleSettings) -> Result<Self, RulesError> {
        let problems = settings.problems();
        if !problems.is_empty() {
            return Err(RulesError { problems });
        }
        let mut classes: Vec<Box<str>> = vec![Box::default()];
        for class in settings.rules.values().flat_map(|rule| rule.class.keys()) {
            if !classes.iter().any(|known| **known == **class) {
                classes.push(class.as_str().into());
            }
        }
        let on = RULES.iter().filter(|rule| !settings.disabled.iter().any(|name| name == rule.name));
        let compiled = on.filter_map(|rule| Some(Compiled::new(rule, settings.rules.get(rule.name)?, &classes)));
        let (mut silence, by_reading): (Vec<_>, Vec<_>) =
            compiled.partition(|compiled| compiled.rule.name == super::SILENT_VEHICLE);
        Ok(Self { by_reading, classes, silence: silence.pop() })
    }

    /// All are switched off.
    #[must_use]
    pub fn none() -> Self {
        Self { by_reading: Vec::new(), classes: vec![Box::default()], silence: None }
    }

    /// For recordings: where one ends, nobody fell silent.
    #[must_use]
    pub fn without_silence(mut self) -> Self {
        self.silence = None;
        self
    }

    /// What the rules say about one reading: those that are raised or holding, and of the others those whose key is followed
    /// ([`crate::analytics::alerting::Episodes::follows`]). Allocates nothing unless a rule is raised.
    pub fn check(
        &self,
        context: &Context<'_>,
        memory: &mut RuleMemory,
        follows: impl Fn(&AlertKey) -> bool,
        claims: &mut Vec<Claim>,
    ) {
        let class = self.class_of(context);
        let mut forgotten;
        let (moment, memory, is_late) = match context.timing {
            Timing::Future => return,
            Timing::Late => {
                forgotten = RuleMemory::default();
                (Moment::alone(context), &mut forgotten, true)
            }
            Timing::InOrder | Timing::Delayed => (Moment::take(context, memory), memory, false),
        };
        for compiled in &self.by_reading {
            if is_late && !compiled.rule.needs_reading_only {
                continue;
            }
            let verdict = (compiled.rule.check)(&moment, memory, &compiled.values[class]);
            if verdict.level >= Level::Holding || follows(&compiled.key) {
                claims.push(compiled.claim(&verdict));
            }
        }
        // It speaks, so it is not silent; whether it is, only the clock can say: `silence`.
        if let Some(silence) = self.silence.as_ref().filter(|silence| !is_late && follows(&silence.key)) {
            claims.push(silence.claim(&Verdict::of(Level::Calm, 0.0, silence.values[class][0])));
        }
    }

    pub(super) fn class_of(&self, context: &Context<'_>) -> usize {
        self.class_number(context.record.map(|record| record.class.as_str()))
    }

    pub(super) fn class_number(&self, class: Option<&str>) -> usize {
        class.and_then(|class| self.classes.iter().position(|known| **known == *class)).unwrap_or(0)
    }
}

impl Default for Rules {
    /// As a fresh installation has them.
    fn default() -> Self {
        Self::new(&RuleSettings::default()).expect("the defaults name what the table has")
    }
}

impl Compiled {
    fn new(rule: &'static Rule, setting: &RuleSetting, classes: &[Box<str>]) -> Self {
        let of_class = |class: &str| {
            let mut values = [0.0; MAX_THRESHOLDS];
            for (value, threshold) in values.iter_mut().zip(rule.thresholds) {
                let own = setting.class.get(class).and_then(|own| own.get(threshold.name));
                *value = own.or_else(|| setting.thresholds.get(threshold.name)).copied().unwrap_or(threshold.default);
            }
            values
        };
        Self {
            rule,
            key: AlertKey::rule(rule.name),
            severity: setting.severity,
            values: classes.iter().map(|class| of_class(class)).collect(),
        }
    }

    pub fn claim(&self, verdict: &Verdict<'_>) -> Claim {
        let says_value = verdict.level >= Level::Holding;
        Claim {
            key: self.key.clone(),
            level: verdict.level,
            severity: verdict.severity.map_or(self.severity, |severity| severity.max(self.severity)),
            persistence: self.rule.persistence,
            value: says_value.then_some(verdict.value),
            limit: says_value.then_some(verdict.limit),
            summary: if verdict.level == Level::Raised { (self.rule.summary)(verdict).into() } else { Box::default() },
            score: None,
            explanation: Vec::new(),
        }
    }
}
