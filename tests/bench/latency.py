"""From the last byte of a 300-slice study to its stored report, by stage, with the memory of all processes."""

import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pydicom
from common import ROOT, write_table
from conftest import BINARY, Node, push

QUIET_SECONDS = 2.0
SLICES = 300
EXAMS = 12


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        subprocess.run(
            [str(BINARY), "phantom", "--out", str(folder / "cohort"), "--exams", str(EXAMS), "--seed", "300", "--preset", "clinical"],
            check=True, cwd=ROOT,
        )
        counts = {study: len(list(study.rglob("*.dcm"))) for study in (folder / "cohort" / "train").iterdir()}
        study = min(counts, key=lambda one: abs(counts[one] - SLICES))
        count = counts[study]
        node = Node(folder / "node", {"study.quiet_seconds": str(QUIET_SECONDS)}.items()).start()
        rows = []
        for run in ("first (models are loaded)", "second (models are warm)"):
            renew_identifiers(study)
            peak, stop = [0.0], threading.Event()
            watcher = threading.Thread(target=watch, args=(node, peak, stop))
            watcher.start()
            assert push(node, study).returncode == 0
            begin = time.perf_counter()
            uid = str(pydicom.dcmread(next(study.rglob("*.dcm")), stop_before_pixels=True).StudyInstanceUID)
            state = node.wait(uid, timeout=600)
            total = time.perf_counter() - begin
            stop.set()
            watcher.join()
            [series] = state["series"]
            stages = " ".join(f"{name} {milliseconds / 1000:.1f}" for name, milliseconds in series["timings_ms"].items())
            rows.append([run, count, f"{total:.1f}", f"{total - QUIET_SECONDS:.1f}", series["state"], stages, f"{peak[0]:.0f}"])
        node.stop()
    write_table(
        "latency", f"A study of about {SLICES} slices of 512 x 512: last byte to stored results",
        ["run", "slices", "seconds", "beyond the quiet period", "state", "stages (s)", "peak memory of all processes (MiB)"], rows,
        [f"Quiet period {QUIET_SECONDS} s, ONNX Runtime on the CPU. Marks: at most 20 s beyond the quiet period, at most 1229 MiB (1.2 GiB)."],
    )


def renew_identifiers(study):
    """Gives the study new identifiers, so that each run is a new study."""
    root = pydicom.uid.generate_uid(prefix=None)[:48].rstrip('.')
    for index, path in enumerate(sorted(study.rglob("*.dcm"))):
        image = pydicom.dcmread(path)
        image.StudyInstanceUID, image.SeriesInstanceUID = f"{root}.1", f"{root}.2"
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"{root}.3.{index}"
        image.save_as(path)


def watch(node, peak, stop):
    """Keeps the largest resident memory of the node and its children."""
    while not stop.is_set():
        peak[0] = max(peak[0], node.resident_mib())
        time.sleep(0.05)


if __name__ == "__main__":
    main()
