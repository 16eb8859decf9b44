"""A network that PyTorch trained on crops, in the node: phantoms prepared by `pe-node train`, read by examples/python/crops.py, a
small network fitted to them, exported with `torch.onnx`, evaluated and packaged by `pe-node train ... --onnx` in both layouts, and
run by `pe-node predict` on the test exams' DICOM files, beside PyTorch on their crops."""

import csv
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from common import ROOT, write_table
from conftest import BINARY

sys.path.insert(0, str(ROOT / "examples" / "python"))
from crops import Crops, rows  # noqa: E402

EXAMS, EPOCHS, SEED = 80, 12, 5
SIZE, SPACING_MM = (96, 128), 2.4
EXPERIMENT = "pytorch"
STEPS = ("labels", "volumes", "slices", "lungs", "crops")
LARGEST_DIFFERENCE = 1e-5


class Encoder(nn.Module):
    """Slices `[N, 3, H, W]` to features `[N, 17]` and evidence `[N, 1, H / 2, W / 2]`, whose cells are less than 5 mm wide."""

    def __init__(self):
        super().__init__()
        layers = [(3, 8, 2), (8, 16, 1), (16, 16, 1)]
        blocks = [(nn.Conv2d(inner, outer, 3, stride, 1), nn.BatchNorm2d(outer), nn.ReLU()) for inner, outer, stride in layers]
        self.convolutions = nn.Sequential(*(layer for block in blocks for layer in block))
        self.evidence = nn.Conv2d(16, 1, 1)

    def forward(self, slices):
        cells = self.convolutions(slices)
        evidence = self.evidence(cells)
        return torch.cat([evidence.amax((2, 3)), cells.mean((2, 3))], 1), evidence


class Head(nn.Module):
    """Features of an exam `[D, 17]` to slice logits `[D]`, the exam's logit `[1]` and attention `[D]`."""

    def __init__(self):
        super().__init__()
        self.slices, self.attention, self.exam = nn.Linear(17, 1), nn.Linear(17, 1), nn.Linear(17, 1)

    def forward(self, features):
        attention = torch.softmax(self.attention(features), 0)
        return self.slices(features)[:, 0], self.exam((attention * features).sum(0)), attention[:, 0]


class ExamNetwork(nn.Module):
    """Both, over all slices of an exam `[1, D, 3, H, W]`."""

    def __init__(self):
        super().__init__()
        self.encoder, self.head = Encoder(), Head()

    def forward(self, exam):
        features, _ = self.encoder(exam[0])
        return self.head(features)[1]


def node(*arguments):
    done = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout


def train(step, work, *arguments, **settings):
    """A step of `pe-node train`."""
    values = {
        "data.root": work / "cohort", "data.validation_fraction": 0.25, "data.test_fraction": 0.25, "work.dir": work / "work",
        "work.experiment": EXPERIMENT, "input.size": list(SIZE), "input.spacing_mm": SPACING_MM, "supervision.labelled_exams": 0.5,
        "data.models_directory": ROOT / "onnx", "evaluation.bootstrap": 200, "package.directory": work / "models",
        "package.data": f"{EXAMS} phantoms", **settings,
    }
    flags = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
    return node("train", step, *arguments, *flags)


def fit(network, crops):
    """Slices that have a label, and the exam's, as Hu et al. weight them; one exam a step."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, EPOCHS * len(crops))
    network.train()
    for epoch in range(EPOCHS):
        losses = []
        for images, labels, exam in torch.utils.data.DataLoader(crops, shuffle=True):
            features, _ = network.encoder(images[0])
            slice_logits, exam_logit, _ = network.head(features)
            known = ~labels[0].isnan()
            loss = 0.05 * functional.binary_cross_entropy_with_logits(exam_logit, exam.float())
            if known.any():
                loss = loss + 0.95 * functional.binary_cross_entropy_with_logits(slice_logits[known], labels[0][known])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1}/{EPOCHS}: {sum(losses) / len(losses):.3f}", file=sys.stderr, flush=True)
    network.eval()


def export(module, example, path, names, axis):
    """Writes ONNX in which the number of slices, along an axis of the input, is dynamic."""
    shapes = ({axis: torch.export.Dim("slices", min=1, max=1024)},)
    torch.onnx.export(module, (example,), str(path), input_names=names[:1], output_names=names[1:], opset_version=18, dynamo=True,
                      external_data=False, verbose=False, dynamic_shapes=shapes)


def exported(network, exam, work):
    """The files of both layouts."""
    features, _ = network.encoder(exam[0])
    export(network, exam, work / "network.onnx", ["exam", "exam_logit"], 1)
    export(network.encoder, exam[0], work / "encoder.onnx", ["slices", "features", "evidence"], 0)
    export(network.head, features, work / "head.onnx", ["features", "slice_logits", "exam_logit", "attention"], 0)
    return {"exam": ["network.onnx"], "encoder+head": ["encoder.onnx", "head.onnx"]}


def check_labels(crops, work):
    """The table of this program's own fits, which `evaluate` wrote, counts the same slices and labels."""
    counted = {row["series"]: row for row in rows(work / "work" / EXPERIMENT / "prepared.csv")}
    for split, exams in crops.items():
        for index, (images, labels, exam) in enumerate(exams):
            row = counted[exams.exams[index]["series"]]
            found = [len(images), int((~labels.isnan()).sum()), int((labels == 1).sum())]
            assert found == [int(row[name]) for name in ("slices", "labelled_slices", "positive_slices")], row
            assert (row["split"], row["embolism"] == "true") == (split, exam == 1), row


