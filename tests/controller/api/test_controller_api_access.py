"""Who may do what: every operation of the API document × every role and API token (T-10, T-3, T-16).

What is expected comes from the document (``x-permission``) and the table of roles; an operation that names no permission
fails, so none can be forgotten.
"""

import re

import httpx2
import pytest
from api_world import ALL_SCOPES, BESIDES, DOCUMENT, MARKER, OPERATIONS, Company, Operation, company
from controller_api import Controller

from controller.domain.model import Role
from controller.domain.permissions import ROLE_PERMISSIONS, Permission

ANYBODY = {
    "create_session",
    "get_setup",
    "finish_setup",
    "begin_passkey_sign_in",
    "sign_in_with_passkey",
    "list_sign_in_methods",
    "complete_session",
    "step_up_device",
    "enroll",
    "device_authorization",
    "token",
    "get_ca",
    "get_jwks",
    "health_live",
    "health_ready",
}
"""Operations that need no sign-in."""
CLOSED = [operation for operation in OPERATIONS if operation.id not in ANYBODY]


@pytest.fixture
async def world(controller: Controller) -> Company:
    return await company(controller)


def holds(role: Role, permission: str | None) -> bool:
    return permission in {item.value for item in ROLE_PERMISSIONS[role]}


def names(text: str) -> bool:
    return MARKER in text


def test_every_operation_is_in_the_matrix() -> None:
    assert len({operation.id for operation in OPERATIONS}) == len(OPERATIONS) > 60
    known = {item.value for item in Permission}
    for operation in OPERATIONS:
        assert operation.document["summary"], operation.id
        assert operation.document["tags"], operation.id
        assert operation.needs_sign_in == (operation.id not in ANYBODY), operation.id
        if operation.id not in ANYBODY:
            assert operation.permission in known, f"{operation.id}: let its route name a permission with permits(...)"
            assert operation.own is None or operation.own in known
            assert {"401", "403"} <= set(operation.document["responses"]), operation.id


async def test_everything_that_a_path_can_name_is_in_the_company(world: Company) -> None:
    """Else the matrix would ask for things that are not there, and everybody would be refused."""
    for operation in CLOSED:
        missing = operation.parameters - world.ids.keys()
        assert not missing, f"{operation.id}: make a {missing} in tests/support/api_world.py"


async def test_t10_without_a_session_there_is_nothing(world: Company) -> None:
    before = world.controller.services.state.position
    for operation in CLOSED:
        for credential in (None, "nonsense", "ost_" + "A" * 43, "ost_api_" + "A" * 43):
            # Strangers who try too often are told to wait; that is tested elsewhere.
            world.controller.clock.advance(60)
            async with world.controller.person(credential) as nobody:
                answer = await operation.send(nobody, world.ids)
            assert answer.status_code == 401, f"{operation.id}: {answer.status_code} {answer.text}"
            assert not names(answer.text)
    assert world.controller.services.state.position == before


async def refused(operation: Operation, http: httpx2.AsyncClient, world: Company, *, own: bool) -> None:
    """Somebody asks for what is not his: nothing of it is said, and nothing happens."""
    before = world.controller.services.state.position
    answer = await operation.send(http, world.ids)
    said = f"{operation.id}: {answer.status_code} {answer.text}"
    if not own:
        assert answer.status_code == 403, said
    elif operation.names_something:
        assert answer.status_code in (403, 404), said
    else:
        assert answer.status_code < 500, said
    assert not names(answer.text), said
    if operation.names_something or not own:
        assert world.controller.services.state.position == before, said


async def admitted(operation: Operation, http: httpx2.AsyncClient, world: Company) -> None:
    """Somebody asks for what he may, about things that are not there: whatever the answer, it is not "you may not"."""
    answer = await operation.send(http, world.unknown)
    said = f"{operation.id}: {answer.status_code} {answer.text}"
    assert answer.status_code not in (401, 403) and answer.status_code < 500, said  # noqa: PT018


@pytest.mark.parametrize("role", list(Role), ids=lambda role: role.value)
async def test_t10_each_role_does_what_the_table_says(world: Company, role: Role) -> None:
    person = (await world.controller.add_user(f"{role.value}@corp.example", role=role.value)).http
    for operation in CLOSED:
        if not holds(role, operation.permission):
            await refused(operation, person, world, own=holds(role, operation.own))
            continue
        await admitted(operation, person, world)
        if holds(Role.MEMBER, operation.permission):
            # Everybody may ask for it, and nobody for what is another's.
            await refused(operation, person, world, own=True)
    assert (await world.victim.http.get("/api/v1/me")).status_code == 200


