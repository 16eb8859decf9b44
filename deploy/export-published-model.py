#!/usr/bin/env python3
"""Turns a PyTorch checkpoint of the published classifier into a model package of the layout `exam`.

    target/venv-bench/bin/python deploy/export-published-model.py CHECKPOINT --out DIR --name NAME --version VERSION
    pe-node models import DIR/NAME/VERSION
    pe-node models promote NAME/VERSION

DIR is not the node's own folder of packages: with two embolism packages there and neither promoted, the node cannot
choose one and does not start.

The network is that of Hu et al., npj Digital Medicine 8 (2025), doi 10.1038/s41746-025-01594-2, with the layers and names
of the authors' public code of September 2025:

    slice -> timm's encoder -> GELU -> linear to 64 features
    exam  -> GELU -> batch normalisation -> self-attention with 8 heads -> layer normalisation, plus the normalised features
          -> bidirectional LSTM of 3 layers -> its last time step -> linear to the exam's logit

The slice head is not exported: the layout has no place for it. Every weight must go to a layer of its name and shape, and
ONNX Runtime must answer as PyTorch does. What weights do not show are arguments: the number of heads, the size of the slices
(`--size`: the authors trained with 256 pixels, and their notebook reads single studies with 384), and how images are
prepared. A CoAtNet's tables of relative positions and a ViT's positions belong to one size: for another they are
resampled, as timm does when it loads weights.

Two things differ from the authors' program. It gives the network every slice of the lungs, the central 512 at most; the
package has a fixed number, spread evenly over the lungs (`--depth`, 184 as in their training). And the node interpolates
slices to `--slice-step-mm` before it chooses. So compare the probabilities of some exams with those of the authors' program
before you promote the package.

The package is not calibrated and decides at 0.5, as the authors do, until a site has calibrated it on exams of its own
(`pe-node train recalibrate`). Needs Python with what `tests/bench/requirements.txt` lists (`tests/bench/install.sh` brings it).
"""

import argparse
import hashlib
import json
import math
import sys
from pathlib import Path

import numpy
import onnx
import onnxruntime
import timm
import torch
from timm.layers import resample_abs_pos_embed, resize_rel_pos_bias_table
from torch import nn

# Of the authors' options, with timm's names.
ENCODERS = ("coatnet_0_rw_224", "resnet50", "tf_efficientnetv2_s", "vit_base_patch16_224")
# Encoders that are built for one size of image.
OF_ONE_SIZE = ("coatnet", "vit")
LARGEST_DIFFERENCE = 1e-3
RELATIVE, ABSOLUTE = "relative_position_bias_table", "pos_embed"


class ExamHead(nn.Module):
    """Features of an exam's slices `[1, D, F]` to its logit `[1, 1]`."""

    def __init__(self, features=64, hidden=64, heads=8, layers=3, bias=True):
        super().__init__()
        self.batch_norm = nn.BatchNorm1d(features)
        self.self_attention = nn.MultiheadAttention(features, heads, batch_first=True)
        self.layer_norm = nn.LayerNorm(features)
        self.lstm_layers = nn.LSTM(features, hidden, num_layers=layers, bidirectional=True, batch_first=True)
        self.classifier = nn.Sequential(nn.Linear(2 * hidden, 1, bias=bias))

    def forward(self, features):
        normalised = self.batch_norm(nn.functional.gelu(features)[0]).unsqueeze(0)
        attended, _ = self.self_attention(normalised, normalised, normalised, need_weights=False)
        steps, _ = self.lstm_layers(self.layer_norm(attended) + normalised)
        return self.classifier(steps[:, -1])


class PublishedNetwork(nn.Module):
    """`[1, D, 3, H, W]` to the exam's logit `[1, 1]`."""

    def __init__(self, size=256, encoder=ENCODERS[0], features=64, **head):
        super().__init__()
        at_size = {"img_size": size} if encoder.startswith(OF_ONE_SIZE) else {}
        self.encoder_stage1 = timm.create_model(encoder, pretrained=False, num_classes=0, **at_size)
        self.encoder_dense = nn.Sequential(nn.GELU(), nn.Dropout(0.3), nn.Linear(self.encoder_stage1.num_features, features))
        self.classifier = ExamHead(features, **head)
        self.aux_classifier = nn.Sequential(nn.GELU(), nn.Dropout(0.3), nn.Linear(features, 1, bias=False))

    def forward(self, exam):
        return self.classifier(self.encoder_dense(self.encoder_stage1(exam[0])).unsqueeze(0))


