"""How many slice labels an exam classifier needs: exam AUROC against the share of exams that carry slice labels.

The claim of Hu et al. (npj Digital Medicine 8, 2025) that a quarter of the slice labels does as well as all of them,
repeated on phantoms: `pe-node train` with every share and several seeds on the same exams, each model on the same
internal exams and on external ones (other scanners, doses, anatomy, prevalence), compared by a paired bootstrap.
"""

import csv
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
from common import RESULTS, ROOT, write_table
from conftest import BINARY

WORK = Path(os.environ.get("PE_NODE_EVIDENCE_WORK", ROOT / "target" / "evidence")) / "learning-curve"
CONFIGURATION = ROOT / "configs" / "learning-curve.toml"
COHORTS = {
    "train": ["--exams", "1200", "--seed", "7001"],
    "validation": ["--exams", "150", "--seed", "7002"],
    "internal": ["--exams", "1100", "--seed", "7003"],
    "external": ["--exams", "1100", "--seed", "7004", "--site", "external"],
}
SHARES = (0.0, 0.05, 0.1, 0.25, 0.5, 1.0)
SEEDS = (1, 2, 3, 4, 5)
# Share of exams with slice labels among those drawn for the encoder, by the share of exams that have them. It was chosen on
# the validation exams of the first seed. Where few exams have slice labels, the network memorises them unless it gets others too.
SHOWN = {0.05: 0.5, 0.1: 0.5, 0.25: 1.0, 0.5: 1.0}
MARGIN = 0.02
RESAMPLINGS = 2000
SIDE_BY_SIDE = 2


def run(*arguments):
    """Runs the program, one thread each: fits go side by side."""
    environment = dict(os.environ, RAYON_NUM_THREADS="1", PE_NODE__ONNXRUNTIME__THREADS="1")
    done = subprocess.run([str(BINARY), *map(str, arguments)], cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"pe-node {' '.join(map(str, arguments))}: {done.stderr[-2000:]}")


def rows(path):
    """A CSV table as dictionaries."""
    with open(path, newline="") as table:
        return list(csv.DictReader(table))


def make_cohorts():
    """Generates the cohorts once, and joins both test cohorts to one in the same layout."""
    for name, options in COHORTS.items():
        if not (WORK / name / "train.csv").exists():
            subprocess.run([str(BINARY), "phantom", "--out", str(WORK / name), "--preset", "tiny", *options], check=True, cwd=ROOT)
    joined = WORK / "test"
    if (joined / "train.csv").exists():
        return
    for part in ("train", "truth"):
        (joined / part).mkdir(parents=True, exist_ok=True)
        for name in ("internal", "external"):
            for entry in (WORK / name / part).iterdir():
                if entry.is_dir() and not (joined / part / entry.name).exists():
                    (joined / part / entry.name).symlink_to(entry)
    tables = [(WORK / name / "train.csv").read_text().splitlines(keepends=True) for name in ("internal", "external")]
    (joined / "train.csv").write_text("".join([*tables[0], *tables[1][1:]]))


def settings(share, seed):
    """Arguments of one experiment."""
    values = {
        "data.root": WORK / "train",
        "data.validation_root": WORK / "validation",
        "data.test_root": WORK / "test",
        "work.dir": WORK / "work",
        "work.experiment": f"share-{share}-seed-{seed}",
        "supervision.labelled_exams": share,
        "fit.labelled_share": SHOWN.get(share, 0.0),
        "fit.seed": seed,
    }
    return ["--config", CONFIGURATION, *[part for key, value in values.items() for part in ("--set", f"{key}={value}")]]


def experiment(share, seed):
    """Fits and evaluates once; the probabilities of the test exams by series."""
    folder = WORK / "work" / f"share-{share}-seed-{seed}"
    if not (folder / "predictions.csv").exists():
        for step in ("labels", "fit", "evaluate"):
            run("train", step, *settings(share, seed))
        print(f"share {share}, seed {seed}", flush=True)
    return {row["series"]: float(row["logit"]) for row in rows(folder / "predictions.csv") if row["split"] == "test"}


