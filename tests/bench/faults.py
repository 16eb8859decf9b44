"""Faults of the disk below a running node: what the sender saw, what was kept, what the administrator sees, how it recovers."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pydicom
import requests
from common import ROOT, write_ct_study, write_table
from conftest import Node, files
from pynetdicom import AE
from test_rejections import raw_stow

FAULTS = {
    "F": "disk full (ENOSPC)", "E": "writing fails (EIO)", "R": "reading fails (EIO)", "O": "file system read-only (EROFS)",
    "S": "20 ms more a call", "H": "disk hangs for 8 s",
}
HANGS = 8


class Disk:
    """The switch of the preloaded library."""

    def __init__(self, folder):
        self.control = folder / "control"
        self.control.write_bytes(b"0")
        library = folder / "faults.so"
        subprocess.run([shutil.which("cc"), "-shared", "-fPIC", "-O1", "-o", str(library), str(ROOT / "tests/bench/faults.c"), "-ldl"], check=True)
        os.environ |= {"PE_FAULT_CONTROL": str(self.control), "PE_FAULT_FOLDER": str(folder / "node" / "data")}
        self.library = str(library)

    def switch(self, mode):
        with open(self.control, "r+b") as control:
            control.write(mode.encode())


def stow(node, path):
    """The status of an upload, with the time that it took."""
    begun = time.monotonic()
    try:
        status = raw_stow(node, [path.read_bytes()]).status_code
    except requests.RequestException as error:
        status = type(error).__name__
    return status, time.monotonic() - begun


def c_store(node, path):
    """The status of a C-STORE, or what happened instead."""
    image = pydicom.dcmread(path)
    entity = AE(ae_title="SCANNER")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 30
    entity.add_requested_context(image.SOPClassUID, image.file_meta.TransferSyntaxUID)
    association = entity.associate("127.0.0.1", node.port, ae_title="PE-NODE")
    if not association.is_established:
        return "no association"
    status = association.send_c_store(image)
    association.release()
    return f"0x{status.Status:04X}" if "Status" in status else "no answer"


def retrieved(node, study):
    """SOP Instance UIDs that come back whole, or the status."""
    answer = requests.get(f"{node.dicomweb}/studies/{study}", headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}, timeout=60)
    return answer.status_code, answer.content.count(b"Content-Location") if answer.ok else 0


def readiness(node):
    try:
        answer = requests.get(f"{node.url}/readyz", timeout=5)
    except requests.RequestException:
        return "no answer in 5 s"
    missing = [f"{check['name']}: {check.get('warning') or check['detail']}" for check in answer.json()["checks"] if check.get("warning") or not check["ready"]]
    return f"{answer.status_code} {'; '.join(missing)[:160]}".strip()


def run(mode):
    """One fault; the four columns, and whether the promise held."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        study = write_ct_study(folder / "study", slices=8, size=64)
        images = files(folder / "study")
        disk = Disk(folder)
        os.environ["LD_PRELOAD"] = disk.library
        node = Node(folder / "node", {"study.quiet_seconds": "600", "storage.minimum_free_mib": "0"}.items())
        try:
            node.start()
        finally:
            del os.environ["LD_PRELOAD"]
        acknowledged = [path for path in images[:2] if stow(node, path)[0] == 200]
        disk.switch(mode)
        if mode == "H":
            import threading
            threading.Timer(HANGS, disk.switch, "0").start()
        upload, seconds = stow(node, images[2])
        stored = c_store(node, images[3])
        given = retrieved(node, study)[0] if mode != "H" else "-"
        seen = readiness(node)
        acknowledged += [path for path, success in ((images[2], upload == 200), (images[3], stored == "0x0000")) if success]
        disk.switch("0")
        time.sleep(1)
        again = [stow(node, path)[0] for path in images[2:6]]
        after = readiness(node)
        count = retrieved(node, study)
        node.kill()
        node.start()
        kept = retrieved(node, study)
        node.kill()
    holds = again == [200] * 4 and count == (200, 6) and kept == (200, 6) and len(acknowledged) >= 2
    sender = f"STOW {upload} ({seconds:.1f} s), C-STORE {stored}, retrieval {given}"
    recovery = f"by itself: the next 4 uploads {sorted(set(again))}, then {after}" if holds else f"FAILS: {again}, {count}, {kept}"
    return [FAULTS[mode], sender, f"{len(acknowledged)} of {len(acknowledged)} acknowledged", seen, recovery], holds


def main():
    rows = [run(mode) for mode in FAULTS]
    write_table(
        "faults", "Faults of the disk below a running node", ["fault", "what the sender saw", "what was kept", "what the administrator sees (/readyz)", "how it recovers"],
        [row for row, _ in rows],
        ["The faults are made by a library that is preloaded into the node (`tests/bench/faults.c`) and fails or delays calls on files of `storage.path`.",
         "After the fault, the objects are sent again, the node is killed and started, and all objects are retrieved."],
    )
    sys.exit(0 if all(holds for _, holds in rows) else 1)


if __name__ == "__main__":
    main()
