"""Runs every validator over result objects: other people's validators and this project's own rules.

    python tests/interop/validate.py RESULTS SOURCE

RESULTS is a folder with result objects (searched recursively; other files are passed over), SOURCE a folder with the
images they were made from. Prints a table, one row an object and validator, with what is wrong below it. Exit code 0: all
passed; 1: something did not; 2: usage.

Validators: SR: dciodvfy, dsrdump, highdicom, rules. SC, KOS, PR, PDF: dciodvfy, pydicom, rules. SEG, PM: dciodvfy, highdicom, rules.
For every object, patient and study must be the source's, as pydicom decodes them.
"""

import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
from pydicom.sr import _concepts_dict
from pydicom.uid import UID

warnings.filterwarnings("ignore")

SR = {f"1.2.840.10008.5.1.4.1.1.88.{last}" for last in (34, 33, 22)}
KOS = "1.2.840.10008.5.1.4.1.1.88.59"
SEG = "1.2.840.10008.5.1.4.1.1.66.4"
PR = "1.2.840.10008.5.1.4.1.1.11.1"
PDF = "1.2.840.10008.5.1.4.1.1.104.1"
PM = "1.2.840.10008.5.1.4.1.1.30"
SC = {"1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.7.4"}

# Attributes of the patient, general study and patient study modules that any source may carry.
COPIED = """
PatientName PatientID IssuerOfPatientID PatientBirthDate PatientSex OtherPatientIDs PatientAge
PatientSize PatientWeight EthnicGroup PatientComments PatientIdentityRemoved DeidentificationMethod StudyInstanceUID
StudyDate StudyTime StudyID AccessionNumber ReferringPhysicianName StudyDescription PhysiciansOfRecord SyntheticData
""".split()


class Source:
    """The images that results were made from, by SOP Instance UID."""

    def __init__(self, folder):
        self.images = {}
        for path in files(folder):
            image = pydicom.dcmread(path, stop_before_pixels=True)
            self.images[image.SOPInstanceUID] = image
        if not self.images:
            raise SystemExit(f"{folder}: no DICOM files")

    def __getitem__(self, uid):
        return self.images[uid]

    def __contains__(self, uid):
        return uid in self.images

    def image(self, reference):
        """The image of a reference; a frame of a multi-frame object with the attributes of its functional groups."""
        whole = self[reference.ReferencedSOPInstanceUID]
        if "PerFrameFunctionalGroupsSequence" not in whole:
            return whole
        image = pydicom.Dataset()
        for keyword in ("SOPInstanceUID", "FrameOfReferenceUID", "Rows", "Columns"):
            setattr(image, keyword, whole[keyword].value)
        own = whole.PerFrameFunctionalGroupsSequence[int(reference.ReferencedFrameNumber) - 1]
        for groups in (whole.SharedFunctionalGroupsSequence[0], own):
            for group in groups:
                if group.VR == "SQ" and len(group.value) == 1:
                    image.update(group.value[0])
        return image

    def problems(self, references):
        """References that name another class than their object has, frames that it lacks, or no frame of many."""
        problems = set()
        for one in references:
            whole = self.images.get(one.ReferencedSOPInstanceUID)
            if whole is None:
                problems.add(f"{one.ReferencedSOPInstanceUID} is no source image")
                continue
            if one.ReferencedSOPClassUID != whole.SOPClassUID:
                problems.add(f"{whole.SOPInstanceUID} is referred to as {one.ReferencedSOPClassUID}")
            multi_frame = "PerFrameFunctionalGroupsSequence" in whole
            numbers = frames_of(one)
            if multi_frame != bool(numbers) or any(not 1 <= number <= whole.NumberOfFrames for number in numbers):
                problems.add(f"{whole.SOPInstanceUID} is referred to by the frames {numbers}")
        return sorted(problems)

    def series(self, result):
        """The images of the study of a result, any of them first."""
        return [image for image in self.images.values() if image.StudyInstanceUID == result.StudyInstanceUID]


def frames_of(reference):
    """The frame numbers of a reference to an image."""
    numbers = reference.get("ReferencedFrameNumber")
    if numbers is None:
        return []
    return [int(number) for number in numbers] if isinstance(numbers, pydicom.multival.MultiValue) else [int(numbers)]


def files(folder):
    """All DICOM files (PS3.10) below a folder."""
    found = []
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            with open(path, "rb") as file:
                if file.read(132)[128:] == b"DICM":
                    found.append(path)
    return found


