"""A training step compared with PyTorch's, where its time goes, and how long a fit waits for its loader."""

import json
import os
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

from common import ROOT, pytorch, write_table

ROUNDS = 5
STEPS = 5
# Which part of the step a function belongs to, by a part of its name.
PARTS = {
    "matrix products": ("gemm",),
    "im2col and channels-last copies of the convolutions": ("ops::conv::", "::call_mut", "for_each::ForEachConsumer"),
    "col2im of the gradients of their inputs": ("conv_transpose",),
    "transposed copies (gradients of their weights, batch normalisation)": ("copy_2d_tiled",),
    "element-wise operations": ("macerator", "binary", "unary", "zip_map", "reduce", "expf", "tanh"),
    "interpolation": ("interpolate", "floor"),
    "memory: clearing, page faults": ("memset", "memcpy", "memmove", "clear_page", "page_fault", "[k]", "malloc", "free"),
}


def program():
    """The benchmark of the training step."""
    command = [os.environ.get("CARGO", "cargo"), "bench", "--bench", "training_step", "--no-run", "--message-format", "json"]
    lines = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    built = [json.loads(line) for line in lines if line.startswith("{")]
    return next(item["executable"] for item in built if item.get("executable") and item["target"]["name"] == "training_step")


def timed(command, cores):
    """Milliseconds of each step but the first, by network."""
    environment = {**os.environ, "PE_NODE_STEPS": str(STEPS), "RAYON_NUM_THREADS": str(cores), "OMP_NUM_THREADS": str(cores)}
    output = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return {line["network"]: (line["parameters"], [1000 * seconds for seconds in line["seconds"][1:]]) for line in lines}


def extremes(values, digits=0):
    """Minimum, median and maximum."""
    return " / ".join(f"{value:.{digits}f}" for value in (min(values), statistics.median(values), max(values)))


def compare(python, binary):
    """Rows of the table: PyTorch and burn in turns, so that both see the same machine."""
    rows = []
    for cores in sorted({1, os.cpu_count()}):
        rounds = [
            (timed([python, ROOT / "tests/bench/torch_training.py"], cores), timed([binary], cores)) for _ in range(ROUNDS)
        ]
        for network in rounds[0][0]:
            torch, burn = ([step for turn in rounds for step in turn[side][network][1]] for side in (0, 1))
            ratios = [statistics.median(own[network][1]) / statistics.median(reference[network][1]) for reference, own in rounds]
            parameters = f"{rounds[0][1][network][0]:,}"
            rows.append((network, parameters, cores, extremes(torch), extremes(burn), extremes(ratios, 1)))
    return rows


def profile(binary):
    """Shares of a step on one core by `perf`, as a note; nothing where it is not installed or not allowed."""
    if not shutil.which("perf"):
        return []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "perf.data"
        environment = {**os.environ, "PE_NODE_STEPS": str(STEPS), "RAYON_NUM_THREADS": "1"}
        command = ["perf", "record", "-F", "199", "-o", data, binary]
        if subprocess.run(command, cwd=ROOT, env=environment, capture_output=True).returncode != 0:
            return []
        report = subprocess.run(["perf", "report", "-i", data, "--stdio", "--sort", "symbol"], capture_output=True, text=True).stdout
    shares = dict.fromkeys([*PARTS, "the rest"], 0.0)
    for line in report.splitlines():
        share, _, symbol = line.strip().partition("%")
        if symbol and not line.startswith("#"):
            part = next((part for part, names in PARTS.items() if any(name in symbol for name in names)), "the rest")
            shares[part] += float(share)
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    return ["What a step is spent on in burn (`perf`, one core, both networks): " + ", ".join(f"{part} {share:.0f} %" for part, share in ordered) + "."]


def waiting():
    """The loader's share of a fit with the default settings on phantoms, as a note."""
    binary = ROOT / "target/release/pe-node"
    with tempfile.TemporaryDirectory() as folder:
        cohort, work = Path(folder) / "cohort", Path(folder) / "work"
        subprocess.run([binary, "phantom", "--out", cohort, "--exams", "16", "--seed", "5", "--paired"], check=True, capture_output=True)
        settings = [f"data.root={cohort}", "data.lungs=truth", f"work.dir={work}", "data.test_fraction=0", "data.validation_fraction=0.25"]
        settings += ["fit.epochs=3", "fit.head_epochs=0", "fit.device=cpu"]
        flags = [flag for setting in settings for flag in ("--set", setting)]
        for step in ("labels", "volumes", "slices", "lungs", "crops", "fit"):
            subprocess.run([binary, "train", step, *flags], check=True, capture_output=True)
        lines = [json.loads(line) for line in (work / "experiment/network/log.jsonl").read_text().splitlines()]
    shares, speed = [100 * line["wait_share"] for line in lines], [line["slices_per_second"] for line in lines]
    return f"The fit itself waits for its loader for {extremes(shares, 1)} % of an epoch at {extremes(speed)} slices/s (16 phantoms, default settings)."


def main():
    python, binary = pytorch(), program()
    rows, notes = compare(python, binary), profile(binary)
    version = subprocess.run([python, "-c", "import torch; print(torch.__version__)"], check=True, capture_output=True, text=True).stdout.strip()
    write_table(
        "training-speed",
        "A training step beside PyTorch's",
        ("network", "weights", "cores", "PyTorch, ms", "burn, ms", "burn / PyTorch"),
        rows,
        [
            f"Slice encoder, 32 slices: forward, backward, clipping, AdamW. `pyramid` is the default at 144 x 192, `residual` has more and wider blocks at 96 x 96. PyTorch {version} eager; burn's `flex`.",
            f"Minimum / median / maximum: of {ROUNDS * (STEPS - 1)} steps, and of the ratios of {ROUNDS} rounds in which both ran in turns.",
            *notes,
            waiting(),
        ],
    )


if __name__ == "__main__":
    main()
