"""``ostiary-connector rotate-key``: another key and certificate while everything goes on (F-23)."""

import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from connector.settings import COMPONENT, Settings
from protocol.errors import RemoteError
from protocol.reasons import Reason
from runtime import console
from runtime.command_line import JsonOption, RuntimeOption, ask_daemon, config_option
from runtime.settings import load

WAIT_S: Final = 1800.0
POLL_S: Final = 1.0


def rotate_key(
    wait: Annotated[
        bool, typer.Option("--wait", help="Come back when the new key is in use; at most 30 minutes.")
    ] = False,
    config: Annotated[Path | None, config_option(COMPONENT)] = None,
    runtime_dir: RuntimeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change the connector's key and certificate while it serves; no connection breaks.

    The running connector makes a new key and announces it. Clients are told both certificates; after about six minutes, when
    none of them holds anything that names the old one alone, the connector uses the new one. Connections that are open then go
    on for up to a day. The connector does all this by itself every `key_rotation_days` (90).

    When a key may be in wrong hands do not rotate: enrol the connector again (`ostiary admin connector token`), which ends the
    old key at once.

    \b
    Examples:
      ostiary-connector rotate-key
      ostiary-connector rotate-key --wait --json
    """
    with console.exit_on_error(as_json=as_json):
        settings = load(Settings, component=COMPONENT, config_file=config, overrides={"runtime_dir": runtime_dir})
        before = ask_daemon(COMPONENT, settings.socket_path, "status")["key"]["made_at"]
        key: dict[str, Any] = ask_daemon(COMPONENT, settings.socket_path, "rotate-key")
        deadline = time.monotonic() + WAIT_S
        while wait and key["made_at"] == before:
            if time.monotonic() > deadline:
                raise RemoteError(Reason.TIMEOUT, "the new key is not in use yet; `ostiary-connector status` says more")
            time.sleep(POLL_S)
            key = ask_daemon(COMPONENT, settings.socket_path, "status")["key"]
        if as_json:
            console.print_json({"ok": True, **key})
        elif key["made_at"] != before:
            console.print_lines(f"The new key is in use. Certificate pin: {key['pin']}")
        else:
            console.print_lines("A new key is being announced; nothing breaks.", "next: ostiary-connector status")
