"""Fetching a document that someone else named: keys of a client or an identity provider.

Only https, only hosts on a list the operator gave, only addresses that are public, connected to
by that very address (a name that changes its answer between check and use gains nothing), no
redirects, no credentials, bounded in time and size.
"""

from __future__ import annotations

import asyncio
import re
import socket
import time
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import msgspec

from fhirserver.model.outside import OutsideRefused, reach

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

SECONDS = 5.0
BYTES = 256 * 1024
#: How long a document is kept at most; no longer than its Cache-Control allows.
KEPT = 3600
_KEPT_AT_ONCE = 256
#: IPv4 behind a translator (RFC 6052).
_TRANSLATED = IPv6Network("64:ff9b::/96")
_MAX_AGE = re.compile(r"max-age\s*=\s*\"?(\d{1,9})")


class Refused(Exception):
    """The document may not be or could not be fetched."""


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class Fetcher:
    """Fetches and keeps JSON documents from `hosts` (`keys.example.org`, perhaps with a port)."""

    def __init__(
        self,
        hosts: Sequence[str],
        *,
        resolve: Callable[[str, int], Awaitable[list[str]]] = resolve,
        verify: Any = True,
        allow_private: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)
        self._resolve = resolve
        self._verify = verify
        self._allow_private = allow_private
        self._monotonic = monotonic
        self._kept: dict[str, tuple[float, Any]] = {}
        self._asked: dict[str, float] = {}

    async def json(self, url: str, *, fresh: bool = False) -> Any:
        """The document. `fresh`: not one from memory, unless it was just fetched (an unknown key
        may be a new one, but nobody makes this server ask at every request). Raises Refused."""
        now = self._monotonic()
        kept = self._kept.get(url)
        just_now = self._asked.get(url, 0.0) > now - 10
        if kept is not None and kept[0] > now and (just_now or not fresh):
            return kept[1]
        document, seconds = await self._fetch(url)
        if len(self._kept) >= _KEPT_AT_ONCE:
            self._kept.clear()
            self._asked.clear()
        self._kept[url] = (now + min(seconds, KEPT), document)
        self._asked[url] = now
        return document

    async def address(self, url: str) -> tuple[str, int, str]:
        """Host, port and the address to connect to. Raises Refused."""
        try:
            parts = urlsplit(url)
            port = parts.port or 443
        except ValueError:
            raise Refused("not a URL") from None
        host = (parts.hostname or "").lower()
        if parts.scheme != "https" or not host or "@" in parts.netloc:
            raise Refused("only https URLs are fetched")
        if host not in self._hosts and f"{host}:{port}" not in self._hosts:
            raise Refused("the host is not on the list of hosts to fetch from")
        try:
            async with asyncio.timeout(SECONDS):
                addresses = await self._resolve(host, port)
        except (OSError, TimeoutError):
            raise Refused("the host is not known") from None
        if not addresses:
            raise Refused("the host is not known")
        if not self._allow_private and not all(map(_public, addresses)):
            raise Refused("the host has an address that is not public")
        return host, port, addresses[0]

    async def _fetch(self, url: str) -> tuple[Any, int]:
        host, port, address = await self.address(url)
        try:
            reach(host)
        except OutsideRefused as error:
            raise Refused(str(error)) from None
        parts = urlsplit(url)
        literal = f"[{address}]" if ":" in address else address
        target = f"https://{literal}:{port}{parts.path or '/'}"
        if parts.query:
            target += f"?{parts.query}"
        name = host if port == 443 else f"{host}:{port}"
        try:
            async with (
                asyncio.timeout(SECONDS),
                httpx.AsyncClient(
                    verify=self._verify, follow_redirects=False, trust_env=False, timeout=SECONDS
                ) as http,
                http.stream(
                    "GET",
                    target,
                    headers={
                        "host": name,
                        "accept": "application/json",
                        "accept-encoding": "identity",
                    },
                    # The certificate is that of the name, whatever address is connected to.
                    extensions={"sni_hostname": host},
                ) as response,
            ):
                if response.status_code != 200:
                    raise Refused(f"answered {response.status_code}")
                body = b""
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > BYTES:
                        raise Refused("the document is too large")
                control = response.headers.get("cache-control", "")
        except (httpx.HTTPError, TimeoutError, OSError) as error:
            raise Refused(f"cannot be fetched ({type(error).__name__})") from None
        try:
            document = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError):
            raise Refused("is not JSON") from None
        return document, _seconds(control)


def _public(address: str) -> bool:
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        within = ip.ipv4_mapped or ip.sixtofour
        if ip in _TRANSLATED:
            within = IPv4Address(int(ip) & 0xFFFFFFFF)
        if within is not None:
            return _public(str(within))
        if ip.is_site_local:
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def _seconds(cache_control: str) -> int:
    control = cache_control.lower()
    if "no-store" in control or "no-cache" in control:
        return 0
    found = _MAX_AGE.search(control)
    return int(found[1]) if found else 300
