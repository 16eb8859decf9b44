"""Other people's networks, as PyTorch exports them, in the node: a U-Net of lungmask's shape (layout `slices`), an
nnU-Net-shaped 3D network (`patches`) and the published CoAtNet classifier (`exam`, by deploy/export-published-model.py).

The classifier's weights are random. The segmentations are fitted to the lungs of a phantom for some minutes, since a node
that finds no lungs rejects the exam. Each network is exported to ONNX, put into a package, checked by `pe-node models verify`
and run by `pe-node predict`. The results are compared with PyTorch on slices that are prepared here, independently. The grids
are those of the phantom's images, where preparation is clipping and scaling alone.
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
from conftest import BINARY

SEED = 4
DEPTH = 32
PATCH = (16, 224, 224)
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

    def forward(self, image):
        levels = []
        for index, block in enumerate(self.down):
            image = block(image if index == 0 else functional.avg_pool2d(image, 2))
            levels.append(image)
        for narrow, block, skipped in zip(self.narrow, self.up, reversed(levels[:-1])):
            image = narrow(functional.interpolate(image, scale_factor=2.0, mode="bilinear"))
            image = block(torch.cat([image, skipped], 1))
        return functional.log_softmax(self.last(image), dim=1)


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

    def forward(self, patch):
        levels = []
        for block in self.down:
            patch = block(patch)
            levels.append(patch)
        for widen, block, skipped in zip(self.widen, self.up, reversed(levels[:-1])):
            patch = block(torch.cat([widen(patch), skipped], 1))
        return self.last(patch)


def fit(network, draw, steps, rate):
    """Fits the network to classes; `draw` gives images and labels of a step."""
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    network.train()
    with torch.enable_grad():
        for step in range(steps):
            images, labels = draw()
            loss = functional.cross_entropy(network(images), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            print(f"{type(network).__name__} {step + 1}/{steps} {loss.item():.3f}", file=sys.stderr, flush=True)
    network.eval()


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


def lung_package(folder, name, layout, phantom, labels, more=""):
    """model.toml beside the exported network."""
    text = [f'schema = 1\nname = "{name}"\nversion = "1.0.0"\nkind = "lung-segmentation"\nintended_use = "research"',
            f'license = "Apache-2.0"\nlayout = "{layout}"\n\n[input]\nwindow = [{WINDOW[0]}, {WINDOW[1]}]',
            f'size = {list(phantom.size)}\nspacing_mm = {phantom.spacing!r}\nslice_step_mm = {phantom.step!r}\nneighbours = 0\ncrop = "none"', more,
            f'[[files]]\nrole = "network"\npath = "network.onnx"\nsha256 = "{hashlib.sha256((folder / "network.onnx").read_bytes()).hexdigest()}"',
            'inputs = ["image"]\noutputs = ["logits"]']
    text += [f'\n[[labels]]\nindex = {index}\nname = "{label}"' for index, label in enumerate(labels)]
    text += ['\n[training]\ndata = "one phantom, or none: weights are random"\ncommit = ""\nconfiguration_sha256 = ""\ndata_sha256 = ""\nseed = 0\n\n[training.counts]\n']
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


class Phantom:
    """A light phantom: Hounsfield units `[slice, row, column]`, lowest first, its grid, and its lungs."""

    def __init__(self, study, seed=SEED):
        node("phantom", "--out", study, "--exams", 1, "--seed", seed, "--preset", "light")
        self.images = study / "train"
        images = [pydicom.dcmread(path) for path in self.images.rglob("*.dcm")]
        images.sort(key=lambda image: float(image.ImagePositionPatient[2]))
        heights = [float(image.ImagePositionPatient[2]) for image in images]
        self.stack = numpy.stack([image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept) for image in images])
        self.size = self.stack.shape[1:]
        self.spacing = float(images[0].PixelSpacing[0])
        self.step = (heights[-1] - heights[0]) / (len(heights) - 1)
        self.clipped = self.stack.clip(*WINDOW)
        # 1 is the left lung, 2 the right one.
        self.lungs = read_labels(study / "truth" / images[0].SeriesInstanceUID / "lungs.nii.gz")


def row(name, layout, network, path, parity, result):
    """A row of the table."""
    parameters = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    assert parity < 1e-3, f"{name}: ONNX Runtime differs from PyTorch by {parity}"
    return [name, f"`{layout}`", f"{parameters:.1f}", f"{path.stat().st_size / 2**20:.0f}", f"{parity:.1e}", result]


class Published:
    """The classifier: a checkpoint of random weights, made a package by the script."""

    def __init__(self, models, work, phantom):
        script, network_type = published_model()
        self.path = models / "published-embolism/1.0.0/exam.onnx"
        self.network = network_type(phantom.size[0]).eval()
        # Random weights of their usual size say much the same of every exam: greater ones make the answer depend on it.
        for name, parameter in self.network.classifier.named_parameters():
            parameter.mul_(20.0 if name.startswith("classifier.") else 4.0 if name.startswith("lstm") else 1.0)
        torch.save({"model_state_dict": self.network.state_dict()}, work / "checkpoint.pth")
        done = subprocess.run([sys.executable, script, work / "checkpoint.pth", "--out", models, "--size", str(phantom.size[0]), "--depth", str(DEPTH),
                               "--crop", "none", "--spacing-mm", repr(phantom.spacing), "--slice-step-mm", repr(phantom.step)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        self.parity = float(done.stdout.split("at most ")[1].split(";")[0])
        verify(models, "published-embolism")
        chosen = numpy.rint(numpy.linspace(0, len(phantom.stack) - 1, DEPTH)).astype(int)
        exam = torch.tensor((phantom.stack[chosen].clip(-250.0, 450.0) + 250.0) / 700.0).float()
        self.expected, self.upside_down = self.probability(exam), self.probability(exam.flip(0))

    def probability(self, slices):
        colours = slices[None, :, None].expand(1, DEPTH, 3, *slices.shape[1:])
        return float(torch.sigmoid(self.network(colours))[0, 0])

    def compared(self, probabilities):
        """The row, once the node gave these probabilities."""
        difference = max(abs(probability - self.expected) for probability in probabilities)
        assert difference < 1e-4, f"the node's probabilities {probabilities} are not PyTorch's {self.expected}"
        result = f"probability {probabilities[0]:.6f}, PyTorch's {self.expected:.6f} (of the exam upside down {self.upside_down:.6f})"
        return row("CoAtNet-0 exam network, by `deploy/export-published-model.py`", "exam", self.network, self.path, self.parity, result)


def compared(own, found, how):
    """What the table says of the lungs that PyTorch and the node found."""
    overlap = dice(own > 0, found > 0)
    assert overlap > 0.9, f"the node's lungs are not PyTorch's: Dice {overlap}"
    return f"lungs: Dice {overlap:.3f} with PyTorch's{how}"


def lungmask_shape(models, work, phantom):
    """On windowed slices; its second class is the right lung. The row, and the probability that the node gave."""
    scaled = torch.tensor((phantom.clipped - WINDOW[0]) / (WINDOW[1] - WINDOW[0])).float()[:, None]
    right_left = torch.tensor(numpy.choose(phantom.lungs, [0, 2, 1])).long()

    def slices():
        some = torch.randint(len(scaled), (2,))
        return scaled[some], right_left[some]

    network, folder = LungUNet(), models / "lung-unet" / "1.0.0"
    fit(network, slices, 60, 1e-3)
    folder.mkdir(parents=True)
    parity = export(network, slices()[0], folder / "network.onnx", ["image", "logits"], True)
    lung_package(folder, "lung-unet", "slices", phantom, ["background", "right-lung", "left-lung"])
    verify(models, "lung-unet")
    answer, found = predict(models, "lung-unet", phantom.images, work / "out-unet")
    seen = numpy.arange(0, len(scaled), 8)
    own = torch.cat([network(scaled[slice:slice + 1]).argmax(1) for slice in seen]).numpy()
    result = compared(own, found[seen], " (every 8th slice)")
    return row("U-Net of lungmask's shape", "slices", network, folder / "network.onnx", parity, result), float(answer["pe_probability"])


def nnunet_shape(models, work, phantom):
    """On patches of z-scores. The row, and the probability that the node gave."""
    score = ((phantom.clipped - MEAN) / DEVIATION).astype(numpy.float32)
    left_right = torch.tensor(phantom.lungs).long()

    def patch():
        first = [int(torch.randint(extent - side + 1, ())) for extent, side in zip(score.shape, PATCH)]
        part = tuple(slice(start, start + side) for start, side in zip(first, PATCH))
        return torch.tensor(score[part])[None, None], left_right[part][None]

    network, folder = PlainUNet(), models / "lung-patches" / "1.0.0"
    fit(network, patch, 130, 3e-3)
    folder.mkdir(parents=True)
    parity = export(network, patch()[0], folder / "network.onnx", ["image", "logits"], False)
    more = f"normalisation = {{ mean = {MEAN}, standard_deviation = {DEVIATION} }}\n\n[patches]\nsize = {list(PATCH)}\noverlap = 0.5\n"
    lung_package(folder, "lung-patches", "patches", phantom, ["background", "left-lung", "right-lung"], more)
    verify(models, "lung-patches")
    answer, found = predict(models, "lung-patches", phantom.images, work / "out-patches")
    result = compared(sliding_window(network, score).argmax(0), found, " own sliding window")
    return row("nnU-Net-shaped 3D network", "patches", network, folder / "network.onnx", parity, result), float(answer["pe_probability"])


@torch.no_grad()
def measure(work):
    torch.manual_seed(SEED)
    models, phantom = work / "models", Phantom(work / "phantom")
    published = Published(models, work, phantom)
    rows, probabilities = zip(*(network(models, work, phantom) for network in (lungmask_shape, nnunet_shape)))
    return [*rows, published.compared(probabilities)], phantom


def main():
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as folder:
        rows, phantom = measure(Path(folder))
    write_table("third-party", "Networks that PyTorch exported, in the node", ["network", "layout", "parameters (M)", "ONNX (MiB)",
                "ONNX Runtime - PyTorch, largest difference of any output", "what `pe-node predict` gave on a phantom"], rows, [
        f"The classifier has random weights (seed {SEED}), amplified so that its answer depends on the exam; the segmentations were fitted for minutes to the phantom they are tried on. A light phantom of {len(phantom.stack)} slices of {phantom.size[0]} x {phantom.size[1]}.",
        "Every package passed `pe-node models verify`. PyTorch ran on slices that the script prepared by itself.",
        "Lungs are compared after the node has refined them along the images, so they need not be equal; the probability is the network's own.",
    ])


if __name__ == "__main__":
    main()
