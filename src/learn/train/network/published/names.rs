//! A network's own names for the tensors of published files. `None` is for what a network does not use.

/// End of the names of the biases of distances; name of the embeddings of places.
pub(in super::super) const PLACES: &str = "places";
/// Name of the class token.
pub(in super::super) const CLASS: &str = "class";

/// For torchvision's and timm's names of a ResNet, which are the same.
pub(super) fn of_resnet(name: &str) -> Option<String> {
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
pub(super) fn of_coatnet(name: &str) -> Option<String> {
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
        "attn.rel_pos" => return (parameter == "relative_position_bias_table").then(|| "attention.places".to_owned()),
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

/// For timm's names of a `tf_efficientnetv2_s`.
pub(super) fn of_efficientnet(name: &str) -> Option<String> {
    let (place, parameter) = name.rsplit_once('.')?;
    let parts: Vec<&str> = place.split('.').collect();
    let (place, layer) = match parts.as_slice() {
        ["conv_stem"] => return Some(format!("stem.convolution.{parameter}")),
        ["bn1"] => return Some(format!("stem.normalisation.{}", of_normalisation(parameter)?)),
        ["conv_head"] => return Some(format!("last.convolution.{parameter}")),
        ["bn2"] => return Some(format!("last.normalisation.{}", of_normalisation(parameter)?)),
        ["blocks", stage, block, layer @ ..] => {
            let stage: usize = stage.parse().ok()?;
            let place = match stage.checked_sub(3) {
                None => format!("fused.{stage}.{block}"),
                Some(stage) => format!("inverted.{stage}.{block}"),
            };
            (place, layer.join("."))
        }
        _ => return None,
    };
    let fused = place.starts_with("fused");
    let layer = match layer.as_str() {
        "conv" | "conv_exp" | "conv_pw" => "expand.convolution",
        "conv_dw" => "depthwise.convolution",
        "conv_pwl" => "project.convolution",
        "se.conv_reduce" => "squeeze",
        "se.conv_expand" => "excite",
        "bn1" => "expand.normalisation",
        "bn2" if fused => "project.normalisation",
        "bn2" => "depthwise.normalisation",
        "bn3" => "project.normalisation",
        _ => return None,
    };
    let parameter = if layer.ends_with("normalisation") { of_normalisation(parameter)? } else { parameter };
    Some(format!("{place}.{layer}.{parameter}"))
}

/// For timm's names of a `vit_base_patch16_224`.
pub(super) fn of_vit(name: &str) -> Option<String> {
    match name {
        "cls_token" => return Some(CLASS.to_owned()),
        "pos_embed" => return Some(PLACES.to_owned()),
        _ => {}
    }
    let (place, parameter) = name.rsplit_once('.')?;
    match place.split('.').collect::<Vec<&str>>().as_slice() {
        ["patch_embed", "proj"] => Some(format!("patches.{parameter}")),
        ["norm"] => Some(format!("norm.{}", of_channels(parameter)?)),
        ["blocks", block, layer @ ..] => {
            let layer = match layer {
                ["norm1"] => return Some(format!("blocks.{block}.before_attention.{}", of_channels(parameter)?)),
                ["norm2"] => return Some(format!("blocks.{block}.before_layer.{}", of_channels(parameter)?)),
                ["attn", "qkv"] => "projections",
                ["attn", "proj"] => "output",
                ["mlp", "fc1"] => "expand",
                ["mlp", "fc2"] => "contract",
                _ => return None,
            };
            Some(format!("blocks.{block}.{layer}.{parameter}"))
        }
        _ => None,
    }
}
