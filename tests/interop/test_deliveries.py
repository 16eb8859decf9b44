"""Deliveries to systems that refuse, know already, warn or forget; and what the node fetches from another system."""

import json
import subprocess
import threading
import time

import pytest
import requests
import validate
from conftest import BINARY, Node, files, free_port, orthanc, push, tool
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import (
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

SR_3D, SR, SR_ENHANCED = (f"1.2.840.10008.5.1.4.1.1.88.{last}" for last in (34, 33, 22))
SC_MULTI, SC, SEG, KOS = (f"1.2.840.10008.5.1.4.1.1.{last}" for last in ("7.4", "7", "66.4", "88.59"))
OPEN = {"queued", "running", "retrying"}

# What DCMTK's storescp takes: no report, no multi-frame picture.
STORESCP = """
[[TransferSyntaxes]]
[Uncompressed]
TransferSyntax1 = LocalEndianExplicit
TransferSyntax2 = LittleEndianImplicit
[[PresentationContexts]]
[Storage]
PresentationContext1 = VerificationSOPClass\\Uncompressed
PresentationContext2 = SegmentationStorage\\Uncompressed
PresentationContext3 = KeyObjectSelectionDocumentStorage\\Uncompressed
[[Profiles]]
[Default]
PresentationContexts = Storage
"""


class Pacs:
    """A PACS that takes some classes, answers each C-STORE with one status, and lists what it was sent."""

    def __init__(self, classes, status=0x0000, forgets=()):
        self.received, self.status, self.forgets = [], status, set(forgets)
        self.calls_back = None  # the port of the node, for reports over an association of the PACS's own
        entity = AE(ae_title="PACS")
        for context in (*classes, Verification, StudyRootQueryRetrieveInformationModelFind, StorageCommitmentPushModel):
            entity.add_supported_context(context)
        handlers = [(evt.EVT_C_STORE, self.store), (evt.EVT_C_FIND, self.find), (evt.EVT_N_ACTION, self.commit)]
        self.server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        self.port = self.server.server_address[1]

    def store(self, event):
        object = event.dataset
        object.file_meta = event.file_meta
        self.received.append(object)
        return self.status

    def find(self, event):
        wanted = event.identifier
        for object in self.received:
            if wanted.QueryRetrieveLevel == "IMAGE" and object.SOPInstanceUID == wanted.SOPInstanceUID:
                found = Dataset()
                found.QueryRetrieveLevel = "IMAGE"
                for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
                    assert object[keyword].value == wanted[keyword].value
                    setattr(found, keyword, object[keyword].value)
                yield 0xFF00, found
        yield 0x0000, None

    def commit(self, event):
        request = event.action_information
        report = Dataset()
        report.TransactionUID = request.TransactionUID
        report.ReferencedSOPSequence, report.FailedSOPSequence = [], []
        for item in request.ReferencedSOPSequence:
            if item.ReferencedSOPClassUID in self.forgets:
                item.FailureReason = 0x0112
                report.FailedSOPSequence.append(item)
            else:
                report.ReferencedSOPSequence.append(item)
        if not report.FailedSOPSequence:
            del report.FailedSOPSequence
        kind = 2 if "FailedSOPSequence" in report else 1

        def send():
            time.sleep(0.3)
            association = event.assoc
            if self.calls_back:
                caller = AE(ae_title="PACS")
                caller.add_requested_context(StorageCommitmentPushModel)
                roles = [build_role(StorageCommitmentPushModel, scp_role=True)]
                association = caller.associate("127.0.0.1", self.calls_back, ae_title="PE-NODE", ext_neg=roles)
            association.send_n_event_report(report, kind, StorageCommitmentPushModel, "1.2.840.10008.1.20.1.1")
            if self.calls_back:
                association.release()

        threading.Thread(target=send).start()
        return 0x0000, None

    def classes(self):
        return sorted(str(object.SOPClassUID) for object in self.received)


def destination(name, port, **more):
    """One entry of [[destinations]]."""
    lines = [f'name = "{name}"', 'kind = "dicom"', f'address = "127.0.0.1:{port}"', 'ae_title = "PACS"']
    lines += [f"{key} = {json.dumps(value)}" for key, value in more.items()]
    return "\n".join(["[[destinations]]", *lines, ""])


@pytest.fixture(scope="module")
def delivered(phantoms, tmp_path_factory):
    """A node whose results went to four systems: it, the systems, and the last state of each delivery."""
    folder = tmp_path_factory.mktemp("deliveries")
    (folder / "storescp.cfg").write_text(STORESCP)
    (folder / "strict").mkdir()
    strict = free_port()
    storescp = subprocess.Popen(
        [tool("storescp"), "-xf", str(folder / "storescp.cfg"), "Default", "-od", str(folder / "strict"), str(strict)],
        stderr=subprocess.DEVNULL,
    )
    every = (SR_3D, SC_MULTI, SEG, KOS)
    pacs = {
        "picky": Pacs((SR_ENHANCED, SC, SEG, KOS)),
        "knows": Pacs(every, status=0x0111),
        "warns": Pacs(every, status=0xB007, forgets=[KOS]),
    }
    (folder / "node").mkdir()
    (folder / "node" / "node.toml").write_text(
        destination("picky", pacs["picky"].port, fallbacks=["comprehensive-sr", "enhanced-sr", "single-frame-sc"])
        + destination("knows", pacs["knows"].port, commitment=True)
        + destination("warns", pacs["warns"].port, commitment=True)
        + destination("strict", strict, attempts=1)
    )
    node = Node(folder / "node", {"models.allow_demonstration": "true"}.items()).start()
    pacs["warns"].calls_back = node.port
    study = sorted((phantoms / "train").iterdir())[0]
    assert push(node, study).returncode == 0
    node.wait(study.name)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        deliveries = requests.get(f"{node.url}/api/v1/deliveries?limit=1000", timeout=10).json()
        committed = [one for one in deliveries if one["committed_at"]]
        if len(committed) == 3 + 4 and not any(one["state"] in OPEN for one in deliveries):
            break
        time.sleep(0.2)
    by = {(one["destination"], one["kind"]): one for one in deliveries}
    yield node, study, pacs, folder, by
    if node.process.poll() is None:
        node.stop()
    storescp.kill()
    for one in pacs.values():
        one.server.shutdown()


@pytest.mark.peers("DCMTK storescp", "C-STORE SCU")
def test_a_refused_class_is_a_failed_delivery_with_its_reason(delivered):
    *_, folder, by = delivered
    for kind, uid in (("sr", SR_3D), ("sc", SC_MULTI)):
        one = by["strict", kind]
        assert (one["state"], one["attempts"]) == ("failed", 1), one
        assert uid in one["error"] and "abstract syntax not supported" in one["error"], one
    assert by["strict", "seg"]["state"] == by["strict", "kos"]["state"] == "delivered"
    assert len(list((folder / "strict").iterdir())) == 2


@pytest.mark.peers("pynetdicom", "C-STORE SCU")
def test_another_form_goes_to_who_refuses_the_class_and_is_valid(delivered, tmp_path):
    _, study, pacs, _, by = delivered
    assert (by["picky", "sr"]["state"], by["picky", "sr"]["sent_as"]) == ("delivered", "enhanced-sr")
    assert (by["picky", "sc"]["state"], by["picky", "sc"]["sent_as"]) == ("delivered", "single-frame-sc")
    assert by["picky", "seg"]["sent_as"] is None
    received = pacs["picky"].received
    pictures = next(object for object in pacs["warns"].received if object.SOPClassUID == SC_MULTI)
    assert pacs["picky"].classes() == sorted([SR_ENHANCED, SEG, KOS] + [SC] * int(pictures.NumberOfFrames))
    for number, object in enumerate(received):
        object.save_as(tmp_path / f"{number}.dcm", enforce_file_format=True)
    assert validate.validate(tmp_path, study) == 0


@pytest.mark.peers("pynetdicom", "C-FIND SCU")
def test_a_duplicate_that_the_destination_lists_is_delivered(delivered):
    *_, by = delivered
    for kind in ("sr", "sc", "seg", "kos"):
        one = by["knows", kind]
        assert one["state"] == "delivered" and "0x0111" in one["remark"] and "lists it" in one["remark"], one
        assert one["committed_at"], one


@pytest.mark.peers("pynetdicom", "storage commitment SCU")
def test_warnings_are_noted_and_what_is_not_committed_to_has_failed(delivered):
    *_, by = delivered
    for kind in ("sr", "sc", "seg"):
        one = by["warns", kind]
        assert one["state"] == "delivered" and "0xB007" in one["remark"] and one["committed_at"], one
    forgotten = by["warns", "kos"]
    assert forgotten["state"] == "failed" and "0x0112" in forgotten["error"], forgotten


@pytest.fixture
def mover(tmp_path):
    """Orthanc, which knows the node as a move destination; DICOM ports of both."""
    node = free_port()
    settings = {"DicomModalities": {"node": ["PE-NODE", "127.0.0.1", node]}, "DicomAlwaysAllowMove": True, "DicomAlwaysAllowFind": True}
    with orthanc(tmp_path / "orthanc", **settings) as (_, dicom):
        yield dicom, node


@pytest.mark.peers("Orthanc", "C-FIND SCU", "C-MOVE SCU")
@pytest.mark.peers("DCMTK dcmsend", "C-STORE SCP")
def test_the_node_fetches_from_orthanc_what_it_lacks(mover, phantoms, tmp_path):
    dicom, port = mover
    study = sorted((phantoms / "train").iterdir())[1]
    slices = files(study)
    subprocess.run([tool("dcmsend"), "127.0.0.1", str(dicom), *map(str, slices)], check=True, capture_output=True)
    (tmp_path / "node").mkdir()
    configuration = tmp_path / "node" / "node.toml"
    peers = f'{{ ae_title = "*", network = "127.0.0.0/8" }}, {{ ae_title = "ORTHANC", network = "127.0.0.1", address = "127.0.0.1:{dicom}" }}'
    configuration.write_text(f"[dicom]\npeers = [{peers}]\n")
    settings = {"dicom.listen": f"127.0.0.1:{port}", "study.quiet_seconds": "600"}
    node = Node(tmp_path / "node", settings.items()).start()
    subprocess.run([tool("dcmsend"), "-aec", "PE-NODE", "127.0.0.1", str(port), *map(str, slices[3:])], check=True, capture_output=True)
    fetch = [BINARY, "fetch", "ORTHANC", "--study", study.name, "--config", configuration, "--set", f"storage.path={node.folder}/data"]

    def fetched(*more):
        done = subprocess.run([*map(str, fetch), *more], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "3 of them not here" in fetched("--missing")
    assert node.study(study.name)["series"][0]["instances"] == len(slices)
    assert "0 objects sent" in fetched("--missing")
    assert f"{len(slices)} objects sent" in fetched()
    node.stop()
    unknown = subprocess.run([*map(str, fetch[:2]), "NOBODY", *map(str, fetch[3:])], capture_output=True, text=True)
    assert unknown.returncode == 2 and "dicom.peers" in unknown.stderr


def test_what_is_due_to_a_former_destination_is_shown_and_redirected(delivered):
    node, _, pacs, _, _ = delivered
    node.stop()
    configuration = node.folder / "node.toml"
    configuration.write_text(destination("new", pacs["warns"].port))
    node.start()
    [former] = [one for one in requests.get(f"{node.url}/api/v1/destinations", timeout=10).json() if one["name"] == "strict"]
    assert former["configured"] is False and former["deliveries"]["failed"] == 2
    ready = requests.get(f"{node.url}/readyz", timeout=10).json()
    warning = next(check["warning"] for check in ready["checks"] if check["name"] == "destinations")
    assert "2 to `strict`" in warning
    assert "2 to `strict`" in requests.get(node.url, timeout=10).text.replace("&#96;", "`")
    assert 'pe_node_deliveries_stranded{destination="strict"} 2' in requests.get(f"{node.url}/metrics", timeout=10).text
    call = f"{node.url}/api/v1/deliveries/redirect"
    assert requests.post(call, {"from": "strict", "to": "nowhere"}, timeout=10).status_code == 404
    assert requests.post(call, {"from": "strict", "to": "new"}, timeout=10).json() == {"redirected": 2}
    before = len(pacs["warns"].received)
    until = time.monotonic() + 30
    while len(pacs["warns"].received) < before + 2 and time.monotonic() < until:
        time.sleep(0.1)
    assert len(pacs["warns"].received) == before + 2
    assert requests.post(f"{node.url}/api/v1/deliveries/drop", {"destination": "strict"}, timeout=10).json() == {"dropped": 0}
