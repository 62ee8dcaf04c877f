"""Handles: random 256-bit secrets of which only the hash is stored.

Tokens, codes, launches, sessions: whoever reads the database holds none of them.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode


def new() -> str:
    """A secret of 256 bits, 43 URL-safe characters."""
    return secrets.token_urlsafe(32)


def key_of(secret: str) -> str:
    """What a secret is stored under. A plain hash does: there is nothing to guess in 256 bits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def seal(secret: str, text: str) -> str:
    """A value only the holder of `secret` can have been given for `text`."""
    return urlsafe_b64encode(hmac.digest(secret.encode(), text.encode(), "sha256")).decode()


def same(one: str, other: str) -> bool:
    """Equality in constant time."""
    return hmac.compare_digest(one.encode(), other.encode())
