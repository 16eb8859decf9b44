"""Unusable and hostile input: each gets its true reason, and costs the node nothing else."""

import subprocess

import numpy
import pydicom
import pytest
import requests
from conftest import files, push, tool
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from test_real_images import study_of

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
MEMORY_MIB = 600


def reasons_of(node, folder, series=1):
    """Pushes a folder and returns the union of its series' reasons."""
    sent = push(node, folder)
    state = node.wait(study_of(folder), series)
    assert all(one["state"] == "rejected" for one in state["series"]), (state, sent.stdout)
    return {reason for one in state["series"] for reason in one["reasons"]}


def test_a_chest_without_contrast_says_so(node, data):
    assert "no-contrast" in reasons_of(node, data / "lidc0002_dicom")


def test_a_chest_with_contrast_is_not_accused(node, data):
    assert "no-contrast" not in reasons_of(node, data / "lidc0001_dicom")


def test_magnetic_resonance_is_the_wrong_modality(node, data):
    assert "wrong-modality" in reasons_of(node, data / "pydicom_negative")


def test_malformed_metadata_is_named(node, data):
    found = dicom_with_uids(data / "lungmask_testdata")
    statuses = store_all(node, found)
    assert statuses
    if any(status == 0 for status in statuses):
        state = node.wait(str(found[0].StudyInstanceUID))
        assert {"too-few-slices", "wrong-modality"} & {reason for one in state["series"] for reason in one["reasons"]}
    else:
        assert set(statuses) <= {0xA900, 0xC000}


def dicom_with_uids(folder):
    """The images of a folder; what they lack stays lacking, but they can be addressed."""
    images = [pydicom.dcmread(path, force=True) for path in files(folder)]
    study, series = generate_uid(), generate_uid()
    for image in images:
        if "StudyInstanceUID" not in image:
            image.StudyInstanceUID = study
        if "SeriesInstanceUID" not in image:
            image.SeriesInstanceUID = series
    return images


def store_all(node, images):
    """C-STORE by pynetdicom; the status of each."""
    from pynetdicom import AE

    entity = AE(ae_title="PYNETDICOM")
    for image in images:
        entity.add_requested_context(image.SOPClassUID, image.file_meta.TransferSyntaxUID)
    association = entity.associate("127.0.0.1", node.port, ae_title="PE-NODE")
    assert association.is_established
    statuses = [association.send_c_store(image).Status for image in images]
    association.release()
    return statuses


@pytest.fixture
def abdomen(data, tmp_path):
    """The abdomen NIfTI as a CT series."""
    import nibabel

    image = nibabel.load(data / "totalsegmentator" / "example_ct.nii.gz")
    image = nibabel.as_closest_canonical(image)
    # Canonical is right-anterior-superior; a DICOM plane runs left, posterior, superior.
    voxels = numpy.asarray(image.dataobj).astype(numpy.int16)[::-1, ::-1, :].transpose(2, 1, 0)
    spacing = image.header.get_zooms()
    folder = tmp_path / "abdomen"
    folder.mkdir()
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    for index, plane in enumerate(voxels):
        write_ct_slice(folder / f"{index:04}.dcm", plane, spacing, index, study, series, frame)
    return folder


def write_ct_slice(path, plane, spacing, index, study, series, frame):
    """One CT image in explicit little endian, as small as the standard allows."""
    image = pydicom.Dataset()
    image.file_meta = pydicom.dataset.FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = CT_IMAGE_STORAGE
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = study, series, frame
    image.PatientName, image.PatientID, image.PatientBirthDate, image.PatientSex = "Abdomen^Test", "ABDOMEN", "", "O"
    image.StudyDate, image.StudyTime, image.AccessionNumber, image.StudyID, image.ReferringPhysicianName = "", "", "", "", ""
    image.Modality, image.SeriesNumber, image.InstanceNumber = "CT", 1, index + 1
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.ImagePositionPatient = [0, 0, float(index * spacing[2])]
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.PixelSpacing = [float(spacing[1]), float(spacing[0])]
    image.SliceThickness = float(spacing[2])
    image.Rows, image.Columns = plane.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType = 0, 1, "HU"
    image.PixelData = numpy.ascontiguousarray(plane).tobytes()
    image.save_as(path, enforce_file_format=True)


def test_an_abdomen_is_not_a_chest(node, abdomen):
    assert "not-a-chest" in reasons_of(node, abdomen)


def raw_stow(node, payloads):
    """STOW-RS of bytes as they are."""
    boundary = "pe-node-test"
    body = b"".join(
        b"--" + boundary.encode() + b"\r\nContent-Type: application/dicom\r\n\r\n" + payload + b"\r\n" for payload in payloads
    )
    body += b"--" + boundary.encode() + b"--\r\n"
    return requests.post(
        f"{node.dicomweb}/studies", data=body, timeout=60,
        headers={"Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}', "Accept": "application/dicom+json"},
    )


def test_a_truncated_file_is_refused_with_its_reason(node, data):
    whole = files(data / "lidc0001_dicom")[0].read_bytes()
    answer = raw_stow(node, [whole[: len(whole) // 2]])
    assert answer.status_code == 409
    [failure] = answer.json()["00081198"]["Value"]
    assert failure["00081197"]["Value"][0] in range(0xC000, 0xD000)


@pytest.mark.peers("DCMTK echoscu", "C-ECHO SCP")
@pytest.mark.parametrize("name", ["bomb.dcm", "deep.dcm"])
def test_hostile_files_are_refused_at_both_interfaces_and_the_node_goes_on(node, data, name):
    hostile = data / "hostile" / name
    answer = raw_stow(node, [hostile.read_bytes()])
    assert answer.status_code in (400, 409), answer.text
    subprocess.run([tool("storescu"), "-aec", "PE-NODE", "127.0.0.1", str(node.port), str(hostile)], capture_output=True)
    assert node.process.poll() is None
    assert node.resident_mib() < MEMORY_MIB
    echo = subprocess.run([tool("echoscu"), "-aec", "PE-NODE", "127.0.0.1", str(node.port)], capture_output=True, text=True)
    assert echo.returncode == 0, echo.stderr
    assert requests.get(f"{node.url}/healthz", timeout=10).status_code == 200


@pytest.mark.parametrize("name", ["bomb.dcm", "deep.dcm"])
def test_predict_lists_a_hostile_file_with_its_reason(data, tmp_path, name):
    from conftest import BINARY, ROOT

    table = tmp_path / "table.csv"
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes((data / "hostile" / name).read_bytes())
    done = subprocess.run([str(BINARY), "predict", str(tmp_path / "in"), "--csv", str(table)], capture_output=True, text=True, cwd=ROOT)
    text = table.read_text()
    assert "hostile" in text or "truncated" in text, text + done.stderr


@pytest.mark.peers("HTTP clients", "STOW-RS")
def test_good_parts_of_a_request_are_stored_beside_a_bad_one(node, data):
    good = files(data / "lidc0001_dicom")[0].read_bytes()
    answer = raw_stow(node, [good, good[:1000], b"not DICOM at all"])
    assert answer.status_code == 202
    assert len(answer.json()["00081199"]["Value"]) == 1
    assert len(answer.json()["00081198"]["Value"]) == 2


def test_memory_stays_bounded_while_real_series_are_analysed(node, data):
    for folder in ("lidc0001_dicom", "lidc0002_dicom", "cip_ct64"):
        push(node, data / folder)
        node.wait(study_of(data / folder))
        assert node.resident_mib() < MEMORY_MIB, folder
