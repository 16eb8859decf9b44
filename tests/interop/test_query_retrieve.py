"""Query, retrieval and storage commitment with DCMTK and pynetdicom, and peers that are not quite as the standard says."""

import contextlib
import subprocess
import threading
import time
import uuid

import pydicom
import pytest
import requests
from conftest import Node, free_port, tool
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, _config, build_role, evt
from pynetdicom.sop_class import (
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)


def uid():
    """A new identifier that has room for a number behind it."""
    return f"1.2.826.0.1.{uuid.uuid4().int >> 64}"


STUDY, SERIES = uid(), uid()
NAME = "Müller^Jürgen=山田^太郎"


def slice_of(number, study=STUDY, series=SERIES):
    """A small CT image."""
    image = Dataset()
    image.SpecificCharacterSet = "ISO_IR 192"
    image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, f"{series}.{number}"
    image.StudyInstanceUID, image.SeriesInstanceUID = study, series
    image.PatientName, image.PatientID, image.StudyDate, image.Modality = NAME, "P-1", "20240131", "CT"
    image.AccessionNumber, image.InstanceNumber, image.SeriesNumber = "A-1", number, 2
    image.Rows = image.Columns = 16
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit, image.PixelRepresentation = 15, 0
    image.PixelData = bytes(range(256)) * 2
    return image


