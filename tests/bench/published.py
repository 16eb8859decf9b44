"""The published classifier's checkpoint in the node; `torch_published.py` does it where PyTorch is."""

from common import with_pytorch


def main():
    with_pytorch("torch_published.py")