# What Debian's dciodvfy says of Synthetic Data (0008,001C): the attribute came with DICOM 2023, the tool's dictionary
# ends before. The same error stands on the source images; the rules below check the attribute instead.
UNKNOWN_TO_DCIODVFY = "Error - Attribute with an even group number is not a recognized standard attribute - (0x0008,0x001c)"


def tool(name):
    """The path of another program; without it the validation fails."""
    path = shutil.which(name)
    if path is None:
        raise FileNotFoundError(f"{name} is not installed")
    return path


def dciodvfy(path, *_):
    """dicom3tools: the information object definition; errors fail, warnings are listed."""
    done = subprocess.run([tool("dciodvfy"), str(path)], capture_output=True, text=True, errors="replace")
    lines = (done.stdout + done.stderr).splitlines()
    errors = [line for line in lines if line.startswith("Error") and not line.startswith(UNKNOWN_TO_DCIODVFY)]
    notes = [line for line in lines if line.startswith("Warning") or line.startswith(UNKNOWN_TO_DCIODVFY)]
    if done.returncode < 0:
        errors.append(f"dciodvfy ended by signal {-done.returncode}")
    return errors, notes


def dsrdump(path, *_):
    """DCMTK: the content tree and its relationships; no error, and no warning but of character sets that the tool does
    not know, which are the source's."""
    done = subprocess.run([tool("dsrdump"), str(path)], capture_output=True, text=True, errors="replace")
    lines = [line for line in done.stderr.splitlines() if line[:2] in ("E:", "W:", "F:")]
    notes = [line for line in lines if line.startswith("W:") and re.search("Specific ?Character ?Set", line)]
    problems = [line for line in lines if line not in notes]
    if done.returncode != 0:
        problems.append(f"dsrdump answers {done.returncode}")
    return problems, notes


def pydicom_reads(path, data_set, *_):
    """pydicom: every element decodes, pixels included."""
    problems = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        list(data_set.iterall())
        if "PixelData" in data_set:
            pixels = data_set.pixel_array
            frames = int(data_set.get("NumberOfFrames", 1))
            expected = ((frames,) if frames > 1 else ()) + (data_set.Rows, data_set.Columns, 3)
            if pixels.shape != expected:
                problems.append(f"pixels have the shape {pixels.shape}, not {expected}")
    problems += [str(one.message) for one in caught]
    return problems, []


def highdicom_report(path, *_):
    """highdicom: the tree is a MeasurementReport whose groups it takes apart again."""
    report = hd.sr.srread(str(path))
    problems = []
    if not isinstance(report.content, hd.sr.MeasurementReport):
        return [f"the content is a {type(report.content).__name__}, not a MeasurementReport"], []
    images = report.content.get_image_measurement_groups()
    regions = report.content.get_planar_roi_measurement_groups()
    names = {group.tracking_identifier for group in images}
    if not any(name.startswith("Exam") for name in names):
        problems.append(f"no group of the exam among {sorted(names)}")
    for group in images:
        if not group.get_measurements():
            problems.append(f"{group.tracking_identifier}: no measurement")
    for group in regions:
        if group.roi is not None and group.roi.graphic_type.value == "POLYLINE":
            corners = group.roi.value
            if not np.array_equal(corners[0], corners[-1]):
                problems.append(f"{group.tracking_identifier}: the outline is not closed")
    if not report.content.get_observer_contexts():
        problems.append("no observer")
    return problems, []


def highdicom_segmentation(path, data_set, source):
    """highdicom: reads it, and finds its pixels again by source image and by place."""
    segmentation = hd.seg.segread(str(path))
    problems = []
    numbers = list(segmentation.segment_numbers)
    uids = [instance for *_, instance in segmentation.get_source_image_uids()]
    if any("PerFrameFunctionalGroupsSequence" in source[uid] for uid in uids):
        # Frames without lung have no frame in the segmentation.
        pixels = np.concatenate([
            segmentation.get_pixels_by_source_frame(
                uid, list(range(1, int(source[uid].NumberOfFrames) + 1)), segment_numbers=numbers,
                assert_missing_frames_are_empty=True,
            )
            for uid in uids
        ])
    else:
        pixels = segmentation.get_pixels_by_source_instance(uids, segment_numbers=numbers)
    volume = segmentation.get_volume(combine_segments=True)
    counted = {number: int(pixels[..., index].sum()) for index, number in enumerate(numbers)}
    placed = {number: int((volume.array == number).sum()) for number in numbers}
    if counted != placed:
        problems.append(f"voxels by source image {counted}, by place {placed}")
    return problems, []


