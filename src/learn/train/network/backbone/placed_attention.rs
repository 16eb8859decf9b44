//! Attention between the cells of a map, with a learned bias for each distance between two cells (Liu et al. 2021, doi
//! 10.1109/ICCV48922.2021.00986, section 3.2).

use burn::module::{Initializer, Module, Param};
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::transformer::{attended, heads, part, projection};

/// Channels of an attention head, where there are that many.
const OF_HEAD: usize = 32;

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
        let heads = heads(inputs, OF_HEAD);
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
        let parts = [0, 1, 2].map(|kind| part(&projected, 2, [kind * each, (kind + 1) * each]));
        let attended = attended(parts, Some(self.biases([rows, columns])));
        self.output.forward(attended.reshape([count, channels, rows, columns]))
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

#[cfg(test)]
mod tests {
    use super::*;

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
