"""How many of the bags that stand for an exam with embolism show no embolus, where no slice is labelled.

Counted from the truth of phantoms, for what a step of a fit saw of such an exam before (eight slices in two runs, drawn
anywhere) and sees now (all slices, or `fit.depth` of them in equal distances); `src/learn/train/fit/bags.rs` draws them.
"""

import csv
import random
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path

from common import ROOT, write_table
from conftest import BINARY

EXAMS = {"tiny": 300, "light": 100}
DRAWS = 50


def labels(preset, folder):
    """Slice labels of each exam with embolism, lowest slice first."""
    subprocess.run([str(BINARY), "phantom", "--out", folder, "--preset", preset, "--exams", str(EXAMS[preset]), "--seed", "15"],
                   check=True, cwd=ROOT, capture_output=True)
    exams = defaultdict(list)
    with open(Path(folder) / "train.csv", newline="") as table:
        for row in csv.DictReader(table):
            if row["negative_exam_for_pe"] == "0" and row["indeterminate"] == "0":
                exams[row["SeriesInstanceUID"]].append(row["pe_present_on_image"] == "1")
    return list(exams.values())


def runs(slices, draw):
    """Eight slices in two runs of four."""
    first = [draw.randrange(max(1, len(slices) - 3)) for _ in range(2)]
    return [slice for start in first for slice in slices[start:start + 4]]


def spread(depth):
    """`depth` slices in equal distances from one that is drawn."""
    def some(slices, draw):
        first, count = draw.random(), len(slices)
        return slices if count <= depth else [slices[int((number + first) * count / depth)] for number in range(depth)]
    return some


RULES = {
    "one slice": lambda slices, draw: [draw.choice(slices)],
    "eight slices in two runs (before)": runs,
    "depth 8": spread(8),
    "depth 16": spread(16),
    "depth 32": spread(32),
    "all slices": lambda slices, draw: slices,
}


def main():
    """Counts and writes the table."""
    draw, columns, rows = random.Random(1), ["what is seen"], {name: [name] for name in RULES}
    notes = ["A bag is false that stands for an exam with embolism and shows none. Each exam was drawn "
             f"{DRAWS} times. Phantoms alone; where even all slices are false, the emboli lie in no slice's label."]
    for preset in EXAMS:
        with tempfile.TemporaryDirectory() as folder:
            exams = labels(preset, folder)
        columns.append(f"false bags, {preset}")
        shown = sum(map(sum, exams)) / sum(map(len, exams))
        notes.append(f"{preset}: {len(exams)} exams with embolism, {sum(map(len, exams)) / len(exams):.0f} slices each; "
                     f"{shown:.0%} of them show it (RSPECT: 17 %).")
        for name, rule in RULES.items():
            false = sum(not any(rule(exam, draw)) for exam in exams for _ in range(DRAWS))
            rows[name].append(f"{false / (DRAWS * len(exams)):.1%}")
    write_table("bags", "Bags that stand for an exam with embolism and show none", columns, rows.values(), notes)


if __name__ == "__main__":
    main()
