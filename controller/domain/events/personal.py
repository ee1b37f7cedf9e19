"""Events of personal data: that it changed or went, never what it was (T-9)."""

from dataclasses import dataclass
from typing import ClassVar

from controller.domain.events.base import Event
from protocol.ids import UserId


@dataclass(frozen=True, slots=True)
class UserRenamed(Event):
    """The user has another display name, which is in the side table."""

    TYPE: ClassVar[str] = "user.renamed/1"
    STREAM_FIELD: ClassVar[str] = "user"
    user: UserId


@dataclass(frozen=True, slots=True)
class UserPersonalDataErased(Event):
    """Nothing but the id is known of the user any more; after a restore it must be erased again (F-26)."""

    TYPE: ClassVar[str] = "user.personal_data_erased/1"
    STREAM_FIELD: ClassVar[str] = "user"
    user: UserId
