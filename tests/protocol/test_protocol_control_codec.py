"""Control messages: golden frames of every type, strictness by field, and no surprise on any text."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import control, control_keys, control_requests, control_tests
from protocol.control import (
    AccessTokenReply,
    AccessTokenRequest,
    AuthoriseReply,
    AuthoriseRequest,
    ConnectionRecord,
    Cutoff,
    DeviceReport,
    Enforced,
    ExplainReply,
    ExplainRequest,
    Goodbye,
    Heartbeat,
    Hello,
    LiveFlow,
    LiveFlows,
    LiveVerdict,
    Message,
    PushConfig,
    PushSnapshot,
    Records,
    RecordsAccepted,
    Revoke,
    Revoked,
    SignOut,
    Welcome,
)
from protocol.control_codec import MESSAGES, encode, parse_message_untrusted
from protocol.control_keys import AnnounceKey, KeyAnnounced, KeysChanged
from protocol.control_requests import AccessRequests, AskedFor, ListRequests, RequestAccess, WithdrawRequest
from protocol.control_tests import DestinationTested, TestDestination
from protocol.errors import RemoteProtocolError
from protocol.ids import ConnectorId, DeviceId, FlowId, NetworkId, RelayId, ResourceId, Revision, SpkiPin
from protocol.limits import CONTROL_MESSAGE_MAX_BYTES

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "control.json").read_text())

DEVICE = DeviceId("dev_" + "D" * 22)
RESOURCE = ResourceId("res_" + "A" * 22)
CONNECTOR = ConnectorId("con_" + "C" * 22)
FLOW = FlowId("flw_" + "F" * 22)
PIN = SpkiPin("sha256/" + "A" * 43 + "=")
JWK = {"kty": "EC", "crv": "P-256", "x": "x", "y": "y"}
RECORD = ConnectionRecord(
    flow=FLOW,
    reporter="connector",
    device=DEVICE,
    user="usr_" + "U" * 22,
    resource=RESOURCE,
    network=NetworkId("net_" + "N" * 22),
    connector=CONNECTOR,
    relay=RelayId("rel_" + "R" * 22),
    host="db.corp",
    address="10.0.0.7",
    transport="tcp",
    port=5432,
    started_ms=1_760_000_000_000,
    ended_ms=1_760_000_001_000,
    bytes_up=10,
    bytes_down=2**40,
    outcome="normal",
    revision=Revision(7),
    grants=("gra_" + "G" * 22,),
)
DENIED = dataclasses.replace(
    RECORD,
    reporter="client",
    network=None,
    connector=None,
    relay=None,
    address="",
    transport="icmp",
    port=None,
    grants=(),
)
MESSAGES_BY_NAME: dict[str, Message] = {
    "heartbeat": Heartbeat(1_760_000_000_000),
    "heartbeat of a busy controller": Heartbeat(2, 1, interval_s=12.5),
    "heartbeat of a connector": Heartbeat(1, 2, PIN, PIN, (RelayId("rel_" + "R" * 22),), 3, 1),
    "heartbeat of a connector that listens": Heartbeat(1, direct=("10.0.0.5:7443", "[fd00::5]:7443")),
    "goodbye": Goodbye("shutting_down", 1.5),
    "hello": Hello(1, "0.1.0", 1_760_000_000_000),
    "hello with everything": Hello(1, "0.1.0", 1, 2, Revision(7), "büro", PIN, PIN, {"platform": "linux"}),
    "authorise": AuthoriseRequest(1, RESOURCE),
    "access_token": AccessTokenRequest(2, CONNECTOR, JWK),
    "enforced": Enforced(1, Revision(7), "digest"),
    "records": Records(3, (RECORD, DENIED)),
    "records with an open flow": Records(4, (), (dataclasses.replace(RECORD, token="jti", path="relay"),)),
    "live_flows, more to come": LiveFlows(4, (), more=True),
    "live_flows": LiveFlows(4, (LiveFlow(FLOW, DEVICE, RESOURCE, "icmp", None),)),
    "sign_out": SignOut(),
    "facts": DeviceReport({"os": "linux", "distribution": "debian", "disk_encrypted": "yes"}),
    "explain": ExplainRequest(5, "db.corp", "tcp", 5432),
    "welcome": Welcome(1, "0.1.0", 1, 1, Revision(7), {"keys": [JWK]}, "usr_" + "U" * 22, "Ada", 1_760_000_000),
    "snapshot": PushSnapshot("a.b.c"),
    "config": PushConfig("a.b.c"),
    "authorised": AuthoriseReply(1, "a.b.c"),
    "authorised, refused": AuthoriseReply(1, reason="no_grant"),
    "authorised, with direct addresses": AuthoriseReply(1, "a.b.c", direct={"con_" + "C" * 22: ("10.0.0.5:7443",)}),
    "access": AccessTokenReply(2, "a.b.c"),
    "access, refused": AccessTokenReply(2, reason="session_ended"),
    "revoke": Revoke(
        Revision(8), (Cutoff(DEVICE, None, 1_760_000_000, "device_revoked"), Cutoff(DEVICE, RESOURCE, 1, "no_grant"))
    ),
    "revoked": Revoked("device_revoked"),
    "live_verdict": LiveVerdict(4, Revision(8), (FLOW,)),
    "records_accepted": RecordsAccepted(3),
    "explained": ExplainReply(5, True, None, RESOURCE, "Database", ("gra_" + "G" * 22,), ("dba",), (), Revision(7)),
    "keys": KeysChanged({"keys": [JWK]}),
    "announce_key": AnnounceKey(6, "a.b.c", "d.e.f"),
    "test": TestDestination(3, "wiki.corp", 443),
    "tested": DestinationTested(3, None, ("10.0.0.5",), "10.0.0.5", 1500, 800),
    "tested, refused": DestinationTested(3, "connection_refused"),
    "key_announced": KeyAnnounced(6, 420.0),
    "key_announced, refused": KeyAnnounced(6, reason="token_signature"),
    "request_access": RequestAccess(7, "db.corp", "release 4.2", 5432, 7200),
    "request_access, in short": RequestAccess(7, "Payroll", "audit"),
    "withdraw_request": WithdrawRequest(8, "arq_" + "Q" * 22),
    "list_requests": ListRequests(9),
    "access_requests": AccessRequests(
        9,
        (
            AskedFor("arq_" + "Q" * 22, "db.corp", 5432, "open", 1, 2, 3, "release 4.2"),
            AskedFor("arq_" + "R" * 22, "Payroll", None, "approved", 1, 2, 3, "audit", "until then", 4),
        ),
    ),
    "access_requests, refused": AccessRequests(7, reason="limit_exceeded"),
    "explained, refused": ExplainReply(5, allowed=False, reason="no_grant", ask=("Ada",)),
    "explained, not now": ExplainReply(
        5, allowed=False, reason="outside_hours", missing=("Mon 08:00-18:00 (UTC)",), changes_at=1_760_000_000
    ),
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


def test_every_message_has_a_golden_frame() -> None:
    assert {message.TYPE for message in MESSAGES_BY_NAME.values()} == set(MESSAGES)
    assert set(VECTORS) == set(MESSAGES_BY_NAME)
    assert set(MESSAGES.values()) == {
        cls
        for module in (control, control_keys, control_requests, control_tests)
        for cls in vars(module).values()
        if isinstance(cls, type) and issubclass(cls, Message) and cls.TYPE
    }


@pytest.mark.parametrize("name", MESSAGES_BY_NAME)
def test_golden_frame(name: str) -> None:
    assert encode(MESSAGES_BY_NAME[name]) == VECTORS[name]
    assert parse_message_untrusted(VECTORS[name]) == MESSAGES_BY_NAME[name]


@pytest.mark.parametrize("name", MESSAGES_BY_NAME)
def test_unknown_field_is_ignored(name: str) -> None:
    body = json.loads(VECTORS[name]) | {"from_the_future": {"x": [1]}}
    assert parse_message_untrusted(json.dumps(body)) == MESSAGES_BY_NAME[name]


def test_unknown_type_is_none() -> None:
    assert parse_message_untrusted('{"type": "from_the_future", "id": true}') is None
    assert parse_message_untrusted('{"type": ""}') is None


@pytest.mark.parametrize("name", MESSAGES_BY_NAME)
def test_field_without_default_must_be_present(name: str) -> None:
    message = MESSAGES_BY_NAME[name]
    body = json.loads(VECTORS[name])
    for field in dataclasses.fields(message):
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        without = json.dumps({key: value for key, value in body.items() if key != field.name})
        if required:
            with pytest.raises(RemoteProtocolError, match=f"{field.name} must be present"):
                parse_message_untrusted(without)
        else:
            assert isinstance(parse_message_untrusted(without), type(message))


def _wrong_values(value: object) -> list[object]:
    """Values of other JSON types than ``value``; a float may be given as an integer."""
    if isinstance(value, bool):
        return [0, "true", None, [], {}]
    if isinstance(value, int):
        return [True, 1.0, "1", [], {}, 2**53]
    if isinstance(value, float):
        return [True, "1", None, [], {}]
    if isinstance(value, str):
        return [1, False, [], {}, "\0", "\ud800"]
    return [1, "x", True]


@pytest.mark.parametrize("name", MESSAGES_BY_NAME)
def test_field_of_another_type_is_refused(name: str) -> None:
    body = json.loads(VECTORS[name])
    for key in body.keys() - {"type"}:
        for wrong in _wrong_values(body[key]):
            with pytest.raises(RemoteProtocolError, match=key):
                parse_message_untrusted(json.dumps(body | {key: wrong}))


def test_error_names_the_place() -> None:
    body = json.loads(VECTORS["records"])
    body["records"][1]["port"] = "443"
    with pytest.raises(RemoteProtocolError, match=r"records\.records\[1\]\.port must be an integer"):
        parse_message_untrusted(json.dumps(body))
    with pytest.raises(RemoteProtocolError, match=r"hello\.facts\.os must be a string"):
        parse_message_untrusted(json.dumps(json.loads(VECTORS["hello"]) | {"facts": {"os": 1}}))


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "1", '"hello"', "{}", '{"type": 1}', '{"type": null}', "[" * 5000, "{" * 5000, "1" * 5000]
    + [f'{{"type": "goodbye", "reason": "x", "retry_after_s": {number}}}' for number in ("NaN", "1e999", "1" * 400)],
)
def test_not_a_message(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_message_untrusted(text)


def test_length_and_depth_are_bounded() -> None:
    with pytest.raises(RemoteProtocolError, match="too long"):
        parse_message_untrusted(" " * (CONTROL_MESSAGE_MAX_BYTES + 1))
    deep: object = 1
    for _ in range(12):
        deep = [deep]
    with pytest.raises(RemoteProtocolError, match="levels deep"):
        parse_message_untrusted(json.dumps(json.loads(VECTORS["welcome"]) | {"jwks": {"keys": deep}}))


@settings(max_examples=200)
@given(st.text(max_size=60) | JSON.map(json.dumps))
def test_any_text_is_none_or_our_error(text: str) -> None:
    try:
        assert parse_message_untrusted(text) is None
    except RemoteProtocolError:
        return


@settings(max_examples=300)
@given(st.sampled_from(sorted(MESSAGES_BY_NAME)), st.data())
def test_any_change_of_a_good_message_is_a_message_or_our_error(name: str, data: Any) -> None:
    body = json.loads(VECTORS[name])
    for key in data.draw(st.lists(st.sampled_from(sorted(body)), max_size=3)):
        body[key] = data.draw(JSON)
    try:
        message = parse_message_untrusted(json.dumps(body))
    except RemoteProtocolError:
        return
    if message is not None:
        assert parse_message_untrusted(encode(message)) == message


@given(st.builds(Heartbeat, st.integers(0, 2**53 - 1), st.none() | st.integers(0, 2**53 - 1), flows=st.integers(0, 9)))
def test_heartbeat_round_trip(message: Heartbeat) -> None:
    assert parse_message_untrusted(encode(message)) == message
