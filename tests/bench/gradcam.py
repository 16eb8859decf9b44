"""The heat map beside Grad-CAM++ of the same network: which one points at the emboli?

The network is read from the package that the node serves. It runs in PyTorch, which has gradients, after a comparison with
ONNX Runtime. The images are prepared by `pe-node train`, as for serving; the heat map of `pe-node predict` is the check.
Grad-CAM++ (Chattopadhay et al. 2018, doi 10.1109/WACV.2018.00097) is computed for every layer before the heat map, from the
slice's logit and from the exam's. It is brought to the cells of the heat map by bilinear interpolation, and masked by the same
region. Runs in target/venv-bench.

Two networks: the bundled one, which was trained with masks of the emboli, and one of the learning curve, which was trained on
labels alone (if that was measured before: it takes an hour).
"""

import csv
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy
from common import ROOT, with_pytorch, write_table

NEAR_MM = 5.0
TINY_EXAMS = 150
COLUMNS = 3
BATCH = 16
SAME = 1e-4
SMALL = 1e-12


class Exam:
    """What is needed of one exam: prepared slices, cells, how far each cell lies from an embolus."""

    def __init__(self, folder, crops, series, size):
        import nibabel
        from scipy import ndimage

        images = numpy.fromfile(crops / f"{series}.images", dtype="<f4").reshape(-1, *size)
        self.slices = numpy.stack([images[numpy.clip(numpy.arange(len(images)) + step, 0, len(images) - 1)] for step in (-1, 0, 1)], 1)
        evidence = nibabel.load(folder / "predicted" / series / "evidence.nii.gz")
        # From columns, rows, slices to slices, rows, columns, as the network has them.
        self.served = numpy.asarray(evidence.dataobj).transpose(2, 1, 0)
        clots = nibabel.load(folder / "truth" / series / "clots.nii.gz")
        mask = numpy.asarray(clots.dataobj) > 0
        distance = ndimage.distance_transform_edt(~mask, sampling=clots.header.get_zooms()[:3])
        indices = numpy.argwhere(numpy.ones(self.served.shape, bool))
        to_clots = numpy.linalg.inv(clots.affine) @ evidence.affine
        places = numpy.rint(indices[:, ::-1] @ to_clots[:3, :3].T + to_clots[:3, 3]).astype(int)
        places = numpy.clip(places, 0, numpy.array(mask.shape) - 1)
        self.near = (distance[tuple(places.T)] <= NEAR_MM).reshape(self.served.shape)
        self.region = self.served > 0


