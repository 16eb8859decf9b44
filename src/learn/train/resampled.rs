//! Ends of intervals from the resampled values of a metric.

use super::metrics::mean;

/// A metric's value and its values on resampled exams.
pub(super) struct Resampled {
    value: f64,
    sorted: Vec<f64>,
    correction: Correction,
}

/// Why a quantile of the resampled values is not yet the end of an interval.
enum Correction {
    /// Bias-corrected and accelerated (Efron 1987, doi 10.1080/01621459.1987.10478410).
    Accelerated {
        /// Standard normal quantile of the share of values below the metric's own.
        bias: f64,
        acceleration: f64,
    },
    /// The mean by which resampled values exceed the metric's own.
    Shifted(f64),
}

impl Resampled {
    /// `draws` are values on resampled exams, `left_out` those on all exams but one part each. `None` without draws.
    ///
    /// A metric such as the calibration error is larger on nearly all resampled exams than on the exams themselves. There
    /// the accelerated correction is not stable, and draws are shifted by their bias instead.
    pub(super) fn new(value: f64, mut draws: Vec<f64>, left_out: &[f64]) -> Option<Self> {
        /// Share of draws on one side of the value from which they are shifted.
        const ONE_SIDED: f64 = 0.9;
        draws.sort_by(f64::total_cmp);
        let shift = mean(&draws)? - value;
        let below =
            draws.iter().map(|draw| if *draw < value { 1.0 } else { 0.5 * f64::from(u8::from(*draw <= value)) });
        let below = below.sum::<f64>() / draws.len() as f64;
        let correction = if below.max(1.0 - below) > ONE_SIDED {
            Correction::Shifted(shift)
        } else {
            Correction::Accelerated { bias: normal_quantile(below), acceleration: acceleration(left_out) }
        };
        Some(Self { value, sorted: draws, correction })
    }

    /// The 95 % interval. It always holds the value.
    pub(super) fn interval(&self) -> [f64; 2] {
        [self.end(0.025).min(self.value), self.end(0.975).max(self.value)]
    }

    /// The end of a one-sided interval below which the given share lies.
    pub(super) fn end(&self, share: f64) -> f64 {
        match self.correction {
            Correction::Accelerated { bias, acceleration } => {
                let moved = bias + normal_quantile(share);
                quantile(&self.sorted, normal_share(bias + moved / (1.0 - acceleration * moved)))
            }
            // No further than where the metric can be: a share stays from 0 to 1.
            Correction::Shifted(shift) => {
                let end = quantile(&self.sorted, share) - shift;
                let can_be = |bound: f64, within: bool, end: f64| if within { bound } else { end };
                let [first, last] = [self.sorted[0], self.sorted[self.sorted.len() - 1]];
                end.max(can_be(0.0, first >= 0.0, end)).min(can_be(1.0, last <= 1.0, end))
            }
        }
    }
}

/// A sixth of the skewness of the values with one part of the exams left out each.
fn acceleration(left_out: &[f64]) -> f64 {
    let Some(centre) = mean(left_out) else { return 0.0 };
    let sum = |power: i32| left_out.iter().map(|value| (centre - value).powi(power)).sum::<f64>();
    let spread = 6.0 * sum(2).powf(1.5);
    if spread > 0.0 { sum(3) / spread } else { 0.0 }
}

/// The value below which the given share of sorted values lies.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    sorted[((share * sorted.len() as f64) as usize).min(sorted.len() - 1)]
}

/// Share of a standard normal distribution below a value, to seven digits (Abramowitz and Stegun 1964, 7.1.26).
fn normal_share(value: f64) -> f64 {
    let x = value.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let polynomial = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592]
        .into_iter()
        .fold(0.0, |sum, coefficient| (sum + coefficient) * t);
    let above = polynomial * (-x * x).exp() / 2.0;
    if value > 0.0 { 1.0 - above } else { above }
}

/// The value below which a share of a standard normal distribution lies, by bisection.
fn normal_quantile(share: f64) -> f64 {
    let (mut low, mut high) = (-8.0, 8.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if normal_share(middle) < share { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_quantiles_of_the_normal_distribution_are_those_of_its_tables() {
        for (value, share) in [(0.0, 0.5), (1.0, 0.841_344_7), (-1.959_964, 0.025), (3.0, 0.998_650_1)] {
            assert!((normal_share(value) - share).abs() < 2e-7);
            assert!((normal_quantile(share) - value).abs() < 1e-4);
        }
    }

    #[test]
    fn without_bias_and_skew_ends_are_the_quantiles() {
        let draws: Vec<f64> = (0..1000).map(|n| f64::from(n) / 1000.0).collect();
        let found = Resampled::new(0.5, draws, &[0.4, 0.5, 0.6]).expect("draws").interval();
        assert!((found[0] - 0.025).abs() < 0.002 && (found[1] - 0.975).abs() < 0.002, "{found:?}");
    }

    #[test]
    fn a_value_below_nearly_all_draws_lies_in_its_interval() {
        // The calibration error of embolism 0.2.0: 0.048, resampled 0.057 to 0.146.
        let draws: Vec<f64> = (0..=100).map(|n| 0.055 + 0.001 * f64::from(n)).collect();
        let [low, high] = Resampled::new(0.048, draws.clone(), &[0.048; 9]).expect("draws").interval();
        assert!((0.0..0.048).contains(&low) && (0.08..0.11).contains(&high), "{low} to {high}");
        let [low, _] = Resampled::new(0.01, draws, &[0.01; 9]).expect("draws").interval();
        assert!(low.abs() < 1e-12, "a calibration error is not below 0");
        let certain = Resampled::new(1.0, vec![1.0; 50], &[1.0; 9]).expect("draws").interval();
        assert!(certain.iter().all(|end| (end - 1.0).abs() < 1e-12), "{certain:?}");
    }
}
