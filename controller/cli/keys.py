"""`keys list|rotate|distrust`: on the database, so that they work beside a server and without one."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from controller.api import views
from controller.api.operations import keys
from controller.api.schemas.activity import Key
from controller.cli.access import opened, writing
from controller.cli.options import load_settings
from controller.domain.state import PolicyState
from controller.identity.keyring import KeyRing
from controller.identity.sealing import load_seal
from controller.settings import Settings
from controller.store import Unit
from runtime.console import exit_on_error, print_json, print_table
from runtime.lifecycle import run_command


def list_keys(config: Path | None, *, as_json: bool) -> None:
    """Shows the ring."""
    with exit_on_error(as_json=as_json):
        _show(run_command(_state(load_settings(config))), as_json=as_json)


def rotate(config: Path | None, *, as_json: bool) -> None:
    """Rotates."""
    with exit_on_error(as_json=as_json):
        settings = load_settings(config)
        _show(run_command(_change(settings, "keys rotate", keys.rotate)), as_json=as_json)


def distrust(config: Path | None, kid: str, *, as_json: bool) -> None:
    """Distrusts one key."""

    async def step(ring: KeyRing, unit: Unit) -> None:
        await keys.distrust(ring, unit, kid)

    with exit_on_error(as_json=as_json):
        settings = load_settings(config)
        _show(run_command(_change(settings, "keys distrust", step)), as_json=as_json)


async def _state(settings: Settings) -> PolicyState:
    async with opened(settings) as store:
        return store.feed.state


async def _change(settings: Settings, command: str, step: Callable[[KeyRing, Unit], Awaitable[None]]) -> PolicyState:
    ring = KeyRing(load_seal(settings.state_dir))
    async with opened(settings) as store:
        async with writing(store, command) as unit:
            await step(ring, unit)
        return store.feed.state


def _show(state: PolicyState, *, as_json: bool) -> None:
    shown: list[Key] = views.keys(state)
    if as_json:
        print_json({"ok": True, "keys": [item.model_dump(mode="json") for item in shown]})
        return
    rows = [(item.kid, item.status, item.added_at.isoformat() if item.added_at else "") for item in shown]
    print_table(("KEY", "STATUS", "ADDED"), rows)
