//! Which vehicles somebody follows live: those of a list, those in a box, or all.

use std::collections::HashSet;
use std::str::FromStr;

use crate::domain::{Assessment, Position, VehicleId};

/// Vehicles of a list, in `?ids=`.
const MOST_IDS: usize = 1_000;
/// Vehicles that are remembered as shown, 590 kB of hashes, so that a client stays below 1 MB. Beyond it every vehicle that changes is
/// sent: a filter saves, it never hides.
const MOST_SHOWN: usize = 40_000;

/// By default nothing is filtered.
#[derive(Debug, Default)]
pub struct Filter {
    ids: Option<HashSet<VehicleId>>,
    bbox: Option<BoundingBox>,
    /// Hashes of vehicles in the box that the client has been sent: one that leaves is sent once more, as it is outside.
    shown: HashSet<u64>,
}

/// Degrees. `west` above `east`: across the antimeridian.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoundingBox {
    west: f64,
    south: f64,
    east: f64,
    north: f64,
}

/// The ids of a list, parted by commas.
#[derive(Debug)]
pub struct Ids(HashSet<VehicleId>);

/// Not what the parameter takes; who asks for it says what that is.
#[derive(Debug)]
pub struct Unreadable;

impl Filter {
    pub fn new(ids: Option<Ids>, bbox: Option<BoundingBox>) -> Self {
        Self { ids: ids.map(|Ids(ids)| ids), bbox, shown: HashSet::new() }
    }

    /// Whether the client is sent it; asked once for each change, in order.
    pub fn takes(&mut self, newest: &Assessment) -> bool {
        let vehicle_id = &newest.reading.vehicle_id;
        if self.ids.as_ref().is_some_and(|ids| !ids.contains(vehicle_id)) {
            return false;
        }
        let Some(bbox) = self.bbox else { return true };
        if self.shown.len() >= MOST_SHOWN {
            return true;
        }
        let hash = xxhash_rust::xxh3::xxh3_64(vehicle_id.as_str().as_bytes());
        let is_inside = newest.reading.position.as_ref().is_some_and(|position| bbox.contains(position));
        if is_inside {
            self.shown.insert(hash);
        }
        is_inside || self.shown.remove(&hash)
    }
}

impl BoundingBox {
    /// # Errors
    /// Where a corner is nowhere, or south is north of north.
    pub fn new([west, south, east, north]: [f64; 4]) -> Result<Self, Unreadable> {
        let is_longitude = |degrees: f64| (-180.0..=180.0).contains(&degrees);
        let is_latitude = |degrees: f64| (-90.0..=90.0).contains(&degrees);
        let is_box = is_longitude(west) && is_longitude(east) && is_latitude(south) && is_latitude(north) && south <= north;
        is_box.then_some(Self { west, south, east, north }).ok_or(Unreadable)
    }

    fn contains(&self, position: &Position) -> bool {
        let (latitude, longitude) = (position.latitude(), position.longitude());
        let is_between = if self.west <= self.east {
            (self.west..=self.east).contains(&longitude)
        } else {
            longitude >= self.west || longitude <= self.east
        };
        is_between && (self.south..=self.north).contains(&latitude)
    }
}

impl FromStr for BoundingBox {
    type Err = Unreadable;

    /// `west,south,east,north`, as in GeoJSON (RFC 7946, 5).
    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let numbers: Result<Vec<f64>, _> = text.split(',').map(|number| number.trim().parse()).collect();
        let Ok(&[west, south, east, north]) = numbers.as_deref() else { return Err(Unreadable) };
        Self::new([west, south, east, north])
    }
}

impl FromStr for Ids {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        Self::new(text.split(','))
    }
}

impl Ids {
    /// # Errors
    /// Where one is no id, or there are too many.
    pub fn new<'a>(ids: impl Iterator<Item = &'a str>) -> Result<Self, Unreadable> {
        let ids: Result<HashSet<_>, _> = ids.map(VehicleId::new).collect();
        ids.ok().filter(|ids| ids.len() <= MOST_IDS).map(Self).ok_or(Unreadable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Reading, Timestamp};

    fn at(vehicle_id: &str, place: Option<(f64, f64)>) -> Assessment {
        let position = place.map(|(longitude, latitude)| Position::new(latitude, longitude).unwrap());
        let reading = Reading { position, ..Reading::bare(VehicleId::new(vehicle_id).unwrap(), Timestamp::default()) };
        Assessment::bare(reading, 1)
    }

    #[test]
    fn a_vehicle_that_leaves_the_box_is_sent_once_more() {
        let mut filter = Filter::new(None, Some("8,48,9,50".parse().unwrap()));
        let mut sent = |place| filter.takes(&at("truck-7", place));
        let way = [(7.9, 49.0), (8.0, 49.0), (8.5, 50.0), (8.5, 50.1), (8.5, 50.2), (8.5, 49.0)];
        assert_eq!(way.map(|place| sent(Some(place))), [false, true, true, true, false, true]);
        assert_eq!([sent(None), sent(None)], [true, false], "without a position it is nowhere");
    }

    #[test]
    fn a_box_may_reach_across_the_antimeridian() {
        let mut filter = Filter::new(None, Some("170,-20,-170,0".parse().unwrap()));
        assert!(filter.takes(&at("fiji", Some((178.0, -17.0)))) && filter.takes(&at("samoa", Some((-172.0, -13.8)))));
        assert!(!filter.takes(&at("lagos", Some((3.4, -6.5)))));
    }

    #[test]
    fn a_list_and_a_box_both_hold() {
        let mut filter = Filter::new(Some("truck-7,van-1".parse().unwrap()), Some("8,48,9,50".parse().unwrap()));
        let inside = Some((8.5, 49.0));
        assert!(filter.takes(&at("van-1", inside)) && !filter.takes(&at("van-2", inside)));
        assert!(!filter.takes(&at("truck-7", Some((7.0, 49.0)))));
    }

    #[test]
    fn with_more_vehicles_than_are_remembered_nothing_is_hidden() {
        let mut filter = Filter::new(None, Some("8,48,9,50".parse().unwrap()));
        filter.shown.extend(0..MOST_SHOWN as u64);
        assert!(filter.takes(&at("truck-7", Some((0.0, 0.0)))));
    }

    #[test]
    fn what_is_no_box_and_no_list_is_refused() {
        for text in ["", "8,48,9", "8,48,9,50,1", "8,50,9,48", "8,48,9,91", "-181,0,0,1", "a,48,9,50", "NaN,48,9,50"] {
            assert!(text.parse::<BoundingBox>().is_err(), "{text}");
        }
        let many = (0..=MOST_IDS).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
        for text in ["", "truck 7", "truck-7,,van-1", &many] {
            assert!(text.parse::<Ids>().is_err(), "{text}");
        }
    }
}
