"""Enrolment of connectors, relays and services (C1, C2; D7, T-3, F-31)."""

import asyncio
from typing import Any

import pytest
from controller_api import URL, Agent, Controller, code_of
from cryptography import x509

from protocol.enrolment import parse_untrusted
from protocol.ids import is_id
from protocol.limits import ENROLMENT_LIFE_S
from protocol.tokens.keys import VerificationKeys, generate_key


async def _connector(controller: Controller) -> tuple[str, str]:
    """Returns the id of a new connector and its enrolment secret."""
    owner = await controller.owner()
    network = (await owner.post("/api/v1/networks", json={"name": "office"})).json()["id"]
    made = (await owner.post("/api/v1/connectors", json={"network": network, "name": "office-1"})).json()
    return made["id"], parse_untrusted(made["enrolment_token"]).secret


async def _enroll(controller: Controller, body: dict[str, Any], address: str = "192.0.2.1") -> Any:
    async with controller.person(address=address) as agent:
        return await agent.post("/api/v1/enroll", json=body)


async def test_a_connector_enrols_once(controller: Controller) -> None:
    connector, secret = await _connector(controller)
    agent = Agent(controller.clock)
    answer = await _enroll(controller, agent.enrolment(secret, "connector", pin=agent.pin))
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert set(body) == {"connector", "network", "issuer", "controller_url", "jwks"}
    assert (body["connector"], body["controller_url"]) == (connector, URL)
    VerificationKeys.from_jwks_untrusted(body["jwks"])
    known = controller.services.state.connectors[body["connector"]]
    assert known.pin == agent.pin
    assert known.key is not None
    assert known.key.to_jwk() == agent.jwk

    other = Agent(controller.clock)
    again = await _enroll(controller, other.enrolment(secret, "connector", pin=other.pin))
    assert (again.status_code, code_of(again)) == (410, "enrolment_used")


async def test_t9_whoever_hands_out_a_token_is_in_the_log(controller: Controller) -> None:
    connector, _ = await _connector(controller)
    admin = await controller.add_user("admin@corp.example", role="admin")
    given = (await admin.http.post(f"/api/v1/connectors/{connector}/enrolment")).json()
    owner = await controller.owner()
    seen = await owner.get("/api/v1/events", params={"stream": connector, "type": "enrolment.issued"})
    newest = seen.json()["items"][0]
    assert (newest["actor"], newest["data"]) == (admin.id, {"kind": "connector", "target": connector})
    assert parse_untrusted(given["enrolment_token"]).secret not in seen.text


async def test_f31_the_same_key_gets_the_same_answer_again(controller: Controller) -> None:
    _, secret = await _connector(controller)
    agent = Agent(controller.clock)
    first = await _enroll(controller, agent.enrolment(secret, "connector", pin=agent.pin))
    position = controller.services.state.position
    second = await _enroll(controller, agent.enrolment(secret, "connector", pin=agent.pin))
    assert first.json() == second.json()
    assert controller.services.state.position == position


