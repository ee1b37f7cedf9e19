"""The base of all events."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events. ``STREAM`` names the stream, or, when ``STREAM_FIELD`` is set, that field's value does."""

    TYPE: ClassVar[str] = ""
    STREAM: ClassVar[str] = ""
    STREAM_FIELD: ClassVar[str] = ""

    @property
    def stream(self) -> str:
        """The stream that this event is appended to."""
        return str(getattr(self, self.STREAM_FIELD)) if self.STREAM_FIELD else self.STREAM
