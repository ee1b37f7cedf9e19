"""The checks that several decisions share. Each raises RuleBrokenError, which ``decide`` turns into a Refusal."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from controller.domain.model import SubjectKind
from controller.domain.state import PolicyState, fold_name
from protocol.acl.model import CidrPattern, PortRange, Ports
from protocol.acl.names import parse_pattern
from protocol.errors import LocalError
from protocol.ids import GroupId, ServiceAccountId, UserId, is_id
from protocol.limits import LEASE_MAX_S, LEASE_MIN_S
from protocol.reasons import Reason

NAME_MAX: Final = 100
"""Characters of a name that people see."""
WORD_MAX: Final = 64
EMAIL_MAX: Final = 254
"""RFC 5321 section 4.5.3.1.3, less the angle brackets."""
METHOD_MAX: Final = 256
"""Room for the URL of an identity provider."""
PORT_RANGES_MAX: Final = 64
"""Per transport and resource: they all travel in every token."""
EGRESS_MAX: Final = 64
TIME_MAX_S: Final = 253_402_300_799
"""The end of the year 9999."""
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that can forge a log line or hide in a name (T-72, T-74)."""

_PIN: Final = re.compile(r"sha256/[A-Za-z0-9+/]{43}=\Z")

K = TypeVar("K", bound=str)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Refusal:
    """No, because of ``reason``; ``detail`` names the thing at fault."""

    reason: Reason
    detail: str


class RuleBrokenError(Exception):
    """Leaves a decision early; never leaves ``decide``."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.refusal = Refusal(reason, detail)


def known(things: Mapping[K, T], thing_id: K, kind: str) -> T:
    """The thing of this id, or NOT_FOUND naming the id."""
    thing = things.get(thing_id)
    if thing is None:
        raise RuleBrokenError(Reason.NOT_FOUND, f"{kind} {printable(thing_id)}")
    return thing


def known_subject(state: PolicyState, kind: SubjectKind, subject: str) -> None:
    """Refuses a user, group or service account that does not exist, with NOT_FOUND naming the id."""
    match kind:
        case SubjectKind.USER:
            known(state.users, UserId(subject), "user")
        case SubjectKind.GROUP:
            known(state.groups, GroupId(subject), "group")
        case SubjectKind.SERVICE_ACCOUNT:
            known(state.service_accounts, ServiceAccountId(subject), "service account")


def sign_in_method(text: str) -> str:
    """How somebody proved who he is: ``password``, ``password+totp``, ``oidc:`` and an issuer's URL."""
    if not 0 < len(text) <= METHOD_MAX or not all(char.isascii() and char.isprintable() for char in text):
        raise RuleBrokenError(Reason.INVALID_INPUT, f"method: 1 to {METHOD_MAX} printable ASCII characters")
    return text


def printable(text: str) -> str:
    """Input as it may appear in a detail: short and without control characters."""
    shown = text[:NAME_MAX]
    return "".join(char if unicodedata.category(char) not in _HIDDEN else "?" for char in shown)


def fresh(state: PolicyState, stream: str, kind: str | None = None) -> None:
    """Refuses an id that was ever used, and one that is not of ``kind`` (a key of ids.PREFIXES)."""
    if kind is not None and not is_id(stream, kind):
        raise RuleBrokenError(Reason.INVALID_INPUT, f"{printable(stream)} is not an id of a {kind}")
    if stream in state.versions:
        raise RuleBrokenError(Reason.ALREADY_EXISTS, f"id {printable(stream)}")


def clean_name(text: str) -> str:
    """A name as it is stored: NFC, no surrounding blanks, 1 to NAME_MAX visible characters."""
    name = unicodedata.normalize("NFC", text).strip()
    if not 0 < len(name) <= NAME_MAX:
        raise RuleBrokenError(Reason.INVALID_INPUT, f"name: 1 to {NAME_MAX} characters")
    hidden = next((char for char in name if unicodedata.category(char) in _HIDDEN), None)
    if hidden is not None:
        raise RuleBrokenError(Reason.INVALID_INPUT, f"name: U+{ord(hidden):04X} cannot be seen, which is not allowed")
    return name


