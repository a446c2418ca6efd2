//! How a vehicle moves along the roads: speed, bends, junctions, stops. Knows nothing of engines: what they can pull is an argument.

use super::random::Random;
use super::roads::{RoadClass, Roads};
use super::weather::{LocalTime, traffic};

/// What kind of person drives.
#[derive(Debug, Clone, Copy)]
pub struct Driver {
    /// Times the limit.
    pub pace: f32,
    pub acceleration_m_per_s2: f32,
    pub braking_m_per_s2: f32,
    /// Times the rpm at which others change gear.
    pub revs: f32,
}

/// A place on a road.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    pub edge: u16,
    pub along_m: f32,
}

#[derive(Debug, Clone)]
pub struct Motion {
    pub at: Place,
    pub segment: u16,
    pub destination: Place,
    pub speed_m_per_s: f32,
    pub acceleration_m_per_s2: f32,
    pub curvature_per_m: f32,
    pub grade: f32,
    pub odometer_m: f64,
    /// What limit, driver, traffic and weather allow on this edge.
    cruise_m_per_s: f32,
    /// Where this edge ends for us: its end, or the destination.
    stop_at_m: f32,
    end_speed_m_per_s: f32,
    turn_rad: f32,
    /// This edge has the destination on it, ahead.
    ends_here: bool,
    next_edge: u16,
    /// Still to stand at the end of this edge.
    wait_s: f32,
    /// Slow changes of the traffic around, about 1.
    flow: f32,
}

/// The same for every step of a minute or so.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    pub roads: &'a Roads,
    pub local: LocalTime,
    pub rain: f32,
    pub max_speed_m_per_s: f32,
    pub driver: Driver,
    /// Times the driver's accelerations, 1 unless somebody drives harshly.
    pub harshness: f32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    OnTheWay,
    Arrived,
}

/// A vehicle that creeps this near to a stop is there.
const AT_STOP_M: f32 = 2.0;

impl Motion {
    pub fn standing_at(at: Place, roads: &Roads) -> Self {
        let edge = roads.edge(at.edge);
        Self {
            at,
            segment: roads.segment_at(edge, at.along_m),
            destination: at,
            speed_m_per_s: 0.0,
            acceleration_m_per_s2: 0.0,
            curvature_per_m: 0.0,
            grade: 0.0,
            odometer_m: 0.0,
            cruise_m_per_s: 0.0,
            stop_at_m: at.along_m,
            end_speed_m_per_s: 0.0,
            turn_rad: 0.0,
            ends_here: true,
            next_edge: at.edge,
            wait_s: 0.0,
            flow: 1.0,
        }
    }

    pub fn depart(&mut self, destination: Place, around: &Surroundings, random: &mut Random) {
        self.destination = destination;
        self.look_ahead(around, random);
    }

    pub fn stand(&mut self) {
        self.speed_m_per_s = 0.0;
        self.acceleration_m_per_s2 = 0.0;
        self.curvature_per_m = 0.0;
    }

