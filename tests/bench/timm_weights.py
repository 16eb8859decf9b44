"""Slice encoders with weights from a file of timm: their feature map and timm's."""

import tempfile
from pathlib import Path

from common import with_pytorch, write_table
from networks import measured
from torch_names import NAMES


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for architecture in NAMES:
            with_pytorch("torch_timm.py", architecture, folder)
        lines = measured("weights::tests::a_file_of_pytorch_is_read_as_pytorch_reads_it", folder)
    rows = [(line["architecture"], NAMES[line["architecture"]], f"{line['difference']:.1e}") for line in lines]
    notes = (
        "The largest difference of the last feature map of a grey image of 64 x 96 pixels, as a share of its largest value.",
        "Weights and statistics are random, larger than initial ones, so that another image has another map. They are read from a .pth file.",
        "The files of coatnet0 and vit_base_patch16 are for 224 x 224 pixels; timm and pe-node each resample them.",
        "The margin of the image is black for both.",
    )
    write_table("timm", "Slice encoders with timm's weights", ("encoder", "timm's name", "burn - timm"), rows, notes)


if __name__ == "__main__":
    main()
