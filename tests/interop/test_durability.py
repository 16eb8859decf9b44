"""Acknowledged means durable: the order of system calls behind each success, and what is left after kill -9."""

import os
import random
import re
import subprocess
import threading
import time

import pydicom
import pytest
import requests
from conftest import Node, absent, files, free_port, tool
from pynetdicom import AE, evt
from pynetdicom.sop_class import CTImageStorage
from test_rejections import raw_stow

KILLS = int(os.environ.get("PE_NODE_KILLS", "6"))


def traced(node, action):
    """System calls of the node while `action` runs, in order, with the paths behind file descriptors."""
    trace = node.folder / "trace"
    calls = "fsync,fdatasync,rename,renameat,renameat2,write,writev,sendto,sendmsg"
    tracer = subprocess.Popen(
        [tool("strace"), "-f", "-y", "-s", "16", "-o", str(trace), "-e", f"trace={calls}", "-p", str(node.process.pid)],
        stderr=subprocess.PIPE, text=True,
    )
    if "attached" not in tracer.stderr.readline():
        absent("permission to trace processes")
    time.sleep(0.5)
    action()
    time.sleep(0.3)
    tracer.terminate()
    tracer.wait()
    return trace.read_text().splitlines()


def joined(lines):
    """Calls at the moment they returned: an interrupted call counts when it is resumed."""
    begun, calls = {}, []
    for line in lines:
        pid, _, rest = line.partition(" ")
        rest = rest.strip()
        if rest.endswith("<unfinished ...>"):
            begun[pid] = rest.removesuffix("<unfinished ...>").rstrip()
        elif rest.startswith("<... "):
            calls.append(begun.pop(pid, "") + re.sub(r"^<\.\.\. \w+ resumed>\s*", "", rest))
        else:
            calls.append(rest)
    return calls


def is_sync(call, pattern):
    """A successful fsync of something whose path matches."""
    return re.match(rf"f(data)?sync\(\d+<[^>]*{pattern}[^>]*>\)\s*= 0", call) is not None


def answers(calls):
    """Indices of what was sent to a peer."""
    return [index for index, call in enumerate(calls) if re.match(r"(write|writev|sendto|sendmsg)\(\d+<(TCP|socket)", call)]


def assert_durable_before(calls, success):
    """Object fsync, rename, directory fsync, index fsync, in that order, before the call at `success`."""
    before = calls[:success]
    renames = [index for index, call in enumerate(before) if call.startswith("rename") and "blobs" in call]
    assert renames, "no rename into the archive before the success response"
    rename = renames[-1]
    assert any(is_sync(call, "incoming/") for call in before[:rename]), "object fsync is missing"
    directory = next((index for index in range(rename, success) if is_sync(calls[index], "blobs/[0-9a-f/]*")), None)
    assert directory is not None, "directory fsync is missing"
    assert any(is_sync(call, "(wal|index|sqlite|db)") for call in before[directory:]), "index fsync is missing"


@pytest.fixture
def slow_to_analyse(tmp_path):
    """A node that does not begin to analyse while it is traced."""
    node = Node(tmp_path / "node", {"study.quiet_seconds": "600"}.items()).start()
    yield node
    node.kill()


def test_every_c_store_success_follows_its_fsyncs(slow_to_analyse, data):
    node = slow_to_analyse
    image = files(data / "lidc0001_dicom")[0]
    lines = traced(node, lambda: subprocess.run([tool("storescu"), "-aec", "PE-NODE", "127.0.0.1", str(node.port), str(image)], check=True))
    calls = joined(lines)
    # In order: association acceptance, C-STORE response, release response.
    sent = answers(calls)
    renamed = next(index for index, call in enumerate(calls) if call.startswith("rename") and "blobs" in call)
    response = next(index for index in sent if index > renamed)
    assert sum(index < renamed for index in sent) == 1, "something was answered between acceptance and rename"
    assert_durable_before(calls, response)


def test_every_stow_success_follows_its_fsyncs(slow_to_analyse, data):
    node = slow_to_analyse
    payload = files(data / "lidc0001_dicom")[1].read_bytes()
    outcome = []
    calls = joined(traced(node, lambda: outcome.append(raw_stow(node, [payload]).status_code)))
    assert outcome == [200]
    renamed = next(index for index, call in enumerate(calls) if call.startswith("rename") and "blobs" in call)
    sent = answers(calls)
    assert not [index for index in sent if index < renamed], "answered before the object was in place"
    assert_durable_before(calls, sent[0])


class Receiver:
    """A PACS: a storage SCP that counts what it is given."""

    def __init__(self):
        self.received = []
        entity = AE(ae_title="PACS")
        for context in (
            "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.7.4", "1.2.840.10008.5.1.4.1.1.66.4",
            "1.2.840.10008.5.1.4.1.1.88.59", "1.2.840.10008.1.1",
        ):
            entity.add_supported_context(context)
        self.server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self.store)])
        self.port = self.server.server_address[1]

    def store(self, event):
        self.received.append(str(event.request.AffectedSOPInstanceUID))
        return 0x0000


