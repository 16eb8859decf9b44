//! AdamW under a schedule, with gradients clipped by the norm of all of them together.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;

use crate::learn::train::configuration::Fit;

/// The optimiser of a fit.
pub(crate) struct Optimiser<M> {
    inner: ModuleOptimizer,
    settings: Fit,
    steps: usize,
    learning_rate: f64,
    gradient_norm: f64,
    network: std::marker::PhantomData<M>,
}

impl<M: Module> Optimiser<M> {
    pub(crate) fn new(settings: &Fit) -> Self {
        let configuration = AdamWConfig::new().with_weight_decay(settings.weight_decay as f32).with_epsilon(1e-8);
        Self {
            inner: configuration.init(),
            settings: settings.clone(),
            steps: 0,
            learning_rate: 0.0,
            gradient_norm: 0.0,
            network: std::marker::PhantomData,
        }
    }

    /// Learning rate of the last step.
    pub(crate) fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    /// Joint norm of the gradients of the last step, before they were clipped.
    pub(crate) fn gradient_norm(&self) -> f64 {
        self.gradient_norm
    }

    /// Steps taken so far.
    pub(crate) fn steps(&self) -> usize {
        self.steps
    }

    /// Changes the weights. `done` is the share of the whole fit that is done, from 0 to 1.
    pub(crate) fn step(&mut self, network: M, mut gradients: GradientsParams, done: f64) -> M {
        self.steps += 1;
        self.learning_rate = learning_rate(&self.settings, self.steps, done);
        self.gradient_norm = clip(&network, &mut gradients, self.settings.gradient_norm);
        self.inner.step(self.learning_rate, network, gradients)
    }

    pub(super) fn inner(&self) -> &ModuleOptimizer {
        &self.inner
    }

    pub(super) fn restore(&mut self, inner: impl FnOnce(ModuleOptimizer) -> ModuleOptimizer, steps: usize) {
        let fresh = std::mem::replace(&mut self.inner, AdamWConfig::new().init());
        self.inner = inner(fresh);
        self.steps = steps;
    }
}

/// Linear warm-up, then half a cosine (Loshchilov and Hutter 2017).
fn learning_rate(settings: &Fit, step: usize, done: f64) -> f64 {
    let cosine = f64::midpoint(1.0, (std::f64::consts::PI * done.clamp(0.0, 1.0)).cos());
    let lowest = settings.final_learning_rate;
    let scheduled = lowest + (settings.learning_rate - lowest) * cosine;
    let warm = (step as f64 / settings.warm_up_steps.max(1) as f64).min(1.0);
    scheduled * warm
}

/// Scales all gradients so that their joint Euclidean norm is at most `largest`. Returns the norm before.
fn clip<M: Module>(network: &M, gradients: &mut GradientsParams, largest: f64) -> f64 {
    struct Squares<'a>(&'a GradientsParams, Option<Tensor<1>>);
    impl ModuleVisitor for Squares<'_> {
        fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
            if let Some(gradient) = self.0.get::<D>(parameter.id) {
                let square = gradient.clone().mul(gradient).sum();
                self.1 = Some(self.1.take().map_or(square.clone(), |total| total + square));
            }
        }
    }
    struct Scale<'a>(&'a mut GradientsParams, f64);
    impl ModuleVisitor for Scale<'_> {
        fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
            if let Some(gradient) = self.0.remove::<D>(parameter.id) {
                self.0.register(parameter.id, gradient.mul_scalar(self.1));
            }
        }
    }
    let mut squares = Squares(gradients, None);
    network.visit(&mut squares);
    let norm = squares.1.map_or(0.0, |total| f64::from(total.into_scalar::<f32>())).sqrt();
    if norm > largest {
        network.visit(&mut Scale(gradients, largest / norm));
    }
    norm
}

#[cfg(test)]
mod tests {
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::Device;

    use super::*;
    use crate::learn::train::configuration::TrainConfiguration;

    #[test]
    fn the_learning_rate_warms_up_and_falls_to_its_lowest() {
        let mut settings = TrainConfiguration::load(None, &[]).expect("defaults").fit;
        settings.warm_up_steps = 10;
        assert!(learning_rate(&settings, 1, 0.0) < settings.learning_rate / 5.0);
        assert!((learning_rate(&settings, 10, 0.0) - settings.learning_rate).abs() < 1e-12);
        assert!((learning_rate(&settings, 1000, 1.0) - settings.final_learning_rate).abs() < 1e-12);
    }

    #[test]
    fn gradients_are_clipped_by_their_joint_norm() {
        let device = Device::flex().autodiff();
        let layer: Linear = LinearConfig::new(3, 2).init(&device);
        let input = Tensor::<2>::ones([4, 3], &device) * 100.0;
        let gradients = layer.forward(input).sum().backward();
        let mut gradients = GradientsParams::from_grads(gradients, &layer);
        assert!(clip(&layer, &mut gradients, 1.0) > 100.0);
        let weight = gradients.get::<2>(layer.weight.id).expect("weight");
        let bias = gradients.get::<1>(layer.bias.as_ref().expect("bias").id).expect("bias");
        let square = |tensor: Tensor<1>| tensor.clone().mul(tensor).sum().into_scalar::<f32>();
        let norm = (square(weight.flatten(0, 1)) + square(bias)).sqrt();
        assert!((norm - 1.0).abs() < 1e-4, "{norm}");
    }
}