def calibrated(work, package, logit):
    """Probability of a PyTorch logit by the package's calibration."""
    manifest = tomllib.loads((work / "models" / package / "0.1.0" / "model.toml").read_text())
    calibration = manifest["calibration"]
    if isinstance(calibration, list):
        [calibration] = calibration
    return float(torch.sigmoid(torch.tensor(logit, dtype=torch.double) / calibration["temperature"] + calibration["bias"]))


def predicted(work, package, exam):
    """The probability that the node gives, from the DICOM files."""
    text = node("predict", work / "cohort" / "train" / exam["study"], "--ignore-quality", "--set", f"models.directory={work / 'models'}",
                "--set", "models.lungs=lungs", "--set", f"models.embolism={package}", "--set", "onnxruntime.device=cpu")
    [row] = csv.DictReader(text.splitlines())
    assert row["status"] == "analysed", row
    return float(row["pe_probability"])


def measure(work):
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    node("phantom", "--out", work / "cohort", "--exams", EXAMS, "--seed", SEED, "--preset", "tiny")
    for step in STEPS:
        train(step, work)
    crops = {split: Crops(work / "work", EXPERIMENT, split) for split in ("train", "validation", "test")}
    network, started = ExamNetwork(), time.monotonic()
    fit(network, crops["train"])
    seconds = time.monotonic() - started
    (work / "models").mkdir()
    (work / "models" / "lungs").symlink_to(ROOT / "onnx" / "lungs")
    table, lines = [], {}
    with torch.no_grad():
        exams = [(exam, network(crops["test"][index][0][None]).item()) for index, exam in enumerate(crops["test"].exams)]
        for layout, names in exported(network, crops["test"][0][0][None], work).items():
            package = "foreign-" + layout.replace("+", "-")
            onnx = [part for name in names for part in ("--onnx", work / name)]
            settings = {"package.name": package}
            lines[layout] = train("evaluate", work, *onnx, **settings)
            train("export", work, *onnx, **settings)
            for exam, logit in exams:
                own, found = calibrated(work, package, logit), predicted(work, package, exam)
                assert abs(own - found) < LARGEST_DIFFERENCE, (layout, exam["series"], own, found)
                table.append([f"`{layout}`", f"{logit:.4f}", f"{own:.6f}", f"{found:.6f}", f"{abs(own - found):.0e}"])
    check_labels(crops, work)
    assert max(float(row[2]) for row in table) - min(float(row[2]) for row in table) > 0.05, "the answer depends on the exam"
    return table, lines["encoder+head"], {split: len(exams) for split, exams in crops.items()}, seconds


def main():
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as folder:
        table, lines, counts, seconds = measure(Path(folder))
    metrics = [line for line in lines.splitlines() if line.startswith(("test.exam_auroc ", "test.slice_auroc "))]
    write_table("foreign-network", "A network that PyTorch trained on crops, in the node", ["layout", "logit by PyTorch", "calibrated",
                "`pe-node predict`", "difference"], table, [
        f"A network of {sum(parameter.numel() for parameter in ExamNetwork().parameters())} weights, fitted in {seconds:.0f} s on one thread to {counts['train']} "
        "phantoms (preset tiny), half of them with slice labels, which `examples/python/crops.py` read. It shows the way and is no model to use.",
        f"`pe-node train evaluate --onnx` calibrated it on {counts['validation']} exams; `export --onnx` made the packages. A row is a test exam. PyTorch ran on its "
        "crop, with the package's calibration after it; the node ran on its DICOM files.",
        f"Measured by `evaluate`: {'; '.join(metrics)}. There are {counts['test']} test exams, too few to say how good it is.",
    ])


if __name__ == "__main__":
    main()
