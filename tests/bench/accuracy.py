"""What the bundled models can do on phantoms they never saw, and what trivial baselines cannot.

Every exam is generated, predicted by the real binary and compared with the ground truth beside it.
"""

import csv
import os
import subprocess
from pathlib import Path

import nibabel
import numpy
import pydicom
from common import ROOT, write_table
from conftest import BINARY
from scipy import ndimage
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

WORK = Path(os.environ.get("PE_NODE_EVIDENCE_WORK", ROOT / "target" / "evidence"))
COHORTS = {
    "light": ["--exams", "200", "--seed", "9001", "--preset", "light"],
    "clinical": ["--exams", "20", "--seed", "9002", "--preset", "clinical"],
    "paired": ["--exams", "80", "--seed", "9003", "--preset", "light", "--paired"],
}
LEVELS = ("saddle", "main", "lobar", "segmental", "subsegmental")
NEAR_MM = 5.0
BOOTSTRAPS = 2000


def cohort(name):
    """Generates and predicts a cohort once; its folder."""
    folder = WORK / name
    if not (folder / "train.csv").exists():
        subprocess.run([str(BINARY), "phantom", "--out", str(folder), *COHORTS[name]], check=True, cwd=ROOT)
    out = folder / "predicted"
    if not (out / "table.csv").exists():
        out.mkdir(exist_ok=True)
        subprocess.run([str(BINARY), "predict", str(folder / "train"), "--out", str(out), "--csv", str(out / "partial.csv")], check=True, cwd=ROOT)
        (out / "partial.csv").rename(out / "table.csv")
    return folder


def rows(path):
    """A CSV table as dictionaries."""
    with open(path, newline="") as table:
        return list(csv.DictReader(table))


def exams(folder):
    """Truth and prediction of each analysed exam, and the reasons of the others."""
    predicted = {row["series_instance_uid"]: row for row in rows(folder / "predicted" / "table.csv")}
    joined = [{**row, **predicted[row["series_instance_uid"]]} for row in rows(folder / "truth" / "exams.csv")]
    analysed = [row for row in joined if row["status"] == "analysed"]
    others = [row for row in joined if row["status"] != "analysed"]
    return analysed, others


def interval(labels, scores):
    """AUROC with the 95 % interval of a bootstrap over exams."""
    labels, scores = numpy.asarray(labels), numpy.asarray(scores)
    random = numpy.random.default_rng(1)
    samples = []
    while len(samples) < BOOTSTRAPS:
        pick = random.integers(0, len(labels), len(labels))
        if 0 < labels[pick].sum() < len(pick):
            samples.append(roc_auc_score(labels[pick], scores[pick]))
    low, high = numpy.quantile(samples, [0.025, 0.975])
    return f"{roc_auc_score(labels, scores):.3f} ({low:.3f} to {high:.3f})"


def positive(row):
    """True for an exam with embolism."""
    return row["pe"].lower() in ("1", "true", "yes")


def slice_auroc(folder, analysed):
    """AUROC over all slices of all exams."""
    truth = {row["SOPInstanceUID"]: int(row["pe_present_on_image"]) for row in rows(folder / "train.csv")}
    labels, scores = [], []
    for exam in analysed:
        for row in rows(folder / "predicted" / exam["series_instance_uid"] / "slices.csv"):
            labels.append(truth[row["sop_instance_uid"]])
            scores.append(float(row["pe_probability"]))
    return roc_auc_score(labels, scores), len(labels)


def pointing(folder, analysed):
    """Hits and chance rate of the heat map's maximum on exams with embolism that are called present."""
    hits, chances = [], []
    for exam in analysed:
        if not positive(exam) or exam["decision"] != "present":
            continue
        series = exam["series_instance_uid"]
        clots = nibabel.load(folder / "truth" / series / "clots.nii.gz")
        evidence = nibabel.load(folder / "predicted" / series / "evidence.nii.gz")
        mask = numpy.asarray(clots.dataobj) > 0
        distance = ndimage.distance_transform_edt(~mask, sampling=clots.header.get_zooms()[:3])
        cells = numpy.asarray(evidence.dataobj)
        to_clots = numpy.linalg.inv(clots.affine) @ evidence.affine
        indices = numpy.argwhere(cells > 0)
        places = numpy.rint(indices @ to_clots[:3, :3].T + to_clots[:3, 3]).astype(int)
        places = numpy.clip(places, 0, numpy.array(mask.shape) - 1)
        near = distance[tuple(places.T)] <= NEAR_MM
        best = numpy.argmax(cells[tuple(indices.T)])
        hits.append(bool(near[best]))
        chances.append(float(near.mean()))
    return hits, chances


