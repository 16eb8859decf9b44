//! Step `export`: networks to ONNX with named tensors and a dynamic number of slices.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use burn_onnx::export::{ExportError, ExportInput, ExportOutput, OnnxExporter};
use onnx_ir::{Message, ModelProto, TensorProto};

use super::TrainError;
use super::network::{EmbolismNetwork, Encoder, Head, LungNetwork};

/// One exported network.
pub(crate) struct Exported {
    pub(crate) bytes: Vec<u8>,
    pub(crate) input: &'static str,
    pub(crate) outputs: &'static [&'static str],
}

/// Names of a network's tensors.
struct Names {
    input: &'static str,
    outputs: &'static [&'static str],
}

/// The lung network: slices `[N, C, H, W]` to class logits.
pub(crate) fn lungs(network: &LungNetwork, channels: usize, size: [usize; 2]) -> Result<Exported, TrainError> {
    let names = Names { input: "slices", outputs: &["logits"] };
    export(network, |slices| blank_slices(slices, channels, size), LungNetwork::forward, names)
}

/// Encoder and head of the embolism classifier.
pub(crate) fn embolism(
    network: &EmbolismNetwork,
    channels: usize,
    size: [usize; 2],
) -> Result<[Exported; 2], TrainError> {
    let encode = |encoder: &Encoder, slices| {
        let encoded = encoder.forward(slices);
        (encoded.features, encoded.evidence)
    };
    let read = |head: &Head, features| {
        let reading = head.forward(features);
        (reading.slices, reading.exam, reading.attention)
    };
    let features = network.encoder.features();
    let blank_features = |slices| Tensor::<2>::zeros([slices, features], &Device::flex());
    let of_encoder = Names { input: "slices", outputs: &["features", "evidence"] };
    let of_head = Names { input: "features", outputs: &["slice_logits", "exam_logit", "attention"] };
    Ok([
        export(&network.encoder, |slices| blank_slices(slices, channels, size), encode, of_encoder)?,
        export(&network.head, blank_features, read, of_head)?,
    ])
}

fn blank_slices(slices: usize, channels: usize, [rows, columns]: [usize; 2]) -> Tensor<4> {
    Tensor::zeros([slices, channels, rows, columns], &Device::flex())
}

/// Tracing is a state of the whole process: one at a time.
static TRACING: Mutex<()> = Mutex::new(());

/// Numbers of slices of the two traces.
const FEW: usize = 7;
const MANY: usize = 11;
/// Name of the axis whose length they are.
const SLICES: &str = "slices";

/// Traces the network with two numbers of slices and joins both traces into one network for any number.
fn export<M: Module, I: ExportInput, O: ExportOutput>(
    network: &M,
    blank: impl Fn(usize) -> I,
    forward: impl Fn(&M, I) -> O,
    names: Names,
) -> Result<Exported, TrainError> {
    let _tracing = TRACING.lock().unwrap_or_else(PoisonError::into_inner);
    let trace = |slices| {
        let exported = OnnxExporter::new().export(network, blank(slices), &forward);
        let bytes = exported.map_err(|error: ExportError| TrainError::Export(error.to_string()))?.into_bytes();
        let parsed = ModelProto::parse_from_bytes(&bytes).map_err(|error| TrainError::Export(error.to_string()))?;
        named(parsed, &names).map_err(TrainError::Export)
    };
    let mut model = joined(trace(FEW)?, &trace(MANY)?).map_err(TrainError::Export)?;
    "pe-node".clone_into(&mut model.producer_name);
    let bytes = model.write_to_bytes().map_err(|error| TrainError::Export(error.to_string()))?;
    Ok(Exported { bytes, input: names.input, outputs: names.outputs })
}

/// Gives input and outputs their names in place of the exporter's numbers, and numbers the rest in the order of the
/// graph, so that traces of one network differ in nothing but what depends on the number of slices.
fn named(mut model: ModelProto, names: &Names) -> Result<ModelProto, String> {
    let graph = model.graph.mut_or_insert_default();
    if graph.input.len() != 1 || graph.output.len() != names.outputs.len() {
        return Err(format!("{} inputs and {} outputs were traced", graph.input.len(), graph.output.len()));
    }
    let mut new = HashMap::from([(graph.input[0].name.clone(), names.input.to_owned())]);
    new.extend(graph.output.iter().zip(names.outputs).map(|(output, name)| (output.name.clone(), (*name).to_owned())));
    let rename = |name: &mut String| {
        if name.starts_with("tensor_") {
            let number = new.len();
            let named = new.entry(name.clone()).or_insert_with(|| format!("value_{number}"));
            name.clone_from(named);
        }
    };
    let values = graph.input.iter_mut().chain(&mut graph.output).map(|value| &mut value.name);
    let nodes = graph.node.iter_mut().flat_map(|node| node.input.iter_mut().chain(&mut node.output));
    let initialisers = graph.initializer.iter_mut().map(|tensor| &mut tensor.name);
    values.chain(nodes).chain(initialisers).for_each(rename);
    graph.initializer.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(model)
}

/// One network of two traces: what depends on the number of slices is found at run time. That may be a single length of
/// a reshape, and lengths of the outputs; traces that differ in anything else cannot be joined.
fn joined(mut few: ModelProto, many: &ModelProto) -> Result<ModelProto, String> {
    let (graph, other) = (few.graph.mut_or_insert_default(), many.graph.get_or_default());
    if let Some((node, _)) = graph.node.iter().zip(&other.node).find(|(node, other)| node != other) {
        return Err(format!("{} of `{}` depends on the number of slices", node.op_type, node.name));
    }
    let reshapes = graph.node.iter().filter(|node| node.op_type == "Reshape").filter_map(|node| node.input.get(1));
    let shapes: HashSet<String> = reshapes.cloned().collect();
    for (tensor, other) in
        graph.initializer.iter_mut().zip(&other.initializer).filter(|(tensor, other)| tensor != other)
    {
        if tensor.name != other.name || !shapes.contains(&tensor.name) {
            return Err(format!("`{}` depends on the number of slices", tensor.name));
        }
        let mut lengths = integers(tensor);
        let differing: Vec<usize> = lengths
            .iter()
            .zip(integers(other))
            .enumerate()
            .filter(|(_, (a, b))| **a != *b)
            .map(|(axis, _)| axis)
            .collect();
        let [axis] = differing[..] else {
            return Err(format!("several lengths of `{}` depend on the number of slices", tensor.name));
        };
        lengths[axis] = -1;
        tensor.raw_data = lengths.iter().flat_map(|length| length.to_le_bytes()).collect::<Vec<u8>>().into();
    }
    let values = graph.input.iter_mut().chain(&mut graph.output).zip(other.input.iter().chain(&other.output));
    for (value, other) in values {
        let shape = value.type_.mut_or_insert_default().mut_tensor_type().shape.mut_or_insert_default();
        let lengths = shape.dim.iter_mut().zip(&other.type_.get_or_default().tensor_type().shape.get_or_default().dim);
        for (length, _) in lengths.filter(|(length, other)| length != other) {
            length.set_dim_param(SLICES.to_owned());
        }
    }
    Ok(few)
}

fn integers(tensor: &TensorProto) -> Vec<i64> {
    let (values, _) = tensor.raw_data.as_chunks::<8>();
    values.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
}