class Classifier:
    """Encoder and head in PyTorch."""

    def __init__(self, package):
        from onnx_torch import Network

        self.manifest = tomllib.loads((package / "model.toml").read_text())
        self.paths = {entry["role"]: package / entry["path"] for entry in self.manifest["files"]}
        self.encoder, self.head = Network(self.paths["encoder"]), Network(self.paths["head"])
        self.layers = self.layers_before_evidence()

    def layers_before_evidence(self):
        """Activations (outputs of Relu) by the name of the convolution before them."""
        before = {}
        for node in self.encoder.nodes:
            convolutions = [name for name in node.input if name.endswith(".weight")]
            if node.op_type == "Conv" and convolutions:
                before[node.output[0]] = convolutions[0].removesuffix(".weight").removesuffix(".convolution")
            elif node.op_type in ("Add", "Resize", "Relu"):
                before[node.output[0]] = next((before[name] for name in reversed(node.input) if name in before), "")
        return {before[node.output[0]]: node.output[0] for node in self.encoder.nodes if node.op_type == "Relu"}

    def differs(self, slices):
        """Largest difference between PyTorch and ONNX Runtime over all outputs of encoder and head."""
        import onnxruntime
        import torch

        session = {role: onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]) for role, path in self.paths.items()}
        features = session["encoder"].run(None, {self.encoder.inputs[0]: slices})
        head = session["head"].run(None, {self.head.inputs[0]: features[0]})
        with torch.no_grad():
            ours = self.encoder.run(torch.from_numpy(slices))
            ours_head = self.head.run(torch.from_numpy(features[0]))
        pairs = [(ours[name], value) for name, value in zip(self.encoder.outputs, features, strict=True)]
        pairs += [(ours_head[name], value) for name, value in zip(self.head.outputs, head, strict=True)]
        return max(float(numpy.abs(one.numpy() - other).max()) for one, other in pairs)

    def maps(self, slices):
        """Evidence logits and slice logits, and Grad-CAM++ by (layer, score): `[D, h, w]` each."""
        import torch

        with torch.no_grad():
            features = torch.cat([self.encoder.run(batch)["features"] for batch in torch.from_numpy(slices).split(BATCH)])
        features.requires_grad_()
        exam = self.head.run(features)["exam_logit"]
        (of_exam,) = torch.autograd.grad(exam.sum(), features)
        evidence, cams = [], {(layer, score): [] for layer in self.layers for score in ("slice", "exam")}
        for batch, weights in zip(torch.from_numpy(slices).split(BATCH), of_exam.split(BATCH), strict=True):
            # The chain rule through the features: an exam's slices need not be in memory together.
            values = self.encoder.run(batch.requires_grad_())
            evidence.append(values["evidence"][:, 0].detach())
            activations = [values[name] for name in self.layers.values()]
            scores = {"slice": values["features"][:, 0].sum(), "exam": (values["features"] * weights).sum()}
            for score, total in scores.items():
                gradients = torch.autograd.grad(total, activations, retain_graph=True, allow_unused=True)
                for layer, activation, gradient in zip(self.layers, activations, gradients, strict=True):
                    cams[layer, score].append(plus_plus(activation.detach(), gradient, values["evidence"].shape[2:]))
        return torch.cat(evidence).numpy(), features[:, 0].detach().numpy(), {key: torch.cat(parts).numpy() for key, parts in cams.items()}


def plus_plus(activation, gradient, cells):
    """Grad-CAM++ of a batch of slices, on the grid of the heat map."""
    import torch

    second, third = gradient**2, gradient**3
    share = second / (2 * second + activation.sum((2, 3), keepdim=True) * third + SMALL)
    weights = (share * gradient.relu()).sum((2, 3), keepdim=True)
    cam = (weights * activation).sum(1, keepdim=True).relu()
    return torch.nn.functional.interpolate(cam, size=tuple(cells), mode="bilinear", align_corners=False)[:, 0]


class Pointing:
    """Where the maxima of a map lie: hits exam by exam, of the exam's maximum, that of the most suspicious slice, and
    those of all slices near an embolus."""

    def __init__(self):
        self.exams = []

    def add(self, cells, exam, logits):
        """A map `[D, h, w]` of an exam; `logits` tell which slice is the most suspicious."""
        cells = numpy.where(exam.region, cells, -numpy.inf)
        flat, near = cells.reshape(len(cells), -1), exam.near.reshape(len(cells), -1)
        best = flat.argmax(1)
        hit = near[numpy.arange(len(best)), best]
        seen = exam.region.any((1, 2))
        on_slices = hit[seen & (near & exam.region.reshape(near.shape)).any(1)]
        self.exams.append([[hit[flat.max(1).argmax()]], [hit[numpy.where(seen, logits, -numpy.inf).argmax()]], list(on_slices)])

    def hits(self, column, parity=None):
        """Hits of a column, of all exams or of every other one."""
        chosen = self.exams if parity is None else self.exams[parity::2]
        return [bool(hit) for exam in chosen for hit in exam[column]]

    def rates(self):
        """Hit rates, column by column."""
        return [float(numpy.mean(self.hits(column))) for column in range(COLUMNS)]


def chosen_elsewhere(maps):
    """Hit rates of the best of several maps where the best is chosen on one half of the exams and measured on the other."""
    def of(column):
        best = [max(maps, key=lambda one: numpy.mean(one.hits(column, parity))) for parity in (0, 1)]
        return float(numpy.mean(best[0].hits(column, 1) + best[1].hits(column, 0)))
    return [of(column) for column in range(COLUMNS)]


