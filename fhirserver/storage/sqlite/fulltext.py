"""Tests on words to full-text queries (https://sqlite.org/fts5.html#full_text_query_syntax).

The full-text query is made by SQL from the bound words in hexadecimal, so nothing a client sends
is ever read as query syntax.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.storage.sqlite.condition import FALSE, TRUE, compile_test
from fhirserver.storage.sqlite.rows import presence_token

if TYPE_CHECKING:
    from fhirserver.storage.sqlite.shape import Shape


def word_match(param: int, test: Shape) -> str:
    """SQL of the text to MATCH for "some word of `param` passes `test`"."""
    simple = _simple(param, test)
    if simple is not None:
        return "(" + "||' OR '||".join(simple) + ")" if simple else "'\"none\"'"
    prefix = f"{param:x}w"
    word = f"CAST(unhex(substr(v.term,{len(prefix) + 1})) AS TEXT)"
    condition = compile_test(test, {"word": word}, frozenset())
    if condition == TRUE:
        return f"'\"{presence_token(param)}\"'"
    if condition == FALSE:
        return "'\"none\"'"
    return (
        "(SELECT coalesce(group_concat('\"'||v.term||'\"',' OR '),'\"none\"') FROM word_term v"
        f" WHERE v.term>='{prefix}' AND v.term<'{param:x}x' AND {condition})"
    )


def _simple(param: int, test: Shape) -> list[str] | None:
    """SQL of the alternatives, when FTS5's own syntax can say them; None otherwise."""
    op = test[0]
    if op == "either":
        parts = [_simple(param, part) for part in test[1]]
        if None in parts:
            return None
        return [alternative for part in parts for alternative in part or ()]
    if op == "both" and len(test[1]) == 1:
        return _simple(param, test[1][0])
    if op == "eq":
        return [_token(param, test[2], "")]
    if op == "starts":
        return [_token(param, test[2], " *")]
    if op == "in" and (not test[2] or test[2][0] != "array"):
        return [_token(param, slot, "") for slot in test[2]]
    return None


def _token(param: int, slot: int, after: str) -> str:
    return f"'\"{param:x}w'||lower(hex(?{slot}))||'\"{after}'"
