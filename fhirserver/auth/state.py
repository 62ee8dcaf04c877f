"""What is remembered while a person signs in elsewhere: state, nonce and PKCE verifier."""

from __future__ import annotations

import msgspec

from fhirserver.auth import secret as handles
from fhirserver.auth.configuration import REQUEST
from fhirserver.storage.interface import Grant

KIND = "state"


class State(msgspec.Struct, frozen=True):
    """`request`: handle of the request that waits. `browser`: key of the browser's cookie."""

    provider: str
    request: str
    browser: str
    nonce: str
    verifier: str


def new_state(provider: str, request: str, cookie: str, now: int) -> tuple[str, Grant, State]:
    """The state parameter, what to store for it, and what that says."""
    secret = handles.new()
    state = State(provider, request, handles.key_of(cookie), handles.new(), handles.new())
    expires = now + REQUEST * 1_000_000
    return secret, Grant(KIND, handles.key_of(secret), msgspec.json.encode(state), expires), state
