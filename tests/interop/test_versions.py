"""Versions of a result at a destination (DCMTK's storescp): what is replaced, what stays, what is told of it."""

import subprocess

import pydicom
import pytest
import requests
from conftest import Node, files, free_port, tool, until
from pydicom.uid import generate_uid
from pynetdicom import AE
from validate import dciodvfy, pydicom_reads


@pytest.fixture(scope="module")
def site(phantoms, tmp_path_factory):
    """A node that tells everything, its destination's folder, and two analysable exams of different studies."""
    folder = tmp_path_factory.mktemp("versions")
    received, port = folder / "received", free_port()
    received.mkdir()
    storescp = subprocess.Popen([tool("storescp"), "-od", str(received), "+xa", str(port)])
    node = Node(folder / "node", {"models.allow_demonstration": "true", "report.not_analysed": "true"}.items())
    node.folder.mkdir()
    (node.folder / "node.toml").write_text(
        f'[[destinations]]\nname = "pacs"\nkind = "dicom"\naddress = "127.0.0.1:{port}"\nae_title = "PACS"\nrejection_notes = true\n'
    )
    node.start()
    yield node, received, [read(study) for study in sorted((phantoms / "train").iterdir())[:4]]
    node.stop()
    storescp.terminate()


def read(folder):
    """The slices of an exam, from one end to the other."""
    return sorted((pydicom.dcmread(path) for path in files(folder)), key=lambda image: float(image.ImagePositionPatient[2]))


def store_all(node, images):
    """C-STORE in one association; the status of each."""
    entity = AE(ae_title="PYNETDICOM")
    for abstract, transfer in {(image.SOPClassUID, image.file_meta.TransferSyntaxUID) for image in images}:
        entity.add_requested_context(abstract, transfer)
    association = entity.associate("127.0.0.1", node.port, ae_title="PE-NODE")
    assert association.is_established
    statuses = [association.send_c_store(image).Status for image in images]
    association.release()
    return statuses


def version(node, study, number):
    """The series of a study once a version of it has ended and everything of it is delivered."""
    def ended():
        [series] = (node.study(study) or {"series": [{"version": 0}]})["series"]
        ends = series["version"] == number and series["state"] in ("analysed", "rejected")
        settled = all(one["state"] not in ("queued", "running", "retrying") for one in series.get("deliveries", []))
        return series if ends and settled else None
    return until(ended)


def objects(received, study):
    """What the destination has of a study, by SOP Instance UID."""
    found = (pydicom.dcmread(path) for path in received.iterdir())
    return {one.SOPInstanceUID: one for one in found if one.StudyInstanceUID == study}


def standing(received, study):
    """What a destination that honours rejection notes has of a study: once rejected, an object does not come back."""
    notes = [one for one in objects(received, study).values() if one.get("Modality") == "KO" and one.ConceptNameCodeSequence[0].CodeValue != "113000"]
    evidence = [item for note in notes for item in note.CurrentRequestedProcedureEvidenceSequence]
    named = {one.ReferencedSOPInstanceUID for item in evidence for series in item.ReferencedSeriesSequence for one in series.ReferencedSOPSequence}
    return set(objects(received, study)) - named - {note.SOPInstanceUID for note in notes}


def valid(folder, data_set):
    """Saves an object and passes it through the validators."""
    path = folder / f"{data_set.SOPInstanceUID}.dcm"
    data_set.save_as(path, enforce_file_format=True)
    for check in (dciodvfy, pydicom_reads):
        problems, _ = check(path, pydicom.dcmread(path))
        assert not problems, problems


def analysable(node, exams):
    """The next exam that is analysed, with its study and series as answered."""
    while exams:
        images = exams.pop(0)
        study = images[0].StudyInstanceUID
        assert set(store_all(node, images[:-1])) == {0}
        series = version(node, study, 1)
        if series["state"] == "analysed":
            return images, study, series
    raise AssertionError("no phantom was analysed")