Ways = tuple[tuple[str, ...], ...]


def by_scopes() -> dict[Ways, list[Operation]]:
    """The operations by the sets of scopes of which a token needs one; none: closed to tokens."""
    found: dict[Ways, list[Operation]] = {}
    for operation in CLOSED:
        found.setdefault(tuple(operation.ways), []).append(operation)
    return found


async def test_t10_a_token_without_the_scope_does_nothing(world: Company) -> None:
    for ways, concerned in by_scopes().items():
        named = {scope for way in ways for scope in way}
        token, http = await world.token(world.owner, *(scope for scope in ALL_SCOPES if scope not in named))
        for operation in concerned:
            await refused(operation, http, world, own=False)
        await world.owner.delete(f"/api/v1/api-tokens/{token}")


async def test_t10_a_token_with_the_scope_does_what_its_owner_could(world: Company) -> None:
    for ways, concerned in by_scopes().items():
        for way in ways:
            token, http = await world.token(world.owner, *way)
            for operation in concerned:
                if operation.id not in BESIDES:
                    await admitted(operation, http, world)
                    continue
                await refused(operation, http, world, own=False)
                extra, both = await world.token(world.owner, *way, *BESIDES[operation.id])
                await admitted(operation, both, world)
                await world.owner.delete(f"/api/v1/api-tokens/{extra}")
            await world.owner.delete(f"/api/v1/api-tokens/{token}")


async def test_t10_a_token_needs_every_scope_that_the_answer_shows(world: Company) -> None:
    concerned = [operation for operation in CLOSED if any(len(way) > 1 for way in operation.ways)]
    assert {operation.id for operation in concerned} == {
        "create_plan",
        "get_plan",
        "apply_plan",
        "export_policy",
        "undo_event",
    }
    for missing in {scope for operation in concerned for scope in operation.scopes}:
        token, http = await world.token(world.owner, *(scope for scope in ALL_SCOPES if scope != missing))
        for operation in concerned:
            if missing in operation.scopes:
                await refused(operation, http, world, own=False)
        await world.owner.delete(f"/api/v1/api-tokens/{token}")


async def test_t10_a_token_does_no_more_than_its_owner(world: Company) -> None:
    auditor = (await world.controller.add_user("auditor@corp.example", role="auditor")).http
    _, http = await world.token(auditor, *(scope for scope in ALL_SCOPES if holds(Role.AUDITOR, scope)))
    for operation in CLOSED:
        if operation.scopes and holds(Role.AUDITOR, operation.permission):
            await admitted(operation, http, world)
        else:
            own = bool(operation.scopes) and holds(Role.AUDITOR, operation.own)
            await refused(operation, http, world, own=own)


async def test_t10_a_member_sees_what_is_his_own(world: Company) -> None:
    for operation in CLOSED:
        if operation.own is None or operation.method != "GET":
            continue
        answer = await operation.send(world.victim.http, world.ids)
        assert answer.status_code == 200, f"{operation.id}: {answer.text}"
    device = f"/api/v1/devices/{world.ids['device']}"
    devices = (await world.victim.http.get("/api/v1/devices")).json()["items"]
    assert [item["id"] for item in devices] == [world.ids["device"]]
    assert (await world.victim.http.delete(f"{device}/session")).status_code == 204
    assert (await world.victim.http.delete(f"{device}/session")).status_code == 404
    assert (await world.victim.http.delete(device)).status_code == 204
    assert (await world.victim.http.get("/api/v1/devices")).json()["items"] == []


async def test_t10_secrets_are_never_read_back(world: Company) -> None:
    """Every readable answer, as the owner: no hash, no password, no token, no private key."""
    for operation in OPERATIONS:
        if operation.method != "GET":
            continue
        answer = await operation.send(world.owner, world.ids)
        assert answer.status_code in (200, 404), f"{operation.id}: {answer.text}"
        # The hint of an API token is how its secret begins: four characters of forty-three.
        shown = re.sub(r'"hint":"ost_api_.{4}"', "", answer.text)
        for word in ("$argon2", "otk_", "ost_", "PRIVATE KEY", '"password":', '"d":'):
            assert word not in shown, f"{operation.id} shows {word}"


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
