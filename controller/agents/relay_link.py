"""The controller's connections to the relays: it dials each enrolled one, hands it the keys, and takes its reports.

A relay never dials (T-29) and trusts only signatures, so this is the way by which it learns of new keys and distrust
(rendezvous.CONTROL_PATH). Its reports say which connectors hang on it, by hash.
"""

import asyncio
import ssl
from collections.abc import Awaitable
from typing import Final, Protocol

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from controller.agents.presence import Presence
from controller.domain.log import Head
from controller.domain.model import Relay
from controller.domain.state import PolicyState
from controller.publish import Signer
from protocol.errors import OstiaryError, RemoteError, RemoteProtocolError
from protocol.ids import RelayId
from protocol.limits import AGENT_STALL_S, UPGRADE_DEADLINE_S
from protocol.reasons import Reason, reason_from_code
from protocol.rendezvous import (
    CONTROL_MAX_BYTES,
    CONTROL_PATH,
    REASON_HEADER,
    KeysPushed,
    RelayGoodbye,
    RelayReport,
    encode_relay_message,
    parse_relay_message_untrusted,
)
from runtime.backoff import Backoff
from runtime.clock import Clock
from runtime.tasks import TaskScope

CAP_S: Final = 15.0
"""Longest pause between two attempts."""

_log = structlog.get_logger(__name__)


class LogHead(Protocol):
    """The live end of the log (``controller.store.feed.Feed``)."""

    @property
    def state(self) -> PolicyState:
        """The newest state."""
        ...

    def wait_beyond(self, position: int) -> Awaitable[Head]:
        """Waits until the log is longer than ``position``."""
        ...


class RelayLinks:
    """Keeps one connection to every enrolled relay. ``context`` trusts the CA that signed the relays' certificates."""

    def __init__(
        self, feed: LogHead, signer: Signer, presence: Presence, clock: Clock, context: ssl.SSLContext | None
    ) -> None:
        self._feed = feed
        self._signer = signer
        self._presence = presence
        self._clock = clock
        self._context = context

    async def run(self) -> None:
        """Starts and ends links as relays are enrolled and removed; runs until cancelled."""
        links: dict[Relay, asyncio.Task[None]] = {}
        async with TaskScope("relay-links") as scope:
            while True:
                state = self._feed.state
                wanted = {relay for relay in state.relays.values() if relay.key is not None}
                for relay in links.keys() - wanted:
                    links.pop(relay).cancel()
                for relay in wanted - links.keys():
                    links[relay] = scope.spawn(self._keep(relay), name=relay.id)
                await self._feed.wait_beyond(state.position)

    async def _keep(self, relay: Relay) -> None:
        backoff = Backoff(cap_s=CAP_S)
        reported: Reason | None = None
        while True:
            try:
                await self._converse(relay, backoff)
            except OstiaryError as error:
                if error.reason is not reported:
                    reported = error.reason
                    _log.warning("relay.lost", relay=relay.id, reason=error.reason.code, detail=error.detail)
            finally:
                self._presence.relay_lost(relay.id)
            await asyncio.sleep(backoff.next())

    async def _converse(self, relay: Relay, backoff: Backoff) -> None:
        async with await self._dial(relay) as connection:
            self._presence.relay_connected(relay.id, self._clock.wall())
            _log.info("relay.connected", relay=relay.id)
            try:
                async with TaskScope(f"relay {relay.id}") as scope:
                    scope.spawn(self._push_keys(connection, relay), name="keys")
                    while True:
                        await self._take(connection, relay.id)
                        backoff.reset()
            except ConnectionClosed as exc:
                raise RemoteError(Reason.RELAY_UNREACHABLE, "the relay closed the connection") from exc

    async def _dial(self, relay: Relay) -> ClientConnection:
        state = self._feed.state
        ticket = self._signer.controller_ticket(state, relay, self._clock.wall())
        scheme = "wss" if self._context is not None else "ws"
        try:
            return await connect(
                f"{scheme}://{relay.fqdn}:{relay.port}{CONTROL_PATH}",
                ssl=self._context,
                compression=None,
                additional_headers={"Authorization": f"Bearer {ticket}"},
                proxy=None,
                open_timeout=UPGRADE_DEADLINE_S,
                close_timeout=1,
                ping_interval=None,  # its reports come every two seconds
                max_size=CONTROL_MAX_BYTES,
                process_exception=lambda exc: exc,
            )
        except InvalidStatus as exc:
            code = exc.response.headers.get(REASON_HEADER, Reason.RELAY_UNREACHABLE.code)
            raise RemoteError(reason_from_code(code), f"HTTP {exc.response.status_code}") from exc
        except (OSError, EOFError, InvalidHandshake, TimeoutError) as exc:
            raise RemoteError(Reason.RELAY_UNREACHABLE, str(exc) or type(exc).__name__) from exc

    async def _push_keys(self, connection: ClientConnection, relay: Relay) -> None:
        """Sends the keys at once and again whenever they change."""
        sent: frozenset[str] | None = None
        while True:
            state = self._feed.state
            kids = frozenset(state.signing_keys)
            if kids != sent:
                token = self._signer.keyset(state, relay, self._clock.wall())
                try:
                    await connection.send(encode_relay_message(KeysPushed(token)))
                except ConnectionClosed:
                    return  # the reader names the end
                sent = kids
            await self._feed.wait_beyond(state.position)

    async def _take(self, connection: ClientConnection, relay: RelayId) -> None:
        try:
            async with asyncio.timeout(AGENT_STALL_S):
                frame = await connection.recv()
        except TimeoutError as exc:
            raise RemoteError(Reason.PEER_SILENT, f"nothing for {AGENT_STALL_S:g} s") from exc
        if not isinstance(frame, str):
            raise RemoteProtocolError("binary frame from a relay")
        match parse_relay_message_untrusted(frame):
            case RelayReport() as report:
                self._presence.relay_reported(relay, report, self._clock.wall())
            case RelayGoodbye(reason):
                raise RemoteError(reason, "the relay said goodbye")
