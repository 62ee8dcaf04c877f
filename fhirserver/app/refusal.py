"""A server that may not start as it is set."""

from __future__ import annotations


class StartRefused(Exception):
    """The server may not start with these settings."""
