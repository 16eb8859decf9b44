"""Writes a ResNet of torchvision's names and its answer to an image, for `tests/bench/networks.py`:
`python torch_resnet.py NAME FOLDER` makes FOLDER/NAME.pth, FOLDER/NAME.image and FOLDER/NAME.map (32-bit floats).
Weights and statistics are random."""

import sys
from pathlib import Path

import torch
from torch import nn

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SHAPE = (2, 1, 64, 96)


class Block(nn.Module):
    def __init__(self, inputs, width, stride, bottleneck):
        super().__init__()
        outputs = 4 * width if bottleneck else width
        layers = [(inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)] if bottleneck else [(inputs, width, 3, stride), (width, width, 3, 1)]
        self.count = len(layers)
        for number, (before, after, kernel, step) in enumerate(layers, 1):
            self.add_module(f"conv{number}", nn.Conv2d(before, after, kernel, step, kernel // 2, bias=False))
            self.add_module(f"bn{number}", nn.BatchNorm2d(after))
        self.downsample = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, image):
        branch = image
        for number in range(1, self.count + 1):
            branch = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(branch))
            branch = branch.relu() if number < self.count else branch
        return (branch + (image if self.downsample is None else self.downsample(image))).relu()


class ResNet(nn.Module):
    def __init__(self, blocks, bottleneck):
        super().__init__()
        # The margin is given with the image: see `answer`.
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 0, bias=False), nn.BatchNorm2d(64)
        inputs = 64
        for stage, count in enumerate(blocks):
            width = 64 << stage
            made = []
            for block in range(count):
                made.append(Block(inputs, width, 2 if stage and not block else 1, bottleneck))
                inputs = 4 * width if bottleneck else width
            self.add_module(f"layer{stage + 1}", nn.Sequential(*made))
        self.fc = nn.Linear(inputs, 1000)

    def forward(self, image):
        image = nn.functional.max_pool2d(self.bn1(self.conv1(image)).relu(), 3, 2, 1)
        return self.layer4(self.layer3(self.layer2(self.layer1(image))))


def answer(network, image):
    """Of a grey image given as three normalised colours, on a black margin."""
    colours = nn.functional.pad(image, (3, 3, 3, 3)).repeat(1, 3, 1, 1)
    normalised = (colours - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(DEVIATION).view(1, 3, 1, 1)
    return network(normalised)


def main(name, folder):
    torch.manual_seed(5)
    network = ResNet(BLOCKS[name], name == "resnet50")
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.1)
            nn.init.normal_(module.bias, 0.0, 0.1)
            module.momentum = 0.5
    with torch.no_grad():
        for _ in range(10):
            answer(network.train(), torch.rand(8, *SHAPE[1:]))
        image = torch.rand(SHAPE)
        found = answer(network.eval(), image)
    torch.save(network.state_dict(), folder / f"{name}.pth")
    (folder / f"{name}.image").write_bytes(image.numpy().tobytes())
    (folder / f"{name}.map").write_bytes(found.numpy().tobytes())


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
