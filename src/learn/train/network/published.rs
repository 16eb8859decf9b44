//! Where the tensors of published networks belong: timm's and torchvision's names, what their images were, and the
//! biases of distances for another size of image (as timm's `resize_rel_pos_bias_table`).

use burn::tensor::TensorData;

/// What the weights of a published architecture expect and where they go.
pub(super) struct Published {
    /// A name that every file has, perhaps after a prefix: the first convolution.
    pub(super) first: &'static str,
    /// The network's own name for a tensor of the file; `None` for what it does not use.
    pub(super) own_name: fn(&str) -> Option<String>,
    /// Mean and standard deviation of each colour, from 0 to 1.
    pub(super) colours: [[f32; 3]; 2],
}

pub(super) const RESNET: Published =
    Published { first: "conv1.weight", own_name: of_resnet, colours: [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]] };

pub(super) const COATNET: Published =
    Published { first: "stem.conv1.weight", own_name: of_coatnet, colours: [[0.5; 3], [0.5; 3]] };

/// End of the names of the biases of distances.
pub(super) const PLACES: &str = "attention.places";

/// For torchvision's and timm's names of a ResNet, which are the same.
fn of_resnet(name: &str) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    let (place, rest) = match parts.as_slice() {
        rest @ ["conv1" | "bn1", _] => ("stem".to_owned(), rest),
        [stage, block, rest @ ..] => {
            let stage = stage.strip_prefix("layer")?.parse::<usize>().ok()?.checked_sub(1)?;
            (format!("stages.{stage}.{block}"), rest)
        }
        _ => return None,
    };
    let (place, layer, parameter) = match rest {
        ["downsample", "0", parameter] => (format!("{place}.shortcut"), "conv", *parameter),
        ["downsample", "1", parameter] => (format!("{place}.shortcut"), "bn", *parameter),
        [layer, parameter] => {
            let kind = layer.trim_end_matches(|character: char| character.is_ascii_digit());
            let number = layer[kind.len()..].parse::<usize>().ok()?.checked_sub(1)?;
            let place = if place == "stem" { place } else { format!("{place}.convolutions.{number}") };
            (place, kind, *parameter)
        }
        _ => return None,
    };
    match (layer, parameter) {
        ("conv", "weight") => Some(format!("{place}.convolution.weight")),
        ("bn", _) => Some(format!("{place}.normalisation.{}", of_normalisation(parameter)?)),
        _ => None,
    }
}

/// For timm's names of a `coatnet_0_rw`.
fn of_coatnet(name: &str) -> Option<String> {
    let (place, parameter) = name.rsplit_once('.')?;
    let parts: Vec<&str> = place.split('.').collect();
    match parts.as_slice() {
        ["stem", "conv1"] => Some(format!("stem.convolution.{parameter}")),
        ["stem", "norm1"] => Some(format!("stem.normalisation.{}", of_normalisation(parameter)?)),
        ["stem", "conv2"] => Some(format!("widen.{parameter}")),
        ["norm"] => Some(format!("norm.{}", of_channels(parameter)?)),
        ["stages", stage, "blocks", block, layer @ ..] => {
            let stage: usize = stage.parse().ok()?;
            let layer = layer.join(".");
            match stage.checked_sub(2) {
                None => Some(format!("convolutions.{stage}.{block}.{}", of_convolving(&layer, parameter)?)),
                Some(stage) => Some(format!("attention.{stage}.{block}.{}", of_attending(&layer, parameter)?)),
            }
        }
        _ => None,
    }
}

fn of_convolving(layer: &str, parameter: &str) -> Option<String> {
    let normalised = |place: &str| Some(format!("{place}.{}", of_normalisation(parameter)?));
    let place = match layer {
        "pre_norm" => return normalised("before.normalisation"),
        "norm1" => return normalised("expand.normalisation"),
        "norm2" => return normalised("within.normalisation"),
        "shortcut.expand" => "shortcut",
        "conv1_1x1" => "expand.convolution",
        "conv2_kxk" => "depthwise",
        "se_early.fc1" => "squeeze",
        "se_early.fc2" => "excite",
        "conv3_1x1" => "project",
        _ => return None,
    };
    Some(format!("{place}.{parameter}"))
}

