"""Policies, exclusions, trust and grants with conditions over the API."""

from typing import Any

import httpx2
import pytest
from controller_api import Controller, code_of

WORKDAYS = {"days": ["mon", "tue", "wed", "thu", "fri"], "start": "08:00", "end": "18:00"}
STRICT = {
    "sign_in_max_age_s": 28800,
    "mfa_max_age_s": 3600,
    "device_trusted": True,
    "systems": [{"name": "Debian", "min_version": "12"}, {"name": "linux", "min_version": "6.1"}],
    "disk_encrypted": True,
    "firewall": True,
    "client_min_version": "0.1",
    "facts_max_age_s": 7200,
    "sources": ["192.0.2.0/24", "10.0.0.1"],
    "hours": {"zone": "Europe/Berlin", "windows": [WORKDAYS, {"days": ["sat"], "start": "22:00", "end": "24:00"}]},
}


async def _create(http: httpx2.AsyncClient, noun: str, **body: Any) -> dict[str, Any]:
    answer = await http.post(f"/api/v1/{noun}", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def _resource(http: httpx2.AsyncClient) -> dict[str, Any]:
    network = await _create(http, "networks", name="office")
    return await _create(
        http, "resources", network=network["id"], name="db", address="db.internal", ports={"tcp": ["5432"]}
    )


async def test_a_policy_is_made_read_changed_and_removed(controller: Controller) -> None:
    owner = await controller.owner()
    policy = await _create(owner, "policies", name="strict", conditions=STRICT)
    path = f"/api/v1/policies/{policy['id']}"
    read = await owner.get(path)
    assert read.headers["etag"] == '"1"'
    assert read.json() == policy
    conditions = policy["conditions"]
    assert conditions["systems"] == [
        {"name": "debian", "min_version": "12"},
        {"name": "linux", "min_version": "6.1"},
    ]
    assert conditions["sources"] == ["10.0.0.1", "192.0.2.0/24"]
    windows = [WORKDAYS, {"days": ["sat"], "start": "22:00", "end": "24:00"}]
    assert conditions["hours"] == {"zone": "Europe/Berlin", "windows": windows}
    # What was read can be written back, and changes nothing.
    same = await owner.patch(path, json={"conditions": conditions}, headers={"If-Match": '"1"'})
    assert (same.status_code, same.headers["etag"]) == (200, '"1"')
    renamed = await owner.patch(path, json={"name": "stricter"}, headers={"If-Match": '"1"'})
    assert (renamed.json()["name"], renamed.json()["conditions"]) == ("stricter", conditions)
    assert (await owner.patch(path, json={"name": "x"}, headers={"If-Match": '"1"'})).status_code == 412
    listed = (await owner.get("/api/v1/policies", params={"name": "STRICTER"})).json()
    assert [item["id"] for item in listed["items"]] == [policy["id"]]
    assert (await owner.delete(path)).status_code == 204
    assert (await owner.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("conditions", "field"),
    [
        ({}, "conditions"),
        ({"mfa_max_age_s": 59}, "conditions.mfa_max_age_s"),
        ({"firewall": True, "facts_max_age_s": 60}, "conditions.facts_max_age_s"),
        ({"sources": ["192.0.2.1/24"]}, "conditions.sources"),
        ({"sources": ["office.example"]}, "conditions.sources"),
        ({"client_min_version": "new"}, "conditions.client_min_version"),
        ({"systems": [{"name": "debian"}, {"name": "Debian", "min_version": "12"}]}, "conditions.systems"),
        ({"hours": {"zone": "Mars/Olympus", "windows": [WORKDAYS]}}, "conditions.hours.zone"),
        ({"hours": {"zone": "../../etc/passwd", "windows": [WORKDAYS]}}, "conditions.hours.zone"),
        ({"hours": {"zone": "UTC", "windows": []}}, "conditions.hours.windows"),
        ({"hours": {"zone": "UTC", "windows": [{**WORKDAYS, "end": "08:00"}]}}, "conditions.hours.windows"),
        ({"hours": {"zone": "UTC", "windows": [{**WORKDAYS, "start": "24:00"}]}}, "conditions.hours.windows"),
        ({"hours": {"zone": "UTC", "windows": [{**WORKDAYS, "start": "8:00"}]}}, "conditions.hours.windows.0.start"),
        (
            {"hours": {"zone": "UTC", "windows": [{**WORKDAYS, "days": ["holiday"]}]}},
            "conditions.hours.windows.0.days.0",
        ),
        ({"quantum": True}, "conditions.quantum"),
    ],
)
async def test_what_is_wrong_with_conditions_is_named(
    controller: Controller, conditions: dict[str, Any], field: str
) -> None:
    owner = await controller.owner()
    answer = await owner.post("/api/v1/policies", json={"name": "odd", "conditions": conditions})
    assert (answer.status_code, code_of(answer)) == (422, "invalid_input")
    assert answer.json()["field"] == field


async def test_a_grant_names_its_policy_which_then_stays(controller: Controller) -> None:
    owner = await controller.owner()
    resource = await _resource(owner)
    group = await _create(owner, "groups", name="engineers")
    policy = await _create(owner, "policies", name="office hours", conditions={"hours": STRICT["hours"]})
    subject = {"subject_kind": "group", "subject": group["id"], "resource": resource["id"]}
    grant = await _create(owner, "grants", **subject, policy=policy["id"])
    assert grant["policy"] == policy["id"]
    await _create(owner, "grants", **subject)
    listed = (await owner.get("/api/v1/grants", params={"policy": policy["id"]})).json()
    assert [item["id"] for item in listed["items"]] == [grant["id"]]
    path = f"/api/v1/policies/{policy['id']}"
    assert (await owner.get(path)).json()["grants"] == 1
    kept = await owner.delete(path)
    assert (kept.status_code, code_of(kept)) == (409, "in_use")
    await owner.delete(f"/api/v1/grants/{grant['id']}")
    assert (await owner.delete(path)).status_code == 204
    unknown = await owner.post("/api/v1/grants", json={**subject, "policy": policy["id"]})
    assert (unknown.status_code, code_of(unknown)) == (404, "not_found")


async def test_a_service_account_is_given_nothing_that_it_can_never_meet(controller: Controller) -> None:
    owner = await controller.owner()
    resource = await _resource(owner)
    account = await _create(owner, "service-accounts", name="ci")
    subject = {"subject_kind": "service_account", "subject": account["id"], "resource": resource["id"]}
    person = await _create(owner, "policies", name="people", conditions={"mfa_max_age_s": 3600})
    refused = await owner.post("/api/v1/grants", json={**subject, "policy": person["id"]})
    assert (refused.status_code, refused.json()["field"]) == (422, "policy")
    device = await _create(owner, "policies", name="devices", conditions={"device_trusted": True})
    await _create(owner, "grants", **subject, policy=device["id"])
    worse = await owner.patch(f"/api/v1/policies/{device['id']}", json={"conditions": {"sign_in_max_age_s": 60}})
    assert (worse.status_code, code_of(worse)) == (422, "invalid_input")


async def test_an_exclusion_is_made_read_and_removed(controller: Controller) -> None:
    owner = await controller.owner()
    resource = await _resource(owner)
    group = await _create(owner, "groups", name="contractors")
    subject = {"subject_kind": "group", "subject": group["id"], "resource": resource["id"]}
    exclusion = await _create(owner, "exclusions", **subject)
    path = f"/api/v1/exclusions/{exclusion['id']}"
    assert (await owner.get(path)).json() == exclusion
    for params, expected in (({"subject": group["id"]}, 1), ({"resource": resource["id"]}, 1), ({"subject": "x"}, 0)):
        assert len((await owner.get("/api/v1/exclusions", params=params)).json()["items"]) == expected
    late = await owner.post("/api/v1/exclusions", json={**subject, "expires_at": "2001-01-01T00:00:00Z"})
    assert (late.status_code, late.json()["field"]) == (422, "expires_at")
    kept = await owner.delete(f"/api/v1/groups/{group['id']}")
    assert (kept.status_code, code_of(kept)) == (409, "in_use")
    assert (await owner.delete(path)).status_code == 204
    assert (await owner.delete(f"/api/v1/groups/{group['id']}")).status_code == 204


async def test_f31_the_same_key_makes_one_policy(controller: Controller) -> None:
    owner = await controller.owner()
    body = {"name": "once", "conditions": {"device_trusted": True}}
    answers = [
        await owner.post("/api/v1/policies", json=body, headers={"Idempotency-Key": "one-and-only"}) for _ in range(2)
    ]
    assert answers[0].json() == answers[1].json()
    assert len((await owner.get("/api/v1/policies")).json()["items"]) == 1
