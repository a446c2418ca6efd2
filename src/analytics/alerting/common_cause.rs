//! Many vehicles with the same trouble at the same time have one cause (heat, a bad firmware, a lost network): one group instead of
//! a flood. Changes no alert: each stays an episode of its own.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use crate::domain::{Alert, AlertId, AlertKey, Severity, Timestamp};

/// When alerts of one key count as one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommonCause {
    /// Different vehicles, opened within `within`.
    pub vehicles: usize,
    pub within: Duration,
}

/// More than ten alarms in ten minutes are a flood that nobody can read one by one (EEMUA 191; ANSI/ISA-18.2-2016, 16.4).
pub const FLOOD: CommonCause = CommonCause { vehicles: 10, within: Duration::from_mins(10) };

#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    pub key: AlertKey,
    /// The worst of its members.
    pub severity: Severity,
    pub first_opened_at: Timestamp,
    pub last_opened_at: Timestamp,
    /// Different vehicles; a vehicle can have opened twice.
    pub vehicles: usize,
    /// In the order in which they opened.
    pub members: Vec<AlertId>,
}

/// The groups among `alerts`, in any order; ordered by key and time. An alert is in at most one group, most are in none.
///
/// A group is a chain: each member opened at most `within` after the one before, and somewhere in it enough vehicles opened
/// within `within`. So a wave that goes on for an hour stays one group.
pub fn common_causes<'a>(alerts: impl IntoIterator<Item = &'a Alert>, limits: &CommonCause) -> Vec<Group> {
    let mut by_key: BTreeMap<&AlertKey, Vec<&Alert>> = BTreeMap::new();
    for alert in alerts {
        by_key.entry(&alert.key).or_default().push(alert);
    }
    let mut groups = Vec::new();
    for (key, mut alerts) in by_key {
        alerts.sort_by_key(|alert| (alert.opened_at, alert.alert_id));
        let chains = alerts.chunk_by(|before, after| after.opened_at.since(before.opened_at) <= limits.within);
        groups.extend(chains.filter(|chain| is_flood(chain, limits)).map(|chain| group(key, chain)));
    }
    groups
}

fn is_flood(chain: &[&Alert], limits: &CommonCause) -> bool {
    let vehicles = |from: usize| {
        let window = chain[from..].iter().take_while(|alert| alert.opened_at.since(chain[from].opened_at) <= limits.within);
        window.map(|alert| &alert.vehicle_id).collect::<HashSet<_>>().len()
    };
    chain.len() >= limits.vehicles && (0..chain.len()).any(|from| vehicles(from) >= limits.vehicles)
}

fn group(key: &AlertKey, chain: &[&Alert]) -> Group {
    let (first, last) = (chain[0], chain[chain.len() - 1]);
    Group {
        key: key.clone(),
        severity: chain.iter().map(|alert| alert.severity).max().unwrap_or(first.severity),
        first_opened_at: first.opened_at,
        last_opened_at: last.opened_at,
        vehicles: chain.iter().map(|alert| &alert.vehicle_id).collect::<HashSet<_>>().len(),
        members: chain.iter().map(|alert| alert.alert_id).collect(),
    }
}
