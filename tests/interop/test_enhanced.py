"""Enhanced CT: a phantom that highdicom converted gives the results of its single images, and they refer to frames."""

import csv
import subprocess
import sys
from pathlib import Path

import highdicom
import pydicom
import pytest
from conftest import BINARY, ROOT, files, push
from dicomweb_client.api import DICOMwebClient
from pydicom.uid import generate_uid
from test_rejections import raw_stow
from validate import frames_of
from validate import items as content_items

LEGACY_CONVERTED = "1.2.840.10008.5.1.4.1.1.2.2"
ENHANCED = "1.2.840.10008.5.1.4.1.1.2.1"


def conversion(images):
    """The images of a series as one legacy converted enhanced CT."""
    return highdicom.legacy.LegacyConvertedEnhancedCTImage(
        images, series_instance_uid=generate_uid(), series_number=9, sop_instance_uid=generate_uid(), instance_number=1
    )


@pytest.fixture(scope="module")
def predicted(tmp_path_factory):
    """A phantom as single images and as a legacy converted enhanced CT: folder, their rows of the table, the object."""
    folder = tmp_path_factory.mktemp("enhanced")
    phantom = [str(BINARY), "phantom", "--out", str(folder / "cohort"), "--exams", "1", "--seed", "977"]
    subprocess.run(phantom, check=True, capture_output=True, cwd=ROOT)
    images = [pydicom.dcmread(path) for path in files(folder / "cohort" / "train")]
    converted = conversion(images)
    (folder / "converted").mkdir()
    converted.save_as(folder / "converted" / "image.dcm", enforce_file_format=True)
    inputs = [str(folder / "cohort" / "train"), str(folder / "converted")]
    done = subprocess.run(
        [str(BINARY), "predict", *inputs, "--out", str(folder / "out"), "--csv", str(folder / "table.csv")],
        capture_output=True, text=True, cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    with open(folder / "table.csv", newline="") as table:
        rows = {row["series_instance_uid"]: row for row in csv.DictReader(table)}
    return folder, rows[images[0].SeriesInstanceUID], rows[converted.SeriesInstanceUID], converted


def test_a_converted_exam_has_the_result_of_its_single_images(predicted):
    _, single, converted, _ = predicted
    assert (single["status"], converted["status"]) == ("analysed", "analysed"), (single, converted)
    assert float(converted["pe_probability"]) == pytest.approx(float(single["pe_probability"]), abs=1e-4)
    for column in ("decision", "reasons", "left_lung_ml", "right_lung_ml"):
        assert converted[column] == single[column]


@pytest.mark.peers("dciodvfy", "result objects")
@pytest.mark.peers("highdicom", "result objects")
@pytest.mark.peers("DCMTK dsrdump", "result objects")
def test_results_of_frames_pass_every_validator(predicted):
    folder, _, converted, _ = predicted
    results = folder / "out" / converted["series_instance_uid"]
    validate = [sys.executable, str(Path(__file__).parent / "validate.py"), str(results), str(folder / "converted")]
    checked = subprocess.run(validate, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_results_name_the_frames_of_the_slices(predicted):
    folder, single, converted, image = predicted
    out = folder / "out"
    with open(out / converted["series_instance_uid"] / "slices.csv", newline="") as table:
        rows = list(csv.DictReader(table))
    with open(out / single["series_instance_uid"] / "slices.csv", newline="") as table:
        single_rows = list(csv.DictReader(table))
    sources = [
        group.ConversionSourceAttributesSequence[0].ReferencedSOPInstanceUID for group in image.PerFrameFunctionalGroupsSequence
    ]
    for row, single_row in zip(rows, single_rows, strict=True):
        assert row["sop_instance_uid"] == image.SOPInstanceUID
        assert sources[int(row["frame_number"]) - 1] == single_row["sop_instance_uid"]
    report = pydicom.dcmread(out / converted["series_instance_uid"] / "sr.dcm")
    places = [item.ContentSequence[0].ReferencedSOPSequence[0] for item in content_items(report) if item.ValueType == "SCOORD"]
    assert places and all(one.ReferencedSOPClassUID == LEGACY_CONVERTED and len(frames_of(one)) == 1 for one in places)


@pytest.mark.peers("highdicom", "C-STORE SCP", "STOW-RS")
def test_a_node_analyses_enhanced_ct_by_c_store_and_by_stow(node, phantoms, tmp_path):
    images = [pydicom.dcmread(path) for path in files(sorted((phantoms / "train").iterdir())[0])]
    pushed = conversion(images)
    pushed.SeriesDescription = "Monoenergetic Plus 70 keV"
    (tmp_path / "pushed").mkdir()
    pushed.save_as(tmp_path / "pushed" / "image.dcm", enforce_file_format=True)
    assert push(node, tmp_path / "pushed").returncode == 0

    stowed = conversion(images)
    stowed.StudyInstanceUID = generate_uid()
    stowed.SOPClassUID = stowed.file_meta.MediaStorageSOPClassUID = ENHANCED
    stowed.save_as(tmp_path / "stowed.dcm", enforce_file_format=True)
    assert raw_stow(node, [(tmp_path / "stowed.dcm").read_bytes()]).status_code == 200

    found = [node.wait(image.StudyInstanceUID)["series"][0] for image in (pushed, stowed)]
    assert [series["state"] for series in found] == ["analysed", "analysed"], found
    assert found[0]["probability"] == pytest.approx(found[1]["probability"], abs=1e-6)
    assert [series["monochromatic_kev"] for series in found] == [70.0, None]
    for image, series in zip((pushed, stowed), found, strict=True):
        assert series["instances"] == 1
        uids = {result["kind"]: (result["series_instance_uid"], result["sop_instance_uid"]) for result in series["results"]}
        report, segmentation = (retrieved(node, image.StudyInstanceUID, *uids[kind]) for kind in ("sr", "seg"))
        places = [item.ContentSequence[0].ReferencedSOPSequence[0] for item in content_items(report) if item.ValueType == "SCOORD"]
        sources = [
            group.DerivationImageSequence[0].SourceImageSequence[0] for group in segmentation.PerFrameFunctionalGroupsSequence
        ]
        assert places and all(one.ReferencedSOPInstanceUID == image.SOPInstanceUID for one in places + sources)
        assert all(one.ReferencedSOPClassUID == image.SOPClassUID and len(frames_of(one)) == 1 for one in places + sources)


def retrieved(node, *uids):
    """An object of a node, by study, series and instance."""
    return DICOMwebClient(url=node.dicomweb).retrieve_instance(*uids)
