"""Connections, the audit trail, enforcement, and the agents' WebSocket behind the same application."""

from pathlib import Path
from typing import Any

import pytest
from asgi_agents import with_agents
from controller_api import CHEAP, Agent, Controller, set_up
from flow_records import stored_record
from starlette.testclient import TestClient, WebSocketDenialResponse

from controller.app import build_app
from controller.store import records
from protocol.control import AGENT_PATH, Enforced, Heartbeat, Hello, PushConfig, Welcome
from protocol.control_codec import encode, parse_message_untrusted
from protocol.enrolment import parse_untrusted
from protocol.ids import SpkiPin
from protocol.tokens.digests import token_digest
from protocol.version import PROTOCOL
from runtime.clock import ManualClock


async def test_connections_are_filtered_paged_and_scoped(controller: Controller) -> None:
    grace = await controller.add_user("grace@corp.example")
    async with controller.services.store.transact() as connection:
        mine = [stored_record(number, grace.id, "no_grant" if number % 2 else "normal") for number in range(6)]
        await records.append(connection, "con_1", [*mine, stored_record(9, "usr_other", resource=None)])
    owner = await controller.owner()

    async def flows(http: Any, **query: Any) -> list[str]:
        answer = await http.get("/api/v1/connections", params=query)
        assert answer.status_code == 200, answer.text
        return [item["flow"].removeprefix("flw_") for item in answer.json()["items"]]

    assert await flows(owner) == ["9", "5", "4", "3", "2", "1", "0"]
    assert await flows(owner, denied=True) == ["5", "3", "1"]
    assert await flows(owner, outcome="normal", user=grace.id) == ["4", "2", "0"]
    assert await flows(owner, resource="res_1", until="2027-01-15T08:00:03Z") == ["1", "0"]
    assert await flows(owner, since="2027-01-15T08:00:06Z") == ["9", "5"]
    assert await flows(grace.http) == ["5", "4", "3", "2", "1", "0"]
    assert await flows(grace.http, user="usr_other") == []
    first = (await owner.get("/api/v1/connections", params={"limit": 4})).json()
    assert await flows(owner, limit=4, cursor=first["next_cursor"]) == ["2", "1", "0"]
    assert first["items"][0]["started_at"] == "2027-01-15T08:00:09Z"
    naive = await owner.get("/api/v1/connections", params={"since": "2027-01-15T08:00:06"})
    assert naive.status_code == 422


async def test_the_audit_trail_names_who_did_what(controller: Controller) -> None:
    owner = await controller.owner()
    me = (await owner.get("/api/v1/me")).json()["id"]
    made = await owner.post("/api/v1/networks", json={"name": "office"}, headers={"X-Request-Id": "my-request-1"})
    network = made.json()["id"]
    await owner.patch(f"/api/v1/networks/{network}", json={"name": "hq"})
    page = (await owner.get("/api/v1/events", params={"stream": network})).json()
    assert [item["type"] for item in page["items"]] == ["network.renamed/1", "network.created/1"]
    created = page["items"][1]
    assert (created["actor"], created["request_id"], created["names"]) == (me, "my-request-1", {me: "Ada"})
    assert created["data"] == {"network": network, "name": "office"}
    typed = (await owner.get("/api/v1/events", params={"type": "network.", "actor": me, "limit": 1})).json()
    assert len(typed["items"]) == 1
    rest = (await owner.get("/api/v1/events", params={"type": "network.", "cursor": typed["next_cursor"]})).json()
    assert [item["type"] for item in rest["items"]] == ["network.created/1"]
    positions: list[int] = []
    cursor = None
    while True:
        query = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        answer = (await owner.get("/api/v1/events", params=query)).json()
        positions += [item["position"] for item in answer["items"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert positions == list(range(controller.services.state.position, 0, -1))


async def test_one_event_is_read_by_its_position(controller: Controller) -> None:
    owner = await controller.owner()
    await owner.post("/api/v1/networks", json={"name": "office"})
    last = controller.services.state.position
    listed = (await owner.get("/api/v1/events", params={"limit": 2})).json()["items"]
    assert (await owner.get(f"/api/v1/events/{last}")).json() == listed[0]
    assert (await owner.get(f"/api/v1/events/{last - 1}")).json() == listed[1]
    assert [(await owner.get(f"/api/v1/events/{at}")).status_code for at in (last + 1, (1 << 63) - 1, 0, 1 << 63)] == [
        404,
        404,
        422,
        422,
    ]


@pytest.mark.parametrize("cursor", ["WzFd", "Wy0xXQ", "WzEwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMF0"])
async def test_odd_positions_are_just_positions(controller: Controller, cursor: str) -> None:
    owner = await controller.owner()
    for noun in ("events", "connections"):
        assert (await owner.get(f"/api/v1/{noun}", params={"cursor": cursor})).status_code == 200


async def test_an_agent_over_the_websocket_shows_up(tmp_path: Path) -> None:
    """The application as a server would run it: enrol, connect, enforce, and look."""
    clock = ManualClock()
    settings = await set_up(tmp_path, now=clock.wall())
    with TestClient(
        with_agents(build_app(settings, clock=clock, hasher=CHEAP)), base_url="https://controller.example"
    ) as client:
        with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect(AGENT_PATH):
            pass
        assert denied.value.status_code == 401
        signed = client.post(
            "/api/v1/sessions", json={"email": "ada@corp.example", "password": "correct horse battery staple"}
        ).json()
        client.headers["Authorization"] = f"Bearer {signed['token']}"
        network = client.post("/api/v1/networks", json={"name": "office"}).json()["id"]
        made = client.post("/api/v1/connectors", json={"network": network, "name": "c"}).json()
        agent = Agent(clock)
        secret = parse_untrusted(made["enrolment_token"]).secret
        client.post("/api/v1/enroll", json=agent.enrolment(secret, "connector", pin=agent.pin))
        authorization = {"Authorization": f"Bearer {agent.proof(agent=made['id'])}"}
        clock_ms = round(clock.wall() * 1000)
        with client.websocket_connect(AGENT_PATH, headers=authorization) as socket:
            socket.send_text(encode(Hello(PROTOCOL, "0.1.0", clock_ms + 7, hostname="gw1")))
            welcome = parse_message_untrusted(socket.receive_text())
            assert isinstance(welcome, Welcome)
            pushed = parse_message_untrusted(socket.receive_text())
            assert isinstance(pushed, PushConfig)
            shown = client.get(f"/api/v1/connectors/{made['id']}").json()
            assert (shown["online"], shown["hostname"], shown["clock_offset_ms"]) == (True, "gw1", 7)
            assert client.get("/api/v1/enforcement").json()["behind"] == 1
            socket.send_text(encode(Enforced(welcome.epoch, welcome.revision, token_digest(pushed.token))))
            socket.send_text(encode(Heartbeat(clock_ms, pin=SpkiPin(agent.pin), flows=3)))
            parse_message_untrusted(socket.receive_text())
            state = client.get("/api/v1/enforcement").json()
            assert (state["behind"], state["items"][0]["enforced_revision"]) == (0, welcome.revision)
            assert client.get("/api/v1/connectors", params={"online": True}).json()["items"][0]["flows"] == 3
        assert client.get("/api/v1/connectors", params={"online": True}).json()["items"] == []
