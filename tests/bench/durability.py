"""kill -9 twenty times at random moments, as in the tests, only longer."""

import os
import subprocess
import sys

from common import ROOT, write_table

KILLS = 20


def main():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", "tests/interop/test_durability.py", "-k", "kill"],
        cwd=ROOT, env={**os.environ, "PE_NODE_KILLS": str(KILLS)}, capture_output=True, text=True,
    )
    write_table(
        "durability", f"kill -9, {KILLS} times at random moments while two studies are pushed, analysed and delivered", ["what", "outcome"],
        [["nothing acknowledged is missing, one result set a study, each result once at the receiving SCP", "holds" if done.returncode == 0 else "FAILS"]],
        [line for line in done.stdout.splitlines() if "passed" in line or "failed" in line],
    )
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)


if __name__ == "__main__":
    main()