async def test_d7_of_many_at_once_one_enrols(controller: Controller) -> None:
    _, secret = await _connector(controller)
    agents = [Agent(controller.clock) for _ in range(12)]
    answers = await asyncio.gather(
        *(
            _enroll(controller, agent.enrolment(secret, "connector", pin=agent.pin), f"192.0.2.{number}")
            for number, agent in enumerate(agents, 1)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [410] * 11


async def test_a_relay_gets_a_certificate_for_its_own_name(controller: Controller) -> None:
    owner = await controller.owner()
    made = (await owner.post("/api/v1/relays", json={"name": "r", "fqdn": "relay.example", "port": 8444})).json()
    secret = parse_untrusted(made["enrolment_token"]).secret
    agent = Agent(controller.clock)
    foreign = await _enroll(controller, agent.enrolment(secret, "relay", csr=agent.request("controller.example")))
    assert (foreign.status_code, code_of(foreign), foreign.json()["field"]) == (422, "invalid_input", "csr")
    swapped = await _enroll(controller, agent.enrolment(secret, "relay", csr=agent.request(key=generate_key())))
    assert (swapped.status_code, swapped.json()["field"]) == (422, "csr")
    absent = await _enroll(controller, agent.enrolment(secret, "relay"))
    assert (absent.status_code, absent.json()["field"]) == (422, "csr")
    # None of these has spent the secret.
    answer = await _enroll(controller, agent.enrolment(secret, "relay", csr=agent.request("relay.example")))
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["relay"], body["fqdn"], body["port"]) == (made["id"], "relay.example", 8444)
    leaf, root = x509.load_pem_x509_certificates(body["certificate"].encode())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["relay.example"]
    leaf.verify_directly_issued_by(root)
    assert (await owner.get(f"/api/v1/relays/{made['id']}")).json()["enrolled"] is True


async def test_a_service_account_enrols_hosts(controller: Controller) -> None:
    owner = await controller.owner()
    made = (await owner.post("/api/v1/service-accounts", json={"name": "ci"})).json()
    agent = Agent(controller.clock)
    secret = parse_untrusted(made["enrolment_token"]).secret
    body = (await _enroll(controller, agent.enrolment(secret, "service"))).json()
    assert is_id(body["device"], "device")
    assert body["service_account"] == made["id"]
    more = (await owner.post(f"/api/v1/service-accounts/{made['id']}/enrolment")).json()
    second = parse_untrusted(more["enrolment_token"]).secret
    same_key = await _enroll(controller, agent.enrolment(second, "service"))
    assert (same_key.status_code, code_of(same_key)) == (409, "already_exists")
    assert (await _enroll(controller, Agent(controller.clock).enrolment(second, "service"))).status_code == 200
    devices = (await owner.get("/api/v1/devices", params={"owner": made["id"]})).json()["items"]
    assert {item["name"] for item in devices} == {"host1"}
    assert {item["owner_kind"] for item in devices} == {"service_account"}
    assert (await owner.get(f"/api/v1/service-accounts/{made['id']}")).json()["devices"] == 2
    changed = await owner.patch(f"/api/v1/service-accounts/{made['id']}", json={"disabled": True})
    assert changed.json()["disabled"] is True
    assert (await owner.delete(f"/api/v1/service-accounts/{made['id']}")).status_code == 204
    assert (await owner.get("/api/v1/devices")).json()["items"] == []


async def test_tokens_expire_and_a_new_one_replaces_the_old(controller: Controller) -> None:
    connector, secret = await _connector(controller)
    owner = await controller.owner()
    fresh = parse_untrusted(
        (await owner.post(f"/api/v1/connectors/{connector}/enrolment")).json()["enrolment_token"]
    ).secret
    agent = Agent(controller.clock)
    old = await _enroll(controller, agent.enrolment(secret, "connector", pin=agent.pin))
    assert (old.status_code, code_of(old)) == (403, "enrolment_invalid")
    controller.clock.advance(ENROLMENT_LIFE_S + 1)
    late = await _enroll(controller, agent.enrolment(fresh, "connector", pin=agent.pin))
    assert (late.status_code, code_of(late)) == (410, "enrolment_expired")


async def test_a_new_token_moves_the_identity_to_the_new_key(controller: Controller) -> None:
    connector, secret = await _connector(controller)
    first, second = Agent(controller.clock), Agent(controller.clock)
    await _enroll(controller, first.enrolment(secret, "connector", pin=first.pin))
    owner = await controller.owner()
    again = (await owner.post(f"/api/v1/connectors/{connector}/enrolment")).json()["enrolment_token"]
    answer = await _enroll(controller, second.enrolment(parse_untrusted(again).secret, "connector", pin=second.pin))
    assert answer.json()["connector"] == connector
    assert (await owner.get(f"/api/v1/connectors/{connector}")).json()["pin"] == second.pin


async def test_a_removed_connectors_token_is_worth_nothing(controller: Controller) -> None:
    connector, secret = await _connector(controller)
    owner = await controller.owner()
    await owner.delete(f"/api/v1/connectors/{connector}")
    agent = Agent(controller.clock)
    answer = await _enroll(controller, agent.enrolment(secret, "connector", pin=agent.pin))
    assert (answer.status_code, code_of(answer)) == (403, "enrolment_invalid")


async def test_t3_a_secret_of_one_kind_enrols_no_other(controller: Controller) -> None:
    _, secret = await _connector(controller)
    agent = Agent(controller.clock)
    for body in (agent.enrolment(secret, "service"), agent.enrolment(secret, "relay", csr=agent.request())):
        answer = await _enroll(controller, body)
        assert (answer.status_code, code_of(answer)) == (403, "enrolment_invalid")
    assert (await _enroll(controller, agent.enrolment(secret, "connector", pin=agent.pin))).status_code == 200


async def test_whoever_asks_must_hold_the_key(controller: Controller) -> None:
    _, secret = await _connector(controller)
    agent, other = Agent(controller.clock), Agent(controller.clock)
    good = agent.enrolment(secret, "connector", pin=agent.pin)
    wrong: list[tuple[dict[str, Any], int, str]] = [
        ({"proof": other.proof()}, 403, "token_key_unknown"),
        ({"proof": agent.proof(audience="https://evil.example")}, 403, "token_audience"),
        ({"proof": agent.proof(agent="con_somebody")}, 403, "proof_invalid"),
        ({"proof": agent.proof(age_s=3600)}, 403, "token_expired"),
        ({"proof": agent.proof(age_s=-3600)}, 403, "token_not_yet_valid"),
        ({"proof": "not a token"}, 403, "token_malformed"),
        ({"jwk": {**agent.jwk, "x": other.jwk["x"]}}, 422, "invalid_input"),
        ({"jwk": {**agent.jwk, "d": "private"}}, 422, "invalid_input"),
        ({"pin": "sha256/short"}, 422, "invalid_input"),
        ({"pin": None}, 422, "invalid_input"),
        ({"secret": "A" * 43}, 403, "enrolment_invalid"),
    ]
    for number, (change, status, code) in enumerate(wrong):
        answer = await _enroll(controller, {**good, **change}, f"198.51.100.{number + 10}")
        assert (answer.status_code, code_of(answer)) == (status, code), change
    assert (await _enroll(controller, good)).status_code == 200


async def test_d10_guesses_of_secrets_are_slowed_down(controller: Controller) -> None:
    agent = Agent(controller.clock)
    codes = []
    for number in range(30):
        body = agent.enrolment(f"{number:043d}", "connector", pin=agent.pin)
        codes.append(code_of(await _enroll(controller, body)))
    assert codes.count("rate_limited") >= 10


@pytest.mark.parametrize("path", ["/ca.pem", "/.well-known/jwks.json", "/healthz/live", "/healthz/ready"])
async def test_what_anybody_may_read(controller: Controller, path: str) -> None:
    answer = await controller.http.get(path)
    assert answer.status_code == 200
    assert "PRIVATE" not in answer.text


async def test_the_published_keys_follow_a_rotation(controller: Controller) -> None:
    before = (await controller.http.get("/.well-known/jwks.json")).json()["keys"]
    owner = await controller.owner()
    rotated = await owner.post("/api/v1/keys/rotate")
    assert [item["status"] for item in rotated.json()["items"]] == ["active", "next", "previous"]
    after = (await controller.http.get("/.well-known/jwks.json")).json()["keys"]
    assert [key["kid"] for key in before] == [after[2]["kid"], after[0]["kid"]]
    bad = after[0]["kid"]
    distrusted = await owner.post(f"/api/v1/keys/{bad}/distrust")
    assert distrusted.json()["items"][-1] == {"kid": bad, "status": "distrusted", "added_at": None, "version": 3}
    assert bad not in (await controller.http.get("/.well-known/jwks.json")).text
    assert (await owner.post("/api/v1/keys/unknown/distrust")).status_code == 404
    assert (await controller.http.get("/healthz/ready")).status_code == 200
