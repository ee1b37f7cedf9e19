"""End-to-end checks: does a connector of each remote network answer, by our tunnel, now?

Whatever came out of a tunnel was said by the connector inside the inner TLS, so a tunnel that was heard lately is checked
already. Else it is asked, and where there is no tunnel one is made. Nobody is told "online" on less than that.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from client.core.direct import DirectPath, way_body
from client.daemon.connector_tunnel import ConnectorTunnel
from client.daemon.control import ControlLink
from client.daemon.gateway import Gateway
from client.daemon.policy import Policy
from client.daemon.session import Session
from protocol.acl.model import Entry
from protocol.errors import OstiaryError, RefusedError, RemoteError
from protocol.ids import ConnectorId, NetworkId
from protocol.reasons import Reason
from runtime.clock import Clock
from runtime.tasks import TaskScope

DEADLINE_S: Final = 12.0
"""For one network, its tunnel included."""
PROBE_S: Final = 2.0
"""Much less than `status` waits: it is to name who is silent, and there is to be time for a second way in."""
FRESH_S: Final = 5.0
"""``status`` makes no check again that is younger."""
NETWORKS_MAX: Final = 16
"""So many are checked at once, those first that were not for longest; the others have their turn the next time."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What is known about the way into a remote network. ``at`` is monotonic seconds; ``reason`` None means reachable."""

    network: NetworkId
    at: float
    reason: Reason | None = None
    detail: str = ""
    tunnel: ConnectorTunnel | None = None
    rtt_s: float | None = None

    @property
    def connector(self) -> ConnectorId | None:
        """Who answered."""
        return None if self.tunnel is None else self.tunnel.path.connector

    @property
    def way(self) -> str:
        """Through which relay, or at which address, in words."""
        path = None if self.tunnel is None else self.tunnel.path
        return f"directly at {path.where}" if isinstance(path, DirectPath) else f"through {path.fqdn}" if path else ""


