//! Which fences a vehicle is in, or must come back into, and since when: what is remembered between readings, and its saved form.
//! Decides nothing: `watch`.

use crate::analytics::bytes::{ByteReader, Damaged};
use crate::domain::{FenceId, Timestamp};

/// Fences that one vehicle can be followed in at once. Beyond it those that it left longest ago are forgotten, and where it is inside
/// all of them, further ones are not watched, and counted.
pub const MAX_MEMBERSHIPS: usize = 64;

/// What is known about one vehicle and all fences. Without heap memory as long as there is nothing to know.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Memberships(Vec<Membership>);

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Membership {
    pub fence: FenceId,
    pub standing: Standing,
    /// When it began, between two readings.
    pub since: Timestamp,
    /// Kinds that had something to say and may have to be called off.
    pub claimed: Kinds,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Inside,
    /// It was inside, and should be.
    Left,
    /// It went through between two readings.
    Passed,
}

/// A set of enter, exit, dwell, speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Kinds(u8);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Enter,
    Exit,
    Dwell,
    Speed,
}

impl Memberships {
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it is inside, as far as the last reading said.
    #[must_use]
    pub fn is_inside(&self, fence: &FenceId) -> bool {
        self.get(fence).is_some_and(|membership| membership.standing == Standing::Inside)
    }

    /// Appends the saved form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::try_from(self.0.len()).expect("at most 64"));
        for membership in &self.0 {
            let id = membership.fence.as_str().as_bytes();
            out.push(u8::try_from(id.len()).expect("at most 64"));
            out.extend(id);
            out.push(membership.standing as u8);
            out.extend(membership.since.as_micros().to_le_bytes());
            out.push(membership.claimed.0);
        }
    }

    /// # Errors
    /// `Damaged` where the bytes are not what `encode` writes.
    pub fn decode(from: &mut ByteReader<'_>) -> Result<Self, Damaged> {
        const WHAT: &str = "fence memberships";
        let count = usize::from(from.take_u8(WHAT)?);
        if count > MAX_MEMBERSHIPS {
            return Err(Damaged { what: WHAT });
        }
        let mut memberships = Vec::with_capacity(count);
        for _ in 0..count {
            let length = usize::from(from.take_u8(WHAT)?);
            let id = std::str::from_utf8(from.take(length, WHAT)?).ok().and_then(|id| FenceId::new(id).ok());
            let fence = id.ok_or(Damaged { what: WHAT })?;
            let standing = match from.take_u8(WHAT)? {
                0 => Standing::Inside,
                1 => Standing::Left,
                2 => Standing::Passed,
                _ => return Err(Damaged { what: WHAT }),
            };
            let since = Timestamp::from_micros(from.take_i64(WHAT)?);
            memberships.push(Membership { fence, standing, since, claimed: Kinds(from.take_u8(WHAT)?) });
        }
        Ok(Self(memberships))
    }

    pub(super) fn get(&self, fence: &FenceId) -> Option<&Membership> {
        self.0.iter().find(|membership| membership.fence == *fence)
    }

    /// False where there is no room.
    pub(super) fn admit(&mut self, membership: Membership) -> bool {
        if self.0.len() >= MAX_MEMBERSHIPS {
            let left = self.0.iter().enumerate().filter(|(_, other)| other.standing == Standing::Left);
            let Some((oldest, _)) = left.min_by_key(|(_, other)| other.since) else { return false };
            self.0.remove(oldest);
        }
        self.0.push(membership);
        true
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&mut Membership) -> bool) {
        self.0.retain_mut(keep);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
    }
}

impl Membership {
    /// A vehicle that has not been there.
    pub(super) fn none(fence: FenceId) -> Self {
        Self { fence, standing: Standing::Passed, since: Timestamp::default(), claimed: Kinds::default() }
    }
}

impl Kinds {
    pub(super) const fn with(self, kind: Kind) -> Self {
        Self(self.0 | 1 << kind as u8)
    }

    pub(super) const fn has(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Enter, Self::Exit, Self::Dwell, Self::Speed];

    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Enter => "enter",
            Self::Exit => "exit",
            Self::Dwell => "dwell",
            Self::Speed => "speed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memberships(count: usize) -> Memberships {
        let mut memberships = Memberships::default();
        for number in 0..count {
            let standing = [Standing::Inside, Standing::Left, Standing::Passed][number % 3];
            let fence = FenceId::new(&format!("fence-{number}")).unwrap();
            let since = Timestamp::from_micros(i64::try_from(number).unwrap());
            memberships.admit(Membership { fence, standing, since, claimed: Kinds::default().with(Kind::Dwell) });
        }
        memberships
    }

    #[test]
    fn what_was_saved_is_read_again_and_nothing_shorter_is() {
        let memberships = memberships(5);
        let mut bytes = Vec::new();
        memberships.encode(&mut bytes);
        assert_eq!(Memberships::decode(&mut ByteReader::new(&bytes)).unwrap(), memberships);
        for length in 0..bytes.len() {
            assert!(Memberships::decode(&mut ByteReader::new(&bytes[..length])).is_err(), "{length} bytes");
        }
        let mut none = Vec::new();
        Memberships::default().encode(&mut none);
        assert_eq!(none, [0], "one byte for a vehicle in no fence");
    }

    #[test]
    fn the_fence_that_was_left_longest_ago_makes_room() {
        let mut memberships = memberships(MAX_MEMBERSHIPS);
        let fence = |text: &str| FenceId::new(text).unwrap();
        let more = |id: &str| Membership {
            fence: fence(id),
            standing: Standing::Inside,
            since: Timestamp::from_micros(1_000),
            claimed: Kinds::default(),
        };
        assert!(memberships.admit(more("more")));
        assert_eq!(memberships.len(), MAX_MEMBERSHIPS);
        assert!(memberships.get(&fence("fence-1")).is_none() && memberships.get(&fence("fence-4")).is_some());
        let admitted = (0..MAX_MEMBERSHIPS).filter(|number| memberships.admit(more(&format!("n{number}")))).count();
        assert_eq!(admitted, 20, "every fence that was left, and none that it is in");
        assert!(memberships.is_inside(&fence("more")) && memberships.is_inside(&fence("fence-0")));
    }
}
