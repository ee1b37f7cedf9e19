"""Proof of enforcement over the API: who enforces a change since when, who is missing and until when."""

from pathlib import Path
from typing import Any

from asgi_agents import with_agents
from controller_api import CHEAP, Agent, set_up
from starlette.testclient import TestClient

from controller.app import build_app
from protocol.control import AGENT_PATH, Enforced, Heartbeat, Hello, PushConfig, Welcome
from protocol.control_codec import encode, parse_message_untrusted
from protocol.enrolment import parse_untrusted
from protocol.ids import Revision
from protocol.tokens.digests import token_digest
from protocol.version import PROTOCOL
from runtime.clock import ManualClock


def signed_in(client: TestClient) -> None:
    answer = client.post(
        "/api/v1/sessions", json={"email": "ada@corp.example", "password": "correct horse battery staple"}
    )
    client.headers["Authorization"] = f"Bearer {answer.json()['token']}"


def enrolled(client: TestClient, clock: ManualClock) -> tuple[str, str, Agent]:
    """A network with one connector: their ids, and the connector's key."""
    network = client.post("/api/v1/networks", json={"name": "office"}).json()["id"]
    made = client.post("/api/v1/connectors", json={"network": network, "name": "b"}).json()
    agent = Agent(clock)
    secret = parse_untrusted(made["enrolment_token"]).secret
    client.post("/api/v1/enroll", json=agent.enrolment(secret, "connector", pin=agent.pin))
    return network, made["id"], agent


def heard(socket: Any, kind: type[Any]) -> Any:
    """The next message of a kind."""
    while not isinstance(message := parse_message_untrusted(socket.receive_text()), kind):
        pass
    return message


def attached(client: TestClient, agent: Agent, connector: str) -> Any:
    return client.websocket_connect(AGENT_PATH, headers={"Authorization": f"Bearer {agent.proof(agent=connector)}"})


async def test_a_change_is_true_when_its_agents_said_so_and_after_a_restart(tmp_path: Path) -> None:
    clock = ManualClock()
    settings = await set_up(tmp_path, now=clock.wall())
    with TestClient(
        with_agents(build_app(settings, clock=clock, hasher=CHEAP)), base_url="https://controller.example"
    ) as client:
        signed_in(client)
        network, connector, agent = enrolled(client, clock)
        with attached(client, agent, connector) as socket:
            socket.send_text(encode(Hello(PROTOCOL, "0.1.0", round(clock.wall() * 1000))))
            welcome, pushed = heard(socket, Welcome), heard(socket, PushConfig)
            socket.send_text(encode(Enforced(welcome.epoch, welcome.revision, token_digest(pushed.token))))
            resource = {
                "network": network,
                "name": "db",
                "address": "10.0.0.5",
                "ports": {"tcp": ["443"]},
                "lease_s": 120,
            }
            assert client.post("/api/v1/resources", json=resource).status_code == 201
            revision = client.get("/api/v1/enforcement").json()["revision"]
            push = heard(socket, PushConfig)
            shown = client.get(f"/api/v1/enforcement/{revision}").json()
            assert (shown["event"], shown["enforced_at"]) == ("resource.created/1", None)
            assert [(item["agent"], item["state"]) for item in shown["items"]] == [(connector, "outstanding")]
            clock.advance(2)
            socket.send_text(encode(Enforced(welcome.epoch, Revision(revision), token_digest(push.token))))
            socket.send_text(encode(Heartbeat(round(clock.wall() * 1000))))
            heard(socket, Heartbeat)
        made_at = shown["made_at"]
        deleted = client.get("/api/v1/resources").json()["items"][0]["id"]
        assert client.delete(f"/api/v1/resources/{deleted}").status_code == 204
    with TestClient(
        with_agents(build_app(settings, clock=clock, hasher=CHEAP)), base_url="https://controller.example"
    ) as client:
        signed_in(client)
        shown = client.get(f"/api/v1/enforcement/{revision}").json()
        (item,) = shown["items"]
        assert (item["state"], item["digest"], item["online"]) == ("enforced", token_digest(push.token), False)
        assert shown["made_at"] == made_at < shown["enforced_at"] == shown["connectors"]["complete_at"]
        # The connector has not been heard since: it may serve what was deleted until its lease ends, and not longer.
        behind = client.get(f"/api/v1/enforcement/{revision + 1}").json()
        (item,) = behind["items"]
        assert (item["state"], behind["enforced_at"], behind["connectors"]["outstanding"]) == ("outstanding", None, 1)
        assert item["lease_ends_at"] is not None
        assert client.get("/api/v1/enforcement").json()["behind"] == 1
        clock.advance(3600)
        lapsed = client.get(f"/api/v1/enforcement/{revision + 1}").json()
        assert (lapsed["items"][0]["state"], lapsed["enforced_at"]) == ("lapsed", item["lease_ends_at"])
        assert client.get(f"/api/v1/enforcement/{revision + 1}", params={"outstanding": True}).json()["items"] == []
        assert client.get("/api/v1/enforcement/100000").status_code == 404
        assert client.get("/api/v1/enforcement/0").status_code == 422
