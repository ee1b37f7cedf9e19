"""`ostiary set` and `ostiary get`: settings of the running daemon."""

from typing import Any, Final

from client.cli.control_socket import call
from protocol.errors import OstiaryError
from protocol.reasons import Reason
from runtime.console import OK, AdviceError, exit_on_error, print_json, print_lines, print_table, say

_SETTINGS: Final = "`ostiary get` shows every setting, and what it means."


def put(setting: str, *, as_json: bool) -> int:
    """Sets one, and shows what it is now."""
    with exit_on_error(as_json=as_json):
        key, separator, value = setting.partition("=")
        if not separator or not key or not value:
            raise AdviceError(
                Reason.INVALID_INPUT, f"{setting!r} is not KEY=VALUE, as in check-every=5m", next_step=_SETTINGS
            )
        found = _find(_set(key.strip(), value.strip()), key.strip())
    if as_json:
        print_json(found)
    else:
        print_lines(f"{found['key']} = {found['value']}")
        if found.get("restart_needed"):
            say(
                "It counts from the daemon's next start on.",
                "next: Restart the daemon, for example by `sudo systemctl restart ostiaryd`.",
            )
    return OK


def _set(key: str, value: str) -> dict[str, Any]:
    try:
        return call("set", {"key": key, "value": value})
    except OstiaryError as error:
        if error.reason is not Reason.INVALID_INPUT:
            raise
        raise AdviceError(error.reason, error.detail, next_step=_SETTINGS) from error


def get(key: str | None, *, as_json: bool) -> int:
    """Shows all, or one."""
    with exit_on_error(as_json=as_json):
        result = call("get")
        found = None if key is None else _find(result, key)
    if as_json:
        print_json(result if found is None else found)
    elif found is not None:
        print_lines(str(found["value"]))
    else:
        rows = [(item.get("key"), item.get("value"), _source(item), item.get("help")) for item in _settings(result)]
        print_table(("KEY", "VALUE", "FROM", "MEANS"), rows)
    return OK


def _source(item: dict[str, Any]) -> str:
    if item.get("restart_needed"):
        return "after a restart"
    return "set" if item.get("set") else "default"


def _find(result: dict[str, Any], key: str) -> dict[str, Any]:
    found = next((item for item in _settings(result) if item.get("key") == key), None)
    if found is None:
        known = ", ".join(str(item.get("key")) for item in _settings(result))
        raise AdviceError(Reason.INVALID_INPUT, f"there is no setting {key!r}; there are {known}", next_step=_SETTINGS)
    return found


def _settings(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [item for item in result.get("settings") or () if isinstance(item, dict)]
