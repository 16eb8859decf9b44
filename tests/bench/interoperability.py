"""Which other software was tried with which service of the node: every test with a peer, as a matrix of peers and services."""

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

from common import ROOT, write_table


def outcomes(report):
    """Tests by (peer, service), passed and not, from a report of pytest."""
    passed, other = Counter(), Counter()
    for test in ElementTree.parse(report).iter("testcase"):
        bad = [child.tag for child in test if child.tag in ("failure", "error", "skipped")]
        for one in test.iter("property"):
            peer, service = one.get("value").split(": ")
            (other if bad else passed)[peer, service] += 1
    return passed, other


def ran():
    """The outcomes of all tests with peers."""
    with tempfile.TemporaryDirectory() as place:
        report = Path(place) / "report.xml"
        arguments = ["--quiet", "--override-ini=junit_family=xunit1", f"--junitxml={report}", "tests/interop"]
        subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=ROOT)
        return outcomes(report)


def main():
    # The tests bring packages of their own; a measurement's would be others.
    os.environ.pop("PE_NODE__MODELS__DIRECTORY", None)
    passed, other = ran()
    peers, services = (sorted({key[place] for key in passed | other}) for place in (0, 1))

    def cell(peer, service):
        good, bad = passed[peer, service], other[peer, service]
        return f"{good} of {good + bad}" if good + bad else ""

    write_table(
        "interoperability", "Other software by service: tests that pass",
        ["service", *peers], [[service, *(cell(peer, service) for peer in peers)] for service in services],
        [
            "Tests of `tests/interop`, each with the named software itself on the other side. SCP: the node serves; SCU: the node calls.",
            "HTTP clients: requests with unusual headers, bodies and addresses.",
        ],
    )


if __name__ == "__main__":
    main()
