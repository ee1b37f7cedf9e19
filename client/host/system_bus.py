"""Calls over the system's D-Bus, from a thread: one connection per call, a deadline for everything.

The address is fixed (T-59): a root daemon asks the system's own bus, whatever its environment says.
"""

import asyncio
from typing import Any, Final

from dbus_fast import AuthError, BusType, DBusError, InvalidAddressError, Message, MessageType
from dbus_fast.aio import MessageBus

from protocol.errors import LocalError
from protocol.reasons import Reason

ADDRESS: Final = "unix:path=/run/dbus/system_bus_socket"
DEADLINE_S: Final = 5.0
_DBUS: Final = "org.freedesktop.DBus"
_PROPERTIES: Final = "org.freedesktop.DBus.Properties"


class SystemBus:
    """The bus at ``address``. All methods block, and raise LocalError(DNS_SETUP_FAILED) with what was said."""

    def __init__(self, address: str = ADDRESS) -> None:
        self._address = address

    def has_owner(self, name: str) -> bool:
        """Tells whether a service of that name runs; False as well when there is no bus."""
        try:
            (found,) = self.call(_DBUS, "/org/freedesktop/DBus", _DBUS, "NameHasOwner", "s", [name])
        except LocalError:
            return False
        return bool(found)

    def call(
        self, service: str, path: str, interface: str, member: str, signature: str = "", body: list[Any] | None = None
    ) -> list[Any]:
        """Calls a method and returns the body of its reply."""
        message = Message(
            destination=service,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=body or [],
        )
        try:
            return asyncio.run(self._call(message))
        except TimeoutError as exc:
            raise LocalError(Reason.DNS_SETUP_FAILED, f"{service} {member}: no answer in {DEADLINE_S:g} s") from exc
        except (OSError, EOFError, DBusError, AuthError, InvalidAddressError) as exc:
            raise LocalError(Reason.DNS_SETUP_FAILED, f"{service} {member}: {exc}") from exc

    def get(self, service: str, path: str, interface: str, name: str) -> Any:
        """Returns a property's value, variants unpacked."""
        (value,) = self.call(service, path, _PROPERTIES, "Get", "ss", [interface, name])
        return plain(value)

    def set(self, service: str, path: str, interface: str, name: str, value: Any) -> None:
        """Sets a property; ``value`` is a ``Variant``."""
        self.call(service, path, _PROPERTIES, "Set", "ssv", [interface, name, value])

    async def _call(self, message: Message) -> list[Any]:
        async with asyncio.timeout(DEADLINE_S):
            bus = await MessageBus(bus_address=self._address, bus_type=BusType.SYSTEM).connect()
            try:
                reply = await bus.call(message)
            finally:
                bus.disconnect()
        if reply.message_type is MessageType.ERROR:
            said = f"{reply.error_name} {reply.body[0] if reply.body else ''}".strip()
            raise LocalError(Reason.DNS_SETUP_FAILED, f"{message.destination} {message.member}: {said}")
        return list(reply.body)


def plain(value: Any) -> Any:
    """Returns a value of D-Bus without variants."""
    if type(value).__name__ == "Variant":
        return plain(value.value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value
