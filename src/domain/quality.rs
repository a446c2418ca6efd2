//! What about a reading cannot be believed. Bad data is not a bad vehicle: it is kept, shown as such, and not scored. Judges nothing:
//! `analytics::quality`.

use serde::{Deserialize, Serialize};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::codes::codes;
use super::signal::{SIGNALS, SignalId};

/// The verdicts on one reading; none by default. What is outside its plausible range is not here: the decoder moved it to `rejected`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Form", into = "Form")]
pub struct Quality {
    /// Signals that repeat themselves while the vehicle does not, one bit each; only built-in ones.
    pub stuck: u64,
    pub position: Option<PositionVerdict>,
    /// The vehicle's clock stands: it says the same time again and again.
    pub is_clock_frozen: bool,
    /// Another reading had the same number in the same boot.
    pub has_sequence_conflict: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PositionVerdict {
    /// Farther from the last position than anything drives.
    Jump,
    /// The same to the last digit while the vehicle drives.
    Frozen,
}

/// What can be wrong, for counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    Stuck,
    PositionJump,
    PositionFrozen,
    ClockFrozen,
    SequenceConflict,
}

codes!(PositionVerdict { Jump = "jump", Frozen = "frozen" });

codes!(Flaw {
    Stuck = "stuck",
    PositionJump = "position_jump",
    PositionFrozen = "position_frozen",
    ClockFrozen = "clock_frozen",
    SequenceConflict = "sequence_conflict",
});

impl Quality {
    /// Nothing is wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        *self == Self::default()
    }

    #[must_use]
    pub const fn has(&self, flaw: Flaw) -> bool {
        match flaw {
            Flaw::Stuck => self.stuck != 0,
            Flaw::PositionJump => matches!(self.position, Some(PositionVerdict::Jump)),
            Flaw::PositionFrozen => matches!(self.position, Some(PositionVerdict::Frozen)),
            Flaw::ClockFrozen => self.is_clock_frozen,
            Flaw::SequenceConflict => self.has_sequence_conflict,
        }
    }

    /// The names of the signals that are stuck, in the order of the table.
    pub fn stuck_names(&self) -> impl Iterator<Item = &'static str> {
        let stuck = self.stuck;
        SIGNALS.iter().enumerate().filter(move |(index, _)| stuck >> index & 1 == 1).map(|(_, signal)| signal.name)
    }

    /// The bits of signals by name; names that the table does not know are left out.
    pub fn bits_of<'a>(names: impl IntoIterator<Item = &'a str>) -> u64 {
        let index = |name: &str| SIGNALS.iter().position(|signal| signal.name == name).and_then(SignalId::from_index);
        names.into_iter().filter_map(index).fold(0, |bits, id| bits | 1 << id.index())
    }
}

/// As JSON, in the archive and in the API: only what is wrong.
#[derive(Serialize, Deserialize, ToSchema)]
struct Form {
    /// Signals that repeat themselves while the vehicle does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    stuck: Vec<String>,
    /// `jump`, or `frozen` while the vehicle drives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    position: Option<String>,
    /// `frozen`: the vehicle's clock stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    clock: Option<String>,
    /// `conflict`: another reading had the same number in the same boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    sequence: Option<String>,
}

const FROZEN: &str = "frozen";
const CONFLICT: &str = "conflict";

impl PartialSchema for Quality {
    fn schema() -> RefOr<Schema> {
        Form::schema()
    }
}

impl ToSchema for Quality {}

impl From<Quality> for Form {
    fn from(quality: Quality) -> Self {
        Self {
            stuck: quality.stuck_names().map(str::to_owned).collect(),
            position: quality.position.map(|verdict| verdict.code().to_owned()),
            clock: quality.is_clock_frozen.then(|| FROZEN.to_owned()),
            sequence: quality.has_sequence_conflict.then(|| CONFLICT.to_owned()),
        }
    }
}

impl From<Form> for Quality {
    fn from(form: Form) -> Self {
        Self {
            stuck: Self::bits_of(form.stuck.iter().map(String::as_str)),
            position: form.position.as_deref().and_then(PositionVerdict::from_code),
            is_clock_frozen: form.clock.as_deref() == Some(FROZEN),
            has_sequence_conflict: form.sequence.as_deref() == Some(CONFLICT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::signal;

    #[test]
    fn json_says_only_what_is_wrong_and_comes_back() {
        let quality = Quality { stuck: 1 << signal::SPEED.index(), position: Some(PositionVerdict::Jump), ..Quality::default() };
        let text = serde_json::to_string(&quality).unwrap();
        assert_eq!(text, r#"{"stuck":["speed_km_per_h"],"position":"jump"}"#);
        assert_eq!(serde_json::from_str::<Quality>(&text).unwrap(), quality);
        let rest = Quality { is_clock_frozen: true, has_sequence_conflict: true, ..Quality::default() };
        let text = serde_json::to_string(&rest).unwrap();
        assert_eq!(text, r#"{"clock":"frozen","sequence":"conflict"}"#);
        assert_eq!(serde_json::from_str::<Quality>(&text).unwrap(), rest);
        assert_eq!(serde_json::to_string(&Quality::default()).unwrap(), "{}");
    }
}
