"""Objects that come again: duplicates, corrections, rejections, with DCMTK, pynetdicom and Orthanc as neighbours."""

import subprocess

import pydicom
import pytest
import requests
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pynetdicom import AE

from conftest import ROOT, Node, files, orthanc, push, tool, until

KEY_OBJECTS = "1.2.840.10008.5.1.4.1.1.88.59"
# Everybody may store; who else may do what is said by title.
PEERS = (
    '[{ ae_title = "*", network = "127.0.0.1" },'
    ' { ae_title = "MODALITY", network = "127.0.0.1", may_correct = true },'
    ' { ae_title = "PACS", network = "127.0.0.1", may_reject = true }]'
)


def store(node, objects, title="ANYBODY"):
    """The status and the comment of each object, sent by pynetdicom."""
    entity = AE(ae_title=title)
    for sop_class in {one.SOPClassUID for one in objects}:
        entity.add_requested_context(sop_class, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    association = entity.associate("127.0.0.1", node.port, ae_title="PE-NODE")
    assert association.is_established
    answers = [association.send_c_store(one) for one in objects]
    association.release()
    return [(answer.Status, answer.get("ErrorComment", "")) for answer in answers]


def slices(study):
    return [pydicom.dcmread(path) for path in files(study)]


def corrected(objects):
    """The same study under its right patient and order."""
    for one in objects:
        one.PatientID, one.PatientName, one.AccessionNumber = "CORRECTED", "Right^Name", "A-2"
    return objects


def studies(url, **keys):
    return requests.get(f"{url}/studies", params=keys, timeout=20).json()


def note(example, objects, title):
    """A rejection note for objects of a study."""
    def item(**attributes):
        data_set = pydicom.Dataset()
        for keyword, value in attributes.items():
            setattr(data_set, keyword, value)
        return data_set

    references = [item(ReferencedSOPClassUID=one.SOPClassUID, ReferencedSOPInstanceUID=one.SOPInstanceUID) for one in objects]
    series = item(SeriesInstanceUID=objects[0].SeriesInstanceUID, ReferencedSOPSequence=references)
    study = item(StudyInstanceUID=example.StudyInstanceUID, ReferencedSeriesSequence=[series])
    code = item(CodeValue=title, CodingSchemeDesignator="DCM", CodeMeaning="Rejected")
    made = item(
        SOPClassUID=KEY_OBJECTS, SOPInstanceUID=generate_uid(), StudyInstanceUID=example.StudyInstanceUID,
        SeriesInstanceUID=generate_uid(), Modality="KO", PatientID=example.PatientID, PatientName=example.PatientName,
        SeriesNumber=99, InstanceNumber=1, ConceptNameCodeSequence=[code], CurrentRequestedProcedureEvidenceSequence=[study],
    )
    made.file_meta = pydicom.dataset.FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return made


def held_by(url):
    """Patient ID and SOP class of every instance of an Orthanc."""
    found = []
    for instance in requests.get(f"{url}/instances", timeout=20).json():
        answer = requests.get(f"{url}/instances/{instance}/simplified-tags", timeout=20)
        # A rejection note may delete it meanwhile.
        if answer.ok:
            found.append((answer.json()["PatientID"], answer.json()["SOPClassUID"]))
    return sorted(found)


@pytest.fixture(scope="module")
def exams(phantoms):
    return sorted((phantoms / "train").iterdir())


@pytest.fixture(scope="module")
def pacs(tmp_path_factory):
    scripts = [str(ROOT / "deploy/orthanc/rejection-notes.lua")]
    with orthanc(tmp_path_factory.mktemp("identity") / "orthanc", LuaScripts=scripts) as running:
        yield running


@pytest.fixture(scope="module")
def node(pacs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("identity") / "node"
    destination = f"""[[destinations]]
name = "orthanc"
kind = "dicom"
address = "127.0.0.1:{pacs[1]}"
ae_title = "ORTHANC"
rejection_notes = true
"""
    folder.mkdir()
    (folder / "node.toml").write_text(destination)
    running = Node(folder, {"dicom.peers": PEERS, "models.allow_demonstration": "true"}.items()).start()
    yield running
    running.stop()


@pytest.mark.peers("DCMTK dcmsend", "C-STORE SCP")
@pytest.mark.peers("pynetdicom", "C-STORE SCP")
def test_a_study_that_comes_again_through_a_router_is_a_success(node, exams, tmp_path):
    assert push(node, exams[0]).returncode == 0
    implicit = tmp_path / "implicit"
    implicit.mkdir()
    for path in files(exams[0]):
        subprocess.run([tool("dcmconv"), "+ti", str(path), str(implicit / path.name)], check=True)
    assert push(node, implicit).returncode == 0
    routed = slices(exams[0])[:3]
    for one in routed:
        one.RetrieveAETitle, one.InstitutionName = "ROUTER", "Hospital"
    assert store(node, routed) == [(0x0000, "")] * 3
    assert requests.get(f"{node.url}/api/v1/conflicts", timeout=10).json() == []


@pytest.mark.peers("pynetdicom", "C-STORE SCP", "corrections")
def test_another_patient_is_a_failure_that_is_held_until_a_person_decides(node, exams):
    study = exams[0].name
    node.wait(study)
    answers = store(node, corrected(slices(exams[0])[:1]))
    assert answers == [(0xC100, "held: patient or study differ from the stored object")]
    [conflict] = requests.get(f"{node.url}/api/v1/conflicts", timeout=10).json()
    assert (conflict["study_instance_uid"], conflict["held"]) == (study, 1)
    [proposal] = conflict["proposals"]
    assert {"attribute": "PatientID", "stored": slices(exams[0])[0].PatientID, "received": "CORRECTED"} in proposal["differing"]
    assert (proposal["held"], proposal["outstanding"]) == (1, len(slices(exams[0])) - 1)
    page = requests.get(node.url, timeout=10).text
    assert "1 object held" in page and "CORRECTED" in page
    assert 'pe_node_conflicts{state="held"} 1' in requests.get(f"{node.url}/metrics", timeout=10).text
    decide = f"{node.url}/api/v1/studies/{study}/conflict"
    unclear = requests.post(decide, data={"decision": "accept", "proposal": "another"}, timeout=10)
    assert unclear.status_code == 409, unclear.text
    assert requests.post(decide, data={"decision": "refuse"}, timeout=10).json() == {"objects": 1, "left": 0}
    assert studies(node.dicomweb, PatientID="CORRECTED") == []


@pytest.mark.peers("pynetdicom", "corrections")
@pytest.mark.peers("Orthanc", "C-STORE SCU", "rejection notes")
def test_a_corrected_study_leaves_nothing_under_the_old_name(node, exams, pacs):
    orthanc_url, _ = pacs
    study = exams[0].name
    before = node.study(study)["series"][0]
    old_patient = slices(exams[0])[0].PatientID
    until(lambda: len(held_by(orthanc_url)) == len(before["results"]), "the results did not reach Orthanc")
    assert {patient for patient, _ in held_by(orthanc_url)} == {old_patient}

    whole = corrected(slices(exams[0]))
    assert store(node, whole[:-1], "MODALITY") == [(0x0000, "")] * (len(whole) - 1)
    assert len(studies(node.dicomweb, PatientID=old_patient, StudyInstanceUID=study)) == 1, "the old identity stands until all came"
    assert store(node, whole[-1:], "MODALITY") == [(0x0000, "")]
    assert studies(node.dicomweb, PatientID=old_patient, StudyInstanceUID=study) == []

    def results():
        state = node.study(study)["series"][0]
        return state["state"] == "analysed" and state["results"] != before["results"]

    until(results, "no new results")
    [found] = studies(node.dicomweb, StudyInstanceUID=study)
    assert found["00100020"]["Value"] == ["CORRECTED"]
    listed = requests.get(f"{node.dicomweb}/studies/{study}/instances?limit=1000", timeout=20).json()
    now = node.study(study)["series"][0]["results"]
    assert {one["sop_instance_uid"] for one in now} <= {one["00080018"]["Value"][0] for one in listed}
    assert len(listed) == len(whole) + len(now), "one current result set"
    for result in before["results"]:
        old = f"{node.dicomweb}/studies/{study}/series/{result['series_instance_uid']}/instances/{result['sop_instance_uid']}"
        assert requests.get(old, timeout=10).status_code == 404
    # The old set goes at once, the new one comes object by object.
    one_set = ["CORRECTED"] * len(now)
    until(lambda: [patient for patient, _ in held_by(orthanc_url)] == one_set, f"not one result set: {held_by(orthanc_url)}")
    [record] = requests.get(f"{node.url}/api/v1/studies/{study}/records", timeout=10).json()
    assert (record["kind"], len(record["objects"])) == ("correction", len(whole))


@pytest.mark.peers("pynetdicom", "rejection notes")
def test_a_rejection_note_hides_what_it_names_and_can_be_revoked(node, exams):
    study = exams[1].name
    objects = slices(exams[1])
    assert push(node, exams[1]).returncode == 0
    node.wait(study)
    top = note(objects[0], objects[-1:], "113001")
    assert store(node, [top], "ANYBODY") == [(0x0124, "rejection notes of this sender are not accepted")]
    assert store(node, [top], "PACS") == [(0x0000, "")]
    series = f"{node.dicomweb}/studies/{study}/series/{objects[0].SeriesInstanceUID}/instances"
    assert len(requests.get(series, params={"limit": 1000}, timeout=20).json()) == len(objects) - 1
    assert requests.get(f"{series}/{objects[-1].SOPInstanceUID}", timeout=10).status_code == 404
    [record] = requests.get(f"{node.url}/api/v1/studies/{study}/records", timeout=10).json()
    restored = requests.post(f"{node.url}/api/v1/studies/{study}/restore", data={"record": record["id"]}, timeout=10)
    assert restored.json() == {"objects": 1}
    assert len(requests.get(series, params={"limit": 1000}, timeout=20).json()) == len(objects)
