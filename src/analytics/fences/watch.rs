//! One fence, one vehicle, one reading: where it stands now, and what is claimed about that. The formulas stand in `fences`.

use std::time::Duration;

use rstar::AABB;
use smallvec::SmallVec;

use super::ground::{Leg, between};
use super::memberships::{Kind, Kinds, Membership, Standing};
use super::{Sighting, Watched, place_of};
use crate::analytics::claim::{Claim, Level, Persistence};
use crate::domain::fence::Place;
use crate::domain::{AlertKey, Severity, Timestamp};

/// Over a longer gap the way is anybody's guess. As long as a vehicle counts as live by default.
const LONGEST_WAY: Duration = Duration::from_mins(5);

const MARGIN_PER_ACCURACY: f64 = 3.0;
const LEAST_MARGIN_M: f64 = 10.0;
const MOST_MARGIN_M: f64 = 100.0;
/// Where no accuracy is told: 3 times the 10 m that receivers reach in towns.
const MARGIN_WITHOUT_ACCURACY_M: f64 = 30.0;

/// What speed cameras in Germany allow below 100 km/h.
const SPEED_HYSTERESIS_KM_PER_H: f32 = 3.0;

/// Halvings of a way when the moment of a crossing is looked for: 5 minutes to a tenth of a second.
const HALVINGS: u32 = 12;

/// Margins have made sure of it: one reading is enough, to open and to close.
const AT_ONCE: Persistence = Persistence { raised: 1, of: 1, calm_for: Duration::ZERO, calm_readings: 1 };

/// From the previous reading to this one, if that is not too long ago.
#[derive(Debug)]
pub(super) struct Way {
    legs: SmallVec<[Leg; 2]>,
    begins: Timestamp,
    ends: Timestamp,
    to: Place,
    margin_m: f64,
}

/// What one reading shows.
enum Seen {
    Outside,
    StillInside,
    Entered(Timestamp),
    Left(Timestamp),
    /// It was in there between the readings.
    Through(Timestamp),
}

impl Way {
    pub(super) fn of(sighting: &Sighting<'_>) -> Self {
        let to = place_of(&sighting.position);
        let ends = sighting.recorded_at;
        let accuracy_m = sighting.position.accuracy_m.map(f64::from).filter(|accuracy| accuracy.is_finite());
        let margin_m = accuracy_m
            .map_or(MARGIN_WITHOUT_ACCURACY_M, |accuracy| (MARGIN_PER_ACCURACY * accuracy).clamp(LEAST_MARGIN_M, MOST_MARGIN_M));
        let is_near = |at: &Timestamp| *at <= ends && ends.since(*at) <= LONGEST_WAY;
        match sighting.previous.filter(|(_, at)| is_near(at)) {
            Some((position, begins)) => Self { legs: legs(place_of(&position), to), begins, ends, to, margin_m },
            None => Self { legs: legs(to, to), begins: ends, ends, to, margin_m },
        }
    }

    pub(super) fn legs(&self) -> &[Leg] {
        &self.legs
    }

    fn place_at(&self, part: f64) -> Place {
        let leg = self.legs.iter().find(|leg| part <= leg.ends);
        leg.map_or(self.to, |leg| leg.place_at((part - leg.begins) / (leg.ends - leg.begins)))
    }

    fn moment_at(&self, part: f64) -> Timestamp {
        self.begins.plus(self.ends.since(self.begins).mul_f64(part.clamp(0.0, 1.0)))
    }

    /// When `is_over` became true, if it is at `part` of the way.
    fn moment_of(&self, part: f64, is_over: impl Fn(Place) -> bool) -> Timestamp {
        if self.begins == self.ends || is_over(self.place_at(0.0)) {
            return self.begins;
        }
        let (mut before, mut after) = (0.0, part);
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(before, after);
            if is_over(self.place_at(middle)) {
                after = middle;
            } else {
                before = middle;
            }
        }
        self.moment_at(after)
    }
}

impl Leg {
    pub(super) fn envelope(&self) -> AABB<[f64; 2]> {
        AABB::from_corners([self.from.longitude, self.from.latitude], [self.to.longitude, self.to.latitude])
    }
}

impl Watched {
    /// Brings a membership up to the reading and claims what there is to claim. False: nothing is left to remember.
    pub(super) fn follow(
        &self,
        way: &Way,
        sighting: &Sighting<'_>,
        membership: &mut Membership,
        claims: &mut Vec<Claim>,
    ) -> bool {
        let seen = self.see(way, membership.standing);
        let claimed_before = std::mem::take(&mut membership.claimed);
        let has_gone_through = matches!(seen, Seen::Through(_));
        match seen {
            Seen::Outside | Seen::StillInside => {}
            Seen::Entered(since) => (membership.standing, membership.since) = (Standing::Inside, since),
            Seen::Left(since) | Seen::Through(since) => {
                let standing = if self.policy.on_exit { Standing::Left } else { Standing::Passed };
                (membership.standing, membership.since) = (standing, since);
            }
        }
        for kind in Kind::ALL {
            let claim = self.claim(kind, membership, has_gone_through, sighting);
            if let Some(claim) = claim {
                membership.claimed = membership.claimed.with(kind);
                claims.push(claim);
            } else if claimed_before.has(kind) {
                claims.push(self.calm(kind));
            }
        }
        match membership.standing {
            Standing::Inside => true,
            Standing::Left => self.policy.on_exit,
            Standing::Passed => membership.claimed != Kinds::default(),
        }
    }

