//! Reads the figures that the benchmark needs out of `/metrics` pages.

use std::net::SocketAddr;

use serde::Serialize;

use super::http::{Client, HttpError};

/// The pages of all processes of a service, read as one, so that a total is that of all of them.
pub struct Pages(Vec<Client>);

impl Pages {
    #[must_use]
    pub fn new(addresses: &[SocketAddr]) -> Self {
        Self(addresses.iter().map(|address| Client::new(*address)).collect())
    }

    pub async fn read(&mut self) -> Result<String, HttpError> {
        let mut pages = String::new();
        for client in &mut self.0 {
            pages.push_str(&String::from_utf8_lossy(&client.get_ok("/metrics").await?));
        }
        Ok(pages)
    }
}

/// Of the readings that one lane step took together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BatchSize {
    pub p50: f64,
    pub p99: f64,
    pub mean: f64,
}

/// The sum of a metric over all its labels; `None` where it does not appear.
#[must_use]
pub fn total(page: &str, name: &str) -> Option<f64> {
    samples(page, name).map(|sample| sample.value).reduce(|sum, value| sum + value)
}

/// The values of a metric with one label.
#[must_use]
pub fn by_label<'a>(page: &'a str, name: &'a str, label: &'a str) -> Vec<(&'a str, f64)> {
    samples(page, name).filter_map(|sample| Some((sample.label(label)?, sample.value))).collect()
}

/// How a histogram grew between two pages: the upper bounds of the buckets that hold the quantiles. `None` where nothing was counted.
#[must_use]
pub fn distribution_between(before: &str, after: &str, name: &str) -> Option<BatchSize> {
    let grown = |suffix: &str| {
        let name = format!("{name}_{suffix}");
        total(after, &name).unwrap_or(0.0) - total(before, &name).unwrap_or(0.0)
    };
    let count = grown("count");
    if count < 1.0 {
        return None;
    }
    let mut buckets = buckets(after, name);
    for (bound, earlier) in self::buckets(before, name) {
        buckets.iter_mut().filter(|(known, _)| known.total_cmp(&bound).is_eq()).for_each(|(_, count)| *count -= earlier);
    }
    let quantile = |wanted: f64| buckets.iter().find(|(_, below)| *below >= wanted * count).map(|(bound, _)| *bound);
    Some(BatchSize { p50: quantile(0.5)?, p99: quantile(0.99)?, mean: grown("sum") / count })
}

/// Upper bound and cumulative count, over all labels.
fn buckets(page: &str, name: &str) -> Vec<(f64, f64)> {
    let mut buckets: Vec<(f64, f64)> = Vec::new();
    for sample in samples(page, &format!("{name}_bucket")) {
        let Some(bound) = sample.label("le").and_then(|bound| bound.trim_start_matches('+').parse::<f64>().ok()) else {
            continue;
        };
        match buckets.iter_mut().find(|(known, _)| known.total_cmp(&bound).is_eq()) {
            Some((_, count)) => *count += sample.value,
            None => buckets.push((bound, sample.value)),
        }
    }
    buckets.sort_by(|left, right| left.0.total_cmp(&right.0));
    buckets
}

struct Sample<'a> {
    labels: &'a str,
    value: f64,
}

impl<'a> Sample<'a> {
    fn label(&self, name: &str) -> Option<&'a str> {
        self.labels
            .split(',')
            .filter_map(|label| label.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.trim_matches('"'))
    }
}

fn samples<'a>(page: &'a str, name: &str) -> impl Iterator<Item = Sample<'a>> {
    page.lines().filter_map(move |line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = match rest.strip_prefix('{') {
            Some(labelled) => labelled.split_once('}')?,
            None => ("", rest),
        };
        // A longer name begins with this one: no blank follows.
        Some(Sample { labels, value: value.strip_prefix(' ')?.trim().parse().ok()? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "# TYPE batch histogram\nbatch_bucket{lane=\"0\",le=\"1\"} 10\nbatch_bucket{lane=\"0\",le=\"8\"} 10\nbatch_bucket{lane=\"0\",le=\"+Inf\"} 10\nbatch_sum{lane=\"0\"} 10\nbatch_count{lane=\"0\"} 10\n";
    const AFTER: &str = "batch_bucket{lane=\"0\",le=\"1\"} 12\nbatch_bucket{lane=\"0\",le=\"8\"} 110\nbatch_bucket{lane=\"0\",le=\"+Inf\"} 110\nbatch_sum{lane=\"0\"} 610\nbatch_count{lane=\"0\"} 110\nbatch_size_total 3\n";

    #[test]
    fn only_what_was_counted_between_the_pages_counts() {
        assert_eq!(distribution_between(BEFORE, AFTER, "batch"), Some(BatchSize { p50: 8.0, p99: 8.0, mean: 6.0 }));
        assert_eq!(distribution_between(AFTER, AFTER, "batch"), None);
    }

    #[test]
    fn a_total_is_the_sum_over_all_labels() {
        let page = "readings_total{source=\"mqtt\"} 3\nreadings_total{source=\"http\"} 4\nreadings_total_more 9\n";
        assert_eq!(total(page, "readings_total"), Some(7.0));
        assert_eq!(total(page, "absent"), None);
    }
}
