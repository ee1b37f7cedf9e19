"""Access at any time, over the API: who, by which grants, made by whom in which event, from when to when."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from controller_api import URL, Agent, Controller, Person, code_of
from flow_records import flow_record

from controller.domain.evaluate import acl_for_device
from controller.store import records
from protocol.ids import DeviceId, FlowId, ResourceId


@dataclass
class World:
    """Grace with a laptop in a group that may reach the wiki since a while."""

    controller: Controller
    owner: httpx2.AsyncClient
    grace: Person
    device: str
    resource: str
    group: str
    grant: str

    async def get(self, path: str, **query: object) -> dict[str, Any]:
        given = {key: str(value) for key, value in query.items() if value is not None}
        answer = await self.owner.get(f"/api/v1/{path}", params=given)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def at(self) -> str:
        return datetime.fromtimestamp(self.controller.clock.wall(), UTC).isoformat()

    @property
    def position(self) -> int:
        return int(self.controller.services.state.position)


async def _laptop(controller: Controller, person: Person) -> str:
    agent = Agent(controller.clock)
    started = (await controller.http.post("/api/v1/device_authorization", json=agent.start("grace-laptop"))).json()
    browser = controller.person()
    same_origin = {"Origin": URL, "Sec-Fetch-Site": "same-origin"}
    sign_in = {"email": person.email, "password": person.password}
    await browser.post("/device/sign-in", data=sign_in, headers=same_origin)
    decision = {"user_code": started["user_code"], "decision": "approve"}
    await browser.post("/device/decision", data=decision, headers=same_origin)
    done = (await controller.http.post("/api/v1/token", json=agent.poll(started["device_code"]))).json()
    return str(done["device"])


@pytest.fixture
async def world(controller: Controller) -> World:
    owner, grace = await controller.owner(), await controller.add_user("grace@corp.example")

    async def make(noun: str, **body: Any) -> str:
        made = await owner.post(f"/api/v1/{noun}", json=body)
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    network = await make("networks", name="office")
    ports = {"tcp": ["443"]}
    resource = await make("resources", network=network, name="wiki", address="wiki.internal", ports=ports)
    group = await make("groups", name="engineers")
    device = await _laptop(controller, grace)
    controller.clock.advance(60)
    await owner.put(f"/api/v1/groups/{group}/members/{grace.id}")
    controller.clock.advance(60)
    grant = await make("grants", subject_kind="group", subject=group, resource=resource)
    controller.clock.advance(60)
    return World(controller, owner, grace, device, resource, group, grant)


async def test_who_can_reach_it_now_by_which_events(world: World) -> None:
    body = await world.get("access", resource=world.resource)
    (line,) = body["items"]
    assert (line["subject"], line["subject_name"], line["device"]) == (world.grace.id, "grace", world.device)
    assert (line["device_name"], line["resource_name"]) == ("grace-laptop", "wiki")
    assert (line["verdict"], line["grants"], line["ports"]["tcp"]) == ("permitted", [world.grant], ["443"])
    cited = {item["type"].partition("/")[0]: item for item in line["because"]}
    assert set(cited) == {"device.registered", "session.started", "group.member_added", "grant.created"}
    assert cited["grant.created"]["about"] == world.grant
    assert cited["grant.created"]["actor_name"] == "Ada"
    assert line["since_event"] == cited["grant.created"]["event"] == world.position
    assert line["since"] == cited["grant.created"]["at"]
    assert line["since_exact"]
    session = next(iter(world.controller.services.state.sessions.values()))
    assert datetime.fromisoformat(line["until"]).timestamp() == session.expires
    assert line["until_event"] is None


async def test_the_past_is_answered_as_it_was(world: World) -> None:
    granted, then = world.position, world.at()
    world.controller.clock.advance(60)
    await world.owner.delete(f"/api/v1/grants/{world.grant}")
    world.controller.clock.advance(60)
    assert (await world.get("access", resource=world.resource))["items"] == []
    old = await world.get("access", resource=world.resource, at=then)
    (line,) = old["items"]
    assert (old["revision"], line["verdict"]) == (granted, "permitted")
    assert (line["until_event"], line["until_exact"]) == (world.position, True)
    by_revision = await world.get("access", user=world.grace.id, revision=granted)
    assert [item["grants"] for item in by_revision["items"]] == [[world.grant]]
    assert (await world.get("access", user=world.grace.id, revision=granted - 1))["items"] == []


async def test_answers_agree_with_what_a_client_at_that_revision_was_told(world: World) -> None:
    """For every revision there was: the lines are the whitelist from which that revision's snapshot was made."""
    await world.owner.delete(f"/api/v1/groups/{world.group}/members/{world.grace.id}")
    await world.owner.put(f"/api/v1/groups/{world.group}/members/{world.grace.id}")
    for change in world.controller.services.store.feed.recent:
        state = change.after.state
        told = acl_for_device(state, DeviceId(world.device), state.at_ms / 1000)
        said = await world.get("access", user=world.grace.id, revision=int(state.position))
        assert [(line["resource"], tuple(line["grants"])) for line in said["items"]] == [
            (entry.resource.id, entry.grants) for entry in told.entries
        ]


