"""Bounds before everything else (D10, T-12), request ids, security headers (T-72), log lines (T-74)."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import httpx2
import pytest
from controller_api import code_of
from fastapi import Body, FastAPI, Request
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import Scope

from controller.api import middleware, problems
from controller.api.middleware import Bounds, RequestIds
from protocol.errors import LocalError, RefusedError
from protocol.reasons import Reason


def build() -> tuple[FastAPI, list[bytes]]:
    app = FastAPI()
    problems.install(app)
    bodies: list[bytes] = []

    @app.post("/echo")
    async def echo(request: Request) -> PlainTextResponse:
        bodies.append(await request.body())
        return PlainTextResponse("ok")

    @app.post("/json")
    async def parse(value: dict[str, int] = Body(...)) -> dict[str, int]:  # noqa: B008 - FastAPI's way
        return value

    @app.get("/refused")
    async def refused() -> None:
        raise RefusedError(Reason.IN_USE, "two connectors")

    @app.get("/local")
    async def local() -> None:
        raise LocalError(Reason.STATE_CORRUPT, "/secret/path is damaged")

    @app.get("/crash")
    async def crash() -> None:
        raise ZeroDivisionError("secret detail")

    @app.get("/late-crash")
    async def late_crash() -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            yield b"part"

        return StreamingResponse(body())

    return app, bodies


async def admit(scope: Scope) -> None:
    """Whatever says that it is made up is."""
    if Headers(scope=scope).get("user-agent") == "made-up":
        raise RefusedError(Reason.SIGN_IN_REQUIRED)


@pytest.fixture
def bodies() -> list[bytes]:
    return []


@pytest.fixture
async def client(bodies: list[bytes]) -> AsyncIterator[httpx2.AsyncClient]:
    app, seen = build()
    bodies_alias = seen
    bounded = RequestIds(Bounds(app, admit=admit, body_max=1000))
    transport = httpx2.ASGITransport(bounded, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="https://c.example") as made:
        yield made
    bodies.extend(bodies_alias)


async def test_every_answer_has_the_security_headers_and_an_id(client: httpx2.AsyncClient) -> None:
    for path in ("/refused", "/nothing-here", "/crash"):
        answer = await client.get(path)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "max-age=" in answer.headers["strict-transport-security"]
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers
        assert answer.json()["request_id"] == answer.headers["x-request-id"]


async def test_a_well_formed_request_id_is_kept_and_others_are_not(client: httpx2.AsyncClient) -> None:
    kept = await client.get("/refused", headers={"X-Request-Id": "trace-12345678"})
    assert kept.headers["x-request-id"] == "trace-12345678"
    for bad in ("short", "a b c d e f g h", "x" * 65, 'quote"quote"'):
        made = await client.get("/refused", headers={"X-Request-Id": bad})
        assert made.headers["x-request-id"].startswith("req_")


async def test_a_refusal_is_a_problem_with_code_and_next_step(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/refused")
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["code"] == "in_use"
    assert body["detail"] == "two connectors"
    assert body["next"] == Reason.IN_USE.next_step
    assert body["status"] == 409


async def test_nothing_of_a_fault_of_ours_reaches_the_client(client: httpx2.AsyncClient) -> None:
    for path in ("/local", "/crash"):
        answer = await client.get(path)
        assert answer.status_code == 500
        assert answer.json()["code"] == "internal"
        assert "secret" not in answer.text


async def test_http_errors_are_problems_too(client: httpx2.AsyncClient) -> None:
    missing = await client.get("/nothing-here")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    method = await client.delete("/refused")
    assert (method.status_code, method.json()["code"]) == (405, "invalid_input")
    assert method.headers["allow"] == "GET"
    wrong = await client.post("/json", json={"a": "not a number"})
    assert (wrong.status_code, wrong.json()["field"]) == (422, "a")
    broken = await client.post("/json", content=b"{", headers={"Content-Type": "application/json"})
    assert (broken.status_code, broken.json()["code"]) == (422, "invalid_input")


async def test_t12_a_declared_body_above_the_cap_is_refused_unread(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/echo", content=b"x" * 1001)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert answer.headers["connection"] == "close"
    assert (await client.post("/echo", content=b"x" * 1000)).status_code == 200


@pytest.mark.parametrize("path", ["/echo", "/json"])
async def test_t12_a_chunked_body_is_counted(client: httpx2.AsyncClient, path: str) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b"y" * 100

    answer = await client.post(path, content=chunks(), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


async def test_t12_a_body_that_does_not_come_is_not_waited_for(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(middleware, "BODY_DEADLINE_S", 0.05)
    never = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        yield b"y"
        await never.wait()

    answer = await client.post("/echo", content=chunks())
    assert answer.status_code == 408


SESSION = "ost_" + "A" * 43
TOKEN = "ost_api_" + "A" * 43


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 413),
        ({"Authorization": "Bearer anything"}, 413),
        ({"Authorization": f"Basic {SESSION}"}, 413),
        ({"Cookie": "__Host-ostiary-console=1"}, 413),
        ({"Cookie": f"other={SESSION}"}, 413),
        ({"Authorization": "Bearer", "Cookie": "a=b; =; ;;"}, 413),
        ({"Authorization": f"Bearer {SESSION}"}, 200),
        ({"Authorization": f"bearer {TOKEN}"}, 200),
        ({"Cookie": f"a=b; __Host-ostiary-console={SESSION}"}, 200),
    ],
)
async def test_d10_a_large_body_needs_a_credential_of_the_right_form(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], status: int
) -> None:
    monkeypatch.setattr(middleware, "LARGE_BODIES", {"/echo": 5000})
    assert (await client.post("/echo", content=b"x" * 5000, headers=headers)).status_code == status
    assert (await client.post("/echo", content=b"x" * 5001, headers=headers)).status_code == 413
    assert (await client.post("/json", content=b"x" * 5000, headers=headers)).status_code == 413, "another path"


async def unfinished(size: int, begun: asyncio.Semaphore, go_on: asyncio.Event) -> AsyncIterator[bytes]:
    """A body that says when its first ``size`` bytes have gone, and waits with the last one."""
    yield b"y" * size
    begun.release()
    await go_on.wait()
    yield b"y"


async def test_d10_few_large_bodies_are_held_at_once(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(middleware, "LARGE_BODIES", {"/echo": 5000})
    headers = {"Authorization": f"Bearer {SESSION}"}
    go_on, begun = asyncio.Event(), asyncio.Semaphore(0)
    chunks = partial(unfinished, 1001, begun, go_on)
    async with asyncio.TaskGroup() as group:
        held = [group.create_task(client.post("/echo", content=chunks(), headers=headers)) for _ in range(4)]
        for _ in held:
            await begun.acquire()
        refused = await client.post("/echo", content=b"x" * 1001, headers=headers)
        small = await client.post("/echo", content=b"x" * 1000, headers=headers)
        go_on.set()
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert int(refused.headers["retry-after"]) >= 1
    assert [small.status_code, *(task.result().status_code for task in held)] == [200] * 5
    for _ in range(5):
        again = await client.post("/echo", content=b"x" * 5000, headers=headers)
        assert again.status_code == 200, "each gives its place back"


async def test_d10_made_up_credentials_take_no_place(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many of them hang on: the places are for those who were recognised."""
    monkeypatch.setattr(middleware, "LARGE_BODIES", {"/echo": 5000})
    headers = {"Authorization": f"Bearer {SESSION}"}
    go_on, begun = asyncio.Event(), asyncio.Semaphore(0)
    chunks = partial(unfinished, 1000, begun, go_on)
    made_up = {**headers, "User-Agent": "made-up"}
    async with asyncio.TaskGroup() as group:
        held = [group.create_task(client.post("/echo", content=chunks(), headers=made_up)) for _ in range(8)]
        for _ in held:
            await begun.acquire()
        assert (await client.post("/echo", content=b"x" * 5000, headers=headers)).status_code == 200
        go_on.set()
    assert {(task.result().status_code, code_of(task.result())) for task in held} == {(401, "sign_in_required")}
    assert held[0].result().headers["connection"] == "close"
    for _ in range(5):
        assert (await client.post("/echo", content=b"x" * 5000, headers=headers)).status_code == 200


async def test_d10_a_large_body_that_breaks_off_gives_its_place_back(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(middleware, "LARGE_BODIES", {"/echo": 5000})
    monkeypatch.setattr(middleware, "BODY_DEADLINE_S", 0.05)
    headers = {"Authorization": f"Bearer {SESSION}"}

    async def chunks() -> AsyncIterator[bytes]:
        yield b"y" * 1001
        await asyncio.Event().wait()

    for _ in range(5):
        assert (await client.post("/echo", content=chunks(), headers=headers)).status_code == 408


async def test_d10_heads_are_bounded(client: httpx2.AsyncClient) -> None:
    many = {f"x-{number}": "v" for number in range(100)}
    long = {"x-long": "v" * 20_000}
    for headers in (many, long):
        answer = await client.get("/refused", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (431, "body_too_large")
    assert (await client.get("/refused?" + "q" * 5000)).status_code == 431
    bad = await client.post("/echo", content=b"", headers={"Content-Length": "nonsense"})
    assert bad.status_code == 413


async def test_a_rate_limit_names_the_wait() -> None:
    from controller.identity.rate_limit import RateLimitedError

    answer = problems.response_of_error(RateLimitedError(12.3, "sign-in limit"), "req_12345678")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "13")
