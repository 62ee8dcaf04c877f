"""The engines the suite knows.

An engine joins by a file `engine_<name>.py` here with NAME, unavailable(), create(), again() and
discard() as in engine_sqlite.py.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import pytest

ENGINES = ("sqlite", "mongodb")


def engine_named(name: str) -> Any:
    if importlib.util.find_spec(f"engine_{name}") is None:
        pytest.skip(f"tests/contract/engine_{name}.py does not exist")
    module = importlib.import_module(f"engine_{name}")
    reason = module.unavailable()
    if reason is not None:
        pytest.skip(reason)
    return module
