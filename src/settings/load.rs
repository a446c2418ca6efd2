//! Lays file, environment and flags over the defaults, and names every mistake at once.

use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::Settings;

const ENVIRONMENT_PREFIX: &str = "ODOGRAPH__";

/// Where settings come from besides the defaults; the later wins: file, environment, flags.
#[derive(Debug, Default)]
pub struct Sources {
    pub file: Option<PathBuf>,
    /// All variables of the process; only those that begin with `ODOGRAPH__` count.
    pub environment: Vec<(String, String)>,
    /// Dotted key, the flag's name for messages, and the value as text.
    pub flags: Vec<(&'static str, &'static str, String)>,
}

/// One mistake: where it stands, which key, what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub place: String,
    pub problem: String,
}

/// Every mistake of all sources.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SettingsError {
    pub mistakes: Vec<Mistake>,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.mistakes.len();
        write!(formatter, "{number} mistake{} in the settings:", if number == 1 { "" } else { "s" })?;
        for mistake in &self.mistakes {
            write!(formatter, "\n  {}: {}", mistake.place, mistake.problem)?;
        }
        Ok(())
    }
}

impl Settings {
    /// # Errors
    /// With all mistakes of file, environment, flags and of values that do not go together.
    pub fn load(sources: &Sources) -> Result<Self, SettingsError> {
        let mut overlay = Overlay::new();
        if let Some(path) = &sources.file {
            overlay.file(path);
        }
        for (name, text) in &sources.environment {
            if let Some(key) = name.strip_prefix(ENVIRONMENT_PREFIX) {
                let path: Vec<String> = key.split("__").map(str::to_ascii_lowercase).collect();
                overlay.text(&path, text, name);
            }
        }
        for (key, flag, text) in &sources.flags {
            let path: Vec<String> = key.split('.').map(str::to_owned).collect();
            overlay.text(&path, text, flag);
        }
        overlay.finish()
    }

    /// The whole tree as TOML, every key present.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("settings consist of tables, texts, numbers and lists")
    }

    /// For showing: whoever reads over a shoulder learns no password.
    #[must_use]
    pub fn without_passwords(mut self) -> Self {
        if let Some((before, after)) = self.archive.url.rsplit_once('@')
            && let Some((scheme, user)) = before.split_once("://")
            && let Some((user, _password)) = user.split_once(':')
        {
            self.archive.url = format!("{scheme}://{user}:***@{after}");
        }
        if let Some((address, parameters)) = self.archive.url.split_once('?') {
            let hidden = parameters.split('&').map(|pair| if pair.starts_with("password=") { "password=***" } else { pair });
            self.archive.url = format!("{address}?{}", hidden.collect::<Vec<_>>().join("&"));
        }
        self
    }

    /// The environment and nothing else of this process that `load` looks at.
    #[must_use]
    pub fn environment() -> Vec<(String, String)> {
        let text =
            |(name, value): (std::ffi::OsString, std::ffi::OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        std::env::vars_os().filter_map(text).filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX)).collect()
    }
}

/// The tree so far, and what went wrong on the way.
struct Overlay {
    defaults: Table,
    values: Table,
    mistakes: Vec<Mistake>,
}

impl Overlay {
    fn new() -> Self {
        let defaults = Table::try_from(Settings::default()).expect("settings consist of tables, texts, numbers and lists");
        Self { values: defaults.clone(), defaults, mistakes: Vec::new() }
    }

    fn mistake(&mut self, place: impl Into<String>, problem: impl Into<String>) {
        self.mistakes.push(Mistake { place: place.into(), problem: problem.into() });
    }

    fn file(&mut self, path: &Path) {
        let place = path.display().to_string();
        match std::fs::read_to_string(path) {
            Err(error) => self.mistake(place, format!("cannot be read: {error}")),
            Ok(text) => match text.parse::<Table>() {
                Err(error) => self.mistake(place, error.to_string().trim_end().replace('\n', "\n    ")),
                Ok(table) => self.table(&mut Vec::new(), table, &place),
            },
        }
    }

    fn table(&mut self, path: &mut Vec<String>, table: Table, place: &str) {
        for (key, value) in table {
            path.push(key);
            match (lookup(&self.defaults, path), value) {
                (_, value) if is_open(path) => self.set(path, value, place),
                (Some(Value::Table(_)), Value::Table(inner)) => self.table(path, inner, place),
                (Some(Value::Table(_)), value) => {
                    let problem = format!("`{}` is a section, not {}", path.join("."), describe(&value));
                    self.mistake(place, problem);
                }
                (_, value) => self.set(path, value, place),
            }
            path.pop();
        }
    }

    /// A value that arrives as text takes the kind of its default.
    fn text(&mut self, path: &[String], text: &str, place: &str) {
        let value = match lookup(&self.defaults, path) {
            Some(Value::Integer(_)) => text.parse().map(Value::Integer).map_err(|_| "a whole number"),
            Some(Value::Float(_)) => text.parse().map(Value::Float).map_err(|_| "a number"),
            Some(Value::Boolean(_)) => text.parse().map(Value::Boolean).map_err(|_| "true or false"),
            Some(Value::Array(_)) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Ok(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()))
            }
            Some(Value::Table(_)) => Err("a key inside this section; the section itself takes no value"),
            _ => Ok(Value::String(text.to_owned())),
        };
        match value {
            Ok(value) => self.set(path, value, place),
            Err(wanted) => self.mistake(place, format!("{text:?} will not do: expected {wanted}")),
        }
    }

    /// Tries the value alone over the defaults, so that each mistake is found whatever the others are.
    fn set(&mut self, path: &[String], value: Value, place: &str) {
        if lookup(&self.defaults, path).is_none() && !is_open(path) {
            let problem = format!("`{}` is no setting{}", path.join("."), suggest(&self.defaults, path));
            return self.mistake(place, problem);
        }
        let mut alone = self.defaults.clone();
        replace(&mut alone, path, value.clone());
        match Value::Table(alone).try_into::<Settings>() {
            Ok(_) => replace(&mut self.values, path, value),
            Err(error) => {
                let problem = format!("`{}`: {}", path.join("."), error.message());
                self.mistake(place, problem);
            }
        }
    }

    fn finish(mut self) -> Result<Settings, SettingsError> {
        let settings: Settings = Value::Table(self.values).try_into().expect("every value was tried alone");
        self.mistakes
            .extend(settings.contradictions().into_iter().map(|problem| Mistake { place: "together".to_owned(), problem }));
        if self.mistakes.is_empty() { Ok(settings) } else { Err(SettingsError { mistakes: self.mistakes }) }
    }
}

