"""What happens, as Server-Sent Events: one reader's frames, and how many readers there are (D10, T-10, T-12).

    event: hello      where the stream begins, and whether nothing was missed since ``Last-Event-ID``
    event: change     one event of the log; its SSE id is its position
    event: presence   a connector or relay came, left, or moved between relays; several changes of one become one
    event: resync     the reader fell behind; the stream ends, and what he knows is to be loaded anew
    event: end        the stream ends, and why

A reader holds a place in the log and no queue: being slow costs him a ``resync``, never the controller's memory. He is
admitted, and stays, as whoever asks by ``permits``: what he may see is judged anew with each change, and the stream ends
with his session.
"""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.responses import StreamingResponse
from starlette.types import Message, Send

from controller.api.presence import Presence
from controller.domain.log import Change, Resync
from controller.domain.permissions import Permission
from controller.domain.sight import ids_told, kind_of
from controller.domain.standing import Standing, standing_of
from controller.domain.state import PolicyState
from controller.store import Store
from protocol.errors import OstiaryError, RefusedError
from protocol.ids import Revision
from protocol.reasons import Reason
from runtime.clock import Clock

HEARTBEAT_S: Final = 15.0
TURN_S: Final = 1.0
"""How often presence is looked at, the end of a session, and that of the process."""
SEND_S: Final = 20.0
"""Who takes nothing for so long is gone."""
BATCH_MAX: Final = 500
"""Changes that are told one by one; who is further behind loads anew."""
STREAMS_MAX: Final = 500
STREAMS_PER_SESSION: Final = 8
STREAMS_PER_PERSON: Final = 32
"""Over all sessions and tokens: who signs in often must not have the places of everybody."""
RETRY_MS: Final = 2000
"""When browsers try again."""
MEDIA_TYPE: Final = "text/event-stream"

Line = tuple[str, bool, float | None, tuple[str, ...]]
"""Kind, online, since when, relays."""


class PresenceWatch:
    """What changed about connectors and relays, for all streams of a process; looks at most once per turn."""

    def __init__(self, clock: Clock, turn_s: float) -> None:
        self._clock = clock
        self._turn_s = turn_s
        self._looked_at = float("-inf")
        self._lines: dict[str, tuple[int, Line]] = {}
        self.version = 0
        """Grows with each look that found a change."""

    def look(self, state: PolicyState, presence: Presence) -> int:
        """Looks, when it is time to; returns the version."""
        now = self._clock.monotonic()
        if now - self._looked_at >= self._turn_s:
            self._looked_at = now
            self._compare(_lines(state, presence))
        return self.version

    def behind(self, version: int) -> Iterator[tuple[str, Line]]:
        """Yields those that changed after ``version``, each as it is now."""
        if version < self.version:
            yield from ((item, line) for item, (at, line) in self._lines.items() if at > version)

    def _compare(self, found: Mapping[str, Line]) -> None:
        changed = [item for item, line in found.items() if item not in self._lines or self._lines[item][1] != line]
        for item in self._lines.keys() - found.keys():
            del self._lines[item]
        if changed:
            self.version += 1
            self._lines.update((item, (self.version, found[item])) for item in changed)


def _lines(state: PolicyState, presence: Presence) -> dict[str, Line]:
    found: dict[str, Line] = {}
    for connector in state.connectors:
        seen = presence.agent(connector)
        found[connector] = ("connector", seen.online, seen.since, tuple(sorted(seen.relays)))
    for relay in state.relays:
        line = presence.relay(relay)
        found[relay] = ("relay", line.online, line.since, ())
    return found


@dataclass(slots=True)
class Streams:
    """The streams of one process."""

    clock: Clock
    turn_s: float = TURN_S
    total_max: int = STREAMS_MAX
    per_session: int = STREAMS_PER_SESSION
    per_person: int = STREAMS_PER_PERSON
    closing: bool = False
    """The process ends: so does every stream, within a turn."""
    watch: PresenceWatch = field(init=False)
    _open: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By person, and session or token."""

    def __post_init__(self) -> None:
        self.watch = PresenceWatch(self.clock, self.turn_s)

    def __len__(self) -> int:
        return self._open.total()

    def take(self, person: str, session: str) -> Callable[[], None]:
        """Takes a place for the session or token of a person; returns how to give it back.

        Raises:
            RefusedError: LIMIT_EXCEEDED; SHUTTING_DOWN.
        """
        if self.closing:
            raise RefusedError(Reason.SHUTTING_DOWN)
        key = person, session
        if self._open[key] >= self.per_session:
            raise RefusedError(Reason.LIMIT_EXCEEDED, f"a session has at most {self.per_session} streams at once")
        if sum(count for (whose, _), count in self._open.items() if whose == person) >= self.per_person:
            raise RefusedError(Reason.LIMIT_EXCEEDED, f"a person has at most {self.per_person} streams at once")
        if len(self) >= self.total_max:
            raise RefusedError(Reason.LIMIT_EXCEEDED, "too many streams are open")
        self._open[key] += 1
        given = [key]

        def give_back() -> None:
            for name in given:
                self._open[name] -= 1
                if self._open[name] <= 0:
                    del self._open[name]
            given.clear()

        return give_back


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads. ``verify`` raises OstiaryError when he may no longer; ``ends_at`` is when he may not in any case."""

    actor: str
    user: str
    ends_at: float
    verify: Callable[[], Awaitable[None]]


