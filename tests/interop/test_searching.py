"""Searches and addresses as other people's software sees them: dicomweb-client, an XML parser, raw requests, findings of proxies."""

import socket
import xml.etree.ElementTree as ElementTree
from email.parser import BytesParser

import pydicom
import pytest
import requests
from conftest import BINARY, Node
from dicomweb_client.api import DICOMwebClient
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

NATIVE = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"
STUDIES = [generate_uid() for _ in range(3)]


def image(study, number):
    """A small CT image with a name in two scripts, a private element and a code."""
    data_set = pydicom.Dataset()
    data_set.file_meta = pydicom.dataset.FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data_set.SpecificCharacterSet = "ISO_IR 192"
    data_set.SOPClassUID = data_set.file_meta.MediaStorageSOPClassUID = CTImageStorage
    data_set.SOPInstanceUID = data_set.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data_set.StudyInstanceUID, data_set.SeriesInstanceUID = study, generate_uid(entropy_srcs=[study])
    data_set.PatientName, data_set.PatientID = "Yamada^Tarou=山田^太郎", f"ID<{number}>&"
    data_set.StudyDate, data_set.StudyTime, data_set.AccessionNumber = "20260131", "101530", f"A{number}"
    data_set.StudyID, data_set.ReferringPhysicianName, data_set.PatientBirthDate, data_set.PatientSex = "1", "", "", "O"
    data_set.StudyDescription, data_set.Modality = "Thorax Übersicht", "CT"
    data_set.SeriesNumber, data_set.InstanceNumber = 1, number
    code = pydicom.Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = f"7{number}", "SCT", "Computed tomography"
    data_set.ProcedureCodeSequence = [code]
    data_set.Rows = data_set.Columns = 64
    data_set.SamplesPerPixel, data_set.PhotometricInterpretation = 1, "MONOCHROME2"
    data_set.BitsAllocated, data_set.BitsStored, data_set.HighBit, data_set.PixelRepresentation = 16, 12, 11, 0
    data_set.ImagePositionPatient = [0.5, -1.25, number]
    data_set.private_block(0x0009, "VENDOR", create=True).add_new(1, "LO", "private")
    data_set.PixelData = bytes(2 * 64 * 64)
    return data_set


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A node with three studies, stored one after another."""
    if not BINARY.exists():
        pytest.fail(f"{BINARY} is absent: run `cargo test --test it --no-run`")
    node = Node(tmp_path_factory.mktemp("searching") / "node", {"study.quiet_seconds": "3600"}.items()).start()
    client = DICOMwebClient(node.dicomweb)
    for number, study in enumerate(STUDIES, 1):
        client.store_instances([image(study, number)])
    yield node
    node.stop()


@pytest.mark.peers("dicomweb-client", "QIDO-RS")
def test_a_client_pages_through_the_studies_and_sees_the_newest_first(filled, caplog):
    client = DICOMwebClient(filled.dicomweb)
    pages = [client.search_for_studies(limit=1, offset=offset) for offset in range(3)]
    assert caplog.text.count("There are more results") == 2, "not after the last page"
    assert [page[0]["0020000D"]["Value"][0] for page in pages] == STUDIES[::-1]
    assert client.search_for_studies(search_filters={"StudyDescription": "thorax*"}) == []
    assert len(client.search_for_studies(search_filters={"StudyDescription": "Thorax Ü*"})) == 3
    assert len(client.search_for_studies(search_filters={"ProcedureCodeSequence.CodeValue": "72"})) == 1


def parts(answer):
    """The parts of a multipart answer."""
    head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
    return [part.get_payload(decode=True) for part in BytesParser().parsebytes(head + answer.content).get_payload()]


def values(element):
    """What a DicomAttribute says, as pydicom would."""
    if names := element.findall(f"{NATIVE}PersonName"):
        groups = [["^".join(part.text for part in group) for group in name] for name in names]
        return ["=".join(group) for group in groups]
    return [value.text or "" for value in element.findall(f"{NATIVE}Value")]


@pytest.mark.peers("pydicom", "QIDO-RS", "metadata")
@pytest.mark.parametrize("path", ["studies/{study}/metadata", "instances?StudyInstanceUID={study}&includefield=all"])
def test_xml_says_what_pydicom_reads(filled, path):
    accept = {"Accept": 'multipart/related; type="application/dicom+xml"'}
    answer = requests.get(f"{filled.dicomweb}/{path.format(study=STUDIES[0])}", headers=accept, timeout=10)
    [document] = parts(answer)
    root = ElementTree.fromstring(document)
    assert root.tag == f"{NATIVE}NativeDicomModel"
    attributes = {element.get("tag"): element for element in root}
    expected = image(STUDIES[0], 1)
    for keyword in ("PatientName", "PatientID", "StudyDescription", "AccessionNumber", "Rows", "InstanceNumber", "StudyInstanceUID"):
        element = attributes[f"{pydicom.datadict.tag_for_keyword(keyword):08X}"]
        assert element.get("keyword") == keyword
        assert values(element) == [str(expected[keyword].value)], keyword
    assert [float(value) for value in values(attributes["00200032"])] == [0.5, -1.25, 1]
    [code] = attributes["00081032"].findall(f"{NATIVE}Item")
    assert values(next(inner for inner in code if inner.get("keyword") == "CodeMeaning")) == ["Computed tomography"]
    if "metadata" in path:
        assert attributes["00090001"].get("privateCreator") == "VENDOR"
        uri = attributes["7FE00010"].find(f"{NATIVE}BulkData").get("uri")
        assert requests.get(uri, timeout=10, headers={"Accept": "application/octet-stream"}).content == expected.PixelData


@pytest.mark.peers("HTTP clients", "QIDO-RS")
def test_what_is_not_done_is_said_in_a_warning_and_mistakes_are_refused(filled):
    answer = requests.get(f"{filled.dicomweb}/studies?orderby=-StudyDate&Rows=64&limit=2&includefield=Foo", timeout=10)
    assert len(answer.json()) == 2 and answer.headers["Warning"].count("299 pe-node") == 4
    for mistake in ("PatientId=1", "StudyDate=2026-01-31", "StudyTime=noon", "SeriesInstanceUID=*.1"):
        assert requests.get(f"{filled.dicomweb}/studies?{mistake}", timeout=10).status_code == 400, mistake


@pytest.mark.peers("HTTP clients", "QIDO-RS")
def test_every_url_of_an_answer_works_from_outside(filled):
    """A proxy in five lines: TLS outside is claimed, the prefix is removed, the host is its own."""
    forwarded = {"Forwarded": "for=192.0.2.1;proto=https;host=pacs.example", "X-Forwarded-Prefix": "/ai"}
    found = requests.get(f"{filled.dicomweb}/studies?limit=1", headers=forwarded, timeout=10).json()
    assert found[0]["00081190"]["Value"] == [f"https://pacs.example/ai/dicomweb/studies/{STUDIES[2]}"]
    port = int(filled.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        # HTTP 1.0 without any host: the address of the connection is all there is.
        connection.sendall(b"GET /dicomweb/studies?limit=1 HTTP/1.0\r\n\r\n")
        said = b"".join(iter(lambda: connection.recv(65536), b""))
    assert f"{filled.dicomweb}/studies/{STUDIES[2]}".encode() in said


def test_lists_of_the_api_are_paged_by_links(filled):
    seen, url = [], f"{filled.url}/api/v1/studies?limit=1"
    while url:
        answer = requests.get(url, timeout=10)
        seen += [study["study_instance_uid"] for study in answer.json()]
        url = answer.links.get("next", {}).get("url")
    assert seen == STUDIES[::-1]
    assert requests.get(f"{filled.url}/api/v1/studies?page=2", timeout=10).status_code == 400


@pytest.mark.peers("HTTP clients", "capabilities")
def test_capabilities_are_wadl(filled):
    answer = requests.options(f"{filled.dicomweb}/", timeout=10)
    wadl = "{http://wadl.dev.java.net/2009/02}"
    paths = [resource.get("path") for resource in ElementTree.fromstring(answer.content).iter(f"{wadl}resource")]
    assert "studies/{study}/series/{series}/instances/{instance}/metadata" in paths
    assert requests.options(f"{filled.dicomweb}/studies", timeout=10).headers["Allow"] == "GET,HEAD,POST,OPTIONS"
