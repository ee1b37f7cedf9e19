"""Names, asked of the connector's own resolvers (C18; T-33, F-34).

A name is resolved once per flow; every answer is checked by the egress rules, and the connection goes to an address from
that answer. ``/etc/hosts`` comes first, as for the host's own programs; it and ``/etc/resolv.conf`` are read again when they
change. Answers are kept for their TTL, at most CACHE_TTL_MAX_S, so
that a burst of connections asks once.
"""

import asyncio
import ipaddress
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import dns.asyncquery
import dns.asyncresolver
import dns.exception
import dns.message
import dns.name
import dns.nameserver
import dns.rcode
import dns.rdatatype
import dns.resolver
import structlog

from connector.hosts_file import HOSTS_FILE, HostsFile, stamp_of
from protocol.acl.model import IPAddress
from protocol.errors import RemoteError
from protocol.reasons import Reason
from runtime.clock import Clock

TRY_S: Final = 1.0
"""One resolver, one try."""
LIFETIME_S: Final = 2.7
"""All tries together: the application hears of a dead resolver within three seconds (F-34)."""
CACHE_MAX: Final = 2048
CACHE_TTL_MAX_S: Final = 30.0
NEGATIVE_TTL_S: Final = 2.0
RELOAD_CHECK_S: Final = 5.0
ADDRESSES_MAX: Final = 16
RESOLV_CONF: Final = Path("/etc/resolv.conf")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Resolved:
    """What the resolvers said. ``rcode`` as in RFC 1035; ``addresses`` in the order to try."""

    addresses: tuple[IPAddress, ...]
    ttl: int
    rcode: int

    def usable(self, name: str) -> "Resolved":
        """Returns itself. Raises RemoteError(NAME_NOT_FOUND or RESOLVER_FAILED) when there is no address in it."""
        if self.addresses:
            return self
        if self.rcode in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise RemoteError(Reason.NAME_NOT_FOUND, name)
        raise RemoteError(Reason.RESOLVER_FAILED, name)