def auroc(positive, scores, weights):
    """Area under the ROC of each column of `scores`, exams counted by `weights` (a bootstrap in one pass)."""
    areas = []
    for column in scores.T:
        _, place = numpy.unique(column, return_inverse=True)
        ones = numpy.bincount(place, weights * positive)
        zeros = numpy.bincount(place, weights * ~positive)
        below = numpy.cumsum(zeros) - zeros
        areas.append((ones * (below + zeros / 2)).sum() / (ones.sum() * zeros.sum()))
    return numpy.array(areas)


def measure(name, predictions):
    """Mean AUROC over seeds of every share with its interval, and its difference to all labels, on one cohort: exams
    drawn in pairs, and then seeds too."""
    exams = [row for row in rows(WORK / name / "truth" / "exams.csv") if row["indeterminate"] == "0"]
    known = set.intersection(*[set(found) for found in predictions.values()])
    exams = [row for row in exams if row["series_instance_uid"] in known]
    positive = numpy.array([row["pe"] == "1" for row in exams])
    keys = [(share, seed) for share in SHARES for seed in SEEDS]
    scores = numpy.array([[predictions[key][row["series_instance_uid"]] for key in keys] for row in exams])
    by_share = lambda areas: areas.reshape(len(SHARES), len(SEEDS))
    each = by_share(auroc(positive, scores, numpy.ones(len(exams))))
    random = numpy.random.default_rng(1)
    samples, with_seeds = [], []
    for _ in range(RESAMPLINGS):
        weights = numpy.bincount(random.integers(0, len(exams), len(exams)), minlength=len(exams))
        areas = by_share(auroc(positive, scores, weights))
        samples.append(areas.mean(axis=1))
        with_seeds.append(areas[:, random.integers(0, len(SEEDS), len(SEEDS))].mean(axis=1))
    samples, with_seeds = numpy.array(samples), numpy.array(with_seeds)
    lower = lambda drawn: numpy.quantile(drawn - drawn[:, -1:], 0.05, axis=0)
    return {
        "exams": len(exams),
        "positive": int(positive.sum()),
        "mean": each.mean(axis=1),
        "interval": numpy.quantile(samples, [0.025, 0.975], axis=0).T,
        "range": [(part.min(), part.max()) for part in each],
        "lower": lower(samples),
        "lower_with_seeds": lower(with_seeds),
        "difference": each.mean(axis=1) - each[-1].mean(),
    }


def plot(measured):
    """The curve as an SVG file beside the table."""
    width, height, left, bottom = 640, 400, 70, 350
    low = min(0.5, *(found["interval"].min() for found in measured.values()))
    x = lambda index: left + 40 + index * (width - left - 80) / (len(SHARES) - 1)
    y = lambda area: bottom - (area - low) / (1 - low) * (bottom - 40)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
             f'<rect width="{width}" height="{height}" fill="white"/>']
    for step in numpy.arange(numpy.ceil(low * 20) / 20, 1.001, 0.05):
        parts.append(f'<line x1="{left}" x2="{width - 20}" y1="{y(step):.1f}" y2="{y(step):.1f}" stroke="#ddd"/>'
                     f'<text x="{left - 8}" y="{y(step) + 4:.1f}" text-anchor="end">{step:.2f}</text>')
    for index, share in enumerate(SHARES):
        parts.append(f'<text x="{x(index):.1f}" y="{bottom + 20}" text-anchor="middle">{share:.0%}</text>')
    parts.append(f'<text x="{width / 2}" y="{height - 8}" text-anchor="middle">exams with slice labels</text>'
                 f'<text x="16" y="{height / 2}" text-anchor="middle" transform="rotate(-90 16 {height / 2})">exam AUROC</text>')
    for number, (name, found) in enumerate(measured.items()):
        colour, shift = ("#1f6fb4", -3) if number == 0 else ("#c8501e", 3)
        line = " ".join(f"{x(index) + shift:.1f},{y(area):.1f}" for index, area in enumerate(found["mean"]))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for index, (area, (lower, upper)) in enumerate(zip(found["mean"], found["interval"])):
            place = x(index) + shift
            parts.append(f'<line x1="{place:.1f}" x2="{place:.1f}" y1="{y(lower):.1f}" y2="{y(upper):.1f}" stroke="{colour}"/>'
                         f'<circle cx="{place:.1f}" cy="{y(area):.1f}" r="4" fill="{colour}"/>')
        parts.append(f'<text x="{width - 30}" y="{bottom - 40 + 18 * number}" text-anchor="end" fill="{colour}">{name} phantoms</text>')
    (RESULTS / "learning-curve.svg").write_text("\n".join([*parts, "</svg>"]) + "\n")


