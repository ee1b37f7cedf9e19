"""What a restart of the controller must not change (F-7, F-31, D7)."""

from pathlib import Path

import pytest
from controller_api import CHEAP, OWNER, OWNER_PASSWORD, Controller, running_with, set_up

from controller.app import build_app
from controller.settings import Settings
from controller.store import Store
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.clock import ManualClock


async def test_sessions_keys_ca_and_answers_survive(tmp_path: Path) -> None:
    clock = ManualClock()
    settings = await set_up(tmp_path, now=clock.wall())
    key = {"Idempotency-Key": "kept-over-a-restart"}
    async with running_with(settings, clock) as before:
        token = await before.sign_in()
        made = await before.person(token).post("/api/v1/networks", json={"name": "office"}, headers=key)
        ca = (await before.http.get("/ca.pem")).text
        jwks = (await before.http.get("/.well-known/jwks.json")).json()
    async with running_with(settings, clock) as after:
        person = after.person(token)
        assert (await person.get("/api/v1/me")).json()["email"] == OWNER
        again = await person.post("/api/v1/networks", json={"name": "office"}, headers=key)
        assert again.text == made.text
        assert (await after.http.get("/ca.pem")).text == ca
        assert (await after.http.get("/.well-known/jwks.json")).json() == jwks


async def test_two_processes_over_one_database_see_each_others_changes(tmp_path: Path) -> None:
    clock = ManualClock()
    settings = await set_up(tmp_path, now=clock.wall())
    async with running_with(settings, clock) as one, running_with(settings, clock) as two:
        token = await one.sign_in()
        made = await one.person(token).post("/api/v1/networks", json={"name": "office"})
        await two.services.store.feed.wait_beyond(one.services.state.position - 1)
        read = await two.person(token).get(f"/api/v1/networks/{made.json()['id']}")
        assert read.status_code == 200
        await two.person(token).post("/api/v1/keys/rotate")
        await one.services.store.feed.wait_beyond(two.services.state.position - 1)
        assert await _ready(one)
        kid = one.services.keyring.active(one.services.state).kid
        assert kid == two.services.keyring.active(two.services.state).kid
        assert (await two.person(token).delete("/api/v1/sessions/current")).status_code == 204
        assert (await one.person(token).get("/api/v1/me")).status_code == 401


async def _ready(controller: Controller) -> bool:
    answer = await controller.http.get("/healthz/ready")
    return answer.status_code == 200


async def test_a_controller_that_is_not_set_up_does_not_start(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    app = build_app(settings, clock=ManualClock(), hasher=CHEAP)
    with pytest.raises(LocalError) as refused:
        async with app.router.lifespan_context(app):
            raise AssertionError("it started")
    assert refused.value.reason is Reason.NOT_SET_UP


async def test_f12_readiness_names_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    settings = await set_up(tmp_path, now=clock.wall())

    async def away(_: Store) -> None:
        raise LocalError(Reason.UNAVAILABLE, "database: OperationalError")

    async with running_with(settings, clock) as controller:
        monkeypatch.setattr(Store, "ping", away)
        answer = await controller.http.get("/healthz/ready")
        assert answer.status_code == 503
        assert answer.json()["checks"] == {"database": "unavailable", "signing_key": "ok"}
        assert (await controller.http.get("/healthz/live")).status_code == 200


async def test_f10_a_database_that_is_away_is_503_with_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    settings = await set_up(tmp_path, now=clock.wall())
    async with running_with(settings, clock) as controller:
        for method in ("read", "transact"):

            def away(_: Store) -> None:
                raise LocalError(Reason.UNAVAILABLE, "database: OperationalError")

            monkeypatch.setattr(Store, method, away)
        answer = await controller.http.post("/api/v1/sessions", json={"email": OWNER, "password": OWNER_PASSWORD})
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert int(answer.headers["retry-after"]) >= 1
