"""Orthanc as a neighbour that sends, asks and fetches, by DIMSE and as a client of DICOMweb, and that takes results by STOW-RS."""

import json

import pydicom
import pytest
import requests
from conftest import Node, files, free_port, orthanc, push, until

PLUGINS = ["/usr/share/orthanc/plugins/libOrthancDicomWeb.so"]


@pytest.fixture(scope="module")
def neighbours(tmp_path_factory):
    """A node that grants Orthanc everything, and Orthanc that knows the node by DIMSE and by DICOMweb: the node, a caller."""
    folder = tmp_path_factory.mktemp("orthanc")
    dicom, http = free_port(), free_port()
    settings = {
        "DicomModalities": {"node": {"AET": "PE-NODE", "Host": "127.0.0.1", "Port": dicom, "AllowStorageCommitment": True}},
        "DicomWeb": {"Enable": True, "Servers": {"node": [f"http://127.0.0.1:{http}/dicomweb/"]}},
        "Plugins": PLUGINS,
    }
    with orthanc(folder / "orthanc", **settings) as (url, port):
        rights = "may_query = true, may_retrieve = true, may_commit = true"
        peers = f'[{{ ae_title = "ORTHANC", network = "127.0.0.1", address = "127.0.0.1:{port}", {rights} }}]'
        listen = {"dicom.listen": f"127.0.0.1:{dicom}", "http.listen": f"127.0.0.1:{http}"}
        node = Node(folder / "node", {**listen, "dicom.peers": peers, "study.quiet_seconds": "3600"}.items()).start()

        def call(method, path, body=None):
            answer = requests.request(method, f"{url}{path}", json=body, timeout=60)
            assert answer.ok, (path, answer.status_code, answer.text)
            return answer.json()

        call.url = url
        yield node, call
        node.stop()


def uploaded(call, phantoms, number):
    """A phantom in Orthanc: its images as files, Orthanc's name of the study, its Study Instance UID."""
    images = files(sorted((phantoms / "train").iterdir())[number])
    for path in images:
        parent = requests.post(f"{call.url}/instances", data=path.read_bytes(), timeout=60).json()["ParentStudy"]
    return images, parent, call("GET", f"/studies/{parent}")["MainDicomTags"]["StudyInstanceUID"]


def pixels(objects):
    return {one.SOPInstanceUID: one.PixelData for one in objects}


def held(call, parent):
    """The objects of a study that Orthanc has."""
    for one in call("GET", f"/studies/{parent}/instances"):
        content = requests.get(f"{call.url}/instances/{one['ID']}/file", timeout=60).content
        yield pydicom.dcmread(pydicom.filebase.DicomBytesIO(content))


@pytest.mark.peers("Orthanc", "C-ECHO SCP", "C-STORE SCP", "storage commitment SCP", "C-FIND SCP", "C-MOVE SCP")
def test_orthanc_archives_a_study_by_dimse_and_gets_it_back(neighbours, phantoms):
    node, call = neighbours
    images, parent, study = uploaded(call, phantoms, 2)
    call("POST", "/modalities/node/echo", {})
    assert call("POST", "/modalities/node/store", {"Resources": [parent]})["FailedInstancesCount"] == 0
    asked = [[one.SOPClassUID, one.SOPInstanceUID] for one in map(pydicom.dcmread, images)]
    [transaction] = [call("POST", "/modalities/node/storage-commitment", {"DicomInstances": asked})["ID"]]
    report = until(lambda: (told := call("GET", f"/storage-commitment/{transaction}"))["Status"] != "Pending" and told, "no report")
    assert report["Status"] == "Success" and len(report["Success"]) == len(images), report["Status"]

    before = pixels(held(call, parent))
    call("DELETE", f"/studies/{parent}")
    query = call("POST", "/modalities/node/query", {"Level": "Study", "Query": {"StudyInstanceUID": study, "ModalitiesInStudy": ""}})
    [answer] = call("GET", f"/queries/{query['ID']}/answers?expand&simplify")
    assert (answer["StudyInstanceUID"], answer["ModalitiesInStudy"]) == (study, "CT")
    call("POST", f"/queries/{query['ID']}/retrieve", {"TargetAet": "ORTHANC", "Synchronous": True})
    assert pixels(held(call, parent)) == before


@pytest.mark.peers("Orthanc", "STOW-RS", "QIDO-RS", "WADO-RS")
def test_orthanc_archives_a_study_by_dicomweb_and_gets_it_back(neighbours, phantoms):
    node, call = neighbours
    _, parent, study = uploaded(call, phantoms, 3)
    call("POST", "/dicom-web/servers/node/stow", {"Resources": [parent], "Synchronous": True})
    before = pixels(held(call, parent))
    call("DELETE", f"/studies/{parent}")
    [found] = call("POST", "/dicom-web/servers/node/qido", {"Uri": "/studies", "Arguments": {"StudyInstanceUID": study}})
    assert study in json.dumps(found), found
    call("POST", "/dicom-web/servers/node/retrieve", {"Resources": [{"Study": study}], "Synchronous": True})
    assert pixels(held(call, parent)) == before


@pytest.mark.peers("Orthanc", "STOW-RS client")
def test_results_go_to_orthanc_by_stow(neighbours, phantoms, tmp_path):
    _, call = neighbours
    destination = f'[[destinations]]\nname = "archive"\nkind = "stow"\nurl = "{call.url}/dicom-web"\n'
    (tmp_path / "node.toml").write_text(destination)
    node = Node(tmp_path, {"models.allow_demonstration": "true"}.items()).start()
    exam = sorted((phantoms / "train").iterdir())[0]
    assert push(node, exam).returncode == 0

    def delivered():
        deliveries = node.wait(exam.name)["series"][0]["deliveries"]
        return deliveries and all(one["state"] == "delivered" for one in deliveries)

    until(delivered, "results are not delivered")
    [found] = call("POST", "/tools/find", {"Level": "Study", "Query": {"StudyInstanceUID": exam.name}})
    kept = {one.SOPInstanceUID: one.Modality for one in held(call, found)}
    ours = requests.get(f"{node.dicomweb}/studies/{exam.name}/instances", timeout=20).json()
    results = {one["00080018"]["Value"][0]: one["00080060"]["Value"][0] for one in ours if one["00080060"]["Value"] != ["CT"]}
    assert kept == results and set(kept.values()) >= {"SR", "SEG", "OT", "KO"}
    node.stop()
