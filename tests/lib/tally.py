#!/usr/bin/python3
"""Prints how many tests of a JUnit report passed, failed and were skipped: `12 0 1`.

Reads what pytest and ctest leave. A ctest test is a cmocka program of several tests: those are counted, each.
"""
import re
import sys
import xml.etree.ElementTree as tree

CMOCKA = re.compile(r"^\[  (PASSED|FAILED|SKIPPED)  \] (\d+) test\(s\)", re.M)


def tally(report):
    passed = failed = skipped = 0
    try:
        cases = list(tree.parse(report).iter("testcase"))
    except (OSError, tree.ParseError):
        cases = []  # the runner died before it wrote one: its exit code tells
    for case in cases:
        counts = {kind: int(number) for kind, number in CMOCKA.findall(case.findtext("system-out") or "")}
        broken = case.find("failure") is not None or case.find("error") is not None
        if counts:
            passed += counts.get("PASSED", 0)
            failed += max(counts.get("FAILED", 0), int(broken))
            skipped += counts.get("SKIPPED", 0)
        elif broken:
            failed += 1
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


if __name__ == "__main__":
    print(*tally(sys.argv[1]))
