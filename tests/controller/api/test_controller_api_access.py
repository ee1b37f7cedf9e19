"""Who may do what: generated from the API document, so that no operation can be forgotten (T-10, T-3)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from controller_api import URL, Agent, Controller, Person

from controller.api.document import build_api
from protocol.enrolment import parse_untrusted

ANYBODY = {
    "create_session",
    "enroll",
    "device_authorization",
    "token",
    "get_ca",
    "get_jwks",
    "health_live",
    "health_ready",
}
"""Operations that need no session."""
EVERYBODY = {
    "get_me",
    "list_sessions",
    "end_session",
    "list_users",
    "get_user",
    "change_user",
    "set_user_password",
    "list_devices",
    "get_device",
    "revoke_device",
    "end_device_session",
    "list_connections",
}
"""Operations of which a member may use some part: his own."""
OWNERS = {"rotate_keys", "distrust_key"}


@dataclass(frozen=True)
class Operation:
    """One operation of the document."""

    id: str
    method: str
    path: str
    document: dict[str, Any]

    def url(self, ids: dict[str, str]) -> str:
        """The path with ids filled in."""
        return re.sub(r"\{(\w+)\}", lambda match: ids[match[1]], self.path)


DOCUMENT = build_api().openapi()


def _operations() -> Iterator[Operation]:
    for path, methods in DOCUMENT["paths"].items():
        for method, document in methods.items():
            yield Operation(document["operationId"], method.upper(), path, document)


OPERATIONS = list(_operations())


@dataclass
class World:
    """Two members; everything that exists belongs to the first one or to the company."""

    controller: Controller
    victim: Person
    stranger: Person
    ids: dict[str, str]


@pytest.fixture
async def world(controller: Controller) -> World:
    victim = await controller.add_user("victim-marker@corp.example")
    stranger = await controller.add_user("stranger@corp.example")
    owner = await controller.owner()

    async def make(noun: str, **body: Any) -> dict[str, Any]:
        made: dict[str, Any] = (await owner.post(f"/api/v1/{noun}", json=body)).json()
        return made

    network = (await make("networks", name="net-marker"))["id"]
    connector = await make("connectors", network=network, name="con-marker")
    relay = await make("relays", name="rel-marker", fqdn="marker.example", port=1)
    resource = await make(
        "resources", network=network, name="res-marker", address="marker.internal", ports={"tcp": ["1"]}
    )
    group = await make("groups", name="grp-marker")
    account = await make("service-accounts", name="svc-marker")
    grant = await make("grants", subject_kind="user", subject=victim.id, resource=resource["id"])
    await owner.put(f"/api/v1/groups/{group['id']}/members/{victim.id}")
    agent = Agent(controller.clock)
    started = (await controller.http.post("/api/v1/device_authorization", json=agent.start("dev-marker"))).json()
    browser = controller.person()
    same_origin = {"Origin": URL, "Sec-Fetch-Site": "same-origin"}
    await browser.post(
        "/device/sign-in", data={"email": victim.email, "password": victim.password}, headers=same_origin
    )
    await browser.post(
        "/device/decision",
        data={"user_code": started["user_code"], "decision": "approve"},
        headers=same_origin,
    )
    device = (await controller.http.post("/api/v1/token", json=agent.poll(started["device_code"]))).json()["device"]
    sessions = (await victim.http.get("/api/v1/sessions")).json()["items"]
    kid = (await owner.get("/api/v1/keys")).json()["items"][0]["kid"]
    parse_untrusted(connector["enrolment_token"])
    ids = {
        "network": network,
        "connector": connector["id"],
        "relay": relay["id"],
        "resource": resource["id"],
        "group": group["id"],
        "account": account["id"],
        "grant": grant["id"],
        "user": victim.id,
        "device": device,
        "session": sessions[0]["id"],
        "kid": kid,
    }
    return World(controller, victim, stranger, ids)


def _body(operation: Operation) -> dict[str, Any] | None:
    content = operation.document.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return None
    name = content["schema"]["$ref"].rpartition("/")[2]
    example: dict[str, Any] = DOCUMENT["components"]["schemas"][name]["examples"][0]
    return example


async def _send(http: httpx2.AsyncClient, operation: Operation, ids: dict[str, str]) -> httpx2.Response:
    return await http.request(operation.method, operation.url(ids), json=_body(operation))


def test_the_matrix_knows_every_operation() -> None:
    known = {operation.id for operation in OPERATIONS}
    assert known >= ANYBODY | EVERYBODY | OWNERS
    assert len(OPERATIONS) == len(known) > 50
    for operation in OPERATIONS:
        needs_session = bool(operation.document.get("security"))
        assert needs_session == (operation.id not in ANYBODY), operation.id
        assert operation.document["summary"]
        assert operation.document["tags"]


async def test_t10_without_a_session_there_is_nothing(world: World) -> None:
    before = world.controller.services.state.position
    for operation in OPERATIONS:
        if operation.id in ANYBODY:
            continue
        async with world.controller.person() as nobody:
            answer = await _send(nobody, operation, world.ids)
        assert answer.status_code == 401, f"{operation.id}: {answer.status_code} {answer.text}"
        assert "marker" not in answer.text
    assert world.controller.services.state.position == before


async def test_t10_a_member_sees_and_changes_nothing_of_others(world: World) -> None:
    before = world.controller.services.state.position
    for operation in OPERATIONS:
        if operation.id in ANYBODY:
            continue
        answer = await _send(world.stranger.http, operation, world.ids)
        if "{" in operation.path:
            assert answer.status_code in (403, 404), f"{operation.id}: {answer.status_code} {answer.text}"
        elif operation.id not in EVERYBODY:
            assert answer.status_code == 403, f"{operation.id}: {answer.status_code} {answer.text}"
        assert "marker" not in answer.text, operation.id
    assert world.controller.services.state.position == before
    assert (await world.victim.http.get("/api/v1/me")).status_code == 200


async def test_t10_a_member_sees_what_is_his_own(world: World) -> None:
    for operation in OPERATIONS:
        if operation.id not in EVERYBODY or operation.method != "GET":
            continue
        answer = await _send(world.victim.http, operation, world.ids)
        assert answer.status_code == 200, operation.id
    devices = (await world.victim.http.get("/api/v1/devices")).json()["items"]
    assert [item["id"] for item in devices] == [world.ids["device"]]
    assert (await world.victim.http.delete(f"/api/v1/devices/{world.ids['device']}/session")).status_code == 204
    assert (await world.victim.http.delete(f"/api/v1/devices/{world.ids['device']}/session")).status_code == 404
    assert (await world.victim.http.delete(f"/api/v1/devices/{world.ids['device']}")).status_code == 204
    assert (await world.victim.http.get("/api/v1/devices")).json()["items"] == []


async def test_t10_an_admin_may_not_touch_keys(world: World) -> None:
    admin = await world.controller.add_user("admin@corp.example", role="admin")
    for operation in OPERATIONS:
        if operation.id in OWNERS:
            answer = await _send(admin.http, operation, world.ids)
            assert answer.status_code == 403, operation.id


async def test_t10_secrets_are_never_read_back(world: World) -> None:
    """Every readable answer, as the owner: no hash, no password, no token, no private key."""
    owner = await world.controller.owner()
    for operation in OPERATIONS:
        if operation.method != "GET":
            continue
        answer = await _send(owner, operation, world.ids)
        assert answer.status_code in (200, 404), operation.id
        for word in ("$argon2", "otk_", "ost_", "PRIVATE KEY", "password", '"d":'):
            assert word not in answer.text, f"{operation.id} shows {word}"


def test_the_document_is_whole() -> None:
    document = DOCUMENT
    assert document["openapi"].startswith("3.1")
    tags = {tag["name"] for tag in document["tags"]}
    for operation in OPERATIONS:
        assert set(operation.document["tags"]) <= tags
        for status, response in operation.document["responses"].items():
            if status.startswith("4") and operation.id != "token":
                assert list(response["content"]) == ["application/problem+json"], (operation.id, status)
    for name, schema in document["components"]["schemas"].items():
        assert schema.get("description") or "enum" in schema, name
    assert "HTTPValidationError" not in document["components"]["schemas"]


async def test_the_document_is_served(controller: Controller) -> None:
    answer = await controller.http.get("/api/v1/openapi.json")
    assert answer.json()["info"]["title"] == "Ostiary controller"
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert (await controller.http.get(path)).status_code == 404
