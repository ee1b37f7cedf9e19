"""Tickets at the relay: role, path, relay, time, signer; keysets (T-20, T-21, C13)."""

import time

import pytest
from relay_world import ISSUER, RELAY, connector_id, make_keyset, make_ticket, signing_key

from protocol.errors import RefusedError, RemoteError
from protocol.ids import RelayId, make_id, relay_hash
from protocol.limits import CLOCK_LEEWAY_S
from protocol.reasons import Reason
from protocol.rendezvous import ATTACH_PATH, CONNECT_PATH, CONTROL_PATH, LEG_PATH
from protocol.tokens.keys import VerificationKeys
from protocol.tokens.strict import b64url_decode_untrusted, b64url_encode
from relay.admission import Admission, status_of

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def admission() -> Admission:
    return Admission(relay=RELAY, issuer=ISSUER, keys=VerificationKeys.of(signing_key()))


def refusal(path: str, ticket: str, now: float | None = None) -> Reason:
    with pytest.raises(RefusedError) as caught:
        admission().check(path, ticket, time.time() if now is None else now)
    return caught.value.reason


@pytest.mark.parametrize("path", [ATTACH_PATH, LEG_PATH])
def test_a_connectors_ticket_admits_to_its_own_hash(path: str) -> None:
    admitted = admission().check(path, make_ticket("connector", connector_id(7)), time.time())
    assert (admitted.path, admitted.connector) == (path, relay_hash(connector_id(7)))


def test_a_clients_and_a_controllers_ticket() -> None:
    admitted = admission().check(CONNECT_PATH, make_ticket("client", connector_id(7)), time.time())
    assert admitted.connector == relay_hash(connector_id(7))
    assert admission().check(CONTROL_PATH, make_ticket("controller"), time.time()).connector is None


@pytest.mark.parametrize(
    ("path", "role"),
    [
        (ATTACH_PATH, "client"),
        (LEG_PATH, "client"),
        (CONTROL_PATH, "client"),
        (CONNECT_PATH, "connector"),
        (CONTROL_PATH, "connector"),
        (ATTACH_PATH, "controller"),
        (CONNECT_PATH, "controller"),
    ],
)
def test_t20_a_ticket_of_one_role_does_not_serve_another(path: str, role: str) -> None:
    assert refusal(path, make_ticket(role)) is Reason.FORBIDDEN  # type: ignore[arg-type]


def test_t21_a_ticket_for_another_relay() -> None:
    other = RelayId(make_id("relay", b"x" * 16))
    assert refusal(CONNECT_PATH, make_ticket("client", relay=other)) is Reason.TOKEN_AUDIENCE


def test_a_ticket_of_another_controller() -> None:
    assert refusal(CONNECT_PATH, make_ticket("client", issuer="ctl_" + "B" * 22)) is Reason.TOKEN_ISSUER
    foreign = make_ticket("client", key=signing_key("kid-unknown"))
    assert refusal(CONNECT_PATH, foreign) in (Reason.TOKEN_KEY_UNKNOWN, Reason.TOKEN_SIGNATURE)


def test_a_ticket_outside_its_time() -> None:
    now = time.time()
    assert refusal(CONNECT_PATH, make_ticket("client"), now + 60 + CLOCK_LEEWAY_S + 2) is Reason.TOKEN_EXPIRED
    assert refusal(CONNECT_PATH, make_ticket("client", wall=now + 3600), now).code.startswith("token_")


@pytest.mark.parametrize("ticket", ["", "x", "a.b.c", "e30.e30.e30"])
def test_no_ticket_at_all(ticket: str) -> None:
    assert refusal(CONNECT_PATH, ticket) is Reason.TOKEN_MALFORMED


def test_an_unknown_path() -> None:
    assert refusal("/relay/v1/other", make_ticket("client")) is Reason.NOT_FOUND
    assert refusal(CONNECT_PATH + "?x", make_ticket("client")) is Reason.NOT_FOUND


def test_the_same_ticket_has_the_same_key_and_the_key_is_no_ticket() -> None:
    ticket = make_ticket("client")
    found = {admission().check(CONNECT_PATH, ticket, time.time()).ticket_key for _ in range(3)}
    assert len(found) == 1
    assert not any(key in ticket for key in found)
    other = admission().check(CONNECT_PATH, make_ticket("client", connector_id(2)), time.time())
    assert other.ticket_key not in found


def test_t25_a_second_text_of_one_ticket_is_the_same_ticket() -> None:
    """With (r, s) also (r, n - s) verifies, and anybody can compute it: it must not count as another ticket."""
    ticket = make_ticket("client", connector_id(7))
    signed, _, signature = ticket.rpartition(".")
    raw = b64url_decode_untrusted(signature)
    mirrored = P256_ORDER - int.from_bytes(raw[32:], "big")
    twin = f"{signed}.{b64url_encode(raw[:32] + mirrored.to_bytes(32, 'big'))}"
    assert twin != ticket
    keys = {admission().check(CONNECT_PATH, text, time.time()).ticket_key for text in (ticket, twin)}
    assert len(keys) == 1


def test_t25_tickets_of_one_second_are_counted_apart() -> None:
    """Nothing in them but the signature tells two clients' tickets for one connector apart."""
    tickets = [make_ticket("client", connector_id(7), wall=1_000_000) for _ in range(4)]
    assert len({ticket.rpartition(".")[0] for ticket in tickets}) == 1
    keys = {admission().check(CONNECT_PATH, ticket, 1_000_001).ticket_key for ticket in tickets}
    assert len(keys) == 4


def test_every_refusal_has_an_http_status() -> None:
    assert [status_of(reason) for reason in (Reason.TOKEN_EXPIRED, Reason.FORBIDDEN, Reason.RATE_LIMITED)] == [
        401,
        403,
        429,
    ]
    assert all(400 <= status_of(reason) < 600 for reason in Reason)


# Keysets


def test_a_keyset_replaces_the_keys() -> None:
    gate = admission()
    keys = gate.replace_keys(make_keyset(signing_key("kid-2")), time.time())
    assert set(keys.keys) == {"kid-2"}
    gate.check(CONNECT_PATH, make_ticket("client", key=signing_key("kid-2")), time.time())
    with pytest.raises(RefusedError):
        gate.check(CONNECT_PATH, make_ticket("client"), time.time())


def test_a_keyset_by_an_unknown_key_changes_nothing() -> None:
    gate = admission()
    with pytest.raises(RemoteError):
        gate.replace_keys(make_keyset(signing_key("kid-2"), signed_by=signing_key("kid-2")), time.time())
    assert set(gate.keys.keys) == {"kid-1"}


def test_an_older_keyset_does_not_bring_a_distrusted_key_back() -> None:
    gate = admission()
    now = int(time.time())
    old = make_keyset(signing_key(), signing_key("kid-2"), issued_at=now - 10)
    gate.replace_keys(make_keyset(signing_key("kid-2"), issued_at=now), time.time())
    with pytest.raises(RemoteError):
        gate.replace_keys(old, time.time())
    signed_by_both = make_keyset(signing_key(), signed_by=signing_key("kid-2"), issued_at=now - 10)
    with pytest.raises(RemoteError) as caught:
        gate.replace_keys(signed_by_both, time.time())
    assert caught.value.reason is Reason.TOKEN_EXPIRED
    assert set(gate.keys.keys) == {"kid-2"}


def test_a_ticket_is_no_keyset() -> None:
    with pytest.raises(RemoteError) as caught:
        admission().replace_keys(make_ticket("controller"), time.time())
    assert caught.value.reason is Reason.TOKEN_TYPE
