"""How many slice labels an exam classifier needs: exam AUROC against the share of exams that carry slice labels, and what
emboli add that are put into exams without.

The claim of Hu et al. (npj Digital Medicine 8, 2025) that a quarter of the slice labels does as well as all of them,
repeated on phantoms: `pe-node train` with several shares and seeds on the same exams, each model on the same internal
exams and on external ones (other scanners, doses, anatomy, prevalence). What is compared with what was decided before:
`learning-curve-plan.md`.
"""

import csv
import os
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy
from common import RESULTS, ROOT, write_table
from conftest import BINARY

WORK = Path(os.environ.get("PE_NODE_EVIDENCE_WORK", ROOT / "target" / "evidence")) / "learning-curve"
CONFIGURATION = ROOT / "configs" / "learning-curve.toml"
COHORTS = {
    "train": ["--exams", "1200", "--seed", "7001"],
    "validation": ["--exams", "150", "--seed", "7002"],
}
TESTS = {
    "internal": ["--exams", "1100", "--seed", "7003"],
    "external": ["--exams", "1100", "--seed", "7004", "--site", "external"],
    "new internal": ["--exams", "500", "--seed", "7103"],
    "new external": ["--exams", "500", "--seed", "7104", "--site", "external"],
}
SEEDS = (1, 2, 3, 4, 5)
MARGIN = 0.02
MARK = 0.85
RESAMPLINGS = 2000
SIDE_BY_SIDE = 2
PATCHES = {"fit.mask_weight": 1.0, "fit.patch_epochs": 2}
INSERTION = {"augmentation.insert_emboli": 1, **PATCHES}


@dataclass(frozen=True)
class Arm:
    """A way of training."""

    name: str
    share: float
    cohort: str
    settings: dict


# In the order in which they are fitted, seed after seed. Each takes about as many steps: exams that are made by insertion
# lengthen an epoch by more than half, and without patches there is as much time for whole slices.
ARMS = [
    Arm("0% with insertion", 0.0, "labels-only", INSERTION),
    Arm("100% with insertion", 1.0, "labels-only", INSERTION),
    Arm("10% with insertion", 0.1, "labels-only", INSERTION),
    Arm("masks", 1.0, "train", {**PATCHES, "fit.patch_epochs": 3, "fit.passes": 6}),
    Arm("0% without insertion", 0.0, "labels-only", {"fit.depth": 16, "fit.exams_per_step": 4, "fit.passes": 1}),
    Arm("25% with insertion", 0.25, "labels-only", INSERTION),
    Arm("100% without insertion", 1.0, "labels-only", {"fit.epochs": 6, "fit.passes": 5}),
]
BY_NAME = {arm.name: arm for arm in ARMS}
REFERENCE = "100% with insertion"


def run(*arguments):
    """Runs the program, one thread each: fits go side by side. Returns the seconds of CPU time that it took."""
    environment = dict(os.environ, RAYON_NUM_THREADS="1", PE_NODE__ONNXRUNTIME__THREADS="1")
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([str(BINARY), *map(str, arguments)], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"pe-node {' '.join(map(str, arguments))}: {said.read()[-2000:].decode()}")
    return used.ru_utime + used.ru_stime


def rows(path):
    """A CSV table as dictionaries."""
    with open(path, newline="") as table:
        return list(csv.DictReader(table))


def generate(cohorts):
    """Generates cohorts once."""
    for name, options in cohorts.items():
        if not (folder(name) / "train.csv").exists():
            subprocess.run([str(BINARY), "phantom", "--out", str(folder(name)), "--preset", "tiny", *options], check=True, cwd=ROOT)


def folder(cohort):
    """Where a cohort lies."""
    return WORK / cohort.replace(" ", "-")


def view(name, of, masks):
    """A cohort that shows others in one, with their lung masks, and with those of emboli if wanted."""
    joined = folder(name)
    for series in (series for cohort in of for series in (folder(cohort) / "truth").iterdir() if series.is_dir()):
        for mask in masks:
            there = joined / "truth" / series.name / f"{mask}.nii.gz"
            if (series / there.name).exists() and not there.exists():
                there.parent.mkdir(parents=True, exist_ok=True)
                there.symlink_to(series / there.name)
    (joined / "train").mkdir(exist_ok=True)
    for study in (study for cohort in of for study in (folder(cohort) / "train").iterdir()):
        if not (joined / "train" / study.name).exists():
            (joined / "train" / study.name).symlink_to(study)
    tables = [(folder(cohort) / "train.csv").read_text().splitlines(keepends=True) for cohort in of]
    (joined / "train.csv").write_text("".join([tables[0][0], *[line for table in tables for line in table[1:]]]))


def experiment(arm, seed):
    """Name of an experiment."""
    return f"{arm.name.replace('%', '').replace(' ', '-')}-seed-{seed}"


