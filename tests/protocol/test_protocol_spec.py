"""SPEC.md says what the code does: its tables are compared with the code that they describe."""

import ast
import dataclasses
import re
import types
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from protocol import enrolment, ids, limits, pop, rendezvous, streams, tls, version
from protocol.acl import codec, names
from protocol.control import AGENT_PATH, ConnectionRecord, Cutoff, LiveFlow, Message
from protocol.control_codec import MESSAGES
from protocol.control_requests import AskedFor
from protocol.ids import ConnectorId, relay_hash
from protocol.mux import budget
from protocol.reasons import Reason
from protocol.tokens import jws, keys, verify

SPEC = (Path(ids.__file__).parent / "SPEC.md").read_text()
CONSTANTS: dict[str, object] = {
    name: value
    for module in (limits, version, codec, names, keys, verify, budget, tls, enrolment, rendezvous)
    for name, value in vars(module).items()
    if name.isupper()
}
_WORDS = {
    str: "string",
    int: "int",
    float: "number",
    bool: "bool",
    object: "any",
    ConnectionRecord: "record",
    LiveFlow: "live",
    AskedFor: "asked",
    Cutoff: "cutoff",
}


def rows(columns: int, section: str = "") -> list[tuple[str, ...]]:
    """Returns the rows of the tables of SPEC.md, or of a section, that have this many columns, without back-quotes."""
    text = SPEC.partition(f"\n## {section}")[2].partition("\n## ")[0] if section else SPEC
    found = (re.split(r" \| ", line.strip("| \n")) for line in text.splitlines() if line.startswith("| "))
    return [tuple(cell.replace("`", "").strip() for cell in row) for row in found if len(row) == columns]


def type_in_words(hint: Any) -> str:
    """Returns how SPEC.md names a field's type."""
    if hint in _WORDS:
        return _WORDS[hint]
    if hasattr(hint, "__supertype__"):
        return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", hint.__name__).lower()
    arguments = get_args(hint)
    if types.NoneType in arguments:
        return f"{type_in_words(arguments[0])} or null"
    if get_origin(hint) is tuple:
        return f"[{type_in_words(arguments[0])}]"
    return f"{{string: {type_in_words(arguments[1])}}}"


def fields_in_words(cls: type[Any]) -> str:
    """Returns how SPEC.md lists the fields of a message."""
    hints = get_type_hints(cls)
    listed = []
    for field in dataclasses.fields(cls):
        optional = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        listed.append(f"{field.name}{'?' if optional else ''}: {type_in_words(hints[field.name])}")
    return ", ".join(listed)


def test_reasons_are_the_codes() -> None:
    table = {row[1]: int(row[0]) for row in rows(3, "12. Reasons") if row[0].isdigit()}
    assert table == {reason.code: reason.number for reason in Reason}


@pytest.mark.parametrize("reason", Reason)
def test_reason_has_its_sentence(reason: Reason) -> None:
    assert f"| {reason.number} | `{reason.code}` | {reason.sentence} |" in SPEC


def test_limits_are_the_codes() -> None:
    table = {row[0]: row[1] for row in rows(3, "14. Limits") if row[0].isupper()}
    assert len(table) > 60
    for name, value in table.items():
        assert ast.literal_eval(value.replace(",", "")) == CONSTANTS[name], name


def test_every_limit_that_is_mentioned_is_listed() -> None:
    listed = {row[0] for row in rows(3, "14. Limits")}
    mentioned = set(re.findall(r"\b(?!TLS_)[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", SPEC))
    assert mentioned <= listed


@pytest.mark.parametrize("message", MESSAGES.values(), ids=lambda message: message.TYPE)
def test_message_and_its_fields_are_listed(message: type[Message]) -> None:
    table = {row[0]: row[2] for row in rows(4) if row[0] in MESSAGES}
    assert table[message.TYPE] == fields_in_words(message)


@pytest.mark.parametrize("record", [ConnectionRecord, LiveFlow, Cutoff, AskedFor])
def test_records_are_listed(record: type[Any]) -> None:
    assert "{" + fields_in_words(record) + "}" in " ".join(SPEC.split()).replace("`", "")


@pytest.mark.parametrize("kind", jws.Kind)
def test_token_kind_is_named(kind: jws.Kind) -> None:
    assert f"**`{kind.typ}`**" in SPEC
    limit = "SNAPSHOT_MAX_BYTES" if kind.limit == limits.SNAPSHOT_MAX_BYTES else "TOKEN_MAX_BYTES"
    assert any(row[:2] == (kind.name.lower(), limit) for row in rows(3))


@pytest.mark.parametrize("prefix", ids.PREFIXES.values())
def test_prefix_is_named(prefix: str) -> None:
    assert any(prefix in row for row in rows(4))


def test_paths_and_header_are_named() -> None:
    for path in (
        rendezvous.ATTACH_PATH,
        rendezvous.LEG_PATH,
        rendezvous.CONNECT_PATH,
        rendezvous.CONTROL_PATH,
        rendezvous.HEALTH_PATH,
        AGENT_PATH,
    ):
        assert path in SPEC
    assert f"`{rendezvous.REASON_HEADER}: <code>`" in SPEC
    assert f"`{rendezvous.FIRST_HEADER}: <base64url>`" in SPEC
    assert f"`{rendezvous.FIRST_HEADER}: {rendezvous.FIRST_TAKEN}`" in SPEC


def test_stream_kinds_are_listed() -> None:
    kinds = {row[0] for row in rows(3, "11. Streams")} - {"kind", "---"}
    assert kinds == {"proof", *get_args(streams.StreamKind)}


def test_connector_hash_example_is_right() -> None:
    connector = ConnectorId("con_AAAAAAAAAAAAAAAAAAAAAA")
    assert f"{connector} -> {relay_hash(connector)}" in SPEC


def test_stream_example_is_right() -> None:
    for line in re.findall(r"^([0-9a-f]{8}) (\{.*\})$", SPEC, re.MULTILINE):
        assert int(line[0], 16) == len(line[1])


def test_transcript_is_as_described() -> None:
    connector, pin = ConnectorId("con_AAAAAAAAAAAAAAAAAAAAAA"), ids.SpkiPin("sha256/" + "A" * 43 + "=")
    made = pop.transcript(exporter=bytes(32), token="a.b.c", connector=connector, pin=pin, number=1)
    assert len(made) == 28 + 2 + 32 + 32 + 2 + len(connector) + 2 + len(pin) + 8
    assert made.startswith(b"ostiary proof of possession\0\0\x01" + bytes(32))
    assert made.endswith(
        bytes((0, len(connector))) + connector.encode() + bytes((0, len(pin))) + pin.encode() + bytes(7) + b"\1"
    )


def test_version_history_is_the_codes() -> None:
    assert str(version.PROTOCOL) in {row[0] for row in rows(3) if row[2] == "first version"}
    assert SPEC.startswith(f"# Ostiary wire protocol, version {version.PROTOCOL}\n")
