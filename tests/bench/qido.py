"""How fast a filled node answers searches, beside Orthanc in the same run: 10,000 studies with 40,000 tiny objects."""

import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pydicom
import requests
from common import CT_IMAGE_STORAGE, curl, write_table
from ingest import orthanc, pe_node
from pydicom.uid import ExplicitVRLittleEndian

STUDIES = int(os.environ.get("PE_NODE_BENCH_STUDIES", "10000"))
# Every hundredth study has a report.
REPORT_EVERY = 100
SR_STORAGE = "1.2.840.10008.5.1.4.1.1.88.34"
RUNS = 15
# Orthanc reads every object for some searches.
PATIENCE = 120
STUDIES_A_REQUEST = 50
UPLOADS = 4


def instance(study, series, number, modality, sop_class):
    """A small object as bytes: what a search reads is there, and eight by eight pixels for images."""
    image = pydicom.Dataset()
    image.file_meta = pydicom.dataset.FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = sop_class
    image.StudyInstanceUID, image.SeriesInstanceUID = f"2.25.9{study:06}", f"2.25.9{study:06}.{series}"
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"2.25.9{study:06}.{series}.{number}"
    image.PatientName, image.PatientID, image.PatientBirthDate, image.PatientSex = f"Bench^Number{study}", f"ID{study:06}", "19500101", "O"
    image.StudyDate, image.StudyTime = f"2026{1 + study % 12:02}{1 + study % 28:02}", "120000"
    image.AccessionNumber, image.StudyID, image.ReferringPhysicianName = f"ACC{study:06}", "1", "Referrer^One"
    image.StudyDescription, image.SeriesDescription = f"CT pulmonary angiogram {study % 50}", f"Series {series}"
    image.Modality, image.SeriesNumber, image.InstanceNumber = modality, series, number
    if modality == "CT":
        image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        image.ImagePositionPatient, image.ImageOrientationPatient = [0, 0, number], [1, 0, 0, 0, 1, 0]
        image.PixelSpacing, image.SliceThickness = [0.7, 0.7], 1
        image.Rows = image.Columns = 8
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
        image.RescaleIntercept, image.RescaleSlope = -1024, 1
        image.PixelData = bytes(128)
    file = BytesIO()
    image.save_as(file, enforce_file_format=True)
    return file.getvalue()


def study(number):
    """Three slices, and a report or a localizer."""
    second = ("SR", SR_STORAGE) if number % REPORT_EVERY == 0 else ("CT", CT_IMAGE_STORAGE)
    return [instance(number, 1, index, "CT", CT_IMAGE_STORAGE) for index in (1, 2, 3)] + [instance(number, 2, 1, *second)]


def bodies():
    """Bodies of STOW-RS requests with all objects."""
    for first in range(0, STUDIES, STUDIES_A_REQUEST):
        files = [file for number in range(first, min(first + STUDIES_A_REQUEST, STUDIES)) for file in study(number)]
        yield b"".join(b"--bench\r\nContent-Type: application/dicom\r\n\r\n" + file + b"\r\n" for file in files) + b"--bench--\r\n"


def fill(url, workplace):
    """Stores all objects; the bodies are made once and kept on disk."""
    paths = sorted(workplace.iterdir())

    def send(path):
        headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=bench', "Accept": "application/dicom+json"}
        requests.post(url, data=path.read_bytes(), headers=headers, timeout=600).raise_for_status()

    with ThreadPoolExecutor(UPLOADS) as pool:
        list(pool.map(send, paths))


def searches():
    """What is searched for: words for the table, and the path below the root of DICOMweb."""
    middle, report = STUDIES // 2 + 1, STUDIES // 2 // REPORT_EVERY * REPORT_EVERY
    return [
        ("studies, first page", "studies?limit=101"),
        ("studies, page in the middle", f"studies?limit=101&offset={STUDIES // 2}"),
        ("by PatientID", f"studies?PatientID=ID{middle:06}"),
        ("by AccessionNumber", f"studies?AccessionNumber=ACC{middle:06}"),
        ("by StudyDescription, no match", "studies?StudyDescription=MR+knee"),
        ("by StudyDescription, wild card, no match", "studies?StudyDescription=*knee*"),
        ("by StudyDate", "studies?StudyDate=20260303&limit=101"),
        ("by PatientName, wild card", f"studies?PatientName=Bench%5ENumber{middle}*"),
        ("by ModalitiesInStudy=SR", "studies?ModalitiesInStudy=SR&limit=101"),
        ("series by Modality=SR", "series?Modality=SR"),
        ("any instance", "instances?limit=1"),
        ("instances by Modality=SR", "instances?Modality=SR&limit=101"),
        ("series of a study", f"studies/2.25.9{report:06}/series"),
        ("instances of a study", f"studies/2.25.9{report:06}/instances"),
    ]


def milliseconds(url):
    """The median time of an answer and its matches; None where it takes too long."""
    accept = "application/dicom+json"
    # Few runs of what takes seconds.
    [first] = curl([url], accept, 1, PATIENCE)
    if first is None:
        return None, None
    times = curl([url], accept, RUNS if first[0] < 2000 else 3, PATIENCE)
    answer = requests.get(url, headers={"Accept": accept}, timeout=PATIENCE)
    return statistics.median(time for time, _ in times), len(answer.json()) if answer.content else 0


def measure(receiver, folder, workplace):
    """Fills a receiver and searches it; its times by search."""
    with receiver(folder) as (_, _, url):
        begin = time.perf_counter()
        fill(url, workplace)
        print(f"{receiver.__name__}: filled in {time.perf_counter() - begin:.0f} s", flush=True)
        root = url.removesuffix("/studies")
        return [milliseconds(f"{root}/{path}") for _, path in searches()]


def shown(value):
    """A time for the table."""
    return f"over {1000 * PATIENCE}" if value is None else f"{value:.1f}"


def main():
    with tempfile.TemporaryDirectory() as folder:
        workplace = Path(folder) / "bodies"
        workplace.mkdir()
        for index, body in enumerate(bodies()):
            (workplace / f"{index:05}").write_bytes(body)
        ours = measure(pe_node, Path(folder) / "pe-node", workplace)
        theirs = measure(orthanc, Path(folder) / "orthanc", workplace)
    rows = []
    for (name, path), (node, found), (other, others) in zip(searches(), ours, theirs):
        matches = str(found) if found == others else f"{found} / {others}"
        rows.append([name, f"`{path.replace('|', ' ')}`", matches, shown(node), shown(other), f"{other / node:.1f}" if node and other else ""])
    write_table(
        "qido", f"Searching {STUDIES:,} studies with {4 * STUDIES:,} objects by QIDO-RS",
        ["search", "request", "matches", "pe-node, ms", "Orthanc, ms", "pe-node is faster by"], rows,
        [
            f"Median of {RUNS} requests by curl over a connection that is open, three where they take seconds. Both filled by STOW-RS with the same objects.",
            "Matches as pe-node / Orthanc where they differ. Orthanc has no order of studies, answers at most 100 matches with some of its defaults, and reads objects to answer for series and instances.",
        ],
    )


if __name__ == "__main__":
    main()
