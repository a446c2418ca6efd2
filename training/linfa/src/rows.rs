//! Rows of raw features as they come and go: a slice and its width. Copies nothing.

/// One row after another, NaN where missing.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    values: &'a [f32],
    width: usize,
}

impl<'a> Rows<'a> {
    /// # Panics
    /// Where `values` is no multiple of `width`, or `width` is 0.
    #[must_use]
    pub fn new(values: &'a [f32], width: usize) -> Self {
        assert!(width > 0 && values.len().is_multiple_of(width), "{} values in rows of {width}", values.len());
        Self { values, width }
    }

    #[must_use]
    pub const fn len(self) -> usize {
        self.values.len() / self.width
    }

    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.values.is_empty()
    }

    #[must_use]
    pub const fn width(self) -> usize {
        self.width
    }

    pub fn iter(self) -> impl ExactSizeIterator<Item = &'a [f32]> + Clone {
        self.values.chunks_exact(self.width)
    }

    #[must_use]
    pub fn row(self, index: usize) -> &'a [f32] {
        &self.values[index * self.width..(index + 1) * self.width]
    }

    /// What is there of a column, in rising order.
    #[must_use]
    pub fn sorted_column(self, column: usize) -> Vec<f32> {
        let mut present: Vec<f32> = self.iter().map(|row| row[column]).filter(|value| value.is_finite()).collect();
        present.sort_unstable_by(f32::total_cmp);
        present
    }
}

/// Of rising values, between two of them by the straight line, as numpy's default does (Hyndman & Fan 1996, definition 7).
#[must_use]
pub(crate) fn quantile(rising: &[f64], share: f64) -> f64 {
    let place = share * as_f64(rising.len() - 1);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the list")]
    let below = place.floor() as usize;
    let above = (below + 1).min(rising.len() - 1);
    (place - as_f64(below)).mul_add(rising[above] - rising[below], rising[below])
}

#[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^53")]
pub(crate) const fn as_f64(count: usize) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, reason = "graph and contract hold f32")]
pub(crate) const fn as_f32(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_numpy() {
        let rising = [1.0, 2.0, 4.0, 8.0];
        for (share, expected) in [(0.0, 1.0), (0.5, 3.0), (0.9, 6.8), (1.0, 8.0)] {
            assert!((quantile(&rising, share) - expected).abs() < 1e-12, "{share}: {}", quantile(&rising, share));
        }
    }

    #[test]
    fn a_column_leaves_out_what_is_missing() {
        let values = [3.0, f32::NAN, 1.0, 5.0, f32::NAN, f32::NAN];
        let rows = Rows::new(&values, 2);
        assert_eq!((rows.len(), rows.sorted_column(0), rows.sorted_column(1)), (3, vec![1.0, 3.0], vec![5.0]));
    }
}