def highdicom_map(path, *_):
    """highdicom: reads it, and places its frames as a volume."""
    parametric_map = hd.pm.ParametricMap.from_dataset(pydicom.dcmread(path))
    volume = parametric_map.get_volume()
    return ([] if volume.array.max() > 0 else ["nothing on the map"]), []


def items(data_set):
    """All content items below a data set."""
    for item in data_set.get("ContentSequence", []):
        yield item
        yield from items(item)


def name(item):
    """The code of a content item's concept name."""
    return item.ConceptNameCodeSequence[0].CodeValue if item.get("ConceptNameCodeSequence") else None


def children(item, code):
    """Direct children of a concept name."""
    return [child for child in item.get("ContentSequence", []) if name(child) == code]


def evidence(data_set):
    """Instances named by the evidence sequences."""
    found = set()
    for sequence in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence"):
        for study in data_set.get(sequence, []):
            for series in study.ReferencedSeriesSequence:
                found |= {one.ReferencedSOPInstanceUID for one in series.ReferencedSOPSequence}
    return found


def referenced(data_set):
    """Instances named by the content tree."""
    return {
        one.ReferencedSOPInstanceUID
        for item in items(data_set)
        if item.ValueType in ("IMAGE", "COMPOSITE")
        for one in item.ReferencedSOPSequence
    }


def same_study(path, data_set, source):
    """Patient and study are the source's: the same text, dates and times as DICOM wants them."""
    images = source.series(data_set)
    if not images:
        return [f"no source image belongs to study {data_set.StudyInstanceUID}"], []
    problems = []
    for keyword in COPIED:
        ours, theirs = text(data_set, keyword), {text(image, keyword) for image in images}
        if ours not in theirs:
            problems.append(f"{keyword} is {ours!r}, in the source {theirs!r}")
    if (data_set.get("SyntheticData") or "NO") != (images[0].get("SyntheticData") or "NO"):
        problems.append("Synthetic Data is not the source's")
    if data_set.SeriesInstanceUID in {image.SeriesInstanceUID for image in images}:
        problems.append("the object lies in the source's series")
    if data_set.Modality in ("OT", "SEG"):
        declared = {image.get("LossyImageCompression") or "00" for image in images}
        if "01" in declared and data_set.LossyImageCompression != "01":
            problems.append("the source was compressed with loss, and the result does not say so")
    return problems + character_set_problems(data_set), []


def text(data_set, keyword):
    """A value as text, empty where absent; old forms of dates and times in their new one."""
    value = str(data_set.get(keyword) or "").strip(" \0")
    if keyword.endswith("Date"):
        return re.sub("[./-]", "", value)
    return value.replace(":", "") if keyword.endswith("Time") else value


def character_set_problems(data_set):
    """UTF-8 where there is more than ASCII, and nothing where there is not."""
    beyond = any(not str(element.value).isascii() for element in data_set.iterall() if element.VR in ("PN", "LO", "SH", "ST", "LT", "UT", "UC"))
    expected = "ISO_IR 192" if beyond else None
    declared = data_set.get("SpecificCharacterSet")
    return [] if declared == expected else [f"Specific Character Set is {declared}, expected {expected}"]


def shared_rules(data_set):
    """What holds for every object of the node."""
    problems = []
    for keyword in ("Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions"):
        if not data_set.get(keyword):
            problems.append(f"enhanced equipment: {keyword} is empty")
    models = [one for one in data_set.get("ContributingEquipmentSequence", []) if "sha256=" in one.get("ContributionDescription", "")]
    if not models:
        problems.append("no contributing equipment names a model with its SHA-256")
    problems += [f"{uid} is no valid UID" for uid in (data_set.SOPInstanceUID, data_set.SeriesInstanceUID) if not UID(uid).is_valid]
    problems += code_problems(data_set)
    return problems


