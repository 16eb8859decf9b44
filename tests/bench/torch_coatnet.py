"""Writes timm's CoAtNet-0 and its answer to an image, for `tests/bench/networks.py`: `python torch_coatnet.py FOLDER` makes
FOLDER/coatnet0.pth, FOLDER/coatnet0.image and FOLDER/coatnet0.map (32-bit floats). Weights and statistics are random. The
file holds the weights at 224 x 224 pixels, the answer is that of timm at another size."""

import sys
from pathlib import Path

import timm
import torch
from torch import nn

NAME = "coatnet_0_rw_224"
SHAPE = (2, 1, 64, 96)


def answer(network, image):
    """The last feature map of a grey image given as three normalised colours, on a black margin."""
    black = nn.functional.pad(image, (1, 1, 1, 1)).repeat(1, 3, 1, 1)
    network.stem.conv1.padding = (0, 0)
    return network.forward_features((black - 0.5) / 0.5)


def main(folder):
    torch.manual_seed(5)
    torch.set_num_threads(1)
    network = timm.create_model(NAME, pretrained=False, num_classes=3)
    for name, parameter in network.named_parameters():
        if parameter.dim() == 1 or name.endswith("table"):
            nn.init.normal_(parameter, 1.0 if name.endswith("weight") else 0.0, 0.1 if parameter.dim() == 1 else 0.5)
    torch.save(network.state_dict(), folder / "coatnet0.pth")
    resized = timm.create_model(NAME, pretrained=False, num_classes=3, img_size=SHAPE[2:])
    resized.load_state_dict(timm.models.maxxvit.checkpoint_filter_fn(network.state_dict(), resized))
    for module in resized.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.5
    with torch.no_grad():
        for _ in range(10):
            answer(resized.train(), torch.rand(8, *SHAPE[1:]))
        state = network.state_dict()
        state.update({name: value for name, value in resized.state_dict().items() if "running" in name})
        torch.save(state, folder / "coatnet0.pth")
        image = torch.rand(SHAPE)
        found = answer(resized.eval(), image)
    (folder / "coatnet0.image").write_bytes(image.numpy().tobytes())
    (folder / "coatnet0.map").write_bytes(found.numpy().tobytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
