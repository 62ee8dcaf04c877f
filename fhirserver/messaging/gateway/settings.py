"""What the gateway to the secure mail of professionals (MSSanté) is told; off without it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """`listen`: host:port on which the operator's mail server hands mail over. `peers`: networks
    it may come from. `server`: smtp:// or smtps:// URL mail is handed to. `domain`: of the
    citizens' addresses, INS@domain. `software`: the number this software is registered by
    (X-MSS-NIL)."""

    listen: str = ""
    peers: tuple[str, ...] = ("127.0.0.1", "::1")
    server: str = ""
    domain: str = "patient.mssante.fr"
    software: str = ""

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)
