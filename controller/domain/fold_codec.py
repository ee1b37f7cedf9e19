"""A fold to and from lines of JSON, so that a start need not fold the whole log (``controller.store.folds``).

The form follows from the types of ``PolicyState``: whoever adds a field or a model needs to do nothing here, as long as it
is made of texts, numbers, enums, dataclasses, tuples, sets, networks and persistent maps. It is no contract with later
versions: whoever keeps it notes by which code it was made, and folds the log again with any other.

The first line holds the fields that are no maps; each further line a part of one map, so that neither side ever holds the
whole text. Within a part values are written field by field (all ids, then all names, ...): that is three times quicker to
read than one list for each value, and a start waits for it.
"""

import ipaddress
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from itertools import islice
from operator import attrgetter, itemgetter
from types import NoneType, UnionType
from typing import Any, Final, Literal, NewType, Union, get_args, get_origin, get_type_hints

from immutables import Map

from controller.domain.state import PolicyState
from protocol.errors import LocalError
from protocol.reasons import Reason

Json = Any
Coder = Callable[[Any], Any]
Codec = tuple[Coder | None, Coder | None]
"""How a value is written and read; None where it is its own JSON form."""

ColumnCodec = tuple[Callable[[list[Any]], Json], Callable[[Json], list[Any]]]
"""How many values of one type are written and read together."""

PART: Final = 5_000
"""Entries of a map in one line."""
_ITSELF: Final[Codec] = (None, None)
_write_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def fold_to_lines(state: PolicyState) -> Iterator[str]:
    """Writes a fold, line by line."""
    codecs = _plain()
    yield _write_json({name: _apply(codec[0], getattr(state, name)) for name, codec in codecs.items()})
    for name, ((write_keys, _), (write_values, _)) in _maps().items():
        entries = iter(getattr(state, name).items())
        while part := list(islice(entries, PART)):
            keys, values = [key for key, _ in part], [value for _, value in part]
            yield _write_json((name, len(part), write_keys(keys), write_values(values)))


def fold_from_lines(lines: Iterable[str]) -> PolicyState:
    """Reads what ``fold_to_lines`` of the same code wrote.

    Raises:
        LocalError: STATE_CORRUPT when it is something else.
    """
    reader = iter(lines)
    plain, maps = _plain(), _maps()
    built: dict[str, dict[Any, Any]] = {name: {} for name in maps}
    promised = Counter[str]()
    try:
        first = json.loads(next(reader))
        values: dict[str, Any] = {name: _apply(codec[1], first[name]) for name, codec in plain.items()}
        for line in reader:
            name, count, keys, others = json.loads(line)
            (_, read_keys), (_, read_values) = maps[name]
            built[name].update(zip(read_keys(keys), read_values(others), strict=True))
            promised[name] += count
    except (ArithmeticError, AttributeError, LookupError, StopIteration, TypeError, ValueError) as exc:
        raise LocalError(Reason.STATE_CORRUPT, f"a saved fold: {type(exc).__name__}: {exc}") from exc
    if any(len(built[name]) != count for name, count in promised.items()):
        raise LocalError(Reason.STATE_CORRUPT, "a saved fold: entries are missing")
    values |= {name: Map(one) for name, one in built.items()}
    return PolicyState(**values)


def _apply(coder: Coder | None, value: Any) -> Any:
    return value if coder is None else coder(value)


@cache
def _plain() -> dict[str, Codec]:
    hints = get_type_hints(PolicyState)
    return {field.name: _codec(hints[field.name]) for field in fields(PolicyState) if field.name not in _maps()}


@cache
def _maps() -> dict[str, tuple[ColumnCodec, ColumnCodec]]:
    hints = get_type_hints(PolicyState)
    found = {}
    for field in fields(PolicyState):
        if get_origin(hints[field.name]) is Map:
            key, value = get_args(hints[field.name])
            found[field.name] = (_column(key), _column(value))
    return found


def _column(hint: Any) -> ColumnCodec:
    if isinstance(hint, NewType):
        return _column(hint.__supertype__)
    if isinstance(hint, type) and is_dataclass(hint):
        hints = get_type_hints(hint)
        names = [field.name for field in fields(hint)]
        return _columns([_column(hints[name]) for name in names], attrgetter, names, hint)
    arguments = get_args(hint)
    if get_origin(hint) is tuple and Ellipsis not in arguments:
        parts = [_column(argument) for argument in arguments]
        return _columns(parts, itemgetter, list(range(len(parts))), lambda *values: values)
    write, read = _codec(hint)
    return (
        list if write is None else lambda values: [write(value) for value in values],
        list if read is None else lambda values: [read(value) for value in values],
    )