async def test_those_who_were_denied_are_told_why(world: World) -> None:
    changed = await world.owner.patch(f"/api/v1/users/{world.grace.id}", json={"disabled": True})
    assert changed.status_code == 200
    assert (await world.get("access", resource=world.resource))["items"] == []
    (line,) = (await world.get("access", resource=world.resource, denied="true"))["items"]
    assert (line["verdict"], line["reason"], line["since"]) == ("denied", "user_disabled", None)


async def test_history_says_from_when_to_when_and_by_which_events(world: World) -> None:
    opened = world.position
    await world.owner.delete(f"/api/v1/grants/{world.grant}")
    closed = world.position
    world.controller.clock.advance(60)
    body = await world.get("access/history", user=world.grace.id, resource=world.resource)
    assert body["complete"]
    (span,) = [item for item in body["items"] if item["verdict"] == "permitted"]
    assert (span["since_event"], span["until_event"]) == (opened, closed)
    assert span["opened_by"]["type"].startswith("grant.created")
    assert span["closed_by"]["type"].startswith("grant.revoked")
    assert span["closed_by"]["actor_name"] == "Ada"
    assert [item["reason"] for item in body["items"] if item["verdict"] == "denied"] == ["no_grant", "no_grant"]


async def test_a_removed_person_is_still_answered_about(world: World) -> None:
    then = world.at()
    world.controller.clock.advance(60)
    await world.owner.delete(f"/api/v1/users/{world.grace.id}")
    (line,) = (await world.get("access", user=world.grace.id, at=then))["items"]
    assert (line["subject"], line["verdict"]) == (world.grace.id, "permitted")
    body = await world.get("access/history", user=world.grace.id, resource=world.resource)
    assert body["items"][-1]["reason"] == "device_revoked"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("access", 422, "invalid_input"),
        ("access?user=con_q1w2e3r4t5y6u7i8o9p0aA", 422, "invalid_input"),
        ("access?user=usr_q1w2e3r4t5y6u7i8o9p0aA", 404, "not_found"),
        ("access?resource=res_q1w2e3r4t5y6u7i8o9p0aA", 404, "not_found"),
        ("access?resource=RES&at=2026-01-01T00:00:00", 422, "invalid_input"),
        ("access/history?user=GRACE&resource=RES&since=2199-01-01T00:00:00Z", 422, "invalid_input"),
    ],
)
async def test_questions_that_make_no_sense_say_so(world: World, path: str, status: int, code: str) -> None:
    path = path.replace("RES", world.resource).replace("GRACE", world.grace.id)
    answer = await world.owner.get(f"/api/v1/{path}")
    assert (answer.status_code, code_of(answer)) == (status, code), answer.text


async def test_t10_members_ask_nothing_about_others(world: World) -> None:
    for path in (
        f"access?resource={world.resource}",
        f"access/history?user={world.grace.id}&resource={world.resource}",
    ):
        assert (await world.grace.http.get(f"/api/v1/{path}")).status_code == 403


async def test_a_plan_names_the_connections_that_it_would_cut(world: World) -> None:
    network = next(iter(world.controller.services.state.networks))
    reporter = await world.controller.add_connector()
    state = world.controller.services.state
    record = flow_record(
        flow=FlowId("flw_" + "a" * 22),
        device=DeviceId(world.device),
        user=world.grace.id,
        resource=ResourceId(world.resource),
        network=network,
        host="wiki.internal",
        port=443,
        revision=state.position,
    )
    async with world.controller.services.store.transact() as connection:
        await records.append(connection, reporter, (), (record,))
    made = await world.owner.post("/api/v1/plans", json={"document": "grants: []", "prune": True})
    plan = made.json()
    (cut,) = plan["cut"]
    assert (cut["subject_name"], cut["device_name"], cut["resource_name"]) == ("grace", "grace-laptop", "wiki")
    assert (cut["host"], cut["port"], cut["reason"]) == ("wiki.internal", 443, "no_grant")
    assert plan["summary"]["cut"] == plan["summary"]["lost"] == 1
    assert {line["device_name"] for line in plan["access"]} == {None, "grace-laptop"}
    kept = await world.owner.post("/api/v1/plans", json={"document": "groups: [{name: others}]"})
    assert kept.json()["cut"] == []
