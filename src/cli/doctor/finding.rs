//! One thing that `odograph doctor` found: verdict, where, what, why, what next; and how secrets stay out of it.

use std::fmt::Write as _;

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    Warning,
    Failed,
}

/// What a failure means for the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    Check,
    Settings,
    DependencyDown,
}

#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    pub check: &'static str,
    pub verdict: Verdict,
    #[serde(rename = "where")]
    place: String,
    what: String,
    why: Option<String>,
    next: Option<String>,
    /// A promise of the README that does not hold while it is so.
    pub breaks: Option<&'static str>,
    #[serde(skip)]
    pub cause: Cause,
}

impl Finding {
    pub fn ok(check: &'static str, place: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Ok,
            place: place.into(),
            what: what.into(),
            why: None,
            next: None,
            breaks: None,
            cause: Cause::Check,
        }
    }

    pub fn warning(check: &'static str, place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warning, ..Self::ok(check, place, what) }
    }

    pub fn failed(check: &'static str, place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { verdict: Verdict::Failed, ..Self::ok(check, place, what) }
    }

    pub fn because(self, why: impl Into<String>) -> Self {
        Self { why: Some(why.into()), ..self }
    }

    pub fn next(self, next: impl Into<String>) -> Self {
        Self { next: Some(next.into()), ..self }
    }

    pub fn breaks(self, promise: &'static str) -> Self {
        Self { breaks: Some(promise), ..self }
    }

    pub fn caused_by(self, cause: Cause) -> Self {
        Self { cause, ..self }
    }

    pub fn as_text(&self) -> String {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Failed => "FAILED",
        };
        let mut text = format!("{verdict:<8} {:<12} {}: {}\n", self.check, self.place, self.what);
        for (label, words) in [("why", &self.why), ("next", &self.next)] {
            if let Some(words) = words {
                let _never_fails = writeln!(text, "{:<22}{label}: {words}", "");
            }
        }
        text
    }
}

/// Whatever a file or the environment put between `://` and `@` may be a password: messages quote addresses.
pub fn without_secrets(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        clean.push_str(before);
        clean.push_str("://");
        let end = after.find(|character: char| character.is_whitespace() || "\"'`".contains(character)).unwrap_or(after.len());
        match after[..end].rfind('@') {
            Some(at) => {
                clean.push('…');
                rest = &after[at..];
            }
            None => rest = after,
        }
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_before_the_host_of_an_address_is_not_shown() {
        let text = "url is \"mqtt://user:sec@ret/x@broker:1883\"; mqtt://HOST:PORT is expected, a@b";
        assert_eq!(without_secrets(text), "url is \"mqtt://…@broker:1883\"; mqtt://HOST:PORT is expected, a@b");
    }
}
