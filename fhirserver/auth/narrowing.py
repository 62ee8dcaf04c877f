"""What a person can leave of a scope an app asks for: less of it, or nothing.

The choices offered on the consent page; whatever is chosen has to be within what was asked.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from fhirserver.access import scopes as smart
from fhirserver.access.scopes import Scope, Scopes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class NotOffered(Exception):
    """Something was chosen that goes beyond what was asked."""


@lru_cache(maxsize=1)
def words() -> Any:
    """Texts of the pages, types and categories in both languages (pages/words.json)."""
    return json.loads(resources.files("fhirserver.auth").joinpath("pages/words.json").read_bytes())


def offered(scope: Scope) -> list[Scope]:
    """Narrower scopes to choose in place of this one, the wider ones first."""
    found: list[Scope] = []
    reads = "".join(action for action in scope.actions if action in "rs")
    if reads and reads != scope.actions:
        found.append(replace(scope, actions=reads))
    if scope.type == "*":
        return found + [replace(scope, type=type) for type in words()["offered_types"]]
    if not scope.constraints:
        categories = words()["categories"].get(scope.type, {})
        found += [replace(scope, constraints=(("category", value),)) for value in categories]
    return found


def choose(asked: Scopes, kept: Iterable[int], narrowed: Mapping[int, Sequence[str]]) -> Scopes:
    """What is left when the person keeps the scopes of these places, some of them narrowed.
    Raises NotOffered."""
    chosen: list[smart.Item] = []
    for place in sorted(set(kept)):
        if not 0 <= place < len(asked.items):
            raise NotOffered
        item = asked.items[place]
        texts = [text for text in narrowed.get(place, ()) if text]
        if not texts:
            chosen.append(item)
            continue
        for text in texts:
            narrower = smart.parse(text)
            if len(narrower.items) != 1 or not isinstance(item, Scope):
                raise NotOffered
            (left,) = narrower.items
            if not isinstance(left, Scope) or not item.covers(left):
                raise NotOffered
            chosen.append(replace(left, v1=item.v1))
    return smart.of(chosen)