    /// One step of at most a second. `pull_m_per_s2`: what the engine can accelerate at this speed on this grade.
    pub fn step(&mut self, dt_s: f32, pull_m_per_s2: f32, around: &Surroundings, random: &mut Random) -> Progress {
        let remaining_m = self.stop_at_m - self.at.along_m;
        let stops_here = self.end_speed_m_per_s <= 0.0;
        if stops_here && remaining_m < AT_STOP_M && self.speed_m_per_s < 0.5 {
            self.stand();
            if self.ends_here {
                return Progress::Arrived;
            }
            self.wait_s -= dt_s;
            if self.wait_s <= 0.0 {
                self.enter_next_edge(0.0, around, random);
            }
            return Progress::OnTheWay;
        }
        self.flow += (1.0 - self.flow) * 0.04 * dt_s + random.normal() * 0.012 * dt_s;
        let segment = around.roads.segment(around.roads.edge(self.at.edge), self.segment);
        let braking = around.driver.braking_m_per_s2 * around.harshness;
        // After this step it must still be possible to slow down to what the end of the road asks for.
        let after_m = (remaining_m - self.speed_m_per_s * dt_s).max(0.0);
        let end = self.end_speed_m_per_s;
        let allowed = (end * end + 2.0 * braking * after_m).sqrt().max(if remaining_m > AT_STOP_M { 1.2 } else { 0.0 });
        let wanted = (self.cruise_m_per_s * self.flow).min(segment.advised_m_per_s * around.harshness.sqrt());
        let towards = if self.speed_m_per_s > allowed {
            (allowed - self.speed_m_per_s) / dt_s
        } else {
            ((wanted - self.speed_m_per_s) * (0.4 * around.harshness)).min((allowed - self.speed_m_per_s) / dt_s)
        };
        let strongest = (around.driver.acceleration_m_per_s2 * around.harshness).min(pull_m_per_s2);
        // Comfort ends where a junction comes: nobody drives through it.
        let acceleration = towards.min(strongest).clamp(-braking * 1.6, 6.0);
        let before = self.speed_m_per_s;
        self.speed_m_per_s = (before + acceleration * dt_s).max(0.0);
        self.acceleration_m_per_s2 = (self.speed_m_per_s - before) / dt_s;
        let mut metres = 0.5 * (before + self.speed_m_per_s) * dt_s;
        if stops_here {
            metres = metres.min(remaining_m.max(0.0));
        }
        self.odometer_m += f64::from(metres);
        self.at.along_m += metres;
        let near_turn = remaining_m < 12.0;
        self.curvature_per_m = segment.curvature_per_m + if near_turn { self.turn_rad / 24.0 } else { 0.0 };
        self.grade = segment.grade;
        self.pass_segments(around, random);
        Progress::OnTheWay
    }

    fn pass_segments(&mut self, around: &Surroundings, random: &mut Random) {
        let edge = around.roads.edge(self.at.edge);
        if self.at.along_m >= edge.length_m {
            let beyond_m = self.at.along_m - edge.length_m;
            if self.end_speed_m_per_s > 0.0 {
                self.enter_next_edge(beyond_m, around, random);
            } else {
                self.at.along_m = edge.length_m;
            }
            return;
        }
        while Roads::has_segment_after(edge, self.segment)
            && self.at.along_m >= around.roads.segment(edge, self.segment + 1).start_m
        {
            self.segment += 1;
        }
    }

    fn enter_next_edge(&mut self, beyond_m: f32, around: &Surroundings, random: &mut Random) {
        self.at = Place { edge: self.next_edge, along_m: beyond_m };
        self.segment = 0;
        self.look_ahead(around, random);
    }

    /// Decides how fast to go here, which road comes next, and whether to stop before it.
    fn look_ahead(&mut self, around: &Surroundings, random: &mut Random) {
        let roads = around.roads;
        let edge = roads.edge(self.at.edge);
        let slippery = 1.0 - 0.15 * around.rain;
        let free = edge.limit_m_per_s * around.driver.pace * around.harshness.powf(0.3);
        let jam = traffic(around.local, edge.class, self.at.edge);
        self.cruise_m_per_s = (free * slippery).min(around.max_speed_m_per_s) * jam;
        self.wait_s = 0.0;
        self.turn_rad = 0.0;
        self.ends_here = self.destination.edge == self.at.edge && self.destination.along_m >= self.at.along_m;
        if self.ends_here {
            self.stop_at_m = self.destination.along_m;
            self.end_speed_m_per_s = 0.0;
            return;
        }
        self.stop_at_m = edge.length_m;
        let goal = roads.edge(self.destination.edge);
        self.next_edge = if edge.to == goal.from { self.destination.edge } else { roads.next_edge(edge.to, goal.from) };
        let next = roads.edge(self.next_edge);
        let turn_deg = roads.turn_deg(edge, next);
        self.turn_rad = turn_deg.to_radians();
        let through_motorway = edge.class == RoadClass::Motorway && next.class == RoadClass::Motorway;
        self.end_speed_m_per_s = match turn_deg.abs() {
            angle if angle < 25.0 => edge.limit_m_per_s.min(next.limit_m_per_s),
            _ if through_motorway => 22.0,
            angle if angle < 60.0 => 9.0,
            angle if angle < 120.0 => 5.0,
            _ => 3.0,
        };
        if !through_motorway && random.chance(roads.node(edge.to).wait_chance) {
            self.end_speed_m_per_s = 0.0;
            self.wait_s = random.between((5.0, 75.0));
        }
    }
}