def main():
    """Fits, evaluates, writes table and plot."""
    make_cohorts()
    first = settings(SHARES[0], SEEDS[0])
    for step in ("labels", "volumes", "slices", "lungs", "crops"):
        subprocess.run([str(BINARY), "train", step, *map(str, first)], check=True, cwd=ROOT)
    keys = [(share, seed) for seed in SEEDS for share in SHARES]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        predictions = dict(zip(keys, pool.map(lambda key: experiment(*key), keys)))
    measured = {name: measure(name, predictions) for name in ("internal", "external")}
    table, notes = [], []
    for index, share in enumerate(SHARES):
        row = [f"{share:.0%}"]
        for found in measured.values():
            lower, upper = found["interval"][index]
            least, most = found["range"][index]
            row += [f"{found['mean'][index]:.3f} ({lower:.3f} to {upper:.3f})", f"{least:.3f} to {most:.3f}",
                    f"{found['difference'][index]:+.3f} ({found['lower'][index]:+.3f})" if share < 1 else ""]
        table.append(row)
    quarter = SHARES.index(0.25)
    for name, found in measured.items():
        verdict = lambda lower: "non-inferior" if lower > -MARGIN else "not shown to be non-inferior"
        fixed, drawn = found["lower"][quarter], found["lower_with_seeds"][quarter]
        notes.append(f"{name}: {found['exams']} exams, {found['positive']} with embolism. A quarter of the labels is {verdict(fixed)} to all of them "
                     f"with a margin of {MARGIN} (one-sided, 95 %): the difference is above {fixed:+.3f} with these models. With seeds drawn too, "
                     f"that is of models yet to be fitted, it is above {drawn:+.3f}: {verdict(drawn)}.")
    notes += [
        f"Phantoms alone (preset tiny, made by the program itself): {COHORTS['train'][1]} exams for training, {COHORTS['validation'][1]} to choose the "
        "checkpoint; nothing here says anything about patients.",
        f"Means over {len(SEEDS)} seeds (which exams keep their labels, first weights, draws); intervals and differences by {RESAMPLINGS} paired "
        "resamplings of the test exams, models held fixed. Differences: mean, and the lower end of a one-sided 95 % interval.",
        "Every exam has its exam label; shares count the exams whose slice labels are used, and hold for validation exams too. Of such an exam with embolism the encoder is shown slices with embolism. Settings: configs/learning-curve.toml. "
        "Every fit takes as many steps of as many slices, whatever it is given.",
        "Encoder: of the exams it is shown, the share with slice labels is " + ", ".join(f"{shown:.0%} at {share:.0%}" for share, shown in SHOWN.items())
        + " (chosen on validation, first seed; with 100 % at 5 %, the validation AUROC was 0.65 instead of 0.75). Where that is 100 %, exams without slice labels are not used for the encoder. The exam head is then trained on the exam labels of 400 of the 1,200, with slice labels or without, on whole stacks.",
        "Without slice labels a slice of an exam with embolism is all that stands for it, and two in three show none: the same steps then achieve much less. "
        "Fits are short (about 35,000 slices) and none has converged.",
        "Made by `python tests/bench/run.py learning_curve`, a part of `make evidence`. Plot: learning-curve.svg.",
    ]
    columns = ["slice labels"]
    for name in measured:
        columns += [f"{name} AUROC (95 %)", "of single seeds", "less all labels (lower end)"]
    write_table("learning-curve", "Exam AUROC against the share of slice labels, on phantoms", columns, table, notes)
    plot(measured)


if __name__ == "__main__":
    main()
