"""docs/auth.md shows every SMART capability with a test that there is."""

from __future__ import annotations

import re
from pathlib import Path

from fhirserver.auth.discovery import CAPABILITIES

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "auth.md").read_text()


def test_every_capability_is_shown_by_a_test():
    table = PAGE.partition("## SMART capabilities")[2]
    told: dict[str, str] = {}
    for names, test in re.findall(r"^\| (`[a-z].*?) \| `(\w+)` \|$", table, re.M):
        told.update(dict.fromkeys(re.findall(r"`([^`]+)`", names), test))
    assert set(told) == set(CAPABILITIES)
    tests = "".join(file.read_text() for file in (ROOT / "tests" / "rest").glob("test_auth_*.py"))
    for test in told.values():
        assert f"def {test}(" in tests


def test_every_line_of_the_checklist_has_a_test():
    tests = "".join(file.read_text() for file in (ROOT / "tests" / "rest").glob("test_auth_*.py"))
    lines = [*(f"d{n}" for n in range(1, 6)), *(f"a{n}" for n in range(1, 6)),
             *(f"t{n}" for n in range(1, 9)), *(f"s{n}" for n in range(1, 6))]  # fmt: skip
    for line in lines:
        assert re.search(rf"def test_(\w\d_)*{line}_", tests), line
