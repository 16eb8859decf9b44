"""Other people's networks, as PyTorch exports them, in the node; `torch_third_party.py` does it where PyTorch is."""

from common import with_pytorch


def main():
    with_pytorch("torch_third_party.py")
