"""From 24 phantom exams, a quarter of them with slice labels, to a package that `predict` and the node serve."""

import csv
import json
import shutil
import subprocess

import onnx
import pytest
from conftest import BINARY, ROOT, Node, push

NAME = "embolism-small"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder with the cohort, the working folder and the models, the bundled lungs among them."""
    folder = tmp_path_factory.mktemp("small")
    subprocess.run(
        [str(BINARY), "phantom", "--out", str(folder / "cohort"), "--exams", "24", "--seed", "1"], check=True, capture_output=True, cwd=ROOT
    )
    shutil.copytree(ROOT / "onnx" / "lungs", folder / "models" / "lungs")
    settings = {
        "data.root": folder / "cohort",
        "work.dir": folder / "work",
        "supervision.labelled_exams": 0.25,
        "data.models_directory": folder / "models",
        "package.directory": folder / "models",
        "fit.maximum_minutes": 0.5,
    }
    flags = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    subprocess.run([str(BINARY), "train", "all", "--config", "configs/train-small.toml", *flags], check=True, capture_output=True, cwd=ROOT)
    return folder


def table(path):
    """A CSV table as dictionaries."""
    with open(path, newline="") as rows:
        return list(csv.DictReader(rows))


def models(folder):
    """Flags that select the new package."""
    return {"models.directory": str(folder / "models"), "models.embolism": NAME}


def test_a_quarter_of_the_exams_kept_their_slice_labels(trained):
    exams = [row for row in table(trained / "work" / "small" / "prepared.csv") if row["split"] == "train"]
    labelled = [row for row in exams if int(row["labelled_source_slices"]) > 0]
    assert len(labelled) == pytest.approx(len(exams) / 4, abs=1)
    assert all(int(row["labelled_source_slices"]) > 50 for row in labelled), "all slices of an exam that keeps its labels"


def test_the_exported_networks_are_valid_onnx(trained):
    networks = list((trained / "models" / NAME / "0.1.0").glob("*.onnx"))
    assert len(networks) == 2
    for path in networks:
        onnx.checker.check_model(onnx.load(path), full_check=True)


def test_predict_runs_the_new_package(trained, tmp_path):
    series = table(trained / "cohort" / "truth" / "exams.csv")[0]
    study = trained / "cohort" / "train" / series["study_instance_uid"]
    flags = [part for key, value in models(trained).items() for part in ("--set", f"{key}={value}")]
    subprocess.run([str(BINARY), "predict", str(study), "--csv", str(tmp_path / "table.csv"), *flags], check=True, capture_output=True, cwd=ROOT)
    row = table(tmp_path / "table.csv")[0]
    assert row["status"] == "analysed" and 0 < float(row["pe_probability"]) < 1


def test_the_node_serves_the_new_package(trained, tmp_path):
    series = table(trained / "cohort" / "truth" / "exams.csv")[0]
    node = Node(tmp_path / "node", models(trained).items()).start()
    try:
        push(node, trained / "cohort" / "train" / series["study_instance_uid"])
        one = node.wait(series["study_instance_uid"])["series"][0]
    finally:
        node.stop()
    assert one["state"] == "analysed", json.dumps(one)
    assert NAME in [model["name"] for model in one["models"]]
