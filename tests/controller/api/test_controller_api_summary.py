"""The home page: counts with health, connections over time, the first connection (T-10)."""

from typing import Any

from controller_api import Controller
from flow_records import stored_record

from controller.api.presence import AgentPresence, Nobody, RelayPresence
from controller.store import records

PATH = "/api/v1/summary"


class Everybody(Nobody):
    """Whoever is asked for is there."""

    def agent(self, agent: str) -> AgentPresence:
        return AgentPresence(online=True)

    def relay(self, relay: str) -> RelayPresence:
        return RelayPresence(online=True)


async def get(http: Any, **query: Any) -> dict[str, Any]:
    answer = await http.get(PATH, params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_the_next_step_is_the_first_that_is_missing(controller: Controller) -> None:
    owner = await controller.owner()

    async def step() -> Any:
        return (await get(owner))["first_connection"]["next"]

    async def make(noun: str, **body: Any) -> str:
        answer = await owner.post(f"/api/v1/{noun}", json=body)
        assert answer.status_code == 201, answer.text
        made: str = answer.json()["id"]
        return made

    assert await step() == "network"
    network = await make("networks", name="office")
    assert await step() == "connector"
    await make("connectors", network=network, name="con")
    assert await step() == "connector_online"
    controller.services.presence = Everybody()
    assert await step() == "relay"
    await make("relays", name="rel", fqdn="relay.example", port=443)
    assert await step() == "resource"
    resource = await make("resources", network=network, name="wiki", address="wiki.internal", ports={"tcp": ["443"]})
    assert await step() == "grant"
    me = (await owner.get("/api/v1/me")).json()["id"]
    await make("grants", subject_kind="user", subject=me, resource=resource)
    assert await step() == "client"
    async with controller.services.store.transact() as connection:
        await records.append(connection, "con_1", [stored_record(1, me)])
    assert (await get(owner))["first_connection"] == {"done": True, "at": "2027-01-15T08:00:01Z", "next": None}


async def test_counts_tell_which_are_not_well(controller: Controller) -> None:
    connector = await controller.add_connector()
    grace = await controller.add_user("grace@corp.example")
    owner = await controller.owner()
    await owner.patch(f"/api/v1/users/{grace.id}", json={"disabled": True})
    shown = await get(owner)
    assert shown["connectors"] == {"total": 1, "healthy": 0, "troubled": [connector]}
    assert shown["users"] == {"total": 2, "healthy": 1, "troubled": [grace.id]}
    assert shown["networks"]["healthy"] == 0
    controller.services.presence = Everybody()
    assert (await get(owner))["networks"] == {"total": 1, "healthy": 1, "troubled": []}


async def test_connections_are_told_by_what_became_of_them(controller: Controller) -> None:
    owner = await controller.owner()
    outcomes = ("normal", "normal", "no_grant", "proof_invalid", "connection_refused")
    async with controller.services.store.transact() as connection:
        flows = [stored_record(number, "usr_1", outcome) for number, outcome in enumerate(outcomes)]
        await records.append(connection, "con_1", flows, opened=[stored_record(9, "usr_1")])
    controller.clock.advance(600)
    shown = await get(owner)
    assert shown["connections"] == [{"start": "2027-01-15T08:00:00Z", "allowed": 2, "denied": 2, "failed": 1}]
    assert [item["outcome"] for item in shown["denials"]] == ["proof_invalid", "no_grant"]
    assert (shown["open_connections"], shown["truncated"]) == (1, False)
    daily = await get(owner, bucket="day", since="2027-01-01T00:00:00Z")
    assert daily["connections"][0]["start"] == "2027-01-15T00:00:00Z"
    assert (await owner.get(PATH, params={"since": "2020-01-01T00:00:00Z"})).status_code == 422
    assert (await owner.get(PATH, params={"since": "2027-01-15T00:00:00"})).status_code == 422


async def test_t10_a_member_is_told_of_himself_only(controller: Controller) -> None:
    grace = await controller.add_user("grace@corp.example")
    async with controller.services.store.transact() as connection:
        flows = [stored_record(1, grace.id, "no_grant"), stored_record(2, "usr_other", "no_grant")]
        await records.append(connection, "con_1", flows)
    shown = await get(grace.http)
    assert shown["connections"][0]["denied"] == 1
    assert [item["user"] for item in shown["denials"]] == [grace.id]
    for part in ("networks", "connectors", "relays", "devices", "users", "open_access_requests", "first_connection"):
        assert shown[part] is None, part
    assert "connections:read" in shown["withheld"]