def settings(arm, seed, test=False):
    """Arguments of one experiment."""
    values = {
        "data.root": folder(arm.cohort),
        "data.validation_root": folder("validation"),
        "work.dir": work(arm),
        "work.experiment": experiment(arm, seed),
        "supervision.labelled_exams": arm.share,
        "fit.seed": seed,
        **arm.settings,
        **({"data.test_root": folder("test")} if test else {}),
    }
    return ["--config", CONFIGURATION, *[part for key, value in values.items() for part in ("--set", f"{key}={value}")]]


def work(arm):
    """The working folder of the arms of a cohort."""
    return WORK / f"work-{arm.cohort}"


def prepare(test=False):
    """Prepared images of every arm: those of one cohort and way of preparation are shared."""
    for arm in ARMS:
        for step in ("labels", "volumes", "slices", "lungs", "crops"):
            subprocess.run([str(BINARY), "train", step, *map(str, settings(arm, SEEDS[0], test))], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


def fit(arm, seed):
    """Fits once, and writes down the CPU time that it took."""
    done = work(arm) / experiment(arm, seed) / "cpu-seconds"
    if not done.exists():
        seconds = [run("train", step, *settings(arm, seed)) for step in ("labels", "fit")]
        done.write_text(f"{sum(seconds):.0f}")
        print(f"{arm.name}, seed {seed}: {sum(seconds):.0f} s", flush=True)


def evaluate(arm, seed):
    """Evaluates once; the logits of the test exams by series."""
    predictions = work(arm) / experiment(arm, seed) / "predictions.csv"
    if not predictions.exists():
        for step in ("labels", "evaluate"):
            run("train", step, *settings(arm, seed, test=True))
    return {row["series"]: float(row["logit"]) for row in rows(predictions) if row["split"] == "test"}


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


def measure(cohort, predictions):
    """AUROC of each arm and seed on one cohort, and of resamplings of exams and seeds."""
    exams = [row for row in rows(folder(cohort) / "truth" / "exams.csv") if row["indeterminate"] == "0"]
    known = set.intersection(*[set(found) for found in predictions.values()])
    exams = [row for row in exams if row["series_instance_uid"] in known]
    positive = numpy.array([row["pe"] == "1" for row in exams])
    keys = [(arm.name, seed) for arm in ARMS for seed in SEEDS]
    scores = numpy.array([[predictions[key][row["series_instance_uid"]] for key in keys] for row in exams])
    by_arm = lambda areas: areas.reshape(len(ARMS), len(SEEDS))
    random, samples = numpy.random.default_rng(1), []
    for _ in range(RESAMPLINGS):
        weights = numpy.bincount(random.integers(0, len(exams), len(exams)), minlength=len(exams))
        seeds = random.integers(0, len(SEEDS), len(SEEDS))
        samples.append(by_arm(auroc(positive, scores, weights))[:, seeds].mean(axis=1))
    samples = dict(zip(BY_NAME, numpy.array(samples).T))
    each = dict(zip(BY_NAME, by_arm(auroc(positive, scores, numpy.ones(len(exams))))))
    return Measured(len(exams), int(positive.sum()), each, samples)


@dataclass
class Measured:
    """AUROC on one cohort: of each seed, and means over seeds of resamplings, by arm."""

    exams: int
    positive: int
    each: dict
    samples: dict

    def mean(self, arm):
        """Mean over seeds."""
        return self.each[arm].mean()

    def interval(self, arm):
        """95 % interval of the mean."""
        return numpy.quantile(self.samples[arm], [0.025, 0.975])

    def less(self, arm, other):
        """Difference of two arms, and the lower end of its one-sided 95 % interval."""
        return self.mean(arm) - self.mean(other), numpy.quantile(self.samples[arm] - self.samples[other], 0.05)


def verdict(measured, arm, other):
    """A test of the plan in words."""
    difference, lower = measured.less(arm, other)
    word = "not inferior" if lower > -MARGIN else "not shown to be not inferior"
    return f"{arm} against {other}: {difference:+.3f}, above {lower:+.3f}: {word}"


def plot(measured):
    """The arms with insertion as a curve, the others as points beside it, as an SVG file beside the table."""
    width, height, left, bottom = 640, 400, 70, 350
    low = min(0.5, *(found.interval(arm.name)[0] for found in measured.values() for arm in ARMS))
    curve = sorted((arm for arm in ARMS if arm.settings is INSERTION), key=lambda arm: arm.share)
    place = {arm.share: left + 60 + index * (width - left - 150) / (len(curve) - 1) for index, arm in enumerate(curve)}
    y = lambda area: bottom - (area - low) / (1 - low) * (bottom - 40)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
             f'<rect width="{width}" height="{height}" fill="white"/>']
    for step in numpy.arange(numpy.ceil(low * 20) / 20, 1.001, 0.05):
        parts.append(f'<line x1="{left}" x2="{width - 20}" y1="{y(step):.1f}" y2="{y(step):.1f}" stroke="#ddd"/>'
                     f'<text x="{left - 8}" y="{y(step) + 4:.1f}" text-anchor="end">{step:.2f}</text>')
    for share, x in place.items():
        parts.append(f'<text x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{share:.0%}</text>')
    parts.append(f'<text x="{width / 2}" y="{height - 8}" text-anchor="middle">exams with slice labels</text>'
                 f'<text x="16" y="{height / 2}" text-anchor="middle" transform="rotate(-90 16 {height / 2})">exam AUROC</text>')
    for number, (cohort, colour, shift) in enumerate((("internal", "#1f6fb4", -4), ("external", "#c8501e", 4))):
        found = measured[cohort]
        line = " ".join(f"{place[arm.share] + shift:.1f},{y(found.mean(arm.name)):.1f}" for arm in curve)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for arm in ARMS:
            mark = arm.settings is INSERTION
            x = place[arm.share] + shift + (0 if mark else 18 if arm.cohort == "labels-only" else 36)
            lower, upper = found.interval(arm.name)
            shape = (f'<circle cx="{x:.1f}" cy="{y(found.mean(arm.name)):.1f}" r="4" fill="{colour}"/>' if mark else
                     f'<circle cx="{x:.1f}" cy="{y(found.mean(arm.name)):.1f}" r="3.5" fill="white" stroke="{colour}" stroke-width="1.5"/>')
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y(lower):.1f}" y2="{y(upper):.1f}" stroke="{colour}"/>{shape}')
        parts.append(f'<text x="{width - 30}" y="{bottom - 90 + 18 * number}" text-anchor="end" fill="{colour}">{cohort} phantoms</text>')
    parts.append(f'<text x="{width - 30}" y="{bottom - 54}" text-anchor="end">filled: emboli put into exams without</text>'
                 f'<text x="{width - 30}" y="{bottom - 36}" text-anchor="end">open: none put in; rightmost: masks of all emboli</text>')
    (RESULTS / "learning-curve.svg").write_text("\n".join([*parts, "</svg>"]) + "\n")


