//! An area on the map with a policy. Knows what a sound fence is; does not watch vehicles: `analytics::fences`.
//!
//! Edges are straight lines in longitude and latitude, as RFC 7946 §3.1.1 draws them. A shape that crosses the antimeridian is cut there
//! into two (§3.1.9); an edge that jumps over it is refused, since it would go the long way around the Earth.

mod area;
pub mod plane;
#[cfg(test)]
mod tests;
mod topology;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::finding::Severity;
use super::vehicle_record::{Class, Label};

pub use area::{Area, Flaw, InvalidShape, Polygon, Ring};
pub use plane::Place;

const MAX_ID_LENGTH: usize = 64;

/// Wider circles and corridors are meant as something else; within it, distances on a plane are good to 0.1 %.
const MAX_REACH_M: f64 = 100_000.0;

/// Such as "km/h of a train": faster limits are wrong units.
const MAX_SPEED_KM_PER_H: f32 = 300.0;

/// `[A-Za-z0-9_-]{1,64}`, since alert keys and addresses hold it; cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FenceId(Arc<str>);

#[derive(Debug, Clone, PartialEq)]
pub struct Fence {
    pub id: FenceId,
    /// For people; the id where nobody named it.
    pub name: Box<str>,
    pub shape: Shape,
    pub policy: Policy,
    /// What the source says beyond this, as a JSON object; it goes out again as it came in. Empty: nothing.
    pub kept: Box<str>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    Area(Area),
    Stroke(Stroke),
}

/// All places within a distance of a point (a circle) or of lines (a corridor).
#[derive(Debug, Clone, PartialEq)]
pub struct Stroke {
    lines: Vec<Vec<Place>>,
    reach_m: f64,
}

/// What a fence wants of the vehicles that it is for.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Nobody may be inside.
    pub on_enter: bool,
    /// Whoever was inside may not be outside.
    pub on_exit: bool,
    /// Nobody may be inside for longer.
    pub dwell: Option<Duration>,
    /// Nobody may be faster inside.
    pub max_speed_km_per_h: Option<f32>,
    /// Only vehicles of one of these groups or classes. Empty: all.
    pub groups: Vec<Label>,
    pub severity: Severity,
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PolicyError {
    #[error("it watches for nothing; `on` needs one of \"enter\", \"exit\", \"dwell\", \"speed\"")]
    Nothing,
    #[error("a dwell time of zero is what \"enter\" is for")]
    Dwell,
    #[error("a speed limit of {0} km/h is not above 0 and at most {MAX_SPEED_KM_PER_H}")]
    Speed(f32),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no fence id; write 1 to {MAX_ID_LENGTH} of A-Z, a-z, 0-9, _ and -")]
pub struct FenceIdError(String);

impl FenceId {
    /// # Errors
    /// Where `id` is not `[A-Za-z0-9_-]{1,64}`.
    pub fn new(id: &str) -> Result<Self, FenceIdError> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let is_id = !id.is_empty() && id.len() <= MAX_ID_LENGTH && id.bytes().all(is_allowed);
        if is_id { Ok(Self(id.into())) } else { Err(FenceIdError(id.chars().take(80).collect())) }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FenceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Stroke {
    /// # Errors
    /// [`InvalidShape`] where the radius is not plausible or a coordinate not on Earth.
    pub fn circle(centre: Place, radius_m: f64) -> Result<Self, InvalidShape> {
        Self::checked(vec![vec![centre]], radius_m)
    }

    /// All places within `buffer_m` of the lines; their ends are round.
    /// # Errors
    /// [`InvalidShape`] where a line has no length, jumps over the antimeridian or leaves the Earth, or the buffer is not plausible.
    pub fn corridor(lines: Vec<Vec<Place>>, buffer_m: f64) -> Result<Self, InvalidShape> {
        for (index, line) in lines.iter().enumerate() {
            let is_line = line.windows(2).any(|pair| pair[0] != pair[1]);
            if !is_line {
                return Err(Flaw::TooFewPoints { given: line.len(), needed: 2 }.of_ring(0, index));
            }
        }
        if lines.is_empty() {
            return Err(Flaw::Empty.of_ring(0, 0));
        }
        Self::checked(lines, buffer_m)
    }

    fn checked(lines: Vec<Vec<Place>>, reach_m: f64) -> Result<Self, InvalidShape> {
        for (index, line) in lines.iter().enumerate() {
            area::check_places(line).map_err(|flaw| flaw.in_ring(0, index))?;
        }
        if !(reach_m > 0.0 && reach_m <= MAX_REACH_M) {
            return Err(Flaw::Reach { given_m: reach_m, most_m: MAX_REACH_M }.of_ring(0, 0));
        }
        Ok(Self { lines, reach_m })
    }

    #[must_use]
    pub fn lines(&self) -> &[Vec<Place>] {
        &self.lines
    }

    #[must_use]
    pub const fn reach_m(&self) -> f64 {
        self.reach_m
    }

    /// A single point with a radius.
    #[must_use]
    pub fn centre(&self) -> Option<Place> {
        match self.lines.as_slice() {
            [line] if line.len() == 1 => Some(line[0]),
            _ => None,
        }
    }
}

impl Policy {
    /// # Errors
    /// Where it asks for nothing, or for something impossible.
    pub fn checked(self) -> Result<Self, PolicyError> {
        if !self.on_enter && !self.on_exit && self.dwell.is_none() && self.max_speed_km_per_h.is_none() {
            return Err(PolicyError::Nothing);
        }
        if self.dwell.is_some_and(|dwell| dwell.is_zero()) {
            return Err(PolicyError::Dwell);
        }
        match self.max_speed_km_per_h {
            Some(limit) if !(limit > 0.0 && limit <= MAX_SPEED_KM_PER_H) => Err(PolicyError::Speed(limit)),
            _ => Ok(self),
        }
    }

    /// Whether it is for a vehicle of this class and these groups.
    #[must_use]
    pub fn is_for(&self, class: &Class, groups: &[Label]) -> bool {
        let names = |label: &Label| label.as_str() == class.as_str() || groups.contains(label);
        self.groups.is_empty() || self.groups.iter().any(names)
    }
}