def code_problems(data_set):
    """Codes of DCM and SCT mean what they are said to mean; retired SRT does not occur."""
    problems = set()
    for item in coded_items(data_set):
        scheme, value, meaning = item.CodingSchemeDesignator, item.get("CodeValue", ""), item.get("CodeMeaning", "")
        if scheme == "SRT":
            problems.add(f"retired scheme SRT: {value} {meaning}")
        if scheme in ("DCM", "SCT"):
            meanings = KNOWN.get((scheme, value))
            if meanings is None:
                problems.add(f"unknown code ({value}, {scheme}, {meaning})")
            elif meaning.lower() not in meanings:
                problems.add(f"({value}, {scheme}) means {sorted(meanings)}, not {meaning}")
    return sorted(problems)


def coded_items(data_set):
    """Items of code sequences, those that come from the source left out."""
    copied = {"ProcedureCodeSequence", "PerformedProcedureCodeSequence"}
    if data_set.get("ConceptNameCodeSequence") and name(data_set) == "121058":
        return
    for element in data_set:
        if element.VR == "SQ" and element.keyword not in copied:
            for item in element.value:
                if "CodingSchemeDesignator" in item:
                    yield item
                yield from coded_items(item)


def known_codes():
    """Meanings in lower case by scheme and value, as pydicom knows them."""
    found = {}
    for scheme in ("DCM", "SCT"):
        for entries in _concepts_dict.concepts[scheme].values():
            for value, (meaning, _) in entries.items():
                found.setdefault((scheme, value), set()).add(meaning.lower())
    # TID 1501 has a meaning of its own for this one.
    found[("SCT", "276214006")].add("finding category")
    # In SNOMED CT, but in no context group of DICOM.
    found[("SCT", "133971000119108")] = {"chronic pulmonary embolism"}
    return found


KNOWN = known_codes()


def report_rules(path, data_set, source):
    """What viewers demand of an SR, beyond the standard."""
    problems = shared_rules(data_set)
    if name(data_set) != "126000":
        problems.append(f"the root is {name(data_set)}, not 126000")
    templates = data_set.get("ContentTemplateSequence", [])
    if not templates or templates[0].TemplateIdentifier != "1500":
        problems.append("the root does not name TID 1500")
    for code in ("111028", "126010"):
        if len(children(data_set, code)) != 1:
            problems.append(f"{len(children(data_set, code))} containers {code}")
    missing = referenced(data_set) - evidence(data_set)
    problems += [f"{uid} is in the tree but not in the evidence sequence" for uid in sorted(missing)]
    if not children(data_set, "121058"):
        problems.append("no procedure reported")
    for item in items(data_set):
        if item.ValueType == "CONTAINER" and name(item) is None:
            problems.append("a container without a name")
    for group in [group for one in children(data_set, "126010") for group in children(one, "125007")]:
        problems += group_problems(group)
    problems += library_problems(data_set, source)
    problems += decision_problems(data_set)
    return problems, []


def group_problems(group):
    """What one measurement group must have."""
    label = children(group, "112039")
    title = label[0].TextValue if label else "a group without tracking identifier"
    problems = [] if label else [title]
    if len(children(group, "112040")) != 1:
        problems.append(f"{title}: no tracking unique identifier")
    for child in group.ContentSequence:
        if name(child) is None:
            problems.append(f"{title}: a direct child ({child.ValueType}) has no concept name")
        if child.ValueType == "TEXT" and name(child) == "121106" and len(child.TextValue) > 40:
            problems.append(f"{title}: a long comment, which viewers draw over the image")
        if name(child) == "363698007" and child.RelationshipType != "HAS CONCEPT MOD":
            problems.append(f"{title}: the finding site is no concept modifier")
    by_segment = bool(children(group, "121191"))
    coordinates = [item for item in items(group) if item.ValueType == "SCOORD"]
    if not coordinates and not by_segment:
        problems.append(f"{title}: no coordinates")
    numbers = [child for child in group.ContentSequence if child.ValueType == "NUM"]
    if numbers and not by_segment and len(children(group, "121106")) != 1:
        problems.append(f"{title}: viewers draw a number without its name")
    for item in coordinates:
        if not any(below.ValueType == "IMAGE" and below.RelationshipType == "SELECTED FROM" for below in item.get("ContentSequence", [])):
            problems.append(f"{title}: coordinates that are not selected from an image")
    return problems


