"""Where the data that travels with the server is: profiles/ and terminology/.

An installed wheel holds them in `fhirserver/shipped/`; a checkout has them at its root.
"""

from __future__ import annotations

import gzip
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def folder(name: str) -> Path:
    """The folder `name` (profiles, terminology, examples) of the shipped data."""
    for root in (_PACKAGE / "shipped", _PACKAGE.parent):
        if (root / name).is_dir():
            return root / name
    raise FileNotFoundError(f"The data folder {name!r} is missing from this installation.")


def read(name: str, *parts: str) -> bytes:
    """The bytes of one shipped file, unpacked when its name ends in .gz."""
    body = folder(name).joinpath(*parts).read_bytes()
    return gzip.decompress(body) if parts[-1].endswith(".gz") else body