fn of_attending(layer: &str, parameter: &str) -> Option<String> {
    let place = match layer {
        "norm1" | "norm1.norm" => return Some(format!("before_attention.{}", of_channels(parameter)?)),
        "norm2" => return Some(format!("before_layer.{}", of_channels(parameter)?)),
        "attn.rel_pos" => return (parameter == "relative_position_bias_table").then(|| PLACES.to_owned()),
        "shortcut.expand" => "shortcut",
        "attn.qkv" => "attention.projections",
        "attn.proj" => "attention.output",
        "mlp.fc1" => "expand",
        "mlp.fc2" => "contract",
        _ => return None,
    };
    Some(format!("{place}.{parameter}"))
}

/// A parameter of a batch normalisation.
fn of_normalisation(parameter: &str) -> Option<&str> {
    match parameter {
        "weight" => Some("gamma"),
        "bias" => Some("beta"),
        "running_mean" | "running_var" => Some(parameter),
        _ => None,
    }
}

/// A parameter of a normalisation of each cell's channels.
fn of_channels(parameter: &str) -> Option<&str> {
    match parameter {
        "weight" => Some("factor"),
        "bias" => Some("offset"),
        _ => None,
    }
}

/// A file's biases `[distances, heads]` of a square map, for a map of `window` cells: `[heads, distances]`. `None` where
/// the file's map is not square.
pub(super) fn placed(biases: &TensorData, window: [usize; 2]) -> Option<TensorData> {
    let [distances, heads] = biases.shape().to_vec()[..] else { return None };
    let side = distances.isqrt();
    let wanted = window.map(|length| 2 * length - 1);
    let same = distances == wanted[0] * wanted[1];
    if !same && (side * side != distances || side < 3) {
        return None;
    }
    let from = if same { wanted } else { [side, side] };
    let [rows, columns] = [0, 1].map(|axis| shares(from[axis], wanted[axis]));
    let values: Vec<f32> = biases.iter::<f32>().collect();
    let mut resized = Vec::with_capacity(heads * wanted[0] * wanted[1]);
    for head in 0..heads {
        for row in &rows {
            for column in &columns {
                let sum = row.iter().flat_map(|(y, of_row)| {
                    column.iter().map(move |(x, of_column)| (y * from[1] + x, of_row * of_column))
                });
                resized.push(sum.map(|(place, share)| f64::from(values[place * heads + head]) * share).sum::<f64>() as f32);
            }
        }
    }
    Some(TensorData::new(resized, [heads, wanted[0] * wanted[1]]))
}

/// For each of `after` distances, the two of `before` that it is interpolated from, with their shares. The known
/// distances are spread so that steps grow geometrically from the centre to the new border.
fn shares(before: usize, after: usize) -> Vec<[(usize, f64); 2]> {
    if before == after {
        return (0..after).map(|place| [(place, 1.0), (place, 0.0)]).collect();
    }
    let half = before / 2;
    let reached = |ratio: f64| (1.0 - ratio.powi(half as i32)) / (1.0 - ratio);
    let (mut left, mut right) = (1.01, 1.5);
    let mut ratio = left;
    while right - left > 1e-6 {
        ratio = f64::midpoint(left, right);
        if reached(ratio) > (after / 2) as f64 { right = ratio } else { left = ratio }
    }
    let known = |place: usize| {
        let distance = (1..=place.abs_diff(half)).map(|step| ratio.powi(step as i32 - 1)).sum::<f64>();
        if place < half { -distance } else { distance }
    };
    let known: Vec<f64> = (0..before).map(known).collect();
    let of_place = |place: usize| {
        let at = (place as f64 - (after / 2) as f64).clamp(known[0], known[before - 1]);
        let upper = known.partition_point(|known| *known < at).clamp(1, before - 1);
        let share = (at - known[upper - 1]) / (known[upper] - known[upper - 1]);
        [(upper - 1, 1.0 - share), (upper, share)]
    };
    (0..after).map(of_place).collect()
}
