"""The portal: what is one's own, with reasons (T-10)."""

from typing import Any

from api_world import company
from controller_api import Controller
from flow_records import stored_record

from controller.store import records
from protocol.ids import ResourceId


async def items(http: Any, path: str, **query: Any) -> list[dict[str, Any]]:
    answer = await http.get(f"/api/v1/me/{path}", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def test_resources_tell_why_and_until_when(controller: Controller) -> None:
    grace = await controller.add_user("grace@corp.example")
    owner = await controller.owner()

    async def make(noun: str, **body: Any) -> str:
        answer = await owner.post(f"/api/v1/{noun}", json=body)
        assert answer.status_code == 201, answer.text
        made: str = answer.json()["id"]
        return made

    network = await make("networks", name="office")
    ports = {"tcp": ["443"]}
    wiki = await make("resources", network=network, name="wiki", address="wiki.internal", ports=ports)
    await make("resources", network=network, name="hidden", address="hidden.internal", ports=ports)
    group = await make("groups", name="engineering")
    await owner.put(f"/api/v1/groups/{group}/members/{grace.id}")
    policy = await make("policies", name="trusted only", conditions={"device_trusted": True})
    await make("grants", subject_kind="group", subject=group, resource=wiki, policy=policy)
    (shown,) = await items(grace.http, "resources")
    assert (shown["name"], shown["network_name"], shown["until"], shown["devices"]) == ("wiki", "office", None, [])
    (why,) = shown["grants"]
    assert (why["via"], why["via_name"], why["policy"], why["expired"]) == (
        "group",
        "engineering",
        "trusted only",
        False,
    )
    expires = "2027-01-16T08:00:00Z"
    await owner.delete(f"/api/v1/grants/{why['id']}")
    await make("grants", subject_kind="user", subject=grace.id, resource=wiki, expires_at=expires)
    (shown,) = await items(grace.http, "resources")
    assert shown["until"] == expires
    controller.clock.advance(3 * 24 * 3600)
    again = controller.person(await controller.sign_in(grace.email, grace.password))
    (shown,) = await items(again, "resources")
    assert [grant["expired"] for grant in shown["grants"]] == [True]


async def test_t10_each_sees_his_own_devices_and_sessions(controller: Controller) -> None:
    world = await company(controller)
    (device,) = await items(world.victim.http, "devices")
    assert device["id"] == world.ids["device"]
    (resource,) = await items(world.victim.http, "resources")
    assert resource["devices"][0]["device"] == world.ids["device"]
    assert resource["devices"][0]["reason"] == "excluded"
    assert resource["devices"][0]["sentence"]
    assert await items(world.owner, "devices") == [], "an owner's own, too"
    theirs = await items(world.victim.http, "sessions")
    assert {item["user"] for item in theirs} == {world.victim.id}
    other = await world.owner.delete(f"/api/v1/me/sessions/{theirs[0]['id']}")
    assert other.status_code == 404
    ended = await world.victim.http.delete(f"/api/v1/me/sessions/{world.ids['session']}")
    assert ended.status_code == 204
    left = {item["id"] for item in await items(world.victim.http, "sessions")}
    assert left == {item["id"] for item in theirs} - {world.ids["session"]}


async def test_t10_denials_are_told_in_words_to_whom_they_happened(controller: Controller) -> None:
    grace = await controller.add_user("grace@corp.example")
    async with controller.services.store.transact() as connection:
        flows = [
            stored_record(1, grace.id, "no_grant"),
            stored_record(2, grace.id, "connection_refused"),
            stored_record(3, grace.id, "port_not_allowed", resource=ResourceId("res_gone")),
            stored_record(4, "usr_other", "no_grant"),
            stored_record(5, grace.id),
        ]
        await records.append(connection, "con_1", flows)
    shown = await items(grace.http, "denials")
    assert [item["reason"] for item in shown] == ["port_not_allowed", "no_grant"]
    assert shown[1]["sentence"] == "No grant gives you this resource."
    assert shown[1]["next"]
    assert shown[0]["resource_name"] is None
    assert [item["reason"] for item in await items(grace.http, "denials", limit=1)] == ["port_not_allowed"]