def free_name(state: PolicyState, kind: str, text: str, own_id: str) -> str:
    """The clean name, when no other living thing of the kind has it (without regard to case)."""
    name = clean_name(text)
    holder = state.names.get((kind, fold_name(name)))
    if holder is not None and holder != own_id:
        raise RuleBrokenError(Reason.ALREADY_EXISTS, f"name {name!r} belongs to {holder}")
    return name


def word(text: str, field: str) -> str:
    """A short machine word such as a cause or a platform."""
    if not 0 < len(text) <= WORD_MAX or not all(
        char.isascii() and (char.isalnum() or char in "_-./ ") for char in text
    ):
        raise RuleBrokenError(Reason.INVALID_INPUT, f"{field}: 1 to {WORD_MAX} letters, digits, blanks, _ - . /")
    return text


def address(text: str) -> str:
    """The canonical form of an address pattern."""
    try:
        return str(parse_pattern(text))
    except LocalError as exc:
        raise RuleBrokenError(Reason.INVALID_INPUT, f"address: {exc.detail}") from exc


def egress_list(allow: tuple[str, ...]) -> tuple[str, ...]:
    """Canonical, sorted addresses and CIDRs; names are not allowed here."""
    if len(allow) > EGRESS_MAX:
        raise RuleBrokenError(Reason.INVALID_INPUT, f"allow: at most {EGRESS_MAX} addresses")
    for text in allow:
        try:
            pattern = parse_pattern(text)
        except LocalError as exc:
            raise RuleBrokenError(Reason.INVALID_INPUT, f"allow: {exc.detail}") from exc
        if not isinstance(pattern, CidrPattern):
            raise RuleBrokenError(Reason.INVALID_INPUT, f"allow: {printable(text)} is not an address")
    return tuple(sorted({address(text) for text in allow}))


def port(number: int) -> int:
    """A TCP or UDP port number."""
    if not 1 <= number <= 65535:
        raise RuleBrokenError(Reason.INVALID_INPUT, "port: 1 to 65535")
    return number


def ports(value: Ports) -> Ports:
    """Sorted port ranges; those that touch or overlap become one."""
    return Ports(_ranges(value.tcp, "tcp"), _ranges(value.udp, "udp"), value.icmp)


def _ranges(ranges: tuple[PortRange, ...], transport: str) -> tuple[PortRange, ...]:
    merged: list[PortRange] = []
    for item in sorted(ranges):
        if not 1 <= item.first <= item.last <= 65535:
            raise RuleBrokenError(Reason.INVALID_INPUT, f"ports.{transport}: {item.first}-{item.last} is not a range")
        if merged and item.first <= merged[-1].last + 1:
            merged[-1] = PortRange(merged[-1].first, max(merged[-1].last, item.last))
        else:
            merged.append(item)
    if len(merged) > PORT_RANGES_MAX:
        raise RuleBrokenError(Reason.INVALID_INPUT, f"ports.{transport}: at most {PORT_RANGES_MAX} ranges")
    return tuple(merged)


def lease(seconds: int) -> int:
    """How long new and open connections outlive the controller (C24)."""
    if not LEASE_MIN_S <= seconds <= LEASE_MAX_S:
        raise RuleBrokenError(Reason.INVALID_INPUT, f"lease_s: {LEASE_MIN_S} to {LEASE_MAX_S} seconds")
    return seconds


def pin(text: str) -> str:
    """A certificate pin as ``ids.spki_pin`` makes it."""
    if _PIN.match(text) is None:
        raise RuleBrokenError(Reason.INVALID_INPUT, "pin: sha256/ and 44 characters of base64")
    return text


def unix_time(seconds: int, field: str) -> int:
    """A moment that fits a signed token and a JSON number."""
    if not 0 <= seconds <= TIME_MAX_S:
        raise RuleBrokenError(Reason.INVALID_INPUT, f"{field}: Unix seconds")
    return seconds
