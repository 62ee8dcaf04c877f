"""pytest imports test files by their base name: two of one name cannot be collected together."""

from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parent.parent


def test_base_names_of_test_files_are_unique():
    names = Counter(file.name for file in TESTS.rglob("*.py") if file.name != "conftest.py")
    assert [name for name, files in names.items() if files > 1] == []
