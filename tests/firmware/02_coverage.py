"""How much of firmware/core its unit tests reach: lines and branches, each above 95 %. `./dev test` has built build/coverage."""

import json
import os
import subprocess
from pathlib import Path

LEAST = 95.0

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "coverage"
# An assertion is there to fail never.
GCOVR = ["gcovr", "--root", ".", "--filter", "firmware/core/", "--exclude-branches-by-pattern", r".*\bassert\(.*", str(BUILD)]


def test_lines_and_branches_of_the_core_are_covered_above_95_percent():
    for counts in BUILD.rglob("*.gcda"):
        counts.unlink()
    for source in sorted((ROOT / "tests/firmware").glob("test_*.c")):
        done = subprocess.run([str(BUILD / source.stem)], capture_output=True, text=True, timeout=600,
                              env={**os.environ, "COINSLOT_SEEDS": "50"})
        assert done.returncode == 0, done.stdout + done.stderr
    print(subprocess.run([*GCOVR, "--txt"], cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    told = subprocess.run([*GCOVR, "--json-summary"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    summary = json.loads(told)
    print(f"lines {summary['line_percent']} %, branches {summary['branch_percent']} % "
          f"({summary['branch_covered']} of {summary['branch_total']})")
    assert summary["line_percent"] > LEAST
    assert summary["branch_percent"] > LEAST
