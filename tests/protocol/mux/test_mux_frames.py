"""Frames against golden bytes."""

import json
from pathlib import Path
from typing import Any

import pytest
from mux_pair import flush

from protocol.errors import RemoteProtocolError
from protocol.mux import Session
from protocol.mux.frames import encode_header, parse_header_untrusted
from protocol.reasons import reason_from_number

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "mux.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["frames"], ids=lambda vector: vector["name"])
def test_golden_frames(vector: dict[str, Any]) -> None:
    fields = (vector["type"], vector["flags"], vector["stream"], vector["length"])
    assert encode_header(*fields).hex() == vector["hex"]
    assert parse_header_untrusted(b"??" + bytes.fromhex(vector["hex"]), 2) == fields


@pytest.mark.parametrize("vector", VECTORS["malformed"], ids=lambda vector: vector["name"])
def test_malformed_frames_end_the_session(vector: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_header_untrusted(bytes.fromhex(vector["hex"]))
    with pytest.raises(RemoteProtocolError):
        Session(client=False, now=0.0).receive_data(bytes.fromhex(vector["hex"]), 0.0)


@pytest.mark.parametrize("vector", VECTORS["dialogues"], ids=lambda vector: vector["name"])
def test_golden_dialogues(vector: dict[str, Any]) -> None:
    session = Session(client=vector["client"], now=0.0)
    for name, *arguments in vector["calls"]:
        if name == "send":
            arguments[1] = bytes.fromhex(arguments[1])
        elif name in ("reset", "go_away"):
            arguments[-1] = reason_from_number(arguments[-1])
        getattr(session, name)(*arguments)
    assert flush(session) == bytes.fromhex(vector["hex"])
