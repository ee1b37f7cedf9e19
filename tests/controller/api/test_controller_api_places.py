"""Networks, connectors, relays, resources, grants over the API."""

from typing import Any

import httpx2
import pytest
from controller_api import Controller, code_of

from protocol.enrolment import parse_untrusted


async def _create(http: httpx2.AsyncClient, noun: str, **body: Any) -> dict[str, Any]:
    answer = await http.post(f"/api/v1/{noun}", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_a_whole_policy_can_be_made_read_changed_and_removed(controller: Controller) -> None:
    owner = await controller.owner()
    network = await _create(owner, "networks", name="office", egress_allow=["169.254.169.254"])
    connector = await _create(owner, "connectors", network=network["id"], name="office-1")
    relay = await _create(owner, "relays", name="relay-1", fqdn="Relay.Example.com", port=8444)
    resource = await _create(
        owner,
        "resources",
        network=network["id"],
        name="database",
        address="DB.prod.internal.",
        ports={"tcp": ["5432", "8000-8100"], "icmp": True},
    )
    group = await _create(owner, "groups", name="engineers")
    grant = await _create(
        owner, "grants", subject_kind="group", subject=group["id"], resource=resource["id"], expires_at=None
    )
    assert resource["address"] == "db.prod.internal"
    assert resource["ports"] == {"tcp": ["5432", "8000-8100"], "udp": [], "icmp": True}
    assert (connector["enrolled"], connector["online"], connector["since"]) == (False, False, None)
    assert relay["enrolled"] is False
    assert grant["expired"] is False
    token = parse_untrusted(connector["enrolment_token"])
    assert (token.url, token.pin, token.kind) == (
        "https://controller.example",
        controller.services.ca.pin,
        "connector",
    )

    for noun, thing in (("networks", network), ("connectors", connector), ("relays", relay), ("resources", resource)):
        read = await owner.get(f"/api/v1/{noun}/{thing['id']}")
        assert read.status_code == 200
        assert read.headers["etag"] == f'"{read.json()["version"]}"'
        listed = (await owner.get(f"/api/v1/{noun}", params={"name": thing["name"].upper()})).json()
        assert [item["id"] for item in listed["items"]] == [thing["id"]]
        assert "enrolment_token" not in read.text
        assert "enrolment_token" not in str(listed)

    changed = await owner.patch(f"/api/v1/resources/{resource['id']}", json={"ports": {"udp": ["53"]}})
    assert changed.json()["ports"] == {"tcp": [], "udp": ["53"], "icmp": False}
    assert changed.json()["name"] == "database"
    renamed = await owner.patch(f"/api/v1/networks/{network['id']}", json={"name": "hq", "egress_allow": []})
    assert (renamed.json()["name"], renamed.json()["egress_allow"]) == ("hq", [])

    refused = await owner.delete(f"/api/v1/networks/{network['id']}")
    assert (refused.status_code, code_of(refused)) == (409, "in_use")
    for noun, thing in (
        ("grants", grant),
        ("resources", resource),
        ("connectors", connector),
        ("relays", relay),
        ("networks", network),
    ):
        assert (await owner.delete(f"/api/v1/{noun}/{thing['id']}")).status_code == 204
        gone = await owner.get(f"/api/v1/{noun}/{thing['id']}")
        assert (gone.status_code, code_of(gone)) == (404, "not_found")


async def test_lists_come_in_pages(controller: Controller) -> None:
    owner = await controller.owner()
    names = [f"network {number}" for number in range(7)]
    for name in names:
        await _create(owner, "networks", name=name)
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query: dict[str, Any] = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        page = (await owner.get("/api/v1/networks", params=query)).json()
        assert len(page["items"]) <= 3
        seen += [item["name"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(seen) == names
    wrong = await owner.get("/api/v1/networks", params={"cursor": "nonsense"})
    assert (wrong.status_code, wrong.json()["field"]) == (422, "cursor")


async def test_t16_an_update_with_an_old_version_changes_nothing(controller: Controller) -> None:
    owner = await controller.owner()
    made = await _create(owner, "networks", name="office")
    path = f"/api/v1/networks/{made['id']}"
    first = await owner.patch(path, json={"name": "one"}, headers={"If-Match": '"1"'})
    assert (first.status_code, first.headers["etag"]) == (200, '"2"')
    second = await owner.patch(path, json={"name": "two"}, headers={"If-Match": '"1"'})
    assert (second.status_code, code_of(second)) == (412, "conflict")
    assert (await owner.delete(path, headers={"If-Match": '"1"'})).status_code == 412
    assert (await owner.get(path)).json()["name"] == "one"
    nonsense = await owner.patch(path, json={"name": "x"}, headers={"If-Match": "nonsense"})
    assert (nonsense.status_code, nonsense.json()["field"]) == (422, "If-Match")


async def test_f31_a_repeated_creation_gets_the_same_answer_and_does_nothing_again(controller: Controller) -> None:
    owner = await controller.owner()
    network = await _create(owner, "networks", name="office")
    body = {"network": network["id"], "name": "office-1"}
    key = {"Idempotency-Key": "a-key-of-mine-1"}
    first = await owner.post("/api/v1/connectors", json=body, headers=key)
    second = await owner.post("/api/v1/connectors", json=body, headers=key)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.text == second.text
    assert second.headers["idempotency-replayed"] == "true"
    assert len((await owner.get("/api/v1/connectors")).json()["items"]) == 1
    other = await owner.post("/api/v1/connectors", json={**body, "name": "office-2"}, headers=key)
    assert (other.status_code, other.json()["field"]) == (422, "Idempotency-Key")
    # The remembered answer holds a secret, so it must not be readable in the database.
    database = controller.services.settings.state_dir / "controller.db"
    raw = b"".join(path.read_bytes() for path in database.parent.glob("controller.db*"))
    token = first.json()["enrolment_token"]
    assert token.encode() not in raw
    assert parse_untrusted(token).secret.encode() not in raw


async def test_what_failed_is_not_remembered(controller: Controller) -> None:
    owner = await controller.owner()
    key = {"Idempotency-Key": "a-key-of-mine-2"}
    missing = {"network": "net_doesnotexist", "name": "office-1"}
    for _ in range(2):
        refused = await owner.post("/api/v1/connectors", json=missing, headers=key)
        assert (refused.status_code, code_of(refused)) == (404, "not_found")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"address": "10.0.0.5/24"}, "address"),
        ({"address": "a..b"}, "address"),
        ({"ports": {"tcp": ["0"]}}, "ports.tcp.0"),
        ({"ports": {"tcp": ["90-80"]}}, "ports.tcp.0"),
        ({"ports": {"tcp": ["1-70000"]}}, "ports.tcp.0"),
        ({"ports": {"sctp": ["1"]}}, "ports.sctp"),
        ({"lease_s": 1}, "lease_s"),
        ({"name": "\u202eevil"}, "name"),
        ({"unknown": 1}, "unknown"),
    ],
)
async def test_wrong_input_names_its_field(controller: Controller, body: dict[str, Any], field: str) -> None:
    owner = await controller.owner()
    network = await _create(owner, "networks", name="office")
    good = {"network": network["id"], "name": "db", "address": "db.internal", "ports": {"tcp": ["1"]}}
    answer = await owner.post("/api/v1/resources", json={**good, **body})
    assert (answer.status_code, code_of(answer)) == (422, "invalid_input")
    assert answer.json()["field"] == field


async def test_a_grant_may_end_but_not_in_the_past(controller: Controller) -> None:
    owner = await controller.owner()
    network = await _create(owner, "networks", name="office")
    resource = await _create(
        owner, "resources", network=network["id"], name="db", address="db.internal", ports={"tcp": ["1"]}
    )
    account = await _create(owner, "service-accounts", name="ci")
    subject = {"subject_kind": "service_account", "subject": account["id"], "resource": resource["id"]}
    late = await owner.post("/api/v1/grants", json={**subject, "expires_at": "2001-01-01T00:00:00Z"})
    assert (late.status_code, late.json()["field"]) == (422, "expires_at")
    naive = await owner.post("/api/v1/grants", json={**subject, "expires_at": "2030-01-01T00:00:00"})
    assert (naive.status_code, naive.json()["field"]) == (422, "expires_at")
    made = await _create(owner, "grants", **subject, expires_at="2027-06-01T00:00:00+02:00")
    assert made["expires_at"] == "2027-05-31T22:00:00Z"
    controller.clock.advance(300 * 86_400)
    again = await controller.owner()
    listed = (await again.get("/api/v1/grants", params={"subject": account["id"]})).json()["items"]
    assert [item["expired"] for item in listed] == [True]
