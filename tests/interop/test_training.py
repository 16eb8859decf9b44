"""`pe-node train fit` that is killed, that finds no room on the disk, and that meets pixels which are no numbers."""

import json
import os
import random
import resource
import signal
import subprocess
import time

import numpy
import pytest
from conftest import BINARY

EPOCHS, HEAD_EPOCHS = 20, 6

# Small and done in seconds: the training loop is tested, not how good the network becomes.
SETTINGS = {
    "data.lungs": "truth",
    "data.test_fraction": "0",
    "data.validation_fraction": "0.34",
    "input.size": "[64, 80]",
    "input.spacing_mm": "2.5",
    "input.slice_step_mm": "6",
    "encoder.widths": "[8, 8, 8]",
    "fit.device": "cpu",
    "fit.epochs": str(EPOCHS),
    "fit.patience": "0",
    "fit.accumulate": "2",
    "fit.exams_per_step": "2",
    "fit.warm_up_steps": "4",
    "fit.head_epochs": str(HEAD_EPOCHS),
}


class Training:
    """An experiment on exams that all share. On one thread, so that sums come out the same."""

    def __init__(self, root, experiment):
        self.work, self.folder = root / "work", root / "work" / experiment
        settings = {**SETTINGS, "data.root": root / "cohort", "work.dir": self.work, "work.experiment": experiment}
        self.flags = [flag for key, value in settings.items() for flag in ("--set", f"{key}={value}")]

    def start(self, step, **options):
        environment = {**os.environ, "RAYON_NUM_THREADS": "1"}
        return subprocess.Popen([BINARY, "train", step, *self.flags], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)

    def run(self, step, **options):
        process = self.start(step, **options)
        output = process.communicate(timeout=300)[0]
        return process.returncode, output

    def steps(self, *steps):
        for step in steps:
            code, output = self.run(step)
            assert code == 0, output
        return self

    def log(self, fitted):
        lines = (self.folder / fitted / "log.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def epochs(self):
        """Epochs that a checkpoint holds, of all fits."""
        progress = self.folder.glob("*/progress.json")
        return sum(json.loads(path.read_text())["epoch"] for path in progress)

    def files(self):
        return sorted(path.name for path in self.folder.glob("*/*"))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """A fit without a break."""
    root = tmp_path_factory.mktemp("training")
    subprocess.run([BINARY, "phantom", "--out", root / "cohort", "--exams", "10", "--seed", "3", "--paired"], check=True, capture_output=True)
    return Training(root, "unbroken").steps("labels", "volumes", "slices", "lungs", "crops", "fit")


@pytest.fixture
def training(unbroken, request):
    """The same exams in an experiment of this test."""
    return Training(unbroken.work.parent, request.node.name).steps("labels")


def assert_same_course(unbroken, training):
    """Both fits log the same for every epoch, once each."""
    for fitted, epochs in (("network", EPOCHS), ("head", HEAD_EPOCHS)):
        expected, found = unbroken.log(fitted), training.log(fitted)
        assert [line["epoch"] for line in found] == list(range(1, epochs + 1))
        for before, after in zip(expected, found):
            for metric in ("loss", "exam_auroc"):
                assert abs(before[metric] - after[metric]) < 1e-3, (fitted, before, after)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_fit_that_is_killed_at_random_moments_ends_as_an_unbroken_one(unbroken, training, seed):
    moments = random.Random(seed)
    kills = 0
    while kills < 4:
        process = training.start("fit")
        time.sleep(moments.uniform(0.2, 2.5))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
    assert kills > 0, "the fit was over before the first kill"
    code, output = training.run("fit")
    assert code == 0, output
    assert_same_course(unbroken, training)
    assert [name for name in training.files() if name.endswith((".tmp", ".partial"))] == []


def test_a_full_disk_is_an_error_that_names_the_file_and_leaves_what_was_whole(unbroken, training):
    process = training.start("fit")
    deadline = time.monotonic() + 60
    while training.epochs() < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = training.epochs()

    def no_room():
        # A write beyond the limit fails as on a full disk; without this the signal would end the process instead.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    code, output = training.run("fit", preexec_fn=no_room)
    assert code == 1, output
    assert "checkpoint" in output and ".bpk" in output and "File too large" in output, output
    assert training.epochs() == before
    code, output = training.run("fit")
    assert code == 0, output
    assert_same_course(unbroken, training)


def test_pixels_that_are_no_numbers_end_the_fit_and_name_the_series(training):
    images = {path: path.read_bytes() for path in training.work.rglob("*.images")}
    assert images
    try:
        for path, pixels in images.items():
            path.write_bytes(numpy.full_like(numpy.frombuffer(pixels, dtype="<f4"), numpy.nan).tobytes())
        code, output = training.run("fit")
    finally:
        for path, pixels in images.items():
            path.write_bytes(pixels)
    assert code == 1, output
    assert "not numbers (NaN)" in output and "series" in output, output
    assert training.epochs() == 0
