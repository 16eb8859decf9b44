"""Writes a network of timm and its answer to an image, for `tests/bench/timm_weights.py`: `python torch_timm.py NAME FOLDER` makes
FOLDER/NAME.pth, FOLDER/NAME.image and FOLDER/NAME.map (32-bit floats). NAME is that of `encoder.architecture`. Weights and
statistics are random. Where weights depend on the size of an image, the file holds those for 224 x 224 pixels, and the answer
is that of timm at another size."""

import sys
from pathlib import Path

import timm
import torch
from torch import nn
from torch_names import NAMES

# The margin of the first convolution: left, right, top, bottom.
MARGINS = {"efficientnetv2_s": (0, 1, 0, 1), "vit_base_patch16": (0, 0, 0, 0), "coatnet0": (1, 1, 1, 1)}
OF_RESNETS = (3, 3, 3, 3)
OF_ONE_SIZE = ("coatnet0", "vit_base_patch16")
SHAPE = (2, 1, 64, 96)


def draw(network):
    """Weights unlike the initial ones, so that every one of them changes the answer."""
    for name, parameter in network.named_parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter, 1.0 if name.endswith("weight") else 0.0, 0.1)
        elif name.endswith(("bias_table", "pos_embed", "cls_token")):
            nn.init.normal_(parameter, 0.0, 0.5)
        elif ".attn.qkv" in name:
            nn.init.normal_(parameter, 0.0, 2.0 / parameter.shape[1] ** 0.5)
        elif ".mlp." in name or ".attn.proj" in name:
            nn.init.normal_(parameter, 0.0, 1.0 / parameter.shape[1] ** 0.5)


def resized(name, network):
    """The network for images of SHAPE, as timm makes it of a file."""
    if name not in OF_ONE_SIZE:
        return network
    other = timm.create_model(NAMES[name], pretrained=False, num_classes=3, img_size=SHAPE[2:])
    module = sys.modules[type(network).__module__]
    other.load_state_dict(module.checkpoint_filter_fn(network.state_dict(), other))
    return other


def answer(name, network, image):
    """The last feature map of a grey image given as three normalised colours, on a black margin."""
    settings = network.pretrained_cfg
    mean, deviation = (torch.tensor(settings[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    black = nn.functional.pad(image, MARGINS.get(name, OF_RESNETS)).repeat(1, 3, 1, 1)
    features = network.forward_features((black - mean) / deviation)
    if features.dim() == 3:
        patches = features[:, network.num_prefix_tokens :].transpose(1, 2)
        features = patches.reshape(*patches.shape[:2], *network.patch_embed.grid_size)
    return features.contiguous()


def without_margin(network):
    """The margin is given with the image."""
    first = network.get_submodule(network.pretrained_cfg["first_conv"])
    if "Same" in type(first).__name__:
        # Its margin is that of its input, which is odd now.
        first.forward = lambda image: nn.functional.conv2d(image, first.weight, first.bias, first.stride)
    else:
        first.padding = (0, 0)


def main(name, folder):
    torch.manual_seed(5)
    torch.set_num_threads(1)
    network = timm.create_model(NAMES[name], pretrained=False, num_classes=3)
    draw(network)
    whole = resized(name, network)
    without_margin(whole)
    for module in whole.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.5
    with torch.no_grad():
        for _ in range(10):
            answer(name, whole.train(), torch.rand(8, *SHAPE[1:]))
        state = network.state_dict()
        state.update({key: value for key, value in whole.state_dict().items() if "running" in key})
        torch.save(state, folder / f"{name}.pth")
        image = torch.rand(SHAPE)
        found = answer(name, whole.eval(), image)
    other = answer(name, whole, torch.rand(SHAPE))
    print(f"{name}: values up to {found.abs().max():.3g}; another image differs by {(found - other).abs().max():.3g}")
    (folder / f"{name}.image").write_bytes(image.numpy().tobytes())
    (folder / f"{name}.map").write_bytes(found.numpy().tobytes())


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
