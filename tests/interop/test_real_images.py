"""Real CT, pushed by other people's senders: analysed, or rejected with reasons that are all true."""

import subprocess

import nibabel
import numpy
import pydicom
import pytest
from conftest import BINARY, ROOT, files, push
from lungs_from_air import dice, lungs

LIDC1 = "lidc0001_dicom"
CHEST64 = "cip_ct64"


def study_of(folder):
    """Study Instance UID of the first readable file."""
    for path in files(folder):
        try:
            return str(pydicom.dcmread(path, stop_before_pixels=True, force=True).StudyInstanceUID)
        except (AttributeError, pydicom.errors.InvalidDicomError):
            continue
    raise AssertionError(f"no DICOM in {folder}")


def reasons(state):
    """All reasons of a study's series."""
    return {reason for series in state["series"] for reason in series["reasons"]}


@pytest.mark.peers("DCMTK dcmsend", "C-STORE SCP")
def test_dcmsend_pushes_a_real_slab_and_every_reason_is_true(node, data):
    sent = push(node, data / LIDC1)
    assert sent.returncode == 0, sent.stdout + sent.stderr
    state = node.wait(study_of(data / LIDC1))
    [series] = state["series"]
    assert series["state"] == "rejected"
    # 16 slices of 2.5 mm through both lungs: too few, cut above and below, contrast given, spacing fine.
    assert set(series["reasons"]) == {"too-few-slices", "lungs-cut"}
    assert series["results"] == []


@pytest.mark.peers("pynetdicom", "C-STORE SCP")
def test_pynetdicom_pushes_a_whole_chest_and_every_reason_is_true(node, data):
    from pynetdicom import AE
    from pynetdicom.sop_class import CTImageStorage

    entity = AE(ae_title="PYNETDICOM")
    entity.add_requested_context(CTImageStorage, [pydicom.uid.ImplicitVRLittleEndian, pydicom.uid.ExplicitVRLittleEndian])
    association = entity.associate("127.0.0.1", node.port, ae_title="PE-NODE")
    assert association.is_established
    paths = files(data / CHEST64)
    paths = [path for path in paths if path.suffix == ".dcm"]
    statuses = {association.send_c_store(str(path)).Status for path in paths}
    association.release()
    assert statuses == {0x0000}
    state = node.wait(study_of(data / CHEST64))
    [series] = state["series"]
    # 64 x 64 pixels of 4.17 mm at 3.99 mm: too thick for emboli; a whole chest otherwise.
    assert series["state"] == "rejected"
    assert "too-thick" in series["reasons"]
    assert not {"not-a-chest", "wrong-modality", "missing-slices", "bad-geometry", "unreadable"} & set(series["reasons"])


@pytest.mark.peers("dicomweb-client", "STOW-RS", "QIDO-RS", "WADO-RS", "metadata", "frames")
def test_dicomweb_client_stores_a_real_series_and_reads_it_back_unchanged(node, data):
    from dicomweb_client.api import DICOMwebClient

    client = DICOMwebClient(url=node.dicomweb)
    sources = {str(one.SOPInstanceUID): one for one in (pydicom.dcmread(path) for path in files(data / LIDC1))}
    stored = client.store_instances(datasets=list(sources.values()))
    assert len(stored.ReferencedSOPSequence) == len(sources)
    study = study_of(data / LIDC1)
    [found] = client.search_for_studies(search_filters={"StudyInstanceUID": study})
    assert found["0020000D"]["Value"] == [study]
    [series] = client.search_for_series(study)
    back = client.retrieve_series(study, series["0020000E"]["Value"][0])
    assert {str(one.SOPInstanceUID) for one in back} == set(sources)
    for one in back:
        assert one.PixelData == sources[str(one.SOPInstanceUID)].PixelData
        assert one.PatientID == sources[str(one.SOPInstanceUID)].PatientID
    metadata = client.retrieve_series_metadata(study, series["0020000E"]["Value"][0])
    assert len(metadata) == len(sources)
    frame = client.retrieve_instance_frames(study, series["0020000E"]["Value"][0], str(back[0].SOPInstanceUID), [1])[0]
    assert bytes(frame) == bytes(back[0].PixelData)


@pytest.fixture(scope="module")
def overridden(data, tmp_path_factory):
    """Output folder of `predict --ignore-quality` on the two real chests."""
    out = tmp_path_factory.mktemp("predict")
    done = subprocess.run(
        [str(BINARY), "predict", str(data / LIDC1), str(data / CHEST64), "--ignore-quality", "--out", str(out), "--csv", str(out / "table.csv")],
        capture_output=True, text=True, cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return out


def test_a_rejected_series_yields_the_full_result_set_on_request(overridden, data):
    series = str(pydicom.dcmread(files(data / LIDC1)[0], stop_before_pixels=True).SeriesInstanceUID)
    made = {path.name for path in (overridden / series).iterdir()}
    assert {"sr.dcm", "sc.dcm", "seg.dcm", "lungs.nii.gz", "evidence.nii.gz", "summary.png"} <= made


@pytest.mark.parametrize("folder", [LIDC1, CHEST64])
def test_lungs_agree_with_the_air_inside_them(overridden, data, folder):
    slices = [pydicom.dcmread(path) for path in files(data / folder) if path.suffix in (".dcm", "")]
    slices = sorted((one for one in slices if "ImagePositionPatient" in one), key=lambda one: float(one.ImagePositionPatient[2]))
    hounsfield = numpy.stack([one.pixel_array.astype(float) * float(one.RescaleSlope) + float(one.RescaleIntercept) for one in slices])
    gap = abs(float(slices[1].ImagePositionPatient[2]) - float(slices[0].ImagePositionPatient[2]))
    reference = lungs(hounsfield, [gap, *map(float, slices[0].PixelSpacing)])
    image = nibabel.load(overridden / str(slices[0].SeriesInstanceUID) / "lungs.nii.gz")
    mask = numpy.asarray(image.dataobj).transpose(2, 1, 0) > 0
    assert mask.shape == reference.shape
    overlap = dice(mask, reference)
    print(f"{folder}: Dice {overlap:.3f}")
    assert overlap >= 0.90
