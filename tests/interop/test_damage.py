"""Damage of the node's own disk: never told as a success, never as a fault of the sender, and healed."""

import subprocess

import pydicom
import requests
from conftest import BINARY, ROOT, Node, files, push, until
from test_rejections import raw_stow


def blob_of(node, uid):
    """The file of an object."""
    [path] = [path for path in (node.folder / "data" / "blobs").rglob("*.dcm") if pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID == uid]
    return path


def flip(path):
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1000])


def readiness(node):
    answer = requests.get(f"{node.url}/readyz", timeout=30)
    return answer.status_code, {check["name"]: check for check in answer.json()["checks"]}


def test_a_damaged_object_is_never_given_as_if_it_were_whole_and_heals_when_it_comes_again(node, phantoms):
    [study, *_] = sorted((phantoms / "train").iterdir())
    push(node, study)
    node.wait(study.name)
    images = [pydicom.dcmread(path) for path in files(study)]
    address = f"{node.dicomweb}/studies/{study.name}/series/{images[0].SeriesInstanceUID}"
    whole = requests.get(address, headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}, timeout=60)
    assert whole.status_code == 200
    for image, damage in zip(images, (flip, cut, lambda path: path.unlink()), strict=False):
        uid = image.SOPInstanceUID
        damage(blob_of(node, uid))
        instance = f"{address}/instances/{uid}"
        for path, accept in (
            (address, 'multipart/related; type="application/dicom"; transfer-syntax=*'), (instance, "application/dicom; transfer-syntax=*"),
            (f"{instance}/frames/1", "multipart/related; type=application/octet-stream"), (f"{instance}/metadata", "application/dicom+json"),
            (f"{instance}/rendered", "image/png"),
        ):
            answer = requests.get(path, headers={"Accept": accept}, timeout=60)
            assert answer.status_code == 500, (path, answer.status_code)
            assert uid in answer.json()["detail"], answer.text
        status, checks = readiness(node)
        assert status == 200 and uid in checks["objects"]["warning"], checks
        assert uid in requests.get(node.url, timeout=30).text
        assert "pe_node_damaged_objects 1" in requests.get(f"{node.url}/metrics", timeout=30).text
        assert raw_stow(node, [files(study)[images.index(image)].read_bytes()]).status_code == 200
        assert requests.get(address, headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}, timeout=60).status_code == 200
        assert "warning" not in readiness(node)[1]["objects"]


def test_a_damaged_index_is_told_and_made_anew(phantoms, tmp_path):
    [study, other, *_] = sorted((phantoms / "train").iterdir())
    node = Node(tmp_path / "node", {"study.quiet_seconds": "600"}.items()).start()
    push(node, study)
    node.stop()
    index = node.folder / "data" / "index.sqlite"
    content = bytearray(index.read_bytes())
    for page in range(30, len(content) // 4096 - 4):
        content[page * 4096:page * 4096 + 4096] = b"\xa5" * 4096
    index.write_bytes(content)
    try:
        node.start()
    except RuntimeError as error:
        assert "pe-node archive reindex" in str(error)
    else:
        status, checks = until(lambda: (found := readiness(node))[0] == 503 and found)
        assert "pe-node archive reindex" in checks["queue"]["detail"]
        answer = raw_stow(node, [files(other)[0].read_bytes()])
        assert answer.status_code in (200, 503), answer.status_code
        node.stop()
    arguments = ["--set", f"storage.path={node.folder / 'data'}"]
    done = subprocess.run([str(BINARY), "archive", "reindex", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    node.settings = [("study.quiet_seconds", "1")]
    node.start()
    assert readiness(node)[0] in (200, 503)
    state = node.wait(study.name)
    assert state["series"][0]["state"] in ("analysed", "rejected")
    assert state["series"][0]["instances"] == len(files(study))
    assert "index is damaged" not in readiness(node)[1]["queue"]["detail"]
    node.stop()
