//! Attention between the cells of a map, with a learned bias for each distance between two cells (Liu et al. 2021, doi
//! 10.1109/ICCV48922.2021.00986, section 3.2).

use burn::module::{Initializer, Module, Param};
use burn::nn::conv::Conv2d;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::transformer::{heads, projection, transposed};

/// Largest distance of an attention logit from the mean of its query's: `exp(80)`, summed over a thousand cells, is
/// within `f32`. Weights of trained networks stay far below it.
const LARGEST: f64 = 80.0;

/// Attention with several heads, in the layout of timm's `Attention2d`.
#[derive(Module, Debug)]
pub(super) struct PlacedAttention {
    /// Query, key and value of each head, head after head.
    projections: Conv2d,
    /// `[heads, distances]`: a bias for each distance of rows, then of columns.
    places: Param<Tensor<2>>,
    output: Conv2d,
    heads: usize,
    rows: usize,
    columns: usize,
}

impl PlacedAttention {
    /// For maps of at most `rows` x `columns` cells.
    pub(super) fn new([inputs, outputs]: [usize; 2], [rows, columns]: [usize; 2], device: &Device) -> Self {
        let heads = heads(inputs);
        let distances = (2 * rows - 1) * (2 * columns - 1);
        Self {
            projections: projection([inputs, 3 * inputs], device),
            places: Initializer::Normal { mean: 0.0, std: 0.02 }.init([heads, distances], device),
            output: projection([inputs, outputs], device),
            heads,
            rows,
            columns,
        }
    }

    /// Rows and columns of the largest map.
    pub(super) fn window(&self) -> [usize; 2] {
        [self.rows, self.columns]
    }

    /// `[N, C, h, w]` to `[N, C', h, w]`.
    pub(super) fn forward(&self, map: Tensor<4>) -> Tensor<4> {
        let [count, channels, rows, columns] = map.dims();
        let (each, cells) = (channels / self.heads, rows * columns);
        let projected = self.projections.forward(map).reshape([count, self.heads, 3 * each, cells]);
        // Selected, as an exported slice would hold the number of images.
        let kind = |kind: usize| Tensor::arange((kind * each) as i64..((kind + 1) * each) as i64, &projected.device());
        let [query, key, value] = [0, 1, 2].map(|number| projected.clone().select(2, kind(number)));
        // A product with a single row would be transposed by burn, which the exporter does not support.
        let products = if cells == 1 { (key * query).sum_dim(2) } else { transposed(key).matmul(query) };
        let weights = shares(products.div_scalar((each as f64).sqrt()) + self.biases([rows, columns]));
        self.output.forward(value.matmul(weights).reshape([count, channels, rows, columns]))
    }

    /// `[1, heads, keys, queries]`: the bias of each pair of cells.
    fn biases(&self, [rows, columns]: [usize; 2]) -> Tensor<4> {
        let cells = rows * columns;
        let distance = |key: usize, query: usize| {
            let row = query / columns + self.rows - 1 - key / columns;
            let column = query % columns + self.columns - 1 - key % columns;
            (row * (2 * self.columns - 1) + column) as i64
        };
        let pairs = (0..cells * cells).map(|pair| distance(pair / cells, pair % cells)).collect::<Vec<i64>>();
        let places = self.places.val();
        let pairs = Tensor::<1, Int>::from_data(TensorData::new(pairs, [cells * cells]), &places.device());
        places.select(1, pairs).reshape([1, self.heads, cells, cells])
    }
}

/// Logits `[N, heads, keys, queries]` to weights that sum to 1 over the keys (softmax). The mean is subtracted and what
/// lies beyond [`LARGEST`] is cut off by rectifiers, as the exporter supports no maximum.
fn shares(logits: Tensor<4>) -> Tensor<4> {
    let [_, _, keys, _] = logits.dims();
    let centred = logits.clone() - logits.sum_dim(2).div_scalar(keys as f64);
    let above = relu(centred.clone().sub_scalar(LARGEST));
    let below = relu(centred.clone().neg().sub_scalar(LARGEST));
    let odds = (centred - above + below).exp();
    odds.clone() / odds.sum_dim(2)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Distribution;
    use burn::tensor::activation::softmax;

    use super::*;

    #[test]
    fn shares_are_a_softmax_over_the_keys_and_finite_whatever_the_logits() {
        let _drawing = crate::learn::train::generator::shared();
        let logits = Tensor::<4>::random([2, 2, 9, 4], Distribution::Normal(30.0, 10.0), &Device::flex());
        let difference = (shares(logits.clone()) - softmax(logits.clone(), 2)).abs().max().into_scalar::<f32>();
        assert!(difference < 1e-5, "{difference}");
        let extreme = shares(logits.mul_scalar(1e6)).into_data();
        assert!(extreme.iter::<f32>().all(f32::is_finite));
    }

    #[test]
    fn the_bias_of_two_cells_depends_on_their_distance_alone() {
        let _drawing = crate::learn::train::generator::shared();
        let attention = PlacedAttention::new([8, 8], [3, 4], &Device::flex());
        let biases: Vec<f32> = attention.biases([3, 4]).into_data().iter::<f32>().collect();
        let bias = |key: usize, query: usize| biases[key * 12 + query].to_bits();
        assert_eq!(bias(0, 5), bias(5, 10), "one row and one column further");
        assert_ne!(bias(0, 5), bias(5, 0), "the other way");
        // Of a part of the map: the same distances.
        let part: Vec<f32> = attention.biases([2, 2]).into_data().iter::<f32>().collect();
        assert_eq!(part[1].to_bits(), bias(0, 1));
    }
}
