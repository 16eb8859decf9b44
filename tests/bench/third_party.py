"""Other people's networks, as PyTorch exports them, in the node: a U-Net of lungmask's shape (layout `slices`), an
nnU-Net-shaped 3D network (`patches`) and the published CoAtNet classifier (`exam`, by deploy/export-published-model.py).

Weights are random. The last layer of the two segmentations alone is fitted, by logistic regression, to the lungs of a
phantom, since a node that finds no lungs goes no further. Each network is exported to ONNX, put into a package,
checked by `pe-node models verify` and run by `pe-node predict`; what the node gives is held against PyTorch on slices
that are prepared here, independently. The grids are those of the phantom's images, where preparing is clipping and
scaling alone.

Not part of `make evidence` yet: the exam network was seen to agree (0.323667 in PyTorch and in the node), the two
segmentations have not been run to their end since their last layers are fitted by logistic regression.
"""

import csv
import gzip
import hashlib
import importlib.util
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import onnxruntime
import pydicom
import torch
from torch import nn
from torch.nn import functional

from common import ROOT, write_table

BINARY = ROOT / "target/release/pe-node"
SEED = 4
DEPTH = 32
PATCH = (32, 128, 128)
WINDOW = (-1024.0, 600.0)
MEAN, DEVIATION = -400.0, 350.0


