"""A running node, phantoms, real images: what the tests with other people's DICOM software share."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("PE_NODE_BINARY", ROOT / "target/debug/pe-node"))
DATA = Path(os.environ.get("PE_NODE_TEST_DATA", ROOT.parent / "shared/data"))


def models():
    """A folder with the bundled lung package and a classifier whose answer is a simple function of the image. The tests
    then depend on the node and not on the training of a network."""
    folder = ROOT / "target" / "test-models"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "onnx" / "lungs", folder / "lungs")
    shutil.copytree(ROOT / "fixtures" / "models" / "fixture-embolism", folder / "fixture-embolism")
    return folder


# For both `pe-node serve` and `pe-node predict`. Measurements set the bundled packages before they import this file.
if "PE_NODE__MODELS__DIRECTORY" not in os.environ:
    os.environ["PE_NODE__MODELS__DIRECTORY"] = str(models())


def pytest_configure(config):
    config.addinivalue_line("markers", "peers(peer, *services): the other software of a test, and the services of the node that it uses")


def pytest_collection_modifyitems(items):
    """What a test shows of peers goes into reports that pytest writes, from which the matrix of peers and services is made."""
    for item in items:
        item.user_properties += [
            ("peers", f"{mark.args[0]}: {service}") for mark in item.iter_markers("peers") for service in mark.args[1:]
        ]


def absent(what):
    """A missing peer or data set is a skip on a developer's machine and a failure in CI."""
    message = f"{what} is absent"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def tool(name):
    """The path of another program. pynetdicom brings namesakes of DCMTK's tools, which are not meant."""
    folders = [folder for folder in os.environ["PATH"].split(os.pathsep) if Path(folder) != Path(sys.executable).parent]
    return shutil.which(name, path=os.pathsep.join(folders)) or absent(name)


@pytest.fixture(scope="session")
def data():
    """Real and hostile images, which are never part of the project."""
    if not DATA.is_dir():
        pytest.skip(f"the test images are absent ({DATA}); set PE_NODE_TEST_DATA")
    return DATA


class Node:
    """`pe-node serve` in a folder of its own, on free loopback ports."""

    def __init__(self, folder, settings=()):
        self.folder = Path(folder)
        self.settings = list(settings)
        self.process = None

    def start(self):
        """Starts the node and waits for its addresses."""
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "dicom.listen": "127.0.0.1:0",
            "http.listen": "127.0.0.1:0",
            "storage.path": str(self.folder / "data"),
            "study.quiet_seconds": "1",
            "onnxruntime.device": "cpu",
            **dict(self.settings),
        }
        arguments = [argument for key, value in settings.items() for argument in ("--set", f"{key}={value}")]
        configuration = self.folder / "node.toml"
        if configuration.exists():
            arguments += ["--config", str(configuration)]
        self.log = open(self.folder / "node.log", "a")
        self.process = subprocess.Popen(
            [str(BINARY), "serve", *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        addresses = {}
        while len(addresses) < 2:
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError(f"the node ended at start:\n{(self.folder / 'node.log').read_text()[-4000:]}")
            words = line.split()
            if len(words) >= 2 and words[0] in ("DICOM", "HTTP"):
                addresses[words[0]] = words[1]
        self.port = int(addresses["DICOM"].rsplit(":", 1)[1])
        self.url = addresses["HTTP"].rstrip("/")
        self.dicomweb = f"{self.url}/dicomweb"
        return self

    def stop(self):
        """Drains the node; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        self.log.close()
        return code

    def kill(self):
        """Ends the node as a power failure would, as far as a process can be."""
        self.process.kill()
        self.process.wait()
        self.log.close()

    def study(self, uid):
        """The API's answer on a study, or None while it knows nothing of it."""
        answer = requests.get(f"{self.url}/api/v1/studies/{uid}", timeout=10)
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        return answer.json()

    def wait(self, study_uid, series=1, timeout=180):
        """The API's answer once this many series of a study are analysed, rejected or failed."""
        ends = ("analysed", "rejected", "failed")
        until = time.monotonic() + timeout
        state = None
        while time.monotonic() < until:
            state = self.study(study_uid)
            if state and sum(one["state"] in ends for one in state["series"]) >= series:
                return state
            time.sleep(0.2)
        raise AssertionError(f"not done after {timeout} s: {json.dumps(state)}\n{(self.folder / 'node.log').read_text()[-3000:]}")

    def resident_mib(self):
        """Resident memory of the node and its children, in MiB."""
        return sum(resident(pid) for pid in tree(self.process.pid)) / 1024


def tree(pid):
    """A process and its descendants."""
    found = [pid]
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += tree(int(child))
    return found


def resident(pid):
    """Resident memory of a process in KiB."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0


@pytest.fixture
def node(tmp_path):
    """A running node."""
    if not BINARY.exists():
        pytest.fail(f"{BINARY} is absent: run `cargo test --test it --no-run`")
    node = Node(tmp_path / "node").start()
    yield node
    node.stop()


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory):
    """Six light phantom exams with ground truth, in RSPECT's layout."""
    folder = tmp_path_factory.mktemp("phantoms") / "cohort"
    subprocess.run(
        [str(BINARY), "phantom", "--out", str(folder), "--exams", "6", "--seed", "977", "--preset", "light"],
        check=True, capture_output=True, cwd=ROOT,
    )
    return folder


def push(node, folder):
    """Sends a folder with DCMTK's dcmsend, default options; its output."""
    done = subprocess.run(
        [tool("dcmsend"), "-aec", "PE-NODE", "--scan-directories", "--recurse", "--no-halt", "127.0.0.1", str(node.port), str(folder)],
        capture_output=True, text=True,
    )
    return done


def until(condition, what="not in time", seconds=60):
    """What a condition says once it says something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(what)


def files(folder):
    """All DICOM files below a folder."""
    found = (path for path in Path(folder).rglob("*") if path.is_file() and path.suffix in (".dcm", ""))
    return sorted(path for path in found if not path.name.startswith("LICENSE"))


def free_port():
    """A loopback port that is free now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def orthanc(folder, **settings):
    """Debian's Orthanc with its defaults and these settings; the URL of its HTTP interface and its DICOM port."""
    dicom, http = free_port(), free_port()
    folder.mkdir()
    configuration = {
        "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"), "DicomAet": "ORTHANC", "DicomPort": dicom,
        "HttpPort": http, "DicomAlwaysAllowStore": True, "RemoteAccessAllowed": False, "AuthenticationEnabled": False, **settings,
    }
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    with open(folder / "log", "w") as log:
        process = subprocess.Popen([tool("Orthanc"), str(folder / "orthanc.json")], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{http}"
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with contextlib.suppress(requests.ConnectionError):
            if requests.get(f"{url}/system", timeout=5).ok:
                break
        time.sleep(0.1)
    yield url, dicom
    process.terminate()
    process.wait()
