"""What the controller asks of a connector for a person who looks for the cause: to dial a destination, and tell what happened."""

from dataclasses import dataclass
from typing import ClassVar

from protocol.control import Message


@dataclass(frozen=True, slots=True)
class TestDestination(Message):
    """Resolve and dial this over TCP, and say nothing to whoever answers. Sent only to a connector whose Hello says ``tests``.

    The connector judges by its own config: what is part of none of its resources is not even resolved. ``test`` is the
    controller's number, which the answer repeats; it is no ``id``, because those that an agent waits for are its own.
    """

    __test__: ClassVar[bool] = False
    TYPE: ClassVar[str] = "test"
    test: int
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class DestinationTested(Message):
    """What happened. ``reason`` is a code; None: it connected, to ``address``. A step that was not taken has no time."""

    TYPE: ClassVar[str] = "tested"
    test: int
    reason: str | None = None
    addresses: tuple[str, ...] = ()
    address: str = ""
    resolve_us: int | None = None
    connect_us: int | None = None