class Convolutions(nn.Sequential):
    """Two convolutions as lungmask has them: normalisation after the activation."""

    def __init__(self, inner, outer):
        def one(channels):
            return [nn.Conv2d(channels, outer, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(outer)]
        super().__init__(*one(inner), *one(outer))


class LungUNet(nn.Module):
    """The shape of lungmask's R231: five levels from 64 channels, average pooling, bilinear upsampling, three classes
    (background, right, left) as log-probabilities (Hofmanninger et al. 2020, doi 10.1186/s41747-020-00173-2)."""

    def __init__(self, levels=5, channels=64):
        super().__init__()
        widths = [channels << level for level in range(levels)]
        self.down = nn.ModuleList(Convolutions(a, b) for a, b in zip([1, *widths], widths))
        self.narrow = nn.ModuleList(nn.Conv2d(2 * width, width, 1) for width in reversed(widths[:-1]))
        self.up = nn.ModuleList(Convolutions(2 * width, width) for width in reversed(widths[:-1]))
        self.last = nn.Conv2d(channels, 3, 1)

    def features(self, image):
        levels = []
        for index, block in enumerate(self.down):
            image = block(image if index == 0 else functional.avg_pool2d(image, 2))
            levels.append(image)
        for narrow, block, skipped in zip(self.narrow, self.up, reversed(levels[:-1])):
            image = narrow(functional.interpolate(image, scale_factor=2.0, mode="bilinear"))
            image = block(torch.cat([image, skipped], 1))
        return image

    def forward(self, image):
        return functional.log_softmax(self.last(self.features(image)), dim=1)


class PlainUNet(nn.Module):
    """The shape of nnU-Net's 3D networks: strided convolutions, instance normalisation, leaky rectifiers, transposed
    convolutions upward (Isensee et al. 2021, doi 10.1038/s41592-020-01008-z), with fewer channels."""

    def __init__(self, widths=(8, 16, 32, 64)):
        super().__init__()
        def block(inner, outer, stride):
            def one(channels, stride):
                return [nn.Conv3d(channels, outer, 3, stride, 1), nn.InstanceNorm3d(outer, affine=True), nn.LeakyReLU(0.01)]
            return nn.Sequential(*one(inner, stride), *one(outer, 1))
        self.down = nn.ModuleList(block(a, b, 1 if a == 1 else 2) for a, b in zip([1, *widths], widths))
        pairs = list(zip(reversed(widths[1:]), reversed(widths[:-1])))
        self.widen = nn.ModuleList(nn.ConvTranspose3d(a, b, 2, 2) for a, b in pairs)
        self.up = nn.ModuleList(block(2 * b, b, 1) for _, b in pairs)
        self.last = nn.Conv3d(widths[0], 3, 1)

    def features(self, patch):
        levels = []
        for block in self.down:
            patch = block(patch)
            levels.append(patch)
        for widen, block, skipped in zip(self.widen, self.up, reversed(levels[:-1])):
            patch = block(torch.cat([widen(patch), skipped], 1))
        return patch

    def forward(self, patch):
        return self.last(self.features(patch))


def fit_last_layer(network, images, labels):
    """Logistic regression of the three classes, which count alike, on the features of the last layer. Batch
    normalisation takes its statistics from the same images first, or random features would be badly scaled."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    network.train()
    network(images)
    network.eval()
    features, labels = network.features(images).flatten(2).transpose(0, 1).flatten(1), labels.flatten().long()
    mean, deviation = features.mean(1), features.std(1) + 1e-6
    scaled = ((features - mean[:, None]) / deviation[:, None]).T
    weights = 1.0 / torch.bincount(labels, minlength=3).float()
    layer = nn.Linear(len(features), 3)
    optimiser = torch.optim.LBFGS(layer.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def loss():
        optimiser.zero_grad()
        value = functional.cross_entropy(layer(scaled), labels, weights) + 1e-5 * layer.weight.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimiser.step(loss)
    weight = layer.weight.detach() / deviation
    network.last.weight.copy_(weight.reshape(network.last.weight.shape))
    network.last.bias.copy_(layer.bias.detach() - weight @ mean)


def places(length, size):
    """Beginnings of patches of which the next covers at least half, as nnU-Net lays them."""
    steps = -(-max(length - size, 0) // (size // 2))
    return [round((length - size) * step / steps) if steps else 0 for step in range(steps + 1)]


def sliding_window(network, stack):
    """Class scores of a stack `[D, H, W]`: patches half over each other under a Gaussian, summed and divided."""
    bells = [numpy.exp(-0.5 * ((numpy.arange(size) - (size - 1) / 2) / (size / 8)) ** 2) for size in PATCH]
    weight = torch.tensor(bells[0][:, None, None] * bells[1][:, None] * bells[2])
    sums, weights = torch.zeros(3, *stack.shape, dtype=torch.double), torch.zeros(*stack.shape, dtype=torch.double)
    for z in places(stack.shape[0], PATCH[0]):
        for y in places(stack.shape[1], PATCH[1]):
            for x in places(stack.shape[2], PATCH[2]):
                part = (slice(z, z + PATCH[0]), slice(y, y + PATCH[1]), slice(x, x + PATCH[2]))
                scores = network(torch.tensor(stack[part]).float()[None, None])[0]
                sums[(slice(None), *part)] += scores * weight
                weights[part] += weight
    return (sums / weights).numpy()


def read_phantom(folder):
    """Hounsfield units `[slice, row, column]`, lowest first, with pixel and slice distance, and the series."""
    images = [pydicom.dcmread(path) for path in sorted(folder.rglob("*.dcm"))]
    images.sort(key=lambda image: float(image.ImagePositionPatient[2]))
    heights = [float(image.ImagePositionPatient[2]) for image in images]
    stack = numpy.stack([image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept) for image in images])
    return stack, float(images[0].PixelSpacing[0]), (heights[-1] - heights[0]) / (len(heights) - 1), images[0].SeriesInstanceUID


def read_labels(path):
    """A NIfTI volume of one byte a voxel as `[slice, row, column]`; other types are refused."""
    content = gzip.decompress(path.read_bytes())
    columns, rows, slices = struct.unpack("<3h", content[42:48])
    assert struct.unpack("<h", content[70:72])[0] == 2, f"{path}: unsigned bytes were expected"
    start = int(struct.unpack("<f", content[108:112])[0])
    return numpy.frombuffer(content[start:], dtype=numpy.uint8).reshape(slices, rows, columns)


def export(network, example, path, names, dynamic):
    """Writes ONNX and gives the largest difference of ONNX Runtime from PyTorch on the example."""
    shapes = {names[0]: {0: torch.export.Dim("slices", min=1, max=512)}} if dynamic else None
    torch.onnx.export(network, (example,), str(path), input_names=[names[0]], output_names=[names[1]], opset_version=18,
                      dynamo=True, external_data=False, verbose=False, dynamic_shapes=(shapes[names[0]],) if shapes else None)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(None, {names[0]: example.numpy()})[0]
    return float(numpy.abs(found - network(example).numpy()).max())


def lung_package(folder, name, layout, grid, labels, more=""):
    """model.toml beside the exported network."""
    size, spacing, step = grid
    text = [f'schema = 1\nname = "{name}"\nversion = "1.0.0"\nkind = "lung-segmentation"\nintended_use = "research"',
            f'license = "Apache-2.0"\nlayout = "{layout}"\n\n[input]\nwindow = [{WINDOW[0]}, {WINDOW[1]}]',
            f'size = [{size[0]}, {size[1]}]\nspacing_mm = {spacing!r}\nslice_step_mm = {step!r}\nneighbours = 0\ncrop = "none"', more,
            f'[[files]]\nrole = "network"\npath = "network.onnx"\nsha256 = "{hashlib.sha256((folder / "network.onnx").read_bytes()).hexdigest()}"',
            'inputs = ["image"]\noutputs = ["logits"]']
    text += [f'\n[[labels]]\nindex = {index}\nname = "{label}"' for index, label in enumerate(labels)]
    text += ['\n[training]\ndata = "none: random weights"\ncommit = ""\nconfiguration_sha256 = ""\ndata_sha256 = ""\nseed = 0\n\n[training.counts]\n']
    (folder / "model.toml").write_text("\n".join(text))


def node(*arguments):
    done = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout


def verify(models, name):
    node("models", "verify", name, "--set", f"models.directory={models}", "--set", "onnxruntime.device=cpu")


def predict(models, lungs, study, out):
    """The row of the table and the lungs that the node found."""
    text = node("predict", study, "--ignore-quality", "--out", out, "--set", f"models.directory={models}", "--set", f"models.lungs={lungs}",
                "--set", "models.embolism=published-embolism", "--set", "onnxruntime.device=cpu")
    [row] = csv.DictReader(text.splitlines())
    assert row["status"] == "analysed", row
    return row, read_labels(out / row["series_instance_uid"] / "lungs.nii.gz")


def dice(a, b):
    return 2 * float((a & b).sum()) / max(float(a.sum() + b.sum()), 1.0)


def published_model():
    path = ROOT / "deploy/export-published-model.py"
    specification = importlib.util.spec_from_file_location("export_published_model", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return path, module.PublishedNetwork


@torch.no_grad()
def measure(work):
    torch.manual_seed(SEED)
    models, study = work / "models", work / "phantom"
    node("phantom", "--out", study, "--exams", 1, "--seed", SEED, "--preset", "light")
    stack, spacing, step, series = read_phantom(study / "train")
    truth = read_labels(study / "truth" / series / "lungs.nii.gz")
    size = stack.shape[1:]
    clipped = stack.clip(*WINDOW)
    rows = []

    def row(name, layout, network, path, parity, result):
        parameters = sum(parameter.numel() for parameter in network.parameters()) / 1e6
        rows.append([name, f"`{layout}`", f"{parameters:.1f}", f"{path.stat().st_size / 2**20:.0f}", f"{parity:.1e}", result])

    # The classifier: a checkpoint of random weights, through the script.
    script, network_type = published_model()
    classifier = network_type(size[0]).eval()
    # Random weights of their usual size say much the same of every exam: greater ones make the answer depend on it.
    for name, parameter in [*classifier.exam_head.named_parameters(), *classifier.lstm.named_parameters()]:
        parameter.mul_(4.0 if "_l" in name else 20.0)
    torch.save(classifier.state_dict(), work / "checkpoint.pth")
    done = subprocess.run([sys.executable, script, work / "checkpoint.pth", "--out", models, "--size", str(size[0]), "--depth", str(DEPTH),
                           "--crop", "none", "--spacing-mm", repr(spacing), "--slice-step-mm", repr(step)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    verify(models, "published-embolism")
    chosen = numpy.rint(numpy.linspace(0, len(stack) - 1, DEPTH)).astype(int)
    exam = torch.tensor((stack[chosen].clip(-250.0, 450.0) + 250.0) / 700.0).float()
    probability = lambda slices: float(torch.sigmoid(classifier(slices[None, :, None].expand(1, DEPTH, 3, *size)))[0, 0])
    expected, upside_down = probability(exam), probability(exam.flip(0))

    # lungmask's shape, on windowed slices; its second class is the right lung, as the phantom's.
    unet = LungUNet().eval()
    scaled = torch.tensor((clipped - WINDOW[0]) / (WINDOW[1] - WINDOW[0])).float()[:, None]
    some = torch.linspace(10, len(stack) - 10, 6).long()
    right_left = torch.tensor(numpy.choose(truth, [0, 2, 1]))
    fit_last_layer(unet, scaled[some], right_left[some])
    folder = models / "lung-unet" / "1.0.0"
    folder.mkdir(parents=True)
    parity = export(unet, scaled[some[:3]], folder / "network.onnx", ["image", "logits"], True)
    lung_package(folder, "lung-unet", "slices", (size, spacing, step), ["background", "right-lung", "left-lung"])
    verify(models, "lung-unet")
    answer, found = predict(models, "lung-unet", study / "train", work / "out-unet")
    seen = numpy.arange(0, len(stack), 8)
    own = torch.cat([unet(scaled[slice:slice + 1]).argmax(1) for slice in seen]).numpy()
    overlap = dice(own > 0, found[seen] > 0)
    row("U-Net of lungmask's shape", "slices", unet, folder / "network.onnx", parity, f"lungs: Dice {overlap:.3f} with PyTorch's (every 8th slice)")
    probabilities = [float(answer["pe_probability"])]

    # nnU-Net's shape, on z-scores.
    plain = PlainUNet().eval()
    score = ((clipped - MEAN) / DEVIATION).astype(numpy.float32)
    low = len(stack) // 2 - PATCH[0] // 2
    corner = [(extent - side) // 2 for extent, side in zip(size, PATCH[1:])]
    lungs = [(slice(low, low + PATCH[0]), slice(corner[0], corner[0] + PATCH[1]), slice(x, x + PATCH[2])) for x in (corner[1] - 40, corner[1] + 40)]
    fit_last_layer(plain, torch.tensor(numpy.stack([score[part] for part in lungs]))[:, None], torch.tensor(numpy.stack([truth[part] for part in lungs])))
    folder = models / "lung-patches" / "1.0.0"
    folder.mkdir(parents=True)
    parity = export(plain, torch.tensor(score[lungs[0]])[None, None], folder / "network.onnx", ["image", "logits"], False)
    more = f"normalisation = {{ mean = {MEAN}, standard_deviation = {DEVIATION} }}\n\n[patches]\nsize = {list(PATCH)}\noverlap = 0.5\n"
    lung_package(folder, "lung-patches", "patches", (size, spacing, step), ["background", "left-lung", "right-lung"], more)
    verify(models, "lung-patches")
    answer, found = predict(models, "lung-patches", study / "train", work / "out-patches")
    overlap = dice(sliding_window(plain, score).argmax(0) > 0, found > 0)
    row("nnU-Net-shaped 3D network", "patches", plain, folder / "network.onnx", parity, f"lungs: Dice {overlap:.3f} with PyTorch's own sliding window")
    probabilities.append(float(answer["pe_probability"]))

    parity = float(done.stdout.split("at most ")[1].split(";")[0])
    difference = max(abs(probability - expected) for probability in probabilities)
    row("CoAtNet-0 exam network, by `deploy/export-published-model.py`", "exam", classifier, models / "published-embolism/1.0.0/exam.onnx", parity,
        f"probability {probabilities[0]:.6f}, PyTorch's {expected:.6f} (of the exam upside down {upside_down:.6f})")
    assert difference < 1e-4, f"the node's probabilities {probabilities} are not PyTorch's {expected}"
    assert all(float(parity) < 1e-3 for _, _, _, _, parity, _ in rows), rows
    return rows, len(stack), size


def main():
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as folder:
        rows, slices, size = measure(Path(folder))
    write_table("third-party", "Networks that PyTorch exported, in the node", ["network", "layout", "parameters (M)", "ONNX (MiB)",
                "ONNX Runtime - PyTorch, largest difference of any output", "what `pe-node predict` gave on a phantom"], rows, [
        f"Random weights (seed {SEED}); the last layer of the segmentations is fitted to the phantom's lungs. A light phantom of {slices} slices of {size[0]} x {size[1]}.",
        "Every package passed `pe-node models verify`. PyTorch ran on slices that the script prepared by itself.",
        "Lungs are compared after the node has refined them along the images, so they need not be equal; the probability is the network's own.",
    ])


if __name__ == "__main__":
    main()
