#!/usr/bin/env python3
"""Turns a PyTorch checkpoint of the published classifier into a model package of the layout `exam`.

    target/venv-bench/bin/python deploy/export-published-model.py CHECKPOINT --out DIR --name NAME --version VERSION
    pe-node models import DIR/NAME/VERSION
    pe-node models promote NAME/VERSION

DIR is not the node's own folder of packages: with two embolism packages there and neither promoted, the node cannot
choose one and does not start.

The network is that of Hu et al., npj Digital Medicine 8 (2025), doi 10.1038/s41746-025-01594-2: timm's CoAtNet-0 makes
64 features of each slice; the exam head adds self-attention over the slices to them and reads them by a bidirectional
LSTM of three layers, whose last step a linear layer brings to the exam's logit. The slice head is not exported: the
layout has no place for it. Sizes are read from the checkpoint; `--rename` maps layers that have other names there.

Every weight must go to a layer of its name and shape, and ONNX Runtime must answer as PyTorch does. That cannot prove
what weights do not show: that the authors gave the slices lowest first, that the last step of the LSTM is what the exam
head reads, that attention comes before the LSTM and adds to the features, how many heads it has and in which order they
take the features (`--heads`), or how the images were prepared. Compare the probabilities of some exams with those of the
authors' program before you promote the package.

The package is not calibrated and decides at 0.5, as the authors do, until a site has calibrated it on exams of its own.
Needs Python with what `tests/bench/requirements.txt` lists (`tests/bench/install.sh` brings it).
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

import numpy
import onnx
import onnxruntime
import timm
import torch
from torch import nn

ENCODER = "coatnet_0_rw_224"
LARGEST_DIFFERENCE = 1e-3


class PublishedNetwork(nn.Module):
    """`[1, D, 3, H, W]` to the exam's logit `[1, 1]`."""

    def __init__(self, size=256, features=64, hidden=64, heads=1, layers=3, encoder=ENCODER):
        super().__init__()
        self.encoder = timm.create_model(encoder, pretrained=False, num_classes=features, img_size=size)
        self.slice_head = nn.Linear(features, 1)
        self.attention = nn.MultiheadAttention(features, heads, batch_first=True)
        self.lstm = nn.LSTM(features, hidden, num_layers=layers, bidirectional=True, batch_first=True)
        self.exam_head = nn.Linear(2 * hidden, 1)

    def forward(self, exam):
        features = self.encoder(exam[0]).unsqueeze(0)
        attended, _ = self.attention(features, features, features, need_weights=False)
        steps, _ = self.lstm(features + attended)
        return self.exam_head(steps[:, -1])


def state_of(checkpoint, renames):
    """The state dict in a checkpoint, by the names that `PublishedNetwork` has."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    named = {}
    for key, tensor in state.items():
        for prefix in ("module.", "model."):
            key = key.removeprefix(prefix)
        for old, new in renames:
            if key.startswith(old):
                key = new + key[len(old):]
                break
        named[key] = tensor
    return named


def build(state, size, heads):
    """The network with the sizes and weights of a state dict, or the layers at fault."""
    try:
        hidden, features = state["lstm.weight_hh_l0"].shape[1], state["lstm.weight_ih_l0"].shape[1]
    except KeyError as missing:
        parts = sorted({key.split(".")[0] for key in state})
        sys.exit(f"the checkpoint has no {missing}; its layers are {', '.join(parts)}: name them with --rename OLD=NEW")
    layers = sum(key.startswith("lstm.weight_ih_l") and not key.endswith("_reverse") for key in state)
    network = PublishedNetwork(size, features, hidden, heads, layers)
    missing, unexpected = network.load_state_dict(state, strict=False)
    missing = [key for key in missing if not key.startswith("slice_head.") and not key.endswith("relative_position_index")]
    if missing or unexpected:
        sys.exit(f"the checkpoint is of another network: it lacks {missing[:8]} and has {unexpected[:8]} besides; "
                 "name layers with --rename OLD=NEW, the image size with --size")
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


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to, not the node's folder of packages")
    parser.add_argument("--name", default="published-embolism")
    parser.add_argument("--version", default="1.0.0")
    parser.add_argument("--license", default="LicenseRef-authors", help="licence of the weights, as SPDX has it")
    parser.add_argument("--size", type=int, default=256, help="pixels of a slice, as in training")
    parser.add_argument("--depth", type=int, default=32, help="slices of an exam, as in training")
    parser.add_argument("--heads", type=int, default=1, help="heads of the self-attention, which the weights do not show")
    parser.add_argument("--crop", default="lung-square", choices=["lung-square", "lung-box", "body", "none"])
    parser.add_argument("--spacing-mm", type=float, default=50.0, help="coarsest pixel distance of the lung square")
    parser.add_argument("--slice-step-mm", type=float, default=1.25, help="distance of the slices to choose from")
    parser.add_argument("--colour-mean", type=float, nargs=3, default=[0.0, 0.0, 0.0], metavar="X")
    parser.add_argument("--colour-deviation", type=float, nargs=3, default=[1.0, 1.0, 1.0], metavar="X")
    parser.add_argument("--rename", action="append", default=[], metavar="OLD=NEW", help="a layer's name and what it is here")
    return parser.parse_args(arguments)


def main():
    arguments = parse()
    renames = [tuple(rename.split("=", 1)) for rename in arguments.rename]
    if any(len(rename) != 2 for rename in renames):
        sys.exit("--rename takes OLD=NEW")
    network = build(state_of(arguments.checkpoint, renames), arguments.size, arguments.heads)
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
    work.rename(folder)
    print(f"{folder}: ONNX Runtime differs from PyTorch by at most {difference:.1e}; import it with "
          f"`pe-node models import {folder}`, then promote it")


if __name__ == "__main__":
    main()
