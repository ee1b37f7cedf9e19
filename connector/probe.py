"""``test HOST:PORT``: what would happen to a flow to this destination, step by step, from this very host."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from connector.core.config import ServedConfig
from connector.core.egress import EgressRules
from connector.dialer import dial_tcp
from connector.resolver import Resolver
from protocol.acl.model import IPAddress, Permit, Request, Transport
from protocol.acl.names import parse_host
from protocol.errors import LocalError, RemoteError
from protocol.reasons import Reason

Emit = Callable[[Mapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Target:
    """What is tested."""

    host: str | IPAddress
    port: int


def parse_target(text: str) -> Target:
    """Parses ``host:port``, ``1.2.3.4:port`` or ``[v6]:port``. Raises LocalError(INVALID_INPUT)."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or len(port) > 5 or not 1 <= int(port) <= 65535:
        raise LocalError(Reason.INVALID_INPUT, f"{text!r} is not HOST:PORT")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise LocalError(Reason.INVALID_INPUT, f"{text!r}: write an IPv6 address as [address]:port")
    return Target(parse_host(host), int(port))


async def probe(
    target: Target, *, resolver: Resolver, served: ServedConfig | None, wall: float, emit: Emit
) -> dict[str, Any]:
    """Resolves, checks the egress rules, dials; reports each step by ``emit``.

    Returns:
        ``resource`` (which of the config's resources covers it; None without one), ``address`` and ``connect_ms``.

    Raises:
        RemoteError: NAME_NOT_FOUND, RESOLVER_FAILED, EGRESS_FORBIDDEN, CONNECTION_REFUSED and the like.
    """
    resource = _resource(target, served, wall)
    await emit({"step": "policy", "resource": resource, "known": served is not None})
    began = time.monotonic()
    if isinstance(target.host, str):
        found = (await resolver.resolve(target.host)).usable(target.host)
        addresses: tuple[IPAddress, ...] = found.addresses
    else:
        addresses = (target.host,)
    await emit({"step": "resolve", "addresses": [str(item) for item in addresses], "ms": _ms_since(began)})
    passed = await _check(addresses, target.port, served.egress if served is not None else EgressRules(), emit)
    began = time.monotonic()
    contact = await dial_tcp(passed, target.port, _Contact)
    return {"resource": resource, "address": str(contact.address), "connect_ms": _ms_since(began)}


class _Contact(asyncio.Protocol):
    """Connects and says nothing."""

    def __init__(self, address: IPAddress) -> None:
        self.address = address

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


async def _check(addresses: tuple[IPAddress, ...], port: int, rules: EgressRules, emit: Emit) -> list[IPAddress]:
    passed = []
    refusal: RemoteError | None = None
    for address in addresses:
        try:
            passed.append(rules.check(address, port))
            await emit({"step": "egress", "address": str(address), "allowed": True, "detail": ""})
        except RemoteError as error:
            refusal = error
            await emit({"step": "egress", "address": str(address), "allowed": False, "detail": error.detail})
    if not passed and refusal is not None:
        raise refusal
    return passed


def _resource(target: Target, served: ServedConfig | None, wall: float) -> str | None:
    if served is None:
        return None
    decision = served.acl.lookup(Request(target.host, Transport.TCP, target.port), wall)
    return decision.entry.resource.id if isinstance(decision, Permit) else None


def _ms_since(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 2)
