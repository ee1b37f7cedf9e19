"""Typed reading of verified claims: every member is required, none may be unknown (RFC 9068 style, test S-7).

An unknown member is refused because it may be one that restricts; a new member is a new protocol version. All methods
raise RemoteError(TOKEN_CLAIM) whose detail names the claim.
"""

import ipaddress
import re
from collections.abc import Callable
from typing import Final, TypeVar

from protocol.errors import LocalError, RemoteError, RemoteProtocolError
from protocol.ids import ConnectorHash, is_id
from protocol.reasons import Reason

TIME_MAX: Final = 2**53 - 1
"""Largest integer that every JSON reader keeps exact."""
TEXT_MAX: Final = 256
LIST_MAX: Final = 16_384

_HOST: Final = re.compile(r"[A-Za-z0-9_.:-]{1,253}\Z")
_HASH: Final = re.compile(r"[A-Za-z0-9_-]{43}\Z")
_LOG_HASH: Final = re.compile(r"[0-9a-f]{64}\Z")
_T = TypeVar("_T")


class ClaimReader:
    """Reads one JSON object whose members are exactly ``members``; ``where`` names it in errors."""

    def __init__(self, value: object, members: frozenset[str], where: str) -> None:
        self._where = where
        if not isinstance(value, dict):
            raise self.wrong("is no object")
        self._members: dict[str, object] = value
        if missing := members - value.keys():
            raise self.wrong(f"lacks {', '.join(sorted(missing))}")
        if unknown := value.keys() - members:
            raise self.wrong(f"has unknown {', '.join(sorted(name[:32] for name in unknown))[:128]}")

    def wrong(self, what: str) -> RemoteError:
        """Returns the error that blames this object."""
        return RemoteError(Reason.TOKEN_CLAIM, f"{self._where} {what}")

    def raw(self, name: str) -> object:
        """Returns a member as it stands."""
        return self._members[name]

    def text(self, name: str, *, limit: int = TEXT_MAX, empty: bool = False) -> str:
        """Returns a string of at most ``limit`` characters."""
        value = self._members[name]
        if not isinstance(value, str) or len(value) > limit or not (value or empty):
            raise self.wrong(f"has a wrong {name}")
        return value

    def integer(self, name: str, *, least: int = 0, most: int = TIME_MAX) -> int:
        """Returns an integer; ``true``, ``"1"`` and ``1.0`` are none."""
        value = self._members[name]
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.wrong(f"has a wrong {name}")
        return value

    def identifier(self, name: str, *kinds: str) -> str:
        """Returns an id of one of these kinds (keys of ``ids.PREFIXES``)."""
        value = self.text(name)
        if not any(is_id(value, kind) for kind in kinds):
            raise self.wrong(f"has a wrong {name}")
        return value

    def host(self, name: str) -> str:
        """Returns something that can be a host name or an address; not more than that is checked."""
        value = self.text(name)
        if _HOST.match(value) is None:
            raise self.wrong(f"has a wrong {name}")
        return value

    def connector_hash(self, name: str) -> ConnectorHash:
        """Returns the hash of a connector's id."""
        value = self.text(name)
        if _HASH.match(value) is None:
            raise self.wrong(f"has a wrong {name}")
        return ConnectorHash(value)

    def log_hash(self, name: str) -> str:
        """Returns the hash of an event: SHA-256 in lower-case hexadecimal."""
        value = self.text(name)
        if _LOG_HASH.match(value) is None:
            raise self.wrong(f"has a wrong {name}")
        return value

    def items(self, name: str, *, least: int = 0, most: int = LIST_MAX) -> list[object]:
        """Returns an array of between ``least`` and ``most`` items."""
        value = self._members[name]
        if not isinstance(value, list) or not least <= len(value) <= most:
            raise self.wrong(f"has a wrong {name}")
        return value

    def parsed_items(
        self, name: str, parse: Callable[[object], _T], *, least: int = 0, most: int = LIST_MAX
    ) -> tuple[_T, ...]:
        """Returns what another module's parser makes of each item of an array."""
        try:
            return tuple(map(parse, self.items(name, least=least, most=most)))
        except (RemoteProtocolError, LocalError) as exc:
            raise self.wrong(f"has a wrong {name}: {exc.detail}") from exc

    def parsed(self, name: str, parse: Callable[[object], _T]) -> _T:
        """Returns what another module's parser makes of a member."""
        try:
            return parse(self._members[name])
        except (RemoteProtocolError, LocalError) as exc:
            raise self.wrong(f"has a wrong {name}: {exc.detail}") from exc


def network_text_untrusted(value: object) -> str:
    """Checks one canonical address or CIDR network. Raises RemoteProtocolError."""
    try:
        # A zone (``fe80::1%eth0``) means something on one host only, and ``ip_network`` takes it.
        network = ipaddress.ip_network(value) if isinstance(value, str) and "%" not in value else None
    except ValueError:
        network = None
    if network is None or value not in (str(network), str(network.network_address)):
        raise RemoteProtocolError("not a canonical address or network")
    return str(value)
