"""Makes the first files of the corpora in fuzz/corpus; fuzzers add what reaches further.

    python fuzz/seeds.py

Needs the peers of the interoperability tests (tests/install-peers.sh). What it writes is the same each time.
"""

import gzip
import io
import json
import struct
from pathlib import Path

import numpy
from pydicom import Dataset, FileDataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite, write_dataset
from pydicom.filebase import DicomBytesIO
from pydicom.sequence import Sequence
from pynetdicom.pdu import A_ASSOCIATE_RQ, P_DATA_TF
from pynetdicom.pdu_primitives import A_ASSOCIATE, P_DATA
from pynetdicom.presentation import build_context
from pynetdicom.pdu_primitives import MaximumLengthNotification, SCP_SCU_RoleSelectionNegotiation, UserIdentityNegotiation
from pynetdicom.pdu_primitives import ImplementationClassUIDNotification

ROOT = Path(__file__).resolve().parents[1]
CORPUS = ROOT / "fuzz" / "corpus"
CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT, EXPLICIT, BIG, DEFLATED, JPEG_2000 = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.90"
RLE = "1.2.840.10008.1.2.5"


def put(target, name, data):
    """Writes a file of a corpus."""
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def header():
    """An image of 8 x 8 pixels without them."""
    image = Dataset()
    image.SpecificCharacterSet = "ISO_IR 192"
    image.SOPClassUID, image.SOPInstanceUID = CT, "1.2.3.4"
    image.StudyInstanceUID, image.SeriesInstanceUID = "1.2.3", "1.2.3.1"
    image.PatientName, image.PatientID, image.Modality = "Phantom^Ärztin", "P1", "CT"
    image.StudyDate, image.StudyTime = "20260101", "120000"
    image.ImagePositionPatient, image.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    image.PixelSpacing, image.SliceThickness = [0.7, 0.7], 1
    image.RescaleSlope, image.RescaleIntercept = 1, -1024
    image.Rows = image.Columns = 8
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "99TEST", "one"
    image.ProcedureCodeSequence = Sequence([code])
    return image


def pixels():
    """Some numbers of 12 bits."""
    return (numpy.arange(64, dtype="<u2") * 31 % 4096).tobytes()


def encoded(data_set, implicit, little):
    """A data set as bytes."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = implicit, little
    write_dataset(buffer, data_set)
    return buffer.getvalue()


def run_lengths():
    """The pixels by run lengths: two segments of literal runs."""
    words = numpy.frombuffer(pixels(), "<u2")
    segments = [bytes([63]) + (words >> 8).astype("u1").tobytes() + b"\0", bytes([63]) + (words & 255).astype("u1").tobytes() + b"\0"]
    offsets = [64, 64 + len(segments[0])]
    return struct.pack("<16L", 2, *offsets, *[0] * 13) + b"".join(segments)


def jpeg(marker, precision, scan):
    """A JPEG or JPEG-LS stream that has a frame and a scan."""
    frame = struct.pack(">BBHBHHBBBB", 0xFF, marker, 11, precision, 8, 8, 1, 1, 0x11, 0)
    return b"\xff\xd8" + frame + scan + b"\xff\xd9"


def streams():
    """Code streams of 8 x 8 pixels, each by the coding that the target numbers it by."""
    huffman = b"\xff\xc4" + struct.pack(">HB", 19 + 3, 0) + bytes([0, 3] + [0] * 14) + bytes([0, 1, 2])
    lossless = huffman + b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 1, 0, 0) + b"\x15\x24" * 20
    lines = b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 0, 0, 0) + b"\x31\x7f" * 20
    grid = struct.pack(">HH8LHBBB", 41, 0, 8, 8, 0, 0, 8, 8, 0, 0, 1, 11, 1, 1)
    wavelet = b"\xff\x52" + struct.pack(">HBBHBBBBBB", 12, 0, 0, 1, 0, 1, 4, 4, 0, 1) + b"\xff\x5c" + struct.pack(">HBBBBB", 7, 0x40, 0x60, 0x68, 0x68, 0x70)
    tile = b"\xff\x90" + struct.pack(">HHLBB", 10, 0, 0, 0, 1) + b"\xff\x93" + b"\xc7\xd4\x04\x0d\x01\x18\x8e\x58" + b"\xff\xd9"
    return {
        "run-lengths": (0, run_lengths()),
        "baseline": (1, jpeg(0xC0, 8, lossless)),
        "lossless": (2, jpeg(0xC3, 12, lossless)),
        "near-lossless": (3, jpeg(0xF7, 12, lines)),
        "wavelets": (4, b"\xff\x4f\xff\x51" + grid + wavelet + tile),
        "extended": (5, jpeg(0xC1, 12, lossless)),
    }


def file(data_set, syntax):
    """A file."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = syntax, data_set.SOPClassUID, data_set.SOPInstanceUID
    buffer = io.BytesIO()
    dcmwrite(buffer, FileDataset(buffer, data_set, file_meta=meta, preamble=bytes(128)), enforce_file_format=True)
    return buffer.getvalue()


