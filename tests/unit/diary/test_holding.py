"""Resources that hold a code are told from those that do not without being parsed."""

from __future__ import annotations

import pytest

from fhirserver.diary.holding import holds


@pytest.mark.parametrize(
    ("content", "held"),
    [
        (b'{"code":"C50"}', True),
        (b'{"code" :\n "C50"}', True),
        (b'{"system":"stool"}', True),
        (b'{"code":{"coding":[{"code":"x"},{"code":"C50","system":"s"}]}}', True),
        (b'{"display":"C50"}', False),
        (b'{"code":"C500"}', False),
        (b'{"code":"xC50"}', False),
        (b'{"code":"C5 0"}', False),
        (b'{"text":"\\"code\\":\\"C50\\""}', False),
        (b'{"text":"ends in \\\\","code":"C50"}', True),
        (b"{}", False),
        (b"", False),
    ],
)
def test_a_code_or_system_is_found(content, held):
    assert holds(content, frozenset({b"C50", b"stool"})) is held
