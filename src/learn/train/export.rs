//! Step `export`: networks to ONNX with named tensors and a dynamic number of slices.

use std::sync::{Mutex, PoisonError};

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use burn_onnx::export::{AxisSpec, ExportError, ExportInput, ExportOutput, InputSpec, OnnxExporter};
use onnx_ir::{Message, ModelProto};

use super::TrainError;
use super::network::{EmbolismNetwork, LungNetwork};

/// One exported network.
pub(crate) struct Exported {
    pub(crate) bytes: Vec<u8>,
    pub(crate) input: &'static str,
    pub(crate) outputs: &'static [&'static str],
}

/// The lung network: slices `[N, C, H, W]` to class logits.
pub(crate) fn lungs(network: &LungNetwork, channels: usize, size: [usize; 2]) -> Result<Exported, TrainError> {
    let outputs = &["logits"];
    let bytes = export(network, |slices| blank_slices(slices, channels, size), 4, LungNetwork::forward)?;
    Ok(Exported { bytes: named(&bytes, "slices", outputs)?, input: "slices", outputs })
}

/// Encoder and head of the embolism classifier.
pub(crate) fn embolism(
    network: &EmbolismNetwork,
    channels: usize,
    size: [usize; 2],
    features: usize,
) -> Result<[Exported; 2], TrainError> {
    let encoder = export(
        &network.encoder,
        |slices| blank_slices(slices, channels, size),
        4,
        |encoder, slices| {
            let encoded = encoder.forward(slices);
            (encoded.features, encoded.evidence)
        },
    )?;
    let blank_features = |slices| Tensor::<2>::zeros([slices, features], &Device::default());
    let head = export(&network.head, blank_features, 2, |head, features| {
        let reading = head.forward(features);
        (reading.slices, reading.exam, reading.attention)
    })?;
    let of_encoder = &["features", "evidence"];
    let of_head = &["slice_logits", "exam_logit", "attention"];
    Ok([
        Exported { bytes: named(&encoder, "slices", of_encoder)?, input: "slices", outputs: of_encoder },
        Exported { bytes: named(&head, "features", of_head)?, input: "features", outputs: of_head },
    ])
}

fn blank_slices(slices: usize, channels: usize, [rows, columns]: [usize; 2]) -> Tensor<4> {
    Tensor::zeros([slices, channels, rows, columns], &Device::default())
}

/// Tracing is a state of the whole process: one at a time.
static TRACING: Mutex<()> = Mutex::new(());

/// Traces the network with two numbers of slices, both unlike any other size, so that the exporter can tell the axis.
fn export<M: Module, I: ExportInput, O: ExportOutput>(
    network: &M,
    blank: impl Fn(usize) -> I,
    rank: usize,
    forward: impl Fn(&M, I) -> O,
) -> Result<Vec<u8>, TrainError> {
    let mut axes = vec![AxisSpec::Static; rank];
    axes[0] = AxisSpec::dynamic("slices");
    let specification = [InputSpec::new(axes)];
    let _tracing = TRACING.lock().unwrap_or_else(PoisonError::into_inner);
    let model = OnnxExporter::new()
        .export_dynamic(network, blank(7), blank(11), &specification, forward)
        .map_err(|error: ExportError| TrainError::Export(error.to_string()))?;
    Ok(model.into_bytes())
}

/// Gives input and outputs their names in place of the exporter's numbers.
fn named(bytes: &[u8], input: &str, outputs: &[&str]) -> Result<Vec<u8>, TrainError> {
    let failed = |problem: String| TrainError::Export(problem);
    let mut model = ModelProto::parse_from_bytes(bytes).map_err(|error| failed(error.to_string()))?;
    let graph = model.graph.mut_or_insert_default();
    if graph.input.len() != 1 || graph.output.len() != outputs.len() {
        return Err(failed(format!("{} inputs and {} outputs were traced", graph.input.len(), graph.output.len())));
    }
    let mut names = vec![(graph.input[0].name.clone(), input.to_owned())];
    names.extend(graph.output.iter().zip(outputs).map(|(output, name)| (output.name.clone(), (*name).to_owned())));
    let rename = |name: &mut String| {
        if let Some((_, new)) = names.iter().find(|(old, _)| old == name) {
            name.clone_from(new);
        }
    };
    graph.input.iter_mut().for_each(|value| rename(&mut value.name));
    graph.output.iter_mut().for_each(|value| rename(&mut value.name));
    for node in &mut graph.node {
        node.input.iter_mut().for_each(rename);
        node.output.iter_mut().for_each(rename);
    }
    "pe-node".clone_into(&mut model.producer_name);
    model.write_to_bytes().map_err(|error| failed(error.to_string()))
}
