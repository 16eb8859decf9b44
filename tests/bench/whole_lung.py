"""Lungs as hospitals reconstruct them: cut by a circle or by the image, arms down, tables, effusion, collapse, one lung.

Each exam of a cohort of phantoms is made again in every form, predicted by the real binary, and compared with the truth
that can still be seen and with the decision on the exam as it was. `PE_NODE_BINARY` measures another version.
"""

import csv
import os
import shutil
import subprocess
from pathlib import Path

import nibabel
import numpy
import pydicom
from common import ROOT, write_table
from conftest import BINARY
from pydicom.uid import generate_uid
from scipy import ndimage

WORK = Path(os.environ.get("PE_NODE_EVIDENCE_WORK", ROOT / "target" / "evidence")) / "whole-lung"
EXAMS = int(os.environ.get("PE_NODE_WHOLE_LUNG_EXAMS", "10"))
AIR, LEFT, RIGHT = -1000, 1, 2
TISSUE = -300


class Exam:
    """Images in Hounsfield units, lungs and emboli, `[slice, row, column]`, slices from below."""

    def __init__(self, folder, row):
        series = row["series_instance_uid"]
        self.row = row
        images = [pydicom.dcmread(path) for path in (folder / "train" / row["study_instance_uid"] / series).iterdir()]
        self.images = sorted(images, key=lambda image: float(image.ImagePositionPatient[2]))
        self.hounsfield = numpy.stack([image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept) for image in self.images])
        self.lungs, self.emboli = (numpy.asarray(nibabel.load(folder / "truth" / series / f"{name}.nii.gz").dataobj).transpose(2, 1, 0) for name in ("lungs", "clots"))
        self.padding = self.hounsfield <= -1024
        self.pixel = float(self.images[0].PixelSpacing[0])
        self.millilitres = self.pixel**2 * abs(float(self.images[1].ImagePositionPatient[2]) - float(self.images[0].ImagePositionPatient[2])) / 1000
        self.random = numpy.random.default_rng(int(row["exam"]))

    def copy(self):
        """The same exam, to be changed."""
        other = object.__new__(Exam)
        other.__dict__.update(self.__dict__)
        other.hounsfield, other.lungs, other.emboli, other.padding = (array.copy() for array in (self.hounsfield, self.lungs, self.emboli, self.padding))
        return other

    def millimetres(self):
        """Distance of rows and columns from the middle of the image."""
        rows, columns = self.lungs.shape[1:]
        return (numpy.arange(rows)[:, None] - (rows - 1) / 2) * self.pixel, (numpy.arange(columns)[None, :] - (columns - 1) / 2) * self.pixel

    def fill(self, where, value, noise=12):
        """Sets voxels to a value with noise."""
        self.hounsfield[where] = value + self.random.normal(0, noise, numpy.count_nonzero(where))

    def body(self):
        """The body on each slice, without table and clothes, holes filled."""
        found = numpy.zeros(self.lungs.shape, bool)
        ball = ndimage.iterate_structure(ndimage.generate_binary_structure(2, 1), 4)
        for index, image in enumerate(self.hounsfield):
            opened = ndimage.binary_opening(ndimage.binary_fill_holes((image > TISSUE) | (self.lungs[index] > 0)), ball)
            labels, count = ndimage.label(opened)
            if count:
                found[index] = labels == 1 + numpy.argmax(ndimage.sum_labels(opened, labels, range(1, count + 1)))
        return found

    def write(self, folder, name):
        """Writes the images as a series of a study of their own; its Series Instance UID."""
        study, series = (generate_uid(entropy_srcs=[self.row[f"{level}_instance_uid"], name]) for level in ("study", "series"))
        target = folder / name / self.row["exam"]
        target.mkdir(parents=True)
        for index, source in enumerate(self.images):
            image = pydicom.dcmread(source.filename)
            image.StudyInstanceUID, image.SeriesInstanceUID = study, series
            image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[source.SOPInstanceUID, name])
            kind = numpy.int16 if image.PixelRepresentation else numpy.uint16
            low, high = (-(2 ** (image.BitsStored - 1)), 2 ** (image.BitsStored - 1) - 1) if image.PixelRepresentation else (0, 2**image.BitsStored - 1)
            stored = numpy.rint((self.hounsfield[index] - float(image.RescaleIntercept)) / float(image.RescaleSlope)).clip(low, high)
            padding = image.get("PixelPaddingValue", numpy.rint((-1024 - float(image.RescaleIntercept)) / float(image.RescaleSlope)))
            stored[self.padding[index]] = numpy.clip(padding, low, high)
            image.PixelData = stored.astype(kind).tobytes()
            # A reconstruction of its own: its size may have changed.
            image.Rows, image.Columns = self.hounsfield.shape[1:]
            image.save_as(target / f"{index:04}.dcm")
        return str(series)


