"""The connector at one relay: an attachment, and parked legs ready for clients (C4, C13; F-4 to F-6).

    attach leg   one, with quick pings: it tells that the relay is alive and brings ``legs_wanted``
    parked legs  a slot each: dial, wait; as soon as the first byte arrives the leg becomes a tunnel, which belongs to
                 the daemon from then on, and the slot dials the next one

Everything is dialled outwards, with the newest ticket, with backoff and jitter. An attachment that is lost takes its
parked legs with it, but not the tunnels that are open.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

import structlog

from connector.peer import TunnelPeer
from protocol.errors import OstiaryError, RemoteError, RemoteProtocolError
from protocol.ids import RelayId
from protocol.limits import LEG_DEAD_AFTER_S, LEG_PING_INTERVAL_S, PARKED_LEGS_MAX
from protocol.reasons import Reason
from protocol.rendezvous import ATTACH_PATH, LEG_PATH, LegsWanted, RelayGoodbye, parse_relay_message_untrusted
from protocol.tokens.claims import ConfigRelay
from runtime.backoff import Backoff
from runtime.clock import Clock
from runtime.leg import Leg, Piece, dial_leg
from runtime.tasks import TaskScope

DIAL_DEADLINE_S: Final = 5.0
PING_INTERVAL_S: Final = 2.0
DEAD_AFTER_S: Final = 6.0
"""Of the attach leg: a relay that fell silent is noticed as fast as a silent controller (F-5)."""
DUPLICATE_PAUSE_S: Final = 30.0
"""Two processes with one identity would otherwise throw each other out for ever."""
STABLE_AFTER_S: Final = 10.0

_log = structlog.get_logger(__name__)


class PeerHost(Protocol):
    """Who makes the connector's ends of tunnels and owns those that are paired."""

    def make_peer(self, leg: Leg, relay: RelayId) -> TunnelPeer: ...

    def adopt(self, peer: TunnelPeer) -> None: ...


class Uplink:
    """Keeps the connector present at one relay. ``run`` goes on until it is cancelled."""

    def __init__(
        self,
        relay: ConfigRelay,
        *,
        context: ssl.SSLContext,
        host: PeerHost,
        clock: Clock,
        parked_legs: int,
        make_backoff: Callable[[], Backoff] = Backoff,
    ) -> None:
        self.relay = relay
        self.attached = False
        self.since = clock.monotonic()
        """Since when ``attached`` has its value (monotonic)."""
        self.error: OstiaryError | None = None
        """Why the last attempt or attachment ended."""
        self.parked = 0
        self._context = context
        self._host = host
        self._clock = clock
        self._slots = parked_legs
        self._make_backoff = make_backoff
        self._extra = 0
        """Legs that were asked for beyond the slots and are not paired yet."""
        self._wake = asyncio.Event()

    def renew(self, relay: ConfigRelay) -> None:
        """Takes a newer entry of the config: the next dial uses its ticket."""
        renewed = relay.ticket != self.relay.ticket
        self.relay = relay
        if renewed and not self.attached:
            self._wake.set()

    async def run(self) -> None:
        """Attaches, again and again."""
        backoff = self._make_backoff()
        self.attached = False
        while True:
            pause = 0.0
            try:
                await self._attach_once()
            except OstiaryError as error:
                if self.attached and self._clock.monotonic() - self.since > STABLE_AFTER_S:
                    backoff.reset()
                self._lost(error)
                if error.reason is Reason.DUPLICATE_AGENT:
                    pause = DUPLICATE_PAUSE_S
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(backoff.next(at_least_s=pause)):
                    await self._wake.wait()

    async def _attach_once(self) -> None:
        """Attaches and parks legs until the attachment ends; raises why it did."""
        leg = await self._dial(ATTACH_PATH, ping_interval_s=PING_INTERVAL_S, dead_after_s=DEAD_AFTER_S)
        attachment = _Attachment()
        try:
            async with TaskScope(f"relay/{self.relay.relay}") as scope:
                attachment.on_legs_wanted = lambda count: self._park_extra(scope, count)
                leg.set_receiver(attachment)
                self.attached, self.since, self.error = True, self._clock.monotonic(), None
                _log.info("relay.attached", relay=self.relay.relay, fqdn=self.relay.fqdn)
                for number in range(self._slots):
                    scope.spawn(self._slot(), name=f"leg-{number}")
                raise await attachment.ended
        finally:
            leg.close(Reason.NORMAL)

    async def _slot(self) -> None:
        backoff = self._make_backoff()
        while True:
            try:
                await self._park_once()
                backoff.reset()
            except OstiaryError as error:
                _log.debug("relay.leg_lost", relay=self.relay.relay, reason=error.reason.code)
                await asyncio.sleep(backoff.next())

    def _park_extra(self, scope: TaskScope, count: int) -> None:
        """Clients are waiting: dials at once, bounded by what a relay takes."""
        for _ in range(min(count, PARKED_LEGS_MAX - self._slots - self._extra)):
            self._extra += 1
            scope.spawn(self._park_once_extra(), name="extra-leg")

    async def _park_once_extra(self) -> None:
        try:
            await self._park_once()
        except OstiaryError as error:
            # The slots keep trying; this one was asked for now or never.
            _log.debug("relay.leg_lost", relay=self.relay.relay, reason=error.reason.code)
        finally:
            self._extra -= 1

    async def _park_once(self) -> None:
        leg = await self._dial(LEG_PATH)
        peer = self._host.make_peer(leg, self.relay.relay)
        self.parked += 1
        try:
            await peer.wait_until_paired()
        except BaseException:
            peer.close(Reason.SHUTTING_DOWN)
            raise
        finally:
            self.parked -= 1
        self._host.adopt(peer)

    async def _dial(
        self, path: str, *, ping_interval_s: float = LEG_PING_INTERVAL_S, dead_after_s: float = LEG_DEAD_AFTER_S
    ) -> Leg:
        relay = self.relay
        return await dial_leg(
            host=relay.fqdn,
            port=relay.port,
            path=path,
            ticket=relay.ticket,
            context=self._context,
            deadline=DIAL_DEADLINE_S,
            ping_interval_s=ping_interval_s,
            dead_after_s=dead_after_s,
        )

    def _lost(self, error: OstiaryError) -> None:
        changed = self.error is None or self.error.reason is not error.reason
        if self.attached or changed:
            _log.warning("relay.lost", relay=self.relay.relay, reason=error.reason.code, detail=error.detail)
        if self.attached:
            self.attached, self.since = False, self._clock.monotonic()
        self.error = error


