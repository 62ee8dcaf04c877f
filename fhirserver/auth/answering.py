"""What the endpoints share: JSON that nobody keeps, and the address a request comes from."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastapi import Request

NO_STORE = {
    "cache-control": "no-store",
    "pragma": "no-cache",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
PREFLIGHT = {
    "access-control-allow-methods": "GET, POST, OPTIONS",
    "access-control-allow-headers": "Authorization, Content-Type, Accept",
    "access-control-max-age": "7200",
}


def json_response(
    content: Any, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    body = msgspec.json.encode(content)
    return Response(body, status, {**NO_STORE, **(headers or {})}, "application/json")


def address_of(request: Request, trusted: Sequence[str]) -> str:
    """Where a request comes from: the connection's other end, or what trusted proxies say."""
    hops = [h.strip() for h in request.headers.get("x-forwarded-for", "").split(",") if h.strip()]
    found = request.client.host if request.client else ""
    networks = [ip_network(t, strict=False) for t in trusted if t != "*"]
    while hops and ("*" in trusted or _within(found, networks)):
        found = hops.pop()
    return found[:64]


def _within(address: str, networks: Sequence[Any]) -> bool:
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    return any(ip in network for network in networks)
