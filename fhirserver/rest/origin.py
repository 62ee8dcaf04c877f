"""The base URL a client sees: a setting, or what it asked for as far as that can be trusted.

https://hl7.org/fhir/R4/http.html#general. `X-Forwarded-Proto`, `-Host` and `-Prefix` count only
when the connection comes from a trusted proxy; anyone else could put foreign URLs into Location,
links and fullUrl with them.
"""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from fhirserver.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

_HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?"
)
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]{2,45}")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]{1,64}){1,16}/?")


class Origin:
    """Gives the FHIR base URL of each request."""

    def __init__(
        self, base_url: str | None, trusted_proxies: Sequence[str] = (), path: str = "/fhir"
    ) -> None:
        self._fixed = base_url.rstrip("/") if base_url else None
        self._path = path
        self._trust_all = "*" in trusted_proxies
        self._networks = [ip_network(p, strict=False) for p in trusted_proxies if p != "*"]
        self._trusted: dict[str, bool] = {}
        self._known: dict[tuple[bytes | None, ...], str] = {}

    def base_url(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> str:
        if self._fixed is not None:
            return self._fixed
        host = headers.get(b"host")
        scheme = scope.get("scheme", "http")
        key: tuple[bytes | None, ...] = (host, scheme.encode())
        if b"x-forwarded-proto" in headers or b"x-forwarded-host" in headers:
            key += (
                headers.get(b"x-forwarded-proto"),
                headers.get(b"x-forwarded-host"),
                headers.get(b"x-forwarded-prefix"),
                b"1" if self.trusts(scope.get("client")) else None,
            )
        elif b"x-forwarded-prefix" in headers:
            key += (None, None, headers.get(b"x-forwarded-prefix"))
            key += (b"1" if self.trusts(scope.get("client")) else None,)
        found = self._known.get(key)
        if found is None:
            found = self._make(key, scope.get("server"))
            if len(self._known) >= 256:
                self._known.clear()
            self._known[key] = found
        return found

    def address(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> str:
        """Where the request comes from: the last address that no trusted proxy has."""
        client = scope.get("client")
        forwarded = headers.get(b"x-forwarded-for")
        if forwarded is not None and self.trusts(client):
            for part in reversed(forwarded.decode("latin-1").split(",")):
                found = part.strip()
                if not _ADDRESS.fullmatch(found):
                    break
                if not self.trusts((found, 0)):
                    return found
        return str(client[0]) if client else ""

    def trusts(self, client: Any) -> bool:
        """Whether the other end of the connection is a proxy whose words count."""
        if self._trust_all:
            return True
        if not client:
            return False
        address = str(client[0])
        known = self._trusted.get(address)
        if known is None:
            try:
                ip = ip_address(address)
            except ValueError:
                known = False
            else:
                known = any(ip in network for network in self._networks)
            if len(self._trusted) >= 1024:
                self._trusted.clear()
            self._trusted[address] = known
        return known

    def _make(self, key: tuple[bytes | None, ...], server: Any) -> str:
        host, scheme = key[0], (key[1] or b"http").decode("latin-1")
        prefix = ""
        if len(key) == 6 and key[5]:
            proto, forwarded_host, forwarded_prefix = (_first(v) for v in key[2:5])
            if proto:
                if proto.lower() not in ("http", "https"):
                    raise Invalid("X-Forwarded-Proto is http or https")
                scheme = proto.lower()
            if forwarded_host:
                host = forwarded_host.encode("latin-1")
            if forwarded_prefix and forwarded_prefix != "/":
                if not _PREFIX.fullmatch(forwarded_prefix):
                    raise Invalid("X-Forwarded-Prefix is not a path")
                prefix = forwarded_prefix.rstrip("/")
        if host is None:
            name, port = server or ("localhost", None)
            text = name if port is None else f"{name}:{port}"
        else:
            text = host.decode("latin-1")
        if not _HOST.fullmatch(text):
            raise Invalid("The Host header is not a host name with an optional port")
        return f"{scheme}://{text}{prefix}{self._path}"


def _first(value: bytes | None) -> str:
    return value.decode("latin-1").split(",")[0].strip() if value else ""