def library_problems(data_set, source):
    """Every analysed slice stands in the image library, and the coordinates lie on their image."""
    problems = []
    series = [image for image in source.series(data_set)]
    library = {
        one.ReferencedSOPInstanceUID
        for container in children(data_set, "111028")
        for item in items(container)
        if item.ValueType == "IMAGE"
        for one in item.ReferencedSOPSequence
    }
    used = {image.SeriesInstanceUID for image in series if image.SOPInstanceUID in library}
    absent = [image for image in series if image.SeriesInstanceUID in used and image.SOPInstanceUID not in library]
    if not used:
        problems.append("the image library names no source image")
    images = [one for item in items(data_set) if item.ValueType == "IMAGE" for one in item.ReferencedSOPSequence]
    problems += source.problems(one for one in images if one.ReferencedSOPClassUID != SEG)
    if absent:
        problems.append(f"{len(absent)} source images of the series are not in the image library")
    for item in items(data_set):
        if item.ValueType == "SCOORD":
            image = source.image(item.ContentSequence[0].ReferencedSOPSequence[0])
            columns, rows = np.array(item.GraphicData[0::2]), np.array(item.GraphicData[1::2])
            if columns.min() < 0 or rows.min() < 0 or columns.max() > image.Columns or rows.max() > image.Rows:
                problems.append("coordinates outside their image")
    return problems


def decision_problems(data_set):
    """One decision; the finding is named if and only if it is present; the probability is a percentage."""
    problems = []
    exam = next((group for group in items(data_set) if name(group) == "125007" and children(group, "59282003")), None)
    if exam is None:
        return ["no group says present, absent or undetermined"]
    decisions = [child.ConceptCodeSequence[0].CodeValue for child in children(exam, "59282003")]
    if len(decisions) != 1 or decisions[0] not in ("52101004", "272519000", "373068000"):
        problems.append(f"decisions {decisions}")
    named = any(child.ConceptCodeSequence[0].CodeValue == "59282003" for child in children(exam, "121071"))
    if named != (decisions == ["52101004"]):
        problems.append(f"the finding is {'named' if named else 'not named'} though the decision is {decisions}")
    for item in items(data_set):
        if item.ValueType == "NUM" and name(item) == "122157":
            value = item.MeasuredValueSequence[0]
            if not 0 <= value.NumericValue <= 100 or value.MeasurementUnitsCodeSequence[0].CodeValue != "%":
                problems.append(f"probability {value.NumericValue} {value.MeasurementUnitsCodeSequence[0].CodeValue}")
    return problems


