"""Exams de-identified as in RSPECT, written by pydicom. Identifiers are twelve hexadecimal digits, which the standard does
not allow. No patient is named, and the SOP class stands in the file meta information alone."""

import csv
import hashlib
import subprocess

import pydicom
import pytest
from conftest import BINARY, ROOT

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR UI")

IDENTIFIERS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
EXAMS = 2


def hexadecimal(identifier):
    """Twelve digits of which one is a letter."""
    return "f" + hashlib.sha256(identifier.encode()).hexdigest()[:11]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Two light phantoms in this shape."""
    folder = tmp_path_factory.mktemp("deidentified")
    made = folder / "made"
    subprocess.run([str(BINARY), "phantom", "--out", str(made), "--exams", str(EXAMS), "--seed", "12"], check=True, capture_output=True, cwd=ROOT)
    validation = pydicom.config.settings.writing_validation_mode
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
    for path in sorted((made / "train").rglob("*.dcm")):
        image = pydicom.dcmread(path)
        for keyword in IDENTIFIERS:
            image[keyword].value = hexadecimal(image[keyword].value)
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        del image.SOPClassUID, image.PatientID, image.PatientName
        place = folder / "cohort" / "train" / image.StudyInstanceUID / image.SeriesInstanceUID / f"{image.SOPInstanceUID}.dcm"
        place.parent.mkdir(parents=True, exist_ok=True)
        image.save_as(place)
    pydicom.config.settings.writing_validation_mode = validation
    with open(made / "train.csv", newline="") as source, open(folder / "cohort" / "train.csv", "w", newline="") as target:
        rows = list(csv.DictReader(source))
        writer = csv.DictWriter(target, rows[0])
        writer.writeheader()
        writer.writerows({**row, **{keyword: hexadecimal(row[keyword]) for keyword in IDENTIFIERS if keyword in row}} for row in rows)
    return folder / "cohort"


def test_they_are_prepared_with_all_of_their_labels(cohort, tmp_path):
    flags = [part for key, value in {"data.root": cohort, "work.dir": tmp_path}.items() for part in ("--set", f"{key}={value}")]
    for step in ("labels", "volumes", "slices", "lungs", "crops"):
        done = subprocess.run([str(BINARY), "train", step, *flags], capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0 and f"{step}: {EXAMS} exams" in done.stdout, done.stdout + done.stderr
    with open(tmp_path / "labels" / "exams.csv", newline="") as table:
        exams = list(csv.DictReader(table))
    assert len({exam["patient"] for exam in exams}) == EXAMS, "a study stands for a patient who is not named"
    for exam in exams:
        with open(tmp_path / "slices" / f"{exam['series']}.csv", newline="") as table:
            slices = list(csv.DictReader(table))
        assert len(slices) == int(exam["slices"]) == int(exam["labelled_slices"])


def test_they_are_analysed_under_their_own_identifiers(cohort, tmp_path):
    done = subprocess.run([str(BINARY), "predict", str(cohort / "train"), "--ignore-quality", "--out", str(tmp_path)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert {row["study_instance_uid"] for row in rows} == {folder.name for folder in (cohort / "train").iterdir()}
    assert all(row["status"] == "analysed" for row in rows), rows
    for row in rows:
        (report,) = (tmp_path / row["series_instance_uid"]).glob("sr.dcm")
        assert pydicom.dcmread(report).StudyInstanceUID == row["study_instance_uid"]
