"""The same exam as scanners and archives store it, and in series with other objects: does the answer stay the same?

Phantoms are written in every form, predicted by the real binary, and compared with the exam as it was. Forms that keep
every voxel must keep the answer; lossy and resampled ones may change it a little. `PE_NODE_BINARY` measures another version.
"""

import copy
import csv
import os
import shutil
import subprocess
from pathlib import Path

import highdicom
import nibabel
import numpy
import pydicom
from common import ROOT, write_table
from conftest import BINARY
from pydicom.uid import generate_uid
from scipy import ndimage

WORK = Path(os.environ.get("PE_NODE_EVIDENCE_WORK", ROOT / "target" / "evidence")) / "series-forms"
EXAMS = int(os.environ.get("PE_NODE_SERIES_FORMS_EXAMS", "20"))
HEAP_EXAMS = int(os.environ.get("PE_NODE_HEAP_EXAMS", "3"))


def pixels(image):
    """Stored values, [row, column]."""
    return image.pixel_array.astype(numpy.int32)


def with_pixels(image, values):
    """Sets stored values."""
    image.Rows, image.Columns = values.shape
    image.PixelData = numpy.ascontiguousarray(values.astype(numpy.int16 if image.PixelRepresentation else numpy.uint16)).tobytes()
    return image


def vectors(image):
    """Directions of growing columns and of growing rows, position, all as arrays."""
    orientation = numpy.array([float(value) for value in image.ImageOrientationPatient])
    return orientation[:3], orientation[3:], numpy.array([float(value) for value in image.ImagePositionPatient])


def place(image, columns, rows, position):
    """Writes directions and position."""
    image.ImageOrientationPatient = [f"{value:g}" for value in (*columns, *rows)]
    image.ImagePositionPatient = [f"{value:.6f}".rstrip("0").rstrip(".") for value in position]
    return image


def columns_mirrored(image):
    columns, rows, position = vectors(image)
    place(image, -columns, rows, position + columns * float(image.PixelSpacing[1]) * (image.Columns - 1))
    return with_pixels(image, pixels(image)[:, ::-1])


def rows_mirrored(image):
    columns, rows, position = vectors(image)
    place(image, columns, -rows, position + rows * float(image.PixelSpacing[0]) * (image.Rows - 1))
    return with_pixels(image, pixels(image)[::-1])


def transposed(image):
    columns, rows, position = vectors(image)
    image.PixelSpacing = list(reversed(image.PixelSpacing))
    place(image, rows, columns, position)
    return with_pixels(image, pixels(image).T)


def each(*changes):
    """The images of an exam, each changed in turn."""

    def form(images):
        for change in changes:
            images = [change(image) for image in images]
        return images

    return form


def rescaled(slope, intercept, representation):
    """Other stored numbers for the same Hounsfield units; a slope of `None` is the image's own. Air is the least of them."""

    def change(image):
        hounsfield = numpy.maximum(pixels(image) * float(image.RescaleSlope) + float(image.RescaleIntercept), -1024)
        image.PixelRepresentation, image.RescaleSlope, image.RescaleIntercept = representation, slope or image.RescaleSlope, intercept
        if "PixelPaddingValue" in image:
            del image.PixelPaddingValue
        image.BitsStored, image.HighBit = 16, 15
        return with_pixels(image, numpy.rint((hounsfield - intercept) / float(image.RescaleSlope)))

    return change


def attribute(**values):
    def change(image):
        for name, value in values.items():
            setattr(image, name, value)
        return image

    return change


def numbered_from_above(images):
    for number, image in enumerate(reversed(images), 1):
        image.InstanceNumber = number
    return list(reversed(images))


def enhanced(images):
    return [
        highdicom.legacy.LegacyConvertedEnhancedCTImage(
            images, series_instance_uid=images[0].SeriesInstanceUID, series_number=9, sop_instance_uid=generate_uid(), instance_number=1
        )
    ]


def noise(image):
    """Noise of 10 HU, where the image is not padded."""
    values, random = pixels(image), numpy.random.default_rng(int(image.InstanceNumber))
    added = numpy.rint(random.normal(0, 10 / float(image.RescaleSlope), values.shape)).astype(int)
    hounsfield = values * float(image.RescaleSlope) + float(image.RescaleIntercept)
    least = numpy.rint((-1024 - float(image.RescaleIntercept)) / float(image.RescaleSlope))
    return with_pixels(image, numpy.where(hounsfield > -1024, numpy.maximum(values + added, least), values))


