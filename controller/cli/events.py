"""`events verify|export`: the audit trail without the server (T-9, T-70)."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from controller.api import views
from controller.cli.access import opened
from controller.cli.options import load_settings
from controller.settings import Settings
from controller.store import audit
from controller.store import events as stored_events
from runtime.console import FAILED, exit_on_error, print_json, print_lines
from runtime.files import os_error
from runtime.lifecycle import run_command

_PAGE = 500


def verify(config: Path | None, *, as_json: bool) -> None:
    """Recomputes the chain."""
    with exit_on_error(as_json=as_json):
        settings = load_settings(config)
        settings.require_database()
        report = run_command(audit(settings.effective_database_url))
        faults = [{"position": fault.position, "detail": fault.detail} for fault in report.faults]
        if as_json:
            print_json({"ok": not faults, "checked": report.checked, "log_head": report.log_head, "faults": faults})
        else:
            print_lines(f"{report.checked} events checked, head {report.log_head}")
            print_lines(*(f"event {fault['position']}: {fault['detail']}" for fault in faults))
            print_lines("The audit trail was tampered with." if faults else "The audit trail is whole.")
        if faults:
            raise SystemExit(FAILED)


def export(config: Path | None, output: Path | None) -> None:
    """Writes JSON lines, oldest first."""
    with exit_on_error(), _target(output) as stream:
        run_command(_export(load_settings(config), stream))


@contextlib.contextmanager
def _target(output: Path | None) -> Iterator[TextIO]:
    if output is None:
        yield sys.stdout
        return
    try:
        # It tells who did what: not for everybody.
        output.touch(mode=0o600, exist_ok=True)
        stream = output.open("w", encoding="utf-8")
    except OSError as exc:
        raise os_error(exc, output) from exc
    with stream:
        yield stream


async def _export(settings: Settings, stream: TextIO) -> None:
    async with opened(settings) as store:
        end = store.feed.state.position
        for start in range(1, end + 1, _PAGE):
            last = min(start + _PAGE - 1, end)
            async with store.read() as connection:
                page = await stored_events.page(connection, before=last + 1, limit=last - start + 1)
            for item in reversed(page):
                shown = views.event(item, {}).model_dump(mode="json", exclude={"names"})
                stream.write(json.dumps(shown, sort_keys=True) + "\n")
            await asyncio.sleep(0)
