"""A person's sign-in on this device: when it ends, when to say so, and how it is extended under open connections (C6, C24).

The link and the tunnels stand on the device's key and not on the sign-in, so that a new sign-in of the same person on the same
device changes nothing for what is open: access tokens and certificates are renewed under it anyway.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import structlog

from client.daemon.identity import Identity
from client.daemon.ownership import Asker
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.clock import Clock

WARN_MOST_S: Final = 24 * 3600.0
WARN_SHARE: Final = 0.25
"""Nobody is warned earlier than in the last quarter of a sign-in, however short it is."""
_WITHIN_MAX_S: Final = 366 * 24 * 3600.0

_log = structlog.get_logger(__name__)


class SignsIn(Protocol):
    """What ``extend`` needs of the session."""

    identity: Identity | None

    async def login(self, asker: Asker) -> None:
        """Signs in again. Raises OstiaryError."""


def ends_at(identity: Identity | None) -> float | None:
    """Returns when the sign-in ends (Unix seconds); None where there is none, or one that does not end by time."""
    if identity is None or not identity.signed_in or identity.session_expires is None:
        return None
    return float(identity.session_expires)


def is_ending(identity: Identity | None, wall: float) -> bool:
    """Whether the sign-in ends so soon that a person should be told at ``wall`` (Unix seconds)."""
    end = ends_at(identity)
    if identity is None or end is None:
        return False
    notice = WARN_MOST_S
    if identity.session_began is not None:
        notice = min(notice, (end - identity.session_began) * WARN_SHARE)
    return wall >= end - notice


def is_same_standing(old: Identity | None, new: Identity) -> bool:
    """Whether ``new`` only lasts longer: same controller, same device, same person, and ``old`` still counts."""
    return (
        old is not None
        and old.signed_in
        and not (old.service or new.service)
        and (old.issuer, old.device, old.user) == (new.issuer, new.device, new.user)
    )


class Notice:
    """Says once per sign-in that it is about to end."""

    def __init__(self, clock: Clock) -> None:
        self.on_ending: Callable[[], None] = lambda: None
        self._clock = clock
        self._said: int | None = None

    def tick(self, identity: Identity | None) -> None:
        """Looks at the clock."""
        if identity is None or not is_ending(identity, self._clock.wall()) or self._said == identity.session_expires:
            return
        self._said = identity.session_expires
        _log.warning("sign_in.ending", ends=identity.session_expires)
        self.on_ending()


async def extend(session: SignsIn, args: Mapping[str, Any], asker: Asker, wall: float) -> None:
    """The verb ``auth``: signs in again, or does nothing when the sign-in lasts longer than ``within_s``.

    Raises:
        LocalError: INVALID_INPUT.
        OstiaryError: what the sign-in meets.
    """
    within = args.get("within_s")
    if within is not None:
        usable = isinstance(within, int | float) and not isinstance(within, bool) and 0 <= within <= _WITHIN_MAX_S
        if not usable:
            raise LocalError(Reason.INVALID_INPUT, "within_s is a number of seconds, a year at most")
        identity = session.identity
        if identity is not None and identity.signed_in:
            end = ends_at(identity)
            if end is None or end - wall > within:
                return
    await session.login(asker)
