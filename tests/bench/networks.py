"""Every slice encoder at full size: differences between burn and ONNX Runtime, the time of a slice in both, and whether
`onnx.checker` accepts the export."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

import onnx
from common import ROOT, write_table


def measured(test, folder):
    """The JSON lines of a measurement among the library's tests."""
    command = ["cargo", "test", "--release", "--lib", "--", "--ignored", "--nocapture", "--exact", f"learn::train::network::{test}"]
    environment = {**os.environ, "PE_NODE_NETWORKS": str(folder)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return [json.loads(line[line.index("{") :]) for line in done.stdout.splitlines() if '{"' in line]


def checked(files):
    for path in files:
        onnx.checker.check_model(path, full_check=True)
    return "accepted"


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        networks = measured("parity::networks_of_full_size_are_compared_and_timed", folder)
        rows = [
            (
                line["architecture"],
                f"{line['parameters'] / 1e6:.2f} M",
                line["features"],
                f"{line['encoder_difference']:.0e}",
                f"{line['head_difference']:.0e}",
                checked(line["files"]),
                f"{line['burn_ms']:.0f}",
                f"{line['onnxruntime_ms']:.0f}",
            )
            for line in networks
        ]
    columns = ("encoder", "weights", "features", "burn - ONNX Runtime, encoder", "head", "onnx.checker", "burn, ms a slice", "ONNX Runtime, ms a slice")
    notes = (
        "Slices of 144 x 192 pixels and 3 channels, 4 at once, best of three; weights and normalisation statistics are random.",
        "Differences are the largest of any output, over several numbers of slices.",
    )
    write_table("networks", "Slice encoders", columns, rows, notes)


if __name__ == "__main__":
    main()
