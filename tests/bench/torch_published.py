"""The published classifier in the node: a checkpoint as the authors write it, but with random weights, made a package by
deploy/export-published-model.py and run by `pe-node predict` on five phantoms, beside PyTorch.

PyTorch runs on slices that are prepared here, independently; on the phantoms' own grid preparation is clipping, scaling and
padding alone. What must be refused is tried, too.
"""

import csv
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import torch

from common import ROOT, write_table
from torch_third_party import Phantom, node, published_model, verify

# Head first, supine: other phantoms are turned by the node, and the slices that are prepared here are not.
SEEDS = (4, 5, 6, 8, 9)
SIZES = (256, 384)
DEPTH = 16
LARGEST_DIFFERENCE = 1e-5


def prepared(phantom, size):
    """`[1, D, 3, size, size]` of a phantom, lowest slice first."""
    chosen = numpy.rint(numpy.linspace(0, len(phantom.stack) - 1, DEPTH)).astype(int)
    stack = phantom.stack[chosen]
    # The node keeps whole Hounsfield units; half ones are rounded away from 0.
    hounsfield = numpy.trunc(stack + numpy.copysign(0.5, stack))
    slices = torch.tensor((hounsfield.clip(-250.0, 450.0) + 250.0) / 700.0).float()
    margin = (size - slices.shape[-1]) // 2
    slices = torch.nn.functional.pad(slices, (margin, margin, margin, margin))
    return slices[None, :, None].expand(1, DEPTH, 3, size, size)


@torch.no_grad()
def random_network(network_type, size, exam):
    """Random weights that tell exams apart: features of about unit variance, as after training, and greater weights in the
    exam head. Of their usual size they say much the same of every exam."""
    torch.manual_seed(SEEDS[0])
    network = network_type(size, bias=False).eval()
    features = torch.nn.functional.gelu(network.encoder_dense(network.encoder_stage1(exam[0])))
    norm = network.classifier.batch_norm
    norm.running_mean.copy_(features.mean(0))
    norm.running_var.copy_(features.var(0))
    for name, parameter in network.classifier.lstm_layers.named_parameters():
        parameter.mul_(3.0)
    network.classifier.classifier[0].weight.mul_(15.0)
    return network


def export(checkpoint, models, *arguments):
    script, _ = published_model()
    return subprocess.run([sys.executable, script, checkpoint, "--out", models, *map(str, arguments)], capture_output=True, text=True)


def refusals(state, work):
    """What a user is told of checkpoints that do not fit."""
    def told(name, changed, *arguments):
        torch.save(changed, work / "wrong.pth")
        done = export(work / "wrong.pth", work / "wrong", "--size", SIZES[0], *arguments)
        assert done.returncode != 0, name
        return [name, " ".join(done.stderr.strip().split("\n")[-3:])]

    without = {key: tensor for key, tensor in state.items() if key != "classifier.layer_norm.weight"}
    shape = {**state, "classifier.self_attention.out_proj.weight": torch.zeros(32, 32)}
    rows = [told("7 heads", state, "--heads", 7), told("a missing layer", without), told("a layer of another shape", shape)]
    assert "--heads 7" in rows[0][1] and "layer_norm.weight is missing" in rows[1][1] and "[32, 32]" in rows[2][1], rows
    return rows


def on_grid_of(phantom, exported, models):
    """The exported package for another phantom's grid, and the lung package beside it."""
    folder = models / "published-embolism" / "1.0.0"
    shutil.copytree(exported / "published-embolism" / "1.0.0", folder)
    lines = (folder / "model.toml").read_text().splitlines()
    grid = {"spacing_mm = ": phantom.spacing, "slice_step_mm = ": phantom.step}
    for start, value in grid.items():
        lines = [f"{start}{value!r}" if line.startswith(start) else line for line in lines]
    (folder / "model.toml").write_text("\n".join(lines) + "\n")
    (models / "lungs").symlink_to(ROOT / "onnx" / "lungs")
    return models


def predicted(models, phantom):
    """The probability that the node gives."""
    text = node("predict", phantom.images, "--ignore-quality", "--set", f"models.directory={models}", "--set", "models.lungs=lungs",
                "--set", "models.embolism=published-embolism", "--set", "onnxruntime.device=cpu")
    [row] = csv.DictReader(text.splitlines())
    assert row["status"] == "analysed", row
    return float(row["pe_probability"])


def measured(size, phantoms, work):
    """A row for each exam at one size of slices, and the state dict."""
    _, network_type = published_model()
    exams = [prepared(phantom, size) for phantom in phantoms]
    network = random_network(network_type, size, exams[0])
    state, exported = network.state_dict(), work / f"exported-{size}"
    # As after data-parallel training, with an earlier version of the authors' code.
    named = {"module." + key.replace("encoder_stage1.", "encoder_stage1.encoder.", 1): tensor for key, tensor in state.items()}
    torch.save({"model_state_dict": named}, work / "checkpoint.pth")
    done = export(work / "checkpoint.pth", exported, "--size", size, "--depth", DEPTH, "--crop", "none", "--spacing-mm", repr(phantoms[0].spacing),
                  "--slice-step-mm", repr(phantoms[0].step))
    assert done.returncode == 0, done.stdout + done.stderr
    verify(exported, "published-embolism")
    rows = []
    with torch.no_grad():
        for seed, phantom, exam in zip(SEEDS, phantoms, exams):
            own, upside_down = (torch.sigmoid(network(slices)).item() for slices in (exam, exam.flip(1)))
            found = predicted(on_grid_of(phantom, exported, work / f"models-{size}-{seed}"), phantom)
            assert abs(found - own) < LARGEST_DIFFERENCE, (size, seed, found, own)
            rows.append([f"{size}", f"phantom {seed}", f"{own:.6f}", f"{found:.6f}", f"{abs(found - own):.0e}", f"{upside_down:.6f}"])
    probabilities = [float(row[2]) for row in rows]
    assert max(probabilities) - min(probabilities) > 0.05, probabilities
    print(*rows, sep="\n", flush=True)
    assert all(abs(float(row[2]) - float(row[5])) > 10 * LARGEST_DIFFERENCE for row in rows), "an exam upside down is another one"
    return rows, state


def main():
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as folder:
        work = Path(folder)
        phantoms = [Phantom(work / f"phantom-{seed}", seed) for seed in SEEDS]
        parts = [measured(size, phantoms, work) for size in SIZES]
        refused = refusals(parts[0][1], work)
    rows = [row for part, _ in parts for row in part]
    write_table("published-model", "The published classifier in the node", ["pixels", "exam", "PyTorch", "`pe-node predict`", "difference", "upside down"], rows, [
        f"Random weights in the authors' layers and names ({len(parts[0][1])} tensors; the normalisation of the features follows the first exam, weights of "
        "the exam head are amplified, so that the answer depends on the exam). They say nothing about embolism.",
        "The node keeps whole Hounsfield units, and PyTorch is given the same: half units of two of the phantoms change an answer by up to 0.0002.",
        f"The checkpoint went through `deploy/export-published-model.py` and `pe-node models verify`; {DEPTH} slices of light phantoms.",
        *[f"Refused, {name}: {told}" for name, told in refused],
    ])


if __name__ == "__main__":
    main()
