"""The connector changes its key while it serves: announced, waited for, switched, and the former one dropped (C5, F-23).

    making      a new key is on disk (NEXT_KEY_FILE)
    announced   the controller knows it and tells clients both pins; wait until no token lives that does not
    switched    the new key is the connector's: new tunnels show it, the controller is told by an assertion with it
    dropped     tunnels that still show the former certificate end, KEY_OVERLAP_S after the switch

The private half never leaves the host. A crash at any point leaves either key usable: the next start goes on from what is on
disk. Nothing is lost when the controller is away: the connector tries again.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from connector.identity import (
    Identity,
    certificate_made_at,
    load_next_key,
    make_rotation,
    promote_key,
    save_next_key,
)
from protocol.control import Message
from protocol.control_keys import AnnounceKey, KeyAnnounced
from protocol.errors import OstiaryError, RefusedError, RemoteError
from protocol.ids import SpkiPin
from protocol.limits import KEY_OVERLAP_S
from protocol.reasons import Reason, reason_from_code
from protocol.tokens.keys import generate_key, pin_of
from runtime.backoff import Backoff
from runtime.clock import Clock
from runtime.files import StateDir

DROP_MARGIN_S: Final = 60.0
"""The former certificate is given up a little before the controller stops naming it."""
LOOK_EVERY_S: Final = 600.0
WAIT_MAX_S: Final = 3600.0
"""However long the controller asks to wait."""
DAY_S: Final = 86_400.0
RETRY_CAP_S: Final = 60.0
_LATER: Final = frozenset({Reason.UNAVAILABLE, Reason.RATE_LIMITED, Reason.TIMEOUT, Reason.CONTROLLER_UNREACHABLE})

_log = structlog.get_logger(__name__)


class Link(Protocol):
    """What is needed of the link to the controller (``runtime.agent_link.AgentLink``)."""

    def next_id(self) -> int: ...

    async def request(self, message: Message) -> Message: ...

    def network_changed(self) -> None: ...


class Host(Protocol):
    """The daemon."""

    identity: Identity

    def use_identity(self, identity: Identity) -> None:
        """Shows the new certificate on tunnels that begin."""
        ...

    def let_go(self, key_pem: bytes) -> None:
        """Asks clients to open nothing more on tunnels with the certificate of a former key."""
        ...

    def drop_tunnels_of(self, key_pem: bytes) -> None:
        """Ends what still shows the certificate of a former key."""
        ...


@dataclass(slots=True)
class Progress:
    """For status. ``phase``: ``idle``, ``making``, ``announced``; times are Unix seconds."""

    phase: str = "idle"
    next_pin: SpkiPin | None = None
    switch_at: float | None = None
    drop_at: float | None = None
    error: OstiaryError | None = field(default=None, repr=False)


class KeyRotation:
    """``run`` it as a task. ``every_days``: age at which the key is changed by itself; 0: only when asked.

    ``overlap_s``: from the switch to the end of the former certificate.
    """

    def __init__(
        self,
        host: Host,
        link: Link,
        state: StateDir,
        clock: Clock,
        *,
        every_days: float,
        overlap_s: float = KEY_OVERLAP_S - DROP_MARGIN_S,
        make_backoff: Callable[[], Backoff] = lambda: Backoff(cap_s=RETRY_CAP_S),
    ) -> None:
        self.progress = Progress()
        self._host = host
        self._link = link
        self._state = state
        self._clock = clock
        self._every_days = every_days
        self._overlap_s = overlap_s
        self._make_backoff = make_backoff
        self._wanted = asyncio.Event()
        self._former: list[tuple[float, bytes]] = []
        """(monotonic time of the end, key) of certificates that tunnels may still show."""

    @property
    def next_pin(self) -> SpkiPin | None:
        """The pin that comes next, for heartbeats (C5)."""
        return self.progress.next_pin

    def ask(self) -> Progress:
        """Somebody wants another key now; asked again while that is under way, nothing more happens."""
        self._wanted.set()
        return self.progress

    async def run(self) -> None:
        """Changes the key when it is asked for or old, and takes up what an earlier run began; until cancelled."""
        while True:
            self._drop_former()
            if self._wanted.is_set() or self._is_old() or load_next_key(self._state) is not None:
                try:
                    await self._rotate()
                except OstiaryError as error:
                    self.progress.error = error
                    _log.error("key.not_rotated", reason=error.reason.code, detail=error.detail)
                finally:
                    self._wanted.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause()):
                    await self._wanted.wait()

    async def _rotate(self) -> None:
        key = load_next_key(self._state)
        if key is None:
            key = generate_key()
            save_next_key(self._state, key)
        self.progress = Progress("making", pin_of(key.public_key()), drop_at=self.progress.drop_at)
        _log.info("key.made", next_pin=self.progress.next_pin)
        wait_s = await self._announce()
        self.progress.phase, self.progress.switch_at = "announced", self._clock.wall() + wait_s
        _log.info("key.announced", next_pin=self.progress.next_pin, wait_s=wait_s)
        await asyncio.sleep(wait_s)
        former = self._host.identity
        identity = promote_key(self._state, former, key, self._clock.wall())
        self._former.append((self._clock.monotonic() + self._overlap_s, former.key_pem))
        self.progress = Progress(drop_at=self._clock.wall() + self._overlap_s)
        self._host.use_identity(identity)
        self._host.let_go(former.key_pem)
        # The controller takes the assertion of the next connection as the switch.
        self._link.network_changed()
        _log.info("key.switched", pin=identity.pin, former_pin=former.pin)

    async def _announce(self) -> float:
        """Returns for how long to wait. Raises OstiaryError when the controller will not have this key."""
        backoff = self._make_backoff()
        while True:
            try:
                return await self._announce_once()
            except (RemoteError, RefusedError) as error:
                if error.reason not in _LATER:
                    raise
                self.progress.error = error
            await asyncio.sleep(backoff.next())

    async def _announce_once(self) -> float:
        key = load_next_key(self._state)
        assert key is not None
        statement, proof = make_rotation(self._host.identity, key, self._clock.wall())
        reply = await self._link.request(AnnounceKey(self._link.next_id(), statement, proof))
        if not isinstance(reply, KeyAnnounced):
            raise RemoteError(Reason.PROTOCOL_ERROR, f"the controller answered with {reply.TYPE}")
        if reply.reason is not None:
            raise RefusedError(reason_from_code(reply.reason), "the controller did not take the new key")
        return min(max(0.0, reply.wait_s), WAIT_MAX_S)

    def _drop_former(self) -> None:
        now = self._clock.monotonic()
        for due, key_pem in tuple(self._former):
            if due <= now:
                self._former.remove((due, key_pem))
                self.progress.drop_at = None
                self._host.drop_tunnels_of(key_pem)
                _log.info("key.dropped")
            else:
                self._host.let_go(key_pem)

    def _is_old(self) -> bool:
        if self._every_days <= 0:
            return False
        age_s = self._clock.wall() - certificate_made_at(self._host.identity.certificate_pem)
        return age_s > self._every_days * DAY_S

    def _pause(self) -> float:
        due = min((due for due, _ in self._former), default=None)
        return LOOK_EVERY_S if due is None else min(LOOK_EVERY_S, max(0.05, due - self._clock.monotonic()))
