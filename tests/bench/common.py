"""Shared by all long measurements: the machine's name, tables with commit and date, CT slices to send."""

import os
import platform
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy
import pydicom
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).resolve().parent / "results"
sys.path.insert(0, str(ROOT / "tests" / "interop"))
os.environ.setdefault("PE_NODE__MODELS__DIRECTORY", str(ROOT / "onnx"))
# What users run is measured, not what the tests run.
os.environ.setdefault("PE_NODE_BINARY", str(ROOT / "target/release/pe-node"))

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"


def pytorch():
    """The Python of the environment with PyTorch, which is separate because PyTorch is large. Made if it is missing."""
    subprocess.run([ROOT / "tests" / "bench" / "install.sh"], check=True)
    return ROOT / "target" / "venv-bench" / "bin" / "python"


def with_pytorch(script, *arguments):
    """Runs a script of this folder where PyTorch is."""
    subprocess.run([pytorch(), ROOT / "tests" / "bench" / script, *arguments], check=True, cwd=ROOT)


def machine():
    """Processor, cores and memory in words."""
    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), platform.machine())
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 1024**2
    return f"{os.cpu_count()} cores of {model}, {memory:.0f} GiB, Linux {platform.release().split('-')[0]}"


def commit():
    """The commit measured, with a mark where the tree differs from it."""
    name = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT).stdout.strip()
    changed = subprocess.run(["git", "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True, cwd=ROOT).stdout
    changed = [line for line in changed.splitlines() if "tests/bench/results" not in line]
    return name + (" with uncommitted changes" if changed else "")


def write_table(name, title, columns, rows, notes=()):
    """A Markdown table below tests/bench/results/, and on the screen."""
    lines = [f"# {title}", "", f"Commit {commit()}, {date.today()}, {machine()}.", "Made by `make evidence` (`tests/bench/run.py`).", ""]
    lines += ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(str(value) for value in row) + " |" for row in rows]
    lines += ["", *[f"- {note}" for note in notes]]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text("\n".join(lines).rstrip() + "\n")
    print("\n".join(lines))


def curl(urls, accept, runs, patience=300):
    """Milliseconds and bytes of GET requests by curl, which costs less than the servers: all URLs over one connection, in
    turn, `runs` times. One pair a run; None where a run takes longer than `patience` seconds."""
    results = []
    for _ in range(runs):
        options = "".join(f'url = "{url}"\noutput = "/dev/null"\n' for url in [urls[0], *urls])
        command = ["curl", "--silent", "--fail", "--globoff", "--header", f"Accept: {accept}", "--write-out", "%{time_total} %{size_download}\n", "--config", "-"]
        try:
            done = subprocess.run(command, input=options, capture_output=True, text=True, timeout=patience)
        except subprocess.TimeoutExpired:
            results.append(None)
            break
        assert done.returncode == 0, (done.returncode, urls[0])
        # The first request opens the connection.
        _, *pairs = [line.split() for line in done.stdout.splitlines()]
        results.append((1000 * sum(float(seconds) for seconds, _ in pairs), sum(int(size) for _, size in pairs)))
    return results


def write_ct_study(folder, slices=300, size=512):
    """A CT series of noise as scanners send it: 300 slices of 512 x 512 are 158 MB."""
    folder.mkdir(parents=True)
    random = numpy.random.default_rng(6)
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    for index in range(slices):
        image = pydicom.Dataset()
        image.file_meta = pydicom.dataset.FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = CT_IMAGE_STORAGE
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = study, series, frame
        image.PatientName, image.PatientID, image.PatientBirthDate, image.PatientSex = "Bench^Mark", "BENCH", "", "O"
        image.StudyDate, image.StudyTime, image.AccessionNumber, image.StudyID, image.ReferringPhysicianName = "20260101", "120000", "", "1", ""
        image.Modality, image.SeriesNumber, image.InstanceNumber = "CT", 1, index + 1
        image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        image.ImagePositionPatient, image.ImageOrientationPatient = [0, 0, index], [1, 0, 0, 0, 1, 0]
        image.PixelSpacing, image.SliceThickness = [0.7, 0.7], 1
        image.Rows = image.Columns = size
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
        image.RescaleIntercept, image.RescaleSlope, image.RescaleType = -1024, 1, "HU"
        image.PixelData = random.integers(0, 4096, (size, size), dtype=numpy.uint16).tobytes()
        image.save_as(folder / f"{index:04}.dcm", enforce_file_format=True)
    return study