def capture_rules(path, data_set, source):
    """Secondary capture: what viewers and archives ask for."""
    problems = shared_rules(data_set)
    expected = {"Modality": "OT", "ConversionType": "WSD", "BurnedInAnnotation": "NO", "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    problems += [f"{keyword} is {data_set.get(keyword)!r}" for keyword, value in expected.items() if data_set.get(keyword) != value]
    if list(data_set.ImageType[:2]) != ["DERIVED", "SECONDARY"]:
        problems.append(f"ImageType is {data_set.ImageType}")
    problems += source.problems(data_set.SourceImageSequence)
    if not data_set.SourceImageSequence:
        problems.append("source images are missing")
    labels = data_set.get("FrameLabelVector") or []
    # A single label is no list.
    if "NumberOfFrames" in data_set and len([labels] if isinstance(labels, str) else labels) != data_set.NumberOfFrames:
        problems.append("not one label a frame")
    return problems, []


def key_object_rules(path, data_set, source):
    """Key object selection: images of the source, each once, all in the evidence sequence."""
    problems = shared_rules(data_set)
    if name(data_set) != "113000":
        problems.append(f"the title is {name(data_set)}")
    references = [one for item in items(data_set) if item.ValueType == "IMAGE" for one in item.ReferencedSOPSequence]
    named = [(one.ReferencedSOPInstanceUID, *frames_of(one)) for one in references]
    if not named or len(named) != len(set(named)):
        problems.append("no image, or one named twice")
    problems += source.problems(references)
    if {uid for uid, *_ in named} != evidence(data_set):
        problems.append("tree and evidence sequence differ")
    return problems, []


def presentation_rules(path, data_set, source):
    """Presentation state: graphics on images of the source, within them."""
    problems = shared_rules(data_set)
    shown = [one for series in data_set.ReferencedSeriesSequence for one in series.ReferencedImageSequence]
    problems += source.problems(shown)
    for annotation in data_set.GraphicAnnotationSequence:
        [reference] = annotation.ReferencedImageSequence
        problems += source.problems([reference])
        image = source.image(reference)
        for graphic in annotation.GraphicObjectSequence:
            columns, rows = np.array(graphic.GraphicData).reshape(graphic.NumberOfGraphicPoints, 2).T
            if columns.min() < 0 or rows.min() < 0 or columns.max() > image.Columns or rows.max() > image.Rows:
                problems.append("graphics outside their image")
    return problems, []


def document_rules(path, data_set, source):
    """Document: a PDF of the source."""
    problems = shared_rules(data_set)
    problems += [f"{uid} is no source image" for one in data_set.SourceInstanceSequence if (uid := one.ReferencedSOPInstanceUID) not in source]
    document = data_set.EncapsulatedDocument[: data_set.EncapsulatedDocumentLength]
    if not document.startswith(b"%PDF-") or not document.endswith(b"%%EOF\n"):
        problems.append("the document is no PDF")
    return problems, []


def map_rules(path, data_set, source):
    """Parametric map: numbers from 0 to 1, somewhere on the slices of the source."""
    problems = shared_rules(data_set)
    values = np.frombuffer(data_set.FloatPixelData, "<f4")
    if values.size != data_set.NumberOfFrames * data_set.Rows * data_set.Columns or values.min() < 0 or not 0 < values.max() <= 1:
        problems.append(f"{values.size} values from {values.min()} to {values.max()}")
    heights = [float(frame.PlanePositionSequence[0].ImagePositionPatient[2]) for frame in data_set.PerFrameFunctionalGroupsSequence]
    if not heights or data_set.FrameOfReferenceUID != source.series(data_set)[0].FrameOfReferenceUID:
        problems.append("no frames in the source's frame of reference")
    return problems, []


def segmentation_rules(path, data_set, source):
    """Segmentation: each frame lies exactly on its source image, and left is left."""
    problems = shared_rules(data_set)
    if not data_set.get("ReferencedSeriesSequence"):
        problems.append("no ReferencedSeriesSequence")
    pixels = data_set.pixel_array.reshape(-1, data_set.Rows, data_set.Columns)
    shared = data_set.SharedFunctionalGroupsSequence[0]
    orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    spacing = np.array(shared.PixelMeasuresSequence[0].PixelSpacing, float)
    middles = {}
    for frame, mask in zip(data_set.PerFrameFunctionalGroupsSequence, pixels):
        if not frame.get("SegmentIdentificationSequence"):
            problems.append("a frame without SegmentIdentificationSequence")
            continue
        reference = frame.DerivationImageSequence[0].SourceImageSequence[0]
        problems += source.problems([reference])
        image = source.image(reference)
        position = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        same = (
            np.abs(position - np.array(image.ImagePositionPatient, float)).max() < 0.01
            and np.abs(orientation - np.array(image.ImageOrientationPatient, float)).max() < 1e-4
            and np.abs(spacing - np.array(image.PixelSpacing, float)).max() < 1e-4
            and (data_set.Rows, data_set.Columns) == (image.Rows, image.Columns)
            and data_set.FrameOfReferenceUID == image.FrameOfReferenceUID
        )
        if not same:
            problems.append(f"a frame does not lie on its source image {image.SOPInstanceUID}")
        if not mask.any():
            problems.append("an empty frame")
            continue
        rows, columns = np.nonzero(mask)
        places = position[0] + orientation[0] * spacing[1] * columns + orientation[3] * spacing[0] * rows
        middles.setdefault(frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber, []).append((places.sum(), len(places)))
    problems += side_problems(data_set, middles)
    return sorted(set(problems)), []


def side_problems(data_set, middles):
    """The mean of the left lung lies further to the patient's left than that of the right lung."""
    sides = {}
    for segment in data_set.SegmentSequence:
        modifier = segment.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0]
        total = middles.get(segment.SegmentNumber)
        if total is None:
            return [f"segment {segment.SegmentNumber} has no frame"]
        sides[modifier.CodeMeaning] = sum(one for one, _ in total) / sum(count for _, count in total)
    if len(sides) == 2 and not sides["Left"] > sides["Right"]:
        return [f"left is not left: {sides}"]
    return []


def across(data_sets):
    """Objects of one analysis agree: the lung volumes in the SR are those of the voxels in the SEG."""
    problems = []
    for report in [one for one in data_sets if one.SOPClassUID in SR]:
        named = evidence(report)
        for segmentation in [one for one in data_sets if one.SOPClassUID == SEG and one.SOPInstanceUID in named]:
            problems += volume_problems(report, segmentation)
        if not any(one.SOPInstanceUID in named for one in data_sets if one.SOPClassUID == SEG):
            if any(one.SOPClassUID == SEG and one.StudyInstanceUID == report.StudyInstanceUID for one in data_sets):
                problems.append(f"SR {report.SOPInstanceUID} does not name its SEG")
    series = [one.SeriesInstanceUID for one in data_sets if one.SOPClassUID not in SC]
    if len(series) != len(set(series)):
        problems.append("two objects share a series")
    return problems