def state_of(checkpoint):
    """The state dict in a checkpoint, by the names that `PublishedNetwork` has."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    for key in ("model_state_dict", "state_dict"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    # Data-parallel training and earlier versions of the authors' code.
    named = {key.removeprefix("module."): tensor for key, tensor in state.items()}
    return {key.replace("encoder_stage1.encoder.", "encoder_stage1.", 1): tensor for key, tensor in named.items()}


def head_sizes(state):
    """The sizes of the exam head that its weights show."""
    prefix = "classifier.lstm_layers.weight_"
    first = [f"{prefix}hh_l0", f"{prefix}ih_l0"]
    if missing := [key for key in first if key not in state]:
        parts = sorted({key.split(".")[0] for key in state})
        sys.exit(f"the checkpoint has no {missing[0]}, and so not the published exam head; its parts are {', '.join(parts)}")
    return {
        "hidden": state[first[0]].shape[1],
        "features": state[first[1]].shape[1],
        "layers": sum(key.startswith(f"{prefix}ih_l") and not key.endswith("_reverse") for key in state),
        "bias": "classifier.classifier.0.bias" in state,
    }


def side(key, positions):
    """Edge of the square map whose positions a tensor holds: differences of places `[(2 n - 1)^2, heads]`, or one more than
    places `[1, 1 + n^2, channels]`. `None` if it holds those of no square map."""
    places = positions.shape[0] if key.endswith(RELATIVE) else positions.shape[1] - 1 if positions.dim() == 3 else 0
    root = math.isqrt(places)
    if places == 0 or root * root != places:
        return None
    return (root + 1) // 2 if key.endswith(RELATIVE) else root


def resample_positions(state, network, size):
    """Positions of the encoder for this size of image in place of another; says which."""
    sizes = set()
    for key, wanted in network.state_dict().items():
        there = state.get(key)
        if not key.endswith((RELATIVE, ABSOLUTE)) or there is None or there.shape == wanted.shape:
            continue
        before, after = side(key, there), side(key, wanted)
        if before is None or there.shape[-1] != wanted.shape[-1]:
            continue
        state[key] = (resize_rel_pos_bias_table(there, (after, after), wanted.shape) if key.endswith(RELATIVE)
                      else resample_abs_pos_embed(there, [after, after], num_prefix_tokens=1))
        sizes.add(size * before // after)
    if sizes:
        print(f"the checkpoint is of {', '.join(map(str, sorted(sizes)))} pixels: its positions were resampled to {size}", file=sys.stderr)


def build(state, size, encoder, heads):
    """The network with the sizes and weights of a state dict, or the layers at fault."""
    sizes = head_sizes(state)
    if heads < 1 or sizes["features"] % heads:
        sys.exit(f"--heads {heads}: a divisor of the {sizes['features']} features was expected; the authors have 8")
    network = PublishedNetwork(size, encoder, heads=heads, **sizes)
    resample_positions(state, network, size)
    wanted = {key: tensor.shape for key, tensor in network.state_dict().items()}
    problems = [f"{key} is missing" for key in wanted if key not in state and not key.startswith("aux_classifier.")]
    problems += [f"{key} belongs to no layer" for key in state if key not in wanted]
    problems += [f"{key} has the shape {list(state[key].shape)}, {list(shape)} was expected"
                 for key, shape in wanted.items() if key in state and state[key].shape != shape]
    if problems:
        shown = ";\n  ".join(problems[:8])
        sys.exit(f"the checkpoint is of another network than {encoder} at {size} pixels with the published exam head; "
                 f"{len(problems)} of its layers do not fit:\n  {shown}.\nName another --encoder or --size.")
    network.load_state_dict(state, strict=False)
    return network.eval()


def export(network, path, depth, size):
    """Writes the network as ONNX and compares ONNX Runtime with PyTorch on noise; gives the largest difference."""
    example = torch.rand(1, depth, 3, size, size, generator=torch.Generator().manual_seed(0))
    torch.onnx.export(network, (example,), str(path), input_names=["exam"], output_names=["exam_logit"],
                      opset_version=18, dynamo=True, external_data=False, verbose=False)
    onnx.checker.check_model(str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = network(example).numpy()
    return float(numpy.abs(session.run(None, {"exam": example.numpy()})[0] - expected).max())


def manifest(arguments, digest, checkpoint_digest):
    quoted = json.dumps
    return f"""schema = 1
name = {quoted(arguments.name)}
version = {quoted(arguments.version)}
kind = "embolism-classifier"
intended_use = "research"
license = {quoted(arguments.license)}
layout = "exam"