def push_until_acknowledged(node, images, acknowledged, stop):
    """Sends each image until it is acknowledged, across crashes of the node."""
    for image in images:
        while not stop.is_set():
            try:
                entity = AE(ae_title="SCANNER")
                entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 10
                entity.add_requested_context(CTImageStorage, image.file_meta.TransferSyntaxUID)
                association = entity.associate("127.0.0.1", node.port, ae_title="PE-NODE")
                if association.is_established:
                    status = association.send_c_store(image)
                    association.release()
                    if status and status.Status == 0x0000:
                        acknowledged.append(str(image.SOPInstanceUID))
                        break
            except (OSError, RuntimeError, ValueError):
                pass
            time.sleep(0.1)


def test_kill_at_random_moments_loses_nothing_and_duplicates_nothing(phantoms, tmp_path):
    receiver = Receiver()
    folder = tmp_path / "node"
    folder.mkdir()
    (folder / "node.toml").write_text(
        f'[[destinations]]\nname = "pacs"\nkind = "dicom"\naddress = "127.0.0.1:{receiver.port}"\nae_title = "PACS"\n'
    )
    port = free_port()
    settings = {"dicom.listen": f"127.0.0.1:{port}", "models.allow_demonstration": "true"}
    node = Node(folder, settings.items()).start()
    studies = sorted((phantoms / "train").iterdir())[:2]
    images = [pydicom.dcmread(path) for study in studies for path in sorted(study.rglob("*.dcm"))]
    acknowledged, stop = [], threading.Event()
    sender = threading.Thread(target=push_until_acknowledged, args=(node, images, acknowledged, stop))
    sender.start()
    chance = random.Random(20)
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.3, 4.0))
        node.kill()
        node.start()
    sender.join(timeout=300)
    stop.set()
    assert len(acknowledged) == len(images)
    for study in studies:
        state = node.wait(study.name)
        [series] = state["series"]
        assert series["state"] == "analysed", series
        assert sorted(result["kind"] for result in series["results"]) == sorted({result["kind"] for result in series["results"]})
        held = requests.get(f"{node.dicomweb}/studies/{study.name}/instances", headers={"Accept": "application/dicom+json"}, timeout=30).json()
        held = [one["00080018"]["Value"][0] for one in held]
        pushed = {str(image.SOPInstanceUID) for image in images if str(image.StudyInstanceUID) == study.name}
        results = {result["sop_instance_uid"] for result in series["results"]}
        assert len(held) == len(set(held))
        assert set(held) == pushed | results, "an acknowledged image is missing, or a result stands twice"
        until = time.monotonic() + 60
        while not results <= set(receiver.received) and time.monotonic() < until:
            time.sleep(0.2)
        assert results <= set(receiver.received)
    # A delivery may be repeated after a crash, but always as the same object: a PACS holds each once.
    expected = {result["sop_instance_uid"] for study in studies for one in node.study(study.name)["series"] for result in one["results"]}
    assert set(receiver.received) == expected
    node.stop()



def test_kill_among_rejections_loses_none_that_was_answered(phantoms, tmp_path):
    port = free_port()
    node = Node(tmp_path / "node", {"http.listen": f"127.0.0.1:{port}", "study.quiet_seconds": "600"}.items()).start()
    [study, *_] = sorted((phantoms / "train").iterdir())
    paths = files(study)
    assert raw_stow(node, [path.read_bytes() for path in paths]).status_code == 200
    images = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    answered, tried, stop = set(), set(), threading.Event()

    def reject_all():
        for image in images[:-5]:
            form = {"reason": "patient-safety", "series": image.SeriesInstanceUID, "instance": image.SOPInstanceUID, "by": "a person"}
            while not stop.is_set():
                tried.add(image.SOPInstanceUID)
                try:
                    if requests.post(f"{node.url}/api/v1/studies/{study.name}/reject", data=form, timeout=10).status_code == 200:
                        answered.add(image.SOPInstanceUID)
                        break
                except requests.RequestException:
                    time.sleep(0.05)
            time.sleep(0.05)

    person = threading.Thread(target=reject_all)
    person.start()
    chance = random.Random(21)
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.1, 1.0))
        node.kill()
        node.start()
        before = set(answered)
        held = requests.get(f"{node.dicomweb}/studies/{study.name}/instances", timeout=30).json()
        assert not before & {one["00080018"]["Value"][0] for one in held}, "what was rejected is listed"
    stop.set()
    person.join(timeout=60)
    held = {one["00080018"]["Value"][0] for one in requests.get(f"{node.dicomweb}/studies/{study.name}/instances", timeout=30).json()}
    assert {image.SOPInstanceUID for image in images} - tried <= held
    assert answered and not answered & held
    node.stop()
