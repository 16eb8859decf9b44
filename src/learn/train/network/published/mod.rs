//! Where the tensors of published networks belong, what their images were, and what depends on the size of an image.

mod names;
mod resampling;

use burn::tensor::TensorData;

pub(super) use names::{CLASS, PLACES};

/// What the weights of a published architecture expect and where they go.
pub(super) struct Published {
    /// What others call it.
    pub(super) name: &'static str,
    /// A name that every file has, perhaps after a prefix: the first convolution.
    pub(super) first: &'static str,
    /// The network's own name for a tensor of the file; `None` for what it does not use.
    pub(super) own_name: fn(&str) -> Option<String>,
    /// Mean and standard deviation of each colour, from 0 to 1.
    pub(super) colours: [[f32; 3]; 2],
    /// Own name of the first convolution.
    pub(super) kernel: &'static str,
    /// Own name of what takes the mean of the colours up, and its sign there: it is subtracted or added after the first
    /// convolution.
    pub(super) shift: (&'static str, f32),
}

/// Mean and standard deviation of ImageNet's colours.
const IMAGENET: [[f32; 3]; 2] = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];
/// Colours from -1 to 1.
const SYMMETRIC: [[f32; 3]; 2] = [[0.5; 3], [0.5; 3]];
const STEM: &str = "stem.convolution.weight";
const STEM_MEAN: (&str, f32) = ("stem.normalisation.running_mean", 1.0);

pub(super) const RESNET: Published = Published {
    name: "a ResNet",
    first: "conv1.weight",
    own_name: names::of_resnet,
    colours: IMAGENET,
    kernel: STEM,
    shift: STEM_MEAN,
};

pub(super) const COATNET: Published = Published {
    name: "coatnet_0_rw_224",
    first: "stem.conv1.weight",
    own_name: names::of_coatnet,
    colours: SYMMETRIC,
    kernel: STEM,
    shift: STEM_MEAN,
};

pub(super) const EFFICIENTNET: Published = Published {
    name: "tf_efficientnetv2_s",
    first: "conv_stem.weight",
    own_name: names::of_efficientnet,
    colours: SYMMETRIC,
    kernel: STEM,
    shift: STEM_MEAN,
};

pub(super) const VIT: Published = Published {
    name: "vit_base_patch16_224",
    first: "patch_embed.proj.weight",
    own_name: names::of_vit,
    colours: SYMMETRIC,
    kernel: "patches.weight",
    shift: ("patches.bias", -1.0),
};

/// A file's biases `[distances, heads]` of a square map, for a map of `window` cells: `[heads, distances]` (timm's
/// `resize_rel_pos_bias_table`). `None` where the file's map is not square.
pub(super) fn distances(biases: &TensorData, window: [usize; 2]) -> Option<TensorData> {
    let [distances, heads] = biases.shape().to_vec()[..] else { return None };
    let side = distances.isqrt();
    let wanted = window.map(|length| 2 * length - 1);
    let same = distances == wanted[0] * wanted[1];
    if !same && (side * side != distances || side < 3) {
        return None;
    }
    let from = if same { wanted } else { [side, side] };
    let shares = [0, 1].map(|axis| resampling::geometric(from[axis], wanted[axis]));
    let values: Vec<f32> = biases.iter::<f32>().collect();
    let of_head = |head| resampling::resampled(|row, column| values[(row * from[1] + column) * heads + head], &shares);
    Some(TensorData::new((0..heads).flat_map(of_head).collect::<Vec<f32>>(), [heads, wanted[0] * wanted[1]]))
}

/// A file's class token `[1, 1, C]` and embeddings `[1, 1 + cells, C]` of the places of a square map, for a map of `window`
/// cells: `[C, 1 + cells]`, the class token with its own embedding first (timm's `resample_abs_pos_embed`). `None` where
/// the file's map is not square.
pub(super) fn places(class: &TensorData, embeddings: &TensorData, window: [usize; 2]) -> Option<TensorData> {
    let [1, tokens, channels] = embeddings.shape().to_vec()[..] else { return None };
    let side = tokens.checked_sub(1)?.isqrt();
    if side == 0 || side * side + 1 != tokens || class.num_elements() != channels {
        return None;
    }
    let shares = window.map(|length| resampling::cubic(side, length));
    let values: Vec<f32> = embeddings.iter::<f32>().collect();
    let placed = class.iter::<f32>().enumerate().flat_map(|(channel, class)| {
        let value = |row: usize, column: usize| values[(1 + row * side + column) * channels + channel];
        std::iter::once(class + values[channel]).chain(resampling::resampled(value, &shares))
    });
    Some(TensorData::new(placed.collect::<Vec<f32>>(), [channels, 1 + window[0] * window[1]]))
}