def circle(diameter, to_one_side):
    """Padding outside a circle; centimetres."""

    def change(exam):
        rows, columns = exam.millimetres()
        outside = (rows**2 + (columns - 10 * to_one_side) ** 2 > (5 * diameter) ** 2)[None].repeat(len(exam.lungs), 0)
        exam.padding |= outside
        exam.lungs[outside] = 0
        exam.emboli[outside] = 0

    return change


def square(width):
    """An image of a width in centimetres."""

    def change(exam):
        half = int(5 * width / exam.pixel)
        middle = exam.lungs.shape[1] // 2
        part = (slice(None), slice(max(middle - half, 0), middle + half), slice(max(middle - half, 0), middle + half))
        exam.hounsfield, exam.lungs, exam.emboli, exam.padding = (array[part] for array in (exam.hounsfield, exam.lungs, exam.emboli, exam.padding))

    return change


def arms_down(exam):
    """Arms of 9 cm beside the body, as far as they lie within the image."""
    rows, columns = exam.millimetres()
    body = exam.body()
    across = numpy.flatnonzero(body.any((0, 1)))
    along = numpy.flatnonzero(body.any((0, 2)))
    y = rows[(along[0] + along[-1]) // 2, 0]
    for x in (columns[0, across[0]] - 40, columns[0, across[-1]] + 40):
        away = numpy.hypot(rows - y, columns - x)
        for radius, value in ((45, -90), (38, 50), (11, 600)):
            exam.fill((away < radius)[None] & ~body & ~exam.padding, value)


def table(kind):
    """A table of one of four forms in place of the phantom's own."""

    def change(exam):
        rows, columns = exam.millimetres()
        body = exam.body()
        near = ndimage.binary_dilation(body, ndimage.generate_binary_structure(3, 1), iterations=2)
        lowest = numpy.flatnonzero(body.any((0, 2)))[-1]
        back = rows[lowest, 0]
        below = (rows > back - 60)[None] & ~near & ~exam.padding
        exam.fill(below, AIR)
        depth = rows - back
        free = ~body & ~exam.padding
        if kind == "flat, 2 cm below the back":
            shells, foam = [(20, 23), (45, 48)], (23, 45)
            surface = depth + 0 * columns
        elif kind == "hollow, closed at the sides":
            shells, foam = [(2, 6), (30, 34)], (6, 30)
            surface = depth + 0.0035 * columns**2
        elif kind == "mattress":
            shells, foam = [(25, 29)], (-60, 25)
            surface = depth + 0 * columns
        else:
            shells, foam = [(0, 4), (30, 34)], (4, 30)
            surface = depth + 0 * columns
            # Wedges of gel support the sides of the chest.
            exam.fill(((numpy.abs(numpy.abs(columns) - 140) < 25) & (depth < 0) & (depth > -60))[None] & free, -20)
        exam.fill(((surface > foam[0]) & (surface < foam[1]))[None] & free, -930, 20)
        for low, high in shells:
            exam.fill(((surface >= low) & (surface < high))[None] & free, -150)

    return change


def effusion(exam):
    """Fluid at the back and below in the larger lung."""
    side = larger(exam)
    where = exam.lungs == side
    rows = numpy.nonzero(where.any((0, 2)))[0]
    slices = numpy.nonzero(where.any((1, 2)))[0]
    back = numpy.arange(where.shape[1])[None, :, None] * exam.images[0].ImageOrientationPatient[4]
    ends = sorted((rows[0] * exam.images[0].ImageOrientationPatient[4], rows[-1] * exam.images[0].ImageOrientationPatient[4]))
    height = (numpy.arange(where.shape[0])[:, None, None] - slices[0]) / (slices[-1] - slices[0])
    fluid = where & ((back - ends[0]) / (ends[1] - ends[0]) > 0.35 + 0.7 * height)
    drown(exam, fluid, 10)


def collapse(exam):
    """A lung without air: its medial third is collapsed lung, the rest is fluid."""
    where = exam.lungs == larger(exam)
    columns = numpy.arange(where.shape[2])
    other = numpy.nonzero((exam.lungs > 0) & ~where)[2].mean()
    distance = numpy.abs(columns - other)
    inner = distance < numpy.quantile(distance[numpy.nonzero(where)[2]], 0.33)
    drown(exam, where & ~inner[None, None], 10)
    drown(exam, where & inner[None, None], 60)


def removed(exam):
    """A lung that was taken out years ago: fluid in its place."""
    drown(exam, exam.lungs == larger(exam), 15)


def larger(exam):
    """The label of the larger lung."""
    return max((LEFT, RIGHT), key=lambda side: numpy.count_nonzero(exam.lungs == side))


def drown(exam, where, value):
    """Replaces lung and its vessels."""
    exam.fill(where, value)
    exam.lungs[where] = 0
    exam.emboli[where] = 0


def inscribed(width):
    """Padding outside a circle that touches the borders of its image; centimetres."""

    def change(exam):
        circle(width, 0)(exam)
        square(width)(exam)

    return change


FORMS = {
    "as it was": lambda exam: None,
    **{f"circle of {diameter} cm, {off} cm off": circle(diameter, off) for diameter, off in ((26, 0), (26, 2), (28, 4), (30, 0), (30, 2), (32, 4), (34, 0), (36, 2), (36, 4), (40, 0), (40, 4))},
    **{f"image of {width} cm": square(width) for width in (22, 26)},
    **{f"circle of {width} cm that its image just holds": inscribed(width) for width in (24, 28)},
    "arms down": arms_down,
    **{f"table: {kind}": table(kind) for kind in ("flat, 2 cm below the back", "hollow, closed at the sides", "mattress", "wedges at the sides")},
    "effusion": effusion,
    "collapse of one lung": collapse,
    "one lung removed": removed,
}
DISEASES = ("effusion", "collapse of one lung", "one lung removed")


def rows(path):
    """A CSV table as dictionaries."""
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def made():
    """The exams in all forms, and the truth of each by Series Instance UID; made once."""
    if (WORK / "truth.npz").exists():
        return numpy.load(WORK / "truth.npz", allow_pickle=True)["truth"].item()
    shutil.rmtree(WORK, ignore_errors=True)
    subprocess.run([str(BINARY), "phantom", "--out", str(WORK / "cohort"), "--exams", str(EXAMS), "--seed", "9013", "--preset", "light"], check=True, cwd=ROOT)
    truth = {}
    for row in rows(WORK / "cohort" / "truth" / "exams.csv"):
        original = Exam(WORK / "cohort", row)
        whole = {side: numpy.count_nonzero(original.lungs == side) for side in (LEFT, RIGHT)}
        for name, change in FORMS.items():
            exam = original.copy()
            change(exam)
            series = exam.write(WORK / "forms", name)
            seen = {side: numpy.count_nonzero(exam.lungs == side) for side in whole}
            truth[series] = {
                "form": name, "exam": row["exam"], "positive": row["pe"] == "1", "emboli_seen": bool(exam.emboli.any()),
                "visible": 1.0 if name in DISEASES else sum(seen.values()) / sum(whole.values()),
                "cut_ml": 0.0 if name in DISEASES else (sum(whole.values()) - sum(seen.values())) * exam.millilitres,
                "lungs": numpy.packbits(exam.lungs > 0), "shape": exam.lungs.shape,
            }
    numpy.savez(WORK / "truth.npz", truth=truth)
    return truth


def predicted():
    """The table of the binary, made once for each."""
    out = WORK / f"predicted-{BINARY.stat().st_mtime_ns}"
    if not (out / "table.csv").exists():
        out.mkdir(exist_ok=True)
        subprocess.run([str(BINARY), "predict", str(WORK / "forms"), "--ignore-quality", "--out", str(out), "--csv", str(out / "partial.csv")], check=True, cwd=ROOT)
        (out / "partial.csv").rename(out / "table.csv")
    return out


def compared():
    """One record for each exam of each form."""
    truth, out = made(), predicted()
    found = {row["series_instance_uid"]: row for row in rows(out / "table.csv")}
    records = []
    for series, known in truth.items():
        row = found[series]
        lungs = numpy.unpackbits(known["lungs"], count=int(numpy.prod(known["shape"]))).reshape(known["shape"]).astype(bool)
        mask = numpy.asarray(nibabel.load(out / series / "lungs.nii.gz").dataobj).transpose(2, 1, 0) > 0
        told = sum(float(row.get(f"{side}_lung_missing_ml") or 0) for side in ("left", "right"))
        records.append({
            **{key: known[key] for key in ("form", "exam", "positive", "emboli_seen", "visible", "cut_ml")},
            "dice": 2 * numpy.count_nonzero(mask & lungs) / max(mask.sum() + lungs.sum(), 1),
            "volume": mask.sum() / max(lungs.sum(), 1) - 1, "told_ml": told,
            "decision": row["decision"], "probability": row["pe_probability"], "reasons": row["reasons"],
        })
    return records


def rates(name, records, before):
    """A row of the table."""
    of_form = [record for record in records if record["form"] == name]
    visible = [record["visible"] for record in of_form]
    dice = [record["dice"] for record in of_form]
    volumes = [abs(record["volume"]) for record in of_form]
    moved = lambda record, condition, to: condition and record["decision"] == to and before[record["exam"]] != to
    to_absent = sum(moved(record, record["positive"], "absent") for record in of_form)
    to_present = sum(moved(record, not record["positive"], "present") for record in of_form)
    undetermined = [moved(record, True, "undetermined") for record in of_form]
    mostly_seen = [new for new, share in zip(undetermined, visible) if share >= 0.9]
    cut, told = (numpy.mean([record[key] for record in of_form]) for key in ("cut_ml", "told_ml"))
    return (
        name, len(of_form), f"{min(visible):.2f} to {max(visible):.2f}", f"{min(dice):.3f}, {numpy.mean(dice):.3f}", f"{100 * max(volumes):.1f} %, {100 * numpy.mean(volumes):.1f} %",
        f"{cut:.0f}, {told:.0f} ml", to_absent, to_present, f"{sum(undetermined)}", f"{sum(mostly_seen)}/{len(mostly_seen)}",
    )


def main():
    records = compared()
    with open(WORK / "records.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, records[0])
        writer.writeheader()
        writer.writerows(records)
    before = {record["exam"]: record["decision"] for record in records if record["form"] == "as it was"}
    write_table(
        "whole-lung", "Lungs cut by the field of view, beside arms and tables, and smaller by disease",
        ["form", "exams", "visible share", "Dice: least, mean", "volume error: greatest, mean", "cut in truth, told as missing", "positive becomes absent", "negative becomes present", "newly undetermined", "of those with 90 % visible"],
        [rates(name, records, before) for name in FORMS],
        [
            f"{EXAMS} phantoms (`--preset light --seed 9013`), each in every form; padding outside the circles. Decisions are compared with those on the exam as it was.",
            "Dice and volume are those of both lungs together, against the truth that can still be seen. A lung filled with fluid is no lung in the truth.",
            "What is told as missing is lung beyond the field of view or lost by the mask, and the difference to the other lung where a lung is less than half of it.",
        ],
    )


if __name__ == "__main__":
    main()
