"""Strangers are slowed down on every route that they can reach (S-9, D10)."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from api_world import OPERATIONS, Operation
from controller_api import URL, Controller, code_of
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from controller.api import calls
from controller.api.document import build_api
from controller.api.services import Limits
from controller.identity.rate_limit import RateLimiter
from controller.identity.web_sessions import CONSOLE_COOKIE
from controller.store import Store

OPEN = [operation for operation in OPERATIONS if not operation.needs_sign_in]
PAGES = [
    ("GET", "/api/v1/openapi.json"),
    ("GET", "/device"),
    ("GET", "/device/style.css"),
    ("POST", "/device/sign-in"),
    ("POST", "/device/sign-out"),
    ("POST", "/device/decision"),
    ("POST", "/device/second-factor"),
    ("POST", "/device/second-factor/begin"),
    ("POST", "/device/second-factor/confirm"),
    ("GET", "/sign-in/idp_x"),
    ("GET", "/sign-in/idp_x/callback"),
]
TRIES = 6
IDS = {"provider": "idp_x"}


def limits() -> Limits:
    return Limits(public=RateLimiter("request", per_minute=1, burst=TRIES - 2))


def depends_on(dependant: Dependant, wanted: set[object]) -> bool:
    return any(part.call in wanted or depends_on(part, wanted) for part in dependant.dependencies)


def routes() -> Iterator[APIRoute]:
    for item in build_api().routes:
        # What was included keeps its own router.
        for route in getattr(getattr(item, "original_router", None), "routes", [item]):
            if isinstance(route, APIRoute):
                yield route


@pytest.mark.parametrize("route", list(routes()), ids=lambda route: f"{min(route.methods)} {route.path}")
def test_s9_every_route_asks_who_calls_or_how_often(route: APIRoute) -> None:
    assert depends_on(route.dependant, {calls.anonymous, calls.authenticated}), "let it take Anonymous, or permits(...)"


def test_the_pages_named_here_are_all_there_are() -> None:
    assert len(list(routes())) >= len(OPERATIONS)
    outside = [route for route in routes() if not route.include_in_schema]
    told = {(method, path.replace("idp_x", "{provider}")) for method, path in PAGES}
    assert told == {(next(iter(route.methods)), route.path) for route in outside}


async def knock(controller: Controller, method: str, path: str, operation: Operation | None) -> list[httpx2.Response]:
    async with controller.person(address="203.0.113.9") as stranger:
        if operation is not None:
            return [await operation.send(stranger, IDS) for _ in range(TRIES)]
        return [await stranger.request(method, path, headers={"Origin": URL}) for _ in range(TRIES)]


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [(operation.method, operation.path, operation) for operation in OPEN] + [(*page, None) for page in PAGES],
)
async def test_s9_a_stranger_is_slowed_down(
    controller: Controller, method: str, path: str, operation: Operation | None
) -> None:
    controller.services.limits = limits()
    answers = await knock(controller, method, path, operation)
    assert answers[0].status_code != 429, answers[0].text
    assert answers[-1].status_code == 429, f"{method} {path}: {answers[-1].status_code}"
    assert (code_of(answers[-1]), int(answers[-1].headers["retry-after"]) >= 1) == ("rate_limited", True)
    elsewhere = await controller.person(address="198.51.100.77").request(method, path)
    assert elsewhere.status_code != 429, "another address is not concerned"


async def test_d10_requests_with_false_sessions_are_slowed_down_and_true_ones_are_not(controller: Controller) -> None:
    owner = await controller.owner()
    controller.services.limits = Limits(failed_session=RateLimiter("sign-in", per_minute=1, burst=5))
    liar = controller.person("ost_" + "A" * 43)
    statuses = [(await liar.get("/api/v1/me")).status_code for _ in range(8)]
    assert statuses == [401] * 5 + [429] * 3
    assert (await owner.get("/api/v1/me")).status_code == 200, "the same address, a true session"


async def test_d10_strangers_do_not_reach_the_database_beyond_their_limit(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    for name in ("freshen", "read"):
        original = getattr(Store, name)

        def counting(self: Store, *args: Any, name: str = name, original: Any = original, **kwargs: Any) -> Any:
            asked.append(name)
            return original(self, *args, **kwargs)

        monkeypatch.setattr(Store, name, counting)
    controller.services.limits = Limits(failed_session=RateLimiter("sign-in", per_minute=1, burst=7))
    for token in (None, "ost_short", "ost_api_short", "nonsense"):
        assert (await controller.person(token).get("/api/v1/me")).status_code == 401
    cookie = {"Cookie": f"{CONSOLE_COOKIE}=ost_short"}
    assert (await controller.person().get("/api/v1/me", headers=cookie)).status_code == 401
    assert asked == [], "what is no credential is refused without asking"
    for token in ("ost_" + "A" * 43, "ost_api_" + "A" * 43):
        assert (await controller.person(token).get("/api/v1/me")).status_code == 401
    assert "freshen" in asked
    asked.clear()
    for token in ("ost_" + "B" * 43, "ost_api_" + "B" * 43, None):
        assert (await controller.person(token).get("/api/v1/me")).status_code == 429
    assert asked == [], "an empty bucket answers by itself"


async def test_d10_a_credential_that_was_right_is_not_slowed_down_until_it_ends(controller: Controller) -> None:
    owner = await controller.owner()
    expires = datetime.fromtimestamp(controller.clock.wall(), UTC) + timedelta(days=1)
    asked = {"name": "ci", "scopes": ["networks:read"], "expires_at": expires.isoformat()}
    made = await owner.post("/api/v1/api-tokens", json=asked)
    program = controller.person(made.json()["secret"])
    assert (await program.get("/api/v1/networks")).status_code == 200
    ended = controller.person(await controller.sign_in())
    assert (await ended.delete("/api/v1/sessions/current")).status_code == 204
    controller.services.limits = Limits(failed_session=RateLimiter("sign-in", per_minute=1, burst=1))
    assert (await controller.person().get("/api/v1/me")).status_code == 401
    for known in (owner, program):
        assert (await known.get("/api/v1/networks")).status_code == 200
    assert [(await ended.get("/api/v1/me")).status_code for _ in range(2)] == [429, 429]
