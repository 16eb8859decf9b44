"""Each fuzzer for some minutes: how much was tried, how much code was reached, what failed.

PE_NODE_FUZZ_SECONDS says how long each runs: 180 unless set; 1800 for a night.
"""

import os
import re
import subprocess
import sys

from common import ROOT, write_table

SECONDS = int(os.environ.get("PE_NODE_FUZZ_SECONDS", "180"))
TARGETS = sorted(folder.name for folder in (ROOT / "fuzz" / "corpus").iterdir())
EDGES = re.compile(r"^#\d+\s+(INITED|DONE)\s+cov: (\d+)", re.MULTILINE)


def number(text, name):
    """A number of the fuzzer's last lines."""
    found = re.search(rf"stat::{name}:\s+(\d+)", text)
    return int(found[1]) if found else 0


def run(target):
    """Runs one fuzzer; a row of the table, and whether nothing failed."""
    done = subprocess.run([ROOT / "fuzz" / "run.sh", str(SECONDS), target], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    edges = dict(EDGES.findall(done.stderr))
    failed = "" if done.returncode == 0 else (re.findall(r"(?:panicked at|ERROR:|SUMMARY:) .*", done.stderr) or ["does not run"])[-1]
    row = [
        f"`{target}`",
        f"{number(done.stderr, 'number_of_executed_units'):,}",
        f"{number(done.stderr, 'average_exec_per_sec'):,}",
        edges.get("INITED", ""),
        edges.get("DONE", ""),
        f"{number(done.stderr, 'peak_rss_mb'):,} MB",
        failed or "none",
    ]
    return row, not failed


def main():
    rows, passed = zip(*[run(target) for target in TARGETS])
    columns = ["target", "executions", "a second", "edges reached by the corpus", "after fuzzing", "memory", "failures"]
    notes = [
        f"{SECONDS} seconds each, one after the other, with the address sanitizer; more than 10 seconds or 2 GiB for one input are failures.",
        "An edge is a jump of the program; those of libraries count. Panics of decoders are caught by the program, and are none here.",
        "By `fuzz/run.sh`. What failed before is in fuzz/corpus, which the library tests run.",
    ]
    write_table("fuzzing", "Fuzzers", columns, list(rows), notes)
    if not all(passed):
        sys.exit(1)


if __name__ == "__main__":
    main()
