//! A quantile of few values.

/// The value below which a share of a population lies, estimated from a sorted sample, by Harrell and Davis (1982,
/// Biometrika 69, 635): the mean of all values, each weighted by the chance that it is the wanted one in a sample drawn
/// from them with replacement. It has a smaller bias and variance than a single ordered value. `None` without values.
///
/// A sample of n values determines shares from 1 / (n + 1) to n / (n + 1); others are moved there.
pub(super) fn harrell_davis(sorted: &[f64], share: f64) -> Option<f64> {
    if sorted.is_empty() {
        return None;
    }
    let count = sorted.len() as f64;
    let share = share.clamp(1.0 / (count + 1.0), count / (count + 1.0));
    let weights = beta_shares([(count + 1.0) * share, (count + 1.0) * (1.0 - share)], sorted.len());
    let weighted = sorted.iter().zip(&weights).map(|(value, weight)| value * weight).sum::<f64>();
    Some(weighted / weights.iter().sum::<f64>())
}

/// Integrals of the density of a beta distribution over parts of equal width from 0 to 1, up to a common factor, by the
/// midpoint rule. Both shapes are at least 1, so the density is finite.
fn beta_shares([a, b]: [f64; 2], parts: usize) -> Vec<f64> {
    /// Places at which the density is evaluated, at least: its width is about 1 / sqrt(parts).
    const PLACES: usize = 2000;
    let each = (PLACES / parts).max(4);
    let logarithm = |x: f64| (a - 1.0) * x.ln() + (b - 1.0) * (1.0 - x).ln();
    // At its mode the density is 1; without that, its powers would underflow.
    let mode = if a + b > 2.0 { (a - 1.0) / (a + b - 2.0) } else { 0.5 };
    let highest = logarithm(mode.clamp(1e-12, 1.0 - 1e-12));
    let width = 1.0 / (parts * each) as f64;
    let density = |place: usize| (logarithm((place as f64 + 0.5) * width) - highest).exp();
    (0..parts).map(|part| (part * each..(part + 1) * each).map(density).sum()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_few_values_is_that_of_the_beta_distribution() {
        // Three values: Beta(2, 2) holds 7/27, 13/27 and 7/27 in thirds.
        let median = harrell_davis(&[0.0, 1.0, 5.0], 0.5).expect("values");
        assert!((median - (13.0 + 35.0) / 27.0).abs() < 1e-4, "{median}");
        assert_eq!(harrell_davis(&[], 0.5), None);
        assert!(harrell_davis(&[7.0], 0.2).is_some_and(|only| (only - 7.0).abs() < 1e-9));
    }

    #[test]
    fn shares_that_so_few_values_do_not_determine_are_moved_to_the_nearest() {
        let values: Vec<f64> = (0..9).map(f64::from).collect();
        assert_eq!(harrell_davis(&values, 0.0), harrell_davis(&values, 0.1));
        let highest = harrell_davis(&values, 1.0).expect("values");
        assert!(highest > 7.0 && highest < 8.0, "{highest}");
    }

    #[test]
    fn many_values_give_the_quantile_itself() {
        let values: Vec<f64> = (0..1000).map(f64::from).collect();
        let tenth = harrell_davis(&values, 0.1).expect("values");
        assert!((tenth - 99.6).abs() < 0.5, "{tenth}");
    }
}
