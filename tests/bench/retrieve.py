"""How fast a study of 300 slices is given back by WADO-RS and QIDO-RS, beside Orthanc in the same run."""

import statistics
import tempfile
from pathlib import Path

import requests
from common import curl, write_ct_study, write_table
from ingest import SLICES, orthanc, pe_node, stow

RUNS = 7
MULTIPART = 'multipart/related; type="application/dicom"'
FRAMES = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
JSON = "application/dicom+json"


def requests_of(study, series, instances):
    """What is asked for: words for the table, paths below the root of DICOMweb, the media type, the mark."""
    place = f"studies/{study}/series/{series}"
    return [
        ("study, all instances", [f"studies/{study}"], MULTIPART, "2"),
        ("instances one by one", [f"{place}/instances/{instance}" for instance in instances], MULTIPART, ""),
        ("frames one by one", [f"{place}/instances/{instance}/frames/1" for instance in instances], FRAMES, ""),
        ("metadata of the series", [f"{place}/metadata"], JSON, "4"),
        ("metadata of the study", [f"studies/{study}/metadata"], JSON, "4"),
        ("search for the study", [f"studies?StudyInstanceUID={study}"], JSON, "10"),
        ("search for its series", [f"studies/{study}/series"], JSON, "10"),
        ("search for its instances", [f"{place}/instances"], JSON, "10"),
    ]


def milliseconds(root, paths, accept):
    """The median time of the answers, and their bytes."""
    runs = curl([f"{root}/{path}" for path in paths], accept, RUNS)
    return statistics.median(time for time, _ in runs), runs[0][1]


def measure(receiver, folder, files, study):
    """Fills a receiver and asks it; what was asked and its times."""
    with receiver(folder) as (_, _, url):
        stow(url, files)
        root = url.removesuffix("/studies")
        found = requests.get(f"{root}/studies/{study}/instances", headers={"Accept": JSON}, timeout=60).json()
        series = found[0]["0020000E"]["Value"][0]
        asked = requests_of(study, series, [one["00080018"]["Value"][0] for one in found])
        return [(name, mark, *milliseconds(root, paths, accept)) for name, paths, accept, mark in asked]


def main():
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) / "study"
        study = write_ct_study(files, SLICES)
        ours = measure(pe_node, Path(folder) / "pe-node", files, study)
        theirs = measure(orthanc, Path(folder) / "orthanc", files, study)
    rows = [
        [name, f"{length / 1e6:.2f}", f"{node:.1f}", f"{other:.1f}", f"{other / node:.1f}", mark]
        for (name, mark, node, length), (_, _, other, _) in zip(ours, theirs)
    ]
    write_table(
        "retrieve", f"Giving back {SLICES} CT slices of 512 x 512 by DICOMweb",
        ["request", "MB", "pe-node, ms", "Orthanc, ms", "pe-node is faster by", "mark"], rows,
        [
            f"Median of {RUNS} runs by curl over a connection that is open. Both filled by the same STOW-RS request, defaults of both.",
        ],
    )


if __name__ == "__main__":
    main()