def test_a_stray_slice_and_a_localizer_replace_nothing(site, tmp_path):
    node, received, exams = site
    images, study, first = analysable(node, exams)
    before = objects(received, study)
    assert set(before) == {result["sop_instance_uid"] for result in first["results"]}
    # A localizer comes late: a note, and nothing else.
    localizer = images[0].copy()
    localizer.SOPInstanceUID = localizer.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    localizer.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    store_all(node, [localizer])
    second = version(node, study, 2)
    assert [one["kind"] for one in second["left_out"]] == ["localizer"]
    assert (second["results"], second["deliveries"]) == (first["results"], first["deliveries"])
    after = objects(received, study)
    assert {uid: one.to_json() for uid, one in after.items()} == {uid: one.to_json() for uid, one in before.items()}
    # A slice of another patient: the finding stays, and a page says that the later images were not analysed.
    stray = images[1].copy()
    stray.SOPInstanceUID = stray.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    stray.PatientID = "SOMEBODY-ELSE"
    store_all(node, [stray])
    third = version(node, study, 3)
    assert (third["state"], third["decision"], third["result_version"]) == ("rejected", first["decision"], 2)
    assert "mixed-patients" in third["reasons"] and third["later"]["explanation"].startswith("mixed-patients")
    [page] = until(lambda: [one for uid, one in objects(received, study).items() if uid not in before])
    assert page.SeriesDescription == "PE: later images not analysed"
    assert (page.PatientID, page.PatientName) == (images[0].PatientID, images[0].PatientName)
    valid(tmp_path, page)


@pytest.mark.peers("DCMTK storescp", "C-STORE SCU", "rejection notes")
def test_a_replaced_result_is_named_and_rejected_at_its_destination(site, tmp_path):
    node, received, exams = site
    images, study, first = analysable(node, exams)
    store_all(node, images[-1:])
    second = version(node, study, 2)
    assert second["state"] == "analysed", second["reasons"]
    assert not {result["sop_instance_uid"] for result in first["results"]} & {result["sop_instance_uid"] for result in second["results"]}
    [old] = [result for result in first["results"] if result["kind"] == "sr"]
    [new] = [result for result in second["results"] if result["kind"] == "sr"]
    report = until(lambda: objects(received, study).get(new["sop_instance_uid"]))
    [predecessor] = report.PredecessorDocumentsSequence
    assert predecessor.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == old["sop_instance_uid"]
    # Its own search lists the new one alone; the old one is there for who asks for it.
    found = requests.get(f"{node.dicomweb}/studies/{study}/instances", params={"Modality": "SR"}, timeout=10).json()
    assert [one["00080018"]["Value"] for one in found] == [[new["sop_instance_uid"]]]
    former = f"{node.dicomweb}/studies/{study}/series/{old['series_instance_uid']}/instances/{old['sop_instance_uid']}/metadata"
    assert requests.get(former, timeout=10).status_code == 200
    # The rejection note names all of the old set.
    note = until(lambda: next((one for one in objects(received, study).values() if one.get("SeriesDescription") == "PE: replaced results"), None))
    assert note.ConceptNameCodeSequence[0].CodeValue == "113001"
    [evidence] = note.CurrentRequestedProcedureEvidenceSequence
    named = {one.ReferencedSOPInstanceUID for series in evidence.ReferencedSeriesSequence for one in series.ReferencedSOPSequence}
    assert named == {result["sop_instance_uid"] for result in first["results"]}
    valid(tmp_path, note)
    # The late slice is rejected: the series is what it was before, and the destination was told not to use the results that it
    # had then. It gets them under new identifiers, and nothing else counts there.
    late = images[-1]
    rejection = {"reason": "patient-safety", "series": late.SeriesInstanceUID, "instance": late.SOPInstanceUID, "by": "a person"}
    assert requests.post(f"{node.url}/api/v1/studies/{study}/reject", data=rejection, timeout=10).status_code == 200
    third = version(node, study, 3)
    assert (third["state"], third["void"]) == ("analysed", None)
    new = {result["sop_instance_uid"] for result in third["results"]}
    until(lambda: standing(received, study) == new)
    for note in objects(received, study).values():
        if note.get("SeriesDescription") == "PE: rejected results":
            assert note.ConceptNameCodeSequence[0].CodeValue == "113037"
            valid(tmp_path, note)
