//! Initial weights from a file, trained on ImageNet for instance: with timm's names, and torchvision's for ResNets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::store::burn_pack::Tensor as Stored;
use burn::store::{ModuleSnapshot, ModuleStore, PytorchStore, SafetensorsStore, bridge};
use burn::tensor::TensorData;

use super::backbone::Backbone;
use super::published::{self, Published};

/// Initial weights cannot be read from a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("encoder.weights = {path}: {problem}", path = path.display())]
pub struct WeightsError {
    path: PathBuf,
    problem: WeightsProblem,
}

/// Why a file of weights does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum WeightsProblem {
    /// The encoder takes no file.
    #[error("there are no published weights of this architecture; leave encoder.weights empty")]
    NotPublished,
    /// The name of the file does not say how to read it.
    #[error("a file that ends in .safetensors, .pth or .pt was expected")]
    Ending,
    /// The file, or a tensor in it, cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// The names are those of another architecture.
    #[error("it holds no `{first}`: is it a file of {name}, with timm's or torchvision's names?")]
    OtherNames {
        /// A tensor that every file has.
        first: &'static str,
        /// What others call the architecture.
        name: &'static str,
    },
    /// A tensor is missing.
    #[error("it holds no tensor for `{0}`")]
    Missing(&'static str),
    /// The first convolution is not one of three colours.
    #[error("`{0}` has the shape {1:?}; three colours were expected")]
    Colours(&'static str, Vec<usize>),
    /// Biases of distances are not those of a square map.
    #[error("`{0}` has the shape {1:?}; distances of a square map, for each head, were expected")]
    Distances(String, Vec<usize>),
    /// Embeddings of places are not those of a square image.
    #[error("`pos_embed` has the shape {0:?}; a class token and the places of a square map were expected")]
    Places(Vec<usize>),
    /// A tensor has another shape.
    #[error("{0}; is it a file of this architecture?")]
    OtherShape(String),
    /// The tensors are those of another architecture.
    #[error("it is of another architecture: it lacks {lacks}, and also has {besides}")]
    OtherArchitecture {
        /// What the network has and the file has not.
        lacks: String,
        /// What the file has and the network has not.
        besides: String,
    },
}

/// Names listed in a message.
const LISTED: usize = 4;

/// Sets the backbone's weights to those of a safetensors or PyTorch file.
///
/// # Errors
/// The file cannot be read, is of another architecture, or there are no published weights of the backbone.
pub(super) fn load(backbone: &mut Backbone, channels: usize, path: &Path) -> Result<(), WeightsError> {
    let failed = |problem| WeightsError { path: path.to_owned(), problem };
    let initialised = match backbone {
        Backbone::Pyramid(_) => Err(WeightsProblem::NotPublished),
        Backbone::Resnet(network) => begin(network, &published::RESNET, channels, path, Ok),
        Backbone::Efficientnet(network) => begin(network, &published::EFFICIENTNET, channels, path, Ok),
        Backbone::VisionTransformer(network) => {
            let window = network.transformer.window();
            let placed = |named| with_places(named, window);
            begin(&mut network.transformer, &published::VIT, channels, path, placed)
        }
        Backbone::Coatnet(network) => {
            let windows = network.windows();
            let placed = |named| with_distances(named, &windows);
            begin(network, &published::COATNET, channels, path, placed)
        }
    };
    let (tensors, unused) = initialised.map_err(failed)?;
    tracing::info!("{}: {tensors} tensors initialise the encoder; not used: {}", path.display(), listed(&unused));
    Ok(())
}

/// Values by the network's own names.
type Named = BTreeMap<String, TensorData>;

/// Sets the network's weights to those of a file for slices of `channels` channels. `sized` fits values to the size of
/// image. Returns the number of tensors, and the names of those that are not used.
fn begin<N: ModuleSnapshot>(
    network: &mut N,
    published: &Published,
    channels: usize,
    path: &Path,
    sized: impl FnOnce(Named) -> Result<Named, WeightsProblem>,
) -> Result<(usize, Vec<String>), WeightsProblem> {
    let (named, unused) = placed(read(path)?, published)?;
    Ok((apply(network, sized(adapted(named, channels, published)?)?)?, unused))
}

/// The biases of distances for the size of image of a CoAtNet.
fn with_distances(mut named: Named, windows: &[[usize; 2]]) -> Result<Named, WeightsProblem> {
    for (stage, window) in windows.iter().enumerate() {
        let start = format!("attention.{stage}.");
        for (name, biases) in &mut named {
            if name.starts_with(&start) && name.ends_with(published::PLACES) {
                let other = || WeightsProblem::Distances(name.clone(), biases.shape().to_vec());
                *biases = published::distances(biases, *window).ok_or_else(other)?;
            }
        }
    }
    Ok(named)
}

/// The embeddings of places for the size of image of a vision transformer, the class token with them. Its layers are
/// convolutions here.
fn with_places(mut named: Named, window: [usize; 2]) -> Result<Named, WeightsProblem> {
    let mut take = |name| named.remove(name).ok_or(WeightsProblem::Missing(name));
    let (class, places) = (take(published::CLASS)?, take(published::PLACES)?);
    let other = || WeightsProblem::Places(places.shape().to_vec());
    let placed = published::places(&class, &places, window).ok_or_else(other)?;
    for values in named.values_mut() {
        if let [outputs, inputs] = values.shape().to_vec()[..] {
            *values = TensorData::new(values.iter::<f32>().collect::<Vec<f32>>(), [outputs, inputs, 1, 1]);
        }
    }
    named.insert(published::PLACES.to_owned(), placed);
    Ok(named)
}

fn listed(names: &[String]) -> String {
    let some = names.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => "none".to_owned(),
        count if count > LISTED => format!("{some} and {} more", count - LISTED),
        _ => some,
    }
}

