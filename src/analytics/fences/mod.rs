//! Watches which vehicles are where they should not be, or are not where they should be. Turns readings into claims; whether anybody
//! hears of them is `alerting`'s. What a fence is: `domain::fence`; as a file: `wire::geojson`.
//!
//! What is claimed, while it is so:
//! - `enter` is raised while the vehicle is inside; and once where it went through between two readings.
//! - `exit` is raised while the vehicle is outside after it was inside, until it is back.
//! - `dwell` is raised while it is inside and has been for longer than allowed, from the moment at which it crossed the edge.
//! - `speed` is raised while it is inside and faster than allowed; holding down to 3 km/h below.
//!
//! Receivers are inaccurate, so a vehicle is inside only once it is deeper than a margin, and outside only once it is farther away than
//! the margin: `margin = 3 × accuracy`, at least 10 m and at most 100 m, 30 m where no accuracy is told; inwards never more than half
//! the depth of the fence (area / boundary ≤ the radius of the largest circle inside; half of that). `accuracy_m` holds the true place
//! with 68 % probability (Android, `Location.getAccuracy`), so 3 of them are more than 4 standard deviations across an edge: a
//! vehicle that stands on the edge goes back and forth less than once in 100,000 readings.
//!
//! Between two readings at most 5 minutes apart the way is taken as straight.

mod ground;
mod memberships;
mod metric;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::HashMap;

use rstar::primitives::{GeomWithData, Rectangle};
use rstar::{AABB, RTree};
use smallvec::SmallVec;

use super::claim::Claim;
use crate::domain::fence::{Place, Policy};
use crate::domain::{AlertKey, Class, Fence, FenceId, Label, Position, Timestamp};

pub use memberships::{MAX_MEMBERSHIPS, Memberships};

use ground::Ground;
use memberships::{Kind, Membership};
use watch::Way;

/// All fences, ready to be asked: an R-tree of their boxes, and one of the edges of each.
#[derive(Debug, Default)]
pub struct FenceSet {
    fences: Vec<Watched>,
    index: RTree<IndexEntry>,
    by_id: HashMap<FenceId, u32>,
}

type IndexEntry = GeomWithData<Rectangle<[f64; 2]>, u32>;

#[derive(Debug)]
struct Watched {
    id: FenceId,
    name: Box<str>,
    policy: Policy,
    ground: Ground,
    keys: [AlertKey; Kind::ALL.len()],
}

/// One reading, and the one before it.
#[derive(Debug, Clone, Copy)]
pub struct Sighting<'a> {
    /// The newest position before this one that could be believed.
    pub previous: Option<(Position, Timestamp)>,
    pub position: Position,
    pub recorded_at: Timestamp,
    pub speed_km_per_h: Option<f32>,
    pub class: &'a Class,
    pub groups: &'a [Label],
}

impl FenceSet {
    /// Of fences with the same id the last one counts.
    #[must_use]
    pub fn compile(fences: Vec<Fence>) -> Self {
        let mut by_id = HashMap::with_capacity(fences.len());
        let mut boxes = Vec::with_capacity(fences.len());
        let mut watched = Vec::with_capacity(fences.len());
        for (number, fence) in (0..).zip(fences) {
            let fence = Watched::new(fence);
            by_id.insert(fence.id.clone(), number);
            watched.push(fence);
        }
        for number in by_id.values() {
            let of_fence = watched[*number as usize].ground.boxes();
            boxes.extend(of_fence.into_iter().map(|held| IndexEntry::new(Rectangle::from(held), *number)));
        }
        // The map has no order, and the tree shall be the same every time.
        boxes.sort_unstable_by_key(|entry| entry.data);
        Self { fences: watched, index: RTree::bulk_load(boxes), by_id }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The fences around a place, whoever they are for and without any margin. On the boundary is inside.
    pub fn around(&self, position: &Position) -> impl Iterator<Item = &FenceId> {
        let place = place_of(position);
        let mut found: SmallVec<[u32; 8]> = self.near(AABB::from_point([place.longitude, place.latitude]));
        found.retain(|number| self.fences[*number as usize].ground.contains(place));
        found.into_iter().map(|number| &self.fences[number as usize].id)
    }

    /// Appends what the fences say about one reading. Readings that are late or ahead of time, have no position, or one that cannot be
    /// believed, are not for it. Returns how many fences were not watched for want of room.
    ///
    /// Claims below raised come only for what was raised before, once: with it the alert ends.
    pub fn check(&self, sighting: &Sighting<'_>, memory: &mut Memberships, claims: &mut Vec<Claim>) -> usize {
        if memory.is_empty() && self.is_empty() {
            return 0;
        }
        let way = Way::of(sighting);
        let mut known: SmallVec<[u32; 8]> = SmallVec::new();
        memory.retain(|membership| {
            let number = self.by_id.get(&membership.fence).copied();
            let watched = number.map(|number| &self.fences[number as usize]);
            known.extend(number);
            if let Some(fence) = watched.filter(|fence| fence.policy.is_for(sighting.class, sighting.groups)) {
                return fence.follow(&way, sighting, membership, claims);
            }
            watch::call_off(membership, claims);
            false
        });
        let mut without_room = 0;
        for leg in way.legs() {
            for number in self.near(leg.envelope()) {
                let fence = &self.fences[number as usize];
                if known.contains(&number) || !fence.policy.is_for(sighting.class, sighting.groups) {
                    continue;
                }
                known.push(number);
                let claimed_so_far = claims.len();
                let mut membership = Membership::none(fence.id.clone());
                let is_watched = !fence.follow(&way, sighting, &mut membership, claims) || memory.admit(membership);
                if !is_watched {
                    claims.truncate(claimed_so_far);
                    without_room += 1;
                }
            }
        }
        without_room
    }

    fn near(&self, envelope: AABB<[f64; 2]>) -> SmallVec<[u32; 8]> {
        self.index.locate_in_envelope_intersecting(envelope).map(|entry| entry.data).collect()
    }
}

impl Watched {
    fn new(fence: Fence) -> Self {
        let ground = Ground::new(&fence.shape);
        let keys = Kind::ALL.map(|kind| AlertKey::fence(fence.id.as_str(), kind.code()));
        Self { id: fence.id, name: fence.name, policy: fence.policy, ground, keys }
    }
}

fn place_of(position: &Position) -> Place {
    Place { longitude: position.longitude(), latitude: position.latitude() }
}