def images():
    """Files by name."""
    native, multi = header(), header()
    native.PixelData = pixels()
    multi.NumberOfFrames, multi.PixelData = 3, pixels() * 3
    found = {"native": file(native, EXPLICIT), "implicit": file(native, IMPLICIT), "frames": file(multi, EXPLICIT), "deflated": file(native, DEFLATED)}
    for name, syntax in (("run-lengths", RLE), ("wavelets", JPEG_2000)):
        compressed = header()
        compressed.PixelData = encapsulate([streams()[name][1]])
        compressed["PixelData"].is_undefined_length = True
        found[name] = file(compressed, syntax)
    return found


def association():
    """An association request."""
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = "SCANNER", "PE-NODE"
    contexts = [build_context(CT, [EXPLICIT, IMPLICIT]), build_context("1.2.840.10008.1.1")]
    for number, context in enumerate(contexts):
        context.context_id = 2 * number + 1
    primitive.presentation_context_definition_list = contexts
    length, implementation, role, user = MaximumLengthNotification(), ImplementationClassUIDNotification(), SCP_SCU_RoleSelectionNegotiation(), UserIdentityNegotiation()
    length.maximum_length_received, implementation.implementation_class_uid = 16384, "1.2.3"
    role.sop_class_uid, role.scu_role, role.scp_role = CT, True, True
    user.user_identity_type, user.primary_field, user.positive_response_requested = 1, b"somebody", True
    primitive.user_information = [length, implementation, role, user]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(primitive)
    return pdu.encode()[6:]


def command(field, data_set, **more):
    """A command set."""
    made = Dataset()
    made.CommandField, made.CommandDataSetType = field, 1 if data_set else 0x0101
    made.AffectedSOPClassUID = CT
    for name, value in more.items():
        setattr(made, name, value)
    made.CommandGroupLength = len(encoded(made, True, True))
    return encoded(made, True, True)


def commands():
    """Command sets by name."""
    return {
        "echo": command(0x0030, False, MessageID=1),
        "store": command(0x0001, True, MessageID=2, Priority=0, AffectedSOPInstanceUID="1.2.3.4"),
        "find": command(0x0020, True, MessageID=3, Priority=0),
        "move": command(0x0021, True, MessageID=4, Priority=0, MoveDestination="PACS"),
        "answer": command(0x8001, False, MessageIDBeingRespondedTo=2, Status=0xB000, ErrorComment="differs"),
    }


def pdu(*values):
    """A P-DATA-TF of values, each with its control byte."""
    primitive = P_DATA()
    primitive.presentation_data_value_list = [[1, bytes([control]) + data] for control, data in values]
    made = P_DATA_TF()
    made.from_primitive(primitive)
    return made.encode()