class Frames:
    """What one reader is sent; ``after`` is the last position that he knows."""

    def __init__(
        self, store: Store, streams: Streams, presence: Callable[[], Presence], reader: Reader, after: int | None
    ) -> None:
        self._store = store
        self._streams = streams
        self._presence = presence
        self._reader = reader
        head = store.feed.head.position
        begin = head if after is None else Revision(after)
        missed = begin > head or isinstance(store.feed.since(begin), Resync)
        self._resumed = after is not None and not missed
        self._place = store.feed.subscribe(head if missed else begin)
        self._seen = streams.watch.look(store.feed.state, presence())
        self._clock = streams.clock
        self._spoke_at = self._verified_at = streams.clock.monotonic()

    async def frames(self) -> AsyncIterator[str]:
        """Yields until the stream ends."""
        position = int(self._place.position)
        yield f"retry: {RETRY_MS}\n" + _frame("hello", {"position": position, "resumed": self._resumed}, position)
        while True:
            found = await self._next()
            reason = await self._why_end(found)
            if reason is not None:
                yield _frame("end", {"code": reason.code, "detail": reason.sentence})
                return
            if isinstance(found, Resync) or len(found) > BATCH_MAX:
                position = int(self._place.position)
                yield _frame("resync", {"position": position}, position)
                return
            text = "".join((*self._changes(found), *self._presences()))
            now = self._clock.monotonic()
            if not text and now - self._spoke_at >= HEARTBEAT_S:
                text = ": heartbeat\n\n"
            if text:
                self._spoke_at = now
                yield text

    async def _next(self) -> tuple[Change, ...] | Resync:
        try:
            async with asyncio.timeout(self._streams.turn_s):
                return await self._place.next()
        except TimeoutError:
            return ()

    async def _why_end(self, found: tuple[Change, ...] | Resync) -> Reason | None:
        """The session's own row is asked for at each heartbeat, and whenever something happened to its person."""
        if self._streams.closing:
            return Reason.SHUTTING_DOWN
        if self._clock.wall() >= self._reader.ends_at or self._standing() is None:
            return Reason.SIGN_IN_REQUIRED
        now = self._clock.monotonic()
        if now - self._verified_at < HEARTBEAT_S and not self._concerns_reader(found):
            return None
        try:
            await self._reader.verify()
        except OstiaryError as exc:
            return exc.reason
        self._verified_at = now
        return None

    def _concerns_reader(self, found: tuple[Change, ...] | Resync) -> bool:
        if isinstance(found, Resync):
            return True
        mine = {self._reader.user, self._reader.actor}
        return any(change.event.stream in mine or getattr(change.event, "user", None) in mine for change in found)

    def _standing(self) -> Standing | None:
        return standing_of(self._store.feed.state, self._reader.actor)

    def _changes(self, found: tuple[Change, ...]) -> Iterator[str]:
        standing = self._standing()
        for change in found if standing is not None else ():
            assert standing is not None
            state = change.after.state
            ids = ids_told(state, change.before, standing, change.event)
            if ids is not None:
                position = int(change.position)
                told = {"position": position, "kind": kind_of(change.event), "ids": ids, "at_ms": state.at_ms}
                yield _frame("change", told, position)

    def _presences(self) -> Iterator[str]:
        watch, standing = self._streams.watch, self._standing()
        version = watch.look(self._store.feed.state, self._presence())
        if version == self._seen or standing is None:
            return
        for item, (kind, online, since, relays) in watch.behind(self._seen):
            needed = Permission.RELAYS_READ if kind == "relay" else Permission.NETWORKS_READ
            if standing.may(needed):
                shown = list(relays) if standing.may(Permission.RELAYS_READ) else []
                yield _frame("presence", {"id": item, "kind": kind, "online": online, "since": since, "relays": shown})
        self._seen = version


class EventStreamResponse(StreamingResponse):
    """Sends frames as they come. A reader that takes nothing for SEND_S loses the stream."""

    media_type = MEDIA_TYPE

    def __init__(self, frames: AsyncIterator[str], give_back: Callable[[], None]) -> None:
        # Proxies that buffer would hold back what is told now.
        super().__init__(frames, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._give_back = give_back

    async def __call__(self, *args: Any) -> None:
        """Sends until the stream or its reader ends; the place is free again however that happens."""
        try:
            await super().__call__(*args)
        finally:
            self._give_back()

    async def stream_response(self, send: Send) -> None:
        """Sends each part within a deadline."""

        async def in_time(message: Message) -> None:
            async with asyncio.timeout(SEND_S):
                await send(message)

        with contextlib.suppress(TimeoutError):
            await super().stream_response(in_time)


def _frame(event: str, data: Mapping[str, Any], position: int | None = None) -> str:
    """One event. JSON has no line ends of its own, so that no value can forge a frame (T-74)."""
    head = f"id: {position}\n" if position is not None else ""
    return f"{head}event: {event}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"
