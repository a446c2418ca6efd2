//! A topic filter whose one `+` stands for the id of a vehicle.

use std::fmt;

/// `vehicles/+/telemetry` and the like.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct TopicFilter {
    /// Up to the id, with the slash.
    before: String,
    /// After the id, with the slash.
    after: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("[broker] topic_filter is {0:?}; one level of it must be +, where the vehicle's id stands, and none may be #")]
pub struct TopicFilterError(String);

impl TopicFilter {
    pub fn parse(filter: &str) -> Result<Self, TopicFilterError> {
        let wrong = || TopicFilterError(filter.to_owned());
        let (before, after) = filter.split_once('+').ok_or_else(wrong)?;
        let is_a_level = (before.is_empty() || before.ends_with('/')) && (after.is_empty() || after.starts_with('/'));
        if !is_a_level || filter.contains('#') || after.contains('+') || before.starts_with('$') {
            return Err(wrong());
        }
        Ok(Self { before: before.to_owned(), after: after.to_owned() })
    }

    /// `None`: a topic that does not match.
    pub fn vehicle_of<'t>(&self, topic: &'t str) -> Option<&'t str> {
        let id = topic.strip_prefix(&self.before)?.strip_suffix(&self.after)?;
        (!id.is_empty() && !id.contains('/')).then_some(id)
    }
}

impl fmt::Debug for TopicFilter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}+{}", self.before, self.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_stands_where_the_plus_is() {
        let filter = TopicFilter::parse("fleet/+/telemetry").unwrap();
        assert_eq!(filter.vehicle_of("fleet/truck-7/telemetry"), Some("truck-7"));
        for other in
            ["fleet/telemetry", "fleet//telemetry", "fleet/a/b/telemetry", "other/truck-7/telemetry", "fleet/truck-7/alerts"]
        {
            assert_eq!(filter.vehicle_of(other), None, "{other}");
        }
        assert_eq!(TopicFilter::parse("+").unwrap().vehicle_of("truck-7"), Some("truck-7"));
    }

    #[test]
    fn a_filter_without_exactly_one_vehicle_is_refused() {
        for wrong in ["", "fleet/telemetry", "fleet/+/+", "fleet/#", "fleet/+/#", "fleet/x+/telemetry", "$share/g/fleet/+"] {
            assert!(TopicFilter::parse(wrong).is_err(), "{wrong}");
        }
    }
}