def nearly_lossless(image):
    image.compress(pydicom.uid.JPEGLSNearLossless, jls_error=3, generate_instance_uid=False)
    return image


def matrix(factor):
    """Another number of pixels, interpolated linearly."""

    def change(image):
        values = pixels(image)
        rows, columns = (int(size * factor) for size in values.shape)
        row, column = ((numpy.arange(count) + 0.5) / factor - 0.5 for count in (rows, columns))
        changed = ndimage.map_coordinates(values.astype(float), numpy.meshgrid(row, column, indexing="ij"), order=1, mode="nearest")
        across, down, position = vectors(image)
        spacing = [float(value) for value in image.PixelSpacing]
        place(image, across, down, position + across * spacing[1] * column[0] + down * spacing[0] * row[0])
        image.PixelSpacing = [f"{value / factor:.8g}" for value in spacing]
        return with_pixels(image, numpy.rint(changed))

    return change


def pairs_averaged(images):
    kept = []
    for low, high in zip(images[::2], images[1::2]):
        _, _, below = vectors(low)
        columns, rows, above = vectors(high)
        step = numpy.linalg.norm(above - below)
        place(low, columns, rows, (below + above) / 2)
        low.SliceThickness = f"{2 * step:g}"
        kept.append(with_pixels(low, numpy.rint((pixels(low) + pixels(high)) / 2)))
    return kept


LOSSLESS = {
    "as it was": each(),
    "columns mirrored": each(columns_mirrored),
    "rows mirrored": each(rows_mirrored),
    "turned by 180 degrees": each(rows_mirrored, columns_mirrored),
    "transposed": each(transposed),
    "turned by 90 degrees": each(transposed, columns_mirrored),
    "turned by 270 degrees": each(transposed, rows_mirrored),
    "transposed, turned by 180 degrees": each(transposed, rows_mirrored, columns_mirrored),
    "numbered from above": numbered_from_above,
    "signed, intercept 0": each(rescaled(None, 0, 1)),
    "unsigned, slope 0.5": each(rescaled(0.5, -1024, 0)),
    "MONOCHROME1": each(attribute(PhotometricInterpretation="MONOCHROME1")),
    "legacy converted enhanced CT": enhanced,
}
# DCMTK writes these from the exam as it was.
CODED = {
    "implicit VR": ["dcmconv", "+ti"],
    "big endian": ["dcmconv", "+tb"],
    "deflated": ["dcmconv", "+td"],
    "run lengths": ["dcmcrle"],
    "JPEG lossless": ["dcmcjpeg", "+e1"],
    "JPEG-LS lossless": ["dcmcjpls", "+el"],
}
LOSSY = {
    "JPEG-LS within 3 HU": each(nearly_lossless),
    "noise of 10 HU more": each(noise),
    "twice the matrix": each(matrix(2)),
    "three quarters of the matrix": each(matrix(0.75)),
    "pairs of slices averaged": pairs_averaged,
}
KEPT = [*LOSSLESS, *CODED]


def another(image, shift=0.0, **values):
    """A further object of the series: a copy at a height, with other attributes."""
    image = copy.deepcopy(image)
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    image.InstanceNumber = int(image.InstanceNumber) + 10_000
    columns, rows, position = vectors(image)
    place(image, columns, rows, position + [0, 0, shift])
    return attribute(**values)(image)


def step(images):
    return float(images[1].ImagePositionPatient[2]) - float(images[0].ImagePositionPatient[2])


