"""Strangers are slowed down on every route that they can reach (S-9, D10)."""

from collections.abc import Iterator

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