def prepared(folder, exams, package, scratch):
    """Prepares the exams as for training, with the lungs that the node found; the folder of their images."""
    from conftest import BINARY

    manifest = tomllib.loads((package / "model.toml").read_text())
    cohort, work = scratch / "cohort", scratch / "work"
    for exam in exams:
        series = exam["series_instance_uid"]
        for file in (folder / "train" / exam["study_instance_uid"] / series).iterdir():
            link(cohort / file.relative_to(folder), file)
        link(cohort / "truth" / series / "lungs.nii.gz", folder / "predicted" / series / "lungs.nii.gz")
    with open(cohort / "exams.csv", "w", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(["StudyInstanceUID", "pe_present_in_exam"])
        writer.writerows([exam["study_instance_uid"], 1] for exam in exams)
    settings = {
        "data.root": cohort, "data.labels": "exams.csv", "data.lungs": "truth", "data.validation_fraction": 0, "data.test_fraction": 0,
        "work.dir": work, **{f"input.{key}": value for key, value in manifest["input"].items()},
    }
    flags = [flag for key, value in settings.items() for flag in ("--set", f"{key}={value}")]
    for step in ("labels", "volumes", "slices", "lungs", "crops"):
        subprocess.run([str(BINARY), "train", step, *flags], check=True, cwd=ROOT)
    (crops,) = {path.parent for path in work.glob("crops-*/**/*.images")}
    return crops, tuple(manifest["input"]["size"])


def link(path, target):
    """A file of another cohort under a further name, without a copy."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.hardlink_to(target)


def served_package():
    """The classifier that `pe-node predict` uses: the newest version of onnx/embolism."""
    return max((ROOT / "onnx" / "embolism").iterdir(), key=lambda folder: [int(part) for part in folder.name.split(".")])


def bundled():
    """Measures the bundled network on light phantoms."""
    from accuracy import WORK, cohort, exams

    folder, package = cohort("light"), served_package()
    measure("gradcam", exams(folder)[0], folder, package, WORK / "gradcam", f"light phantoms with embolism that {package.parent.name} {package.name}", [
        "This network was trained with masks of the emboli (configs/embolism-demonstration.toml).",
    ])


def of_labels_alone():
    """Measures a network of the learning curve, with all slice labels and no masks, on tiny phantoms."""
    from accuracy import exams, rows
    from conftest import BINARY
    from learning_curve import WORK

    package = WORK / "work" / "share-1.0-seed-1" / "onnx" / "draft" / "0.0.0"
    if not package.exists():
        print("gradcam: no network of labels alone; measure learning_curve first", file=sys.stderr)
        return
    folder = WORK / "gradcam-labels"
    some = [exam for exam in rows(WORK / "internal" / "truth" / "exams.csv") if exam["pe"] == "1"][:TINY_EXAMS]
    for exam in some:
        parts = [Path("train") / exam["study_instance_uid"] / exam["series_instance_uid"], Path("truth") / exam["series_instance_uid"]]
        for file in (file for part in parts for file in (WORK / "internal" / part).iterdir()):
            link(folder / file.relative_to(WORK / "internal"), file)
    with open(folder / "truth" / "exams.csv", "w", newline="") as table:
        writer = csv.DictWriter(table, some[0])
        writer.writeheader()
        writer.writerows(some)
    models = folder / "models"
    for file in [*package.iterdir(), *(ROOT / "onnx" / "lungs").rglob("*.*")]:
        if file.is_file():
            inside = Path("draft", "0.0.0", file.name) if file.parent == package else file.relative_to(ROOT / "onnx")
            link(models / inside, file)
    out = folder / "predicted"
    out.mkdir(exist_ok=True)
    # Thin slices with gaps: the quality checks refuse them.
    subprocess.run([str(BINARY), "predict", str(folder / "train"), "--ignore-quality", "--out", str(out), "--csv", str(out / "table.csv"),
                    "--set", f"models.directory={models}"], check=True, cwd=ROOT)
    measure("gradcam-labels", exams(folder)[0], folder, package, folder / "prepared", "tiny phantoms with embolism that a network of the learning curve", [
        "This network was trained on exam and slice labels alone, without any mask (configs/learning-curve.toml, all slice labels, first seed).",
    ])


def measure(name, analysed, folder, package, scratch, whose, notes):
    """Measures every map on every exam with emboli that is called present, and writes the table."""
    from accuracy import positive

    found = [exam for exam in analysed if positive(exam) and exam["decision"] == "present"]
    crops, size = prepared(folder, found, package, scratch)
    classifier = Classifier(package)
    pointing, chances, differences = {"evidence": Pointing()}, [], []
    for number, row in enumerate(found):
        exam = Exam(folder, crops, row["series_instance_uid"], size)
        if number < 3:
            differences.append(classifier.differs(exam.slices))
        evidence, logits, cams = classifier.maps(exam.slices)
        same_order(evidence, exam)
        pointing["evidence"].add(evidence, exam, logits)
        for key, cells in cams.items():
            pointing.setdefault(key, Pointing()).add(cells, exam, logits)
        chances.append(float(exam.near[exam.region].mean()))
        print(f"{number + 1}/{len(found)}", file=sys.stderr, flush=True)
    assert max(differences) < SAME, f"PyTorch and ONNX Runtime differ by {max(differences)}"
    table(name, pointing, chances, max(differences), whose, notes)


def same_order(evidence, exam):
    """What was served is a growing function of the evidence that PyTorch gives, cell by cell: the images are the same."""
    ours, served = evidence[exam.region], exam.served[exam.region]
    order = numpy.argsort(ours, kind="stable")
    assert numpy.all(numpy.diff(served[order]) > -SAME), "the evidence served is not that of these images"


def table(name, pointing, chances, difference, whose, notes):
    """Rows for the evidence, each layer and score, and chance."""
    count = len(chances)
    words = lambda rates: [f"{rate:.2f}" for rate in rates]
    evidence = pointing.pop("evidence")
    rates = {key: maps.rates() for key, maps in pointing.items()}
    rows = [("heat map", "slice, by construction", *words(evidence.rates()))]
    rows += [(f"Grad-CAM++, {layer}", score, *words(found)) for (layer, score), found in rates.items()]
    best = [max(found[column] for found in rates.values()) for column in range(COLUMNS)]
    rows += [
        ("Grad-CAM++, best of all, chosen on the other half of the exams", "", *words(chosen_elsewhere(list(pointing.values())))),
        ("Grad-CAM++, best of all, chosen on the same exams", "", *words(best)),
        ("chance", "", f"{numpy.mean(chances):.3f}", "", ""),
    ]
    write_table(
        name, "The heat map beside Grad-CAM++ of the same network",
        ["map", "of the logit of the", "exam's maximum", "maximum of the most suspicious slice", "maximum of each slice near an embolus"], rows,
        [
            f"Share of maxima within {NEAR_MM:.0f} mm of an embolus, on {count} {whose} calls present; {len(evidence.hits(2))} slices in the last column. Chance: share of cells so near.",
            f"One network: PyTorch runs the graph that is served, and differs from ONNX Runtime by at most {difference:.1e}. All maps on the cells of the heat map, within the same region.",
            f"Layers are named after their convolution, from the input (stem) to the last before the heat map (merge). The best of {len(rates)} layers and scores is chosen column by column: on the same exams, which is to its advantage, and without it, where one half of the exams chooses for the other.",
            "Grad-CAM++ of the last layer (merge) is nearly the heat map: that is a weighted sum of the layer's channels, and Grad-CAM++ finds the weights again, without the negative ones. The heat map needs neither gradients nor the right layer.",
            *notes,
        ],
    )


def main():
    with_pytorch("gradcam.py")


if __name__ == "__main__":
    bundled()
    of_labels_alone()
