"""Reading the members of a policy document: each knows its type, and says in one sentence what is wrong at which line."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, TypeVar

from controller.domain.desired import Named
from controller.domain.model import SubjectKind
from controller.domain.rules import PORT_RANGES_MAX, TIME_MAX_S, printable
from controller.domain.yaml_text import DocumentError, Listed, Mapped, Node, Scalar
from protocol.acl.model import PortRange, Ports

T = TypeVar("T")
Reader = Callable[[Node], T]

TEXT_MAX: Final = 300
SUBJECT_WORDS: Final = {
    "user": SubjectKind.USER,
    "group": SubjectKind.GROUP,
    "service-account": SubjectKind.SERVICE_ACCOUNT,
}
"""How documents and commands say the kind of a subject."""
_TRUE: Final = frozenset({"true", "True", "TRUE", "yes", "on"})
_FALSE: Final = frozenset({"false", "False", "FALSE", "no", "off"})
_NUMBER: Final = re.compile(r"[0-9]{1,12}\Z", re.ASCII)
_RANGE: Final = re.compile(r"([1-9][0-9]{0,4})(?:-([1-9][0-9]{0,4}))?\Z", re.ASCII)


class Members:
    """The members of one mapping; ``end`` refuses those that nobody asked for."""

    def __init__(self, node: Node, thing: str) -> None:
        self._node = mapping(node, thing)
        self._thing = thing
        self._known: list[str] = []
        self.line = node.line

    def need(self, name: str, read: Reader[T]) -> T:
        """Returns a member that must be there."""
        found = self._find(name)
        if found is None:
            raise DocumentError(self.line, f"{self._thing} needs {name!r}")
        return read(found)

    def get(self, name: str, read: Reader[T], default: T) -> T:
        """Returns a member, or ``default`` when it is absent or empty."""
        found = self._find(name)
        return default if found is None else read(found)

    def maybe(self, name: str, read: Reader[T]) -> T | None:
        """Returns a member; None when it is absent or empty."""
        found = self._find(name)
        return None if found is None else read(found)

    def end(self) -> None:
        """Raises DocumentError for a member that is not known, naming those that are."""
        for name, line in self._node.key_lines.items():
            if name not in self._known:
                known = ", ".join(sorted(self._known))
                raise DocumentError(line, f"{self._thing} knows no {printable(name)!r}; it knows {known}")

    def _find(self, name: str) -> Node | None:
        self._known.append(name)
        found = self._node.items.get(name)
        return None if isinstance(found, Scalar) and found.null else found


def mapping(node: Node, thing: str) -> Mapped:
    """Returns the node as a mapping."""
    if not isinstance(node, Mapped):
        raise DocumentError(node.line, f"{thing} is a mapping (key: value)")
    return node


def listed(read: Reader[T], most: int = 50_000) -> Reader[tuple[T, ...]]:
    """Returns a reader of a list; a single text stands for a list of one."""

    def read_list(node: Node) -> tuple[T, ...]:
        if isinstance(node, Mapped):
            raise DocumentError(node.line, "this is a list (lines that begin with -)")
        items = node.items if isinstance(node, Listed) else (node,)
        if len(items) > most:
            raise DocumentError(node.line, f"at most {most} of them")
        return tuple(read(item) for item in items)

    return read_list


def text(node: Node) -> str:
    """Reads a text that is not empty."""
    if not isinstance(node, Scalar) or node.null or not node.text.strip():
        raise DocumentError(node.line, "a text is wanted here")
    if len(node.text) > TEXT_MAX:
        raise DocumentError(node.line, f"a text has at most {TEXT_MAX} characters")
    return node.text.strip()


def flag(node: Node) -> bool:
    """Reads true or false."""
    word = text(node)
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise DocumentError(node.line, f"{printable(word)!r} is neither true nor false")


def number(node: Node) -> int:
    """Reads a whole number that is not negative."""
    word = text(node)
    if _NUMBER.match(word) is None:
        raise DocumentError(node.line, f"{printable(word)!r} is not a whole number")
    return int(word)


def choice(choices: Mapping[str, T]) -> Reader[T]:
    """Returns a reader of one of some words."""

    def read(node: Node) -> T:
        word = text(node)
        if word not in choices:
            raise DocumentError(node.line, f"{printable(word)!r} is none of {', '.join(choices)}")
        return choices[word]

    return read


def moment(node: Node) -> int:
    """Reads RFC 3339 with an offset; returns Unix seconds."""
    word = text(node)
    try:
        found = datetime.fromisoformat(word)
        aware = found.tzinfo is not None
    except ValueError:
        aware = False
    if not aware:
        detail = f"{printable(word)!r} is not a time with an offset, such as 2026-12-24T18:00:00Z"
        raise DocumentError(node.line, detail)
    seconds = int(found.timestamp())
    if not 0 <= seconds <= TIME_MAX_S or found.microsecond:
        raise DocumentError(node.line, "a time lies between 1970 and 9999, in whole seconds")
    return seconds


def moment_text(seconds: int) -> str:
    """The form that ``moment`` reads."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def ports(node: Node) -> Ports:
    """Reads ``{tcp: [443, 8000-8100], udp: [53], icmp: true}``."""
    members = Members(node, "ports")
    ranges = listed(_port_range, PORT_RANGES_MAX)
    found = Ports(members.get("tcp", ranges, ()), members.get("udp", ranges, ()), members.get("icmp", flag, False))
    members.end()
    return found


def named(node: Node) -> Named:
    """Reads ``group:engineers``, ``user:ada@corp.example`` or ``service-account:ci``."""
    word, colon, name = text(node).partition(":")
    if not colon or word not in SUBJECT_WORDS or not name.strip():
        shown = printable(text(node))
        raise DocumentError(node.line, f"{shown!r} is not group:NAME, user:EMAIL or service-account:NAME")
    return Named(SUBJECT_WORDS[word], name.strip())


def named_text(item: Named) -> str:
    """The form that ``named`` reads."""
    return f"{item.kind.value.replace('_', '-')}:{item.name}"


def _port_range(node: Node) -> PortRange:
    word = text(node)
    match = _RANGE.match(word)
    if match is None or not int(match[1]) <= int(match[2] or match[1]) <= 65535:
        raise DocumentError(node.line, f"{printable(word)!r} is not a port or a range such as 8000-8100")
    return PortRange(int(match[1]), int(match[2] or match[1]))