[input]
window = [-250.0, 450.0]
size = [{arguments.size}, {arguments.size}]
spacing_mm = {arguments.spacing_mm}
slice_step_mm = {arguments.slice_step_mm}
neighbours = 0
crop = {quoted(arguments.crop)}
colour = {{ mean = {arguments.colour_mean}, standard_deviation = {arguments.colour_deviation} }}

[[files]]
role = "network"
path = "exam.onnx"
sha256 = "{digest}"
inputs = ["exam"]
outputs = ["exam_logit"]

[[labels]]
index = 0
name = "pulmonary-embolism"

[calibration]
temperature = 1.0
bias = 0.0
exam_fitted = false

[operating_point]
threshold = 0.5
indeterminate = [0.5, 0.5]
chosen = "by the authors, not on exams of this site; the probability is not calibrated"

[training]
data = "RSPECT, by the authors of doi 10.1038/s41746-025-01594-2; checkpoint {checkpoint_digest}"
commit = ""
configuration_sha256 = ""
data_sha256 = ""
seed = 0

[training.counts]
"""


def card(arguments):
    return f"""# {arguments.name} {arguments.version}

Estimates the probability of pulmonary embolism in a CT pulmonary angiogram, for the exam alone: it has no slice evidence and
no heat map.

## Use

Research. The probability is not calibrated, and the decision is at 0.5, until a site has calibrated it on exams of its own
(`pe-node train recalibrate`).

## Training

By the authors of doi 10.1038/s41746-025-01594-2 on RSPECT (their checkpoint, {arguments.encoder}). Their published figures
are of their program. They were not measured with this package.

## Where it differs from the authors' program

- It reads {arguments.depth} slices, spread evenly over the lungs. The authors' program reads all, the central 512 at most.
- The node interpolates slices to {arguments.slice_step_mm} mm before it chooses.
- The lungs are those that the node's own lung package finds.
- Slices have {arguments.size} pixels, and the self-attention has {arguments.heads} heads: the weights do not show either.
"""


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to, not the node's folder of packages")
    parser.add_argument("--name", default="published-embolism")
    parser.add_argument("--version", default="1.0.0")
    parser.add_argument("--license", default="LicenseRef-authors", help="licence of the weights, as SPDX has it")
    parser.add_argument("--encoder", default=ENCODERS[0], choices=ENCODERS, help="slice encoder, by timm's name")
    parser.add_argument("--size", type=int, default=256, help="pixels of a slice: 256 as in training, 384 as in the authors' notebook")
    parser.add_argument("--depth", type=int, default=184, help="slices of an exam, as in training")
    parser.add_argument("--heads", type=int, default=8, help="heads of the self-attention, which the weights do not show")
    parser.add_argument("--crop", default="lung-square", choices=["lung-square", "lung-box", "body", "none"])
    parser.add_argument("--spacing-mm", type=float, default=50.0, help="coarsest pixel distance of the lung square")
    parser.add_argument("--slice-step-mm", type=float, default=1.25, help="distance of the slices to choose from")
    parser.add_argument("--colour-mean", type=float, nargs=3, default=[0.0, 0.0, 0.0], metavar="X")
    parser.add_argument("--colour-deviation", type=float, nargs=3, default=[1.0, 1.0, 1.0], metavar="X")
    return parser.parse_args(arguments)


def main():
    arguments = parse()
    network = build(state_of(arguments.checkpoint), arguments.size, arguments.encoder, arguments.heads)
    folder = arguments.out / arguments.name / arguments.version
    if folder.exists():
        sys.exit(f"{folder} exists; name another version, packages do not change")
    work = folder.with_name(f".{arguments.version}.part")
    work.mkdir(parents=True, exist_ok=True)
    difference = export(network, work / "exam.onnx", arguments.depth, arguments.size)
    if difference > LARGEST_DIFFERENCE:
        sys.exit(f"ONNX Runtime differs from PyTorch by {difference:.1e}, at most {LARGEST_DIFFERENCE} was expected")
    sha256 = lambda path: hashlib.sha256(path.read_bytes()).hexdigest()
    text = manifest(arguments, sha256(work / "exam.onnx"), sha256(arguments.checkpoint))
    (work / "model.toml").write_text(text)
    (work / "card.md").write_text(card(arguments))
    work.rename(folder)
    print(f"{folder}: ONNX Runtime differs from PyTorch by at most {difference:.1e}; import it with "
          f"`pe-node models import {folder}`, then promote it")


if __name__ == "__main__":
    main()