def main():
    """Fits; then generates the tests, evaluates, writes table and plot."""
    generate(COHORTS)
    view("labels-only", ["train"], ["lungs"])
    prepare()
    keys = [(arm, seed) for seed in SEEDS for arm in ARMS]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        list(pool.map(lambda key: fit(*key), keys))
    generate(TESTS)
    view("test", TESTS, ["lungs"])
    prepare(test=True)
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        found = dict(zip([(arm.name, seed) for arm, seed in keys], pool.map(lambda key: evaluate(*key), keys)))
    measured = {name: measure(name, found) for name in TESTS}
    columns, table, notes = ["slice labels"], [], []
    for name in measured:
        columns += [f"{name}, AUROC (95 %)", "of single seeds"]
    for arm in sorted(ARMS, key=lambda arm: (arm.cohort != "labels-only", arm.settings is INSERTION, arm.share)):
        row = [arm.name]
        for of_cohort in measured.values():
            lower, upper = of_cohort.interval(arm.name)
            each = of_cohort.each[arm.name]
            row += [f"{of_cohort.mean(arm.name):.3f} ({lower:.3f} to {upper:.3f})", f"{each.min():.3f} to {each.max():.3f}"]
        table.append(row)
    tests = [(REFERENCE, "masks"), ("25% with insertion", REFERENCE), ("10% with insertion", REFERENCE),
             ("0% with insertion", REFERENCE), ("0% with insertion", "100% without insertion")]
    for name, of_cohort in measured.items():
        zero = of_cohort.mean("0% with insertion")
        notes.append(f"{name}: {of_cohort.exams} exams, {of_cohort.positive} with embolism. " + "; ".join(verdict(of_cohort, *pair) for pair in tests)
                     + f". 0% with insertion is {'at least' if zero >= MARK else 'below'} {MARK}. 0% with insertion against without: "
                     f"{of_cohort.less('0% with insertion', '0% without insertion')[0]:+.3f}.")
    seconds = sum(float((work(arm) / experiment(arm, seed) / "cpu-seconds").read_text()) for arm, seed in keys)
    notes += [
        f"The plan was committed before: tests/bench/learning-curve-plan.md. \"Not inferior\": the lower end of the one-sided 95 % interval of the difference, "
        f"exams and seeds resampled ({RESAMPLINGS} times), is above -{MARGIN}. {len(SEEDS)} seeds.",
        f"Phantoms alone (preset tiny, made by the program itself): {COHORTS['train'][1]} exams for training, {COHORTS['validation'][1]} to choose the "
        "checkpoint; nothing here says anything about patients. The vessels into which emboli are put are the phantoms' own; only the model of the clots is another one.",
        f"{len(keys)} fits of {seconds / len(keys) / 60:.0f} minutes of CPU time, {seconds / 3600:.1f} hours in all; {SIDE_BY_SIDE} at a time.",
        "Settings: configs/learning-curve.toml. Made by `python tests/bench/run.py learning_curve`, a part of `make evidence`. Plot: learning-curve.svg.",
    ]
    write_table("learning-curve", "Exam AUROC against the share of slice labels, on phantoms", columns, table, notes)
    plot(measured)


if __name__ == "__main__":
    main()