def image_features(folder, exam):
    """Header fields, mean HU, and the share of low HU in the dilated arteries."""
    series = exam["series_instance_uid"]
    slices = [pydicom.dcmread(path) for path in sorted((folder / "train" / exam["study_instance_uid"] / series).iterdir())]
    slices.sort(key=lambda one: float(numpy.dot(numpy.cross(*numpy.reshape([float(v) for v in one.ImageOrientationPatient], (2, 3))), [float(v) for v in one.ImagePositionPatient])))
    first = slices[0]
    header = [
        float(first.SliceThickness), float(first.PixelSpacing[0]), float(first.get("KVP", 0) or 0), float(first.get("XRayTubeCurrent", 0) or 0),
        float(len(slices)), float(first.RescaleIntercept), float(first.PatientPosition == "FFS"), float(first.PixelRepresentation),
    ]
    hounsfield = numpy.stack([one.pixel_array.astype(numpy.float32) * float(one.RescaleSlope) + float(one.RescaleIntercept) for one in slices])
    arteries = numpy.asarray(nibabel.load(folder / "truth" / series / "arteries.nii.gz").dataobj).transpose(2, 1, 0) > 0
    dilated = ndimage.binary_dilation(arteries, iterations=2)
    inside = hounsfield[dilated]
    return header, float(hounsfield[hounsfield > -900].mean()), float(((inside > -100) & (inside < 100)).mean())


def baselines(folder, analysed):
    """AUROC of baselines that must not recognise embolism; either direction counts."""
    labels = numpy.array([positive(exam) for exam in analysed])
    features = [image_features(folder, exam) for exam in analysed]
    headers = numpy.array([feature[0] for feature in features])
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    header_scores = cross_val_predict(model, headers, labels, cv=5, method="predict_proba")[:, 1]
    either = lambda scores: max(roc_auc_score(labels, scores), 1 - roc_auc_score(labels, scores))
    return {
        "header fields alone (logistic regression, 5 folds)": roc_auc_score(labels, header_scores),
        "mean HU": either([feature[1] for feature in features]),
        "share of -100 to 100 HU in dilated arteries": either([feature[2] for feature in features]),
    }


def measure(name):
    """All metrics of one cohort as table rows."""
    folder = cohort(name)
    analysed, others = exams(folder)
    labels = [positive(exam) for exam in analysed]
    scores = [float(exam["pe_probability"]) for exam in analysed]
    found = [
        ("exams analysed, positive, rejected", f"{len(analysed)}, {sum(labels)}, {len(others)} ({', '.join(sorted({row['reasons'] for row in others})) or 'none'})"),
        ("exam AUROC (95 % interval)", interval(labels, scores)),
    ]
    auroc, count = slice_auroc(folder, analysed)
    found.append((f"slice AUROC over {count} slices", f"{auroc:.3f}"))
    negatives = [exam for exam in analysed if not positive(exam)]
    for what, decision in (("called present (false alarms)", "present"), ("undetermined", "undetermined")):
        found.append((f"exams without embolism {what}", f"{sum(exam['decision'] == decision for exam in negatives)}/{len(negatives)}"))
    for level in LEVELS:
        group = [exam for exam in analysed if positive(exam) and exam["most_proximal_level"] == level]
        if group:
            found.append((f"exams with embolism called present, most proximal embolus {level}", f"{sum(exam['decision'] == 'present' for exam in group)}/{len(group)}"))
    hits, chances = pointing(folder, analysed)
    if hits:
        found.append((f"maximum of the heat map within {NEAR_MM:.0f} mm of an embolus, true positives", f"{sum(hits)}/{len(hits)} = {numpy.mean(hits):.2f} (chance {numpy.mean(chances):.3f})"))
    return folder, analysed, found


def main():
    table = []
    for name in ("light", "clinical"):
        folder, analysed, found = measure(name)
        table += [(name, *row) for row in found]
        if name == "light":
            table += [(name, f"baseline that must fail (at most 0.65): {what}", f"{value:.3f}") for what, value in baselines(folder, analysed).items()]
    analysed, _ = exams(cohort("paired"))
    pairs = {}
    for exam in analysed:
        pair = frozenset((exam["study_instance_uid"], exam["twin_study_instance_uid"]))
        pairs.setdefault(pair, {})[positive(exam)] = float(exam["pe_probability"])
    pairs = [pair for pair in pairs.values() if len(pair) == 2]
    table.append(("paired", "pairs that differ by the emboli alone, ordered right", f"{sum(pair[True] > pair[False] for pair in pairs)}/{len(pairs)}"))
    write_table(
        "accuracy", "Bundled models on phantoms they never saw", ["cohort", "metric", "value"], table,
        [
            "Phantoms alone: nothing here says how the models do on patients.",
            "What is hard: an embolus in a segmental or smaller artery is a few cells of soft tissue among veins, nodes and consolidations; exams with nothing larger are recognised less often (segmental) or not at all (subsegmental).",
            "An undetermined exam is neither present nor absent. Sensitivity and specificity in the model card are at the threshold instead, where every exam lies on one side (docs/evaluation.md).",
            f"Bootstrap over exams, {BOOTSTRAPS} samples. Chance: share of the heat map's cells that lie as near to an embolus.",
        ],
    )


if __name__ == "__main__":
    main()
