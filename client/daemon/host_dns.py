"""The host's DNS while the client runs: our resolver, the host's settings that lead to it, and what strict DNS keeps closed.

The host asks us only when we answer, and is given its settings back when nobody is to be asked any more. With strict DNS
they stay in force when the daemon ends: the names of resources then have no answer, and no other resolver hears of them.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, Final

import dns.exception
import dns.message
import dns.rcode
import dns.rdatatype
import structlog

from client.core import dns_answers
from client.core.addresses import AddressPlan
from client.core.classify import Classifier
from client.core.dns import CANARY, DnsDecider
from client.core.dns_guard import NameGuard
from client.core.dns_zones import zones
from client.core.synthetic import SyntheticPool
from client.daemon.dns_server import DnsServer, Routes
from client.daemon.gateway import Gateway
from client.daemon.policy import Policy
from client.daemon.settings import ClientSettings
from client.daemon.strict_names import StrictNames
from client.host import SOCKET_MARK, strict_journal
from client.host.guard_link import GUARD_SERVER
from client.host.journal import Journal
from client.host.resolver_settings import ResolverSettings, choose_resolver_settings
from client.host.tun import TunDevice
from client.host.upstream import forward_query
from protocol.acl.model import IPAddress, IPNetwork
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.clock import Clock
from runtime.files import StateDir
from runtime.tasks import TaskScope

_SHOWN_DOMAINS: Final = 50

_log = structlog.get_logger(__name__)


class HostDns:
    """``prepare`` first; ``start`` once the device is up; ``follow`` the policy; ``stop``.

    Args:
        spared: names of our own infrastructure, which never are resources.
    """

    def __init__(
        self,
        settings: ClientSettings,
        journal: Journal,
        clock: Clock,
        scope: TaskScope,
        *,
        spared: Callable[[], frozenset[str]],
    ) -> None:
        self._settings = settings
        self._plain_journal = self._journal = journal
        self._clock = clock
        self._scope = scope
        self._spared = spared
        self._names = StrictNames(StateDir(settings.state_dir), NameGuard(strict=settings.strict_dns))
        self._undo = AsyncExitStack()
        self._lock = asyncio.Lock()
        self._plan: AddressPlan | None = None
        self._device: TunDevice | None = None
        self._decider: DnsDecider | None = None
        self._server: DnsServer | None = None
        self._resolver: ResolverSettings | None = None
        self._upstreams: tuple[str, ...] = ()
        self._domains: tuple[str, ...] = ()
        self._followed: tuple[Policy, bool] | None = None

    @property
    def strict(self) -> bool:
        """Whether strict DNS is on."""
        return self._names.guard.strict

    @property
    def server_address(self) -> IPAddress:
        """Where the host asks us."""
        assert self._plan is not None
        return GUARD_SERVER if self.strict else self._plan.own_v4

    async def prepare(self) -> None:
        """Takes up what strict DNS has left in force, or takes it back when it was turned off. Raises LocalError."""
        if self.strict:
            self._journal = await asyncio.to_thread(strict_journal.open_strict, self._settings.state_dir)
            await asyncio.to_thread(self._names.load)
            return
        undone, left = await asyncio.to_thread(strict_journal.release, self._settings.state_dir)
        if undone or left:
            _log.warning("dns.strict_released", undone=len(undone), left=len(left))

    async def start(
        self,
        plan: AddressPlan,
        device: TunDevice,
        classifier: Classifier,
        pool: SyntheticPool,
        gateway: Gateway,
        routes: Routes,
    ) -> None:
        """Answers from here on; the host does not ask yet. Raises LocalError(PORT_IN_USE)."""
        self._plan, self._device = plan, device
        decider = self._decider = DnsDecider(classifier, pool, self._names.guard)
        for address in (plan.own_v4, GUARD_SERVER):
            server = DnsServer(
                address,
                decider,
                gateway,
                upstreams=lambda: self._upstreams,
                routes=routes,
                spared=self._spared,
                clock=self._clock,
                scope=self._scope,
                mark=SOCKET_MARK,
            )
            await server.start()
            self._undo.callback(server.stop)
            self._server = server
        self._undo.push_async_callback(self._leave)

    async def follow(self, policy: Policy, *, active: bool) -> None:
        """The resources, or whether we are up, have changed. Raises LocalError."""
        if self._decider is None:
            return
        self._followed = policy, active
        self._decider.clear()
        await asyncio.to_thread(self._names.follow, policy.current)
        guarded = self._names.guard.domains()
        if not active and not guarded:
            await self._give_back()
            return
        await self._take((*policy.domains(), *guarded) if active else guarded, policy.routes() if active else ())

    async def repair(self) -> bool:
        """Puts our settings back if somebody replaced them; True if so. Reads the host's servers again. Raises LocalError."""
        async with self._lock:
            if self._resolver is None:
                return False
            repaired = await asyncio.to_thread(self._resolver.repair)
            self._upstreams = await asyncio.to_thread(self._resolver.upstreams)
            moved = await self._read_searches(self._resolver)
        if moved:
            await self._follow_again()
        return repaired

    async def set_strict(self, strict: bool) -> None:
        """Turns strict DNS on or off while we run. Raises LocalError: then it is as it was."""
        if strict == self.strict:
            return
        await self._switch(strict)
        try:
            await self._follow_again()
        except LocalError:
            await self._switch(not strict)
            with contextlib.suppress(LocalError):
                await self._follow_again()
            raise
        _log.info("dns.strict_changed", strict=strict)

    async def stop(self) -> None:
        """Stops answering; gives the host's settings back, or leaves them closed."""
        await self._undo.aclose()

    # What people ask

    def status(self) -> dict[str, str]:
        """How the host's questions come here, for ``status``."""
        resolver = self._resolver
        body = {"mode": "off", "server": "", "explanation": ""}
        if resolver is not None:
            body = {"mode": resolver.name, "server": resolver.server, "explanation": resolver.explanation}
        return body | {"strict": "on" if self.strict else "off"}

    def describe(self) -> dict[str, Any]:
        """All about it, for ``dns status``."""
        guard, decider = self._names.guard, self._decider
        return self.status() | {
            "strict": self.strict,
            "splits": self._resolver is not None and self._resolver.splits,
            "domains": list(self._domains[:_SHOWN_DOMAINS]),
            "domain_count": len(self._domains),
            "upstreams": list(self._upstreams),
            "guarded": len(guard.patterns),
            "searches": list(guard.searches) if self.strict else [],
            "known_names": 0 if decider is None else len(decider),
            "synthetic_names": 0 if decider is None else decider.synthetic_count,
        }

    async def query(self, name: str, kind: str) -> dict[str, Any]:
        """Asks our resolver as a program would, and says whose answer it is. Raises LocalError(INVALID_INPUT, UNAVAILABLE)."""
        server, decider = self._server, self._decider
        if server is None or decider is None:
            raise LocalError(Reason.UNAVAILABLE, "the resolver does not run")
        try:
            rdtype = dns.rdatatype.from_text(kind.upper())
            query = dns.message.make_query(name, rdtype, use_edns=0, payload=4096)
        except (dns.exception.DNSException, ValueError) as exc:
            raise LocalError(Reason.INVALID_INPUT, f"{name[:255]!r} {kind[:16]!r}: {exc}") from exc
        wire = query.to_wire()
        who = server.answered_by(wire)
        began = time.perf_counter()
        reply = await server.answer(wire, tcp=True)
        took_ms = (time.perf_counter() - began) * 1000
        if reply is None:
            raise LocalError(Reason.UNAVAILABLE, "no answer")
        message = dns.message.from_wire(reply)
        reason = dns_answers.reason_of(message)
        return {
            "name": name,
            "type": dns.rdatatype.to_text(rdtype),
            "answered_by": who,
            "rcode": dns.rcode.to_text(message.rcode()),
            "answers": [line for rrset in message.answer for line in rrset.to_text().splitlines()],
            "why": [str(getattr(option, "text", "") or "") for option in message.options if hasattr(option, "text")],
            "reason": None if reason is None else reason.code,
            "up": self._followed is not None and self._followed[1],
            "took_ms": round(took_ms, 1),
        }

    async def reset(self, *, forget: bool) -> dict[str, Any]:
        """Forgets what connectors said and says the host's settings anew.

        ``forget``: also the guarded names that the whitelist in force neither holds nor withholds. Raises LocalError.
        """
        if self._decider is not None:
            self._decider.clear()
        if forget:
            await asyncio.to_thread(self._names.forget)
            await self._follow_again()
        async with self._lock:
            resolver = self._resolver
            if resolver is not None:
                await asyncio.to_thread(resolver.apply, self._domains)
                self._upstreams = await asyncio.to_thread(resolver.upstreams)
        _log.info("dns.reset", forgot_names=forget)
        return self.describe()

    async def check(self) -> str:
        """For ``doctor``. Asks as the host does: whoever answers NXDOMAIN to the canary is us. Raises OstiaryError."""
        resolver = self._resolver
        if resolver is None:
            return "This host's own: the client is not up."
        asked = await asyncio.to_thread(resolver.asked)
        query = dns.message.make_query(CANARY, "A").to_wire()
        reply = dns.message.from_wire(await forward_query(query, (asked,), tcp=False, mark=0))
        if reply.rcode() is not dns.rcode.NXDOMAIN:
            raise LocalError(Reason.DNS_SETUP_FAILED, f"{asked} answers this host's questions, not we")
        strict = " Strict DNS is on." if self.strict else ""
        why = f"{resolver.name}: {resolver.explanation}"
        return f"Questions about resources come to {resolver.server} ({why}).{strict}"

    # The host's settings

    async def _switch(self, strict: bool) -> None:
        """What is in force goes back as it was made; what comes next is made the other way, in the other journal."""
        directory = self._settings.state_dir
        journal = await asyncio.to_thread(strict_journal.open_strict, directory) if strict else self._plain_journal
        await self._give_back()
        self._journal, self._names.guard.strict = journal, strict
        if strict:
            await asyncio.to_thread(self._names.load)
        else:
            self._names.guard.keep(())
            await asyncio.to_thread(strict_journal.release, directory)

    async def _follow_again(self) -> None:
        if self._followed is not None:
            policy, active = self._followed
            await self.follow(policy, active=active)

    async def _take(self, domains: tuple[str, ...], networks: tuple[IPNetwork, ...]) -> None:
        assert self._plan is not None
        assert self._device is not None
        pools: list[IPNetwork] = [self._plan.pool_v4, *([] if self._plan.pool_v6 is None else [self._plan.pool_v6])]
        guard = self._names.guard
        async with self._lock:
            resolver = self._resolver
            if resolver is None:
                resolver = await asyncio.to_thread(
                    choose_resolver_settings, self._journal, self._device, [self.server_address], strict=self.strict
                )
            await self._read_searches(resolver)
            made_up = guard.searched(domains)
            self._domains = zones((*domains, *made_up), [*networks, *pools], searches=guard.searches)
            if resolver is self._resolver:
                await asyncio.to_thread(resolver.update, self._domains)
                return
            self._upstreams = await asyncio.to_thread(resolver.upstreams)
            await asyncio.to_thread(resolver.apply, self._domains)
            self._resolver = resolver
            _log.info(
                "dns.mode",
                mode=resolver.name,
                why=resolver.explanation,
                upstreams=len(self._upstreams),
                strict=self.strict,
            )

    async def _read_searches(self, resolver: ResolverSettings) -> bool:
        """Whether the host's programs put other domains behind names than before; only strict DNS has to know."""
        return self.strict and self._names.guard.search(await asyncio.to_thread(resolver.searches))

    async def _give_back(self) -> None:
        async with self._lock:
            resolver, self._resolver = self._resolver, None
            self._domains = ()
            if resolver is not None:
                await asyncio.to_thread(resolver.restore)
                _log.info("dns.restored", mode=resolver.name)

    async def _leave(self) -> None:
        """The daemon ends."""
        if self._resolver is not None and self._names.guard.patterns:
            _log.warning("dns.kept_closed", mode=self._resolver.name, names=len(self._names.guard.patterns))
            return
        await self._give_back()
