"""A small, strict YAML: mappings, lists and texts, each with its line. For documents that people write and somebody sends.

Built from the parser's events, so that nothing is constructed: no tags, no anchors (an alias can stand for a billion texts),
no merge keys, no second document, a bound on depth and size. Scalars stay texts: whether ``22`` is a number and ``no`` a name is
decided by whoever knows the field, and not by YAML 1.1's table.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

DEPTH_MAX: Final = 12
NODES_MAX: Final = 200_000
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's where it is built in: ten times quicker."""


class DocumentError(Exception):
    """The document is wrong at ``line`` (from 1; 0: as a whole)."""

    def __init__(self, line: int, detail: str) -> None:
        super().__init__(line, detail)
        self.line = line
        self.detail = detail

    def __str__(self) -> str:
        return f"line {self.line}: {self.detail}" if self.line else self.detail


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text as it was written; ``null``: a plain empty value, ``~`` or ``null``."""

    line: int
    text: str
    null: bool = False


@dataclass(frozen=True, slots=True)
class Listed:
    """A list."""

    line: int
    items: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Mapped:
    """A mapping whose keys are texts; each key once. ``key_lines`` are where the keys stand."""

    line: int
    items: "Mapping[str, Node]"
    key_lines: Mapping[str, int]


Node = Scalar | Listed | Mapped


def read_yaml_untrusted(text: str) -> Node:
    """Returns the document's root. Raises DocumentError for whatever is not plain YAML."""
    events = _events(text)
    root: Node | None = None
    for event in events:
        match event:
            case yaml.DocumentStartEvent() if root is not None:
                raise DocumentError(_line(event), "a second document begins here; one file holds one")
            case yaml.NodeEvent():
                root = _node(event, events, 1)
    if root is None:
        raise DocumentError(0, "the document is empty")
    return root


def _events(text: str) -> Iterator[Any]:
    count = 0
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            count += 1
            if count > NODES_MAX:
                raise DocumentError(_line(event), f"more than {NODES_MAX} parts")
            yield event
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark is not None else 0
        raise DocumentError(line, f"this is not YAML: {exc.problem}") from exc
    except (yaml.YAMLError, ValueError) as exc:
        raise DocumentError(0, "this is not YAML: it holds a character that is not allowed") from exc


def _node(event: Any, events: Iterator[Any], depth: int) -> Node:
    line = _line(event)
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        raise DocumentError(line, "anchors and aliases are not allowed; write it out")
    if event.tag not in (None, "!"):
        raise DocumentError(line, "tags (!) are not allowed")
    if depth > DEPTH_MAX:
        raise DocumentError(line, f"nested deeper than {DEPTH_MAX}")
    match event:
        case yaml.ScalarEvent():
            plain = event.style in (None, "")
            return Scalar(line, event.value, null=plain and event.value in _NULLS)
        case yaml.SequenceStartEvent():
            return Listed(line, tuple(_items(events, depth)))
        case yaml.MappingStartEvent():
            return _mapping(line, events, depth)
    raise DocumentError(line, "this is neither a text, a list nor a mapping")


def _items(events: Iterator[Any], depth: int) -> Iterator[Node]:
    for event in events:
        if isinstance(event, yaml.SequenceEndEvent):
            return
        yield _node(event, events, depth + 1)


def _mapping(line: int, events: Iterator[Any], depth: int) -> Mapped:
    found: dict[str, Node] = {}
    lines: dict[str, int] = {}
    for event in events:
        if isinstance(event, yaml.MappingEndEvent):
            break
        key = _node(event, events, depth + 1)
        if not isinstance(key, Scalar):
            raise DocumentError(key.line, "a key is a text")
        if key.text in found:
            raise DocumentError(key.line, f"{key.text!r} stands here twice")
        lines[key.text] = key.line
        found[key.text] = _node(next(events), events, depth + 1)
    return Mapped(line, found, lines)


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1