/// Tensors by the file's names.
fn read(path: &Path) -> Result<BTreeMap<String, Stored>, WeightsProblem> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("safetensors") => {
            let mut store = SafetensorsStore::from_file(path);
            store.get_all_tensors().cloned().map_err(|error| WeightsProblem::Unreadable(error.to_string()))
        }
        Some("pth" | "pt") => {
            let mut store = PytorchStore::from_file(path);
            store.get_all_tensors().cloned().map_err(|error| WeightsProblem::Unreadable(error.to_string()))
        }
        _ => Err(WeightsProblem::Ending),
    }
}

/// Values by the network's own names, and the names of the tensors that are not used: the classifier, and counters.
fn placed(stored: BTreeMap<String, Stored>, published: &Published) -> Result<(Named, Vec<String>), WeightsProblem> {
    // A name that ends likewise deeper in the network has a longer start.
    let starts = stored.keys().filter_map(|name| name.strip_suffix(published.first));
    let other = WeightsProblem::OtherNames { first: published.first, name: published.name };
    let prefix = starts.min_by_key(|start| start.len()).ok_or(other)?.to_owned();
    let (mut named, mut unused) = (BTreeMap::new(), Vec::new());
    for (name, tensor) in stored {
        match name.strip_prefix(&prefix).and_then(published.own_name) {
            Some(own) => {
                let unreadable = |error| WeightsProblem::Unreadable(format!("reading `{name}`: {error}"));
                let data = bridge::into_data(tensor).map_err(unreadable)?;
                named.insert(own, data.convert::<f32>());
            }
            None => unused.push(name),
        }
    }
    Ok((named, unused))
}

/// The first convolution made to read `channels` grey channels from 0 to 1 in place of three normalised colours: each
/// reads an equal share of the sum over the colours. A grey image, given to every channel, is then read as the network
/// read it. The shift of the colours is added to what is subtracted from or added to its output.
fn adapted(mut named: Named, channels: usize, published: &Published) -> Result<Named, WeightsProblem> {
    let [mean, deviation] = published.colours;
    let (shift, sign) = published.shift;
    let mut take = |name| named.remove(name).ok_or(WeightsProblem::Missing(name));
    let (kernel, offsets) = (take(published.kernel)?, take(shift)?);
    let [outputs, 3, rows, columns] = kernel.shape().to_vec()[..] else {
        return Err(WeightsProblem::Colours(published.first, kernel.shape().to_vec()));
    };
    let area = rows * columns;
    let values: Vec<f32> = kernel.iter::<f32>().collect();
    let mut adapted = Vec::with_capacity(outputs * channels * area);
    let mut shifted: Vec<f32> = offsets.iter::<f32>().collect();
    for (output, colours) in values.chunks(3 * area).enumerate() {
        let of_colour = |colour: usize, place: usize| colours[colour * area + place] / deviation[colour];
        let grey: Vec<f32> = (0..area)
            .map(|place| (0..3).map(|colour| of_colour(colour, place)).sum::<f32>() / channels as f32)
            .collect();
        adapted.extend(grey.repeat(channels));
        let of_output: f32 =
            (0..3).map(|colour| mean[colour] * (0..area).map(|place| of_colour(colour, place)).sum::<f32>()).sum();
        shifted.get_mut(output).into_iter().for_each(|offset| *offset += sign * of_output);
    }
    named.insert(published.kernel.to_owned(), TensorData::new(adapted, [outputs, channels, rows, columns]));
    let count = shifted.len();
    named.insert(shift.to_owned(), TensorData::new(shifted, [count]));
    Ok(named)
}