class Reach:
    """Checks networks; one check per network is in progress at a time, however many ask.

    Args:
        scope: owns the checks, so that whoever gives up does not end them for the others.
    """

    def __init__(self, session: Session, policy: Policy, gateway: Gateway, clock: Clock, scope: TaskScope) -> None:
        self._session = session
        self._policy = policy
        self._gateway = gateway
        self._clock = clock
        self._scope = scope
        self._known: dict[NetworkId, Checked] = {}
        self._running: dict[NetworkId, asyncio.Task[Checked]] = {}
        self._late: dict[NetworkId, float] = {}
        self._of: ControlLink | None = None
        self._every_s: float | None = None
        self._every_changed = asyncio.Event()

    def check_every(self, seconds: float | None) -> None:
        """Networks are checked so often from here on, whether somebody asks or not; None: only when asked."""
        self._every_s = seconds
        self._every_changed.set()

    async def keep_checking(self) -> None:
        """Makes the checks that ``check_every`` asks for; for ever."""
        while True:
            self._every_changed.clear()
            try:
                async with asyncio.timeout(self._every_s):
                    await self._every_changed.wait()
            except TimeoutError:
                await self.verify(DEADLINE_S, fresh_s=0.0)

    def samples(self) -> dict[NetworkId, Entry]:
        """One resource of each remote network in force."""
        return {entry.resource.network: entry for entry in reversed(self._policy.index.acl.entries)}

    async def verify(self, seconds: float, *, fresh_s: float = FRESH_S) -> None:
        """Checks what was not checked for ``fresh_s``, for at most ``seconds``; what takes longer goes on."""
        if self._gateway.tunnels is None:
            return
        now = self._clock.monotonic()
        samples = self.samples()
        due = [network for network in samples if (found := self._find(network)) is None or now - found.at > fresh_s]
        due.sort(key=self._last_tried)
        if due:
            asked = {self._soon(each, samples[each]): each for each in due[:NETWORKS_MAX]}
            _, waiting = await asyncio.wait(asked, timeout=seconds)
            # Whoever has not answered by now is not called reachable for what it said before it was asked.
            self._late.update((asked[task], now) for task in waiting)

    async def check(self, network: NetworkId, entry: Entry) -> Checked:
        """Checks one network now, whatever is known. Never raises an OstiaryError: the reason is in the answer."""
        return await asyncio.shield(self._soon(network, entry))

    def shown(self) -> list[dict[str, Any]]:
        """As ``status`` has it: every network in force, with the age of what is said about it."""
        return [self._shown(network) for network in sorted(self.samples())]

    def connector_name(self, connector: str | None) -> str:
        """The name of a connector; empty when the controller has not said it."""
        link = self._session.link
        return "" if link is None or connector is None else link.connector_names.get(ConnectorId(connector), "")

    def network_name(self, network: NetworkId) -> str:
        """The name of a remote network, else its id."""
        snapshot = self._policy.current
        return network if snapshot is None else snapshot.networks.get(network) or network

    def _find(self, network: NetworkId) -> Checked | None:
        """The newest of: the last check, and the last word out of a tunnel that lives."""
        if self._of is not self._session.link:
            # Another session: what the last one saw was said to somebody else.
            self._known.clear()
            self._of = self._session.link
        known = self._known.get(network)
        tunnels = self._gateway.tunnels
        tunnel = None if tunnels is None else tunnels.find(network)
        if known is not None and known.reason is not None:
            if tunnel is None or tunnel.tunnel.heard_at < known.at:
                return known
            known = None  # it has worked since
        if tunnel is None and known is not None and known.tunnel is not None and known.tunnel.usable:
            tunnel = known.tunnel  # so new that nobody else has it yet
        if tunnel is None:
            return None  # a success rested on a tunnel that is gone
        same = known if known is not None and known.tunnel is tunnel else None
        at = max(tunnel.tunnel.heard_at, float("-inf") if same is None else same.at)
        return Checked(network, at, tunnel=tunnel, rtt_s=tunnel.tunnel.rtt or (None if same is None else same.rtt_s))

    def _last_tried(self, network: NetworkId) -> float:
        """When something was known about it, even if that has come to nothing since: the others come first."""
        known = self._find(network) or self._known.get(network)
        return float("-inf") if known is None else known.at

    def _soon(self, network: NetworkId, entry: Entry) -> "asyncio.Task[Checked]":
        task = self._running.get(network)
        if task is None:
            task = self._running[network] = self._scope.spawn(self._run(network, entry), name="reach")
        return task

    async def _run(self, network: NetworkId, entry: Entry) -> Checked:
        try:
            found = await self._try(network, entry)
        except OstiaryError as error:
            found = self._failed(network, error)
        finally:
            del self._running[network]
            self._late.pop(network, None)
        self._known[network] = found
        return found

    async def _try(self, network: NetworkId, entry: Entry) -> Checked:
        tunnels = self._gateway.tunnels
        if tunnels is None:
            raise RefusedError(Reason.SIGN_IN_REQUIRED)
        try:
            async with asyncio.timeout(DEADLINE_S):
                tunnel = await tunnels.reach(entry)
                try:
                    rtt = await self._probe(tunnel)
                except RemoteError as error:
                    # It died unnoticed: it is given up, this is said at once, and the network has a second chance.
                    tunnel.close(Reason.PEER_SILENT)
                    self._known[network] = self._failed(network, error)
                    tunnel = await tunnels.reach(entry)
                    rtt = await self._probe(tunnel)
        except TimeoutError as exc:
            raise RemoteError(Reason.TIMEOUT, f"no connector answered within {DEADLINE_S:g} s") from exc
        return Checked(network, self._clock.monotonic(), tunnel=tunnel, rtt_s=rtt)

    def _failed(self, network: NetworkId, error: OstiaryError) -> Checked:
        return Checked(network, self._clock.monotonic(), error.reason, self.readable(error.detail))

    @staticmethod
    async def _probe(tunnel: ConnectorTunnel) -> float:
        """The connector answers, and it has accepted who we are."""
        rtt = await tunnel.tunnel.probe(PROBE_S)
        await asyncio.shield(tunnel.proven)
        return rtt

    def readable(self, detail: str) -> str:
        """Returns ``detail`` with names for ids. Details name networks and connectors by id; people know their names."""
        snapshot, link = self._policy.current, self._session.link
        networks = {} if snapshot is None else snapshot.networks
        connectors = {} if link is None else link.connector_names
        for number, name in (*networks.items(), *connectors.items()):
            detail = detail.replace(number, name)
        return detail

    def _shown(self, network: NetworkId) -> dict[str, Any]:
        known = self._find(network)
        body: dict[str, Any] = {"network": network, "network_name": self.network_name(network)}
        if known is None:
            return body | {"state": "unchecked", "checked": None}
        body["checked"] = round(self._clock.wall() - (self._clock.monotonic() - known.at), 3)
        if known.reason is not None:
            said = {"reason": known.reason.code, "sentence": known.reason.sentence, "next": known.reason.next_step}
            return body | {"state": "unreachable", "detail": known.detail} | said
        if known.at <= self._late.get(network, float("-inf")):
            return body | {"state": "unchecked"}
        return body | {
            "state": "reachable",
            "connector": known.connector,
            "connector_name": self.connector_name(known.connector),
            **({} if known.tunnel is None else way_body(known.tunnel.path)),
            "rtt_ms": None if known.rtt_s is None else round(known.rtt_s * 1000, 1),
        }