def middle(images):
    return images[len(images) // 2]


def plus(*further):
    """The exam with the objects that each of some functions of its images makes."""
    return lambda images: images + [other for make in further for other in make(images)]


def without_position(images):
    image = another(middle(images))
    del image.ImagePositionPatient
    return [image]


def sagittal(images):
    image = another(middle(images), ImageType=["DERIVED", "SECONDARY", "REFORMATTED"])
    return [place(image, [0, 1, 0], [0, 0, -1], vectors(image)[2])]


def localizer(images):
    image = another(images[0], ImageType=["ORIGINAL", "PRIMARY", "AXIAL"])
    return [place(image, [1, 0, 0], [0, 0, -1], vectors(image)[2] + [0, 0, 200])]


def colour(images):
    image = another(middle(images), PhotometricInterpretation="RGB", SamplesPerPixel=3, PlanarConfiguration=0, BitsAllocated=8, BitsStored=8, HighBit=7, PixelRepresentation=0)
    image.PixelData = bytes(image.Rows * image.Columns * 3)
    return [image]


def corrupt(images):
    image = another(images[-1], step(images))
    image.PixelData = image.PixelData[: len(image.PixelData) // 3]
    return [image]


def differing(images):
    return [noise(another(middle(images)))]


def shifted_acquisition(images):
    number = int(images[0].get("AcquisitionNumber") or 1) + 1
    return [noise(another(image, step(images) / 2, AcquisitionNumber=number, AcquisitionTime="235959")) for image in images]


def venography(images):
    return [another(image, -600.0, AcquisitionNumber=7) for image in images[:: max(len(images) // 12, 1)]]


HEAPS = {
    "a localizer that says AXIAL": plus(localizer),
    "a sagittal reformat": plus(sagittal),
    "12 slices of bolus tracking": plus(lambda images: [another(middle(images), 0.0, AcquisitionNumber=90 + index, AcquisitionTime=f"1000{index:02}", ContentTime=f"1000{index:02}") for index in range(12)]),
    "a second acquisition between the slices": plus(shifted_acquisition),
    "a second kernel at the same positions": plus(lambda images: [noise(noise(noise(another(image, ConvolutionKernel="B70f")))) for image in images]),
    "a copy 0.005 mm away": plus(lambda images: [another(middle(images), 0.005)]),
    "a copy that differs": plus(differing),
    "a corrupt slice at the end": plus(corrupt),
    "an image without position": plus(without_position),
    "a page in colour": plus(colour),
    "a slice far away": plus(lambda images: [another(images[0], -900.0)]),
    "a slice of another frame of reference": plus(lambda images: [another(middle(images), 0.3, FrameOfReferenceUID=generate_uid())]),
    "a slice with a coarser matrix": plus(lambda images: [matrix(0.5)(another(middle(images), 0.4))]),
    "twelve slices of a venography": plus(venography),
    "a MIP of the same place": plus(lambda images: [another(image, 0.0, ImageType=["DERIVED", "SECONDARY", "AXIAL", "MIP"]) for image in images[::10]]),
    "iodine maps at the same positions": plus(lambda images: [another(image, 0.0, RescaleType="MGML") for image in images]),
    "a frame of reference per image": each(lambda image: attribute(FrameOfReferenceUID=generate_uid())(image)),
    "no frame of reference": each(lambda image: image.__delitem__("FrameOfReferenceUID") or image),
    "a time per image": each(lambda image: attribute(AcquisitionTime=f"1200{int(image.InstanceNumber) % 60:02}.{int(image.InstanceNumber):06}")(image)),
    "acquisition numbers change on the way": each(lambda image: attribute(AcquisitionNumber=1 + int(image.InstanceNumber) // 40)(image)),
}


FORMS = {**LOSSLESS, **LOSSY, **HEAPS}


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def write(images, folder):
    """Writes the objects of a series; its Series Instance UID."""
    folder.mkdir(parents=True)
    for index, image in enumerate(images):
        image.save_as(folder / f"{index:04}.dcm", enforce_file_format=True)
    return str(images[0].SeriesInstanceUID)


def renamed(images, name):
    """Copies of the images as a study of their own."""
    study, series = (generate_uid(entropy_srcs=[str(getattr(images[0], level)), name]) for level in ("StudyInstanceUID", "SeriesInstanceUID"))
    copies = [copy.deepcopy(image) for image in images]
    for image in copies:
        image.StudyInstanceUID, image.SeriesInstanceUID = study, series
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(image.SOPInstanceUID), name])
    return copies


def write_form(images, name, folder):
    """Writes an exam in a form as a study of its own; its Series Instance UID."""
    images = renamed(images, name)
    if name not in CODED:
        return write(FORMS[name](images), folder)
    plain = folder.with_name(f"{folder.name} plain")
    uid = write(images, plain)
    folder.mkdir()
    for path in sorted(plain.iterdir()):
        subprocess.run([*CODED[name], str(path), str(folder / path.name)], check=True, capture_output=True)
    shutil.rmtree(plain)
    return uid


def images_of(cohort, row):
    """The images of an exam of a cohort, from the feet to the head."""
    paths = (cohort / "train" / row["study_instance_uid"] / row["series_instance_uid"]).iterdir()
    return sorted((pydicom.dcmread(path) for path in paths), key=lambda image: float(image.ImagePositionPatient[2]))


def make():
    """All forms of all exams; form and exam of each series."""
    shutil.rmtree(WORK, ignore_errors=True)
    subprocess.run([str(BINARY), "phantom", "--out", str(WORK / "cohort"), "--exams", str(EXAMS), "--seed", "9014", "--preset", "light"], check=True, cwd=ROOT)
    series = {}
    for row in table(WORK / "cohort" / "truth" / "exams.csv"):
        images = images_of(WORK / "cohort", row)
        heaps = HEAPS if int(row["exam"]) < HEAP_EXAMS else {}
        for name in [*LOSSLESS, *CODED, *LOSSY, *heaps]:
            series[write_form(images, name, WORK / "forms" / row["exam"] / name)] = (name, row["exam"])
    return series


def predicted(series):
    """Row and lungs of each form of each exam."""
    out = WORK / "out"
    subprocess.run([str(BINARY), "predict", str(WORK / "forms"), "--out", str(out), "--csv", str(out.with_suffix(".csv"))], check=True, cwd=ROOT)
    found = {}
    for row in table(out.with_suffix(".csv")):
        if row["series_instance_uid"] in series:
            found[series[row["series_instance_uid"]]] = (row, out / row["series_instance_uid"] / "lungs.nii.gz")
    return found


def lungs(path):
    """Labels in the order of the patient's axes."""
    return numpy.asarray(nibabel.as_closest_canonical(nibabel.load(path)).dataobj)


def compared(found, name):
    """The greatest differences of a form, over all exams that have it."""
    probability, voxels, decisions, left_out, missing = 0.0, 0.0, 0, set(), 0
    exams = sorted({exam for form, exam in found if form == name}, key=int)
    for exam in exams:
        (row, mask), (original, original_mask) = found[name, exam], found["as it was", exam]
        if row["status"] != "analysed":
            missing += 1
            continue
        probability = max(probability, abs(float(row["pe_probability"]) - float(original["pe_probability"])))
        decisions += row["decision"] != original["decision"]
        left_out.add(row["left_out"])
        one, other = lungs(mask), lungs(original_mask)
        if one.shape == other.shape:
            voxels = max(voxels, numpy.count_nonzero(one != other) / max(numpy.count_nonzero(other), 1))
    return len(exams), missing, probability, decisions, voxels, sorted(left_out)


def main():
    found = predicted(make())
    header = ["form", "exams", "not analysed", "probability: greatest difference", "other decisions", "lung voxels that differ (%)"]
    rows = []
    for name in [*LOSSLESS, *CODED, *LOSSY]:
        exams, missing, probability, decisions, voxels, _ = compared(found, name)
        voxels = f"{100 * voxels:.4f}" if name in KEPT else "-"
        rows.append((name, exams, missing, f"{probability:.6f}", decisions, voxels))
    write_table(
        "storage-forms", "The same exams as they may be stored", header, rows,
        [f"{EXAMS} phantoms (`--preset light --seed 9014`). Forms up to JPEG-LS lossless keep every voxel; those below do not."],
    )
    rows = []
    for name in HEAPS:
        exams, missing, probability, decisions, _, left_out = compared(found, name)
        rows.append((name, exams, missing, f"{probability:.6f}", decisions, "; ".join(left_out) or "-"))
    write_table(
        "heaps", "The same exams in series with other objects",
        ["form", "exams", "not analysed", "probability: greatest difference", "other decisions", "what was left out"], rows,
        [f"{HEAP_EXAMS} phantoms, each with other objects in its series; what was left out as the table of `predict` says it."],
    )


if __name__ == "__main__":
    main()
