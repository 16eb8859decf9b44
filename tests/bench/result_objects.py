"""Every validator over the result objects of 50 phantoms of varied geometry: presets, and forms in which scanners and archives store them."""

import contextlib
import io
import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import series_forms
import validate
from common import ROOT, write_table
from conftest import BINARY

WORK = Path(os.environ.get("PE_NODE_EVIDENCE_WORK", ROOT / "target" / "evidence")) / "result-objects"
# Exams by preset.
EXAMS = {"clinical": 10, "light": 30, "tiny": 10}
FORMS = [*series_forms.LOSSLESS, *series_forms.CODED, *series_forms.LOSSY]


def make(preset):
    """Exams of a preset, each in another form; the number of exams."""
    cohort = WORK / preset / "cohort"
    subprocess.run([str(BINARY), "phantom", "--out", str(cohort), "--exams", str(EXAMS[preset]), "--seed", "5021", "--preset", preset], check=True, cwd=ROOT)
    for index, row in enumerate(series_forms.table(cohort / "truth" / "exams.csv")):
        images = series_forms.images_of(cohort, row)
        series_forms.write_form(images, FORMS[index % len(FORMS)], WORK / preset / "forms" / row["exam"])
    shutil.rmtree(cohort)


def checked(preset):
    """Results of validators by (kind of object, validator): passed, and the lines of those that failed."""
    forms, out = WORK / preset / "forms", WORK / preset / "out"
    subprocess.run([str(BINARY), "predict", str(forms), "--out", str(out), "--ignore-quality", "--csv", str(out.with_suffix(".csv"))], check=True, cwd=ROOT)
    rows = series_forms.table(out.with_suffix(".csv"))
    counts, failures = Counter(), []
    for row in rows:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            validate.validate(out / row["series_instance_uid"], forms)
        for line in printed.getvalue().splitlines():
            if found := re.match(r"\S+( objects)?\s+(\w*)\s+(\w+)\s+(passed|FAILED)", line):
                counts[found[2] or "all", found[3], found[4]] += 1
                if found[4] == "FAILED":
                    failures.append(f"{row['series_instance_uid']}: {line}")
    return len(rows), counts, failures


def main():
    shutil.rmtree(WORK, ignore_errors=True)
    exams, counts, failures = 0, Counter(), []
    for preset in EXAMS:
        make(preset)
        more, found, failed = checked(preset)
        exams, counts, failures = exams + more, counts + found, failures + failed
    rows = []
    for kind, validator in sorted({key[:2] for key in counts}):
        good, bad = counts[kind, validator, "passed"], counts[kind, validator, "FAILED"]
        rows.append([kind, validator, f"{good} of {good + bad}"])
    write_table(
        "result-objects", f"Validators over the results of {exams} phantoms", ["object", "validator", "passed"], rows,
        [
            f"Phantoms `--seed 5021` by preset: {', '.join(f'{count} {preset}' for preset, count in EXAMS.items())}. Orientations, transfer syntaxes, stored numbers, matrices and steps vary: {', '.join(FORMS)}.",
            "`tests/interop/validate.py` says what each validator checks; study: patient and study are the source's; agreement: the objects of an exam name each other, and volumes in the SR are those of the SEG.",
            *failures,
        ],
    )


if __name__ == "__main__":
    main()