    fn see(&self, way: &Way, before: Standing) -> Seen {
        let ground = &self.ground;
        if before == Standing::Inside {
            if ground.excludes_by(way.to, way.margin_m) {
                return Seen::Left(way.moment_of(1.0, |place| !ground.contains(place)));
            }
            return Seen::StillInside;
        }
        let inwards_m = way.margin_m.min(ground.half_depth_m());
        let is_inside = ground.contains(way.to);
        if is_inside && ground.contains_by(way.to, inwards_m) {
            return Seen::Entered(way.moment_of(1.0, |place| ground.contains(place)));
        }
        let through = if way.begins < way.ends { ground.way_through(&way.legs, is_inside, inwards_m) } else { None };
        match through {
            None => Seen::Outside,
            Some(part) if ground.excludes_by(way.to, way.margin_m) => Seen::Through(way.moment_at(part)),
            Some(part) => Seen::Entered(way.moment_of(part, |place| ground.contains(place))),
        }
    }

    /// What is wrong, of one kind; `None` where nothing is.
    fn claim(&self, kind: Kind, membership: &Membership, has_gone_through: bool, sighting: &Sighting<'_>) -> Option<Claim> {
        let Membership { standing, since, .. } = membership;
        let (name, policy) = (&self.name, &self.policy);
        let is_inside = *standing == Standing::Inside;
        match kind {
            Kind::Enter if policy.on_enter && is_inside => Some(self.raised(kind, None, format!("inside {name} since {since}"))),
            Kind::Enter if policy.on_enter && has_gone_through => {
                Some(self.raised(kind, None, format!("went through {name} at about {since}")))
            }
            Kind::Exit if policy.on_exit && *standing == Standing::Left => {
                Some(self.raised(kind, None, format!("outside {name} since {since}")))
            }
            Kind::Dwell if is_inside => {
                let allowed = policy.dwell?;
                let stayed = sighting.recorded_at.since(*since);
                let (minutes, allowed_minutes) = (stayed.as_secs_f64() / 60.0, allowed.as_secs_f64() / 60.0);
                let summary = || format!("inside {name} for {minutes:.0} min, allowed {allowed_minutes:.0} min");
                (stayed > allowed).then(|| self.raised(kind, Some((stayed.as_secs_f64(), allowed.as_secs_f64())), summary()))
            }
            Kind::Speed if is_inside => {
                let (limit, speed) = (policy.max_speed_km_per_h?, sighting.speed_km_per_h?);
                let compared = Some((f64::from(speed), f64::from(limit)));
                if speed > limit {
                    Some(self.raised(kind, compared, format!("{speed:.0} km/h inside {name}, allowed {limit:.0} km/h")))
                } else {
                    let is_holding = speed > limit - SPEED_HYSTERESIS_KM_PER_H;
                    is_holding.then(|| Claim {
                        level: Level::Holding,
                        summary: "".into(),
                        ..self.raised(kind, compared, String::new())
                    })
                }
            }
            _ => None,
        }
    }

    fn raised(&self, kind: Kind, compared: Option<(f64, f64)>, summary: String) -> Claim {
        Claim {
            value: compared.map(|(value, _)| value),
            limit: compared.map(|(_, limit)| limit),
            summary: summary.into(),
            ..about(self.keys[kind as usize].clone(), self.policy.severity, Level::Raised)
        }
    }

    fn calm(&self, kind: Kind) -> Claim {
        about(self.keys[kind as usize].clone(), self.policy.severity, Level::Calm)
    }
}

/// The fence is gone, or no longer for this vehicle: what it claimed is over.
pub(super) fn call_off(membership: &Membership, claims: &mut Vec<Claim>) {
    let claimed = Kind::ALL.into_iter().filter(|kind| membership.claimed.has(*kind));
    claims
        .extend(claimed.map(|kind| about(AlertKey::fence(membership.fence.as_str(), kind.code()), Severity::Info, Level::Calm)));
}

fn about(key: AlertKey, severity: Severity, level: Level) -> Claim {
    Claim {
        key,
        level,
        severity,
        persistence: AT_ONCE,
        value: None,
        limit: None,
        summary: "".into(),
        score: None,
        explanation: Vec::new(),
    }
}

/// The short way, cut where it goes over the antimeridian.
fn legs(from: Place, to: Place) -> SmallVec<[Leg; 2]> {
    let east = to.longitude - from.longitude;
    if east.abs() <= 180.0 {
        return SmallVec::from_iter([Leg { from, to, begins: 0.0, ends: 1.0 }]);
    }
    // Beyond the edge of the map the way goes on at the other side.
    let edge = 180.0_f64.copysign(from.longitude);
    let unrolled = Place { longitude: to.longitude + 2.0 * edge, latitude: to.latitude };
    let part = ((edge - from.longitude) / (unrolled.longitude - from.longitude)).clamp(0.0, 1.0);
    let latitude = between(from, unrolled, part).latitude;
    let (leaves, returns) = (Place { longitude: edge, latitude }, Place { longitude: -edge, latitude });
    let pieces = [Leg { from, to: leaves, begins: 0.0, ends: part }, Leg { from: returns, to, begins: part, ends: 1.0 }];
    pieces.into_iter().filter(|leg| leg.begins < leg.ends).collect()
}
