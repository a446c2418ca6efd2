//! Which rules are on, their severities and thresholds, and what differs by class of vehicle. What the rules do: `analytics::rules`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::analytics::rules::RULES;
use crate::domain::{Label, Severity};

/// The section `[rules]`. The table of rules says which there are: names that it does not have are mistakes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// Names of rules that are switched off.
    pub disabled: Vec<String>,
    /// `[rules.overheating]` and so on.
    #[serde(flatten)]
    pub rules: BTreeMap<String, RuleSetting>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleSetting {
    #[serde(serialize_with = "write_severity", deserialize_with = "read_severity")]
    pub severity: Severity,
    /// By the names of the table.
    #[serde(flatten)]
    pub thresholds: BTreeMap<String, f64>,
    /// `[rules.overheating.class.heavy_truck]`: thresholds of one class; the others stand.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub class: BTreeMap<String, BTreeMap<String, f64>>,
}

impl Rules {
    /// What is wrong, in words for the person who wrote it.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
        let mut problems = Vec::new();
        for name in self.disabled.iter().filter(|name| !names.contains(&name.as_str())) {
            problems.push(format!("`rules.disabled` names {name:?}, which is no rule{}", nearest(&names, name)));
        }
        for (name, setting) in &self.rules {
            match RULES.iter().find(|rule| rule.name == name) {
                None => problems.push(format!("`rules.{name}` is no rule{}", nearest(&names, name))),
                Some(rule) => {
                    let known: Vec<&str> = rule.thresholds.iter().map(|threshold| threshold.name).collect();
                    check_values(&format!("rules.{name}"), &known, &setting.thresholds, &mut problems);
                    for (class, own) in &setting.class {
                        if Label::new(class).is_err() {
                            problems.push(format!("`rules.{name}.class.{class}`: a class is 1 to 64 of A-Z, a-z, 0-9, _ and -"));
                        }
                        check_values(&format!("rules.{name}.class.{class}"), &known, own, &mut problems);
                    }
                }
            }
        }
        problems
    }
}

fn check_values(place: &str, known: &[&str], values: &BTreeMap<String, f64>, problems: &mut Vec<String>) {
    for (name, value) in values {
        if !known.contains(&name.as_str()) {
            problems.push(format!("`{place}.{name}` is no threshold of this rule{}", nearest(known, name)));
        } else if !value.is_finite() {
            problems.push(format!("`{place}.{name}` is {value}; it must be a number"));
        }
    }
}

fn nearest(known: &[&str], name: &str) -> String {
    let nearest = known.iter().min_by_key(|known| strsim::damerau_levenshtein(known, name));
    nearest.map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"))
}

impl Default for Rules {
    fn default() -> Self {
        let setting = |rule: &crate::analytics::rules::Rule| {
            let mut class: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
            for (name, threshold, value) in rule.by_class {
                class.entry((*name).to_owned()).or_default().insert((*threshold).to_owned(), *value);
            }
            let thresholds = rule.thresholds.iter().map(|threshold| (threshold.name.to_owned(), threshold.default)).collect();
            (rule.name.to_owned(), RuleSetting { severity: rule.severity, thresholds, class })
        };
        Self { disabled: Vec::new(), rules: RULES.iter().map(setting).collect() }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn write_severity<S: Serializer>(severity: &Severity, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(severity.code())
}

fn read_severity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Severity, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wanted = || Severity::ALL.iter().map(|severity| severity.code()).collect::<Vec<_>>().join(", ");
    Severity::from_code(&text).ok_or_else(|| de::Error::custom(format!("{text:?} is no severity; write one of {}", wanted())))
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "what was written is read")]
mod tests {
    use super::*;
    use crate::settings::{Settings, SettingsError, Sources};

    #[test]
    fn names_that_no_rule_has_are_mistakes_with_a_suggestion() {
        let mut rules = Rules::default();
        assert_eq!(rules.problems(), Vec::<String>::new());
        rules.disabled.push("overheatin".to_owned());
        let overheating = rules.rules.get_mut("overheating").unwrap();
        overheating.thresholds.insert("limt".to_owned(), 100.0);
        overheating.class.entry("van".to_owned()).or_default().insert("clos".to_owned(), f64::NAN);
        let problems = rules.problems();
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[0].contains("did you mean `overheating`?"), "{problems:?}");
        assert!(problems[1].contains("did you mean `limit`?"), "{problems:?}");
        assert!(problems[2].contains("rules.overheating.class.van.clos"), "{problems:?}");
    }

    fn loaded(text: &str) -> Result<Settings, SettingsError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("odograph.toml");
        std::fs::write(&file, text).unwrap();
        let environment = vec![("ODOGRAPH__RULES__OVERHEATING__CLOSE".to_owned(), "99".to_owned())];
        Settings::load(&Sources { file: Some(file), environment, ..Sources::default() })
    }

    #[test]
    fn a_file_sets_thresholds_for_all_and_for_classes_that_only_it_knows() {
        let text = "[rules]\ndisabled = [\"over_speed\"]\n[rules.overheating]\nlimit = 108\nseverity = \"critical\"\n\
                    [rules.overheating.class.bus]\nlimit = 104.5\n";
        let rules = loaded(text).unwrap().rules;
        let overheating = &rules.rules["overheating"];
        assert_eq!((overheating.severity, rules.disabled.len()), (Severity::Critical, 1));
        assert_eq!((overheating.thresholds["limit"], overheating.thresholds["close"]), (108.0, 99.0));
        assert_eq!(overheating.class.keys().collect::<Vec<_>>(), ["bus"], "the shipped classes of this rule are replaced");
        assert_eq!(overheating.class["bus"]["limit"], 104.5);
        assert_eq!(rules.rules.len(), RULES.len());
    }

    #[test]
    fn mistakes_in_a_file_are_named_with_what_was_meant() {
        let mistakes = |text| loaded(text).unwrap_err().to_string();
        assert!(mistakes("[rules.overheatin]\nlimit = 1.0\n").contains("did you mean `rules.overheating"));
        assert!(mistakes("[rules.overheating]\nlimt = 1.0\n").contains("did you mean `rules.overheating.limit`?"));
        assert!(mistakes("[rules.overheating.class.bus]\nlimt = 1.0\n").contains("did you mean `limit`?"));
        assert!(mistakes("[rules.overheating]\nseverity = \"bad\"\n").contains("info, warning, critical"));
        assert!(mistakes("[rules.overheating]\nlimit = \"hot\"\n").contains("rules.overheating.limit"));
    }
}
