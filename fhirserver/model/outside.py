"""The one gate through which this server calls others: only hosts that the operator has listed.

Whoever opens a connection to another machine asks `reach` first (a test looks for code that does
not). Where nothing is set, as in development, every host may be called; this machine always.
Health data stays in the country of hosting: no telemetry, no outside fetches (CSP L.1111-8).
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

_allowed: frozenset[str] | None = None


class OutsideRefused(OSError, ValueError):
    """The host is not one that this server may call."""


def allow(hosts: frozenset[str] | None) -> frozenset[str] | None:
    """From now on this process calls these hosts only (None: all); what held before."""
    global _allowed
    before, _allowed = _allowed, hosts
    return before


def reach(target: str) -> None:
    """Ask to call a host, or the host of a URL. Raises OutsideRefused."""
    if _allowed is not None and not is_within(target) and host_of(target) not in _allowed:
        raise OutsideRefused(f"{host_of(target)[:200]} is not among the outside hosts allowed")


def host_of(target: str) -> str:
    """The name of a host in a URL, `host:port` or `host`, in lower case."""
    try:
        name = urlsplit(target if "://" in target else f"//{target}").hostname
    except ValueError:
        name = None
    return (name or target).lower().rstrip(".")


def is_within(target: str) -> bool:
    """Whether it is this machine."""
    name = host_of(target)
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
