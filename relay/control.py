"""Control connections: the controller pushes verification keys, the relay reports counters.

The controller dials; the relay only answers (T-29). Whatever a keyset says counts only because a key that the relay
already trusts has signed it.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from protocol.errors import OstiaryError, RemoteProtocolError
from protocol.limits import HEARTBEAT_INTERVAL_S
from protocol.reasons import Reason
from protocol.rendezvous import KeysPushed, RelayReport, encode_relay_message, parse_relay_message_untrusted
from protocol.tokens.keys import VerificationKeys
from relay.admission import Admission
from runtime.clock import Clock
from runtime.leg_frames import Piece
from runtime.leg_protocol import Leg

CONTROL_LEGS_MAX: Final = 16
"""One for each replica of the controller, and those that are being replaced."""

_log = structlog.get_logger(__name__)

KeysStored = Callable[[VerificationKeys, int], None]
"""Keeps new keys and the Unix time of their keyset for the next start."""


class ControlLegs:
    """The controller's connections.

    Args:
        admission: Gets the keys.
        clock: For the keysets' validity.
        report: Makes a report.
        keep: Called with new keys.
        interval_s: Between two reports.
    """

    def __init__(
        self,
        admission: Admission,
        clock: Clock,
        *,
        report: Callable[[], RelayReport],
        keep: KeysStored,
        interval_s: float = HEARTBEAT_INTERVAL_S,
    ) -> None:
        self._admission = admission
        self._clock = clock
        self._report = report
        self._keep = keep
        self._interval_s = interval_s
        self._legs: dict[int, Leg] = {}

    def __len__(self) -> int:
        return len(self._legs)

    @property
    def full(self) -> bool:
        """No more connections are taken."""
        return len(self._legs) >= CONTROL_LEGS_MAX

    def add(self, number: int, leg: Leg) -> None:
        """Takes an admitted connection, and reports to it at once."""
        self._legs[number] = leg
        leg.set_receiver(_ControlReceiver(self, leg))
        leg.write_text(encode_relay_message(self._report()))

    def remove(self, number: int) -> None:
        """The connection is gone."""
        self._legs.pop(number, None)

    async def report_forever(self) -> None:
        """Reports to every connection, every ``interval_s`` seconds."""
        while True:
            await asyncio.sleep(self._interval_s)
            if not self._legs:
                continue
            text = encode_relay_message(self._report())
            for leg in tuple(self._legs.values()):
                # A controller that does not read gets the next one.
                if not leg.paused:
                    leg.write_text(text)

    def message_received(self, leg: Leg, text: str) -> None:
        """A message from the controller; a bad one ends its connection and changes nothing."""
        try:
            message = parse_relay_message_untrusted(text)
            if isinstance(message, KeysPushed):
                keys = self._admission.replace_keys(message.token, self._clock.wall())
                self._keep(keys, self._admission.keys_issued_at)
                _log.info("relay.keys_replaced", kids=sorted(keys.keys))
            elif message is not None:
                raise RemoteProtocolError(f"unexpected {type(message).__name__}")
        except OstiaryError as exc:
            _log.warning("relay.control_message_refused", reason=exc.reason.code, detail=exc.detail)
            leg.close(exc.reason)


class _ControlReceiver:
    __slots__ = ("_leg", "_owner")

    def __init__(self, owner: ControlLegs, leg: Leg) -> None:
        self._owner = owner
        self._leg = leg

    def text_received(self, text: str) -> None:
        self._owner.message_received(self._leg, text)

    def data_received(self, data: Piece) -> None:
        self._leg.close(Reason.PROTOCOL_ERROR)

    def leg_lost(self, reason: Reason) -> None:
        """Its owner hears it by ``on_closed``."""

    def pause_writing(self) -> None:
        """Reports look at ``paused``."""

    def resume_writing(self) -> None:
        """Nothing waits."""
