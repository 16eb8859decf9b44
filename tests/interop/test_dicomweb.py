"""Storing and retrieving as dicomweb-client, pydicom, pynetdicom and plain HTTP clients speak it."""

import gzip
import io
import json
import struct

import numpy
import pydicom
import pytest
import requests
from conftest import BINARY, Node
from dicomweb_client import DICOMwebClient
from PIL import Image
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEGExtended12Bit, RLELossless, generate_uid
from pynetdicom import AE

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
HTJ2K_LOSSLESS = "1.2.840.10008.1.2.4.201"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A node that analyses nothing while these tests run."""
    if not BINARY.exists():
        pytest.fail(f"{BINARY} is absent: run `cargo test --test it --no-run`")
    node = Node(tmp_path_factory.mktemp("dicomweb"), [("study.quiet_seconds", "3600")]).start()
    yield node
    node.stop()


def images(count=2):
    """CT images of one series whose stored values are known."""
    study, series = generate_uid(), generate_uid()
    for number in range(1, count + 1):
        image = pydicom.Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = CT_IMAGE_STORAGE
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        image.StudyInstanceUID, image.SeriesInstanceUID, image.Modality = study, series, "CT"
        image.PatientName, image.PatientID, image.InstanceNumber = "Doe^Jane", "P-1", number
        image.Rows, image.Columns, image.SamplesPerPixel, image.PhotometricInterpretation = 16, 16, 1, "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
        image.RescaleIntercept, image.RescaleSlope = -1024, 1
        image.PixelData = (numpy.arange(256, dtype="<u2") * 7 % 4096 + number).tobytes()
        yield image


def encoded(image):
    """An image as a file."""
    stream = io.BytesIO()
    image.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def stow(node, body, **headers):
    """Sends one part by STOW-RS."""
    content = b"--part\r\nContent-Type: application/dicom\r\n\r\n" + body + b"\r\n--part--\r\n"
    if headers.get("Content-Encoding") == "gzip":
        content = gzip.compress(content)
    headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=part', **headers}
    return requests.post(f"{node.dicomweb}/studies", data=content, headers=headers, timeout=10)


def address(image):
    return image.StudyInstanceUID, image.SeriesInstanceUID, image.SOPInstanceUID


def url(node, image):
    study, series, instance = address(image)
    return f"{node.dicomweb}/studies/{study}/series/{series}/instances/{instance}"


@pytest.mark.peers("dicomweb-client", "STOW-RS", "WADO-RS", "rendered images")
def test_what_dicomweb_client_stores_comes_back_in_every_form(served):
    client = DICOMwebClient(url=served.dicomweb)
    sent = list(images())
    client.store_instances(sent)
    back = client.retrieve_series(sent[0].StudyInstanceUID, sent[0].SeriesInstanceUID)
    assert [image.PixelData for image in back] == [image.PixelData for image in sent]
    [frame] = client.retrieve_instance_frames(*address(sent[1]), [1])
    assert frame == sent[1].PixelData
    metadata = client.retrieve_instance_metadata(*address(sent[0]))
    reference = metadata["7FE00010"]["BulkDataURI"]
    # dicomweb-client names no port in its Host header, and the reference begins as the client called the node.
    [bulk] = client.retrieve_bulkdata(served.dicomweb + reference[reference.index("/studies/"):])
    assert bulk == sent[0].PixelData
    picture = client.retrieve_instance_rendered(*address(sent[0]), media_types=("image/png",))
    assert Image.open(io.BytesIO(picture)).size == (16, 16)
    picture = client.retrieve_instance_frames_rendered(*address(sent[0]), [1], media_types=("image/jpeg",))
    assert Image.open(io.BytesIO(picture)).format == "JPEG"


@pytest.mark.peers("dicomweb-client", "frames")
@pytest.mark.peers("HTTP clients", "WADO-URI")
def test_stored_frames_are_passed_on_and_decoded_as_asked(served):
    [image] = images(1)
    pixels = image.PixelData
    image.compress(RLELossless)
    assert stow(served, encoded(image)).status_code == 200
    client = DICOMwebClient(url=served.dicomweb)
    [stored] = client.retrieve_instance_frames(*address(image), [1], media_types=(("application/octet-stream", "*"),))
    assert stored == next(pydicom.encaps.generate_frames(image.PixelData, number_of_frames=1))
    [decoded] = client.retrieve_instance_frames(*address(image), [1])
    assert decoded == pixels
    single = requests.get(f"{url(served, image)}/frames/1", headers={"Accept": "application/octet-stream"}, timeout=10)
    assert single.content == pixels
    again = requests.get(f"{url(served, image)}/frames/1", headers={"If-None-Match": single.headers["ETag"]}, timeout=10)
    assert again.status_code == 200, "another form"
    uri = {"requestType": "WADO", "studyUID": image.StudyInstanceUID, "seriesUID": image.SeriesInstanceUID}
    uri |= {"objectUID": image.SOPInstanceUID, "contentType": "application/dicom"}
    answer = requests.get(f"{served.dicomweb}/wado", params=uri, timeout=10)
    assert pydicom.dcmread(io.BytesIO(answer.content)).PixelData == pixels


@pytest.mark.peers("HTTP clients", "STOW-RS")
def test_a_compressed_body_is_stored_whatever_answer_is_accepted(served):
    [image] = images(1)
    answer = stow(served, encoded(image), **{"Content-Encoding": "gzip", "Accept": "text/html"})
    assert answer.status_code == 200, answer.text
    first = requests.get(url(served, image), timeout=10)
    again = requests.get(url(served, image), headers={"If-None-Match": first.headers["ETag"]}, timeout=10)
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.peers("HTTP clients", "STOW-RS")
def test_who_sends_a_large_body_in_vain_hears_why(served):
    content_type = 'multipart/related; type="application/dicom"'
    answer = requests.post(f"{served.dicomweb}/studies", data=bytes(30_000_000), headers={"Content-Type": content_type}, timeout=30)
    assert (answer.status_code, "boundary" in answer.text) == (400, True)
    assert "a STOW-RS request is refused" in (served.folder / "node.log").read_text()


@pytest.mark.peers("pydicom", "STOW-RS metadata and bulk data")
def test_metadata_and_bulk_data_make_the_object_that_pydicom_described(served):
    [image] = images(1)
    described = {}
    metadata = image.to_json_dict(1, lambda element: described.setdefault("pixels", element.value) and "pixels")
    parts = [("application/dicom+json", None, json.dumps([metadata]).encode()), ("application/octet-stream", "pixels", described["pixels"])]
    body = b""
    for media_type, location, content in parts:
        reference = f"Content-Location: {location}\r\n" if location else ""
        body += f"--part\r\nContent-Type: {media_type}\r\n{reference}\r\n".encode() + content + b"\r\n"
    headers = {"Content-Type": 'multipart/related; type="application/dicom+json"; boundary=part'}
    answer = requests.post(f"{served.dicomweb}/studies", data=body + b"--part--", headers=headers, timeout=10)
    assert answer.status_code == 200, answer.text
    back = DICOMwebClient(url=served.dicomweb).retrieve_instance(*address(image))
    del back.SpecificCharacterSet
    # pydicom decides on the representation when it writes.
    image["PixelData"].VR = "OW"
    assert back == image


@pytest.mark.peers("pydicom", "metadata")
def test_sequences_of_unknown_representation_are_what_pydicom_reads(served):
    [image] = images(1)
    file = encoded(image)
    item = struct.pack("<HHI", 0x0008, 0x0100, 4) + b"T-1 "
    delimited = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + item + b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    unknown = b"\x09\0\x10\0LO\x02\0X " + b"\x09\0\x01\x10UN\0\0\xff\xff\xff\xff" + delimited
    place = file.index(b"\x10\0\x10\0PN")
    file = file[:place] + unknown + file[place:]
    assert stow(served, file).status_code == 200
    expected = pydicom.dcmread(io.BytesIO(file))
    [metadata] = requests.get(f"{url(served, image)}/metadata", timeout=10).json()
    assert metadata["00091001"] == expected.to_json_dict()["00091001"]
    back = DICOMwebClient(url=served.dicomweb).retrieve_instance(*address(image))
    assert back[0x0009, 0x1001].value[0].CodeValue == "T-1"


@pytest.mark.peers("pynetdicom", "C-STORE SCP")
@pytest.mark.peers("HTTP clients", "STOW-RS")
def test_both_interfaces_accept_the_same_transfer_syntaxes(served):
    [image] = images(1)
    for syntax, accepted in [(HTJ2K_LOSSLESS, True), (JPEGExtended12Bit, False)]:
        caller = AE()
        caller.add_requested_context(CT_IMAGE_STORAGE, syntax)
        association = caller.associate("127.0.0.1", served.port, ae_title="PE-NODE")
        assert bool(association.accepted_contexts) == accepted
        if association.is_established:
            association.release()
        image.file_meta.TransferSyntaxUID = syntax
        image.PixelData, image["PixelData"].VR = pydicom.encaps.encapsulate([b"\xff\x4f\xff\x51"]), "OB"
        image["PixelData"].is_undefined_length = True
        answer = stow(served, encoded(image))
        assert (answer.status_code == 200) == accepted
        if not accepted:
            assert answer.json()["00081198"]["Value"][0]["00081197"]["Value"] == [0xC122]
