"""Events of passkeys: who can sign in by what since when. Their names and keys are not here."""

from dataclasses import dataclass
from typing import ClassVar

from controller.domain.events.base import Event
from protocol.ids import UserId


@dataclass(frozen=True, slots=True)
class UserPasskeyAdded(Event):
    """The passkey signs the user in, from here on; it is password and second factor in one."""

    TYPE: ClassVar[str] = "user.passkey_added/1"
    STREAM_FIELD: ClassVar[str] = "user"
    user: UserId
    passkey: str


@dataclass(frozen=True, slots=True)
class UserPasskeyRenamed(Event):
    """The passkey has another name."""

    TYPE: ClassVar[str] = "user.passkey_renamed/1"
    STREAM_FIELD: ClassVar[str] = "user"
    user: UserId
    passkey: str


@dataclass(frozen=True, slots=True)
class UserPasskeyRemoved(Event):
    """The passkey signs nobody in any more. The actor may be another (T-9)."""

    TYPE: ClassVar[str] = "user.passkey_removed/1"
    STREAM_FIELD: ClassVar[str] = "user"
    user: UserId
    passkey: str
