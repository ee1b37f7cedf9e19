"""The first owner made over the web (T-9, T-11, S-9)."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from controller_api import OWNER, OWNER_PASSWORD, Controller, code_of, running_with, set_up

from controller.api.operations import first_run
from controller.domain.model import Role
from controller.store import enrolments
from runtime.clock import ManualClock

PATH = "/api/v1/setup"


@pytest.fixture
async def fresh(tmp_path: Path) -> AsyncIterator[Controller]:
    clock = ManualClock()
    settings = await set_up(tmp_path, now=clock.wall(), with_owner=False)
    async with running_with(settings, clock) as controller:
        yield controller


async def token(controller: Controller) -> str:
    async with controller.services.store.transact() as connection:
        secret, _ = await first_run.give_out(connection, now=controller.clock.wall())
    return secret


def body(secret: str, **more: Any) -> dict[str, Any]:
    return {"token": secret, "email": OWNER, "name": "Ada", "password": OWNER_PASSWORD, "network": "office", **more}


async def test_the_token_makes_the_first_owner_and_network_once(fresh: Controller) -> None:
    assert (await fresh.http.get(PATH)).json() == {"open": True}
    secret = await token(fresh)
    done = await fresh.http.post(PATH, json=body(secret))
    assert done.status_code == 201, done.text
    owner = await fresh.owner()
    assert (await owner.get("/api/v1/me")).json()["role"] == "owner"
    assert (await owner.get(f"/api/v1/networks/{done.json()['network']}")).json()["name"] == "office"
    assert (await fresh.http.get(PATH)).json() == {"open": False}
    again = await fresh.http.post(PATH, json=body(await token(fresh), email="eve@corp.example"))
    assert (again.status_code, code_of(again)) == (409, "conflict")
    made = (await owner.get("/api/v1/events", params={"type": "user.created", "actor": "setup"})).json()["items"]
    assert [item["stream"] for item in made] == [done.json()["owner"]]


async def test_of_two_at_once_one_becomes_the_owner(fresh: Controller) -> None:
    secret = await token(fresh)
    answers = await asyncio.gather(
        *(fresh.http.post(PATH, json=body(secret, email=f"{name}@corp.example", network=None)) for name in ("a", "b"))
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    owners = [user for user in fresh.services.state.users.values() if user.role is Role.OWNER]
    assert len(owners) == 1
    assert not fresh.services.state.networks


async def test_t11_a_token_is_stored_as_its_hash_and_ends(fresh: Controller) -> None:
    first = await token(fresh)
    second = await token(fresh)
    async with fresh.services.store.read() as connection:
        stored = await enrolments.of_target(connection, first_run.KIND)
    assert len(stored) == 1, "the earlier one is void"
    assert second not in str(stored)
    replaced = await fresh.http.post(PATH, json=body(first))
    assert (replaced.status_code, code_of(replaced)) == (403, "enrolment_invalid")
    fresh.clock.advance(first_run.LIFE_S + 1)
    late = await fresh.http.post(PATH, json=body(second))
    assert (late.status_code, code_of(late)) == (410, "enrolment_expired")
    assert first_run.is_open(fresh.services.state)


async def test_a_refused_password_spends_nothing(fresh: Controller) -> None:
    secret = await token(fresh)
    weak = await fresh.http.post(PATH, json=body(secret, password="ada"))
    assert weak.status_code == 422
    named = await fresh.http.post(PATH, json=body(secret, network="\u202e"))
    assert named.status_code == 422
    assert first_run.is_open(fresh.services.state), "all of it or nothing"
    assert (await fresh.http.post(PATH, json=body(secret))).status_code == 201


async def test_t9_s9_guesses_leave_a_trace_and_become_slow(fresh: Controller) -> None:
    secret = await token(fresh)
    statuses = [(await fresh.http.post(PATH, json=body(f"ost_setup_{number}"))).status_code for number in range(12)]
    assert statuses == [403] * 10 + [429] * 2
    elsewhere = fresh.person(address="203.0.113.9")
    assert (await elsewhere.post(PATH, json=body(secret))).status_code == 201, "another address is not concerned"
    owner = await fresh.owner()
    failed = (await owner.get("/api/v1/events", params={"type": "sign_in.failed"})).json()["items"]
    assert {item["data"]["cause"] for item in failed} == {"wrong_setup_token"}
