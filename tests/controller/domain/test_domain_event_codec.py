"""Stored events: the corpus of every type ever written replays, and damage is noticed (T-71)."""

import json
from pathlib import Path
from typing import Any

import pytest

from controller.domain.event_codec import UPCASTERS, event_from_json, event_to_json
from controller.domain.events import EVENT_TYPES, ResourceCreated
from protocol.errors import LocalError
from protocol.reasons import Reason

CORPUS: dict[str, list[dict[str, Any]]] = json.loads(Path(__file__).with_name("golden_events.json").read_text())


@pytest.mark.parametrize(("kind", "fields"), [(kind, one) for kind, many in CORPUS.items() for one in many])
def test_t71_every_event_ever_written_still_reads(kind: str, fields: dict[str, Any]) -> None:
    event = event_from_json(kind, fields)
    if kind not in UPCASTERS:
        assert kind == event.TYPE
        assert event_to_json(event) == fields
    assert event.stream


def test_t71_the_corpus_holds_every_type() -> None:
    assert set(CORPUS) >= {event.TYPE for event in EVENT_TYPES}


def test_an_unknown_type_is_of_a_newer_version() -> None:
    with pytest.raises(LocalError) as failed:
        event_from_json("network.painted/1", {})
    assert failed.value.reason is Reason.SCHEMA_NEWER


RESOURCE = CORPUS[ResourceCreated.TYPE][0]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {**RESOURCE, "more": 1},
        {name: value for name, value in RESOURCE.items() if name != "name"},
        {**RESOURCE, "name": 7},
        {**RESOURCE, "lease_s": True},
        {**RESOURCE, "lease_s": "3600"},
        {**RESOURCE, "ports": {"tcp": [], "udp": [], "icmp": 1}},
        {**RESOURCE, "ports": {"tcp": [[1]], "udp": [], "icmp": True}},
        {**RESOURCE, "ports": {"tcp": [[1, "2"]], "udp": [], "icmp": True}},
        {**RESOURCE, "ports": {"tcp": [], "icmp": True}},
        {**RESOURCE, "ports": []},
    ],
)
def test_damaged_fields_are_noticed(fields: dict[str, Any]) -> None:
    with pytest.raises(LocalError) as failed:
        event_from_json(ResourceCreated.TYPE, fields)
    assert failed.value.reason is Reason.STATE_CORRUPT


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("user.created/1", {"role": "king"}),
        ("signing_key.added/1", {"jwk": {"kty": "RSA", "crv": "P-256", "x": "x", "y": "y"}}),
        ("signing_key.added/1", {"jwk": "x"}),
        ("network.egress_changed/1", {"allow": "10.0.0.1"}),
        ("network.egress_changed/1", {"allow": [1]}),
        ("sign_in.failed/1", {"user": 1}),
        ("grant.created/1", {"expires": 1.5}),
    ],
)
def test_mistyped_fields_are_noticed(kind: str, change: dict[str, Any]) -> None:
    with pytest.raises(LocalError) as failed:
        event_from_json(kind, {**CORPUS[kind][0], **change})
    assert failed.value.reason is Reason.STATE_CORRUPT


def test_an_upcaster_brings_an_old_shape_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(UPCASTERS, "network.made/1", lambda old: ("network.created/1", {**old, "name": "unnamed"}))
    event = event_from_json("network.made/1", {"network": "net_x"})
    assert event_to_json(event) == {"network": "net_x", "name": "unnamed"}