def _columns(
    parts: list[ColumnCodec], getter: Callable[[Any], Callable[[Any], Any]], names: list[Any], make: Callable[..., Any]
) -> ColumnCodec:
    """Values of several fields each: one column per field."""
    getters = [getter(name) for name in names]

    def write(values: list[Any]) -> list[Json]:
        return [part[0](list(map(get, values))) for part, get in zip(parts, getters, strict=True)]

    def read(columns: Json) -> list[Any]:
        whole = [part[1](column) for part, column in zip(parts, columns, strict=True)]
        if len({len(column) for column in whole}) > 1:
            raise ValueError("columns of different lengths")
        return list(map(make, *whole))

    return write, read


@cache
def _codec(hint: Any) -> Codec:
    """Chooses, once per type, how its values are written and read. Raises TypeError for a type that has no form here."""
    if isinstance(hint, NewType):
        return _codec(hint.__supertype__)
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in {str, int, float, bool, None, NoneType, Any} or origin is Literal:
        return _ITSELF
    if origin in {Union, UnionType}:
        return _union(arguments)
    if origin is tuple:
        return _tuple(arguments)
    if origin is frozenset:
        write, read = _sequence(_codec(arguments[0]))
        return (lambda value: sorted(write(value), key=repr)), (lambda value: frozenset(read(value)))
    if origin in {Map, dict, Mapping}:
        return _mapping(Map if origin is Map else dict, _codec(arguments[0]), _codec(arguments[1]))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return (lambda value: value.name), dict(hint.__members__).__getitem__
    if hint in {ipaddress.IPv4Network, ipaddress.IPv6Network, ipaddress.IPv4Address, ipaddress.IPv6Address}:
        return str, hint
    if isinstance(hint, type) and is_dataclass(hint):
        return _record(hint)
    raise TypeError(f"a saved fold has no form for {hint}: teach controller.domain.fold_codec, or choose another type")


def _record(cls: type) -> Codec:
    """A dataclass: the list of its fields."""
    hints = get_type_hints(cls)
    names = tuple(field.name for field in fields(cls))
    codecs = [_codec(hints[name]) for name in names]
    writers = [(index, write) for index, (write, _) in enumerate(codecs) if write is not None]
    readers = [(index, read) for index, (_, read) in enumerate(codecs) if read is not None]
    count = len(names)

    def write(value: Any) -> list[Json]:
        row = [getattr(value, name) for name in names]
        for index, coder in writers:
            row[index] = coder(row[index])
        return row

    def read(row: Json) -> Any:
        if len(row) != count:
            raise ValueError(f"{cls.__name__} has {count} fields")
        for index, coder in readers:
            row[index] = coder(row[index])
        return cls(*row)

    return write, read


def _union(arms: tuple[Any, ...]) -> Codec:
    """An optional value, or one of several types: the type's number stands before it."""
    kinds = [arm for arm in arms if arm is not NoneType]
    if len(kinds) == 1:
        write, read = _codec(kinds[0])
        if write is None or read is None:
            return _ITSELF
        return (
            lambda value: None if value is None else write(value),
            lambda value: None if value is None else read(value),
        )
    codecs = [_codec(kind) for kind in kinds]
    numbers = {getattr(kind, "__supertype__", kind): number for number, kind in enumerate(kinds)}

    def write_one(value: Any) -> Json:
        if value is None:
            return None
        number = numbers[type(value)]
        return [number, _apply(codecs[number][0], value)]

    def read_one(value: Json) -> Any:
        return None if value is None else _apply(codecs[value[0]][1], value[1])

    return write_one, read_one


def _tuple(arguments: tuple[Any, ...]) -> Codec:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        write, read = _sequence(_codec(arguments[0]))
        return write, (lambda value: tuple(read(value)))
    codecs = [_codec(argument) for argument in arguments]

    def write_each(value: Any) -> list[Json]:
        return [_apply(coder, item) for (coder, _), item in zip(codecs, value, strict=True)]

    def read_each(value: Json) -> tuple[Any, ...]:
        return tuple(_apply(coder, item) for (_, coder), item in zip(codecs, value, strict=True))

    return write_each, read_each


def _sequence(item: Codec) -> tuple[Coder, Callable[[Any], Iterable[Any]]]:
    write, read = item
    return (
        list if write is None else lambda value: [write(one) for one in value],
        (lambda value: value) if read is None else lambda value: [read(one) for one in value],
    )


def _mapping(make: Callable[[dict[Any, Any]], Any], key: Codec, value: Codec) -> Codec:
    def write(mapping: Any) -> list[Json]:
        return [[_apply(key[0], one), _apply(value[0], other)] for one, other in mapping.items()]

    if key == value == _ITSELF or (key[1] is None and value[1] is None):
        return write, (lambda pairs: make(dict(pairs)))

    def read(pairs: Json) -> Any:
        return make({_apply(key[1], one): _apply(value[1], other) for one, other in pairs})

    return write, read