/// `rules.NAME.class` has whatever classes a deployment has: it is set as a whole.
fn is_open(path: &[String]) -> bool {
    matches!(path, [section, _, key] if section == "rules" && key == "class")
}

fn lookup<'a>(table: &'a Table, path: &[String]) -> Option<&'a Value> {
    let (last, sections) = path.split_last()?;
    sections.iter().try_fold(table, |table, key| table.get(key)?.as_table())?.get(last)
}

fn replace(table: &mut Table, path: &[String], value: Value) {
    let (last, sections) = path.split_last().expect("a key has at least one part");
    let mut table = table;
    for key in sections {
        table = table.get_mut(key).and_then(Value::as_table_mut).expect("looked up before");
    }
    table.insert(last.clone(), value);
}

fn describe(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) | Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Array(_) => "a list",
        Value::Table(_) => "a section",
        Value::Datetime(_) => "a time",
    }
}

/// The nearest of all known keys, whichever section it is in: a right key in the wrong section is the commonest mistake.
fn suggest(defaults: &Table, path: &[String]) -> String {
    let mut known = Vec::new();
    collect_keys(defaults, "", &mut known);
    let wanted = path.join(".");
    let last = path.last().map_or("", String::as_str);
    let distance = |key: &String| {
        let whole = strsim::damerau_levenshtein(key, &wanted);
        let same_name = key.rsplit('.').next() == Some(last);
        if same_name { whole.min(1) } else { whole }
    };
    match known.into_iter().map(|key| (distance(&key), key)).min() {
        Some((distance, key)) if distance <= 3.max(wanted.len() / 3) => format!("; did you mean `{key}`?"),
        _ => "; `odograph config show` lists all of them".to_owned(),
    }
}

fn collect_keys(table: &Table, prefix: &str, into: &mut Vec<String>) {
    for (key, value) in table {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        if let Value::Table(inner) = value {
            collect_keys(inner, &path, into);
        }
        into.push(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_file(text: &str) -> Result<Settings, SettingsError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("odograph.toml");
        std::fs::write(&file, text).unwrap();
        Settings::load(&Sources { file: Some(file), ..Sources::default() })
    }

    #[test]
    fn the_commented_example_file_lists_every_setting_with_its_default() {
        let text = include_str!("../../odograph.toml");
        assert_eq!(from_file(text).unwrap(), Settings::default());
        let example: Table = text.parse().unwrap();
        let defaults = Table::try_from(Settings::default()).unwrap();
        assert_eq!(example, defaults, "odograph.toml and the defaults have the same keys");
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let error =
            from_file("[mqtt]\nadress = \"0.0.0.0:1883\"\nack_timeout = \"10 parsecs\"\n[journal]\nmax = 12\n").unwrap_err();
        let text = error.to_string();
        assert_eq!(error.mistakes.len(), 3, "{text}");
        assert!(text.contains("did you mean `mqtt.address`?"), "{text}");
        assert!(text.contains("10 parsecs"), "{text}");
        assert!(text.contains("journal.max"), "{text}");
    }

    #[test]
    fn a_right_key_in_the_wrong_section_is_sent_to_the_right_one() {
        let error = from_file("[mqtt]\nretention = \"7d\"\n").unwrap_err();
        assert!(error.to_string().contains("did you mean `ingest.retention`?"), "{error}");
    }

    #[test]
    fn flags_win_over_environment_and_environment_over_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("odograph.toml");
        std::fs::write(&file, "data = \"a\"\n[analytics]\nlanes = 2\nbatch_max = 7\n").unwrap();
        let settings = Settings::load(&Sources {
            file: Some(file),
            environment: vec![
                ("ODOGRAPH__ANALYTICS__LANES".to_owned(), "3".to_owned()),
                ("ODOGRAPH__DATA".to_owned(), "b".to_owned()),
                ("HOME".to_owned(), "/root".to_owned()),
            ],
            flags: vec![("data", "--data", "c".to_owned())],
        })
        .unwrap();
        assert_eq!((settings.data.to_str().unwrap(), settings.analytics.lanes, settings.analytics.batch_max), ("c", 3, 7));
    }

    #[test]
    fn an_unknown_variable_is_an_error_too() {
        let environment = vec![("ODOGRAPH__ANALYTICS__LANE".to_owned(), "3".to_owned())];
        let error = Settings::load(&Sources { environment, ..Sources::default() }).unwrap_err();
        assert!(error.to_string().contains("did you mean `analytics.lanes`?"), "{error}");
    }

    #[test]
    fn values_that_do_not_go_together_are_named() {
        let error = from_file("[journal]\nsegment = \"64MiB\"\nmax = \"64MiB\"\n").unwrap_err();
        assert!(error.to_string().contains("journal.max"), "{error}");
    }
}