def identifiers():
    """What is asked for, by name."""
    find = Dataset()
    find.QueryRetrieveLevel, find.StudyInstanceUID, find.PatientName, find.StudyDate = "STUDY", "", "Ph*", "20260101-"
    commitment, reference = Dataset(), Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = CT, "1.2.3.4"
    commitment.TransactionUID, commitment.ReferencedSOPSequence = "1.2.9", Sequence([reference])
    return {"find": find, "commit": commitment}


def volume():
    """A NIfTI-1 file of 2 x 2 x 2 voxels."""
    made = bytearray(352)
    struct.pack_into("<i", made, 0, 348)
    struct.pack_into("<8h", made, 40, 3, 2, 2, 2, 1, 1, 1, 1)
    struct.pack_into("<hh", made, 70, 4, 16)
    struct.pack_into("<8f", made, 76, 1, 1, 1, 1, 0, 0, 0, 0)
    struct.pack_into("<3f", made, 108, 352, 1, 0)
    struct.pack_into("<hh", made, 252, 0, 1)
    for row in range(3):
        struct.pack_into("<4f", made, 280 + 16 * row, *[float(row == column) for column in range(3)], 0)
    made[344:348] = b"n+1\0"
    return bytes(made) + struct.pack("<8h", *range(8))


def main():
    """Writes all."""
    for number, (name, implicit, little) in enumerate((("implicit", True, True), ("explicit", False, True), ("big-endian", False, False))):
        image = header()
        image.PixelData = pixels()
        image["PixelData"].VR = "OW"
        put("data_set", name, bytes([number]) + encoded(image, implicit, little))
    for name, data in images().items():
        put("file", name, data)
        put("image", name, data)
    for name, (coding, stream) in streams().items():
        put("code_stream", name, bytes([coding, 8, 8, 0x88 if coding == 1 else 0x0C]) + stream)
    put("association_request", "storage", association())
    put("association_request", "short", association()[:70])
    for name, data in commands().items():
        put("command", name, data)
    for name, identifier in identifiers().items():
        put("pdus", name, pdu((3, commands()["find"])) + pdu((2, encoded(identifier, True, True))))
    put("pdus", "echo", pdu((3, commands()["echo"])))
    part = "\r\n--b\r\nContent-Type: application/dicom\r\nContent-Location: bulk\r\n\r\n"
    put("multipart", "two-parts", b"\x07" + f"{part}first{part}second\r\n--b--\r\n".encode())
    put("multipart", "line-feeds", b"\x01--b\nContent-Type: text/plain; charset=\"a\\\"b\"\n\n--bread\n--b--")
    put("metadata", "image", json.dumps([header().to_json_dict()]).encode())
    put("metadata", "bulk-data", json.dumps({"00020010": {"vr": "UI", "Value": [EXPLICIT]}, "7FE00010": {"vr": "OW", "BulkDataURI": "bulk"}}).encode())
    put("query", "search", b"PatientName=Ph*&00080020=20260101-20261231&includefield=all&limit=10&ProcedureCodeSequence.CodeValue=1")
    put("query", "accept", b"multipart/related; type=\"application/dicom\"; transfer-syntax=*;q=0.5, image/*;q=0.1")
    put("settings", "destination", b"[[destinations]]\nname = \"PACS\"\nurl = \"dicom://PACS@127.0.0.1:104\"\n\n[study]\nquiet_seconds = 5\n")
    put("settings", "peers", b"[dicom]\nae_title = \"NODE\"\nmaximum_pdu_bytes = 65536\n")
    for package in sorted((ROOT / "onnx").glob("*/*/model.toml")):
        put("manifest", package.parts[-3], package.read_bytes())
    put("labels", "slices", b"StudyInstanceUID,SeriesInstanceUID,SOPInstanceUID,pe_present_on_image,negative_exam_for_pe,indeterminate\n1.2,1.3,1.4,1,0,0\n1.2,1.3,1.5,,0,0\n")
    put("labels", "exams", b"StudyInstanceUID,pe_present_in_exam\n1.2,1\n\"1.3\",0\n")
    put("volume", "plain", volume())
    put("volume", "compressed", gzip.compress(volume(), mtime=0))


if __name__ == "__main__":
    main()