def volume_problems(report, segmentation):
    measures = segmentation.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    voxel = float(np.prod([float(one) for one in measures.PixelSpacing])) * float(measures.SpacingBetweenSlices) / 1000
    pixels = segmentation.pixel_array.reshape(-1, segmentation.Rows, segmentation.Columns)
    numbers = [frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber for frame in segmentation.PerFrameFunctionalGroupsSequence]
    problems = []
    for segment in segmentation.SegmentSequence:
        counted = sum(int(mask.sum()) for number, mask in zip(numbers, pixels) if number == segment.SegmentNumber) * voxel
        said = [
            float(number.MeasuredValueSequence[0].NumericValue)
            for group in items(report)
            if name(group) == "125007" and any(one.TextValue.startswith(segment.SegmentLabel) for one in children(group, "112039"))
            for number in children(group, "118565006")
        ]
        if not said or any(abs(one - counted) > 0.01 + 1e-6 * counted for one in said):
            problems.append(f"{segment.SegmentLabel}: {said} mL in the SR, {counted:.3f} mL in the SEG")
    return problems


VALIDATORS = {
    "SR": [("dciodvfy", dciodvfy), ("dsrdump", dsrdump), ("highdicom", highdicom_report), ("rules", report_rules)],
    "SC": [("dciodvfy", dciodvfy), ("pydicom", pydicom_reads), ("rules", capture_rules)],
    "SEG": [("dciodvfy", dciodvfy), ("highdicom", highdicom_segmentation), ("rules", segmentation_rules)],
    "KOS": [("dciodvfy", dciodvfy), ("pydicom", pydicom_reads), ("rules", key_object_rules)],
    "PR": [("dciodvfy", dciodvfy), ("pydicom", pydicom_reads), ("rules", presentation_rules)],
    "PDF": [("dciodvfy", dciodvfy), ("pydicom", pydicom_reads), ("rules", document_rules)],
    "PM": [("dciodvfy", dciodvfy), ("highdicom", highdicom_map), ("rules", map_rules)],
}


def kind(data_set):
    """SR, SC, SEG, KOS, PR, PDF, PM, or None for anything else."""
    uid = data_set.SOPClassUID
    return "SR" if uid in SR else {KOS: "KOS", SEG: "SEG", PR: "PR", PDF: "PDF", PM: "PM"}.get(uid, "SC" if uid in SC else None)


def check(path, data_set, validator, source):
    """Problems and notes of one validator; one that breaks has found a problem."""
    try:
        return validator(path, data_set, source)
    except Exception as error:
        return [f"{type(error).__name__}: {error}"], []


def validate(results, source_folder):
    """Runs all validators, prints the table; the number of failed validators."""
    source = Source(source_folder)
    failed, data_sets = 0, []
    print(f"{'object':<28} {'kind':<5} {'validator':<10} {'result':<8} notes")
    for path in files(results):
        data_set = pydicom.dcmread(path)
        if kind(data_set) is None:
            continue
        data_sets.append(data_set)
        for name, validator in [*VALIDATORS[kind(data_set)], ("study", same_study)]:
            problems, notes = check(path, pydicom.dcmread(path), validator, source)
            failed += bool(problems)
            print(f"{path.name:<28} {kind(data_set):<5} {name:<10} {'FAILED' if problems else 'passed':<8} {len(notes) or ''}")
            for line in [*problems[:20], *notes]:
                print(f"    {line}")
    if not data_sets:
        print(f"{results}: no result object")
        return 1
    problems, _ = check(None, data_sets, lambda _, all_sets, __: (across(all_sets), []), source)
    failed += bool(problems)
    print(f"{'all objects':<28} {'':<5} {'agreement':<10} {'FAILED' if problems else 'passed'}")
    for line in problems:
        print(f"    {line}")
    return failed


if __name__ == "__main__":
    if len(sys.argv) != 3:
        print(__doc__)
        raise SystemExit(2)
    raise SystemExit(1 if validate(sys.argv[1], sys.argv[2]) else 0)
