"""Names in every character set: the node tells what pydicom decodes, everywhere the same."""

import subprocess
import warnings
from pathlib import Path

import pydicom
import pytest
import requests
from conftest import BINARY, ROOT, Node, files
from pydicom.uid import generate_uid

CHARACTER_SETS = Path(pydicom.__file__).parent / "data" / "charset_files"

# Names as bytes, beside those of pydicom's files. In GBK and GB18030 the byte 5C is the second one of many characters.
NAMES = [
    ("GB18030", b"Wang^\x81\x5c=\xcd\xf5^\x9f\x5c\x8f\x5c"),
    ("GB18030", "Zhang^\u3401=\u5f20^\u4e57".encode("gb18030")),
    ("GBK", "Zhang^San=\u5f20^\u4e57\u596c".encode("gbk")),
    ("GBK", b"\xd7\xcf\x5c\xce\xe2"),
    ("ISO_IR 13", b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3"),
    ("ISO_IR 13", b"\xd4\xcf\x5c\xc0\xdb"),
    ("\\ISO 2022 IR 87\\ISO 2022 IR 159", b"\x1b$(D\x30\x21\x30\x22\x1b(B^\x1b$B;3ED\x1b(B"),
    ("ISO 2022 IR 13\\ISO 2022 IR 87", b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J"),
    ("\\ISO 2022 IR 149", b"\x1b$)C\xb1\xe8\xc8\xf1\xc1\xdf"),
    ("ISO_IR 101", "W\u0105\u0142ek^\u0141ucja".encode("iso8859-2")),
    ("ISO_IR 109", "\u0126amrun^\u0127al".encode("iso8859-3")),
    ("ISO_IR 110", "\u013bep^\u013c\u0101".encode("iso8859-4")),
    ("ISO_IR 126", "\u039a\u03ac\u03bb\u03bb\u03b1\u03c2^\u039c\u03b1\u03c1\u03af\u03b1".encode("iso8859-7")),
    ("ISO_IR 144", "\u0418\u0432\u0430\u043d\u043e\u0432".encode("iso8859-5")),
    ("ISO_IR 148", "\u00c7avu\u015fo\u011flu^\u0130".encode("iso8859-9")),
    ("ISO_IR 166", "\u0e19\u0e32\u0e22^\u0e2a\u0e21".encode("tis-620")),
    ("ISO_IR 192", "M\u00fcller^J\u00f6rg=\u5f20^\u4e09".encode()),
    ("ISO_IR-100", "M\u00fcller^J\u00f6rg".encode("latin-1")),
    ("ISO 2022-IR 100\\ISO 2022 IR 126", b"J\xe9r^\x1b-F\xc4\xe9\xef"),
    ("", b"Doe^Jane"),
]


def small_object(folder, number, character_set, name):
    """A file without pixels whose patient's name is these bytes."""
    one = pydicom.Dataset()
    one.SOPClassUID, one.SOPInstanceUID = pydicom.uid.SecondaryCaptureImageStorage, generate_uid()
    one.StudyInstanceUID, one.SeriesInstanceUID, one.Modality = generate_uid(), generate_uid(), "OT"
    if character_set:
        one.SpecificCharacterSet = character_set.split("\\")
    one.PatientName = "X" * len(name)
    return write(folder, number, one, {b"X" * len(name): name})


def write(folder, number, one, replaced=()):
    """Writes a data set with some bytes of it replaced."""
    path = folder / f"{number}.dcm"
    one.file_meta = pydicom.dataset.FileMetaDataset()
    one.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    one.save_as(path, enforce_file_format=True)
    data = path.read_bytes()
    for old, new in dict(replaced).items():
        assert data.count(old) == 1
        data = data.replace(old, new)
    path.write_bytes(data)
    return path


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    """Files with names in many character sets, pydicom's own among them."""
    folder = tmp_path_factory.mktemp("names")
    found = [small_object(folder, number, *one) for number, one in enumerate(NAMES)]
    for path in sorted(CHARACTER_SETS.glob("*.dcm")):
        one = pydicom.dcmread(path)
        # Some files share identifiers, others have none. What is not touched is written as it was read.
        one.SOPClassUID, one.SOPInstanceUID = pydicom.uid.SecondaryCaptureImageStorage, generate_uid()
        one.StudyInstanceUID, one.SeriesInstanceUID = generate_uid(), generate_uid()
        found.append(write(folder, path.stem, one))
    return found


@pytest.fixture(scope="module")
def stored(objects, tmp_path_factory):
    """A node that has them all."""
    node = Node(tmp_path_factory.mktemp("text") / "node").start()
    try:
        boundary = b"names"
        parts = b"".join(
            b"--" + boundary + b"\r\nContent-Type: application/dicom\r\n\r\n" + path.read_bytes() + b"\r\n" for path in objects
        )
        answer = requests.post(
            f"{node.dicomweb}/studies", data=parts + b"--" + boundary + b"--\r\n", timeout=60,
            headers={"Content-Type": 'multipart/related; type="application/dicom"; boundary=names', "Accept": "application/dicom+json"},
        )
        assert answer.status_code == 200, answer.text[:500]
        yield node
    finally:
        node.stop()


def told(element):
    """Values of an element of DICOM JSON as text; a name's groups joined as in DICOM."""
    values = element.get("Value", [])
    groups = ("Alphabetic", "Ideographic", "Phonetic")
    return [
        "=".join(value.get(group, "") for group in groups).rstrip("=") if isinstance(value, dict) else value for value in values
    ]


def decoded(value):
    """What pydicom decodes, one text a value."""
    values = value if isinstance(value, pydicom.multival.MultiValue) else [value]
    return [str(one) for one in values if str(one)]


@pytest.mark.peers("pydicom", "QIDO-RS", "metadata")
def test_query_and_metadata_tell_what_pydicom_decodes(stored, objects):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in objects:
            one = pydicom.dcmread(path, force=True)
            study = f"{stored.dicomweb}/studies/{one.StudyInstanceUID}"
            answers = [
                requests.get(f"{stored.dicomweb}/studies", params={"StudyInstanceUID": one.StudyInstanceUID}, timeout=10).json()[0],
                requests.get(f"{study}/series", timeout=10, params={"includefield": "PatientName"}).json()[0],
                requests.get(f"{study}/metadata", timeout=10, headers={"Accept": "application/dicom+json"}).json()[0],
            ]
            for answer in answers:
                if "00100010" in answer:
                    assert told(answer["00100010"]) == decoded(one.get("PatientName", "")), (path.name, one.get("SpecificCharacterSet"))
            for item in one.get("RequestedProcedureCodeSequence", []):
                ours = answers[2]["00321064"]["Value"][0]
                assert told(ours["00100010"]) == decoded(item.PatientName)
                assert "00080005" not in ours or ours["00080005"]["Value"] == ["ISO_IR 192"]


def test_stored_bytes_stay_as_they_are(stored, objects):
    for path in objects[:3]:
        one = pydicom.dcmread(path)
        answer = requests.get(
            f"{stored.dicomweb}/studies/{one.StudyInstanceUID}", timeout=10,
            headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'},
        )
        assert one.get_item("PatientName").value in answer.content


@pytest.mark.peers("pydicom", "result objects")
def test_results_tell_the_names_of_their_source(tmp_path):
    subprocess.run(
        [str(BINARY), "phantom", "--out", str(tmp_path), "--exams", "1", "--seed", "977", "--preset", "tiny"],
        check=True, capture_output=True, cwd=ROOT,
    )
    source = tmp_path / "train"
    names = {"PatientName": b"Wang^\x81\x5c=\xcd\xf5^\x9f\x5c\x8f\x5c", "StudyDescription": b"CT \xb7\xce\x81\x5c"}
    for path in files(source):
        one = pydicom.dcmread(path)
        one.SpecificCharacterSet = "GB18030"
        one.PatientName, one.StudyDescription = "X" * len(names["PatientName"]), "Y" * len(names["StudyDescription"])
        one.save_as(path)
        data = path.read_bytes()
        for keyword, letter in (("PatientName", b"X"), ("StudyDescription", b"Y")):
            data = data.replace(letter * len(names[keyword]), names[keyword])
        path.write_bytes(data)
    out = tmp_path / "out"
    subprocess.run([str(BINARY), "predict", str(source), "--out", str(out), "--ignore-quality"], check=True, capture_output=True, cwd=ROOT)
    expected = pydicom.dcmread(files(source)[0])
    results = [pydicom.dcmread(path) for path in sorted(out.rglob("*.dcm"))]
    assert {one.Modality for one in results} >= {"SR", "OT", "SEG", "KO"}
    for one in results:
        assert one.SpecificCharacterSet == "ISO_IR 192"
        for keyword in names:
            assert one[keyword].value == expected[keyword].value, (one.Modality, keyword)
