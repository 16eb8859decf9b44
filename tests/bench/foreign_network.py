"""A network that PyTorch trained on crops, in the node; `torch_foreign.py` does it where PyTorch is."""

from common import with_pytorch


def main():
    with_pytorch("torch_foreign.py")
