//! What one rule says about one reading, before it is a claim.

use crate::analytics::claim::Level;
use crate::domain::{Severity, SignalId};

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict<'a> {
    pub level: Level,
    pub value: f64,
    pub limit: f64,
    /// Where it is not the rule's own.
    pub severity: Option<Severity>,
    pub subject: Subject<'a>,
}

/// What it is about, where a rule looks at several things.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Subject<'a> {
    Rule,
    Signal(SignalId),
    Code(&'a str),
}

impl<'a> Verdict<'a> {
    pub const NOT_ASSESSED: Self = Self::of(Level::NotAssessed, 0.0, 0.0);

    pub const fn of(level: Level, value: f64, limit: f64) -> Self {
        Self { level, value, limit, severity: None, subject: Subject::Rule }
    }

    /// Raised at `limit` and above, calm below `close`.
    pub fn above(value: f64, limit: f64, close: f64) -> Self {
        let level = if value >= limit {
            Level::Raised
        } else if value >= close.min(limit) {
            Level::Holding
        } else {
            Level::Calm
        };
        Self::of(level, value, limit)
    }

    /// Raised at `limit` and below, calm above `close`.
    pub fn below(value: f64, limit: f64, close: f64) -> Self {
        Self { value, limit, ..Self::above(-value, -limit, -close) }
    }

    pub fn critical_if(mut self, is_critical: bool) -> Self {
        if is_critical && self.level == Level::Raised {
            self.severity = Some(Severity::Critical);
        }
        self
    }

    pub const fn about(mut self, subject: Subject<'a>) -> Self {
        self.subject = subject;
        self
    }

    /// The stronger of two, the first where they are equal.
    pub fn or(self, other: Self) -> Self {
        if other.level > self.level { other } else { self }
    }

    /// The name of the signal that it is about.
    pub fn signal_name(&self) -> &'static str {
        match self.subject {
            Subject::Signal(id) => {
                crate::domain::signal::SIGNALS.get(id.index()).map_or("a declared signal", |signal| signal.name)
            }
            Subject::Rule | Subject::Code(_) => "",
        }
    }
}
