"""The data is found in a checkout and in an installed wheel."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from fhirserver.model import shipped


def test_checkout_has_its_data_at_the_root() -> None:
    assert (shipped.folder("profiles") / "r4" / "types.json").exists()


def test_wheel_has_its_data_in_the_package(tmp_path: Path, monkeypatch) -> None:
    inside = tmp_path / "fhirserver" / "shipped" / "profiles" / "r4"
    inside.mkdir(parents=True)
    (inside / "a.json").write_bytes(b"plain")
    (inside / "b.json.gz").write_bytes(gzip.compress(b"packed"))
    monkeypatch.setattr(shipped, "_PACKAGE", tmp_path / "fhirserver")
    assert shipped.read("profiles", "r4", "a.json") == b"plain"
    assert shipped.read("profiles", "r4", "b.json.gz") == b"packed"
    with pytest.raises(FileNotFoundError, match="terminology"):
        shipped.folder("terminology")
