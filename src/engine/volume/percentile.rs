//! Percentiles of values.

/// The 90th percentile: where the brightest tenth of some values begins. `None` if there are fewer than `fewest`.
pub fn brightest_tenth(values: impl Iterator<Item = f64>, fewest: usize) -> Option<f64> {
    ranked(values, fewest, |count| count * 9 / 10)
}

/// The median, the upper one of an even number of values. `None` if there are fewer than `fewest`.
pub fn median(values: impl Iterator<Item = f64>, fewest: usize) -> Option<f64> {
    ranked(values, fewest, |count| count / 2)
}

/// The value with a rank from 0, which depends on the number of values.
fn ranked(values: impl Iterator<Item = f64>, fewest: usize, rank: impl Fn(usize) -> usize) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    if values.len() < fewest.max(1) {
        return None;
    }
    let rank = rank(values.len());
    Some(*values.select_nth_unstable_by(rank, f64::total_cmp).1)
}