/// Sets all of the network's weights; returns their number.
fn apply<N: ModuleSnapshot>(network: &mut N, named: Named) -> Result<usize, WeightsProblem> {
    let count = named.len();
    let stored = named.into_iter().map(|(name, data)| bridge::from_data(data, name, None)).collect();
    // Into a copy: a file that does not fit leaves the network unchanged.
    let mut filled = network.clone();
    let result = filled.apply(stored, None, None, true);
    if let Some(error) = result.errors.first() {
        return Err(WeightsProblem::OtherShape(error.to_string()));
    }
    let missing: Vec<String> =
        result.missing.into_iter().map(|(name, _)| name).filter(|name| !name.ends_with(".training")).collect();
    if !missing.is_empty() || !result.unused.is_empty() {
        return Err(WeightsProblem::OtherArchitecture { lacks: listed(&missing), besides: listed(&result.unused) });
    }
    *network = filled;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use burn::module::Module;
    use burn::tensor::module::conv2d;
    use burn::tensor::ops::ConvOptions;
    use burn::tensor::{Device, Distribution, Tensor};

    use super::*;
    use crate::learn::train::configuration::{Architecture, EncoderConfiguration, TrainConfiguration};

    fn backbone(architecture: Architecture, channels: usize) -> Backbone {
        let configuration = TrainConfiguration::load(None, &[]).expect("defaults").encoder;
        let configuration = EncoderConfiguration { architecture, width: 0.125, ..configuration };
        Backbone::new(&configuration, channels, [64, 64], &Device::flex())
    }

    /// Names and shapes of a ResNet in torchvision, an eighth as wide, as `state_dict()` lists them.
    fn state(blocks: [usize; 4], bottleneck: bool) -> Vec<(String, Vec<usize>)> {
        let mut state = Vec::new();
        let mut layer = |convolution: String, normalisation: String, shape: [usize; 4]| {
            state.push((format!("{convolution}.weight"), shape.to_vec()));
            for parameter in ["weight", "bias", "running_mean", "running_var"] {
                state.push((format!("{normalisation}.{parameter}"), vec![shape[0]]));
            }
        };
        layer("conv1".to_owned(), "bn1".to_owned(), [8, 3, 7, 7]);
        let mut inputs = 8;
        for (stage, count) in blocks.into_iter().enumerate() {
            let width = 8 << stage;
            let outputs = if bottleneck { 4 * width } else { width };
            for block in 0..count {
                let place = format!("layer{}.{block}", stage + 1);
                let shapes = if bottleneck {
                    vec![[width, inputs, 1, 1], [width, width, 3, 3], [outputs, width, 1, 1]]
                } else {
                    vec![[width, inputs, 3, 3], [width, width, 3, 3]]
                };
                for (number, shape) in shapes.into_iter().enumerate() {
                    layer(format!("{place}.conv{}", number + 1), format!("{place}.bn{}", number + 1), shape);
                }
                if block == 0 && (stage > 0 || inputs != outputs) {
                    let shape = [outputs, inputs, 1, 1];
                    layer(format!("{place}.downsample.0"), format!("{place}.downsample.1"), shape);
                }
                inputs = outputs;
            }
        }
        state.push(("fc.weight".to_owned(), vec![5, inputs]));
        state.push(("fc.bias".to_owned(), vec![5]));
        state
    }

    /// A value for each place of each tensor, all different and none negative.
    fn value(tensor: usize, place: usize) -> f32 {
        0.25 + ((tensor * 31 + place) % 101) as f32 / 256.0
    }

    /// A safetensors file: the length of a header, the header in JSON, values.
    fn write(path: &Path, state: &[(String, Vec<usize>)]) {
        let (mut header, mut values) = (serde_json::Map::new(), Vec::<u8>::new());
        for (index, (name, shape)) in state.iter().enumerate() {
            let begin = values.len();
            let count = shape.iter().product::<usize>();
            values.extend((0..count).flat_map(|place| value(index, place).to_le_bytes()));
            let entry = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [begin, values.len()]});
            header.insert(name.clone(), entry);
        }
        let header = serde_json::Value::Object(header).to_string();
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &values].concat();
        std::fs::write(path, bytes).expect("file");
    }

    fn file(folder: &tempfile::TempDir, state: &[(String, Vec<usize>)]) -> std::path::PathBuf {
        let path = folder.path().join("weights.safetensors");
        write(&path, state);
        path
    }

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    #[test]
    fn every_tensor_of_a_resnet_finds_its_place() {
        let _drawing = crate::learn::train::generator::shared();
        let folder = tempfile::tempdir().expect("folder");
        for (architecture, blocks, bottleneck) in [
            (Architecture::Resnet18, [2, 2, 2, 2], false),
            (Architecture::Resnet34, [3, 4, 6, 3], false),
            (Architecture::Resnet50, [3, 4, 6, 3], true),
        ] {
            let state = state(blocks, bottleneck);
            let mut backbone = backbone(architecture, 3);
            load(&mut backbone, 3, &file(&folder, &state)).expect("loaded");
            let Backbone::Resnet(network) = backbone else { panic!("a ResNet was expected") };
            let tensors: BTreeMap<String, Stored> =
                network.collect(None, None, true).into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
            let mut compared = 0;
            for (index, (name, shape)) in state.iter().enumerate().filter(|(_, (name, _))| name.starts_with("layer")) {
                let found =
                    bridge::to_data(&tensors[&(published::RESNET.own_name)(name).expect("a place")]).expect("values");
                assert_eq!(found.shape().to_vec(), *shape, "{name}");
                assert!(
                    found
                        .iter::<f32>()
                        .enumerate()
                        .all(|(place, found)| found.to_bits() == value(index, place).to_bits()),
                    "{name}"
                );
                compared += 1;
            }
            assert_eq!(compared, state.len() - 7, "all but the stem and the classifier");
        }
    }

    type State = Vec<(String, Vec<usize>)>;

    fn with_offset(name: &str, shape: &[usize]) -> State {
        vec![(format!("{name}.weight"), shape.to_vec()), (format!("{name}.bias"), vec![shape[0]])]
    }

    fn normalised(convolution: &str, normalisation: &str, shape: [usize; 4]) -> State {
        let parameters = ["weight", "bias", "running_mean", "running_var"];
        let of_normalisation = parameters.map(|parameter| (format!("{normalisation}.{parameter}"), vec![shape[0]]));
        [(format!("{convolution}.weight"), shape.to_vec())].into_iter().chain(of_normalisation).collect()
    }

    /// Names and shapes in timm of the smallest vision transformer, for images of `patches` patches.
    fn state_of_vit(patches: usize) -> State {
        let tokens = vec![("cls_token".to_owned(), vec![1, 1, 8]), ("pos_embed".to_owned(), vec![1, 1 + patches, 8])];
        let layers = [
            ("patch_embed.proj", &[8, 3, 16, 16][..]),
            ("blocks.0.norm1", &[8]),
            ("blocks.0.attn.qkv", &[24, 8]),
            ("blocks.0.attn.proj", &[8, 8]),
            ("blocks.0.norm2", &[8]),
            ("blocks.0.mlp.fc1", &[32, 8]),
            ("blocks.0.mlp.fc2", &[8, 32]),
            ("norm", &[8]),
            ("head", &[3, 8]),
        ];
        tokens.into_iter().chain(layers.iter().flat_map(|(name, shape)| with_offset(name, shape))).collect()
    }

    /// Names and shapes in timm of the smallest EfficientNet.
    fn state_of_efficientnet() -> State {
        let mut state = normalised("conv_stem", "bn1", [8, 3, 3, 3]);
        state.extend(normalised("blocks.0.0.conv", "blocks.0.0.bn1", [8, 8, 3, 3]));
        for (stage, within) in [(1, 32), (2, 32), (3, 32), (4, 48), (5, 48)] {
            let block = format!("blocks.{stage}.0");
            let mut layer = |convolution: &str, normalisation: &str, shape| {
                state.extend(normalised(&format!("{block}.{convolution}"), &format!("{block}.{normalisation}"), shape));
            };
            if stage < 3 {
                layer("conv_exp", "bn1", [within, 8, 3, 3]);
                layer("conv_pwl", "bn2", [8, within, 1, 1]);
            } else {
                layer("conv_pw", "bn1", [within, 8, 1, 1]);
                layer("conv_dw", "bn2", [within, 1, 3, 3]);
                layer("conv_pwl", "bn3", [8, within, 1, 1]);
                state.extend(with_offset(&format!("{block}.se.conv_reduce"), &[2, within, 1, 1]));
                state.extend(with_offset(&format!("{block}.se.conv_expand"), &[within, 2, 1, 1]));
            }
        }
        state.extend(normalised("conv_head", "bn2", [16, 8, 1, 1]));
        state.extend(with_offset("classifier", &[3, 16]));
        state
    }

    #[test]
    fn every_tensor_of_the_networks_of_timm_finds_its_place() {
        let _drawing = crate::learn::train::generator::shared();
        let folder = tempfile::tempdir().expect("folder");
        let begun = |architecture, state: &State| {
            let defaults = TrainConfiguration::load(None, &[]).expect("defaults").encoder;
            let configuration = EncoderConfiguration { architecture, width: 0.01, depth: 0.01, ..defaults };
            let mut backbone = Backbone::new(&configuration, 1, [64, 96], &Device::flex());
            load(&mut backbone, 1, &file(&folder, state)).map(|()| backbone)
        };
        let image = Tensor::<4>::zeros([1, 1, 64, 96], &Device::flex());
        // Four patches of a square image are resampled to 4 x 6.
        for (architecture, state, shape) in [
            (Architecture::VitBasePatch16, state_of_vit(4), [1, 8, 4, 6]),
            (Architecture::Efficientnetv2S, state_of_efficientnet(), [1, 16, 2, 3]),
        ] {
            let backbone = begun(architecture, &state).expect("loaded");
            let map = backbone.forward(image.clone()).coarsest;
            assert_eq!(map.dims(), shape);
            assert!(values(map).iter().all(|value| value.is_finite()));
        }
        let problem = |architecture, state: &State| begun(architecture, state).expect_err("a wrong file").to_string();
        let other = problem(Architecture::VitBasePatch16, &state_of_efficientnet());
        assert!(other.contains("patch_embed.proj.weight") && other.contains("vit_base_patch16_224"), "{other}");
        let other = problem(Architecture::VitBasePatch16, &state_of_vit(6));
        assert!(other.contains("pos_embed") && other.contains("[1, 7, 8]"), "{other}");
        let mut larger = state_of_efficientnet();
        larger.extend(normalised("blocks.5.1.conv_pw", "blocks.5.1.bn1", [48, 8, 1, 1]));
        let other = problem(Architecture::Efficientnetv2S, &larger);
        assert!(other.contains("another architecture") && other.contains("inverted.2.1"), "{other}");
    }

    #[test]
    fn grey_channels_are_read_as_colours_were() {
        let _drawing = crate::learn::train::generator::shared();
        let folder = tempfile::tempdir().expect("folder");
        let state = state([2, 2, 2, 2], false);
        let path = file(&folder, &state);
        let device = Device::flex();
        let image = Tensor::<4>::random([1, 1, 32, 32], Distribution::Uniform(0.0, 1.0), &device);
        let [mean, deviation] = published::RESNET.colours;
        let colours: Vec<Tensor<4>> =
            (0..3).map(|colour| image.clone().sub_scalar(mean[colour]).div_scalar(deviation[colour])).collect();
        let tensor = |name: &str| {
            let index = state.iter().position(|(found, _)| found == name).expect("name");
            let count = state[index].1.iter().product();
            TensorData::new((0..count).map(|place| value(index, place)).collect::<Vec<f32>>(), state[index].1.clone())
        };
        let options = ConvOptions::new([2, 2], [3, 3], [1, 1], 1);
        let kernel = Tensor::<4>::from_data(tensor("conv1.weight"), &device);
        let convolved = conv2d(Tensor::cat(colours, 1), kernel, None, options);
        let of_channel = |name: &str| Tensor::<1>::from_data(tensor(name), &device).reshape([1, 8, 1, 1]);
        let deviation = of_channel("bn1.running_var").add_scalar(1e-5).sqrt();
        let expected = (convolved - of_channel("bn1.running_mean")) / deviation * of_channel("bn1.weight")
            + of_channel("bn1.bias");
        for channels in [1, 3, 5] {
            let mut backbone = backbone(Architecture::Resnet18, channels);
            load(&mut backbone, channels, &path).expect("loaded");
            let Backbone::Resnet(network) = backbone else { panic!("a ResNet was expected") };
            let found = network.valid().stem.forward(image.clone().repeat_dim(1, channels));
            // Away from the border, where zero padding means black and not the mean colour.
            let inside = |map: Tensor<4>| values(map.narrow(2, 2, 12).narrow(3, 2, 12));
            let pairs = inside(found).into_iter().zip(inside(expected.clone()));
            let difference = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(difference < 2e-3, "{channels} channels: {difference}");
        }
    }

    #[test]
    fn a_wrong_file_says_what_is_wrong_with_it() {
        let _drawing = crate::learn::train::generator::shared();
        let folder = tempfile::tempdir().expect("folder");
        let problem = |architecture, path: &Path| {
            load(&mut backbone(architecture, 3), 3, path).expect_err("a wrong file").to_string()
        };
        let path = file(&folder, &state([2, 2, 2, 2], false));
        let other = problem(Architecture::Resnet34, &path);
        assert!(other.contains("another architecture") && other.contains("stages.0.2"), "{other}");
        let other = problem(Architecture::Resnet50, &path);
        assert!(other.contains("architecture"), "{other}");
        assert!(problem(Architecture::Pyramid, &path).contains("no published weights"));
        write(&path, &[("weight".to_owned(), vec![2, 2])]);
        assert!(problem(Architecture::Resnet18, &path).contains("conv1.weight"));
        for (name, bytes) in [("cut.safetensors", &b"abc"[..]), ("cut.pth", b"abc"), ("weights.bin", b"")] {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).expect("file");
            let problem = problem(Architecture::Resnet18, &path);
            assert!(problem.contains(name), "{problem}");
        }
        assert!(problem(Architecture::Resnet18, Path::new("absent.pth")).contains("absent.pth"));
    }

    /// 32-bit floats of a file.
    fn floats(path: &Path) -> Vec<f32> {
        let bytes = std::fs::read(path).expect("file");
        bytes.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect()
    }

    /// The table of `tests/bench/results/timm.md`: networks whose weights timm wrote, and its output for an image.
    #[test]
    #[ignore = "a measurement: tests/bench/timm_weights.py runs it, with files that PyTorch writes"]
    fn a_file_of_pytorch_is_read_as_pytorch_reads_it() {
        let folder = std::path::PathBuf::from(std::env::var_os("PE_NODE_NETWORKS").expect("a folder of files"));
        for (architecture, name) in [
            (Architecture::Resnet18, "resnet18"),
            (Architecture::Resnet34, "resnet34"),
            (Architecture::Resnet50, "resnet50"),
            (Architecture::Coatnet0, "coatnet0"),
            (Architecture::Efficientnetv2S, "efficientnetv2_s"),
            (Architecture::VitBasePatch16, "vit_base_patch16"),
        ] {
            let mut backbone = Backbone::new(
                &EncoderConfiguration {
                    architecture,
                    ..TrainConfiguration::load(None, &[]).expect("defaults").encoder
                },
                1,
                [64, 96],
                &Device::flex(),
            );
            load(&mut backbone, 1, &folder.join(format!("{name}.pth"))).expect("loaded");
            let image = TensorData::new(floats(&folder.join(format!("{name}.image"))), [2, 1, 64, 96]);
            let found = values(backbone.valid().folded().forward(Tensor::from_data(image, &Device::flex())).coarsest);
            let expected = floats(&folder.join(format!("{name}.map")));
            assert_eq!(found.len(), expected.len());
            let largest = expected.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
            let difference = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest;
            println!("{}", serde_json::json!({ "architecture": name, "difference": difference }));
            assert!(difference < 1e-4, "{name}: {difference}");
        }
    }
}
