"""Text frames of the agents' WebSocket to and from the messages of ``protocol.control`` (SPEC.md, "Control messages").

The dataclasses are the schema. A field without a default must be present; a field with one may be missing; a field that
we do not know is ignored; a message of an unknown type is None. Types are strict: ``true`` is no number, ``1.0`` no int.
"""

import dataclasses
import functools
import json
import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn, get_args, get_origin, get_type_hints

from protocol import control, control_keys, control_requests, control_tests
from protocol.control import Message
from protocol.errors import RemoteProtocolError
from protocol.limits import CONTROL_MESSAGE_MAX_BYTES, JSON_MAX_DEPTH

_INT_MAX: Final = 2**53 - 1
"""What every JSON reader can hold exactly (RFC 8259 section 6)."""

_SURROGATE: Final = re.compile("[\ud800-\udfff]")

_PLAIN: Final = frozenset({str, int, bool, float, type(None)})
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant)
"""Made once: it builds a scanner."""

_Path = str | None
"""Where a value stands in its message; None while nobody asks."""
_Parser = Callable[[object, _Path], Any]


def encode(message: Message) -> str:
    """Returns the text frame of ``message``; fields that have their default value are left out."""
    body: dict[str, object] = {"type": message.TYPE}
    body.update(_fields_to_json(message))
    return _ENCODER.encode(body)


def parse_message_untrusted(text: str) -> Message | None:
    """Returns the message in a text frame; None when its type is unknown.

    Raises:
        RemoteProtocolError: not an object, too long or too deep, a field is missing or of the wrong type.
    """
    if len(text) > CONTROL_MESSAGE_MAX_BYTES:
        raise RemoteProtocolError("control message too long")
    try:
        body = _DECODER.decode(text)
    except (ValueError, RecursionError) as exc:
        raise RemoteProtocolError("control message is not JSON") from exc
    match body:
        case {"type": str(name)}:
            parse = _PARSERS.get(name)
            return None if parse is None else _parse_named(parse, body, name)
    raise RemoteProtocolError("a control message must be an object with a type")


def _parse_named(parse: "_Parser", body: dict[str, object], name: str) -> Message:
    """Places are only named when something is wrong: in a batch of records that is half of the work."""
    try:
        message: Message = parse(body, None)
    except RemoteProtocolError:
        message = parse(body, name)
    return message


def _fields_to_json(value: Any) -> dict[str, object]:
    body: dict[str, object] = {}
    for name, default in _defaults_of(type(value)):  # type: ignore[arg-type]  # classes are hashable
        item = getattr(value, name)
        if type(item) is not type(default) or item != default:
            body[name] = item if type(item) in _PLAIN else _to_json(item)
    return body


def _to_json(value: object) -> object:
    if isinstance(value, tuple):
        return [item if type(item) in _PLAIN else _to_json(item) for item in value]
    if dataclasses.is_dataclass(value):
        return _fields_to_json(value)
    if isinstance(value, Mapping):
        return dict(value)
    return value


@functools.cache
def _defaults_of(cls: type[Any]) -> tuple[tuple[str, object], ...]:
    """Fields and their defaults, looked up once: a batch of records has ten thousand fields."""
    return tuple((field.name, _default(field)) for field in dataclasses.fields(cls))


def _default(field: dataclasses.Field[Any]) -> object:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _wrong(path: _Path, wanted: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"control message: {path} must be {wanted}")


def _parse_str(value: object, path: _Path) -> str:
    if not isinstance(value, str):
        raise _wrong(path, "a string")
    if "\0" in value or not (value.isascii() or _SURROGATE.search(value) is None):
        raise _wrong(path, "text without NUL and lone surrogates")
    return value


def _parse_bool(value: object, path: _Path) -> bool:
    if not isinstance(value, bool):
        raise _wrong(path, "a boolean")
    return value


def _parse_int(value: object, path: _Path) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > _INT_MAX:
        raise _wrong(path, "an integer")
    return value


def _parse_float(value: object, path: _Path) -> float:
    if isinstance(value, float) and math.isfinite(value):
        return value
    try:
        return float(_parse_int(value, path))
    except RemoteProtocolError as exc:
        raise _wrong(path, "a number") from exc


def _parse_json(value: object, path: _Path) -> object:
    """Any JSON, for values that another parser judges (a JWKS): only the depth is bounded here."""
    level = [value]
    for _ in range(JSON_MAX_DEPTH):
        level = [child for item in level for child in _children(item)]
        if not level:
            return value
    raise _wrong(path, f"at most {JSON_MAX_DEPTH} levels deep")


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _optional(inner: _Parser) -> _Parser:
    return lambda value, path: None if value is None else inner(value, path)


def _sequence(inner: _Parser) -> _Parser:
    def parse(value: object, path: _Path) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise _wrong(path, "an array")
        if path is None:
            return tuple([inner(item, None) for item in value])
        return tuple(inner(item, f"{path}[{position}]") for position, item in enumerate(value))

    return parse


def _mapping(inner: _Parser) -> _Parser:
    def parse(value: object, path: _Path) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _wrong(path, "an object")
        return {key: inner(item, f"{path}.{key}") for key, item in value.items()}

    return parse


def _record(cls: type[Any]) -> _Parser:
    hints = get_type_hints(cls)
    fields = [
        (field.name, _parser_of(hints[field.name]), _default(field) is dataclasses.MISSING)
        for field in dataclasses.fields(cls)
    ]

    def parse(value: object, path: _Path) -> Any:
        if not isinstance(value, dict):
            raise _wrong(path, "an object")
        arguments: dict[str, Any] = {}
        for name, parser, required in fields:
            if name in value:
                arguments[name] = parser(value[name], None if path is None else f"{path}.{name}")
            elif required:
                raise _wrong(f"{path}.{name}", "present")
        return cls(**arguments)

    return parse


_SCALARS: Final[Mapping[object, _Parser]] = {
    str: _parse_str,
    bool: _parse_bool,
    int: _parse_int,
    float: _parse_float,
    object: _parse_json,
}


def _parser_of(hint: Any) -> _Parser:
    """Returns the parser of a field's type; a type that the codec does not know fails at import."""
    hint = getattr(hint, "__supertype__", hint)  # a NewType is checked as what it is made of
    if hint in _SCALARS:
        return _SCALARS[hint]
    if dataclasses.is_dataclass(hint):
        return _record(hint)  # type: ignore[arg-type]  # the hint is a class, not an instance
    arguments = get_args(hint)
    match get_origin(hint):
        case types.UnionType | typing.Union:  # which of the two depends on Python's version
            (inner,) = (argument for argument in arguments if argument is not types.NoneType)
            return _optional(_parser_of(inner))
        case origin if origin is tuple and arguments[1:] == (...,):
            return _sequence(_parser_of(arguments[0]))
        case origin if origin is Mapping and arguments[0] is str:
            return _mapping(_parser_of(arguments[1]))
    raise TypeError(f"the control codec has no parser for {hint!r}")


MESSAGES: Final[Mapping[str, type[Message]]] = {
    cls.TYPE: cls
    for module in (control, control_requests, control_keys, control_tests)
    for cls in vars(module).values()
    if isinstance(cls, type) and issubclass(cls, Message) and cls is not Message
}
"""Every message by its type."""

_PARSERS: Final[Mapping[str, _Parser]] = {name: _record(cls) for name, cls in MESSAGES.items()}
