"""Wanted against reached sensitivity and specificity of an operating point that is chosen on few exams, over 200
simulated validations, with the former rule (a single ordered score) beside the present one."""

import itertools
import json
import os
import subprocess

import numpy
from common import ROOT, write_table


def program():
    """The benchmark that simulates."""
    command = [os.environ.get("CARGO", "cargo"), "bench", "--bench", "operating_point", "--no-run", "--message-format", "json"]
    lines = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    built = [json.loads(line) for line in lines if line.startswith("{")]
    return next(item["executable"] for item in built if item.get("executable") and item["target"]["name"] == "operating_point")


def reached(values):
    """Mean and standard deviation."""
    return f"{numpy.mean(values):.3f} ± {numpy.std(values):.3f}"


def root_mean_square(values, wanted):
    """Root mean square distance from what was wanted."""
    return f"{numpy.sqrt(numpy.mean((numpy.asarray(values) - wanted) ** 2)):.3f}"


def main():
    lines = subprocess.run([program()], cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    cases = [json.loads(line) for line in lines]
    key = lambda case: (case["population"], f"{case['positives']} + {case['negatives']}", case["networks"], case["criterion"], case["wanted"])
    rows = []
    for (population, exams, networks, criterion, wanted), group in itertools.groupby(cases, key):
        group = list(group)
        place = 0 if criterion == "sensitivity" else 1
        before, now = ([case[rule][place] for case in group] for rule in ("before", "now"))
        others = [[case[rule][1 - place] for case in group] for rule in ("before", "now")]
        inside = [case["expected"][place][1] <= case["now"][place] <= case["expected"][place][2] for case in group]
        rows.append((
            population, exams, networks, f"{criterion} {wanted}",
            reached(before), root_mean_square(before, wanted), reached(now), root_mean_square(now, wanted),
            reached([case["expected"][place][0] for case in group]), f"{100 * numpy.mean(inside):.0f} %",
            f"{reached(others[0])}; {reached(others[1])}",
        ))
    write_table(
        "operating-point", "Operating points chosen on few exams: wanted and reached",
        ["scores", "exams with + without embolism", "networks", "wanted", "reached before", "error", "reached now", "error",
         "expected", "reached lies in the interval", "the other of both, before; now"],
        rows,
        [
            "Simulated scores, no images: exams without embolism are standard normal, those with it as the column says. 200 validations for each row; reached on 4,000 new exams of each class. Mean ± standard deviation; error: root mean square distance from what was wanted.",
            "Before: between the last exam that must be called and the next one. Now: Harrell-Davis quantile of the log odds, on cross-fitted probabilities where there are several networks, as `pe-node train evaluate` computes it.",
            "Expected: chosen on resampled patients, measured on the others, as `evaluate` states it for the operating point, with its 95 % interval.",
            "Five networks: each validates a fifth of the exams and is differently sure of itself; the mean of all answers new exams. It is better than a single network, so it reaches more than was wanted and than is expected. `evaluate` therefore measures it on the test exams; `recalibrate` chooses the threshold on the mean itself.",
        ],
    )


if __name__ == "__main__":
    main()