def write(image, path):
    """The image as a DICOM file; its path."""
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A node with three slices, whose peers may do everything; two of them say where they listen."""
    folder = tmp_path_factory.mktemp("query")
    ports = {"ARCHIVE": free_port(), "MODALITY": free_port()}
    rights = "may_query = true, may_retrieve = true, may_commit = true"
    entries = [f'{{ ae_title = "*", network = "127.0.0.1", {rights} }}']
    entries += [f'{{ ae_title = "{title}", network = "127.0.0.1", address = "127.0.0.1:{port}" }}' for title, port in ports.items()]
    (folder / "node.toml").write_text(f"[dicom]\npeers = [{', '.join(entries)}]\nuser_identity = 'acknowledge'\n")
    node = Node(folder).start()
    node.ports = ports
    paths = [write(slice_of(number), folder / f"{number}.dcm") for number in (1, 2, 3)]
    run("storescu", node, "-aec", "PE-NODE", "--user", "someone", "--pos-response", paths=paths)
    yield node
    node.stop()


def run(name, node, *arguments, paths=(), **options):
    """A tool of DCMTK that must succeed; its output."""
    done = subprocess.run(
        [tool(name), *arguments, "127.0.0.1", str(node.port), *map(str, paths)], capture_output=True, text=True, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def keys(**values):
    """An identifier."""
    identifier = Dataset()
    for keyword, value in values.items():
        setattr(identifier, keyword, value)
    return identifier


@contextlib.contextmanager
def association(node, *contexts, title="ANYBODY", **options):
    """An association of pynetdicom."""
    entity = AE(ae_title=title)
    for context in contexts:
        entity.add_requested_context(context, ExplicitVRLittleEndian)
    made = entity.associate("127.0.0.1", node.port, ae_title="PE-NODE", **options)
    assert made.is_established
    yield made
    made.release()


@pytest.mark.peers("DCMTK storescu", "C-STORE SCP")
@pytest.mark.peers("DCMTK findscu", "C-FIND SCP")
@pytest.mark.parametrize("model, level", [("-S", "STUDY"), ("-P", "PATIENT"), ("-P", "STUDY"), ("-S", "SERIES"), ("-S", "IMAGE")])
def test_findscu_finds_what_was_stored_at_each_level(node, tmp_path, model, level):
    asked = [f"QueryRetrieveLevel={level}", "PatientID=P-*", "PatientName", "StudyInstanceUID", "StudyDate=20240101-20241231"]
    asked += ["SOPInstanceUID", "Modality"] if level == "IMAGE" else []
    arguments = [argument for key in asked for argument in ("-k", key)]
    run("findscu", node, model, "-X", "-aec", "PE-NODE", *arguments, cwd=tmp_path)
    answers = [pydicom.dcmread(path, force=True) for path in sorted(tmp_path.glob("rsp*.dcm"))]
    assert len(answers) == (3 if level == "IMAGE" else 1)
    for answer in answers:
        assert answer.QueryRetrieveLevel == level
        assert answer.SpecificCharacterSet == "ISO_IR 192" and answer.PatientName == NAME
        assert answer.RetrieveAETitle == "PE-NODE" and "PatientSex" not in answer


@pytest.mark.peers("DCMTK movescu", "C-MOVE SCP")
@pytest.mark.peers("DCMTK storescp", "C-STORE SCU")
def test_movescu_moves_to_a_third_entity_that_the_settings_name(node, tmp_path):
    received = tmp_path / "received"
    received.mkdir()
    server = subprocess.Popen([tool("storescp"), "-aet", "ARCHIVE", "-od", str(received), str(node.ports["ARCHIVE"])])
    try:
        time.sleep(0.3)
        asked = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={STUDY}"]
        said = run("movescu", node, "-v", "-S", "-aec", "PE-NODE", "-aem", "ARCHIVE", *asked)
        assert "Success" in said, said
        assert sorted(pydicom.dcmread(path).InstanceNumber for path in received.iterdir()) == [1, 2, 3]
    finally:
        server.kill()
        server.wait()
    # DCMTK ends with another code, because the node refuses strangers.
    refused = subprocess.run(
        [tool("movescu"), "-v", "-S", "-aec", "PE-NODE", "-aem", "STRANGER", *asked, "127.0.0.1", str(node.port)],
        capture_output=True, text=True,
    )
    assert "MoveDestinationUnknown" in refused.stdout + refused.stderr


@pytest.mark.peers("DCMTK getscu", "C-GET SCP")
def test_getscu_gets_the_stored_bytes_over_its_own_association(node, tmp_path):
    asked = ["-k", "QueryRetrieveLevel=SERIES", "-k", f"StudyInstanceUID={STUDY}", "-k", f"SeriesInstanceUID={SERIES}"]
    run("getscu", node, "-S", "-aec", "PE-NODE", "-od", str(tmp_path), *asked)
    got = [pydicom.dcmread(path) for path in tmp_path.iterdir()]
    assert sorted(image.InstanceNumber for image in got) == [1, 2, 3]
    assert all(image.PixelData == slice_of(1).PixelData and image.PatientName == NAME for image in got)


@pytest.mark.peers("pynetdicom", "C-GET SCP")
def test_pynetdicom_gets_what_it_has_a_role_for_and_hears_what_failed(node):
    got = []
    handlers = [(evt.EVT_C_STORE, lambda event: got.append(event.dataset.InstanceNumber) or 0x0000)]
    identifier = keys(QueryRetrieveLevel="IMAGE", StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES)
    identifier.SOPInstanceUID = [f"{SERIES}.1", f"{SERIES}.3"]
    contexts = (StudyRootQueryRetrieveInformationModelGet, CTImageStorage)
    role = build_role(CTImageStorage, scp_role=True)
    with association(node, *contexts, ext_neg=[role], evt_handlers=handlers) as made:
        last, _ = list(made.send_c_get(identifier, StudyRootQueryRetrieveInformationModelGet))[-1]
    assert got == [1, 3] and (last.Status, last.NumberOfCompletedSuboperations) == (0x0000, 2)
    with association(node, *contexts) as made:
        last, failed = list(made.send_c_get(identifier, StudyRootQueryRetrieveInformationModelGet))[-1]
    assert (last.Status, last.NumberOfFailedSuboperations) == (0xA702, 2)
    assert list(failed.FailedSOPInstanceUIDList) == identifier.SOPInstanceUID


@pytest.mark.peers("DCMTK echoscu", "C-ECHO SCP")
def test_the_log_names_a_caller_that_is_refused_and_why(node):
    run("echoscu", node, "-aet", "SCANNER", "-aec", "PE-NODE")
    refused = subprocess.run([tool("echoscu"), "-aet", "SCANNER", "-aec", "WRONG", "127.0.0.1", str(node.port)], capture_output=True)
    assert refused.returncode != 0
    [line] = [line for line in (node.folder / "node.log").read_text().splitlines() if "an association is refused" in line]
    assert 'calling="SCANNER"' in line and 'called="WRONG"' in line and "called AE title" in line, line


def test_nothing_is_granted_unasked(tmp_path):
    plain = Node(tmp_path / "plain").start()
    try:
        classes = (StudyRootQueryRetrieveInformationModelFind, StudyRootQueryRetrieveInformationModelGet, StorageCommitmentPushModel)
        with association(plain, "1.2.840.10008.1.1", *classes) as made:
            assert [context.result for context in made.rejected_contexts] == [1, 1, 1]
    finally:
        plain.stop()


def commitment(transaction, *numbers):
    """A request for storage commitment."""
    request = Dataset()
    request.TransactionUID = transaction
    request.ReferencedSOPSequence = []
    for number in numbers:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CTImageStorage, f"{SERIES}.{number}"
        request.ReferencedSOPSequence.append(item)
    return request


class Reports(list):
    """Reports of commitments, as they come."""

    def __init__(self):
        self.arrived = threading.Event()
        self.handlers = [(evt.EVT_N_EVENT_REPORT, self.take)]

    def take(self, event):
        self.append((event.event_type, event.event_information))
        self.arrived.set()
        return 0x0000, None


def ask(made, request):
    """The status of a request for storage commitment."""
    return made.send_n_action(request, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)[0].Status


@pytest.mark.peers("pynetdicom", "storage commitment SCP")
def test_a_requester_that_waits_is_told_over_its_own_association(node):
    reports, transaction = Reports(), uid()
    with association(node, StorageCommitmentPushModel, evt_handlers=reports.handlers) as made:
        assert ask(made, commitment(transaction, 1, 2, 9)) == 0x0000
        assert reports.arrived.wait(10)
    (event_type, report), = reports
    assert event_type == 2 and report.TransactionUID == transaction
    assert [item.ReferencedSOPInstanceUID for item in report.ReferencedSOPSequence] == [f"{SERIES}.1", f"{SERIES}.2"]
    (failed,) = report.FailedSOPSequence
    assert (failed.ReferencedSOPInstanceUID, failed.FailureReason) == (f"{SERIES}.9", 0x0112)


@pytest.mark.peers("pynetdicom", "storage commitment SCP")
def test_a_requester_that_leaves_is_called_where_the_settings_say_that_it_listens(node):
    reports = Reports()
    listener = AE(ae_title="MODALITY")
    listener.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    server = listener.start_server(("127.0.0.1", node.ports["MODALITY"]), block=False, evt_handlers=reports.handlers)
    try:
        with association(node, StorageCommitmentPushModel, title="MODALITY") as made:
            assert ask(made, commitment(uid(), 1, 2, 3)) == 0x0000
        assert reports.arrived.wait(10)
    finally:
        server.shutdown()
    (event_type, report), = reports
    assert event_type == 1 and len(report.ReferencedSOPSequence) == 3


@pytest.mark.peers("pynetdicom", "C-STORE SCP")
def test_swapped_and_duplicate_elements_are_stored_as_they_came_by_both_interfaces(node, tmp_path, monkeypatch):
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)
    for interface in ("C-STORE", "STOW-RS"):
        study, series = uid(), uid()
        path = write(slice_of(1, study, series), tmp_path / "good.dcm")
        content = path.read_bytes()
        # Another Patient ID behind the first one, and Study Date at the end of the header.
        second = bytes.fromhex("10002000") + b"LO" + bytes([4, 0]) + b"P-2 "
        date = bytes.fromhex("08002000") + b"DA" + bytes([8, 0]) + b"20240131"
        pixels = bytes.fromhex("e07f1000") + b"OW"
        assert content.count(date) == 1 and content.count(pixels) == 1
        odd = content.replace(date, b"").replace(pixels, second + date + pixels)
        path.write_bytes(odd)
        if interface == "C-STORE":
            with association(node, CTImageStorage) as made:
                assert made.send_c_store(path).Status == 0x0000
        else:
            body = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + odd + b"\r\n--b--"
            kind = 'multipart/related; type="application/dicom"; boundary=b'
            answer = requests.post(f"{node.dicomweb}/studies", data=body, headers={"Content-Type": kind}, timeout=10)
            assert answer.status_code == 200, answer.text
        with association(node, StudyRootQueryRetrieveInformationModelFind) as made:
            identifier = keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=study, PatientID="", StudyDate="")
            found = [match for _, match in made.send_c_find(identifier, StudyRootQueryRetrieveInformationModelFind) if match]
        assert [(match.PatientID, match.StudyDate) for match in found] == [("P-1", "20240131")], interface
        stored = requests.get(
            f"{node.dicomweb}/studies/{study}/series/{series}/instances/{series}.1",
            headers={"Accept": "application/dicom; transfer-syntax=*"}, timeout=10,
        )
        assert stored.content.endswith(odd[odd.index(bytes.fromhex("08000500")):])