class Uplinks:
    """The uplinks to all relays of the config in force."""

    def __init__(self, make: Callable[[ConfigRelay], Uplink], scope: TaskScope) -> None:
        self._make = make
        self._scope = scope
        self._uplinks: dict[RelayId, tuple[Uplink, asyncio.Task[None]]] = {}

    def __iter__(self) -> Iterator[Uplink]:
        return iter([uplink for uplink, _ in self._uplinks.values()])

    @property
    def attached(self) -> tuple[RelayId, ...]:
        """The relays that we are attached to."""
        return tuple(relay for relay, (uplink, _) in self._uplinks.items() if uplink.attached)

    def apply(self, relays: Sequence[ConfigRelay]) -> None:
        """Follows a config: new relays are dialled, gone ones left, tickets of the others renewed."""
        wanted = {relay.relay: relay for relay in relays}
        for name in self._uplinks.keys() - wanted.keys():
            self._uplinks.pop(name)[1].cancel()
        for name, relay in wanted.items():
            known = self._uplinks.get(name)
            if known is not None and (known[0].relay.fqdn, known[0].relay.port) == (relay.fqdn, relay.port):
                known[0].renew(relay)
                continue
            if known is not None:
                known[1].cancel()
            uplink = self._make(relay)
            task = self._scope.spawn_supervised(uplink.run, name=f"uplink/{name}")
            self._uplinks[name] = (uplink, task)


class _Attachment:
    """Receiver of the attach leg."""

    def __init__(self) -> None:
        self.on_legs_wanted: Callable[[int], None] = lambda _count: None
        self.ended: asyncio.Future[OstiaryError] = asyncio.get_running_loop().create_future()

    def data_received(self, data: Piece) -> None:
        """Relays send no bytes on an attach leg."""
        self._end(RemoteProtocolError("bytes on an attach leg"))

    def text_received(self, text: str) -> None:
        """A message of the relay."""
        try:
            message = parse_relay_message_untrusted(text)
        except RemoteProtocolError as error:
            self._end(error)
            return
        match message:
            case LegsWanted(count):
                self.on_legs_wanted(count)
            case RelayGoodbye(reason):
                self._end(RemoteError(reason, "the relay ended the attachment"))

    def leg_lost(self, reason: Reason) -> None:
        """The relay is gone."""
        self._end(RemoteError(reason, "the attach leg was lost"))

    def pause_writing(self) -> None:
        """Nothing is written on an attach leg."""

    def resume_writing(self) -> None:
        """Nothing is written on an attach leg."""

    def _end(self, error: OstiaryError) -> None:
        if not self.ended.done():
            self.ended.set_result(error)