class Resolver:
    """Resolves names to addresses; coalesces equal questions.

    Args:
        clock: for the cache.
        servers: ``(address, port)`` of resolvers; empty means those of ``/etc/resolv.conf``.
    """

    def __init__(
        self,
        clock: Clock,
        servers: Sequence[tuple[str, int]] = (),
        *,
        resolv_conf: Path = RESOLV_CONF,
        hosts_file: Path = HOSTS_FILE,
    ) -> None:
        self._clock = clock
        self._servers = tuple(servers)
        self._resolv_conf = resolv_conf
        self._hosts = HostsFile(hosts_file)
        self._resolver: dns.asyncresolver.Resolver | None = None
        self._stamp: tuple[int, int] | None = None
        self._checked_at = 0.0
        self._cache: OrderedDict[str, tuple[float, Resolved]] = OrderedDict()
        self._asking: dict[str, asyncio.Future[Resolved | None]] = {}

    async def resolve(self, name: str) -> Resolved:
        """Returns the addresses of ``name`` (canonical). Failures are in ``rcode``, never an exception."""
        while True:
            known = self.known(name)
            if known is not None:
                return known
            under_way = self._asking.get(name)
            if under_way is None:
                return await self._ask_for_all(name)
            shared = await asyncio.shield(under_way)
            if shared is not None:
                return shared

    def known(self, name: str) -> Resolved | None:
        """Returns what ``resolve`` would say without asking anybody; None: it would ask."""
        self._current()
        own = self._hosts.lookup(name)
        if own:
            return Resolved(own, round(CACHE_TTL_MAX_S), dns.rcode.NOERROR)
        kept = self._cache.get(name)
        return kept[1] if kept is not None and kept[0] > self._clock.monotonic() else None

    async def _ask_for_all(self, name: str) -> Resolved:
        """Asks on behalf of everybody who wants this name; whoever waits begins anew if we are cancelled."""
        answer: asyncio.Future[Resolved | None] = asyncio.get_running_loop().create_future()
        self._asking[name] = answer
        result: Resolved | None = None
        try:
            result = await self._ask(name)
        finally:
            del self._asking[name]
            answer.set_result(result)
        self._keep(name, result)
        return result

    async def forward(self, query: dns.message.Message) -> dns.message.Message:
        """Sends ``query`` to the resolvers in turn and returns the first answer.

        Raises RemoteError(RESOLVER_FAILED).
        """
        try:
            async with asyncio.timeout(LIFETIME_S):
                for address, port in self._addresses():
                    try:
                        reply, _ = await dns.asyncquery.udp_with_fallback(
                            query, address, timeout=TRY_S, port=port, ignore_unexpected=True
                        )
                    except (dns.exception.DNSException, OSError, EOFError) as exc:
                        _log.debug("resolver.failed", server=address, error=type(exc).__name__)
                    else:
                        return reply
        except TimeoutError:
            _log.debug("resolver.failed", error="lifetime")
        raise RemoteError(Reason.RESOLVER_FAILED, "no resolver answered")

    def servers(self) -> tuple[str, ...]:
        """Returns the addresses of the resolvers in use, for status."""
        return tuple(address for address, _ in self._addresses())

    def _addresses(self) -> list[tuple[str, int]]:
        resolver = self._current()
        return [
            (item.address, item.port)
            if isinstance(item, dns.nameserver.AddressAndPortNameserver)
            else (str(item), resolver.port)
            for item in resolver.nameservers
        ]

    async def _ask(self, name: str) -> Resolved:
        resolver = self._current()
        if not resolver.nameservers:
            return Resolved((), 0, dns.rcode.SERVFAIL)
        four, six = await asyncio.gather(
            _ask_one(resolver, name, dns.rdatatype.A), _ask_one(resolver, name, dns.rdatatype.AAAA)
        )
        # One family that fails must not hide the other one (RFC 8305 section 3).
        answers = [item for item in (four, six) if item.addresses]
        if answers:
            addresses = tuple(address for item in answers for address in item.addresses)[:ADDRESSES_MAX]
            return Resolved(addresses, min(item.ttl for item in answers), dns.rcode.NOERROR)
        failed = next((item for item in (four, six) if item.rcode == dns.rcode.SERVFAIL), None)
        return failed or (four if four.rcode == dns.rcode.NXDOMAIN else six)

    def _keep(self, name: str, result: Resolved) -> None:
        if result.addresses:
            life = min(float(result.ttl), CACHE_TTL_MAX_S)
        else:
            life = 0.0 if result.rcode == dns.rcode.SERVFAIL else min(NEGATIVE_TTL_S, float(result.ttl))
        if life <= 0:
            self._cache.pop(name, None)
            return
        self._cache[name] = (self._clock.monotonic() + life, result)
        self._cache.move_to_end(name)
        if len(self._cache) > CACHE_MAX:
            self._cache.popitem(last=False)

    def _current(self) -> dns.asyncresolver.Resolver:
        now = self._clock.monotonic()
        if self._resolver is not None and now - self._checked_at < RELOAD_CHECK_S:
            return self._resolver
        self._checked_at = now
        if self._hosts.refresh():
            self._cache.clear()
        stamp = None if self._servers else stamp_of(self._resolv_conf)
        if self._resolver is None or stamp != self._stamp:
            self._stamp = stamp
            self._resolver = self._make()
            self._cache.clear()
        return self._resolver

    def _make(self) -> dns.asyncresolver.Resolver:
        resolver = dns.asyncresolver.Resolver(configure=False)
        if self._servers:
            resolver.nameservers = [dns.nameserver.Do53Nameserver(address, port) for address, port in self._servers]
        else:
            try:
                resolver.read_resolv_conf(str(self._resolv_conf))
            except (dns.exception.DNSException, OSError, ValueError) as exc:
                _log.warning("resolver.configuration_unreadable", path=str(self._resolv_conf), error=str(exc))
        resolver.timeout = TRY_S
        resolver.lifetime = LIFETIME_S
        resolver.use_edns(0, 0, 1232)
        resolver.retry_servfail = False
        _log.info("resolver.configured", servers=[str(item) for item in resolver.nameservers])
        return resolver


async def _ask_one(resolver: dns.asyncresolver.Resolver, name: str, kind: dns.rdatatype.RdataType) -> Resolved:
    try:
        # dnspython measures its lifetime by the wall clock, which may be set meanwhile (F-13).
        async with asyncio.timeout(LIFETIME_S):
            answer = await resolver.resolve(
                dns.name.from_text(name), kind, raise_on_no_answer=False, search=False, lifetime=LIFETIME_S
            )
    except dns.resolver.NXDOMAIN as exc:
        return Resolved((), _negative_ttl(exc), dns.rcode.NXDOMAIN)
    except (dns.exception.DNSException, OSError, EOFError) as exc:
        _log.debug("resolver.failed", name=name, kind=kind.name, error=type(exc).__name__)
        return Resolved((), 0, dns.rcode.SERVFAIL)
    ttl = max(0, int(answer.chaining_result.minimum_ttl))
    if answer.rrset is None:
        return Resolved((), ttl, dns.rcode.NOERROR)
    addresses = tuple(ipaddress.ip_address(rdata.address) for rdata in answer.rrset)
    return Resolved(addresses, ttl, dns.rcode.NOERROR)


def _negative_ttl(error: dns.resolver.NXDOMAIN) -> int:
    """How long a name may be called absent: by the zone's SOA (RFC 2308 section 5), else for a moment."""
    for response in error.responses().values():  # type: ignore[no-untyped-call]
        for rrset in response.authority:
            if rrset.rdtype == dns.rdatatype.SOA:
                return max(1, min(int(rrset.ttl), int(rrset[0].minimum)))
    return round(NEGATIVE_TTL_S)
