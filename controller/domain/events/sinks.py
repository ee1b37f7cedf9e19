"""Events of sinks: since when the logs have gone where, and by whose decision. Credentials are not here."""

from dataclasses import dataclass
from typing import ClassVar

from controller.domain.events.base import Event


@dataclass(frozen=True, slots=True)
class SinkCreated(Event):
    """``content``: ``connections``, ``events`` or both, with a space between."""

    TYPE: ClassVar[str] = "sink.created/1"
    STREAM_FIELD: ClassVar[str] = "sink"
    sink: str
    name: str
    kind: str
    destination: str
    content: str


@dataclass(frozen=True, slots=True)
class SinkRemoved(Event):
    """Nothing goes there any more."""

    TYPE: ClassVar[str] = "sink.removed/1"
    STREAM_FIELD: ClassVar[str] = "sink"
    sink: str
    name: str
