//! The percentile that tells of contrast agent.

/// The 90th percentile: where the brightest tenth of some values begins. `None` if there are fewer than `fewest`.
pub fn brightest_tenth(values: impl Iterator<Item = f64>, fewest: usize) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    if values.len() < fewest.max(1) {
        return None;
    }
    let rank = values.len() * 9 / 10;
    Some(*values.select_nth_unstable_by(rank, f64::total_cmp).1)
}
